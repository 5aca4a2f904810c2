"""The desk of Strategy C: it asks for what a liquidation's steps want done, each recorded before it is taken (D16)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import attrs

from actors import messages as m
from actors.errors import ErrorInfo
from actors.hours import HoursKeeper
from actors.kernel.actor import ActorContext
from actors.kernel.conversations import ConversingActor
from actors.kernel.handlers import handles
from actors.kernel.messages import Message, Reply, Request, StopTree
from actors.kernel.stories import RequestHeader
from actors.logic import liquidation_events as events
from actors.logic.close_orders import close_order
from actors.logic.liquidation_events import (
    Event,
    LiquidationState,
)
from actors.messages.addresses import (
    CONNECTION,
    EXECUTOR,
    FACADE,
    JOURNAL,
    LINK,
    RISK,
    SUPERVISOR,
)
from actors.model.orders import CloseReason, OrderResult, OrderStatus, WaitFor
from actors.model.trading import Trading
from actors.ports import EventLog, no_log
from actors.sections.strategy_c import StrategyC
from supervision.strategy_c import steps as liquidation

REFUSERS = (LINK, RISK, EXECUTOR)
"""Who refuses opening orders while the latch is on; the gate first."""


@attrs.frozen(kw_only=True)
class DelayOver(Message):
    """A delay that the liquidation asked for is over."""

    turn: int


@attrs.frozen(kw_only=True)
class ReadOverdue(Message):
    """The broker's state should have been there by now."""

    turn: int


