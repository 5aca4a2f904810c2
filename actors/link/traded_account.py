"""What the gateway says of orders, executions, positions and the account's numbers during one session.

Guarantees: executions and positions of another account than the one that is traded change nothing, for a login may
manage several; the account's numbers are reported once per batch of bytes, and only once they are complete; a
commission is reported once.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from actors.link.account_values import AccountValues
from actors.link.answers import ACCOUNT, FIRST_REQUEST_ID, OPEN_ORDERS, POSITIONS, Answers
from actors.link.reports import Reports
from actors.model.account import Holding
from actors.model.orders import BrokerOrder, Execution


class TradedAccount:
    """See the module's docstring. ``managed`` gives the accounts of the login; ``at`` is when the bytes arrived.

    ``account_id`` is None until the broker's state was asked for the first time; until then every account counts.
    """

    def __init__(
        self,
        *,
        client_id: int,
        managed: Callable[[], tuple[str, ...]],
        answers: Answers,
        reports: Reports,
        max_commissions: int,
    ) -> None:
        self.account_id: str | None = None
        self.values: AccountValues | None = None
        self.commissions: dict[str, tuple[float, float | None]] = {}
        self._client_id = client_id
        self._managed = managed
        self._answers = answers
        self._reports = reports
        self._max_commissions = max_commissions
        self._values_changed = False
        self._values_complete = False

    def watch_values(self, account_id: str) -> None:
        """Collect the numbers of this account from now on; they are complete at the next end marker."""
        self.values = AccountValues(account_id)
        self._values_complete = False
        self._values_changed = False

    def _concerns(self, account: str) -> bool:
        one_only = self.account_id is None or len(self._managed()) <= 1
        return one_only or account in ("", self.account_id)

    def on_order(self, order: BrokerOrder, at: datetime) -> None:
        """An order's terms or state; it may be the answer to a question."""
        self._answers.add(OPEN_ORDERS, order)
        ours, in_account = order.client_id == self._client_id, self._concerns(order.account)
        self._reports.order(order, ours=ours, in_account=in_account, at=at)

    def on_execution(self, request_id: int, execution: Execution, at: datetime) -> None:
        """An execution, live or asked for; one in another account moves nothing here."""
        if not self._concerns(execution.account):
            return
        self._answers.add(request_id, execution)
        self._reports.execution(execution, asked=request_id >= FIRST_REQUEST_ID, at=at)

    def on_commission(self, exec_id: str, commission: float, pnl: float) -> None:
        """A commission; every read of the executions brings all of them again, which is no news.

        IB says "unset" for the profit of an opening trade.
        """
        if self._answers.executions is not None:
            self._answers.executions.commission_came(exec_id)
        realized = pnl if abs(pnl) < 1e300 else None
        if self.commissions.get(exec_id) == (commission, realized):
            return
        if len(self.commissions) < self._max_commissions:
            self.commissions[exec_id] = (commission, realized)
        self._reports.commission(exec_id, commission, realized)

    def on_holding(self, holding: Holding) -> None:
        """A position: part of an answer, or news; closing one of another account would open one here."""
        if not self._concerns(holding.account):
            return
        pending = self._answers.get(POSITIONS)
        if pending is not None:
            pending.add(holding)
        else:
            self._reports.holding(holding)

    def on_value(self, key: str, value: str, currency: str, account: str) -> None:
        """One number of the account."""
        self._answers.heard(ACCOUNT)
        values = self.values
        if values is not None and values.take(key, value, currency, account):
            self._values_changed = True

    def on_mark(
        self, con_id: int, quantity: float, value: float, account: str, at: datetime
    ) -> None:
        """How the broker values a holding."""
        self._answers.heard(ACCOUNT)
        values = self.values
        if values is not None and account == values.account_id:
            self._values_changed |= values.mark(con_id, quantity, value, at)

    def on_values_end(self, account: str) -> None:
        """The account's numbers are complete."""
        if self.values is not None and account == self.values.account_id:
            self._values_complete = True
            self._answers.finish(ACCOUNT)

    def on_batch_end(self, at: datetime) -> None:
        """Report the account's numbers if this batch of bytes changed them."""
        if self._values_changed and self._values_complete and self.values is not None:
            self._values_changed = False
            self._reports.account(self.values.account(at))
