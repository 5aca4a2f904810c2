"""The Strategy C actor: it drives the steps of a liquidation (D16).

What follows on what is in `supervision.strategy_c.steps`; here is who is asked, and that every step is durable before
it is taken. The latch is told in memory first, to the gate, to risk and to the executor, and only then written:
refusing must not wait for a disk.
"""

from __future__ import annotations

from datetime import datetime

from actors import messages as m
from actors.errors import ErrorInfo, GatewayError
from actors.kernel.handlers import handles
from actors.kernel.messages import Reply
from actors.logic import liquidation_events as events
from actors.logic.liquidation_events import (
    Step,
)
from actors.logic.liquidation_sizing import in_scope
from actors.logic.order_ids import operator_of
from actors.messages.addresses import (
    CONNECTION,
    JOURNAL,
)
from actors.model.account import Holding
from actors.model.connection import BrokerState, ConnectionState, DisconnectCause
from actors.model.orders import CloseReason
from supervision.strategy_c import steps as liquidation
from supervision.strategy_c.grace import GraceOver
from supervision.strategy_c.rearm import RearmDesk

RECOVERY_S = 10.0
NOT_RUNNING = "IDLE"
"""What `status` calls a Strategy C that never ran."""


class StrategyCActor(RearmDesk):
    """See the module's docstring."""

    recovers = True

    # --- recovery -------------------------------------------------------------------------------------------------

    def started(self) -> None:
        """Learn from the journal whether the latch is on: it survives everything (STC-4)."""
        self.ask(
            JOURNAL,
            m.ReadJournal(**self.own_header("journal", RECOVERY_S)),
            self._on_journal,
            self._cannot_recover,
        )

    def _cannot_recover(self, error: ErrorInfo) -> None:
        raise GatewayError(f"Strategy C cannot read its latch: {error.text}")

    def _on_journal(self, reply: Reply) -> None:
        assert isinstance(reply, m.JournalRead)  # noqa: S101 - the journal answers in kind
        self.is_ready = True
        self.learn_traded(reply)
        if reply.latched:
            self.latched = reply.latch_reason or "latched by an earlier process"
            self.log("latch_found", level="WARNING", reason=self.latched)
            self.tell_latch()
            self.take(
                liquidation.resume(
                    reply.liquidation_id or self.entropy.uuid4(),
                    self.latched,
                    reply.close_reason or CloseReason.DISCONNECT,
                    reply.liquidation_step,
                    self.clock.now(),
                    linked=self.linked,
                    simulated=not self.trading.sends_orders,
                )
            )
        self.resume_grace(reply)
        if self.early_reconcile is not None:
            early, self.early_reconcile = self.early_reconcile, None
            self.on_reconcile(early)
        if self.incarnation > 1:
            self.request_reconciliation()  # its end says that the link is up
        self.recovered()

    @handles(m.Reconcile)
    def on_reconcile(self, message: m.Reconcile) -> None:
        """Say where the latch stands before the gate opens, and keep the broker's state for whoever reads it."""
        if not self.is_ready:
            self.early_reconcile = message
            return
        self.last_read = message
        self.hours.want(holding.contract for holding in message.state.holdings)
        self._face_disconnects(message.state)
        for holding in message.state.holdings:
            self._watch(holding)
        self.tell_latch()
        self.tell(CONNECTION, m.Reconciled(number=message.number, sender=self.name))

    @handles(m.HoldingReported)
    def on_holding_reported(self, event: m.HoldingReported) -> None:
        """Stay on watch after flat was said: a fill may come late (STC-2)."""
        self._watch(event.holding)

    def _watch(self, holding: Holding) -> None:
        in_scope = self.settings.whole_account or holding.contract.con_id in self.managed
        if self.latched is not None and holding.quantity and in_scope:
            self.advance(events.HeldAfterAll(holding=holding))

    def _face_disconnects(self, state: BrokerState) -> None:
        """Deal with a disconnect that never was told: the actor that should have told or heard of it had failed."""
        unanswered = state.disconnects > max(state.answered_disconnects, self.answered_disconnects)
        self.answered_disconnects = max(self.answered_disconnects, state.disconnects)
        if unanswered and self.latched is None and not self.in_grace:
            self._begin("disconnect: noticed at the reconnection", CloseReason.DISCONNECT)

    @handles(m.ReconciliationCompleted)
    def on_reconciliation_completed(self, message: m.ReconciliationCompleted) -> None:
        """Go on with a state that everybody has taken over."""
        if not self.linked:
            self.linked = True
            self.end_grace()
            self.advance(events.LinkUp())
        turn, read = self.reading, self.last_read
        if turn is None or read is None or read.number != message.number:
            return
        self.reading = None
        self.advance(
            in_scope(
                read.state,
                self.settings,
                turn,
                operator_id=self.trading.operator_id,
                managed=self._managed(read.state),
                opens_at=self._openings(read.state),
            )
        )

    def _openings(self, state: BrokerState) -> dict[int, datetime]:
        """The next opening of whatever is held and does not trade now."""
        held = [holding.contract.con_id for holding in state.holdings]
        known = {con_id: self.hours.waits_until(con_id) for con_id in held}
        return {con_id: opens_at for con_id, opens_at in known.items() if opens_at is not None}

    def _managed(self, state: BrokerState) -> frozenset[int]:
        """The contracts of our orders, of the day's too, which the journal may not have yet."""
        ours = self.trading.operator_id
        return frozenset(self.managed).union(
            execution.contract.con_id
            for execution in state.executions
            if operator_of(execution.order_ref) == ours
        )

    @handles(m.NothingToReconcile)
    def on_nothing_to_reconcile(self, _: m.NothingToReconcile) -> None:
        """The link is gone; the next session begins with a reconciliation anyway."""

    # --- triggers -------------------------------------------------------------------------------------------------

    @handles(m.ConnectionStateChanged)
    def on_connection_state_changed(self, event: m.ConnectionStateChanged) -> None:
        """A detected disconnect is the first trigger; a restored link lets a latched liquidation run (STC-1, STC-3)."""
        if event.state is ConnectionState.CONNECTED:
            self.disconnects += 1
            self.end_grace()
            self.linked = True
            self.advance(events.LinkUp())
            return
        if event.state is ConnectionState.DISCONNECTED:
            self.end_grace()
        if event.previous is not ConnectionState.CONNECTED:
            return
        self.linked = False
        self.reading = None
        self.advance(events.LinkDown())
        if event.cause is DisconnectCause.ASKED:
            return
        trigger = f"disconnect ({event.cause}): {event.reason}"
        if not self.tolerates(event, trigger):
            self._trigger(trigger, CloseReason.DISCONNECT)

    @handles(GraceOver)
    def on_grace_over(self, message: GraceOver) -> None:
        """The link did not come back within the grace (STC-5)."""
        if self.in_grace and message.number == self.disconnects:
            self._trigger(message.trigger, CloseReason.DISCONNECT)
            self.end_grace()

    @handles(m.LossLimitBreached)
    def on_loss_limit_breached(self, event: m.LossLimitBreached) -> None:
        """A loss limit was passed."""
        self._trigger(
            f"{event.reason}: loss of {event.loss:.2%} passed the limit of {event.limit:.2%}",
            event.reason,
        )

    @handles(m.DataQuarantined)
    def on_data_quarantined(self, event: m.DataQuarantined) -> None:
        """The data of a held or traded symbol is too old to be trusted."""
        if self.settings.whole_account or self._is_managed(event):
            self._quarantine(event)
            return

        def read(reply: Reply) -> None:
            assert isinstance(reply, m.JournalRead)  # noqa: S101 - the journal answers in kind
            self.learn_traded(reply)
            if self._is_managed(event):
                self._quarantine(event)

        self.ask(
            JOURNAL,
            m.ReadJournal(**self.own_header("managed", self.settings.step_timeout_s)),
            read,
            lambda _: None,  # it is told again
        )

    def _is_managed(self, event: m.DataQuarantined) -> bool:
        ours = self.trading.operator_id
        return event.contract.con_id in self.managed or any(
            operator_of(reference) == ours for reference in event.order_refs
        )

    def _quarantine(self, event: m.DataQuarantined) -> None:
        """Latch, unless the link is down: then the rules for disconnects answer, grace and all."""
        if not self.linked or self.in_grace:
            return
        why = f": {event.why}" if event.why else ""
        self._trigger(
            f"data of {event.contract} is stale for {event.age_s:.0f} s{why}",
            CloseReason.DATA_QUARANTINE,
        )

    @handles(m.RestartLimitExceeded)
    def on_restart_limit_exceeded(self, event: m.RestartLimitExceeded) -> None:
        """An actor cannot be kept alive: liquidate, then stop (D7)."""
        self.stop_when_done = f"{event.actor} passed its restart limit: {event.reason}"
        # The reason is named like the stop of a position that has lost too much; it is none.
        self._trigger(self.stop_when_done, CloseReason.EMERGENCY_STOP)
        if self.state is not None and self.state.step is Step.DONE and self.state.recorded:
            self.stop_tree()

    @handles(m.Liquidate)
    def on_liquidate(self, request: m.Liquidate) -> None:
        """An operator asks for it; the answer comes with the durable latch."""
        self.accepting.append(request)
        running = self.state is not None and self.state.step is not Step.DONE
        if running and self.state is not None and self.state.step is not Step.LATCHING:
            self.accept()
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
            reason=reason.value,
            linked=self.linked,
        )
        self.take(
            liquidation.begin(
                liquidation_id,
                trigger,
                reason,
                self.clock.now(),
                linked=self.linked,
                simulated=not self.trading.sends_orders,
            )
        )

    # --- status ---------------------------------------------------------------------------------------------------

    @handles(m.GetLiquidationStatus)
    def on_get_liquidation_status(self, request: m.GetLiquidationStatus) -> None:
        """Tell where Strategy C stands."""
        state = self.state
        self.reply(
            request,
            m.LiquidationStatus(
                correlation_id=request.correlation_id,
                latched=self.latched is not None,
                reason=self.latched,
                liquidation_id=state.liquidation_id if state else None,
                step=state.step.value if state else NOT_RUNNING,
                report=self.report,
                queued=tuple(str(close) for close in state.queue.closes) if state else (),
            ),
        )
