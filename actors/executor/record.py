"""One order's record, and what each message of the broker makes of it (ORD-5, ORD-7, ORD-8).

Guarantees: executions in any order and number give the same totals; a cancelled or inactive order is never called
filled unless its executions themselves add up to the whole quantity; the remaining quantity is never negative. Refuses
steps that `order_table` lacks. The order of a status and its executions is never assumed (TWS_WIRE §7). What the caller
is told is made in `executor.result`; what a status makes of a record in `executor.statuses`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from actors.errors import IllegalTransitionError
from actors.logic import broker_codes, executions
from actors.logic.broker_codes import Meaning, RequestKind
from actors.logic.executions import NO_EXECUTIONS, Executions
from actors.logic.frozen import evolve
from actors.logic.order_table import (
    LIVE,
    NEXT_BY_MEANING,
    TERMINAL,
    UNSENT,
    WORKING,
    OrderState,
    check_step,
)
from actors.model.orders import (
    CloseReason,
    Execution,
    Purpose,
    RejectionKind,
    TradeRequest,
    WireOrder,
    base_id_of,
)

SENT_ONCE: Final = LIVE | TERMINAL
"""Where an order stands that may have been at the broker."""

QUANTITY_TOLERANCE: Final = 1e-9
"""Two quantities that differ by less are the same; quantities are whole numbers of units carried as floats."""


@attrs.frozen(kw_only=True)
class OrderRecord:
    """Everything known of one order. ``filled`` counts executions; ``reported_filled`` is what statuses claim.

    ``unlisted_filled`` is what filled without an execution that the broker still lists (it lists those of a day), in
    units: it is in the position already, and no execution of it will come any more.
    ``unproven_filled`` is what the position says has filled, in units; its execution may yet come, and takes its place.
    ``position_base`` is what `executor.positions` needs to tell whether it filled; None where nobody knew.
    ``pending_change`` holds the terms of a modify that the broker has not confirmed: until then either may be in force.
    ``close_reason`` and ``correlation_id`` are carried for the audit trail.
    """

    order_id: str
    order: WireOrder
    request: TradeRequest
    state: OrderState = OrderState.NEW
    correlation_id: str = ""
    close_reason: CloseReason | None = None
    broker_order_id: int | None = None
    client_id: int | None = None
    perm_id: int | None = None
    executions: Executions = NO_EXECUTIONS
    early_commissions: tuple[tuple[str, float, float | None], ...] = ()
    reported_filled: float = 0.0
    unlisted_filled: float = 0.0
    unproven_filled: float = 0.0
    reported_price: float | None = None
    rejection_reason: str | None = None
    rejection_kind: RejectionKind | None = None
    rejection_code: int | None = None
    last_status: str = ""
    last_notice: str | None = None
    last_code: int | None = None
    cancel_requested: bool = False
    pending_change: WireOrder | None = None
    position_base: float | None = None
    created_at: datetime
    sent_at: datetime | None = None
    acknowledged_at: datetime | None = None
    changed_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def order_ref(self) -> str:
        """The identity under which the broker knows the order (D15)."""
        return self.order.order_ref

    @property
    def purpose(self) -> Purpose:
        """Whether the order may add risk."""
        return self.order.purpose

    @property
    def filled(self) -> float:
        """The quantity of the counted executions, in units."""
        return executions.quantity_of(self.executions)

    @property
    def known_filled(self) -> float:
        """The larger of what executions and what statuses say has filled, in units."""
        return max(self.filled + self.unproven_filled, self.reported_filled)

    @property
    def accounted_filled(self) -> float:
        """What of it positions include, in units: by the executions counted, and without one."""
        return self.filled + self.unlisted_filled + self.unproven_filled

    @property
    def is_terminal(self) -> bool:
        """Nothing is expected to fill any more; executions may still be on their way."""
        return self.state in TERMINAL

    @property
    def is_live(self) -> bool:
        """The order may be at the broker and may fill."""
        return self.state in LIVE


def new_record(
    order: WireOrder,
    request: TradeRequest,
    order_id: str,
    now: datetime,
    *,
    state: OrderState = OrderState.NEW,
    correlation_id: str = "",
    close_reason: CloseReason | None = None,
    position_base: float | None = None,
) -> OrderRecord:
    """Open the record of an order; one that was found in the journal or at the broker begins in UNKNOWN."""
    return OrderRecord(
        order_id=order_id,
        order=order,
        request=request,
        state=state,
        correlation_id=correlation_id,
        close_reason=close_reason,
        position_base=position_base,
        created_at=now,
    )


def move(
    record: OrderRecord,
    to: OrderState,
    now: datetime,
    reason: str | None = None,
    kind: RejectionKind | None = None,
    code: int | None = None,
) -> OrderRecord:
    """Take a step of the table and date it; raise `IllegalTransitionError` for one that does not exist.

    ``reason``, ``kind`` and ``code`` become those of the rejection; None keeps what there is.
    """
    check_step(record.state, to)
    return evolve(
        record,
        state=to,
        rejection_reason=record.rejection_reason if reason is None else reason,
        rejection_kind=record.rejection_kind if kind is None else kind,
        rejection_code=record.rejection_code if code is None else code,
        sent_at=now if to is OrderState.SENT and record.sent_at is None else record.sent_at,
        acknowledged_at=(
            now if to in WORKING and record.acknowledged_at is None else record.acknowledged_at
        ),
        changed_at=now,
        ended_at=now if to in TERMINAL else None,
        pending_change=None if to in TERMINAL else record.pending_change,
    )


def mark_sent(
    record: OrderRecord, broker_order_id: int, now: datetime, client_id: int | None = None
) -> OrderRecord:
    """Note that the bytes left under this address; a status that came first keeps its state.

    ``client_id`` None keeps the one there is.
    """
    known = evolve(
        record,
        broker_order_id=broker_order_id,
        client_id=record.client_id if client_id is None else client_id,
        sent_at=record.sent_at or now,
    )
    return move(known, OrderState.SENT, now) if record.state is OrderState.AT_GATE else known


def request_cancel(record: OrderRecord, now: datetime) -> OrderRecord:
    """Note that a cancel is asked for: one that never left is CANCELLED at once, a live one is CANCELLING."""
    marked = evolve(record, cancel_requested=True)
    if record.state in UNSENT:
        return move(marked, OrderState.CANCELLED, now, "cancelled before it was sent")
    if record.state in (OrderState.SENT, OrderState.ACKNOWLEDGED, OrderState.HELD):
        return move(marked, OrderState.CANCELLING, now)
    return marked


def same_terms(one: WireOrder, other: WireOrder) -> bool:
    """Whether two orders ask for the same quantity at the same prices."""
    return (one.quantity, one.limit_price, one.stop_price) == (
        other.quantity,
        other.limit_price,
        other.stop_price,
    )


def begin_change(record: OrderRecord, order: WireOrder) -> OrderRecord:
    """Note that a modify with these terms was sent; they hold once the broker repeats them."""
    return evolve(record, pending_change=order)


def apply_execution(record: OrderRecord, execution: Execution, now: datetime) -> OrderRecord:
    """Count an execution once (ORD-7); the newest correction replaces what it corrects.

    An execution proves that the order is at the broker; executions that add up to the whole quantity make it FILLED,
    whatever a status said before.
    """
    if record.state in UNSENT or record.state in (OrderState.REJECTED, OrderState.SIMULATED):
        raise IllegalTransitionError(
            f"{record.order_ref} is {record.state} and cannot have execution {execution.exec_id}"
        )
    counted = executions.count(record.executions, execution)
    if not counted.counted:
        if counted.executions is record.executions:
            return record
        return evolve(record, executions=counted.executions)
    claimed = record.reported_filled
    if counted.replaces is not None and claimed:
        claimed = max(0.0, claimed + execution.quantity - counted.replaces.quantity)
    known = evolve(
        record,
        executions=counted.executions,
        reported_filled=claimed,
        unproven_filled=max(0.0, record.unproven_filled - execution.quantity),
        perm_id=execution.perm_id or record.perm_id,
        changed_at=now,
    )
    for exec_id, commission, realized_pnl in record.early_commissions:
        if exec_id == execution.exec_id:
            known = apply_commission(known, exec_id, commission, realized_pnl)
    if known.state in (OrderState.AT_GATE, OrderState.SENT, OrderState.LOST):
        known = move(known, OrderState.ACKNOWLEDGED, now)
    return complete(known, now)


def apply_commission(
    record: OrderRecord, exec_id: str, commission: float, realized_pnl: float | None = None
) -> OrderRecord:
    """Put a commission on its execution; one that comes first waits for it, one that is known changes nothing."""
    if base_id_of(exec_id) in record.executions:
        paid = executions.with_commission(record.executions, exec_id, commission, realized_pnl)
        return record if paid is record.executions else evolve(record, executions=paid)
    waiting = (*record.early_commissions, (exec_id, commission, realized_pnl))
    return evolve(record, early_commissions=waiting)


def without_executions(record: OrderRecord, filled_by_broker: float) -> OrderRecord:
    """Note what filled without an execution, by a read of the broker's whole state that says ``filled_by_broker``."""
    return evolve(record, unlisted_filled=max(0.0, filled_by_broker - record.filled))


