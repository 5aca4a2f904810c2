"""What a close over pending orders could make of a position: what a person is shown before it is done (RULES 2).

A close sells what is held. Each order that can still fill may fill before it, after it, or never: at worst all of one
side fill after it, and what remains is their sum. An order of ours whose fate is not known, and which the broker does
not show, counts for every contract of its symbol, since it is an upper bound that is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from actors.logic.broker_orders import is_in_account, is_working
from actors.logic.order_ids import order_id_of
from actors.model.connection import BrokerState
from actors.model.orders import BrokerOrder, OrderAction, OrderResult


@attrs.frozen(kw_only=True)
class Pending:
    """An order that can still fill: units that are left of it, and what it is called."""

    action: OrderAction
    quantity: float
    name: str

    def __str__(self) -> str:
        return f"{self.action} {self.quantity:g} ({self.name})"


@attrs.frozen(kw_only=True)
class WorstTurn:
    """One contract: what is held (negative for a short position), and what can still change it."""

    contract: str
    held: float
    pending: tuple[Pending, ...]

    @property
    def worst(self) -> float:
        """The largest position that could be left after a close of all that is held, with its sign."""
        bought, sold = self._left(OrderAction.BUY), self._left(OrderAction.SELL)
        sides = (bought, -sold) if self.held < 0 else (-sold, bought)
        return max(sides, key=abs)

    def _left(self, action: OrderAction) -> float:
        return sum(order.quantity for order in self.pending if order.action is action)

    def __str__(self) -> str:
        if not self.pending:
            return f"{self.contract}: {self.held:g} held, no order can still fill"
        orders = "; ".join(map(str, self.pending))
        return (
            f"{self.contract}: {self.held:g} held; can still fill: {orders};"
            f" after the close it could become {self.worst:+g}"
        )


def worst_turns(
    state: BrokerState, ours: Iterable[OrderResult], symbol: str
) -> tuple[WorstTurn, ...]:
    """Say it for each contract of ``symbol`` that is held, or has orders that can still fill.

    ``state`` is the broker's, orders of all clients included; ``ours`` are those of our own that are not at their end.
    """
    held = {
        holding.contract: holding.quantity
        for holding in state.holdings
        if holding.quantity and holding.contract.symbol == symbol
    }
    names = {contract.con_id: str(contract) for contract in held}
    quantities = {contract.con_id: quantity for contract, quantity in held.items()}
    pending: dict[int, list[Pending]] = {con_id: [] for con_id in names}
    shown = set()
    for order in state.open_orders:
        shown.add(order_id_of(order.order_ref))
        contract = order.contract
        if contract is None or contract.symbol != symbol or not is_working(order):
            continue
        if is_in_account(order, state.account.account_id):
            names.setdefault(contract.con_id, str(contract))
            pending.setdefault(contract.con_id, []).extend(_both_sides(order))
    unknown = [
        Pending(
            action=order.action,
            quantity=order.quantity - order.fill_quantity,
            name=f"{order.order_id}, fate not known",
        )
        for order in ours
        if order.symbol == symbol and order.order_id not in shown
    ]
    if unknown and not names:
        names[0], pending[0] = symbol, []
    return tuple(
        WorstTurn(
            contract=name,
            held=quantities.get(con_id, 0.0),
            pending=(*pending[con_id], *unknown),
        )
        for con_id, name in sorted(names.items())
    )


def _both_sides(order: BrokerOrder) -> Iterable[Pending]:
    """What is left of an order; one that the broker described by half counts for both sides."""
    left = order.remaining
    if left is None:
        left = (order.quantity or 0.0) - (order.filled or 0.0)
    name = order.order_ref or f"permId {order.perm_id}"
    actions = OrderAction if order.action is None else (order.action,)
    return [Pending(action=action, quantity=left, name=name) for action in actions if left > 0]
