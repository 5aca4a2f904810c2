"""The Strategy C actor: it drives the steps of a liquidation (D16).

What follows on what is in `actors.logic.liquidation`; here is who is asked, and that every step is durable before it is
taken. The latch is told in memory first, to the gate, to risk and to the executor, and only then written: refusing must
not wait for a disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import attrs

from actors.base import ActorContext
from actors.conversations import (
    ANSWERS,
    ConversingActor,
    RequestHeader,
)
from actors.errors import ErrorInfo, GatewayError, OrderValidationError
from actors.logic import liquidation
from actors.logic import liquidation_words as words
from actors.logic.close_orders import close_order
from actors.logic.liquidation_words import (
    Event,
    LiquidationLimits,
    LiquidationState,
    Step,
)
from actors.logic.order_ids import operator_of
from actors.messages.addresses import (
    CONNECTION,
    EXECUTOR,
    GATEWAY,
    JOURNAL,
    LINK,
    RISK,
    SUPERVISOR,
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
    JournalRead,
    LatchDurable,
    ReadJournal,
    RecordLatch,
    RecordStep,
    StepDurable,
)
from actors.messages.lifecycle import Message, Reply, Request, StopTree
from actors.messages.liquidation import (
    DataQuarantined,
    GetLiquidationStatus,
    Liquidate,
    LiquidationAccepted,
    LiquidationReport,
    LiquidationStatus,
    Rearm,
    Rearmed,
    RestartLimitExceeded,
)
from actors.messages.orders import AllOrdersCancelled, CancelAllOrders, OrderConcluded
from actors.messages.risk import LatchChanged, LossLimitBreached
from actors.model.connection import BrokerState, ConnectionState, DisconnectCause
from actors.model.orders import OPERATOR_ID, CloseReason, OrderResult
from actors.ports import EventLog, no_log

RECOVERY_S = 10.0
NOT_RUNNING = "IDLE"
"""What `status` calls a Strategy C that never ran."""

REFUSERS = (LINK, RISK, EXECUTOR)
"""Who refuses opening orders while the latch is on; the gate first."""


@attrs.frozen(kw_only=True)
class StrategyCSettings:
    """The ``[strategy_c]`` section as this actor needs it; times in seconds."""

    limits: LiquidationLimits = attrs.field(factory=LiquidationLimits)
    grace_s: float = 0.0
    step_timeout_s: float = 10.0
    close_timeout_s: float = 30.0
    sends_orders: bool = False
    operator_id: str = OPERATOR_ID


@attrs.frozen(kw_only=True)
class _GraceOver(Message):
    """The grace after disconnect ``number`` is over."""

    number: int
    trigger: str


@attrs.frozen(kw_only=True)
class _DelayOver(Message):
    """A delay that the liquidation asked for is over."""

    turn: int


@attrs.frozen(kw_only=True)
class _ReadOverdue(Message):
    """The broker's state should have been there by now."""

    turn: int


