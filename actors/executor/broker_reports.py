"""What the broker says of orders, and what is done when it says nothing, or speaks of an order that nobody made."""

from __future__ import annotations

import attrs

from actors.errors import ModeError
from actors.executor.audit_notes import commission_note, error_note, order_note
from actors.executor.order_book import Tracked
from actors.executor.publishing import OrderDesk
from actors.executor.reconcile import is_double
from actors.executor.record import (
    OrderRecord,
    apply_commission,
    apply_error,
    apply_execution,
    apply_status,
    move,
)
from actors.kernel.handlers import handles
from actors.kernel.messages import Message
from actors.logic.broker_orders import is_working
from actors.logic.executions import count
from actors.logic.order_table import UNSENT, OrderState
from actors.messages.addresses import FACADE, JOURNAL, LINK, RISK
from actors.messages.connection import ConnectionStateChanged
from actors.messages.journal import RecordExecution
from actors.messages.market_data import QuoteUpdated
from actors.messages.orders import (
    BrokerOrderReported,
    CommissionReported,
    ExecutionRecorded,
    ExecutionReported,
    OrderErrorReported,
    SendCancel,
)
from actors.messages.risk import LatchChanged
from actors.model.connection import ConnectionState
from actors.model.orders import BrokerOrder, Execution, base_id_of

NEVER_AT_BROKER = UNSENT | {OrderState.REJECTED, OrderState.SIMULATED}
"""What the broker says of such an order cannot be about it."""

UNANSWERED = frozenset({OrderState.SENT, OrderState.CANCELLING})
"""The broker has not said what it makes of the last thing that was sent."""


@attrs.frozen(kw_only=True)
class WordDue(Message):
    """The broker had its time to answer what was sent about the order."""

    order_ref: str


