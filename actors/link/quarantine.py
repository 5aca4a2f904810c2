"""What is known of a message that could not be read: its kind, and which contract or order it was about (D22). Pure.

Only broken framing ends a session. A message that cannot be read, or that holds an impossible value, is kept whole in
the log and marks what it was about as unsure: nothing is opened in it until a later read shows it sound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import attrs

MOST_FIELDS: Final = 200
LONGEST_FIELD: Final = 200

_KINDS: Final[Mapping[int, tuple[str, int | None, int | None]]] = MappingProxyType(
    {
        3: ("orderStatus", None, 1),
        4: ("error", None, None),
        5: ("openOrder", 2, 1),
        11: ("execution", 3, 2),
        59: ("commission", None, None),
        61: ("position", 3, None),
        101: ("completedOrder", 1, None),
        7: ("portfolio", 2, None),
    }
)
"""Per message number its name, and where its conId and its order id stand (TWS_WIRE §4)."""


@attrs.frozen(kw_only=True)
class Odd:
    """A message that was put aside. ``con_id`` and ``order_id``: what it was about, as far as that can be read."""

    number: str
    kind: str
    con_id: int | None = None
    order_id: int | None = None
    fields: tuple[str, ...] = ()

    @property
    def is_answer(self) -> bool:
        """Whether it is part of an answer to a question, which will hold it again."""
        is_listed = self.kind == "execution" and self.fields[1:2] != ("-1",)
        return is_listed or self.kind == "completedOrder"

    @property
    def concerns_trading(self) -> bool:
        """Whether an order or a position may be other than we know."""
        return self.kind not in ("data", "error")


def odd_message(fields: Sequence[str]) -> Odd:
    """Say what can be said of a message; raises nothing."""
    number = fields[0] if fields else ""
    name, con_at, order_at = _KINDS.get(_whole(number) or 0, ("data", None, None))
    return Odd(
        number=number[:20],
        kind=name,
        con_id=_positive(fields, con_at),
        order_id=_positive(fields, order_at),
        fields=tuple(field[:LONGEST_FIELD] for field in fields[:MOST_FIELDS]),
    )


def _positive(fields: Sequence[str], place: int | None) -> int | None:
    if place is None or place >= len(fields):
        return None
    found = _whole(fields[place])
    return found if found is not None and 0 < found < 2**31 else None


def _whole(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= 12
    return int(text) if is_number else None
