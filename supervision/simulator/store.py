"""The orders and the ledger: found by id, kept in the state file."""

from __future__ import annotations

from typing import Any

import attrs

from . import codes
from .books import Books
from .ledger import LedgerEntry, Outcome, settled
from .orders import Execution, Order
from .state import StateFile

_FIRST_PERM_ID = 1_000_000_000
_ID_NOT_USED = frozenset(
    {
        "received",
        "dropped",
        f"rejected:{codes.DUPLICATE_ORDER}",
        f"rejected:{codes.BAD_ORDER_ID}",
        f"rejected:{codes.BAD_READ}",
    }
)


class OrderStore:
    """Every order ever taken and every order message ever received."""

    def __init__(self, state: StateFile, books: Books) -> None:
        self.orders: dict[int, Order] = {}
        self.ledger: list[LedgerEntry] = []
        self.perm_id = _FIRST_PERM_ID
        self._state = state
        self._books = books
        self._by_client: dict[tuple[int, int], Order] = {}
        self._working: dict[int, Order] = {}
        self._untransmitted: dict[int, Order] = {}
        self._highest_id: dict[int, int] = {}

    # Restoring ----------------------------------------------------------------------------------

    def restore(self, kind: str, record: Any) -> None:
        """Take back one change from the state file."""
        if kind == "order":
            self.keep(Order.restore(record))
        elif kind == "execution":
            self._books.restore(Execution.restore(record))
        elif kind == "ledger":
            self.ledger.append(LedgerEntry.restore(record))
        elif kind == "outcome":
            entry = settled(self.ledger, record)
            if entry.kind == "place" and entry.outcome not in _ID_NOT_USED:
                self.raise_id(entry.client_id, entry.order_id)

    def keep(self, order: Order) -> None:
        """File an order by its ids and state."""
        self.orders[order.perm_id] = order
        self._by_client[order.client_id, order.order_id] = order
        self.perm_id = max(self.perm_id, order.perm_id)
        self.raise_id(order.client_id, order.order_id)
        _file_under(self._working, order, order.is_working)
        _file_under(self._untransmitted, order, not order.transmit and not order.discarded)

    # Order ids ----------------------------------------------------------------------------------

    def highest_id(self, client_id: int) -> int:
        """The highest id a client has used; 0 when none."""
        return self._highest_id.get(client_id, 0)

    def next_order_id(self, client_id: int) -> int:
        """The next id this client may use."""
        return self.highest_id(client_id) + 1

    def raise_id(self, client_id: int, order_id: int) -> None:
        """Take note that a client has used an id."""
        self._highest_id[client_id] = max(self._highest_id.get(client_id, 0), order_id)

    def find(self, client_id: int, order_id: int) -> Order | None:
        """The newest order of a client under an id."""
        return self._by_client.get((client_id, order_id))

    def bind(self, order: Order, client_id: int, order_id: int) -> None:
        """Give an order to a client under a new id (client 0 and orders made by hand)."""
        order.client_id, order.order_id = client_id, order_id
        self.raise_id(client_id, order_id)
        self.save(order)

    def working(self) -> list[Order]:
        """All working orders, oldest first."""
        return list(self._working.values())

    def held_group(self, order: Order) -> list[Order]:
        """The untransmitted orders that go out together with `order`."""
        family = order.parent_id or order.order_id
        return [
            held
            for held in self._untransmitted.values()
            if held.client_id == order.client_id and family in (held.order_id, held.parent_id)
        ]

    # Writing ------------------------------------------------------------------------------------

    def save(
        self, order: Order, execution: Execution | None = None, *, as_: Order | None = None
    ) -> None:
        """Keep an order and write it down, together with an execution; `as_` replaces what is
        written.
        """
        self.keep(order)
        change = ("order", as_ or order)
        if execution is None:
            self._state.write(change)
        else:
            self._state.write(change, ("execution", execution))

    def save_correction(self, execution: Execution) -> None:
        """Write a corrected execution down."""
        self._state.write(("execution", execution))

    def record(self, entry: LedgerEntry) -> LedgerEntry:
        """Write a ledger entry, numbered, before the message is acted on."""
        entry = attrs.evolve(entry, sequence=len(self.ledger) + 1)
        self.ledger.append(entry)
        self._state.write(("ledger", entry))
        return entry

    def settle(self, entry: LedgerEntry, outcome: str) -> None:
        """Write down what became of a ledger entry."""
        order = self.find(entry.client_id, entry.order_id)
        perm_id = order.perm_id if order is not None else 0
        change = Outcome(entry.sequence, outcome, perm_id)
        settled(self.ledger, change.record())
        self._state.write(("outcome", change))


def _file_under(drawer: dict[int, Order], order: Order, belongs: bool) -> None:
    if belongs:
        drawer[order.perm_id] = order
    else:
        drawer.pop(order.perm_id, None)
