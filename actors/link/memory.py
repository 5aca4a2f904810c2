"""What one incarnation of the link leaves to the next: used order ids, what was asked of history, closes in flight.

It belongs to the process. Only one incarnation at a time writes to it: the one before was fenced, its socket cut.
"""

from __future__ import annotations

from typing import Final

import attrs

from actors.errors import GatewayError
from actors.link.answers import FIRST_REQUEST_ID
from actors.link.history_pacer import HistoryPacer
from actors.link.position_guard import PositionGuard

HIGHEST_ORDER_ID: Final = FIRST_REQUEST_ID - 1
"""The gateway reports errors of orders and of requests under one number, so the two never meet."""

DUPLICATE_LEAP: Final = 100
"""So many order ids are skipped when the gateway calls one a duplicate: somebody used more of them than we know."""


@attrs.define
class OrderIds:
    """Order ids are only addresses; none is used twice, whatever the gateway says (D15)."""

    last: int = 0
    _duplicate: int = 0

    def raise_floor(self, next_order_id: int) -> None:
        """Use no order id below this one."""
        self.last = max(self.last, next_order_id - 1)

    def draw(self) -> int:
        """Use the next one. Raises `GatewayError` when there is none."""
        if self.last >= HIGHEST_ORDER_ID:
            raise GatewayError(
                f"all order ids up to {HIGHEST_ORDER_ID} are used: take another client id"
            )
        self.last += 1
        return self.last

    def leap(self, duplicate: int) -> bool:
        """Leave behind an id of ours that somebody else had used, and some more; once for each.

        False when it is none of ours, or was left behind before.
        """
        if not self._duplicate < duplicate <= self.last:
            return False
        self._duplicate = duplicate
        self.last = min(self.last + DUPLICATE_LEAP, HIGHEST_ORDER_ID)
        return True


def plausible_order_id(order_id: int) -> int:
    """Take the gateway's floor for order ids as it is; raises ValueError for one that would use all ids up."""
    if not 0 <= order_id <= HIGHEST_ORDER_ID:
        raise ValueError(f"the next order id must be 0 to {HIGHEST_ORDER_ID} (was {order_id})")
    return order_id


@attrs.frozen
class LinkMemory:
    """See the module's docstring."""

    history: HistoryPacer = attrs.field(factory=HistoryPacer)
    order_ids: OrderIds = attrs.field(factory=OrderIds)
    positions: PositionGuard = attrs.field(factory=PositionGuard)