def fill_unproven(record: OrderRecord, now: datetime) -> OrderRecord:
    """End an order whose remainder filled by the word of the position alone."""
    left = record.order.quantity - record.accounted_filled
    return complete(evolve(record, unproven_filled=record.unproven_filled + left), now)


def request_kind(record: OrderRecord) -> RequestKind:
    """Tell what an error under this order's id most likely answers: the newest thing that was asked."""
    if record.pending_change is not None:
        return RequestKind.MODIFY
    return RequestKind.CANCEL if record.cancel_requested else RequestKind.NEW


def apply_error(record: OrderRecord, code: int, text: str, now: datetime) -> OrderRecord:
    """Take over an error or advisory that came under the order's id; `broker_codes` says what it means.

    The caller finds in the state what is to be done: UNKNOWN asks for a query. An order at its end only notes it.
    """
    said = f"{code}: {text}"
    meaning = broker_codes.meaning(code, request_kind(record), record.state in WORKING)
    noted = evolve(record, last_notice=said, last_code=code)
    if meaning is Meaning.LIVES_ON:
        return evolve(noted, pending_change=None)
    to = NEXT_BY_MEANING.get(meaning)
    if lacks_reason(record):
        return evolve(
            noted,
            rejection_reason=said,
            rejection_kind=RejectionKind.BROKER,
            rejection_code=code,
        )
    if to is None or record.state not in LIVE or to is record.state:
        return noted
    if to is OrderState.HELD and record.state is OrderState.CANCELLING:
        return noted
    if to is OrderState.FAILED:
        return move(noted, to, now, said, RejectionKind.BROKER, code)
    return move(noted, to, now, said if to in TERMINAL else None)


