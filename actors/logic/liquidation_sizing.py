"""What a liquidation is about, and how much it closes (STC-6): the broker's state, reduced to what is in scope."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from actors.logic.broker_orders import is_in_account, is_working
from actors.logic.liquidation_events import BrokerRead, Close
from actors.logic.order_ids import operator_of
from actors.model.account import Holding
from actors.model.connection import BrokerState
from actors.model.orders import BrokerOrder, OrderAction
from actors.sections.strategy_c import StrategyC

ALWAYS_OPEN: Final[Mapping[int, datetime]] = MappingProxyType({})
"""Nothing has to wait for an opening."""

_NOBODYS: Final = 0
"""Stands for the contract of an order that has none of ours, such as a combination."""


def in_scope(
    broker: BrokerState,
    limits: StrategyC,
    turn: int,
    *,
    operator_id: str,
    managed: frozenset[int] = frozenset(),
    agrees: bool = True,
    opens_at: Mapping[int, datetime] = ALWAYS_OPEN,
) -> BrokerRead:
    """Reduce the broker's state to what this liquidation is about (STC-6).

    The whole account, or the contracts in ``managed`` and the orders that carry our operator id.
    """
    whole, account = limits.whole_account, broker.account.account_id
    working = tuple(
        order
        for order in broker.open_orders
        if is_working(order)
        and is_in_account(order, account)
        and (whole or operator_of(order.order_ref) == operator_id)
    )
    return BrokerRead(
        turn=turn,
        holdings=tuple(
            holding
            for holding in broker.holdings
            if holding.quantity and (whole or holding.contract.con_id in managed)
        ),
        working=tuple(order.order_ref or f"permId {order.perm_id}" for order in working),
        agrees=agrees,
        resting=resting(working),
        opens_at=opens_at,
    )


def closes_for(
    holdings: tuple[Holding, ...], opens_at: Mapping[int, datetime] = ALWAYS_OPEN
) -> tuple[Close, ...]:
    """Size the closes: the opposite side, the whole quantity; what does not trade now at its open."""
    return tuple(
        Close(
            contract=holding.contract,
            action=OrderAction.SELL if holding.quantity > 0 else OrderAction.BUY,
            quantity=abs(holding.quantity),
            opens_at=opens_at.get(holding.contract.con_id),
        )
        for holding in holdings
        if holding.quantity
    )


def resting(working: Iterable[BrokerOrder]) -> Mapping[int, float]:
    """Add up per con_id what working orders can still do to the position: positive for purchases."""
    found: defaultdict[int, float] = defaultdict(float)
    for order in working:
        con_id = _NOBODYS if order.contract is None else order.contract.con_id
        sign = 1 if order.action is None else order.action.sign
        left = order.remaining
        if left is None:
            left = (order.quantity or 0.0) - (order.filled or 0.0)
        found[con_id] += sign * left
    return MappingProxyType(dict(found))
