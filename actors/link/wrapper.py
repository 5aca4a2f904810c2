"""Takes in what the gateway says: ib_insync's decoder calls these methods by name.

No `Trade`, no ticker, no event: each message is turned into a value and handed to whom it concerns (D8): who waits for
an answer, the account that is traded, or the session. What raises here counts as an undecodable message, which is
quarantined (D22).
"""

# ruff: noqa: N802 - the names are IB's

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Protocol

from actors.link.answers import COMPLETED_ORDERS, OPEN_ORDERS, POSITIONS, Answers
from actors.link.memory import plausible_order_id
from actors.link.snapshot import SnapshotPending
from actors.link.traded_account import TradedAccount
from actors.link.translation import (
    holding_from_ib,
    is_booked,
    order_from_open,
    order_from_status,
    required,
)
from actors.model.orders import BrokerOrder, Execution


class Receiver(Protocol):
    """Who takes what is no answer and concerns no account: the session."""

    received_at: datetime
    """When the batch that is read now arrived."""

    def batch_began(self) -> None:
        """Bytes came in."""

    def batch_ended(self) -> None:
        """Everything that they hold was handed over."""

    def on_next_id(self, order_id: int) -> None:
        """The gateway's floor for order ids."""

    def on_error(self, request_id: int, code: int, text: str) -> None:
        """An error, an advisory or a notice."""

    def on_time(self, gateway_time: datetime) -> None:
        """The answer to a round trip."""

    def on_tick(self, fields: list[str]) -> None:
        """A tick of a tick-by-tick stream, undecoded."""


