"""What one incarnation of the link leaves to the next: which order ids were used, and what was asked of history.

It belongs to the process. Only one incarnation at a time writes to it: the one before was fenced, its socket cut.
"""

from __future__ import annotations

from typing import Final

import attrs

from actors.link.history_pacer import HistoryPacer

DUPLICATE_LEAP: Final = 100
"""So many order ids are skipped when the gateway calls one a duplicate: somebody used more of them than we know."""


@attrs.define
class OrderIds:
    """Order ids are only addresses; none is used twice, whatever the gateway says (D15)."""

    last: int = 0

    def raise_floor(self, next_order_id: int) -> None:
        """Use no order id below this one."""
        self.last = max(self.last, next_order_id - 1)

    def draw(self) -> int:
        """Use the next one."""
        self.last += 1
        return self.last

    def leap(self, duplicate: int) -> None:
        """Leave behind an id that was used by somebody else, and some more."""
        self.last = max(self.last, duplicate) + DUPLICATE_LEAP


@attrs.frozen
class LinkMemory:
    """See the module's docstring."""

    history: HistoryPacer = attrs.field(factory=HistoryPacer)
    order_ids: OrderIds = attrs.field(factory=OrderIds)
