"""The connection actor: it owns the link's state and never gives up on it.

It opens sessions, proves their health, has the world reconciled before anything may be sent, keeps the heartbeat, and
publishes every transition once (CON-2). What state may follow which is in `logic.connection_state`; here is only who is
asked and who is told.
"""

from __future__ import annotations

from typing import Final

import attrs

from actors.connection.health_layers import LinkFacts, health_layers
from actors.connection.reconciliation import ConnectionReconciliation
from actors.errors import (
    CircuitBreakerOpenError,
    ErrorInfo,
    GatewayConnectionError,
    GatewayError,
    GatewayTimeoutError,
    restore,
)
from actors.kernel.handlers import handles
from actors.kernel.messages import Message, Reply
from actors.kernel.stories import child_id, root_id
from actors.logic.order_ids import safe_floor
from actors.messages.addresses import (
    JOURNAL,
    LINK,
)
from actors.messages.connection import (
    AdoptSession,
    Connect,
    ConnectionStatus,
    ConnectionVerified,
    Disconnect,
    EndSession,
    GetConnectionStatus,
    Probe,
    Probed,
    SessionOpened,
    VerifyConnection,
)
from actors.messages.journal import JournalRead, ReadJournal
from actors.messages.orders import SetGate
from actors.model.connection import ConnectionState, DisconnectCause

ANSWER_MARGIN_S: Final = 0.01
"""A `Connect` that waits is answered this much before its deadline, with the last error in the text."""


@attrs.frozen(kw_only=True)
class _ConnectOverdue(Message):
    """A `Connect` that waits is about to reach its deadline."""

    correlation_id: str