class LiquidationDesk(ConversingActor):
    """The state of the liquidation, and one method for each effect that its logic can ask for."""

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: StrategyC,
        trading: Trading,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context)
        self.settings = settings
        self.trading = trading
        self.log = log
        self.state: LiquidationState | None = None
        self.latched: str | None = None
        self.report: m.LiquidationReport | None = None
        self.linked = False
        self.disconnects = 0
        self.in_grace = False
        self.answered_disconnects = 0
        self.managed: set[int] = set()
        self.reading: int | None = None
        self.last_read: m.Reconcile | None = None
        self.early_reconcile: m.Reconcile | None = None
        self.is_ready = False
        self.accepting: list[m.Liquidate] = []
        self.stop_when_done: str | None = None
        self.hours = HoursKeeper(self)

    @handles(m.ContractDescribed)
    def on_contract_described(self, event: m.ContractDescribed) -> None:
        """Learn the hours of what may come to be held."""
        self.hours.learn(event.contract)

    # --- the steps ------------------------------------------------------------------------------------------------

    def advance(self, event: Event) -> None:
        """Let an event take the liquidation on, when there is one."""
        if self.state is not None:
            self.take(liquidation.advance(self.state, event, self.clock.now(), self.settings))

    def take(self, outcome: liquidation.Outcome) -> None:
        """Store the new state, then emit its effects."""
        self.state, effects = outcome
        for effect in effects:
            self._effects[type(effect)](self, effect)

    def _close_gate(self, _: events.CloseGate) -> None:
        self.tell_latch()

    def tell_latch(self) -> None:
        """Tell those who refuse opening orders whether the latch is on."""
        change = m.LatchChanged(
            latched=self.latched is not None,
            reason=self.latched or "",
            at=self.clock.now(),
            answered_disconnects=self.answered_disconnects,
        )
        for address in REFUSERS:
            self.tell(address, change)

    def _record_latch(self, effect: events.RecordLatch) -> None:
        def durable(is_durable: bool) -> None:
            self.accept()
            self.advance(events.LatchRecorded(durable=is_durable))

        self.ask(
            JOURNAL,
            m.RecordLatch(
                **self.own_header("latch", self.settings.step_timeout_s),
                latched=True,
                liquidation_id=effect.liquidation_id,
                reason=effect.reason,
                who="strategy_c",
                why="",
                at=self.clock.now(),
                close_reason=self.state.close_reason if self.state else CloseReason.DISCONNECT,
            ),
            lambda _: durable(True),
            lambda _: durable(False),
        )

    def accept(self) -> None:
        """Answer the operators who asked for the liquidation that is under way."""
        state = self.state
        for request in self.accepting:
            self.reply(
                request,
                m.LiquidationAccepted(
                    correlation_id=request.correlation_id,
                    liquidation_id=state.liquidation_id if state else "",
                ),
            )
        self.accepting.clear()

    def _record_step(self, effect: events.RecordStep) -> None:
        state = self.state
        assert state is not None  # noqa: S101 - effects exist only with a state
        self.log(
            "strategy_c_step",
            level="WARNING" if effect.step is events.Step.QUEUED else "INFO",
            correlation_id=state.liquidation_id,
            step=effect.step.value,
            detail=effect.detail,
        )
        self.ask(
            JOURNAL,
            m.RecordStep(
                **self.own_header("step", self.settings.step_timeout_s),
                liquidation_id=state.liquidation_id,
                step=effect.step.value,
                detail=effect.detail,
                at=self.clock.now(),
            ),
            lambda _: self.advance(events.StepRecorded(turn=effect.turn)),
            lambda _: self.advance(events.StepRecorded(turn=effect.turn, durable=False)),
        )

    def _cancel_all(self, effect: events.CancelAll) -> None:
        def cancelled(reply: Reply) -> None:
            assert isinstance(reply, m.AllOrdersCancelled)  # noqa: S101 - answered in kind
            self.advance(events.CancelsDone(turn=effect.turn, cancelled=reply.cancelled))

        self.ask(
            EXECUTOR,
            m.CancelAllOrders(
                **self.own_header("cancel-all", self.settings.step_timeout_s),
                whole_account=effect.whole_account,
                why="Strategy C cancels all orders",
            ),
            cancelled,
            lambda error: self._step_failed(effect.turn, error),
        )

    def _read_broker(self, effect: events.ReadBroker) -> None:
        """Read by way of a reconciliation, so that ledger and broker agree when the closes are sized."""
        self.schedule(self.settings.step_timeout_s, ReadOverdue(turn=effect.turn))
        self.reading = effect.turn
        if self.settings.whole_account:
            self.request_reconciliation()
            return
        self.ask(
            JOURNAL,
            m.ReadJournal(**self.own_header("managed", self.settings.step_timeout_s)),
            self._on_traded,
            lambda error: self.read_failed(effect.turn, error.text),
        )

    def _on_traded(self, reply: Reply) -> None:
        assert isinstance(reply, m.JournalRead)  # noqa: S101 - the journal answers in kind
        self.learn_traded(reply)
        self.request_reconciliation()

    def learn_traded(self, read: m.JournalRead) -> None:
        """Learn which contracts are ours: those that this operator's orders ever traded."""
        ours = self.trading.operator_id
        self.managed |= {con_id for operator, con_id in read.traded if operator == ours}

    def request_reconciliation(self) -> None:
        """Have the broker's state read and taken over by everybody."""
        self.tell(CONNECTION, m.RequestReconciliation(sender=self.name))

    @handles(ReadOverdue)
    def on_read_overdue(self, message: ReadOverdue) -> None:
        """The broker's state did not come."""
        self.read_failed(message.turn, "the broker's state did not come")

    def read_failed(self, turn: int, reason: str) -> None:
        """Go on without the broker's state."""
        if self.reading == turn:
            self.reading = None
            self.advance(events.StepFailed(turn=turn, reason=reason))

    def _submit_closes(self, effect: events.SubmitCloses) -> None:
        told: list[str] = []
        queued: set[int] = set()
        expected = len(effect.closes)

        def note(close: events.Close, text: str, is_queued: bool) -> None:
            told.append(text)
            if is_queued:
                queued.add(close.contract.con_id)
            if len(told) == expected:
                done = events.ClosesDone(
                    turn=effect.turn, closed=tuple(sorted(told)), queued=frozenset(queued)
                )
                self.advance(done)

        for close in effect.closes:
            self._close(close, effect.reason, note)

    def _close(
        self,
        close: events.Close,
        reason: CloseReason,
        note: Callable[[events.Close, str, bool], None],
    ) -> None:
        """Close at the market. What does not trade now is left at the broker, which keeps it for the open (STC-7)."""
        waits = close.opens_at is not None

        def concluded(reply: Reply) -> None:
            assert isinstance(reply, m.OrderConcluded)  # noqa: S101 - the executor answers in kind
            is_queued = waits and reply.result.status is OrderStatus.PENDING
            note(close, str(close) if is_queued else _said(close, reply.result), is_queued)

        self.ask(
            EXECUTOR,
            close_order(
                close.contract,
                -close.action.sign * close.quantity,
                reason,
                self.trading.operator_id,
                **self.own_header(f"close-{close.contract.con_id}", self.settings.close_timeout_s),
                wait_for=WaitFor.ACK if waits else WaitFor.FILL,
            ),
            concluded,
            lambda error: note(close, f"{close}: {error.text}", False),
        )

    def _retry_later(self, effect: events.RetryLater) -> None:
        self.schedule(effect.delay_s, DelayOver(turn=effect.turn))

    @handles(DelayOver)
    def on_delay_over(self, message: DelayOver) -> None:
        """Go on after a delay."""
        self.advance(events.DelayPassed(turn=message.turn))

    def _alarm(self, effect: events.Alarm) -> None:
        self.log("strategy_c_alarm", level="CRITICAL", text=effect.text)

    def _tell_report(self, effect: events.Report) -> None:
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
        self.tell(FACADE, report)
        if self.stop_when_done is not None:
            self.stop_tree()

    def stop_tree(self) -> None:
        """Ask the supervisor to stop the tree: an actor could not be kept alive (D7)."""
        self.tell(SUPERVISOR, StopTree(reason=self.stop_when_done or "Strategy C is done"))

    def _step_failed(self, turn: int, error: ErrorInfo) -> None:
        self.advance(events.StepFailed(turn=turn, reason=error.text))

    _effects: ClassVar[Mapping[type, Callable[..., None]]] = {
        events.CloseGate: _close_gate,
        events.RecordLatch: _record_latch,
        events.RecordStep: _record_step,
        events.CancelAll: _cancel_all,
        events.ReadBroker: _read_broker,
        events.SubmitCloses: _submit_closes,
        events.RetryLater: _retry_later,
        events.Alarm: _alarm,
        events.Report: _tell_report,
    }

    # --- requests -------------------------------------------------------------------------------------------------

    def own_header(self, step: str, timeout_s: float) -> RequestHeader:
        """Head a request that nobody asked us for."""
        return self.conversations.of_our_own(step, timeout_s)

    def ask(
        self,
        to: str,
        request: Request,
        on_reply: Callable[[Reply], None],
        on_failure: Callable[[ErrorInfo], None],
    ) -> None:
        """Ask, with a timer on the answer."""
        self.conversations.ask(to, request, on_reply, on_failure)


def _said(close: events.Close, result: OrderResult) -> str:
    reason = f" ({result.rejection_reason})" if result.rejection_reason else ""
    return f"{close}: {result.status}, {result.fill_quantity:g} filled{reason}"