class RawWrapper:
    """Takes the messages of one session."""

    def __init__(self, receiver: Receiver, answers: Answers, account: TradedAccount) -> None:
        self._receiver = receiver
        self._answers = answers
        self._account = account

    # --- the connection -------------------------------------------------------------------------------------------

    def tcpDataArrived(self) -> None:
        """A batch begins."""
        self._receiver.batch_began()

    def tcpDataProcessed(self) -> None:
        """A batch ends."""
        self._receiver.batch_ended()

    def nextValidId(self, order_id: int) -> None:
        """The gateway's floor for order ids."""
        self._receiver.on_next_id(plausible_order_id(order_id))

    def managedAccounts(self, accounts: str) -> None:
        """The client reads it by itself."""

    def error(self, request_id: int, code: int, text: str, _advanced: str) -> None:
        """An error, an advisory or a notice."""
        self._receiver.on_error(request_id, code, text)

    def currentTime(self, time: int) -> None:
        """The answer to reqCurrentTime."""
        self._receiver.on_time(datetime.fromtimestamp(time, UTC))

    # --- contracts, bars, chains ----------------------------------------------------------------------------------

    def contractDetails(self, request_id: int, details: Any) -> None:
        """One contract that fits."""
        self._answers.add(request_id, details)

    def contractDetailsEnd(self, request_id: int) -> None:
        """No more contracts."""
        self._answers.finish(request_id)

    def historicalData(self, request_id: int, bar: Any) -> None:
        """One bar."""
        self._answers.add(request_id, bar)

    def historicalDataEnd(self, request_id: int, _start: str, _end: str) -> None:
        """No more bars."""
        self._answers.finish(request_id)

    def securityDefinitionOptionParameter(self, request_id: int, *parameters: Any) -> None:
        """The chain of one exchange and trading class."""
        self._answers.add(request_id, parameters)

    def securityDefinitionOptionParameterEnd(self, request_id: int) -> None:
        """No more chains."""
        self._answers.finish(request_id)

    # --- ticks ----------------------------------------------------------------------------------------------------

    def _snapshot(self, request_id: int) -> SnapshotPending | None:
        pending = self._answers.get(request_id)
        return pending if isinstance(pending, SnapshotPending) else None

    def priceSizeTick(self, request_id: int, tick: int, price: float, size: float) -> None:
        """A price with its size."""
        if snapshot := self._snapshot(request_id):
            snapshot.on_price(tick, price, size)

    def tickSize(self, request_id: int, tick: int, size: float) -> None:
        """A size."""
        if snapshot := self._snapshot(request_id):
            snapshot.on_size(tick, size)

    def tickString(self, request_id: int, tick: int, value: str) -> None:
        """A text, such as the time of the last trade."""
        if snapshot := self._snapshot(request_id):
            snapshot.on_text(tick, value)

    def tickGeneric(self, request_id: int, tick: int, value: float) -> None:
        """A number, such as the halt."""
        if snapshot := self._snapshot(request_id):
            snapshot.on_generic(tick, value)

    def tickOptionComputation(
        self,
        request_id: int,
        tick: int,
        _attribute: int,
        volatility: float,
        delta: float,
        option_price: float,
        _present_dividend: float,
        gamma: float,
        vega: float,
        theta: float,
        underlying: float,
    ) -> None:
        """Volatility, greeks and prices."""
        if snapshot := self._snapshot(request_id):
            snapshot.on_computation(
                tick, (volatility, delta, gamma, vega, theta, underlying, option_price)
            )

    def marketDataType(self, request_id: int, kind: int) -> None:
        """Live, frozen or delayed."""
        if snapshot := self._snapshot(request_id):
            snapshot.on_data_type(kind)

    def tick(self, fields: list[str]) -> None:
        """A tick of a tick-by-tick stream, undecoded."""
        self._receiver.on_tick(fields)

    def tickSnapshotEnd(self, request_id: int) -> None:
        """The snapshot is complete."""
        self._answers.finish(request_id)

    # --- orders and executions ------------------------------------------------------------------------------------

    def openOrder(self, _order_id: int, contract: Any, order: Any, state: Any) -> None:
        """An order's terms and state."""
        self._account.on_order(order_from_open(contract, order, state), self._receiver.received_at)

    def orderStatus(
        self,
        order_id: int,
        status: str,
        filled: float,
        remaining: float,
        average_price: float,
        perm_id: int,
        _parent_id: int,
        _last_price: float,
        client_id: int,
        why_held: str,
        _cap_price: float,
    ) -> None:
        """An order's state and quantities."""
        order = order_from_status(
            order_id, status, filled, remaining, average_price, perm_id, client_id, why_held
        )
        self._account.on_order(order, self._receiver.received_at)

    def openOrderEnd(self) -> None:
        """No more open orders."""
        self._answers.finish(OPEN_ORDERS)

    def completed_order(self, order: BrokerOrder) -> None:
        """An order that ended today."""
        self._answers.add(COMPLETED_ORDERS, order)

    def completedOrdersEnd(self) -> None:
        """No more completed orders."""
        self._answers.finish(COMPLETED_ORDERS)

    def execution(self, request_id: int, execution: Execution) -> None:
        """An execution: live (request id −1) or asked for; what changes no position is not booked (D22)."""
        if not is_booked(execution):
            return
        self._account.on_execution(request_id, execution, self._receiver.received_at)

    def execDetailsEnd(self, request_id: int) -> None:
        """No more executions."""
        self._answers.finish(request_id)

    def commissionReport(self, report: Any) -> None:
        """The commission of an execution."""
        self._account.on_commission(
            report.execId, required(report.commission, "commission"), report.realizedPNL
        )

    # --- positions and the account --------------------------------------------------------------------------------

    def position(self, account: str, contract: Any, quantity: float, cost: float) -> None:
        """A position, as asked for or as it changed."""
        self._account.on_holding(holding_from_ib(account, contract, quantity, cost))

    def positionEnd(self) -> None:
        """No more positions."""
        self._answers.finish(POSITIONS)

    def updateAccountValue(self, key: str, value: str, currency: str, account: str) -> None:
        """One number of the account."""
        self._account.on_value(key, value, currency, account)

    def updatePortfolio(
        self,
        contract: Any,
        quantity: float,
        _price: float,
        value: float,
        _cost: float,
        _unrealized: float,
        _realized: float,
        account: str,
    ) -> None:
        """How the broker values a holding."""
        at = self._receiver.received_at
        self._account.on_mark(contract.conId, quantity, value, account, at)

    def accountDownloadEnd(self, account: str) -> None:
        """The account's numbers are complete."""
        self._account.on_values_end(account)
