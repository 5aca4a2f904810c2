"""The executor actor: one road from a wish to the broker, and the true story of every order.

::

    SubmitOrder → contract → quote → RequestApproval (risk) → RecordIntent (journal) → SendOrder (gate) → the broker

No step is skipped and none is taken twice: what was refused or became unknown is never sent again (D15). The states are
in `logic.order_state`; who comes after whom is here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import ClassVar

import attrs

from actors.base import ActorContext, SupervisedActor
from actors.conversations import ConversationExpired, Conversations, root_id
from actors.errors import (
    ContractQualificationError,
    ErrorInfo,
    GatewayError,
    GatewayNotConnectedError,
    GatewayTimeoutError,
    ModeError,
    OrderNotFoundError,
    ReadOnlyError,
    restore,
)
from actors.logic.executions import NO_EXECUTIONS, count
from actors.logic.order_ids import close_order_id, new_order_id, order_ref
from actors.logic.order_result import result
from actors.logic.order_state import (
    OrderRecord,
    apply_commission,
    apply_error,
    apply_execution,
    apply_status,
    begin_change,
    is_settled,
    mark_sent,
    move,
    new_record,
    request_cancel,
    signed_remaining,
)
from actors.logic.order_table import LIVE, UNSENT, WORKING, OrderState
from actors.logic.order_validation import contract_query, validate_modification
from actors.logic.reconcile import (
    GateKnowledge,
    foreign_working,
    from_journal,
    reconcile_orders,
    working_orders,
)
from actors.messages.addresses import (
    CONNECTION,
    GATEWAY,
    JOURNAL,
    LINK,
    MARKET_DATA,
    POSITION,
    RISK,
)
from actors.messages.connection import (
    ConnectionStateChanged,
    NothingToReconcile,
    Reconcile,
    Reconciled,
    ReconciliationCompleted,
    RequestReconciliation,
)
from actors.messages.journal import (
    IntentDurable,
    JournalRead,
    RaiseOrderIdFloor,
    ReadJournal,
    RecordExecution,
    RecordIntent,
    RecordModification,
    RecordTransition,
)
from actors.messages.lifecycle import Message, Reply, Request, RequestFailed
from actors.messages.market_data import (
    ContractQualified,
    GetQuote,
    QualifyContract,
    QuoteRead,
    QuoteUpdated,
)
from actors.messages.orders import (
    AllOrdersCancelled,
    BrokerOrderReported,
    CancelAllOrders,
    CancelOrder,
    CommissionReported,
    ExecutionRecorded,
    ExecutionReported,
    GateAnswered,
    GetOpenOrders,
    ModifyOrder,
    OpenOrdersRead,
    OrderChanged,
    OrderConcluded,
    OrderErrorReported,
    OrderRefusedAtGate,
    OrderSent,
    OrderSettled,
    OrderSimulated,
    QueryGate,
    SendCancel,
    SendGlobalCancel,
    SendOrder,
    SubmitOrder,
    WorkingOrdersKnown,
)
from actors.messages.risk import LatchChanged, OrderApproved, OrderRejected, RequestApproval
from actors.model.connection import ConnectionState
from actors.model.contracts import Contract, ContractQuery
from actors.model.market import Quote
from actors.model.orders import (
    Execution,
    ExecutionMode,
    OrderResult,
    OrderStatus,
    Purpose,
    TradeRequest,
    WaitFor,
    WireOrder,
)
from actors.order_book import OrderBook, Tracked
from actors.ports import EventLog, no_log

ANSWER_MARGIN_S = 0.005
"""The caller is answered this much before its deadline, so that the answer is there in time."""

RECOVERY_S = 10.0
"""How long a restarted executor waits for the journal and the gate."""


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
    max_working: int = 100
    history_bound: int = 10_000


@attrs.frozen(kw_only=True)
class _CancelDue(Message):
    """The order's remainder shall be cancelled now (ORD-6)."""

    order_ref: str


@attrs.frozen(kw_only=True)
class _AnswerDue(Message):
    """Whoever waits for the order has to be answered now."""

    order_ref: str


@attrs.frozen(kw_only=True)
class _AskAgain(Message):
    """The broker shall be asked again about orders whose fate is unknown."""


@attrs.frozen(kw_only=True)
class _CancelAllDue(Message):
    """Whoever waits for all cancels has to be answered now."""

    correlation_id: str