class ConnectionActor(ConnectionReconciliation):
    """See the module's docstring.

    ``epoch`` counts attempts and sessions: a timer or an answer that belongs to an earlier one changes nothing.
    """

    def started(self) -> None:
        """Learn the order id floor, then connect, or take over the session that an earlier incarnation left."""
        self.memory.enter(self.incarnation)
        self.trail = self.entropy.uuid4()
        self.last_error = self.memory.values.last_error
        self.session_errors = self.memory.values.session_errors
        self.watch_maintenance()
        self.ask(
            JOURNAL,
            ReadJournal(**self.conversations.of_our_own("journal", self.settings.timeout_s)),
            self._on_journal,
            self._cannot_recover,
        )

    def _cannot_recover(self, error: ErrorInfo) -> None:
        """Without the order id floor it would use ids again: it fails, and the supervisor tries again."""
        raise GatewayError(f"the connection cannot recover from the journal: {error.text}")

    def _on_journal(self, reply: Reply) -> None:
        assert isinstance(reply, JournalRead)  # noqa: S101 - it answers in kind
        self._learn_floors(reply)
        self.ready = True
        left_something = self.incarnation > 1
        if left_something and (self.wanted or self.memory.values.session_id is not None):
            self._take_over_from_predecessor()
        elif self.wanted:
            self.attempt()

    def _learn_floors(self, journal: JournalRead) -> None:
        """Reckon with ids that were used and whose note a crash took away, under whichever client id, and note that."""
        used = [order.broker_order_id for order in journal.orders]
        self.floors = dict(journal.order_id_floors)
        for client_id in sorted({*self.floors, *self.client_ids.candidates}):
            self.raise_floor(client_id, safe_floor(self.floors.get(client_id, 0), used))

    def _take_over_from_predecessor(self) -> None:
        """Adopt the session that is open, or open one; none when the last word was to disconnect."""
        self.move(ConnectionState.CONNECTING, "restarted")
        if not self.wanted:
            reason = "disconnect was asked for"
            self.tell(LINK, EndSession(cause=DisconnectCause.ASKED, reason=reason, graceful=True))
            self.disconnected(reason)
            return
        self.begin_effort(self.settings.timeout_s)
        self.ask(
            LINK,
            AdoptSession(**self.header("adopt", self.effort_ends_at)),
            self._on_session_adopted,
            lambda _: self._nothing_to_adopt(),
        )

    def _on_session_adopted(self, reply: Reply) -> None:
        assert isinstance(reply, SessionOpened)  # noqa: S101 - it answers in kind
        if reply.client_id != self.settings.client_id:
            self.client_ids = self.client_ids.found(reply.client_id)
        self.on_session_opened(reply)

    def _nothing_to_adopt(self) -> None:
        """Go on with this first attempt of the round, as the breaker allows."""
        rest_s = self.breaker.rest_s(self.clock.monotonic())
        if rest_s > 0.0:
            self.move(ConnectionState.RECONNECTING, "restarted; the breaker rests")
            self.schedule_attempt(rest_s)
        else:
            self.begin_attempt()

    # --- commands -------------------------------------------------------------------------------------------------

    @handles(Connect)
    def on_connect(self, request: Connect) -> None:
        """Connect unless that is done or under way; answered once opening readiness is known.

        While the breaker rests there is nothing to wait for: it is refused, and the wish stands (GW-12).
        """
        self.remember(wanted=True, last_error=None)
        if self.machine.state is ConnectionState.CONNECTED and self.readiness_known:
            self.answer_connect(request)
            return
        if self.session is None:
            self.trail = root_id(request.correlation_id)
        resting = self.machine.state in (ConnectionState.DISCONNECTED, ConnectionState.FAILED)
        rest_s = self.breaker.rest_s(self.clock.monotonic())
        if rest_s > 0.0 and self.session is None:
            self._refuse_while_resting(request, rest_s)
        else:
            self.connects[request.correlation_id] = request
            left_s = request.deadline - self.clock.monotonic() - ANSWER_MARGIN_S
            self.schedule(max(0.0, left_s), _ConnectOverdue(correlation_id=request.correlation_id))
        if self.ready and resting:
            self.attempt()

    def _refuse_while_resting(self, request: Connect, rest_s: float) -> None:
        why = f"; the last error was: {self.last_error}" if self.last_error else ""
        self.refuse(
            request,
            CircuitBreakerOpenError(
                f"too many attempts failed in a row; the next one is made by itself in {rest_s:.1f} s{why}"
            ),
        )

    @handles(_ConnectOverdue)
    def on_connect_overdue(self, message: _ConnectOverdue) -> None:
        """Say why it took so long; the retrying goes on (GW-12)."""
        request = self.connects.pop(message.correlation_id, None)
        if request is None:
            return
        if self.machine.state is ConnectionState.CONNECTED:
            self.answer_connect(request)
            return
        why = f"; the last error was: {self.last_error}" if self.last_error else ""
        self.refuse(
            request,
            GatewayTimeoutError(f"not connected before the deadline, still trying{why}"),
        )

    @handles(Disconnect)
    def on_disconnect(self, request: Disconnect) -> None:
        """End the session in order and stay away (CON-13)."""
        self.remember(wanted=False, last_error=None)
        self.disconnects.append(request)
        self.refuse_connects(GatewayConnectionError("disconnect was asked for"))
        self.end_reconciliation()
        self.tell(LINK, SetGate(open=False, reason=request.reason))
        self.tell(  # a session that is on its way ends too
            LINK, EndSession(cause=DisconnectCause.ASKED, reason=request.reason, graceful=True)
        )
        if self.session is None:
            self.disconnected(request.reason)

    @handles(VerifyConnection)
    def on_verify_connection(self, request: VerifyConnection) -> None:
        """Make one round trip on the caller's behalf; a gateway that is cut off from IB answers, and is of no use."""
        if self.upstream_lost:
            self.refuse(request, GatewayConnectionError(f"cut off from IB: {self.last_error}"))
            return
        self.conversations.ask(
            LINK,
            Probe(
                correlation_id=child_id(request.correlation_id, "probe"),
                deadline=request.deadline,
                reply_to=self.name,
            ),
            lambda reply: self._verified(request, reply),
            lambda error: self.refuse(request, restore(error)),
        )

    def _verified(self, request: VerifyConnection, reply: Reply) -> None:
        assert isinstance(reply, Probed)  # noqa: S101 - it answers in kind
        self.answered(reply)
        self.reply(
            request,
            ConnectionVerified(correlation_id=request.correlation_id, latency_ms=reply.latency_ms),
        )

    @handles(GetConnectionStatus)
    def on_get_connection_status(self, request: GetConnectionStatus) -> None:
        """Tell where the connection stands."""
        session = self.session
        self.reply(
            request,
            ConnectionStatus(
                correlation_id=request.correlation_id,
                state=self.machine.state,
                session_id=self.machine.session_id,
                attempts=self.machine.attempts,
                server_version=session.server_version if session else None,
                accounts=session.accounts if session else (),
                last_error=self.last_error,
                opening_blocked_by=self.opening_blocked_by,
                layers=health_layers(self._facts()),
            ),
        )

    def _facts(self) -> LinkFacts:
        now, session = self.clock.monotonic(), self.session
        return LinkFacts(
            where=f"{self.settings.host}:{self.ports.current}",
            trouble=self.trouble,
            server_version=session.server_version if session else None,
            client_id=session.client_id if session else 0,
            missed_beats=self.missed,
            latency_ms=self.latency_ms,
            answered_s_ago=None if self.answered_at is None else now - self.answered_at,
            unreconciled=self._unreconciled(),
            data_obstacle=self.data.obstacle,
            ticked_s_ago=None if self.ticked_at is None else now - self.ticked_at,
        )

    def _unreconciled(self) -> str | None:
        """Say what keeps the world from being reconciled."""
        if self.upstream_lost:
            return f"the gateway is cut off from IB: {self.last_error}"
        if not self.outstanding:
            return None
        if not self.state_told:
            return "the broker's state is being read"
        return f"waiting for {', '.join(sorted(self.outstanding))}"
