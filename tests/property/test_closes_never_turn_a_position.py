"""No close that passes the gate ever turns a position, whatever risk asked for (RSK-4).

A broker that holds the truth, a wire on which its messages are under way, and a gate. Risk errs: it asks for closes of
any size and side, with a permit that is always in order. Fills, cancels, silent drops, lost connections, restarts of
the link and of the process come in any order; the executor says of a close that it is dead only when it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors import messages as m
from actors.link.order_gate import Attempt, OrderGate
from actors.link.position_guard import PositionGuard
from actors.logic.permits import issue_permit
from actors.model.account import Holding
from actors.model.contracts import Contract, SecurityType
from actors.model.orders import (
    BrokerOrder,
    Execution,
    GateRefusal,
    OrderAction,
    OrderType,
    Purpose,
    WireOrder,
)

KEY = b"0123456789abcdef"
OPERATOR = "CSATSPRIM"
ACCOUNT = "DU1234567"
START = datetime(2026, 3, 2, 15, tzinfo=UTC)
SPY = Contract(con_id=756733, symbol="SPY", security_type=SecurityType.STOCK, exchange="SMART")
FOREVER = 1e9
MOST = 12

News = Execution | BrokerOrder | Holding


@attrs.define
class BrokersOrder:
    """An order as the broker knows it."""

    order: WireOrder
    order_id: int
    filled: float = 0.0
    is_working: bool = True

    @property
    def left(self) -> float:
        return self.order.quantity - self.filled


class ClosesNeverTurnAPosition(RuleBasedStateMachine):
    """See the module's docstring."""

    def __init__(self) -> None:
        super().__init__()
        self.position = 0.0
        self.was_held = 0.0
        self.somebody_traded = False
        self.orders: list[BrokersOrder] = []
        self.dropped: list[WireOrder] = []
        self.executions: list[Execution] = []
        self.news: list[News] = []
        self.positions: list[Holding] = []
        self.now = 0.0
        self.made = 0
        self.guard = PositionGuard()
        self.gate = OrderGate(OPERATOR, START, positions=self.guard)

    @initialize(held=st.integers(-6, 6))
    def begin(self, held: int) -> None:
        self.position = self.was_held = float(held)
        self._connect()

    # --- what risk asks for -----------------------------------------------------------------------------------------

    @rule(
        of_all=st.sampled_from([1.0, 0.5, 0.0]),
        more=st.sampled_from([0, 0, 1]),
        reaches_the_broker=st.integers(0, 5).map(bool),
    )
    def close(self, of_all: float, more: int, *, reaches_the_broker: bool) -> None:
        """Try to close as much as was ever held, or some of it, or more."""
        action = OrderAction.BUY if self.was_held < 0 else OrderAction.SELL
        quantity = float(int(abs(self.was_held) * of_all) + more)
        if quantity:
            self._send(action, quantity, Purpose.CLOSE, reaches_the_broker)

    @rule(action=st.sampled_from(OrderAction), quantity=st.integers(1, MOST))
    def close_anything(self, action: OrderAction, quantity: int) -> None:
        """Try to close what may not even be held."""
        self._send(action, float(quantity), Purpose.CLOSE, True)

    @rule(quantity=st.integers(1, 3))
    def add(self, quantity: int) -> None:
        """Open more of what is held."""
        action = OrderAction.SELL if self.position < 0 else OrderAction.BUY
        self._send(action, float(quantity), Purpose.OPEN, True)

    def _send(
        self, action: OrderAction, quantity: float, purpose: Purpose, reaches_the_broker: bool
    ) -> None:
        self.made += 1
        name = "CLOSE_SPY_756733" if purpose is Purpose.CLOSE else "ORD"
        order = WireOrder(
            order_ref=f"{OPERATOR}:{name}_{self.made:04d}_aa",
            contract=SPY,
            action=action,
            quantity=quantity,
            order_type=OrderType.MARKET,
            account=ACCOUNT,
            operator_id=OPERATOR,
            purpose=purpose,
        )
        permit = issue_permit(
            KEY,
            order,
            permit_id=str(self.made),
            expires_at=FOREVER,
            fill_count=self.guard.fill_count(SPY.con_id),
            position_sequence=self.guard.position_sequence(SPY.con_id),
        )
        refusal = self.gate.refusal(Attempt(order=order, permit=permit, deadline=FOREVER), self.now)
        if refusal is not None:
            assert refusal.kind in (GateRefusal.BEYOND_POSITION, GateRefusal.OTHER)
            return
        self.gate.passed(order, self.made, START)
        if reaches_the_broker:
            self.orders.append(BrokersOrder(order, self.made))
            self.news.append(self._report(self.orders[-1], "Submitted"))
        else:
            self.dropped.append(order)

    # --- what the broker does ---------------------------------------------------------------------------------------

    @precondition(lambda self: any(order.is_working for order in self.orders))
    @rule(data=st.data(), execution_first=st.booleans())
    def fill(self, data: st.DataObject, *, execution_first: bool) -> None:
        """Fill some of an order. Its messages come in any order, the position before or long after the others."""
        order = data.draw(st.sampled_from([each for each in self.orders if each.is_working]))
        quantity = float(data.draw(st.integers(1, int(order.left))))
        before, change = self.position, order.order.action.sign * quantity
        self.position += change
        self.was_held = self.position or self.was_held
        if order.order.purpose is Purpose.CLOSE:
            assert abs(self.position) < abs(before)
            assert self.position * before >= 0.0, f"turned from {before:g} to {self.position:g}"
        order.filled += quantity
        order.is_working = order.left > 0
        execution = self._execution(order.order.order_ref, change)
        self.executions.append(execution)
        status = self._report(order, "Submitted" if order.is_working else "Filled", terms=False)
        self.news.extend([execution, status] if execution_first else [status, execution])
        self.positions.append(self._holding())

    def _execution(self, reference: str, change: float) -> Execution:
        return Execution(
            exec_id=f"e{len(self.executions)}.01",
            contract=SPY,
            order_id=0,
            client_id=1,
            perm_id=0,
            order_ref=reference,
            account=ACCOUNT,
            action=OrderAction.BUY if change > 0 else OrderAction.SELL,
            quantity=abs(change),
            price=100.0,
            executed_at=START,
        )

    @precondition(lambda self: any(order.is_working for order in self.orders))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """End an order with what it has filled."""
        order = data.draw(st.sampled_from([each for each in self.orders if each.is_working]))
        order.is_working = False
        self.news.append(self._report(order, "Cancelled", terms=False))

    @precondition(lambda self: self.news)
    @rule()
    def deliver(self) -> None:
        """Let the next message about orders arrive."""
        self._hear(self.news.pop(0))

    @precondition(lambda self: self.positions)
    @rule()
    def deliver_position(self) -> None:
        """Let the next position arrive."""
        self._hear(self.positions.pop(0))

    @precondition(lambda self: not any(order.is_working for order in self.orders))
    @rule(change=st.sampled_from([-2, -1, 1, 2]))
    def trade_elsewhere(self, change: int) -> None:
        """Let somebody else trade, which the stream tells at once; the execution shows in the next read only."""
        self._arrive()
        self.position += change
        self.was_held = self.position or self.was_held
        self.executions.append(self._execution("", change))
        self.somebody_traded = True
        self._hear(self._holding())

    def _arrive(self) -> None:
        while self.news:
            self._hear(self.news.pop(0))
        while self.positions:
            self._hear(self.positions.pop(0))

    # --- what goes wrong --------------------------------------------------------------------------------------------

    @rule(what=st.sampled_from(["connection", "link", "process"]))
    def lose(self, what: str) -> None:
        """Lose all that is under way: with the connection, with the gate, or with all that this process knew."""
        self.gate.session_ended("lost")
        if what == "process":
            self.guard = PositionGuard()
        if what != "connection":
            self.gate = OrderGate(OPERATOR, START, positions=self.guard)
        self._connect()
        if what == "process":  # which the journal knows, and no read shows
            for order in self.dropped:
                self._reserve(order)

    @rule()
    def read(self) -> None:
        """Read the broker's state in a healthy session: all that was under way has arrived by then."""
        self._arrive()
        self._read()

    @precondition(lambda self: self.dropped)
    @rule()
    def prove_dead(self) -> None:
        """The executor has found out that a close never arrived."""
        order = self.dropped.pop()
        self.guard.close_is_dead(order.order_ref)

    def _reserve(self, order: WireOrder) -> None:
        self.guard.close_reserved(
            m.WorkingOrder(
                order_ref=order.order_ref,
                contract=SPY,
                signed_remaining=order.action.sign * order.quantity,
                price=None,
                purpose=order.purpose,
            )
        )

    # --- the gate's side --------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        self.news.clear()
        self.positions.clear()
        self.gate.install_key(KEY)
        self.gate.session_opened([ACCOUNT], readonly=False)
        self._read()
        self.gate.set_latched(False, answered_disconnects=self.gate.disconnects)
        assert self.gate.set_open(True, "read")

    def _read(self) -> None:
        losses, ended = self.gate.losses, self.guard.ended_closes
        for execution in self.executions:
            self.guard.count_execution(execution)
        open_orders = [
            attrs.evolve(
                self._report(order, "Submitted"), filled=order.filled, remaining=order.left
            )
            for order in self.orders
            if order.is_working
        ]
        for order in open_orders:
            self._hear(order)
        complete_at = self.guard.position_sequences
        held = [self._holding()] if self.position else []
        self.somebody_traded = False
        self.gate.state_was_read(losses)
        self.guard.state_was_read(held, open_orders, complete_at, ended_before=ended)

    def _hear(self, news: News) -> None:
        if isinstance(news, Execution):
            self.guard.count_execution(news)
        elif isinstance(news, Holding):
            self.guard.position_told(news)
        else:
            self.gate.order_told(news, ours=True)

    def _holding(self) -> Holding:
        return Holding(account=ACCOUNT, contract=SPY, quantity=self.position, average_cost=100.0)

    def _report(self, order: BrokersOrder, status: str, *, terms: bool = True) -> BrokerOrder:
        wire = order.order
        return BrokerOrder(
            order_id=order.order_id,
            client_id=1,
            perm_id=1000 + order.order_id,
            order_ref=wire.order_ref if terms else "",
            contract=SPY if terms else None,
            action=wire.action if terms else None,
            quantity=wire.quantity if terms else None,
            order_type="MKT" if terms else "",
            limit_price=None,
            stop_price=None,
            status=status,
            filled=None if terms else order.filled,
            remaining=None if terms else order.left,
        )

    # --- what always holds ------------------------------------------------------------------------------------------

    @invariant()
    def closes_that_can_fill_stay_within_the_position(self) -> None:
        for action in OrderAction:
            working = _working(self.orders, action)
            assert working <= max(0.0, -action.sign * self.position), (working, self.position)

    @invariant()
    def once_all_has_arrived_the_gate_knows_what_the_broker_knows(self) -> None:
        if self.news or self.positions:
            return
        for action in OrderAction:
            held = max(0.0, -action.sign * self.position)
            dropped = sum(
                order.quantity
                for order in self.dropped
                if order.purpose is Purpose.CLOSE and order.action is action
            )
            closable = self.guard.closable(SPY.con_id, action)
            assert closable <= held
            assert closable == held or self.somebody_traded
            in_flight = self.guard.in_flight(SPY.con_id, action)
            assert in_flight >= _working(self.orders, action)
            assert in_flight <= _working(self.orders, action) + dropped + self._lost_ends(action)

    def _lost_ends(self, action: OrderAction) -> float:
        """Closes whose end was lost with a connection count until the executor says that they are dead."""
        return sum(
            order.left
            for order in self.orders
            if not order.is_working
            and order.order.purpose is Purpose.CLOSE
            and order.order.action is action
        )


def _working(orders: Iterable[BrokersOrder], action: OrderAction) -> float:
    return sum(
        order.left
        for order in orders
        if order.is_working
        and order.order.purpose is Purpose.CLOSE
        and order.order.action is action
    )


TestClosesNeverTurnAPosition = ClosesNeverTurnAPosition.TestCase
TestClosesNeverTurnAPosition.settings = settings(
    max_examples=150, stateful_step_count=50, deadline=None
)