class ExecutorActor(SupervisedActor):
    """See the module's docstring."""

    recovers = True

    handlers: ClassVar[Mapping[type[Message], str]] = {
        SubmitOrder: "on_submit_order",
        ModifyOrder: "on_modify_order",
        CancelOrder: "on_cancel_order",
        CancelAllOrders: "on_cancel_all_orders",
        GetOpenOrders: "on_get_open_orders",
        BrokerOrderReported: "on_broker_order_reported",
        ExecutionReported: "on_execution_reported",
        CommissionReported: "on_commission_reported",
        OrderErrorReported: "on_order_error_reported",
        ConnectionStateChanged: "on_connection_state_changed",
        LatchChanged: "on_latch_changed",
        QuoteUpdated: "on_quote_updated",
        Reconcile: "on_reconcile",
        NothingToReconcile: "on_nothing_to_reconcile",
        ReconciliationCompleted: "on_reconciliation_completed",
        _CancelDue: "on_cancel_due",
        _AnswerDue: "on_answer_due",
        _CancelAllDue: "on_cancel_all_due",
        _AskAgain: "on_ask_again",
        ContractQualified: "on_answer",
        QuoteRead: "on_answer",
        OrderApproved: "on_answer",
        OrderRejected: "on_answer",
        IntentDurable: "on_answer",
        OrderSent: "on_answer",
        OrderSimulated: "on_answer",
        OrderRefusedAtGate: "on_answer",
        JournalRead: "on_answer",
        GateAnswered: "on_answer",
        RequestFailed: "on_failure_answer",
        ConversationExpired: "on_expired",
    }

    def __init__(
        self, context: ActorContext, *, settings: ExecutorSettings, log: EventLog = no_log
    ) -> None:
        super().__init__(context)
        self.settings = settings
        self.log = log
        self.conversations = Conversations(self)
        self.book = OrderBook(settings.history_bound)
        self.executions = NO_EXECUTIONS
        self.contracts: dict[ContractQuery, Contract] = {}
        self.quotes: dict[int, Quote] = {}
        self.cancel_alls: dict[str, tuple[CancelAllOrders, frozenset[str]]] = {}
        self.connected = False
        self.account: str | None = None
        self.client_id: int | None = None
        self.latched: str | None = None
        self.sequence = 0
        self.suffix = context.entropy.uuid4()[:6]
        self.gate: GateKnowledge | None = None

    def failure_answer(self, message: Message, error: BaseException) -> Message | None:
        """What had passed the gate has an unknown outcome; its successor will ask for it (D5)."""
        tracked = next((held for held in self.book if held.submit is message), None)
        if tracked is None or tracked.record.state in UNSENT or not isinstance(message, Request):
            return None
        unknown = attrs.evolve(tracked.record, state=OrderState.UNKNOWN)
        reason = f"the executor failed ({type(error).__name__}); the broker is asked"
        told = attrs.evolve(
            result(unknown, self.settings.mode, self.clock.now(), tracked.validation),
            rejection_reason=reason,
        )
        return OrderConcluded(correlation_id=message.correlation_id, result=told)

    # --- recovery -------------------------------------------------------------------------------------------------

    def started(self) -> None:
        """Learn from the journal what was under way (SUP-6)."""
        self.conversations.ask(
            JOURNAL,
            ReadJournal(**self.conversations.of_our_own("journal", RECOVERY_S)),
            self._on_journal,
            lambda error: self._cannot_recover("journal", error),
        )

    def _on_journal(self, reply: Reply) -> None:
        assert isinstance(reply, JournalRead)  # noqa: S101 - the journal answers in kind
        for execution in reply.executions:
            self.executions = count(self.executions, execution).executions
        for record in from_journal(reply.orders):
            self.book.add(Tracked(record=record))
        if not reply.orders:
            self._ask_for_reconciliation()
            return
        references = tuple(held.order.order_ref for held in reply.orders)
        self.conversations.ask(
            LINK,
            QueryGate(**self.conversations.of_our_own("gate", RECOVERY_S), order_refs=references),
            self._on_gate_answered,
            lambda error: self._cannot_recover("gate", error),
        )

    def _on_gate_answered(self, reply: Reply) -> None:
        assert isinstance(reply, GateAnswered)  # noqa: S101 - the link answers in kind
        self.gate = GateKnowledge(sent=dict(reply.sent), since=reply.gate_started_at)
        self._ask_for_reconciliation()

    def _ask_for_reconciliation(self) -> None:
        self.tell(CONNECTION, RequestReconciliation(sender=self.name))

    def _cannot_recover(self, step: str, error: ErrorInfo) -> None:
        """Without its past an executor would send orders twice: it fails, and the supervisor tries again."""
        raise GatewayError(f"the executor cannot recover from the {step}: {error.text}")

    def on_nothing_to_reconcile(self, _: NothingToReconcile) -> None:
        """There is no session: serve what needs none. The reconciliation comes with the next session."""
        self.recovered()

    def on_reconciliation_completed(self, _: ReconciliationCompleted) -> None:
        """Nothing is left to do: this actor took over its part in `on_reconcile`."""

    def on_reconcile(self, message: Reconcile) -> None:
        """Take over the broker's state: adopt what works, end what ended, count every execution (CON-11)."""
        self.account = message.account
        self.client_id = message.client_id
        for execution in message.state.executions:
            self._record_execution(execution)
        outcome = reconcile_orders(
            [tracked.record for tracked in self.book],
            message.state,
            self.settings.operator_id,
            self.clock.now(),
            gate=self.gate,
            give_up=self._gives_up(),
        )
        self.gate = None
        for record in outcome.records:
            tracked = self.book.by_ref(record.order_ref)
            if tracked is None:
                self.book.add(Tracked(record=record))
            else:
                self._update(tracked, record, "reconciled")
        for extra in outcome.extras:
            self.tell(LINK, SendCancel(order_ref=extra.order_ref, broker_order_id=extra.order_id))
        working = working_orders(tracked.record for tracked in self.book)
        foreign = foreign_working(outcome.foreign)
        self.tell(RISK, WorkingOrdersKnown(number=message.number, orders=(*working, *foreign)))
        self.tell(
            CONNECTION,
            Reconciled(number=message.number, sender=self.name, differences=outcome.differences),
        )
        self.recovered()
        if any(tracked.record.state is OrderState.UNKNOWN for tracked in self.book):
            self.schedule(self.settings.unknown_after_s, _AskAgain())

    def _gives_up(self) -> bool:
        """An order that nobody knows is LOST once the broker has had its time to tell of it."""
        now = self.clock.now()
        ages = [
            (now - tracked.record.created_at).total_seconds()
            for tracked in self.book
            if tracked.record.is_live
        ]
        return bool(ages) and min(ages) >= self.settings.lost_after_s

    def on_ask_again(self, _: _AskAgain) -> None:
        """Ask the broker again about what is still unknown."""
        if any(tracked.record.state is OrderState.UNKNOWN for tracked in self.book):
            self._ask_for_reconciliation()

    # --- the road of an order -------------------------------------------------------------------------------------

    def on_submit_order(self, submit: SubmitOrder) -> None:
        """Begin with an order: refuse what cannot be, then find its contract."""
        refusal = self._refusal(submit)
        if isinstance(refusal, GatewayError):
            self.refuse(submit, refusal)
        elif isinstance(refusal, str):
            self._conclude_early(submit, OrderStatus.REJECTED, refusal)
        elif submit.contract is not None:
            self._with_contract(submit, submit.contract)
        else:
            self._qualify(submit)

    def _refusal(self, submit: SubmitOrder) -> GatewayError | str | None:
        opening = submit.purpose is Purpose.OPEN
        if opening and self.latched is not None:
            return f"Strategy C is latched: {self.latched}; re-arm before opening anything"
        if opening and self.settings.readonly:
            return ReadOnlyError("gateway.readonly is true: orders are refused")
        if not self.connected:
            return GatewayNotConnectedError("the link is down: nothing can be sent")
        if sum(tracked.record.is_live for tracked in self.book) >= self.settings.max_working:
            return ModeError(f"orders.max_working is reached ({self.settings.max_working})")
        return None

    def _qualify(self, submit: SubmitOrder) -> None:
        query = contract_query(submit.request)
        held = self.contracts.get(query)
        if held is not None:
            self._with_contract(submit, held)
            return

        def keep(reply: Reply) -> None:
            assert isinstance(reply, ContractQualified)  # noqa: S101 - the link answers in kind
            self.contracts[query] = reply.contract
            self._with_contract(submit, reply.contract)

        self._ask(
            LINK,
            QualifyContract(**self.conversations.on_behalf(submit, "contract"), query=query),
            keep,
            lambda error: self._not_qualified(submit, error),
        )

    def _not_qualified(self, submit: SubmitOrder, error: ErrorInfo) -> None:
        if error.kind == ContractQualificationError.__name__:
            self._conclude_early(submit, OrderStatus.FAILED, error.text)
        elif error.kind == GatewayTimeoutError.__name__:
            self._conclude_early(submit, OrderStatus.TIMEOUT, error.text)
        else:
            self.refuse(submit, restore(error))

    def _with_contract(self, submit: SubmitOrder, contract: Contract) -> None:
        """An opening order is judged by a fresh quote; a closing one needs none (RSK-7)."""
        quote = self.quotes.get(contract.con_id)
        if submit.purpose is Purpose.CLOSE or self._is_fresh(quote):
            self._ask_approval(submit, contract, quote)
            return

        def judge(reply: Reply) -> None:
            assert isinstance(reply, QuoteRead)  # noqa: S101 - market data answers in kind
            self._ask_approval(submit, contract, reply.quote)

        self._ask(
            MARKET_DATA,
            GetQuote(**self.conversations.on_behalf(submit, "quote"), contract=contract),
            judge,
            lambda _: self._ask_approval(submit, contract, quote),
        )

    def _is_fresh(self, quote: Quote | None) -> bool:
        if quote is None:
            return False
        age_s = (self.clock.now() - quote.received_at).total_seconds()
        return age_s <= self.settings.quote_max_age_s

    def _ask_approval(self, submit: SubmitOrder, contract: Contract, quote: Quote | None) -> None:
        if self.account is None:
            self.refuse(submit, GatewayNotConnectedError("no account is known yet"))
            return
        now = self.clock.now()
        order_id = self._order_id(submit, contract, now)
        order = wire_order(
            submit.request,
            order_ref=order_ref(self.settings.operator_id, order_id),
            contract=contract,
            account=self.account,
            operator_id=self.settings.operator_id,
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
        )
        tracked = Tracked(record=record, submit=submit, quote=quote)
        self.book.add(tracked)
        self._ask(
            RISK,
            RequestApproval(
                **self.conversations.on_behalf(submit, "risk"),
                order=order,
                request=submit.request,
                quote=quote,
                close_reason=submit.close_reason,
            ),
            lambda reply: self._on_judged(tracked, reply),
            lambda error: self._stopped_short(tracked, OrderState.FAILED, error.text),
        )
        self._watch_deadline(tracked, submit)

    def _order_id(self, submit: SubmitOrder, contract: Contract, now: datetime) -> str:
        self.sequence += 1
        if submit.purpose is Purpose.CLOSE:
            return close_order_id(contract.position_id, f"{self.sequence:04d}_{self.suffix}")
        return new_order_id(now, self.sequence, self.suffix)

    def _watch_deadline(self, tracked: Tracked, submit: SubmitOrder) -> None:
        left_s = max(0.0, submit.deadline - self.clock.monotonic())
        lead_s = min(self.settings.cancel_before_deadline_s, left_s / 2)
        if submit.wait_for is WaitFor.FILL:
            self.schedule(left_s - lead_s, _CancelDue(order_ref=tracked.record.order_ref))
        self.schedule(
            max(0.0, left_s - ANSWER_MARGIN_S), _AnswerDue(order_ref=tracked.record.order_ref)
        )

    def _on_judged(self, tracked: Tracked, reply: Reply) -> None:
        if isinstance(reply, OrderRejected):
            tracked.validation = reply.validation
            reasons = "; ".join(reply.validation.rejection_reasons)
            self._stopped_short(tracked, OrderState.REJECTED, reasons)
            return
        assert isinstance(reply, OrderApproved)  # noqa: S101 - risk answers in kind
        tracked.validation = reply.validation
        if tracked.record.state is not OrderState.AWAITING_APPROVAL or tracked.submit is None:
            self._settle(tracked)
            return
        tracked.record = move(tracked.record, OrderState.AWAITING_JOURNAL, self.clock.now())
        self._ask(
            JOURNAL,
            RecordIntent(
                **self.conversations.on_behalf(tracked.submit, "intent"),
                order=tracked.record.order,
                request=tracked.record.request,
                order_id=tracked.record.order_id,
                incarnation=self.incarnation,
                at=self.clock.now(),
                close_reason=tracked.record.close_reason,
            ),
            lambda _: self._send(tracked, reply),
            lambda error: self._stopped_short(
                tracked, OrderState.FAILED, f"no durable intent, no order: {error.text}"
            ),
        )

    def _send(self, tracked: Tracked, approved: OrderApproved) -> None:
        """The intent is durable: go through the gate, unless the caller gave up meanwhile."""
        if tracked.record.state is not OrderState.AWAITING_JOURNAL or tracked.submit is None:
            self._settle(tracked)
            return
        tracked.record = move(tracked.record, OrderState.AT_GATE, self.clock.now())
        self._ask(
            LINK,
            SendOrder(
                **self.conversations.on_behalf(tracked.submit, "gate"),
                permit=approved.permit,
                order=tracked.record.order,
            ),
            lambda reply: self._on_gate(tracked, reply),
            lambda error: self._gate_silent(tracked, error),
        )

    def _on_gate(self, tracked: Tracked, reply: Reply) -> None:
        now = self.clock.now()
        if isinstance(reply, OrderSent):
            self._update(tracked, mark_sent(tracked.record, reply.broker_order_id, now), "sent")
            if self.client_id is not None:
                self.tell(
                    JOURNAL,
                    RaiseOrderIdFloor(client_id=self.client_id, floor=reply.broker_order_id),
                )
        elif isinstance(reply, OrderSimulated):
            self._update(tracked, move(tracked.record, OrderState.SIMULATED, now), "simulated")
        elif isinstance(reply, OrderRefusedAtGate):
            self._stopped_short(tracked, OrderState.REJECTED, reply.reason)

    def _gate_silent(self, tracked: Tracked, error: ErrorInfo) -> None:
        """The gate did not say: the order may have been sent, so its fate is asked for."""
        if tracked.record.state is OrderState.AT_GATE:
            record = move(tracked.record, OrderState.UNKNOWN, self.clock.now())
            self._update(tracked, record, f"the gate did not answer: {error.text}")

    def _stopped_short(self, tracked: Tracked, state: OrderState, reason: str) -> None:
        """The order ends before it reached the broker."""
        if tracked.record.is_terminal:
            self._settle(tracked)
            return
        self._update(tracked, move(tracked.record, state, self.clock.now(), reason), reason)

    # --- changing and cancelling ----------------------------------------------------------------------------------

    def on_modify_order(self, modify: ModifyOrder) -> None:
        """Have the new terms approved and send them under the same broker order id (ORD-3)."""
        tracked = self.book.by_order_id(modify.order_id)
        if tracked is None or tracked.record.state not in WORKING:
            state = "unknown" if tracked is None else tracked.record.state
            self.refuse(
                modify,
                OrderNotFoundError(f"order {modify.order_id} is not working (it is {state})"),
            )
            return
        if self.latched is not None and tracked.record.purpose is Purpose.OPEN:
            self.refuse(modify, ModeError(f"Strategy C is latched: {self.latched}"))
            return
        record = tracked.record
        try:
            request = validate_modification(
                record.request,
                quantity=modify.quantity,
                limit_price=modify.limit_price,
                stop_price=modify.stop_price,
            )
        except GatewayError as error:
            self.refuse(modify, error)
            return
        order = attrs.evolve(
            record.order,
            quantity=request.quantity,
            limit_price=request.limit_price,
            stop_price=request.stop_price,
            broker_order_id=record.broker_order_id,
        )
        tracked.modify, tracked.change_sent = modify, False
        self._ask(
            RISK,
            RequestApproval(
                **self.conversations.on_behalf(modify, "risk"),
                order=order,
                request=request,
                quote=self.quotes.get(order.contract.con_id),
                replaced=signed_remaining(record),
            ),
            lambda reply: self._modify_judged(tracked, modify, request, order, reply),
            lambda error: self._modify_failed(tracked, restore(error)),
        )

    def _modify_judged(
        self,
        tracked: Tracked,
        modify: ModifyOrder,
        request: TradeRequest,
        order: WireOrder,
        reply: Reply,
    ) -> None:
        if isinstance(reply, OrderRejected):
            reasons = "; ".join(reply.validation.rejection_reasons)
            self._modify_failed(tracked, ModeError(f"the change was rejected by risk: {reasons}"))
            return
        assert isinstance(reply, OrderApproved)  # noqa: S101 - risk answers in kind
        permit = reply.permit
        self._ask(
            JOURNAL,
            RecordModification(
                **self.conversations.on_behalf(modify, "intent"),
                order=order,
                request=request,
                at=self.clock.now(),
            ),
            lambda _: self._ask(
                LINK,
                SendOrder(
                    **self.conversations.on_behalf(modify, "gate"), permit=permit, order=order
                ),
                lambda answer: self._modify_sent(tracked, request, order, answer),
                lambda error: self._modify_failed(tracked, restore(error)),
            ),
            lambda error: self._modify_failed(tracked, restore(error)),
        )

    def _modify_sent(
        self, tracked: Tracked, request: TradeRequest, order: WireOrder, reply: Reply
    ) -> None:
        if isinstance(reply, OrderRefusedAtGate):
            self._modify_failed(tracked, ModeError(f"refused at the gate: {reply.reason}"))
            return
        tracked.change_sent = True
        record = attrs.evolve(begin_change(tracked.record, order), request=request)
        self._update(tracked, record, "change sent")

    def _modify_failed(self, tracked: Tracked, error: GatewayError) -> None:
        modify, tracked.modify = tracked.modify, None
        if modify is not None:
            self.refuse(modify, error)
        self._tell_risk(tracked, force=True)

    def on_cancel_order(self, cancel: CancelOrder) -> None:
        """Cancel one order; needs no permit, and is answered once the order is at its end."""
        tracked = self.book.by_order_id(cancel.order_id)
        if tracked is None:
            self.refuse(cancel, OrderNotFoundError(f"no order has the id {cancel.order_id}"))
            return
        tracked.cancels.append(cancel)
        if not tracked.record.is_terminal:
            left_s = cancel.deadline - self.clock.monotonic() - ANSWER_MARGIN_S
            self.schedule(max(0.0, left_s), _AnswerDue(order_ref=tracked.record.order_ref))
        self._cancel(tracked, "cancel asked for")

    def _cancel(self, tracked: Tracked, why: str) -> None:
        record = request_cancel(tracked.record, self.clock.now())
        if record.is_live and record.broker_order_id is not None:
            self.tell(
                LINK,
                SendCancel(order_ref=record.order_ref, broker_order_id=record.broker_order_id),
            )
        self._update(tracked, record, why)

    def on_cancel_all_orders(self, message: CancelAllOrders) -> None:
        """Cancel whatever works, and answer when all of it is at its end (STC-2)."""
        working = [
            tracked
            for tracked in self.book
            if not is_settled(tracked.record) and tracked.record.state is not OrderState.UNKNOWN
        ]
        references = frozenset(tracked.record.order_ref for tracked in working)
        if not self.settings.sends_orders:
            self.reply(
                message,
                AllOrdersCancelled(
                    correlation_id=message.correlation_id, cancelled=(), simulated=True
                ),
            )
            return
        self.cancel_alls[message.correlation_id] = (message, references)
        for tracked in working:
            if not tracked.record.is_terminal:
                self._cancel(tracked, "cancel of all orders")
        if message.whole_account:
            self.tell(LINK, SendGlobalCancel())
        left_s = message.deadline - self.clock.monotonic() - ANSWER_MARGIN_S
        self.schedule(max(0.0, left_s), _CancelAllDue(correlation_id=message.correlation_id))
        self._answer_cancel_alls()

    def on_cancel_all_due(self, message: _CancelAllDue) -> None:
        """Name the orders whose end was not confirmed in time."""
        held = self.cancel_alls.pop(message.correlation_id, None)
        if held is not None:
            request, references = held
            left = sorted(reference for reference in references if not self._is_over(reference))
            self.refuse(request, GatewayTimeoutError(f"not confirmed cancelled: {left}"))

    def _answer_cancel_alls(self) -> None:
        for correlation_id, (request, references) in tuple(self.cancel_alls.items()):
            if all(self._is_over(reference) for reference in references):
                del self.cancel_alls[correlation_id]
                self.reply(
                    request,
                    AllOrdersCancelled(
                        correlation_id=correlation_id, cancelled=tuple(sorted(references))
                    ),
                )

    def _is_over(self, reference: str) -> bool:
        tracked = self.book.by_ref(reference)
        return tracked is None or is_settled(tracked.record)

    def on_get_open_orders(self, request: GetOpenOrders) -> None:
        """List what works or is being asked for."""
        orders = tuple(
            self._result(tracked) for tracked in self.book if not tracked.record.is_terminal
        )
        self.reply(request, OpenOrdersRead(correlation_id=request.correlation_id, orders=orders))

    # --- deadlines ------------------------------------------------------------------------------------------------

    def on_cancel_due(self, message: _CancelDue) -> None:
        """Cancel the remainder shortly before the deadline, so that nothing stays behind unnoticed (ORD-6)."""
        tracked = self.book.by_ref(message.order_ref)
        if tracked is not None and tracked.submit is not None and not tracked.record.is_terminal:
            tracked.timed_out = True
            self._cancel(tracked, "the deadline is near")

    def on_answer_due(self, message: _AnswerDue) -> None:
        """Answer with the quantities that are known now."""
        tracked = self.book.by_ref(message.order_ref)
        if tracked is None:
            return
        now = self.clock.monotonic() + 2 * ANSWER_MARGIN_S
        if tracked.submit is not None and tracked.submit.deadline <= now:
            tracked.timed_out = True
            if tracked.record.state in UNSENT:
                tracked.record = request_cancel(tracked.record, self.clock.now())
            self._conclude(tracked)
        for cancel in tuple(tracked.cancels):
            if cancel.deadline <= now:
                tracked.cancels.remove(cancel)
                self.refuse(
                    cancel,
                    GatewayTimeoutError(f"the cancel of {cancel.order_id} is not confirmed yet"),
                )
        if tracked.modify is not None and tracked.modify.deadline <= now:
            self._modify_failed(tracked, GatewayTimeoutError("the change is not confirmed yet"))

    # --- what the broker says -------------------------------------------------------------------------------------

    def on_broker_order_reported(self, event: BrokerOrderReported) -> None:
        """Take over a status; one of somebody else's order is none of ours."""
        tracked = self.book.of_report(event.order, self.client_id)
        if tracked is None or tracked.record.state in UNSENT:
            return
        self._update(
            tracked,
            apply_status(tracked.record, event.order, self.clock.now()),
            f"broker: {event.order.status}",
        )

    def on_execution_reported(self, event: ExecutionReported) -> None:
        """Count an execution, once."""
        self._record_execution(event.execution)

    def _record_execution(self, execution: Execution) -> None:
        counted = count(self.executions, execution)
        self.executions = counted.executions
        tracked = self.book.of_execution(execution, self.client_id)
        if counted.counted:
            recorded = ExecutionRecorded(
                execution=execution,
                replaces=counted.replaces,
                correlation_id=tracked.record.correlation_id if tracked else "",
            )
            for address in (RISK, POSITION, GATEWAY):
                self.tell(address, recorded)
            self.tell(JOURNAL, RecordExecution(execution=execution))
        if tracked is not None:
            record = apply_execution(tracked.record, execution, self.clock.now())
            if record is not tracked.record:
                price = execution.price
                self._update(tracked, record, f"filled {execution.quantity:g} at {price:g}")

    def on_commission_reported(self, event: CommissionReported) -> None:
        """Put a commission on its execution."""
        tracked = self.book.of_commission(event.exec_id)
        if tracked is not None:
            tracked.record = apply_commission(
                tracked.record, event.exec_id, event.commission, event.realized_pnl
            )
            self._tell_change(tracked, "commission")

    def on_order_error_reported(self, event: OrderErrorReported) -> None:
        """Read a broker's code in the table (ORD-8); what is unclear is asked for, never assumed."""
        tracked = self.book.by_broker_id(event.broker_order_id)
        if tracked is None or tracked.record.state in UNSENT:
            return
        before = tracked.record
        changing = before.pending_change is not None
        record = apply_error(before, event.code, event.text, self.clock.now())
        self._update(tracked, record, f"broker code {event.code}: {event.text}")
        if changing and record.pending_change is None and tracked.modify is not None:
            self._modify_failed(
                tracked, ModeError(f"the broker refused the change: {event.code} {event.text}")
            )
        if record.state is OrderState.UNKNOWN and before.state is not OrderState.UNKNOWN:
            self._ask_for_reconciliation()

    def on_connection_state_changed(self, event: ConnectionStateChanged) -> None:
        """Know whether anything can be sent. What was under way may have been filled: it is asked for on reconnect."""
        self.connected = event.state is ConnectionState.CONNECTED
        if event.previous is ConnectionState.CONNECTED:
            self.contracts.clear()
            self.quotes.clear()

    def on_latch_changed(self, event: LatchChanged) -> None:
        """Refuse openings from now on, or no longer."""
        self.latched = event.reason if event.latched else None

    def on_quote_updated(self, event: QuoteUpdated) -> None:
        """Remember the newest quote."""
        self.quotes[event.quote.contract.con_id] = event.quote

    # --- after every change ---------------------------------------------------------------------------------------

    def _update(self, tracked: Tracked, record: OrderRecord, detail: str) -> None:
        """Take over a record's new version and tell everybody whom it concerns."""
        before, tracked.record = tracked.record, record
        self.book.index(tracked)
        if record.state is not before.state or record.known_filled != before.known_filled:
            if before.state not in UNSENT or record.state is OrderState.AT_GATE:
                self._journal(tracked, detail)
            self._tell_change(tracked, detail)
        self._tell_risk(tracked)
        self._settle(tracked)

    def _journal(self, tracked: Tracked, detail: str) -> None:
        record = tracked.record
        self.tell(
            JOURNAL,
            RecordTransition(
                order_ref=record.order_ref,
                state=record.state,
                detail=detail,
                at=self.clock.now(),
                broker_order_id=record.broker_order_id,
                perm_id=record.perm_id,
                filled=record.known_filled,
            ),
        )

    def _tell_change(self, tracked: Tracked, detail: str) -> None:
        self.tell(
            GATEWAY,
            OrderChanged(result=self._result(tracked), detail=detail, at=self.clock.now()),
        )
        record = tracked.record
        self.log(
            f"order_{record.state.lower()}",
            level="DEBUG" if record.state in LIVE else "INFO",
            correlation_id=record.correlation_id,
            order_id=record.order_id,
            symbol=str(record.order.contract),
            action=record.order.action.value,
            quantity=record.order.quantity,
            filled=record.known_filled,
            detail=detail,
        )

    def _tell_risk(self, tracked: Tracked, *, force: bool = False) -> None:
        """A reservation shrinks only by what can certainly not fill any more (RSK-6)."""
        record = tracked.record
        if record.is_terminal and not is_settled(record):
            return
        remaining = signed_remaining(record)
        if remaining != tracked.reported or force:
            tracked.reported = remaining
            self.tell(RISK, OrderSettled(order_ref=record.order_ref, signed_remaining=remaining))

    def _settle(self, tracked: Tracked) -> None:
        """Answer those who waited for what has now happened."""
        record = tracked.record
        over = is_settled(record)
        submit = tracked.submit
        if submit is not None and (
            over or (submit.wait_for is WaitFor.ACK and record.state in WORKING)
        ):
            self._conclude(tracked)
        if tracked.modify is not None and tracked.change_sent and record.pending_change is None:
            modify, tracked.modify = tracked.modify, None
            self._answer(modify, tracked)
        if over:
            for cancel in tracked.cancels:
                self._answer(cancel, tracked)
            tracked.cancels.clear()
        if self.cancel_alls:
            self._answer_cancel_alls()

    def _conclude(self, tracked: Tracked) -> None:
        submit, tracked.submit = tracked.submit, None
        if submit is not None:
            self._answer(submit, tracked)

    def _answer(self, request: Request, tracked: Tracked) -> None:
        self.reply(
            request,
            OrderConcluded(correlation_id=request.correlation_id, result=self._result(tracked)),
        )

    def _conclude_early(self, submit: SubmitOrder, status: OrderStatus, reason: str) -> None:
        """Answer for an order that never got an id at the broker, nor with us."""
        request = submit.request
        self.log(
            f"order_{status.lower()}",
            level="WARNING",
            correlation_id=root_id(submit.correlation_id),
            symbol=request.symbol,
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

    def _result(self, tracked: Tracked) -> OrderResult:
        quote = self.quotes.get(tracked.record.order.contract.con_id) or tracked.quote
        return result(
            tracked.record,
            self.settings.mode,
            self.clock.now(),
            tracked.validation,
            timed_out=tracked.timed_out,
            quote_price=quote.price if quote else None,
        )

    # --- requests -------------------------------------------------------------------------------------------------

    def _ask(
        self,
        to: str,
        request: Request,
        on_reply: Callable[[Reply], None],
        on_failure: Callable[[ErrorInfo], None],
    ) -> None:
        """Ask on behalf of a caller, whose own deadline is watched anyway."""
        self.conversations.ask(to, request, on_reply, on_failure, watched=False)

    def on_answer(self, reply: Reply) -> None:
        """Continue the conversation that the reply belongs to."""
        self.conversations.answered(reply)

    def on_failure_answer(self, reply: RequestFailed) -> None:
        """End the conversation that failed."""
        self.conversations.failed(reply)

    def on_expired(self, message: ConversationExpired) -> None:
        """End the conversation whose answer did not come."""
        self.conversations.expired(message)


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
