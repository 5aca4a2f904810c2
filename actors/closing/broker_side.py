"""What one actor knows of the broker's side of its contracts: positions, orders that can still fill, halts, sessions.

What is told comes by two ways, pushes and whole reads; when each came is kept, since a close is sized only by a
position that is newer than what its orders did.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from actors import messages as m
from actors.hours import HoursKeeper
from actors.logic.broker_orders import is_in_account, is_working
from actors.logic.closable import is_closable
from actors.logic.flattening import Pending, Sight
from actors.logic.order_ids import operator_of
from actors.model.account import Holding
from actors.model.connection import BrokerState
from actors.model.contracts import Contract, SecurityType
from actors.model.orders import BrokerOrder, OrderAction, OrderType, Purpose

_STOPS: Final = frozenset({"STP", "STP LMT", "TRAIL", "TRAIL LIMIT"})
"""IB's names of orders that protect a position."""


class BrokerSide:
    """Owns the positions of one actor, the orders of others, and when the broker said what; monotonic seconds."""

    def __init__(self, operator_id: str, hours: HoursKeeper) -> None:
        self._operator_id = operator_id
        self._hours = hours
        self.linked = False
        self.read_at = -math.inf
        self.holdings: dict[int, Holding] = {}
        self._foreign: dict[int, tuple[BrokerOrder, ...]] = {}
        self._told_at: dict[int, float] = {}
        self._ended_at: dict[int, float] = {}
        self._seen: dict[int, tuple[Pending, ...]] = {}
        self._halted: set[int] = set()

    # --- what is told ---------------------------------------------------------------------------------------------

    def take_over(self, state: BrokerState) -> None:
        """Take over what a whole read says of positions and of the orders of others."""
        told = {held.contract.con_id: held for held in state.holdings if held.quantity}
        for con_id in told.keys() | self.holdings.keys():
            if _quantity(self.holdings.get(con_id)) != _quantity(told.get(con_id)):
                self._told_at[con_id] = state.began_at
        self.holdings = told
        self.read_at = state.began_at
        self._foreign = _foreign_orders(state, self._operator_id)

    def holding_reported(self, holding: Holding, now: float) -> None:
        """Take over one position, as the broker pushes it."""
        con_id = holding.contract.con_id
        self._told_at[con_id] = now
        if holding.quantity:
            self.holdings[con_id] = holding
        else:
            self.holdings.pop(con_id, None)

    def halt_changed(self, con_id: int, is_halted: bool) -> None:
        """Take in that trading in a contract is halted, or goes on."""
        change = self._halted.add if is_halted else self._halted.discard
        change(con_id)

    # --- what is known --------------------------------------------------------------------------------------------

    def quantity(self, con_id: int) -> float:
        """What is held, signed, in units."""
        return _quantity(self.holdings.get(con_id))

    def opens_at(self, con_id: int) -> datetime | None:
        """The session that a contract waits for; None while it trades, or nobody knows."""
        return self._hours.waits_until(con_id)

    @property
    def contracts_of_others(self) -> Mapping[int, Contract]:
        """The contracts in which others have orders that work; a combination stands under a name of its own."""
        return {con_id: _contract_of(con_id, orders[0]) for con_id, orders in self._foreign.items()}

    def pending(
        self, orders: Iterable[m.LiveOrder], watched: Iterable[int], now: float
    ) -> dict[int, tuple[Pending, ...]]:
        """Sort what can still fill by contract, and note where something of it has ended, or filled in part."""
        found: dict[int, list[Pending]] = {}
        for live in orders:
            found.setdefault(live.order.contract.con_id, []).append(_pending(live))
        for con_id, others in self._foreign.items():
            found.setdefault(con_id, []).extend(map(_pending_of_others, others))
        pending = {con_id: tuple(items) for con_id, items in found.items()}
        for con_id in pending.keys() | self._seen.keys():
            if pending.get(con_id, ()) != self._seen.get(con_id, ()) and con_id in self._seen:
                self._ended_at[con_id] = now
        self._seen = {con_id: pending.get(con_id, ()) for con_id in pending.keys() | set(watched)}
        return pending

    def sight(
        self,
        contract: Contract,
        pending: Mapping[int, tuple[Pending, ...]],
        stays: float,
        now: datetime,
    ) -> Sight:
        """Put together all that is known of one contract; ``stays``: see `Sight`."""
        con_id = contract.con_id
        told_at = self._told_at.get(con_id, -math.inf)
        ended_at = self._ended_at.get(con_id, -math.inf)
        opens_at = self.opens_at(con_id)
        left = None if opens_at is None else opens_at - now
        return Sight(
            contract=contract,
            quantity=self.quantity(con_id),
            linked=self.linked,
            read_at=self.read_at,
            word_at=max(told_at, ended_at),
            told_at=told_at,
            ended_at=ended_at,
            orders=pending.get(con_id, ()),
            opens_in_s=None if left is None else max(0.0, left.total_seconds()),
            halted=con_id in self._halted,
            stays=stays,
            closable=is_closable(contract.security_type),
        )


def _quantity(held: Holding | None) -> float:
    return 0.0 if held is None else held.quantity


def _pending(live: m.LiveOrder) -> Pending:
    order = live.order
    return Pending(
        reference=live.order_id,
        action=order.action,
        remaining=live.remaining,
        is_close=order.purpose is Purpose.CLOSE,
        is_stop=order.order_type is OrderType.STOP,
        unknown=live.is_unknown,
        confirmed=live.is_confirmed,
        addressable=live.is_addressable,
    )


def _pending_of_others(order: BrokerOrder) -> Pending:
    left = order.remaining
    if left is None:
        left = (order.quantity or 0.0) - (order.filled or 0.0)
    return Pending(
        reference=order.order_ref or f"permId {order.perm_id}",
        action=order.action or OrderAction.BUY,  # a combination has neither side nor contract
        remaining=left,
        ours=False,
        is_stop=order.order_type in _STOPS,
    )


def _foreign_orders(state: BrokerState, ours: str) -> dict[int, tuple[BrokerOrder, ...]]:
    """Sort the working orders of others in this account by contract; one without contract stands by itself."""
    account = state.account.account_id
    found: dict[int, list[BrokerOrder]] = {}
    for order in state.open_orders:
        is_foreign = operator_of(order.order_ref) != ours
        if is_foreign and is_working(order) and is_in_account(order, account):
            key = (order.perm_id or 1) if order.contract is None else order.contract.con_id
            found.setdefault(key, []).append(order)
    return {key: tuple(orders) for key, orders in found.items()}


def _contract_of(key: int, order: BrokerOrder) -> Contract:
    if order.contract is not None:
        return order.contract
    return Contract(
        con_id=max(1, key), symbol="combination", security_type=SecurityType.COMBINATION
    )
