"""The connection actor: it owns the link's state and never gives up on it.

It opens sessions, proves their health, has the world reconciled before anything may be sent, keeps the heartbeat, and
publishes every transition once (CON-2). Each of these is a part with its own state; here they are put together, and
here are the beginning, the commands, and what follows once a session is reconciled. What state may follow which is in
`actors.connection.states`.
"""

from __future__ import annotations

from actors import messages as m
from actors.connection.attempts import Attempts
from actors.connection.callers import Callers
from actors.connection.data_proof import DataProof
from actors.connection.health_layers import LinkFacts, health_layers
from actors.connection.heartbeat import Heartbeat
from actors.connection.link_state import LinkState, ends_with_its_epoch
from actors.connection.maintenance import MaintenanceWatch
from actors.connection.memory import ConnectionMemory
from actors.connection.notices import Notices
from actors.connection.readiness import Readiness
from actors.connection.reconciliation import Reconciliation
from actors.connection.settings import ConnectionSettings
from actors.connection.transitions import Transitions
from actors.errors import (
    CircuitBreakerOpenError,
    GatewayConnectionError,
    GatewayError,
)
from actors.kernel.actor import ActorContext, SupervisedActor
from actors.kernel.handlers import handles
from actors.kernel.stories import child_id, root_id
from actors.logic.order_ids import safe_floor
from actors.messages.addresses import JOURNAL, LINK
from actors.model.connection import ConnectionState, DisconnectCause
from actors.ports import Breaker, EventLog, MemoryReading, no_log, no_memory_reading


