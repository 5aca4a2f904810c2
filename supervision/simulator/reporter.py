"""Who is told what happens to orders."""

from __future__ import annotations

from typing import Protocol

from .orders import Execution, Order


class Reporter(Protocol):
    """Who is told what happens to orders."""

    def order_changed(self, order: Order) -> None:
        """Send openOrder and orderStatus."""
        ...

    def order_status(self, order: Order) -> None:
        """Send orderStatus alone."""
        ...

    def previewed(self, order: Order, values: tuple[float, ...], warning: str) -> None:
        """Answer a what-if order."""
        ...

    def executed(self, execution: Execution) -> None:
        """Send the execution."""
        ...

    def commission(self, execution: Execution) -> None:
        """Send the commission."""
        ...

    def order_error(self, client_id: int, order_id: int, code: int, text: str | None) -> None:
        """Send an error about an order."""
        ...

    def account_changed(self, account: str, con_id: int) -> None:
        """Push position and account values."""
        ...
