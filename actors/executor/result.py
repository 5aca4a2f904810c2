"""What the caller is told of an order (ORD-5, ORD-6, MODE-6): the record in coarser words.

Guarantees that FILLED is said of a filled order only, and that the quantities are those that are known by now.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from actors.executor.record import QUANTITY_TOLERANCE, OrderRecord
from actors.logic import executions
from actors.logic.order_table import LIVE, UNSENT, OrderState
from actors.model.orders import (
    ExecutionMode,
    GateRefusal,
    OrderResult,
    OrderStatus,
    RejectionKind,
    ValidationResult,
)

KIND_OF_REFUSAL: Final = {
    GateRefusal.OTHER: RejectionKind.GATE,
    GateRefusal.POSITION_MOVED: RejectionKind.POSITION_MOVED,
    GateRefusal.BEYOND_POSITION: RejectionKind.BEYOND_POSITION,
}
"""What the caller is told of the gate's own kinds."""

_TIMED_OUT: Final = {False: OrderStatus.TIMEOUT, True: OrderStatus.PARTIAL}

_STATUS_BY_STATE: Final = {
    OrderState.FILLED: OrderStatus.FILLED,
    OrderState.CANCELLED: OrderStatus.CANCELLED,
    OrderState.REJECTED: OrderStatus.REJECTED,
    OrderState.FAILED: OrderStatus.FAILED,
    OrderState.SIMULATED: OrderStatus.SIMULATED,
    OrderState.UNKNOWN: OrderStatus.UNKNOWN,
    OrderState.LOST: OrderStatus.LOST,
}
_PARTIAL_INSTEAD: Final = frozenset(
    {OrderStatus.PENDING, OrderStatus.CANCELLED, OrderStatus.FAILED}
)


def result(
    record: OrderRecord,
    mode: ExecutionMode,
    now: datetime,
    validation: ValidationResult | None = None,
    *,
    timed_out: bool = False,
    cancelled_for: str | None = None,
    quote_price: float | None = None,
) -> OrderResult:
    """Say what came of the order, as the caller sees it (ORD-5, ORD-6, MODE-6).

    ``timed_out``: the deadline ended the order's life: TIMEOUT with nothing filled, else PARTIAL, and
    ``cancel_confirmed`` says whether the remainder is known to be cancelled. ``cancelled_for``: why somebody else than
    the caller had it cancelled. ``quote_price`` is the newest price, for a simulated order without a limit.
    """
    simulated = record.state is OrderState.SIMULATED
    filled = record.order.quantity if simulated else record.known_filled
    price = _fill_price(record)
    if simulated:
        price = quote_price if record.order.limit_price is None else record.order.limit_price
    ended_by_deadline = timed_out and (
        record.state in LIVE | UNSENT or record.state is OrderState.CANCELLED
    )
    reason = record.rejection_reason
    if reason is None and record.state is OrderState.CANCELLED:
        reason = cancelled_for
    return OrderResult(
        order_id=record.order_id,
        status=_TIMED_OUT[filled > 0] if ended_by_deadline else _status(record),
        symbol=record.order.contract.symbol,
        action=record.order.action,
        quantity=record.order.quantity,
        ibkr_order_id=record.broker_order_id,
        fill_price=price,
        fill_quantity=filled,
        commission=executions.commission_of(record.executions),
        rejection_reason=reason,
        rejection_kind=record.rejection_kind,
        rejection_code=record.rejection_code,
        execution_mode=mode,
        risk_validation=validation,
        timestamp=now,
        cancel_confirmed=(record.state is OrderState.CANCELLED if ended_by_deadline else None),
        correlation_id=record.correlation_id,
    )


def _status(record: OrderRecord) -> OrderStatus:
    status = _STATUS_BY_STATE.get(record.state, OrderStatus.PENDING)
    if record.known_filled > 0 and status in _PARTIAL_INSTEAD:
        return OrderStatus.PARTIAL
    return status


def _fill_price(record: OrderRecord) -> float | None:
    """The price of the executions; the broker's own average while some of them are still on their way."""
    if record.filled < record.reported_filled - QUANTITY_TOLERANCE and record.reported_price:
        return record.reported_price
    return executions.average_price(record.executions)