class ConnectionActor(SupervisedActor):
    """See the module's docstring. ``_knows_its_floors``: the journal was read, so that attempts may begin."""

    parts = (Callers, DataProof, Reconciliation, Attempts, Heartbeat, Notices)

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: ConnectionSettings,
        breaker: Breaker,
        memory: ConnectionMemory,
        read_memory_mb: MemoryReading = no_memory_reading,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context)
        self.link = link = LinkState(self, settings, memory)
        self.transitions = transitions = Transitions(self, link, log)
        self.readiness = readiness = Readiness(self, link, log)
        self.callers = callers = self.own(Callers(self, link))
        self.proof = proof = self.own(DataProof(self, link, readiness, callers))
        self.reconciliation = reconciliation = self.own(
            Reconciliation(
                self,
                link,
                log,
                on_lost=lambda cause, reason: self.heartbeat.lost(cause, reason),
                on_answer=lambda: self.heartbeat.note_answer(),
                on_done=self._reconciled,
            )
        )
        self.attempts = attempts = self.own(
            Attempts(
                self, link, transitions, callers, reconciliation, breaker, self._session_opened
            )
        )
        self.heartbeat = heartbeat = self.own(
            Heartbeat(self, link, transitions, attempts, reconciliation, log, read_memory_mb)
        )
        self.notices = self.own(
            Notices(
                self,
                link,
                transitions,
                callers,
                readiness,
                proof,
                reconciliation,
                attempts,
                heartbeat,
                log,
            )
        )
        self.maintenance = MaintenanceWatch(self, link, readiness, proof, log)
        self._knows_its_floors = False

    # --- the beginning --------------------------------------------------------------------------------------------

    def started(self) -> None:
        """Learn the order id floor, then connect, or take over the session that an earlier incarnation left."""
        self.link.recall()
        self.link.begin_trail()
        self.begin_story(self.maintenance.follow())
        self.begin_story(self._begin())

    async def _begin(self) -> None:
        question = m.ReadJournal(**self.of_our_own("journal", self.link.settings.gateway.timeout_s))
        try:
            journal = await self.asked(JOURNAL, question, m.JournalRead)
        except GatewayError as error:
            # Without the order id floor it would use ids again: it fails, and the supervisor tries again.
            text = f"the connection cannot recover from the journal: {error}"
            raise GatewayError(text) from error
        self._learn_floors(journal)
        self.attempts.learn_pinned(dict(journal.pinned))
        self._knows_its_floors = True
        left_something = self.link.wanted or self.link.memory.values.session_id is not None
        if self.incarnation > 1 and left_something:
            await self._take_over_from_predecessor()
        elif self.link.wanted:
            self.attempts.attempt()

    def _learn_floors(self, journal: m.JournalRead) -> None:
        """Reckon with ids that were used and whose note a crash took away, under whichever client id, and note that."""
        self.link.fates_unknown = bool(journal.orders)  # until the executor says what it knows
        used = [order.broker_order_id for order in journal.orders]
        floors = self.attempts.floors
        floors.update(journal.order_id_floors)
        for client_id in sorted({*floors, *self.link.client_ids.candidates}):
            self.attempts.raise_floor(client_id, safe_floor(floors.get(client_id, 0), used))

    @ends_with_its_epoch
    async def _take_over_from_predecessor(self) -> None:
        """Adopt the session that is open, or open one; none when the last word was to disconnect."""
        link = self.link
        self.transitions.move(ConnectionState.CONNECTING, "restarted")
        if not link.wanted:
            reason = "disconnect was asked for"
            self.tell(LINK, m.EndSession(cause=DisconnectCause.ASKED, reason=reason, graceful=True))
            self.attempts.disconnected(reason)
            return
        link.begin_effort(link.settings.gateway.timeout_s)
        question = m.AdoptSession(**link.header("adopt", link.effort_ends_at))
        try:
            session = await link.asked(LINK, question, m.SessionOpened)
        except GatewayError:
            self._nothing_to_adopt()
            return
        if session.client_id != link.settings.gateway.client_id:
            link.client_ids = link.client_ids.found(session.client_id)
        self.attempts.begin_session(session)

    def _nothing_to_adopt(self) -> None:
        """Go on with this first attempt of the round, as the breaker allows."""
        rest_s = self.attempts.breaker.rest_s(self.clock.monotonic())
        if rest_s > 0.0:
            self.transitions.move(ConnectionState.RECONNECTING, "restarted; the breaker rests")
            self.attempts.schedule_attempt(rest_s)
        else:
            self.attempts.begin_attempt()

    def _session_opened(self) -> None:
        self.heartbeat.forget_the_session_before()
        self.proof.forget_the_session_before()

    @handles(m.FatesUnknown)
    def on_fates_unknown(self, message: m.FatesUnknown) -> None:
        """Try the configured client id longer while that can prove something."""
        self.link.fates_unknown = message.unknown

    def stopping(self) -> None:
        """Close the row of a session that ends with the tree (CON-13)."""
        self.transitions.close_row()

    # --- once the world is reconciled -----------------------------------------------------------------------------

    def _reconciled(self) -> None:
        """Open the gate, then say so: whoever hears of it can act at once."""
        link = self.link
        if link.upstream_lost:
            self.notices.wait_for_upstream()
            return
        self.tell(LINK, m.SetGate(open=True, reason="reconciled"))
        self.reconciliation.tell_completed()
        if link.is_connected:
            self.readiness.announce()  # to a risk actor that was restarted meanwhile
            return
        link.last_error, link.trouble = link.only_for_closing, None
        link.next_epoch()
        self.transitions.move(ConnectionState.CONNECTED, "reconciled")
        if link.attempting:
            link.attempting = False
            established = "a connection was established"
            self.attempts.tell_breaker(self.attempts.breaker.succeeded, established)
        self.heartbeat.begin()
        self.proof.demand_a_tick()

    # --- commands -------------------------------------------------------------------------------------------------

    @handles(m.Connect)
    def on_connect(self, request: m.Connect) -> None:
        """Connect unless that is done or under way; answered once opening readiness is known.

        While the breaker rests there is nothing to wait for: it is refused, and the wish stands (GW-12).
        """
        link = self.link
        link.remember(wanted=True, last_error=None)
        if link.is_connected and self.proof.is_known:
            self.callers.answer_connect(request)
            return
        if link.session is None:
            link.trail = root_id(request.correlation_id)
        resting = link.machine.state in (ConnectionState.DISCONNECTED, ConnectionState.FAILED)
        rest_s = self.attempts.breaker.rest_s(self.clock.monotonic())
        if rest_s > 0.0 and link.session is None:
            self._refuse_while_resting(request, rest_s)
        else:
            self.callers.wait_for_connection(request)
        if self._knows_its_floors and resting:
            self.attempts.attempt()

    def _refuse_while_resting(self, request: m.Connect, rest_s: float) -> None:
        last_error = self.link.last_error
        why = f"; the last error was: {last_error}" if last_error else ""
        self.refuse(
            request,
            CircuitBreakerOpenError(
                f"too many attempts failed in a row; the next one is made by itself in {rest_s:.1f} s{why}"
            ),
        )

    @handles(m.Disconnect)
    def on_disconnect(self, request: m.Disconnect) -> None:
        """End the session in order and stay away (CON-13)."""
        self.link.remember(wanted=False, last_error=None)
        self.callers.wait_for_end(request)
        self.callers.refuse_connects(GatewayConnectionError("disconnect was asked for"))
        self.reconciliation.give_up()
        self.tell(LINK, m.SetGate(open=False, reason=request.reason))
        self.tell(  # a session that is on its way ends too
            LINK, m.EndSession(cause=DisconnectCause.ASKED, reason=request.reason, graceful=True)
        )
        if self.link.session is None:
            self.attempts.disconnected(request.reason)

    @handles(m.VerifyConnection)
    async def on_verify_connection(self, request: m.VerifyConnection) -> None:
        """Make one round trip on the caller's behalf; a gateway that is cut off from IB answers, and is of no use."""
        if self.link.upstream_lost:
            why = f"cut off from IB: {self.link.last_error}"
            self.refuse(request, GatewayConnectionError(why))
            return
        probe = m.Probe(
            correlation_id=child_id(request.correlation_id, "probe"),
            deadline=request.deadline,
            reply_to=self.name,
        )
        try:
            answer = await self.asked(LINK, probe, m.Probed)
        except GatewayError as error:
            self.refuse(request, error)
            return
        self.heartbeat.note_answer(answer.latency_ms)
        verified = m.ConnectionVerified(
            correlation_id=request.correlation_id, latency_ms=answer.latency_ms
        )
        self.reply(request, verified)

    @handles(m.JournalTroubled)
    def on_journal_troubled(self, event: m.JournalTroubled) -> None:
        """Say that nothing is opened while no intent becomes durable (D7)."""
        changed = event.reason != self.readiness.journal
        self.readiness.journal = event.reason
        if changed and self.link.is_connected:
            self.readiness.announce()

    @handles(m.AccountTroubled)
    def on_account_troubled(self, event: m.AccountTroubled) -> None:
        """Say that nothing is opened while the account's change is unexplained (RULES 4)."""
        changed = event.reason != self.readiness.account
        self.readiness.account = event.reason
        if changed and self.link.is_connected:
            self.readiness.announce()

    @handles(m.GetConnectionStatus)
    def on_get_connection_status(self, request: m.GetConnectionStatus) -> None:
        """Tell where the connection stands."""
        link, session = self.link, self.link.session
        self.reply(
            request,
            m.ConnectionStatus(
                correlation_id=request.correlation_id,
                state=link.machine.state,
                session_id=link.machine.session_id,
                attempts=link.machine.attempts,
                server_version=session.server_version if session else None,
                accounts=session.accounts if session else (),
                last_error=link.last_error,
                opening_blocked_by=self.readiness.blocked_by,
                layers=health_layers(self._facts()),
            ),
        )

    def _facts(self) -> LinkFacts:
        now, link, session = self.clock.monotonic(), self.link, self.link.session
        answered_at, ticked_at = self.heartbeat.answered_at, self.proof.ticked_at
        return LinkFacts(
            where=f"{link.settings.host}:{link.ports.current}",
            trouble=link.trouble,
            server_version=session.server_version if session else None,
            client_id=session.client_id if session else 0,
            missed_beats=self.heartbeat.missed,
            latency_ms=self.heartbeat.latency_ms,
            answered_s_ago=None if answered_at is None else now - answered_at,
            unreconciled=self.reconciliation.obstacle,
            data_obstacle=link.data.obstacle,
            ticked_s_ago=None if ticked_at is None else now - ticked_at,
        )
