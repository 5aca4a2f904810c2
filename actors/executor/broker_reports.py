"""What the broker says of orders, and what is done when it speaks of an order that nobody made."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from actors import messages as m
from actors.errors import ModeError
from actors.executor.audit_notes import commission_note, error_note, order_note
from actors.executor.fates import Fates
from actors.executor.order_book import Change, OrderBook, Tracked
from actors.executor.positions import Positions
from actors.executor.publishing import Publishing
from actors.executor.reconcile import is_double
from actors.executor.record import (
    OrderRecord,
    apply_commission,
    apply_error,
    apply_execution,
    request_kind,
)
from actors.executor.session_facts import SessionFacts
from actors.executor.statuses import apply_status
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.logic import broker_codes
from actors.logic.broker_orders import is_working
from actors.logic.executions import LISTED_FOR, NO_EXECUTIONS, count, count_all, since
from actors.logic.order_table import UNSENT, WORKING, OrderState
from actors.messages.addresses import LINK
from actors.model.orders import BrokerOrder, Execution, base_id_of
from actors.ports import EventLog

NEVER_AT_BROKER = UNSENT | {OrderState.REJECTED, OrderState.SIMULATED}
"""What the broker says of such an order cannot be about it."""


class BrokerReports(Part):
    """Takes over what the link hands on. Owns the executions that were counted, those of foreign orders too."""

    def __init__(
        self,
        actor: SupervisedActor,
        log: EventLog,
        book: OrderBook,
        session: SessionFacts,
        publishing: Publishing,
        positions: Positions,
        fates: Fates,
    ) -> None:
        self._actor = actor
        self._log = log
        self._book = book
        self._session = session
        self._publishing = publishing
        self._positions = positions
        self._fates = fates
        self._executions = NO_EXECUTIONS

    # --- orders ---------------------------------------------------------------------------------------------------

    @handles(m.BrokerOrderReported)
    def on_broker_order_reported(self, event: m.BrokerOrderReported) -> None:
        """Take over a status; one of somebody else's order is none of ours."""
        tracked = self._book.of_report(event.order, self._session.client_id)
        if tracked is None or tracked.record.state in NEVER_AT_BROKER:
            return
        before = tracked.record
        note = order_note(before.order_ref, event.order, event.received_at)
        self._publishing.note_news(tracked, note)
        if is_double(before, event.order):
            self.cancel_double(tracked, event.order)
            return
        self._fates.heard(tracked)
        record = apply_status(before, event.order, self._actor.clock.now())
        self._publishing.update(tracked, record, f"broker: {event.order.status}")
        if before.state is OrderState.LOST and record.is_live:
            self._fates.lives(tracked)
        self._ask_about_unknown(before, record)

    def cancel_double(self, tracked: Tracked, double: BrokerOrder) -> None:
        """Raise the alarm for a second live order under one reference, and cancel it where that can be done (PEERS 10).

        Order ids are counted per client: that of another client would name an order of ours.
        """
        can_cancel = double.client_id == self._session.client_id and double.order_id > 0
        if double.perm_id not in tracked.doubles:
            tracked.doubles.add(double.perm_id)
            self._log(
                "order_doubled",
                level="CRITICAL",
                correlation_id=tracked.record.correlation_id,
                order_id=tracked.record.order_id,
                perm_id=double.perm_id,
                client_id=double.client_id,
                cancelled=can_cancel,
            )
        if can_cancel and is_working(double):
            reference = tracked.record.order_ref
            cancel = m.SendCancel(order_ref=reference, broker_order_id=double.order_id)
            self._actor.tell(LINK, cancel)

    @handles(m.OrderErrorReported)
    def on_order_error_reported(self, event: m.OrderErrorReported) -> None:
        """Read a broker's code in the table (ORD-8); what is unclear is asked for, never assumed."""
        tracked = self._book.by_address(self._session.client_id, event.broker_order_id)
        if tracked is None or tracked.record.state in NEVER_AT_BROKER:
            return
        before = tracked.record
        self._publishing.note(error_note(before.order_ref, event))
        record = apply_error(before, event.code, event.text, self._actor.clock.now())
        refused = _refused_change(tracked, record)
        if refused is not None:
            tracked.change = None  # `update` would take it for made
        self._publishing.update(tracked, record, f"broker code {event.code}: {event.text}")
        if refused is not None:
            if refused.modify is not None:
                why = f"the broker refused the change: {event.code} {event.text}"
                self._actor.refuse(refused.modify, ModeError(why))
            self._publishing.correct_risk(tracked)
        self._ask_about_unknown(before, record)
        working = before.state in WORKING
        said = broker_codes.meaning(event.code, request_kind(before), working)
        self._fates.told(tracked, event.code, said)

    def _ask_about_unknown(self, before: OrderRecord, record: OrderRecord) -> None:
        """What the broker said makes no sense of the order, so it is asked."""
        if record.state is OrderState.UNKNOWN and before.state is not OrderState.UNKNOWN:
            self._session.ask_for_reconciliation()

    # --- executions -----------------------------------------------------------------------------------------------

    @handles(m.ExecutionReported)
    def on_execution_reported(self, event: m.ExecutionReported) -> None:
        """Count an execution, once."""
        self.record_execution(event.execution)

    def record_execution(self, execution: Execution) -> None:
        """Count an execution once, tell everybody of it, and put it on its order."""
        counted = count(self._executions, execution)
        self._executions = counted.executions
        tracked = self._book.of_execution(execution, self._session.client_id)
        self._positions.executed(execution)
        fill = execution if counted.counted else None
        is_told = tracked is not None and self._put_on(tracked, execution, fill)
        if fill is not None and not is_told:
            self._publishing.execution(fill)

    def _put_on(self, tracked: Tracked, execution: Execution, fill: Execution | None) -> bool:
        """Put an execution on its order; False when the order knows it already. ``fill``: it is to be told of."""
        before = tracked.record
        record = apply_execution(before, execution, self._actor.clock.now())
        if record is before:
            return False
        filled = f"filled {execution.quantity:g} at {execution.price:g}"
        is_fill = record.filled != before.filled
        detail = filled if is_fill else "commission"
        self._publishing.update(tracked, record, detail, fill=fill)
        if is_fill:
            self._fates.filled(tracked)
        return True

    def remember_executions(self, executions: Iterable[Execution]) -> None:
        """Take in what an earlier incarnation has counted and told."""
        remembered = tuple(executions)
        self._executions = count_all(self._executions, remembered)
        self._positions.remember(remembered)

    def forget_executions(self, now: datetime) -> None:
        """Let go of executions that are so old that the broker lists them no more."""
        self._executions = since(self._executions, now - LISTED_FOR)
        self._positions.forget(now - LISTED_FOR)

    @handles(m.CommissionReported)
    def on_commission_reported(self, event: m.CommissionReported) -> None:
        """Put a commission on its execution."""
        execution = self._executions.get(base_id_of(event.exec_id))
        if execution is None:
            return
        tracked = self._book.of_execution(execution, self._session.client_id)
        if tracked is None:
            return
        record = apply_commission(
            tracked.record, event.exec_id, event.commission, event.realized_pnl
        )
        if record is not tracked.record:
            tracked.record = record
            now = self._actor.clock.now()
            self._publishing.note(commission_note(record.order_ref, event, now))
            self._publishing.show(tracked, "commission")


def _refused_change(tracked: Tracked, after: OrderRecord) -> Change | None:
    """The change that an error has ended: the one at the broker, never one that is only being asked for."""
    change, before = tracked.change, tracked.record
    was_ended = before.pending_change is not None and after.pending_change is None
    return change if was_ended and change is not None and change.is_sent else None
