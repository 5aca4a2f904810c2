"""The executor's desk: the orders that it knows, and who is told of every change of them.

Each version of a record goes through `update`: journal, event stream, risk's reservation, and whoever waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import attrs

from actors.errors import (
    ErrorInfo,
    GatewayError,
)
from actors.executor.audit_notes import change_refused, not_sent
from actors.executor.order_book import OrderBook, Tracked
from actors.executor.reconcile import (
    GateKnowledge,
)
from actors.executor.record import (
    OrderRecord,
    is_settled,
    lacks_reason,
    signed_remaining,
)
from actors.executor.result import result
from actors.kernel.actor import ActorContext
from actors.kernel.conversations import ConversingActor
from actors.kernel.handlers import handles
from actors.kernel.messages import Message, Reply, Request
from actors.kernel.stories import root_id
from actors.logic.executions import NO_EXECUTIONS
from actors.logic.order_table import LIVE, WORKING, OrderState
from actors.messages.addresses import (
    CONNECTION,
    FACADE,
    JOURNAL,
    MARKET_DATA,
    RISK,
)
from actors.messages.connection import (
    Reconcile,
    RequestReconciliation,
)
from actors.messages.journal import (
    Approval,
    RecordNote,
    RecordNotSent,
    RecordTransition,
)
from actors.messages.market_data import (
    GetQuote,
    QuoteRead,
)
from actors.messages.orders import (
    AllOrdersCancelled,
    OrderChanged,
    OrderConcluded,
    OrderSettled,
    SubmitOrder,
)
from actors.messages.risk import OrderApproved
from actors.model.contracts import Contract, ContractQuery
from actors.model.market import Quote
from actors.model.orders import (
    ExecutionMode,
    OrderResult,
    OrderStatus,
    WaitFor,
)
from actors.ports import EventLog, no_log

REASON_S = 0.1
"""How long an answer waits for the reason of a rejection, which the broker sends in a message of its own."""

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
        self.cancel_alls: dict[str, tuple[Request, frozenset[str]]] = {}
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
        self.tell(FACADE, OrderChanged(result=told, detail=detail, at=told.timestamp))
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
        remaining = signed_remaining(tracked.committed)
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

    @handles(ReasonOver)
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
            cancelled_for=tracked.cancelled_for,
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
        modify, tracked.modify, tracked.asked = tracked.modify, None, None
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
            assert isinstance(reply, QuoteRead)  # noqa: S101 - answers in kind
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

    def ask_for_reconciliation(self) -> None:
        """Have the broker's state read again."""
        self.tell(CONNECTION, RequestReconciliation(sender=self.name))
