"""How the road of an order ends early: before the order has an id, before it reached the broker, or by itself."""

from __future__ import annotations

from actors.errors import GatewayError, GatewayTimeoutError
from actors.executor.order_book import Tracked
from actors.logic.order_table import OrderState
from actors.model.orders import OrderStatus, RejectionKind


class NotTakenError(Exception):
    """The order is turned away before it has an id; a `GatewayError` as ``reason`` is a refusal to judge it at all."""

    def __init__(
        self, reason: GatewayError | str, status: OrderStatus = OrderStatus.REJECTED
    ) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.status = status


class StoppedShortError(Exception):
    """The order ends in ``state`` before it reached the broker."""

    def __init__(self, state: OrderState, reason: str, kind: RejectionKind) -> None:
        super().__init__(reason)
        self.state = state
        self.kind = kind


class NotJournaledError(Exception):
    """The journal is in trouble, and this close goes without it."""


class GivenUpError(Exception):
    """The order ended while a step was under way: it was cancelled, or its caller's time was up."""


def not_answered(tracked: Tracked, error: GatewayError, what: str = "") -> StoppedShortError:
    """Risk or the journal did not answer in kind; when that is for want of time, it is the deadline's end."""
    if isinstance(error, GatewayTimeoutError):
        tracked.cancel = tracked.cancel.by_deadline()
        return StoppedShortError(OrderState.CANCELLED, f"{what}{error}", RejectionKind.NOT_SENT)
    return StoppedShortError(OrderState.FAILED, f"{what}{error}", RejectionKind.NOT_SENT)


def expect_wanted(tracked: Tracked, state: OrderState) -> None:
    """Go on only when the order stands where the last step left it, and somebody still waits for it."""
    if tracked.record.state is not state or tracked.submit is None:
        raise GivenUpError
