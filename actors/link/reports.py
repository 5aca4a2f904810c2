"""Handing on what the gateway says of orders, executions, positions and the account, each to whom it concerns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from actors import messages as m
from actors.kernel.messages import Message
from actors.link.order_gate import OrderGate
from actors.link.repeats import Repeats
from actors.messages.addresses import EXECUTOR, POSITION, RISK, STRATEGY_C
from actors.model.account import Account, Holding
from actors.model.orders import BrokerOrder, Execution

Tell = Callable[[str, Message], None]


class Reports:
    """Tells the actors, and lets the gate know first. ``at`` is when the batch of bytes arrived, by our clock."""

    def __init__(self, tell: Tell, gate: OrderGate, repeats: Repeats) -> None:
        self._tell = tell
        self._gate = gate
        self._repeats = repeats

    def order(self, order: BrokerOrder, *, ours: bool, in_account: bool, at: datetime) -> None:
        """Hand on an order's terms or state unless it was just said; one of ours can be modified from now on.

        An order of another account than the one that is traded holds up nothing at the gate.
        """
        if in_account:
            self._gate.order_told(order, ours=ours)
        if not self._repeats.is_repeat(order, at):
            self._tell(EXECUTOR, m.BrokerOrderReported(order=order, received_at=at))

    def order_error(self, broker_order_id: int, code: int, text: str, *, at: datetime) -> None:
        """Hand on an error or an advisory that came under an order's id."""
        self._repeats.forget(broker_order_id)
        self._tell(
            EXECUTOR,
            m.OrderErrorReported(
                broker_order_id=broker_order_id, code=code, text=text, received_at=at
            ),
        )

    def execution(self, execution: Execution, *, asked: bool, at: datetime) -> None:
        """Count an execution at the gate; hand it on when nobody asked for it."""
        self._gate.positions.count_execution(execution)
        self._repeats.forget(execution.order_id)
        if not asked:
            self._tell(EXECUTOR, m.ExecutionReported(execution=execution, received_at=at))

    def commission(self, exec_id: str, commission: float, realized_pnl: float | None) -> None:
        """Hand on a commission; risk counts it as a loss, whoever's order it was."""
        paid = m.CommissionReported(
            exec_id=exec_id, commission=commission, realized_pnl=realized_pnl
        )
        for address in (EXECUTOR, RISK):
            self._tell(address, paid)

    def holding(self, holding: Holding) -> None:
        """Hand on a position that changed, with the number of its changes that a closing permit has to name."""
        sequence = self._gate.positions.position_told(holding)
        for address in (POSITION, RISK, STRATEGY_C):
            self._tell(address, m.HoldingReported(holding=holding, sequence=sequence))

    def market(self, address: str, message: Message) -> None:
        """Hand on what streams of market data say."""
        self._tell(address, message)

    def account(self, account: Account) -> None:
        """Hand on the account's numbers."""
        for address in (POSITION, RISK):
            self._tell(address, m.AccountChanged(account=account))
