"""The executor actor: one road from a wish to the broker, and the true story of every order.

::

    SubmitOrder → contract → quote → RequestApproval (risk) → RecordIntent (journal) → SendOrder (gate) → the broker
                                          ↑        under a latch, the journal   │
                                          └── in trouble: under another reference, RecordUnjournaled

`ExecutorActor.on_submit_order` is that road, read downward. No step is skipped and none is taken twice: what was
refused or became unknown is never sent again (D15). Which state may follow which is in `logic.order_table`.

What the executor knows is owned by its parts, made in this order, each from those before it::

    market            contracts, quotes                     acknowledgements  silence about what was sent
    session           connected, account, ids, the latch    reports           what the broker says; executions
    answers           who waits for what of an order        cancels, changes  what callers want of orders that work
    telling           the one message; notes that wait      deadlines         what happens when time is up
    publishing        who is told of every change           journal           does the journal take intents?
    positions         what was held at sending, and is      fates             orders that the broker does not show
    unjournaled       closes that go without the journal    recovery          what became of orders, by the broker
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from actors import messages as m
from actors.errors import (
    ContractQualificationError,
    GatewayError,
    GatewayNotConnectedError,
    GatewayTimeoutError,
    ModeError,
    OrderValidationError,
    ReadOnlyError,
)
from actors.executor.acknowledgements import Acknowledgements
from actors.executor.answers import Answers
from actors.executor.audit_notes import approval_of
from actors.executor.broker_reports import BrokerReports
from actors.executor.cancels import Cancels
from actors.executor.case_file import CaseFile
from actors.executor.changes import Changes
from actors.executor.deadlines import Deadlines
from actors.executor.endings import (
    GivenUpError,
    NotJournaledError,
    NotTakenError,
    StoppedShortError,
    expect_wanted,
    not_answered,
)
from actors.executor.fates import Fates
from actors.executor.journal_watch import JournalWatch
from actors.executor.market_facts import MarketFacts
from actors.executor.order_book import OrderBook, Tracked
from actors.executor.positions import Positions
from actors.executor.publishing import Publishing
from actors.executor.record import mark_sent, move, new_record
from actors.executor.recovery import Recovery
from actors.executor.result import KIND_OF_REFUSAL, result
from actors.executor.session_facts import SessionFacts
from actors.executor.telling import Telling
from actors.executor.unjournaled import EarlierBoot, UnjournaledCloses
from actors.executor.wire_window import WireWindow
from actors.kernel.actor import ActorContext, SupervisedActor
from actors.kernel.handlers import handles
from actors.kernel.messages import Message, Request
from actors.kernel.stories import root_id
from actors.logic.order_ids import close_order_id, is_unjournaled, new_order_id, order_ref
from actors.logic.order_table import UNSENT, OrderState
from actors.logic.order_validation import contract_query, query_of, request_fault
from actors.logic.ticks import on_tick
from actors.messages.addresses import JOURNAL, LINK, RISK
from actors.model.contracts import Contract
from actors.model.market import Quote
from actors.model.orders import (
    CloseReason,
    OrderStatus,
    Purpose,
    RejectionKind,
    TradeRequest,
    WireOrder,
)
from actors.model.trading import Trading
from actors.ports import EventLog, no_log
from actors.sections.orders import Orders

HISTORY_BOUND: Final = 10_000
"""So many orders that ended are remembered, the newest."""


class ExecutorActor(SupervisedActor):
    """See the module's docstring."""

    recovers = True
    parts = (
        MarketFacts,
        SessionFacts,
        Answers,
        Telling,
        Publishing,
        Acknowledgements,
        BrokerReports,
        Cancels,
        WireWindow,
        Changes,
        Deadlines,
        JournalWatch,
        Fates,
        Recovery,
    )

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: Orders,
        trading: Trading,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context)
        self.settings = settings
        self.trading = trading
        self.book = book = OrderBook(HISTORY_BOUND)
        self.journal = self.own(JournalWatch(self, settings, log))
        self.unjournaled = UnjournaledCloses(book, context.entropy)
        self.market = market = self.own(MarketFacts(self))
        self.session = session = self.own(SessionFacts(self, book, market))
        self.earlier = EarlierBoot(self, settings, session)
        self.answers = answers = self.own(Answers(self, trading, book, market, session))
        self.telling = telling = self.own(Telling(self))
        self.publishing = publishing = self.own(Publishing(self, log, book, answers, telling))
        self.acknowledgements = acknowledgements = self.own(
            Acknowledgements(self, settings, book, session, publishing)
        )
        self.cancels = cancels = self.own(
            Cancels(self, settings, trading, book, session, answers, publishing, acknowledgements)
        )
        self.window = window = self.own(WireWindow(self, settings.max_approved))
        self.positions = positions = Positions()
        self.fates = fates = self.own(
            Fates(self, settings, log, book, session, positions, publishing, cancels)
        )
        reports = self.own(BrokerReports(self, log, book, session, publishing, positions, fates))
        changes = self.own(
            Changes(self, book, market, session, answers, publishing, acknowledgements, window)
        )
        self.deadlines = self.own(Deadlines(self, settings, book, answers, cancels, changes))
        self.recovery = self.own(
            Recovery(self, trading, book, session, publishing, reports, cancels, fates)
        )
        self._sequence = 0
        self._suffix = context.entropy.uuid4()[:6]

    def started(self) -> None:
        """Learn from the journal what was under way (SUP-6)."""
        self.begin_story(self.recovery.recover())

    def stopping(self) -> None:
        """Leave no note behind."""
        self.telling.tell_notes()

    def failure_answer(self, message: Message, error: BaseException) -> Message | None:
        """What had passed the gate has an unknown outcome; its successor will ask for it (D5)."""
        tracked = next((held for held in self.book if held.submit is message), None)
        if tracked is None or tracked.record.state in UNSENT or not isinstance(message, Request):
            return None
        unknown = attrs.evolve(tracked.record, state=OrderState.UNKNOWN)
        reason = f"the executor failed ({type(error).__name__}); the broker is asked"
        outcome = attrs.evolve(
            result(unknown, self.trading.mode, self.clock.now(), tracked.validation),
            rejection_reason=reason,
        )
        return m.OrderConcluded(correlation_id=message.correlation_id, result=outcome)

    # --- the road of an order -------------------------------------------------------------------------------------

    @handles(m.SubmitOrder)
    async def on_submit_order(self, submit: m.SubmitOrder) -> None:
        """Bring an order to the broker. Each step may end it, and it may end by itself while a step is under way."""
        try:
            with self.book.taking_in(submit):
                self._refuse_what_cannot_be(submit)
                await self._earlier_closes_known(submit)
                contract = await self._qualified(submit)
                self._refuse_where_automation_stopped(submit, contract)
                quote = await self._quote_to_judge_by(submit, contract)
                self._refuse_what_was_called_off(submit)
                tracked = self._taken_in(submit, contract, quote)
        except NotTakenError as ending:
            self._turn_away(submit, ending)
            return
        try:
            await self._let_in(tracked, submit)
        except StoppedShortError as ending:
            self._stop_short(tracked, ending)
            return
        try:
            approved = await self._approved(tracked, submit)
            try:
                await self._made_durable(tracked, submit, approved)
            except NotJournaledError as why:
                tracked = self._taken_in_anew(tracked, submit, str(why))
                approved = await self._approved(tracked, submit)
                await self._made_durable(tracked, submit, approved)
            await self._through_the_gate(tracked, submit, approved)
        except StoppedShortError as ending:
            self._stop_short(tracked, ending)
        except GivenUpError:
            self.answers.settle(tracked)
        self.window.leave(submit.purpose)

    def _refuse_what_cannot_be(self, submit: m.SubmitOrder) -> None:
        opening = submit.purpose is Purpose.OPEN
        fault = request_fault(submit.request)
        if fault is not None:
            raise NotTakenError(fault)
        latched = self.session.latched
        if opening and latched is not None:
            raise NotTakenError(f"Strategy C is latched: {latched}; re-arm before opening anything")
        if self.trading.readonly:
            raise NotTakenError(ReadOnlyError("gateway.readonly is true: orders are refused"))
        if not self.session.connected:
            raise NotTakenError(GatewayNotConnectedError("the link is down: nothing can be sent"))
        trouble = self.journal.trouble
        if trouble is not None and not self._goes_without_the_journal(submit):
            raise NotTakenError(f"no durable intent, no order: {trouble}")
        most = self.settings.max_working
        if opening and self.book.openings_count() >= most:
            raise NotTakenError(ModeError(f"orders.max_working is reached ({most})"))

    def _refuse_what_was_called_off(self, submit: m.SubmitOrder) -> None:
        why = self.book.called_off.get(submit.correlation_id)
        if why is not None:
            raise NotTakenError(why)

    def _goes_without_the_journal(self, submit: m.SubmitOrder) -> bool:
        """Only a close under a latch does: what a latch is there for must not wait for a disk."""
        return submit.purpose is Purpose.CLOSE and self.session.latched is not None

    async def _earlier_closes_known(self, submit: m.SubmitOrder) -> None:
        if submit.purpose is Purpose.CLOSE and self.earlier.is_unknown:
            await self.earlier.known(submit.deadline)
            if self.earlier.is_unknown:
                why = "closes of an earlier process may still come to light at the broker"
                raise NotTakenError(why, OrderStatus.TIMEOUT)

    async def _qualified(self, submit: m.SubmitOrder) -> Contract:
        known = submit.contract
        if known is not None and known.exchange:
            return known
        query = contract_query(submit.request) if known is None else query_of(known)
        try:
            return await self.market.qualified(submit, query)
        except ContractQualificationError as error:
            raise NotTakenError(str(error), OrderStatus.FAILED) from error
        except GatewayTimeoutError as error:
            raise NotTakenError(str(error), OrderStatus.TIMEOUT) from error
        except GatewayError as error:
            raise NotTakenError(error) from error

    async def _quote_to_judge_by(self, submit: m.SubmitOrder, contract: Contract) -> Quote | None:
        """An opening order is judged by a fresh quote; a closing one needs none (RSK-7)."""
        if submit.purpose is Purpose.CLOSE:
            return self.market.last_quote(contract)
        return await self.market.fresh_quote(submit, contract)

    def _refuse_where_automation_stopped(self, submit: m.SubmitOrder, contract: Contract) -> None:
        why = self.fates.why_stopped(contract.con_id)
        if why is not None and submit.close_reason is not CloseReason.MANUAL:
            raise NotTakenError(why)

    def _taken_in(self, submit: m.SubmitOrder, contract: Contract, quote: Quote | None) -> Tracked:
        """Give the order its id and its record, and watch its deadline."""
        if self.session.account is None:
            raise NotTakenError(GatewayNotConnectedError("no account is known yet"))
        if submit.deadline <= self.clock.monotonic():
            raise NotTakenError("no quote came before the deadline", OrderStatus.TIMEOUT)
        now = self.clock.now()
        if self.journal.trouble is not None:
            obstacle = self.unjournaled.obstacle(contract.con_id)
            if obstacle is not None:
                raise NotTakenError(f"{self.journal.trouble}, and {obstacle}")
            order_id = self.unjournaled.new_id(self.session.account, contract.con_id, now)
        else:
            order_id = self._new_order_id(submit, contract, now)
        try:
            request = on_tick(submit.request, contract)
        except OrderValidationError as error:
            raise NotTakenError(str(error)) from error
        order = wire_order(
            request,
            order_ref=order_ref(self.trading.operator_id, order_id),
            contract=contract,
            account=self.session.account,
            operator_id=self.trading.operator_id,
            purpose=submit.purpose,
        )
        record = new_record(
            order,
            submit.request,
            order_id,
            now,
            state=OrderState.AWAITING_APPROVAL,
            correlation_id=root_id(submit.correlation_id),
            close_reason=submit.close_reason,
            position_base=self.positions.base(contract.con_id, now),
        )
        tracked = Tracked(record=record, submit=submit, quote=quote)
        self.book.add(tracked)
        self.deadlines.watch(tracked, submit)
        return tracked

    def _taken_in_anew(self, tracked: Tracked, submit: m.SubmitOrder, why: str) -> Tracked:
        """End an order that has no durable intent, and take its caller's wish in again without the journal."""
        tracked.submit = None
        try:
            anew = self._taken_in(submit, tracked.record.order.contract, tracked.quote)
        except NotTakenError as ending:
            tracked.submit = submit
            raise StoppedShortError(
                OrderState.FAILED, str(ending), RejectionKind.NOT_SENT
            ) from ending
        reason = f"no durable intent: {why}; it goes as {anew.record.order_id}"
        failed = move(tracked.record, OrderState.FAILED, self.clock.now(), reason)
        self.publishing.update(tracked, failed, reason)
        return anew

    def _new_order_id(self, submit: m.SubmitOrder, contract: Contract, now: datetime) -> str:
        self._sequence += 1
        if submit.purpose is Purpose.CLOSE:
            return close_order_id(contract.position_id, f"{self._sequence:04d}_{self._suffix}")
        return new_order_id(now, self._sequence, self._suffix)

    async def _let_in(self, tracked: Tracked, submit: m.SubmitOrder) -> None:
        """Wait until the wire is near: a permit that waits for it would be void when it comes."""
        try:
            await self.window.enter(submit, submit.purpose)
        except GatewayError as error:
            raise not_answered(tracked, error) from error

    async def _approved(self, tracked: Tracked, submit: m.SubmitOrder) -> m.OrderApproved:
        """Have risk judge the order: its permit is what opens the gate, once."""
        expect_wanted(tracked, OrderState.AWAITING_APPROVAL)
        question = m.RequestApproval(
            **self.on_behalf(submit, "risk"),
            order=tracked.record.order,
            request=submit.request,
            quote=tracked.quote,
            close_reason=submit.close_reason,
            over_pending=submit.over_pending,
        )
        try:
            judged = await self.asked(
                RISK, question, m.OrderApproved, m.OrderRejected, watched=False
            )
        except GatewayError as error:
            raise not_answered(tracked, error) from error
        tracked.validation = judged.validation
        if isinstance(judged, m.OrderRejected):
            reasons = "; ".join(judged.validation.rejection_reasons)
            raise StoppedShortError(OrderState.REJECTED, reasons, RejectionKind.RISK)
        expect_wanted(tracked, OrderState.AWAITING_APPROVAL)
        return judged

    async def _made_durable(
        self, tracked: Tracked, submit: m.SubmitOrder, approved: m.OrderApproved
    ) -> None:
        """Have the intent on the disk before anything is sent (D14), or in the journal's memory where it may be so.

        Raises `NotJournaledError` where that has to be under another reference.
        """
        tracked.record = move(tracked.record, OrderState.AWAITING_JOURNAL, self.clock.now())
        intent = self._intent(tracked, submit, approved)
        trouble = self.journal.trouble
        if is_unjournaled(intent.order_id):
            reason = trouble or "the journal had not answered in time"
            self.tell(JOURNAL, m.RecordUnjournaled(intent=intent, reason=reason))
            return
        goes_without = self._goes_without_the_journal(submit)
        if trouble is not None and goes_without:
            raise NotJournaledError(trouble)
        patience_ends_at = self.journal.patience_ends_at
        answer_by = patience_ends_at if goes_without else approved.permit.expires_at
        try:
            await self.journal.made_durable(intent, answer_by)
        except GatewayError as error:
            if self._goes_without_the_journal(submit):
                expect_wanted(tracked, OrderState.AWAITING_JOURNAL)
                raise NotJournaledError(str(error)) from error
            raise not_answered(tracked, error, "no durable intent, no order: ") from error
        expect_wanted(tracked, OrderState.AWAITING_JOURNAL)

    def _intent(
        self, tracked: Tracked, submit: m.SubmitOrder, approved: m.OrderApproved
    ) -> m.RecordIntent:
        record = tracked.record
        return m.RecordIntent(
            **self.on_behalf(submit, "intent"),
            order=record.order,
            request=record.request,
            order_id=record.order_id,
            incarnation=self.incarnation,
            approval=approval_of(
                approved, tracked.quote, self.clock, record.created_at, submit.submitted_at
            ),
            at=self.clock.now(),
            close_reason=record.close_reason,
            wait_for=submit.wait_for,
            position_base=record.position_base,
        )

    async def _through_the_gate(
        self, tracked: Tracked, submit: m.SubmitOrder, approved: m.OrderApproved
    ) -> None:
        """Pass the gate and be written in the same step; without an answer the order may have been sent."""
        tracked.record = move(tracked.record, OrderState.AT_GATE, self.clock.now())
        send = m.SendOrder(
            **self.on_behalf(submit, "gate"), permit=approved.permit, order=tracked.record.order
        )
        try:
            passed = await self.asked(
                LINK, send, m.OrderSent, m.OrderSimulated, m.OrderRefusedAtGate, watched=False
            )
        except GatewayError as error:
            self._ask_for_fate(tracked, error)
            return
        if isinstance(passed, m.OrderRefusedAtGate):
            kind = KIND_OF_REFUSAL[passed.kind]
            raise StoppedShortError(OrderState.REJECTED, passed.reason, kind)
        if isinstance(passed, m.OrderSimulated):
            simulated = move(tracked.record, OrderState.SIMULATED, self.clock.now())
            self.publishing.update(tracked, simulated, "simulated")
        else:
            self._sent(tracked, passed)

    def _sent(self, tracked: Tracked, sent: m.OrderSent) -> None:
        """The bytes are on the wire: from now on the broker tells what becomes of the order."""
        client_id = self.session.client_id
        tracked.case = CaseFile.opened(self.clock.monotonic())
        record = mark_sent(tracked.record, sent.broker_order_id, self.clock.now(), client_id)
        floor = None
        if client_id is not None:
            floor = m.RaiseOrderIdFloor(client_id=client_id, floor=sent.broker_order_id)
        self.publishing.update(tracked, record, "sent", at=sent.sent_at, floor=floor)
        self.acknowledgements.expect_acknowledgement(tracked)
        self.cancels.cancel_what_is_owed(tracked)

    # --- where the road ends early --------------------------------------------------------------------------------

    def _turn_away(self, submit: m.SubmitOrder, ending: NotTakenError) -> None:
        if isinstance(ending.reason, GatewayError):
            self.publishing.note_untaken(submit, ending.status, str(ending), log=False)
            self.refuse(submit, ending.reason)
        else:
            self.publishing.note_untaken(submit, ending.status, ending.reason, log=True)
            self.answers.answer_untaken(submit, ending.status, ending.reason)

    def _stop_short(self, tracked: Tracked, ending: StoppedShortError) -> None:
        if tracked.record.is_terminal:
            self.answers.settle(tracked)
            return
        reason = str(ending)
        record = move(tracked.record, ending.state, self.clock.now(), reason, ending.kind)
        self.publishing.update(tracked, record, reason)

    def _ask_for_fate(self, tracked: Tracked, error: GatewayError) -> None:
        """The gate did not say: the order may have been sent, so its fate is asked for."""
        if tracked.record.state is OrderState.AT_GATE:
            tracked.case = CaseFile.opened(self.clock.monotonic())
            record = move(tracked.record, OrderState.UNKNOWN, self.clock.now())
            self.publishing.update(tracked, record, f"the gate did not answer: {error}")
            self.begin_story(self.recovery.ask_gate((record.order_ref,)))


def wire_order(
    request: TradeRequest,
    *,
    order_ref: str,
    contract: Contract,
    account: str,
    operator_id: str,
    purpose: Purpose,
) -> WireOrder:
    """Make of a validated request exactly what goes to the broker."""
    return WireOrder(
        order_ref=order_ref,
        contract=contract,
        action=request.action,
        quantity=request.quantity,
        order_type=request.order_type,
        limit_price=request.limit_price,
        stop_price=request.stop_price,
        time_in_force=request.time_in_force,
        account=account,
        operator_id=operator_id,
        purpose=purpose,
    )