class StrategyCActor(ConversingActor):
    """See the module's docstring."""

    recovers = True

    handlers: ClassVar[Mapping[type[Message], str]] = {
        Liquidate: "on_liquidate",
        Rearm: "on_rearm",
        GetLiquidationStatus: "on_get_liquidation_status",
        ConnectionStateChanged: "on_connection_state_changed",
        LossLimitBreached: "on_loss_limit_breached",
        DataQuarantined: "on_data_quarantined",
        RestartLimitExceeded: "on_restart_limit_exceeded",
        Reconcile: "on_reconcile",
        ReconciliationCompleted: "on_reconciliation_completed",
        NothingToReconcile: "on_nothing_to_reconcile",
        _GraceOver: "on_grace_over",
        _DelayOver: "on_delay_over",
        _ReadOverdue: "on_read_overdue",
        JournalRead: "on_answer",
        LatchDurable: "on_answer",
        StepDurable: "on_answer",
        AllOrdersCancelled: "on_answer",
        OrderConcluded: "on_answer",
        **ANSWERS,
    }

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: StrategyCSettings | None = None,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context)
        self.settings = settings or StrategyCSettings()
        self.log = log
        self.state: LiquidationState | None = None
        self.latched: str | None = None
        self.report: LiquidationReport | None = None
        self.linked = False
        self.disconnects = 0
        self.in_grace = False
        self.answered_disconnects = 0
        self.managed: set[int] = set()
        self.reading: int | None = None
        self.last_read: Reconcile | None = None
        self.early_reconcile: Reconcile | None = None
        self.is_ready = False
        self.accepting: list[Liquidate] = []
        self.stop_when_done: str | None = None

    # --- recovery -------------------------------------------------------------------------------------------------

    def started(self) -> None:
        """Learn from the journal whether the latch is on: it survives everything (STC-4)."""
        self._ask(
            JOURNAL,
            ReadJournal(**self._own("journal", RECOVERY_S)),
            self._on_journal,
            self._cannot_recover,
        )

    def _cannot_recover(self, error: ErrorInfo) -> None:
        raise GatewayError(f"Strategy C cannot read its latch: {error.text}")

    def _on_journal(self, reply: Reply) -> None:
        assert isinstance(reply, JournalRead)  # noqa: S101 - the journal answers in kind
        self.is_ready = True
        if reply.latched:
            self.latched = reply.latch_reason or "latched by an earlier process"
            self.log("latch_found", level="WARNING", reason=self.latched)
            self._tell_latch()
            self._take(
                liquidation.resume(
                    reply.liquidation_id or self.entropy.uuid4(),
                    self.latched,
                    CloseReason.DISCONNECT,
                    reply.liquidation_step,
                    self.clock.now(),
                    linked=self.linked,
                    simulated=not self.settings.sends_orders,
                )
            )
        if self.early_reconcile is not None:
            early, self.early_reconcile = self.early_reconcile, None
            self.on_reconcile(early)
        if self.incarnation > 1:
            self._request_reconciliation()  # its end says that the link is up
        self.recovered()

    def on_reconcile(self, message: Reconcile) -> None:
        """Say where the latch stands before the gate opens, and keep the broker's state for whoever reads it."""
        if not self.is_ready:
            self.early_reconcile = message
            return
        self.last_read = message
        self._face_disconnects(message.state)
        self._tell_latch()
        self.tell(CONNECTION, Reconciled(number=message.number, sender=self.name))

    def _face_disconnects(self, state: BrokerState) -> None:
        """Deal with a disconnect that never was told: the actor that should have told or heard of it had failed."""
        unanswered = state.disconnects > max(state.answered_disconnects, self.answered_disconnects)
        self.answered_disconnects = max(self.answered_disconnects, state.disconnects)
        if unanswered and self.latched is None and not self.in_grace:
            self._begin("disconnect: noticed at the reconnection", CloseReason.DISCONNECT)

    def on_reconciliation_completed(self, message: ReconciliationCompleted) -> None:
        """Go on with a state that everybody has taken over."""
        if not self.linked:
            self.linked = True
            self._advance(words.LinkUp())
        turn, read = self.reading, self.last_read
        if turn is None or read is None or read.number != message.number:
            return
        self.reading = None
        self._advance(
            liquidation.in_scope(
                read.state,
                self.settings.limits,
                turn,
                operator_id=self.settings.operator_id,
                managed=self._managed(read.state),
            )
        )

    def _managed(self, state: BrokerState) -> frozenset[int]:
        """The contracts of our orders, of the day's too, which the journal may not have yet."""
        ours = self.settings.operator_id
        return frozenset(self.managed).union(
            execution.contract.con_id
            for execution in state.executions
            if operator_of(execution.order_ref) == ours
        )

    def on_nothing_to_reconcile(self, _: NothingToReconcile) -> None:
        """The link is gone; the next session begins with a reconciliation anyway."""

    # --- triggers -------------------------------------------------------------------------------------------------

    def on_connection_state_changed(self, event: ConnectionStateChanged) -> None:
        """A detected disconnect is the first trigger; a restored link lets a latched liquidation run (STC-1, STC-3)."""
        if event.state is ConnectionState.CONNECTED:
            self.disconnects += 1
            self.in_grace = False
            self.linked = True
            self._advance(words.LinkUp())
            return
        if event.previous is not ConnectionState.CONNECTED:
            return
        self.linked = False
        self.reading = None
        self._advance(words.LinkDown())
        if event.cause is DisconnectCause.ASKED:
            return
        trigger = f"disconnect ({event.cause}): {event.reason}"
        if self.settings.grace_s > 0:
            self.in_grace = True
            self.schedule(
                self.settings.grace_s, _GraceOver(number=self.disconnects, trigger=trigger)
            )
        else:
            self._trigger(trigger, CloseReason.DISCONNECT)

    def on_grace_over(self, message: _GraceOver) -> None:
        """The link did not come back within the grace (STC-5)."""
        if message.number == self.disconnects and not self.linked:
            self.in_grace = False
            self._trigger(message.trigger, CloseReason.DISCONNECT)

    def on_loss_limit_breached(self, event: LossLimitBreached) -> None:
        """A loss limit was passed."""
        self._trigger(
            f"{event.reason}: loss of {event.loss:.2%} passed the limit of {event.limit:.2%}",
            event.reason,
        )

    def on_data_quarantined(self, event: DataQuarantined) -> None:
        """The data of a held or traded symbol is too old to be trusted."""
        self._trigger(
            f"data of {event.symbol} is {event.age_s:.0f} s old", CloseReason.DATA_QUARANTINE
        )

    def on_restart_limit_exceeded(self, event: RestartLimitExceeded) -> None:
        """An actor cannot be kept alive: liquidate, then stop (D7)."""
        self.stop_when_done = f"{event.actor} passed its restart limit: {event.reason}"
        self._trigger(self.stop_when_done, CloseReason.EMERGENCY_STOP)
        if self.state is not None and self.state.step is Step.DONE and self.state.recorded:
            self._stop_tree()

    def on_liquidate(self, request: Liquidate) -> None:
        """An operator asks for it; the answer comes with the durable latch."""
        self.accepting.append(request)
        running = self.state is not None and self.state.step is not Step.DONE
        if running and self.state is not None and self.state.step is not Step.LATCHING:
            self._accept()
        elif not running:
            self._begin(f"operator: {request.reason}", request.close_reason)

    def _trigger(self, trigger: str, reason: CloseReason) -> None:
        """Begin, unless the latch is on already: it runs once however many triggers arrive (STC-6)."""
        if self.latched is not None:
            self.log("strategy_c_trigger_ignored", trigger=trigger, latched=self.latched)
            return
        self._begin(trigger, reason)

    def _begin(self, trigger: str, reason: CloseReason) -> None:
        self.latched = trigger
        liquidation_id = self.entropy.uuid4()
        self.log(
            "strategy_c_triggered",
            level="ERROR",
            correlation_id=liquidation_id,
            trigger=trigger,
            linked=self.linked,
        )
        self._take(
            liquidation.begin(
                liquidation_id,
                trigger,
                reason,
                self.clock.now(),
                linked=self.linked,
                simulated=not self.settings.sends_orders,
            )
        )

    # --- re-arming ------------------------------------------------------------------------------------------------

    def on_rearm(self, request: Rearm) -> None:
        """Take the latch back, durably first: a crash in between leaves it on."""
        if not request.who.strip() or not request.why.strip():
            self.refuse(
                request, OrderValidationError("re-arming needs who and why, for the audit trail")
            )
            return
        state = self.state
        if state is not None and state.step in (
            Step.CANCELLING,
            Step.READING,
            Step.CLOSING,
            Step.VERIFYING,
        ):
            self.refuse(request, GatewayError(f"a liquidation is under way ({state.step})"))
            return
        if self.latched is None:
            self.reply(request, Rearmed(correlation_id=request.correlation_id))
            return
        self._ask(
            JOURNAL,
            RecordLatch(
                **self.conversations.on_behalf(request, "latch"),
                latched=False,
                liquidation_id=state.liquidation_id if state else "",
                reason="re-armed",
                who=request.who,
                why=request.why,
                at=self.clock.now(),
            ),
            lambda _: self._rearmed(request),
            lambda error: self.refuse(
                request, GatewayError(f"still latched: the journal refused: {error.text}")
            ),
        )

    def _rearmed(self, request: Rearm) -> None:
        self.latched = None
        self.state = None
        self._tell_latch()
        self.log("rearmed", level="WARNING", who=request.who, why=request.why)
        self.reply(request, Rearmed(correlation_id=request.correlation_id))

    def on_get_liquidation_status(self, request: GetLiquidationStatus) -> None:
        """Tell where Strategy C stands."""
        state = self.state
        self.reply(
            request,
            LiquidationStatus(
                correlation_id=request.correlation_id,
                latched=self.latched is not None,
                reason=self.latched,
                liquidation_id=state.liquidation_id if state else None,
                step=state.step.value if state else NOT_RUNNING,
                report=self.report,
            ),
        )

    # --- the steps ------------------------------------------------------------------------------------------------

    def _advance(self, event: Event) -> None:
        if self.state is not None:
            self._take(
                liquidation.advance(self.state, event, self.clock.now(), self.settings.limits)
            )

    def _take(self, outcome: liquidation.Outcome) -> None:
        """Store the new state, then emit its effects."""
        self.state, effects = outcome
        for effect in effects:
            self._effects[type(effect)](self, effect)

    def _close_gate(self, _: words.CloseGate) -> None:
        self._tell_latch()

    def _tell_latch(self) -> None:
        change = LatchChanged(
            latched=self.latched is not None,
            reason=self.latched or "",
            at=self.clock.now(),
            answered_disconnects=self.answered_disconnects,
        )
        for address in REFUSERS:
            self.tell(address, change)

    def _record_latch(self, effect: words.RecordLatch) -> None:
        def durable(is_durable: bool) -> None:
            self._accept()
            self._advance(words.LatchRecorded(durable=is_durable))

        self._ask(
            JOURNAL,
            RecordLatch(
                **self._own("latch", self.settings.step_timeout_s),
                latched=True,
                liquidation_id=effect.liquidation_id,
                reason=effect.reason,
                who="strategy_c",
                why="",
                at=self.clock.now(),
            ),
            lambda _: durable(True),
            lambda _: durable(False),
        )

    def _accept(self) -> None:
        state = self.state
        for request in self.accepting:
            self.reply(
                request,
                LiquidationAccepted(
                    correlation_id=request.correlation_id,
                    liquidation_id=state.liquidation_id if state else "",
                ),
            )
        self.accepting.clear()

    def _record_step(self, effect: words.RecordStep) -> None:
        state = self.state
        assert state is not None  # noqa: S101 - effects exist only with a state
        self.log(
            "strategy_c_step",
            correlation_id=state.liquidation_id,
            step=effect.step.value,
            detail=effect.detail,
        )
        self._ask(
            JOURNAL,
            RecordStep(
                **self._own("step", self.settings.step_timeout_s),
                liquidation_id=state.liquidation_id,
                step=effect.step.value,
                detail=effect.detail,
                at=self.clock.now(),
            ),
            lambda _: self._advance(words.StepRecorded(turn=effect.turn)),
            lambda _: self._advance(words.StepRecorded(turn=effect.turn, durable=False)),
        )

    def _cancel_all(self, effect: words.CancelAll) -> None:
        def cancelled(reply: Reply) -> None:
            assert isinstance(reply, AllOrdersCancelled)  # noqa: S101 - answered in kind
            self._advance(words.CancelsDone(turn=effect.turn, cancelled=reply.cancelled))

        self._ask(
            EXECUTOR,
            CancelAllOrders(
                **self._own("cancel-all", self.settings.step_timeout_s),
                whole_account=effect.whole_account,
            ),
            cancelled,
            lambda error: self._step_failed(effect.turn, error),
        )

    def _read_broker(self, effect: words.ReadBroker) -> None:
        """Read by way of a reconciliation, so that ledger and broker agree when the closes are sized."""
        self.schedule(self.settings.step_timeout_s, _ReadOverdue(turn=effect.turn))
        self.reading = effect.turn
        if self.settings.limits.whole_account:
            self._request_reconciliation()
            return
        self._ask(
            JOURNAL,
            ReadJournal(**self._own("managed", self.settings.step_timeout_s)),
            self._on_traded,
            lambda error: self._read_failed(effect.turn, error.text),
        )

    def _on_traded(self, reply: Reply) -> None:
        """Learn which contracts are ours: those that this operator's orders ever traded."""
        assert isinstance(reply, JournalRead)  # noqa: S101 - the journal answers in kind
        ours = self.settings.operator_id
        self.managed |= {con_id for operator, con_id in reply.traded if operator == ours}
        self._request_reconciliation()

    def _request_reconciliation(self) -> None:
        self.tell(CONNECTION, RequestReconciliation(sender=self.name))

    def on_read_overdue(self, message: _ReadOverdue) -> None:
        """The broker's state did not come."""
        self._read_failed(message.turn, "the broker's state did not come")

    def _read_failed(self, turn: int, reason: str) -> None:
        if self.reading == turn:
            self.reading = None
            self._advance(words.StepFailed(turn=turn, reason=reason))

    def _submit_closes(self, effect: words.SubmitCloses) -> None:
        told: list[str] = []
        expected = len(effect.closes)

        def note(text: str) -> None:
            told.append(text)
            if len(told) == expected:
                self._advance(words.ClosesDone(turn=effect.turn, closed=tuple(sorted(told))))

        for close in effect.closes:
            self._close(close, effect.reason, note)

    def _close(self, close: words.Close, reason: CloseReason, note: Callable[[str], None]) -> None:
        def concluded(reply: Reply) -> None:
            assert isinstance(reply, OrderConcluded)  # noqa: S101 - the executor answers in kind
            note(_said(close, reply.result))

        self._ask(
            EXECUTOR,
            close_order(
                close.contract,
                -close.action.sign * close.quantity,
                reason,
                self.settings.operator_id,
                **self._own(f"close-{close.contract.con_id}", self.settings.close_timeout_s),
            ),
            concluded,
            lambda error: note(f"{close}: {error.text}"),
        )

    def _retry_later(self, effect: words.RetryLater) -> None:
        self.schedule(effect.delay_s, _DelayOver(turn=effect.turn))

    def on_delay_over(self, message: _DelayOver) -> None:
        """Go on after a delay."""
        self._advance(words.DelayPassed(turn=message.turn))

    def _alarm(self, effect: words.Alarm) -> None:
        self.log("strategy_c_alarm", level="CRITICAL", text=effect.text)

    def _tell_report(self, effect: words.Report) -> None:
        report = self.report = effect.report
        self.log(
            "strategy_c_report",
            level="WARNING" if report.flat or report.simulated else "CRITICAL",
            correlation_id=report.liquidation_id,
            flat=report.flat,
            simulated=report.simulated,
            cancelled=len(report.cancelled),
            closed="; ".join(report.closed),
            remaining="; ".join(report.remaining),
            seconds=round((report.ended_at - report.started_at).total_seconds(), 3),
        )
        self.tell(GATEWAY, report)
        if self.stop_when_done is not None:
            self._stop_tree()

    def _stop_tree(self) -> None:
        self.tell(SUPERVISOR, StopTree(reason=self.stop_when_done or "Strategy C is done"))

    def _step_failed(self, turn: int, error: ErrorInfo) -> None:
        self._advance(words.StepFailed(turn=turn, reason=error.text))

    _effects: ClassVar[Mapping[type, Callable[..., None]]] = {
        words.CloseGate: _close_gate,
        words.RecordLatch: _record_latch,
        words.RecordStep: _record_step,
        words.CancelAll: _cancel_all,
        words.ReadBroker: _read_broker,
        words.SubmitCloses: _submit_closes,
        words.RetryLater: _retry_later,
        words.Alarm: _alarm,
        words.Report: _tell_report,
    }

    # --- requests -------------------------------------------------------------------------------------------------

    def _own(self, step: str, timeout_s: float) -> RequestHeader:
        return self.conversations.of_our_own(step, timeout_s)

    def _ask(
        self,
        to: str,
        request: Request,
        on_reply: Callable[[Reply], None],
        on_failure: Callable[[ErrorInfo], None],
    ) -> None:
        self.conversations.ask(to, request, on_reply, on_failure)


def _said(close: words.Close, result: OrderResult) -> str:
    reason = f" ({result.rejection_reason})" if result.rejection_reason else ""
    return f"{close}: {result.status}, {result.fill_quantity:g} filled{reason}"
