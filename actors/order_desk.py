"""The executor's desk: the orders that it knows, what the broker says of them, and who is told of every change.

Each version of a record goes through `update`: journal, event stream, risk's reservation, and whoever waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import attrs

from actors.base import ActorContext
from actors.conversations import ConversingActor, root_id
from actors.errors import (
    ErrorInfo,
    GatewayError,
    ModeError,
)
from actors.logic.audit_notes import (
    change_refused,
    commission_note,
    error_note,
    not_sent,
    order_note,
)
from actors.logic.executions import NO_EXECUTIONS, count
from actors.logic.order_result import result
from actors.logic.order_state import (
    OrderRecord,
    apply_commission,
    apply_error,
    apply_execution,
    apply_status,
    is_settled,
    lacks_reason,
    move,
    signed_remaining,
)
from actors.logic.order_table import LIVE, UNSENT, WORKING, OrderState
from actors.logic.reconcile import (
    GateKnowledge,
)
from actors.messages.addresses import (
    CONNECTION,
    GATEWAY,
    JOURNAL,
    MARKET_DATA,
    RISK,
)
from actors.messages.connection import (
    ConnectionStateChanged,
    Reconcile,
    RequestReconciliation,
)
from actors.messages.journal import (
    Approval,
    RecordExecution,
    RecordNote,
    RecordNotSent,
    RecordTransition,
)
from actors.messages.lifecycle import Message, Reply, Request
from actors.messages.market_data import (
    GetQuote,
    QuoteRead,
    QuoteUpdated,
)
from actors.messages.orders import (
    AllOrdersCancelled,
    BrokerOrderReported,
    CancelAllOrders,
    CommissionReported,
    ExecutionRecorded,
    ExecutionReported,
    OrderChanged,
    OrderConcluded,
    OrderErrorReported,
    OrderSettled,
    SubmitOrder,
)
from actors.messages.risk import LatchChanged, OrderApproved
from actors.model.connection import ConnectionState
from actors.model.contracts import Contract, ContractQuery
from actors.model.market import Quote
from actors.model.orders import (
    Execution,
    ExecutionMode,
    OrderResult,
    OrderStatus,
    WaitFor,
)
from actors.order_book import OrderBook, Tracked
from actors.ports import EventLog, no_log

REASON_S = 0.1
"""How long an answer waits for the reason of a rejection, which the broker sends in a message of its own."""

NEVER_AT_BROKER = UNSENT | {OrderState.REJECTED, OrderState.SIMULATED}
"""What the broker says of such an order cannot be about it."""

UNANSWERED = frozenset({OrderState.SENT, OrderState.CANCELLING})
"""The broker has not said what it makes of the last thing that was sent."""

NEVER_JOURNALED = frozenset({OrderState.NEW, OrderState.AWAITING_APPROVAL})
"""The journal has no intent of such an order."""


@attrs.frozen(kw_only=True)
class ExecutorSettings:
    """What the executor needs to know; times in seconds. ``sends_orders`` is false in dry run (MODE-6)."""

    mode: ExecutionMode = ExecutionMode.DRY_RUN
    sends_orders: bool = False
    readonly: bool = False
    operator_id: str = "CSATSPRIM"
    quote_max_age_s: float = 5.0
    cancel_before_deadline_s: float = 1.0
    unknown_after_s: float = 10.0
    lost_after_s: float = 60.0
    cancel_again_after_s: float = 1.0
    max_working: int = 100
    history_bound: int = 10_000


@attrs.frozen(kw_only=True)
class ReasonOver(Message):
    """The broker had its time to say why it ended the order."""

    order_ref: str


@attrs.frozen(kw_only=True)
class WordDue(Message):
    """The broker had its time to answer what was sent about the order."""

    order_ref: str


class OrderDesk(ConversingActor):
    """What all parts of the executor stand on; see the module's docstring."""

    def __init__(
        self, context: ActorContext, *, settings: ExecutorSettings, log: EventLog = no_log
    ) -> None:
        super().__init__(context)
        self.settings = settings
        self.log = log
        self.book = OrderBook(settings.history_bound)
        self.executions = NO_EXECUTIONS
        self.contracts: dict[ContractQuery, Contract] = {}
        self.quotes: dict[int, Quote] = {}
        self.cancel_alls: dict[str, tuple[CancelAllOrders, frozenset[str]]] = {}
        self.connected = False
        self.account: str | None = None
        self.client_id: int | None = None
        self.is_fallback = False
        self.latched: str | None = None
        self.sequence = 0
        self.suffix = context.entropy.uuid4()[:6]
        self.gate: GateKnowledge | None = None
        self.knows_its_orders = False
        self.asks_again = False
        self.early_reconcile: Reconcile | None = None

    # --- what the broker says -------------------------------------------------------------------------------------

    def on_broker_order_reported(self, event: BrokerOrderReported) -> None:
        """Take over a status; one of somebody else's order is none of ours."""
        tracked = self.book.of_report(event.order, self.client_id)
        if tracked is None or tracked.record.state in NEVER_AT_BROKER:
            return
        before = tracked.record
        self.note(tracked, order_note(before.order_ref, event.order, event.received_at))
        record = apply_status(before, event.order, self.clock.now())
        self.update(tracked, record, f"broker: {event.order.status}")
        self._ask_about_unknown(before, record)

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
            for address in (RISK, GATEWAY):
                self.tell(address, recorded)
            self.tell(JOURNAL, RecordExecution(execution=execution, received_at=self.clock.now()))
        if tracked is not None:
            record = apply_execution(tracked.record, execution, self.clock.now())
            if record is not tracked.record:
                price = execution.price
                self.update(tracked, record, f"filled {execution.quantity:g} at {price:g}")

    def on_commission_reported(self, event: CommissionReported) -> None:
        """Put a commission on its execution."""
        tracked = self.book.of_commission(event.exec_id)
        if tracked is None:
            return
        record = apply_commission(
            tracked.record, event.exec_id, event.commission, event.realized_pnl
        )
        if record != tracked.record:
            tracked.record = record
            self.tell(JOURNAL, commission_note(record.order_ref, event, self.clock.now()))
            self.tell_change(tracked, "commission", level="DEBUG")

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

    def on_connection_state_changed(self, event: ConnectionStateChanged) -> None:
        """Know whether anything can be sent. What was under way may have been filled: it is asked for on reconnect."""
        self.connected = event.state is ConnectionState.CONNECTED
        if event.previous is ConnectionState.CONNECTED:
            self.contracts.clear()
            self.quotes.clear()
            for tracked in self.book:
                tracked.owes_cancel |= tracked.record.state is OrderState.CANCELLING

    def on_latch_changed(self, event: LatchChanged) -> None:
        """Refuse openings from now on, or no longer."""
        self.latched = event.reason if event.latched else None

    def on_quote_updated(self, event: QuoteUpdated) -> None:
        """Remember the newest quote."""
        self.quotes[event.quote.contract.con_id] = event.quote

    # --- after every change ---------------------------------------------------------------------------------------

    def update(
        self, tracked: Tracked, record: OrderRecord, detail: str, at: datetime | None = None
    ) -> None:
        """Take over a record's new version and tell everybody whom it concerns; ``at`` None: it happened now."""
        before, tracked.record = tracked.record, record
        self.book.index(tracked)
        if record.state is not before.state or record.known_filled != before.known_filled:
            if before.state not in NEVER_JOURNALED:
                self._journal(tracked, detail, at or self.clock.now())
            elif record.is_terminal:
                submitted_at = tracked.submit.submitted_at if tracked.submit else None
                self.tell(
                    JOURNAL,
                    not_sent(record, tracked.validation, detail, submitted_at, self.clock.now()),
                )
            self.tell_change(tracked, detail, came_from=before.state)
        elif (
            record.executions is not before.executions
            or record.rejection_reason != before.rejection_reason
        ):
            self.tell_change(tracked, detail, level="DEBUG")
        self.tell_risk(tracked)
        self.settle(tracked)

    def note(self, tracked: Tracked, note: RecordNote) -> None:
        """Keep what the broker said of an order for the audit trail, unless it repeats itself, as it often does."""
        if tracked.heard.get(note.kind) != note.facts:
            tracked.heard[note.kind] = note.facts
            self.tell(JOURNAL, note)

    def _journal(self, tracked: Tracked, detail: str, at: datetime) -> None:
        record = tracked.record
        self.tell(
            JOURNAL,
            RecordTransition(
                order_ref=record.order_ref,
                state=record.state,
                detail=detail,
                at=at,
                broker_order_id=record.broker_order_id,
                client_id=record.client_id,
                perm_id=record.perm_id,
                filled=record.known_filled,
            ),
        )

    def tell_change(
        self,
        tracked: Tracked,
        detail: str,
        level: str = "INFO",
        came_from: OrderState | None = None,
    ) -> None:
        """Tell the event stream and the log of an order's state; ``came_from`` None: it has not changed."""
        record, told = tracked.record, self.result_of(tracked)
        self.tell(GATEWAY, OrderChanged(result=told, detail=detail, at=told.timestamp))
        self.log(
            f"order_{record.state.lower()}",
            level="DEBUG" if record.state in LIVE else level,
            correlation_id=record.correlation_id,
            order_id=record.order_id,
            symbol=str(record.order.contract),
            action=record.order.action.value,
            quantity=record.order.quantity,
            filled=told.fill_quantity,
            old_state=(came_from or record.state).value,
            new_state=record.state.value,
            detail=detail,
        )

    def tell_risk(self, tracked: Tracked, *, force: bool = False) -> None:
        """A reservation shrinks only by what can certainly not fill any more (RSK-6)."""
        record = tracked.record
        if record.is_terminal and not is_settled(record):
            return
        remaining = signed_remaining(record)
        if remaining != tracked.reported or force:
            tracked.reported = remaining
            self.tell(RISK, OrderSettled(order_ref=record.order_ref, signed_remaining=remaining))

    def settle(self, tracked: Tracked) -> None:
        """Answer those who waited for what has now happened."""
        record = tracked.record
        over = is_settled(record) and not self._awaits_reason(tracked)
        submit = tracked.submit
        if submit is not None and (
            over or (submit.wait_for is WaitFor.ACK and record.state in WORKING)
        ):
            self.conclude(tracked)
        if tracked.modify is not None and tracked.change_sent and record.pending_change is None:
            modify, tracked.modify = tracked.modify, None
            self.answer(modify, tracked)
        if over:
            for cancel in tracked.cancels:
                self.answer(cancel, tracked)
            tracked.cancels.clear()
        if self.cancel_alls:
            self.answer_cancel_alls()

    def _awaits_reason(self, tracked: Tracked) -> bool:
        """The answer to a broker's bare "Inactive" waits a moment for the error that says why."""
        if not lacks_reason(tracked.record):
            return False
        if tracked.awaits_reason is None:
            tracked.awaits_reason = True
            self.schedule(REASON_S, ReasonOver(order_ref=tracked.record.order_ref))
        return tracked.awaits_reason

    def on_reason_over(self, message: ReasonOver) -> None:
        """No reason came: answer without one."""
        tracked = self.book.by_ref(message.order_ref)
        if tracked is not None:
            tracked.awaits_reason = False
            self.settle(tracked)

    def conclude(self, tracked: Tracked) -> None:
        """Answer the submitter."""
        submit, tracked.submit = tracked.submit, None
        if submit is not None:
            self.answer(submit, tracked)

    def answer(self, request: Request, tracked: Tracked) -> None:
        """Answer a request with the order's result as it stands."""
        self.reply(
            request,
            OrderConcluded(correlation_id=request.correlation_id, result=self.result_of(tracked)),
        )

    def _conclude_early(self, submit: SubmitOrder, status: OrderStatus, reason: str) -> None:
        """Answer for an order that never got an id at the broker, nor with us."""
        request = submit.request
        self._note_unsent(submit, status, reason)
        self.log(
            f"order_{status.lower()}",
            level="WARNING",
            correlation_id=root_id(submit.correlation_id),
            symbol=request.symbol,
            action=request.action.value,
            old_state=None,
            new_state=status.value,
            reason=reason,
        )
        self.reply(
            submit,
            OrderConcluded(
                correlation_id=submit.correlation_id,
                result=OrderResult(
                    order_id="",
                    status=status,
                    symbol=request.symbol,
                    action=request.action,
                    quantity=request.quantity,
                    rejection_reason=reason,
                    execution_mode=self.settings.mode,
                    timestamp=self.clock.now(),
                    correlation_id=root_id(submit.correlation_id),
                ),
            ),
        )

    def refuse_early(self, submit: SubmitOrder, error: GatewayError) -> None:
        """Refuse an order that cannot even be judged now."""
        self._note_unsent(submit, OrderStatus.REJECTED, str(error))
        self.refuse(submit, error)

    def _note_unsent(self, submit: SubmitOrder, status: OrderStatus, reason: str) -> None:
        self.tell(
            JOURNAL,
            RecordNotSent(
                correlation_id=root_id(submit.correlation_id),
                request=submit.request,
                status=status.value,
                reason=reason,
                at=self.clock.now(),
                close_reason=submit.close_reason,
                submitted_at=submit.submitted_at,
            ),
        )

    def result_of(self, tracked: Tracked) -> OrderResult:
        """What the caller is told of the order now."""
        quote = self.quotes.get(tracked.record.order.contract.con_id) or tracked.quote
        return result(
            tracked.record,
            self.settings.mode,
            self.clock.now(),
            tracked.validation,
            timed_out=tracked.timed_out,
            quote_price=quote.price if quote else None,
        )

    def approval(
        self,
        approved: OrderApproved,
        quote: Quote | None,
        asked_at: datetime | None = None,
        submitted_at: datetime | None = None,
    ) -> Approval:
        """Put together what the audit trail keeps of a permit that has just been given."""
        now = self.clock.now()
        left_s = approved.permit.expires_at - self.clock.monotonic()
        return Approval(
            validation=approved.validation,
            permit_id=approved.permit.permit_id,
            permit_expires_at=now + timedelta(seconds=left_s),
            asked_at=asked_at,
            given_at=now,
            submitted_at=submitted_at,
            quote=quote,
        )

    def change_failed(self, tracked: Tracked, error: GatewayError) -> None:
        """Tell whoever wanted a change that it was not made; what risk reserved for it is released."""
        modify, tracked.modify = tracked.modify, None
        if modify is not None:
            refused = change_refused(tracked.record.order_ref, modify, error, self.clock.now())
            self.tell(JOURNAL, refused)
            self.refuse(modify, error)
        self.tell_risk(tracked, force=True)

    def answer_cancel_alls(self) -> None:
        """Answer those whose orders are all at their end."""
        for correlation_id, (request, references) in tuple(self.cancel_alls.items()):
            if all(self.is_over(reference) for reference in references):
                del self.cancel_alls[correlation_id]
                self.reply(
                    request,
                    AllOrdersCancelled(
                        correlation_id=correlation_id, cancelled=tuple(sorted(references))
                    ),
                )

    def is_over(self, reference: str) -> bool:
        """Whether nothing of the order can fill any more."""
        tracked = self.book.by_ref(reference)
        return tracked is None or is_settled(tracked.record)

    # --- requests -------------------------------------------------------------------------------------------------

    def ask(
        self,
        to: str,
        request: Request,
        on_reply: Callable[[Reply], None],
        on_failure: Callable[[ErrorInfo], None],
    ) -> None:
        """Ask on behalf of a caller, whose own deadline is watched anyway."""
        self.conversations.ask(to, request, on_reply, on_failure, watched=False)

    def with_quote(
        self, request: Request, contract: Contract, then: Callable[[Quote | None], None]
    ) -> None:
        """Go on with a fresh quote; where none can be had with the last one, and risk says what it thinks of it."""
        held = self.quotes.get(contract.con_id)
        if held is not None and self._is_fresh(held):
            then(held)
            return

        def read(reply: Reply) -> None:
            assert isinstance(reply, QuoteRead)  # nosec B101 # noqa: S101 - answers in kind
            then(reply.quote)

        self.ask(
            MARKET_DATA,
            GetQuote(
                **self.conversations.on_behalf(request, "quote"),
                contract=contract,
                for_opening=True,
            ),
            read,
            lambda _: then(self.quotes.get(contract.con_id)),
        )

    def _is_fresh(self, quote: Quote) -> bool:
        age_s = (self.clock.now() - quote.received_at).total_seconds()
        return age_s <= self.settings.quote_max_age_s

    def is_addressable(self, record: OrderRecord) -> bool:
        """Whether the broker's id of the order means this order to the session: ids are counted per client."""
        if record.client_id is None:
            return not self.is_fallback
        return record.client_id == self.client_id

    def expect_word(self, tracked: Tracked) -> None:
        """Come back for what was sent of the order, in case that the broker says nothing (PEERS 6)."""
        self.schedule(self.settings.unknown_after_s, WordDue(order_ref=tracked.record.order_ref))

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

    def ask_for_reconciliation(self) -> None:
        """Have the broker's state read again."""
        self.tell(CONNECTION, RequestReconciliation(sender=self.name))
