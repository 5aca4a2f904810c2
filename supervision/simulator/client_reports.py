"""Tells clients what happens to their orders, and keeps it back while IB's servers are lost."""

from __future__ import annotations

from collections.abc import Callable

from . import reports
from .client import Client
from .orders import Execution, Order
from .reporter import Reporter
from .world import World


class ClientReports(Reporter):
    """The broker's `Reporter`: an order's owner and the master client are told."""

    def __init__(self, world: World, account_changed: Callable[[str, int], None]) -> None:
        """Report to the clients of `world`; `account_changed` is called with account and contract id."""
        self._master_client_id = world.config.master_client_id
        self._faults = world.faults
        self._store = world.store
        self._clients = world.clients
        self._account_changed = account_changed
        self._backlog: list[Callable[[], None]] = []

    def _delayed(self, report: Callable[[], None]) -> bool:
        """Keep a report while the gateway has lost its servers."""
        if self._faults.disconnected:
            self._backlog.append(report)
            return True
        return False

    def reconnected(self) -> None:
        """Say what happened while the servers were lost."""
        backlog, self._backlog = self._backlog, []
        for report in backlog:
            report()

    def _listeners(self, client_id: int) -> list[Client]:
        return [
            session
            for session in self._clients()
            if session.client_id in (client_id, self._master_client_id)
        ]

    def order_changed(self, order: Order) -> None:
        """Send openOrder and orderStatus."""
        if order.silent or self._delayed(lambda: self.order_changed(order)):
            return
        for session in self._listeners(order.client_id):
            session.send_message(reports.open_order(order, session.version))
            session.send_message(reports.order_status(order))

    def order_status(self, order: Order) -> None:
        """Send orderStatus alone."""
        if order.silent or self._delayed(lambda: self.order_status(order)):
            return
        for session in self._listeners(order.client_id):
            session.send_message(reports.order_status(order))

    def previewed(self, order: Order, values: tuple[float, ...], warning: str) -> None:
        """Answer a what-if order: one openOrder, no status."""
        for session in self._listeners(order.client_id):
            session.send_message(
                reports.open_order(order, session.version, margins=values, warning=warning)
            )

    def executed(self, execution: Execution) -> None:
        """Send the execution."""
        if self._is_silent(execution) or self._delayed(lambda: self.executed(execution)):
            return
        for session in self._listeners(execution.client_id):
            session.send_message(reports.execution_data(execution, -1))

    def commission(self, execution: Execution) -> None:
        """Send the commission."""
        if self._is_silent(execution) or self._delayed(lambda: self.commission(execution)):
            return
        for session in self._listeners(execution.client_id):
            session.send_message(reports.commission_report(execution))

    def order_error(self, client_id: int, order_id: int, code: int, text: str | None) -> None:
        """Send an error about an order to its owner."""
        order = self._store.find(client_id, order_id)
        if order is not None and order.silent:
            return
        for session in self._clients():
            if session.client_id == client_id:
                session.error(order_id, code, text)

    def account_changed(self, account: str, con_id: int) -> None:
        """Push position and account values to who subscribed."""
        if self._delayed(lambda: self.account_changed(account, con_id)):
            return
        self._account_changed(account, con_id)

    def _is_silent(self, execution: Execution) -> bool:
        order = self._store.orders.get(execution.perm_id)
        return order is not None and order.silent
