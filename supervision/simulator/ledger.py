"""The ledger: every order message that arrived, as it arrived.

This is the witness for "once and only once": an entry is written before the message is acted on,
and nothing is ever removed.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

import attrs

from .fields import FieldError
from .orders import OrderTicket, read_ticket

Kind = Literal["place", "modify", "cancel", "global_cancel"]
PLACE_ORDER = 3
CANCEL_ORDER = 4
GLOBAL_CANCEL = 58


@attrs.frozen(kw_only=True)
class LedgerEntry:
    """One PLACE_ORDER, CANCEL_ORDER or GLOBAL_CANCEL.

    `received_s` is the loop's time, `arrived_ns` a monotonic clock that other processes on the same
    Linux machine share (0 unless the gateway polls busily), `received_at` aware UTC. `raw` is the
    message as it came. `outcome` says what became of it: accepted, modified, cancelled, held
    (transmit off), what_if, dropped, or rejected:<code>.
    """

    sequence: int
    received_s: float
    received_at: dt.datetime
    arrived_ns: int = 0
    client_id: int
    order_id: int
    kind: Kind
    raw: tuple[str, ...]
    action: str = ""
    quantity: float | None = None
    order_type: str = ""
    limit_price: float | None = None
    stop_price: float | None = None
    tif: str = ""
    account: str = ""
    order_ref: str = ""
    ext_operator: str = ""
    con_id: int = 0
    symbol: str = ""
    what_if: bool = False
    transmit: bool = True
    perm_id: int = 0
    outcome: str = "received"

    def record(self) -> dict[str, Any]:
        """The entry as plain data, for the state file."""
        return {**attrs.asdict(self, recurse=False), "received_at": self.received_at.isoformat()}

    @classmethod
    def restore(cls, record: dict[str, Any]) -> LedgerEntry:
        """Rebuild an entry from `record`."""
        moment = dt.datetime.fromisoformat(record["received_at"])
        return cls(**{**record, "raw": tuple(record["raw"]), "received_at": moment})


@attrs.frozen
class Outcome:
    """What became of the ledger entry with this sequence number."""

    sequence: int
    outcome: str
    perm_id: int

    def record(self) -> list[Any]:
        """The outcome as plain data, for the state file."""
        return [self.sequence, self.outcome, self.perm_id]


def settled(entries: list[LedgerEntry], record: list[Any]) -> LedgerEntry:
    """Put an outcome that was written down into its entry; returns the entry."""
    sequence, outcome, perm_id = record
    entry: LedgerEntry = attrs.evolve(entries[sequence - 1], outcome=outcome, perm_id=perm_id)
    entries[sequence - 1] = entry
    return entry


def describe(entry: LedgerEntry) -> tuple[LedgerEntry, OrderTicket | None]:
    """Add what a PLACE_ORDER says to its entry; an unreadable one is kept as it is."""
    if entry.kind not in ("place", "modify"):
        return entry, None
    try:
        ticket = read_ticket(list(entry.raw))
    except FieldError:
        return entry, None
    described = attrs.evolve(
        entry,
        action=ticket.action,
        quantity=ticket.quantity,
        order_type=ticket.order_type,
        limit_price=ticket.limit_price,
        stop_price=ticket.stop_price,
        tif=ticket.tif,
        account=ticket.account,
        order_ref=ticket.order_ref,
        ext_operator=ticket.ext_operator,
        con_id=ticket.query.con_id,
        symbol=ticket.query.symbol,
        what_if=ticket.what_if,
        transmit=ticket.transmit,
    )
    return described, ticket
