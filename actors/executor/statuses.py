"""What a status of the broker makes of an order's record: openOrder, orderStatus, completedOrder (ORD-5, ORD-8).

Guarantees that what filled never shrinks by a status, and that a "Filled" which leaves something over is not believed.
"""

from __future__ import annotations

from datetime import datetime

from actors.errors import IllegalTransitionError
from actors.executor.record import (
    QUANTITY_TOLERANCE,
    SENT_ONCE,
    OrderRecord,
    complete,
    move,
    same_terms,
)
from actors.logic.frozen import evolve
from actors.logic.order_table import LIVE, BrokerStatus, OrderState, next_by_status, status_of
from actors.model.orders import BrokerOrder, RejectionKind


def apply_status(record: OrderRecord, reported: BrokerOrder, now: datetime) -> OrderRecord:
    """Take over an openOrder, orderStatus or completedOrder.

    Duplicates and statuses out of order change nothing that was known better; a status that does not exist is
    kept in ``last_status`` and moves nothing. Raises `IllegalTransitionError` for an order that was never sent.
    """
    status = status_of(reported.status, reported.why_held)
    if record.state not in SENT_ONCE:
        raise IllegalTransitionError(
            f"the broker says {reported.status!r} of {record.order_ref}, which is {record.state}"
        )
    known = _with_terms(_with_numbers(record, reported, status), reported)
    if status is None:
        return known
    to = next_by_status(record.state, status)
    is_news = to is not record.state
    if is_news and to is OrderState.FILLED and not _claims_everything(known, reported):
        # "Filled" with a remainder contradicts itself; the broker is asked.
        to = OrderState.UNKNOWN
    moved = known
    if is_news and to is OrderState.FAILED:
        reason, code = _ending_reason(known, reported), known.last_code
        moved = move(known, to, now, reason, RejectionKind.BROKER, code)
    elif to is not record.state:
        moved = move(known, to, now)
    return complete(moved, now)


def adopt(record: OrderRecord, reported: BrokerOrder, now: datetime) -> OrderRecord:
    """Take over the broker's answer to a question: unlike a passing status it outranks what was believed.

    A CANCELLING order that the broker still has working goes back to ACKNOWLEDGED (its cancel did not arrive), with
    ``cancel_requested`` kept, so that it can be cancelled again.
    """
    if record.state in LIVE:
        record = evolve(record, state=OrderState.UNKNOWN)
    return apply_status(record, reported, now)


def _with_numbers(
    record: OrderRecord, reported: BrokerOrder, status: BrokerStatus | None
) -> OrderRecord:
    """Take over ids and quantities. What was filled never shrinks by a status; only a correction can do that."""
    filled = reported.filled
    if filled is None and status is BrokerStatus.FILLED:
        filled = reported.quantity if reported.quantity is not None else record.order.quantity
    is_news = filled is not None and filled >= record.reported_filled and filled > 0
    return evolve(
        record,
        broker_order_id=reported.order_id or record.broker_order_id,
        client_id=reported.client_id if reported.order_id else record.client_id,
        perm_id=reported.perm_id or record.perm_id,
        reported_filled=filled if is_news and filled is not None else record.reported_filled,
        reported_price=(reported.average_fill_price if is_news else None) or record.reported_price,
        last_status=reported.status,
    )


def _with_terms(record: OrderRecord, reported: BrokerOrder) -> OrderRecord:
    """Take over the terms of an openOrder: they are what is in force, whatever we had asked for.

    IB drops the filled part from no field: ``quantity`` is the whole order. A status without terms changes nothing,
    and neither does an order at its end.
    """
    if reported.quantity is None or not reported.quantity or record.is_terminal:
        return record
    in_force = evolve(
        record.order,
        quantity=reported.quantity,
        limit_price=reported.limit_price if record.order.limit_price is not None else None,
        stop_price=reported.stop_price if record.order.stop_price is not None else None,
    )
    if record.pending_change is None and in_force == record.order:
        return record
    confirmed = record.pending_change is not None and same_terms(in_force, record.pending_change)
    return evolve(
        record, order=in_force, pending_change=None if confirmed else record.pending_change
    )


def _claims_everything(record: OrderRecord, reported: BrokerOrder) -> bool:
    """A "Filled" is believed when it leaves nothing over."""
    if reported.remaining:
        return False
    return record.known_filled >= record.order.quantity - QUANTITY_TOLERANCE


def _ending_reason(record: OrderRecord, reported: BrokerOrder) -> str | None:
    if record.rejection_reason is not None:
        return None
    return (
        record.last_notice
        or f"the broker made the order {reported.status} {reported.why_held}".strip()
    )
