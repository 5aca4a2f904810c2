"""The Strategy C actor: the supervisor's arm that stops opening risk, and flattens what is held (D16).

What may trigger it is here, read from top to bottom; what follows is owned by its parts::

    latch      opening is refused, durably         flattener    each contract on its way to zero (`actors.closing`)
    grace      a loss that is tolerated            liquidation  all of them: where it stands, and its report
    scope      which contracts are ours            rearming     an operator takes the latch back
    outage     from the loss of the link until it was sound for a while; answered as a whole
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from actors import messages as m
from actors.closing.flattener import Flattener
from actors.closing.pricing import Pricing
from actors.hours import HoursKeeper
from actors.kernel.actor import ActorContext, SupervisedActor
from actors.kernel.handlers import handles
from actors.kernel.messages import StopTree
from actors.messages.addresses import CONNECTION, SUPERVISOR
from actors.model.connection import BrokerState, ConnectionState, DisconnectCause
from actors.model.latch import LatchStanding
from actors.model.orders import CloseReason
from actors.model.trading import Trading
from actors.ports import EventLog, no_log
from actors.recovery import Past
from actors.sections.close import Close
from actors.sections.flattening import Flattening
from actors.sections.strategy_c import StrategyC
from supervision.strategy_c.grace import Grace
from supervision.strategy_c.latch import Latch
from supervision.strategy_c.liquidation import Liquidation
from supervision.strategy_c.outage import Outage, OutageMemory
from supervision.strategy_c.rearm import Rearming
from supervision.strategy_c.scope import Scope

LATCH_BEFORE_STOP_S: Final = 60.0
"""A process that stops by itself waits so long for its latch to be on the disk."""

LOST_JOURNAL: Final = (
    "the journal is empty, yet the broker knows {} orders of this operator id: it was moved, lost or replaced, and"
    " with it whether Strategy C was latched; nothing is sold until an operator says so: liquidate or rearm"
)


class StrategyCActor(SupervisedActor):
    """See the module's docstring."""

    recovers = True
    parts = (Latch, Scope, Flattener, Liquidation, Grace, Outage, Rearming)

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: StrategyC,
        limits: Flattening,
        close: Close,
        trading: Trading,
        outages: OutageMemory | None = None,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context)
        self.settings = settings
        self.log = log
        self.hours = HoursKeeper(self)
        self.latch = latch = self.own(Latch(self, log, self._alarm))
        self.scope = scope = self.own(Scope(self, settings, trading))
        self.flattener = flattener = self.own(
            Flattener(
                self,
                trading,
                limits,
                Pricing(self, close, log),
                self.hours,
                log,
                looked=lambda: self.liquidation.looked(),
                found=lambda orders: self.liquidation.found(orders),
                alarm=self._alarm,
                cancelled=lambda name: self.liquidation.cancelled(name),
                concluded=lambda *what: self.liquidation.concluded(*what),
            )
        )
        self.liquidation = self.own(
            Liquidation(
                self, settings, limits, trading, log, latch, scope, flattener, over=self._over
            )
        )
        self.grace = self.own(
            Grace(
                self,
                settings,
                log,
                over=self._grace_is_over,
                session_at=self._next_session,
                is_covered=lambda: False,  # nothing knows yet what rests at the broker (PRO)
            )
        )
        self.outage = self.own(Outage(self, settings, outages or OutageMemory(), log))
        self.rearming = self.own(
            Rearming(
                self,
                settings,
                log,
                latch,
                self.liquidation,
                self.outage,
                linked=lambda: flattener.side.linked,
                alarm=self._alarm,
                why_not=self._why_it_stays_latched,
            )
        )
        self.past = Past(self, "Strategy C", self.on_reconcile)
        self.stop_when_done: str | None = None
        self._knows_nothing = False
        self._accepting: list[m.Liquidate] = []

    def _alarm(self, text: str) -> None:
        self.log("strategy_c_alarm", level="CRITICAL", text=text)

    # --- recovery -------------------------------------------------------------------------------------------------

    def started(self) -> None:
        """Learn from the journal whether the latch is on: it survives everything (STC-4)."""
        self.begin_story(self._recover())

    async def _recover(self) -> None:
        journal = await self.past.from_journal()
        self.scope.learn(journal)
        self._knows_nothing = journal.is_empty
        if self.incarnation == 1:
            self.outage.begins()  # until this process has seen a sound link
        if journal.latched:
            self.latch.found(journal)
            self._go_on_with_the_latch(journal)
        self.grace.resume(journal)
        self.past.learnt()
        if self.incarnation > 1:
            self.past.ask_for_reconciliation()  # its end says that the link is up
        self.recovered()

    def _go_on_with_the_latch(self, journal: m.JournalRead) -> None:
        if self.rearming.is_recorded:
            self.rearming.found()
        elif not self.latch.is_on_hold:
            self.liquidation.resume(journal.liquidation_step)

    @handles(m.Reconcile)
    def on_reconcile(self, message: m.Reconcile) -> None:
        """Say where the latch stands before the gate opens, and take over the broker's state."""
        if self.past.keeps_waiting(message):
            return
        self.scope.learn_of(message.state)
        self.hours.want(holding.contract for holding in message.state.holdings)
        self.latch.belongs_to(message.state.account.account_id)
        self._face_disconnects(message.state)
        self._face_a_lost_journal(message.state)
        self.flattener.take_over(message)
        self.liquidation.watch()
        self.latch.tell()
        self.tell(CONNECTION, m.Reconciled(number=message.number, sender=self.name))

    @handles(m.HoldingReported)
    def on_holding_reported(self, event: m.HoldingReported) -> None:
        """Stay on watch after flat was said: a fill may come late (STC-2)."""
        self.flattener.holding_reported(event.holding)
        self.liquidation.watch()

    @handles(m.TradingHalted)
    def on_trading_halted(self, event: m.TradingHalted) -> None:
        """A halted contract waits with its stops, and goes on at the halt's end."""
        self.flattener.halt_changed(event.contract.con_id, event.halted)

    @handles(m.ContractDescribed)
    def on_contract_described(self, event: m.ContractDescribed) -> None:
        """Learn the hours of what may come to be held."""
        self.hours.learn(event.contract)

    def _face_disconnects(self, state: BrokerState) -> None:
        """Deal with a disconnect that never was told: the actor that should have told or heard of it had failed."""
        unanswered = state.disconnects > max(
            state.answered_disconnects, self.latch.answered_disconnects
        )
        self.latch.answer_disconnects(state.disconnects)
        is_known = self.latch.is_on or self.grace.is_running or self.outage.is_answered
        if unanswered and not is_known:
            self._begin("disconnect: noticed at the reconnection", CloseReason.DISCONNECT)

    def _face_a_lost_journal(self, state: BrokerState) -> None:
        """Open nothing beside orders of ours that an empty journal knows nothing of: a latch may be lost with it."""
        knows_nothing, self._knows_nothing = self._knows_nothing, False
        orders = self.scope.orders_of_ours(state) if knows_nothing else frozenset()
        if orders and not self.latch.is_on:
            self.latch.hold(LOST_JOURNAL.format(len(orders)))

    @handles(m.ReconciliationCompleted)
    def on_reconciliation_completed(self, _: m.ReconciliationCompleted) -> None:
        """Go on with a state that everybody has taken over."""
        if not self.flattener.side.linked:
            self._link_is_up()

    @handles(m.NothingToReconcile)
    def on_nothing_to_reconcile(self, _: m.NothingToReconcile) -> None:
        """The link is gone; the next session begins with a reconciliation anyway."""

    # --- triggers -------------------------------------------------------------------------------------------------

    @handles(m.ConnectionStateChanged)
    def on_connection_state_changed(self, event: m.ConnectionStateChanged) -> None:
        """A detected disconnect is the first trigger; a restored link lets a latched liquidation run (STC-1, STC-3)."""
        if event.state is ConnectionState.CONNECTED:
            self._link_is_up()
            return
        if event.state is ConnectionState.DISCONNECTED:
            self.grace.end()
        if event.previous is not ConnectionState.CONNECTED:
            return
        self.outage.begins()
        self.flattener.link_changed(False)
        if event.cause is DisconnectCause.ASKED:
            return
        trigger = f"disconnect ({event.cause}): {event.reason}"
        is_triggered = self.latch.is_on and not self.latch.is_on_hold
        if is_triggered or not self.grace.tolerates(event, trigger):
            self._trigger(trigger, CloseReason.DISCONNECT)

    def _next_session(self) -> datetime | None:
        """Tell when the first session of what is held begins; None while one is on, or nobody knows."""
        opens_at = [self.flattener.side.opens_at(con_id) for con_id in self.flattener.side.holdings]
        known = [at for at in opens_at if at is not None]
        return min(known) if known and len(known) == len(opens_at) else None

    def _link_is_up(self) -> None:
        self.grace.end("the link is back")
        self.flattener.link_changed(True)
        self.outage.link_is_up()
        self.rearming.link_changed()
        self.liquidation.link_came_up()

    def _grace_is_over(self, trigger: str) -> None:
        self._trigger(trigger, CloseReason.DISCONNECT)

    @handles(m.LossLimitBreached)
    def on_loss_limit_breached(self, event: m.LossLimitBreached) -> None:
        """A loss limit was passed."""
        self._trigger(
            f"{event.reason}: loss of {event.loss:.2%} passed the limit of {event.limit:.2%}",
            event.reason,
        )

    @handles(m.DataQuarantined)
    async def on_data_quarantined(self, event: m.DataQuarantined) -> None:
        """The data of a held or traded symbol is too old to be trusted; it is told again while that is so."""
        con_id = event.contract.con_id
        if not self.scope.is_ours(con_id, event.order_refs):
            await self.scope.refresh()
        if not self.scope.is_ours(con_id, event.order_refs):
            return
        if not self.flattener.side.linked or self.grace.is_running:
            return  # then the rules for disconnects answer, grace and all
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
        if self.latch.is_on and not self.liquidation.is_running:
            self._over()

    @handles(m.Liquidate)
    def on_liquidate(self, request: m.Liquidate) -> None:
        """An operator asks for it; the answer comes with the durable latch, or says that it is not."""
        is_called_off = self.rearming.is_under_way
        if self.liquidation.is_flattening and not is_called_off:
            self._accept(request)
            return
        self._accepting.append(request)
        if is_called_off or not self.liquidation.is_running:
            self._begin(f"operator: {request.reason}", request.close_reason)

    def _trigger(self, trigger: str, reason: CloseReason) -> None:
        """Begin, unless the latch is on already: it runs once however many triggers arrive (STC-6)."""
        if self.rearming.answers(reason):
            self.log("strategy_c_trigger_answered", trigger=trigger)
            return
        if self.latch.is_on and not (self.latch.is_on_hold or self.rearming.is_under_way):
            self.log("strategy_c_trigger_ignored", trigger=trigger, latched=self.latch.reason)
            return
        self._begin(trigger, reason)

    def _begin(self, trigger: str, reason: CloseReason) -> None:
        self.liquidation.latching()
        self.latch.put_on(trigger, reason, self._latched)
        self.log(
            "strategy_c_triggered",
            level="ERROR",
            correlation_id=self.latch.liquidation_id,
            trigger=trigger,
            reason=reason.value,
            linked=self.flattener.side.linked,
        )

    def _latched(self, _is_durable: bool) -> None:
        """The latch was written, or that takes too long: flatten now."""
        for request in self._accepting:
            self._accept(request)
        self._accepting.clear()
        self.liquidation.begin(self.latch.reason or "")

    def _accept(self, request: m.Liquidate) -> None:
        accepted = m.LiquidationAccepted(
            correlation_id=request.correlation_id,
            liquidation_id=self.latch.liquidation_id,
            durable=self.latch.is_durable,
        )
        self.reply(request, accepted)

    def _over(self) -> None:
        """A liquidation has come to its end."""
        if self.stop_when_done is not None:
            self.latch.when_settled(self._stop_tree, LATCH_BEFORE_STOP_S)

    def _stop_tree(self, is_durable: bool) -> None:
        """The process ends with its latch on the disk, or says that it has none there."""
        if not is_durable:
            self.log("stops_without_durable_latch", level="CRITICAL", latched=self.latch.reason)
        if self.stop_when_done is not None:
            self.tell(SUPERVISOR, StopTree(reason=self.stop_when_done))

    def _why_it_stays_latched(self) -> str | None:
        stops = self.stop_when_done
        return (
            None
            if stops is None
            else f"the process stops when it is flat ({stops}); re-arm after its restart"
        )

    # --- status ---------------------------------------------------------------------------------------------------

    @handles(m.GetLiquidationStatus)
    def on_get_liquidation_status(self, request: m.GetLiquidationStatus) -> None:
        """Tell where Strategy C stands; a re-arming that waits for the link is a step of its own."""
        is_recorded = self.rearming.is_recorded
        self.reply(
            request,
            m.LiquidationStatus(
                correlation_id=request.correlation_id,
                latched=self.latch.is_on,
                reason=self.latch.reason,
                liquidation_id=self.latch.liquidation_id or None,
                step=LatchStanding.REARM_RECORDED if is_recorded else self.liquidation.step,
                report=self.liquidation.report,
                queued=self.liquidation.queued,
            ),
        )