def lacks_reason(record: OrderRecord) -> bool:
    """The broker ended the order and has not said why; the reason comes in a message of its own (TWS_WIRE §7)."""
    ended = record.state is OrderState.FAILED and bool(record.last_status)
    return ended and record.last_notice is None


def is_settled(record: OrderRecord) -> bool:
    """Nothing can fill any more, and the executions add up to what the broker reported as filled."""
    if not record.is_terminal:
        return False
    return record.accounted_filled >= record.reported_filled - QUANTITY_TOLERANCE


def signed_remaining(record: OrderRecord) -> float:
    """What the order can still add to the position (negative for a sale), judged by executions; 0 when settled.

    A fill that only a status reported still counts as remaining: its execution has not moved the position yet, and
    risk must not lose it in between. While a modify is unconfirmed the larger of the two quantities counts.
    """
    if is_settled(record):
        return 0.0
    quantity = record.reported_filled if record.is_terminal else record.order.quantity
    if record.pending_change is not None:
        quantity = max(quantity, record.pending_change.quantity)
    return record.order.action.sign * max(0.0, quantity - record.accounted_filled)


def complete(record: OrderRecord, now: datetime) -> OrderRecord:
    """End an order as FILLED whose executions add up to the whole quantity."""
    if record.state is OrderState.FILLED or record.state not in SENT_ONCE:
        return record
    if record.accounted_filled < record.order.quantity - QUANTITY_TOLERANCE:
        return record
    return move(record, OrderState.FILLED, now)