class OrderReports(OrderDesk):
    """Takes over what the link hands on."""

    @handles(BrokerOrderReported)
    def on_broker_order_reported(self, event: BrokerOrderReported) -> None:
        """Take over a status; one of somebody else's order is none of ours."""
        tracked = self.book.of_report(event.order, self.client_id)
        if tracked is None or tracked.record.state in NEVER_AT_BROKER:
            return
        before = tracked.record
        self.note(tracked, order_note(before.order_ref, event.order, event.received_at))
        if is_double(before, event.order):
            self.cancel_double(tracked, event.order)
            return
        record = apply_status(before, event.order, self.clock.now())
        self.update(tracked, record, f"broker: {event.order.status}")
        self._ask_about_unknown(before, record)

    def cancel_double(self, tracked: Tracked, double: BrokerOrder) -> None:
        """Raise the alarm for a second live order under one reference, and cancel it where that can be done (PEERS 10).

        Order ids are counted per client: that of another client would name an order of ours.
        """
        can_cancel = double.client_id == self.client_id and double.order_id > 0
        if double.perm_id not in tracked.doubles:
            tracked.doubles.add(double.perm_id)
            self.log(
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
            self.tell(LINK, SendCancel(order_ref=reference, broker_order_id=double.order_id))

    @handles(ExecutionReported)
    def on_execution_reported(self, event: ExecutionReported) -> None:
        """Count an execution, once."""
        self.record_execution(event.execution)

    def record_execution(self, execution: Execution) -> None:
        """Count an execution once, tell everybody of it, and put it on its order."""
        counted = count(self.executions, execution)
        self.executions = counted.executions
        tracked = self.book.of_execution(execution, self.client_id)
        if counted.counted:
            recorded = ExecutionRecorded(
                execution=execution,
                replaces=counted.replaces,
                correlation_id=tracked.record.correlation_id if tracked else "",
            )
            for address in (RISK, FACADE):
                self.tell(address, recorded)
            self.tell(JOURNAL, RecordExecution(execution=execution, received_at=self.clock.now()))
        if tracked is not None:
            record = apply_execution(tracked.record, execution, self.clock.now())
            if record is not tracked.record:
                is_fill = record.filled != tracked.record.filled
                filled = f"filled {execution.quantity:g} at {execution.price:g}"
                self.update(tracked, record, filled if is_fill else "commission")

    @handles(CommissionReported)
    def on_commission_reported(self, event: CommissionReported) -> None:
        """Put a commission on its execution."""
        execution = self.executions.get(base_id_of(event.exec_id))
        if execution is None:
            return
        tracked = self.book.of_execution(execution, self.client_id)
        if tracked is None:
            return
        record = apply_commission(
            tracked.record, event.exec_id, event.commission, event.realized_pnl
        )
        if record is not tracked.record:
            tracked.record = record
            self.tell(JOURNAL, commission_note(record.order_ref, event, self.clock.now()))
            self.tell_change(tracked, "commission", level="DEBUG")

    @handles(OrderErrorReported)
    def on_order_error_reported(self, event: OrderErrorReported) -> None:
        """Read a broker's code in the table (ORD-8); what is unclear is asked for, never assumed."""
        tracked = self.book.by_address(self.client_id, event.broker_order_id)
        if tracked is None or tracked.record.state in NEVER_AT_BROKER:
            return
        before = tracked.record
        self.tell(JOURNAL, error_note(before.order_ref, event))
        changing = before.pending_change is not None
        record = apply_error(before, event.code, event.text, self.clock.now())
        modify = tracked.modify if changing and record.pending_change is None else None
        if modify is not None:
            tracked.modify = None  # `update` would take it for made
        self.update(tracked, record, f"broker code {event.code}: {event.text}")
        if modify is not None:
            why = f"the broker refused the change: {event.code} {event.text}"
            self.refuse(modify, ModeError(why))
            self.tell_risk(tracked, force=True)
        self._ask_about_unknown(before, record)

    def _ask_about_unknown(self, before: OrderRecord, record: OrderRecord) -> None:
        """What the broker said makes no sense of the order, so it is asked."""
        if record.state is OrderState.UNKNOWN and before.state is not OrderState.UNKNOWN:
            self.ask_for_reconciliation()

    @handles(ConnectionStateChanged)
    def on_connection_state_changed(self, event: ConnectionStateChanged) -> None:
        """Know whether anything can be sent. What was under way may have been filled: it is asked for on reconnect."""
        self.connected = event.state is ConnectionState.CONNECTED
        if event.previous is ConnectionState.CONNECTED:
            self.contracts.clear()
            self.quotes.clear()
            for tracked in self.book:
                tracked.owes_cancel |= tracked.record.state is OrderState.CANCELLING

    @handles(LatchChanged)
    def on_latch_changed(self, event: LatchChanged) -> None:
        """Refuse openings from now on, or no longer."""
        self.latched = event.reason if event.latched else None

    @handles(QuoteUpdated)
    def on_quote_updated(self, event: QuoteUpdated) -> None:
        """Remember the newest quote."""
        self.quotes[event.quote.contract.con_id] = event.quote

    # --- silence ------------------------------------------------------------------------------------------------------

    def expect_word(self, tracked: Tracked) -> None:
        """Come back for what was sent of the order, in case that the broker says nothing (PEERS 6)."""
        self.schedule(self.settings.unknown_after_s, WordDue(order_ref=tracked.record.order_ref))

    @handles(WordDue)
    def on_word_due(self, message: WordDue) -> None:
        """Ask about an order, a cancel or a change that was never answered; nothing is sent twice."""
        tracked = self.book.by_ref(message.order_ref)
        if tracked is None or not self.connected:
            return
        record = tracked.record
        if record.state in UNANSWERED:
            unknown = move(record, OrderState.UNKNOWN, self.clock.now())
            self.update(tracked, unknown, "no word from the broker")
        elif record.pending_change is None:
            return
        self.ask_for_reconciliation()
