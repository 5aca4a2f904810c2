"""Whether the link still lives, and what follows when it does not: round trips, and the loss of a session (CON-9)."""

from __future__ import annotations

import attrs

from actors import messages as m
from actors.connection.attempts import Attempts
from actors.connection.health_layers import lost_layer
from actors.connection.link_state import LinkState, ends_with_its_epoch
from actors.connection.reconciliation import Reconciliation
from actors.connection.states import is_exhausted
from actors.connection.transitions import Transitions
from actors.errors import GatewayConnectionError, GatewayError
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.kernel.messages import Message
from actors.messages.addresses import LINK
from actors.model.connection import (
    BreakerState,
    ConnectionState,
    DisconnectCause,
    LayerHealth,
)
from actors.ports import EventLog, MemoryReading


@attrs.frozen(kw_only=True)
class BeatDue(Message):
    """It is time for the next heartbeat of ``epoch``; told to oneself. A message, since each beat puts off the next."""

    epoch: int


class Heartbeat(Part):
    """Makes round trips, and leaves a session that does not answer (D10).

    ``missed``: the beats in a row that were not answered. ``answered_at`` (monotonic seconds) and ``latency_ms`` are of
    the last answer; None before the first one of a session.
    """

    def __init__(
        self,
        actor: SupervisedActor,
        link: LinkState,
        transitions: Transitions,
        attempts: Attempts,
        reconciliation: Reconciliation,
        log: EventLog,
        read_memory_mb: MemoryReading,
    ) -> None:
        self._actor = actor
        self._link = link
        self._transitions = transitions
        self._attempts = attempts
        self._reconciliation = reconciliation
        self._log = log
        self._read_memory_mb = read_memory_mb
        self.missed = 0
        self.answered_at: float | None = None
        self.latency_ms: float | None = None
        self._missed_at: float | None = None
        self._beating_in: int | None = None
        """The epoch of the beat that is under way."""

    def forget_the_session_before(self) -> None:
        """A new session begins without an answer."""
        self.answered_at = self.latency_ms = None

    def begin(self) -> None:
        """Beat regularly from now on, in this epoch."""
        self.missed = 0
        self._beat_after(self._link.settings.connection.heartbeat_s)

    @property
    def _is_beating(self) -> bool:
        return self._beating_in == self._link.epoch

    def _beat_after(self, delay_s: float) -> None:
        """Have one next beat, whatever was planned before."""
        self._beating_in = None
        self._link.remind(delay_s, BeatDue(epoch=self._link.epoch))

    @handles(BeatDue)
    async def on_beat_due(self, message: BeatDue) -> None:
        """Make a round trip; a link that does not answer is lost even while its socket is open (CON-9)."""
        link = self._link
        if message.epoch == link.epoch and link.session is not None and not self._is_beating:
            await self._beat()

    @ends_with_its_epoch
    async def _beat(self) -> None:
        self._beating_in = self._link.epoch
        probe = m.Probe(
            correlation_id=self._actor.entropy.uuid4(),
            deadline=self._actor.clock.monotonic()
            + self._link.settings.connection.heartbeat_timeout_s,
            reply_to=self._actor.name,
        )
        try:
            answer = await self._link.asked(LINK, probe, m.Probed)
        except GatewayError as error:
            self._beat_missed(str(error))
            return
        self.missed = 0
        self.note_answer(answer.latency_ms)
        self._log(
            "heartbeat",
            level="DEBUG",
            latency_ms=round(answer.latency_ms, 3),
            memory_mb=self._read_memory_mb(),
        )
        if self._attempts.breaker.state is BreakerState.HALF_OPEN:
            lasts = "the connection lasts"
            self._attempts.tell_breaker(self._attempts.breaker.succeeded, lasts)
        self._beat_after(self._link.settings.connection.heartbeat_s)

    def note_answer(self, latency_ms: float | None = None) -> None:
        """Note that the gateway answered just now; ``latency_ms`` None: it was no round trip that is measured."""
        self.answered_at = self._actor.clock.monotonic()
        if latency_ms is not None:
            self.latency_ms = latency_ms

    def _beat_missed(self, reason: str) -> None:
        self.missed += 1
        self._missed_at = self._actor.clock.monotonic()
        self._link.count_error()
        self._log("heartbeat_missed", level="WARNING", missed=self.missed, reason=reason)
        if self.missed >= self._link.settings.connection.missed_beats:
            self.lost(DisconnectCause.SILENCE, f"{self.missed} heartbeats were not answered")
        else:
            self._beat_after(0.0)

    @handles(m.ProofMissed)
    def on_proof_missed(self, message: m.ProofMissed) -> None:
        """Count a round trip that an order waited for in vain as a missed beat, and beat at once.

        While a beat is under way it is no news: the beat asks the same question. Nor is it when a beat that was asked
        later was missed already.
        """
        session = self._link.session
        if session is None or message.link_session != session.link_session or self._is_beating:
            return
        is_news = self._missed_at is None or message.asked_at >= self._missed_at
        if is_news and self._link.is_connected:
            self._beat_missed("an order waited for a proof of life")

    @handles(m.RenewSession)
    def on_renew_session(self, message: m.RenewSession) -> None:
        """Leave a session that lives, for another with the same client id; whoever acts on losses is told that it was
        asked for."""
        link = self._link
        if link.session is None or not link.is_connected:
            return
        self._log("session_renewed", level="WARNING", actor=message.sender, reason=message.reason)
        self._reconciliation.give_up()
        link.begin_trail()
        self._attempts.renew(message.reason)

    # --- loss -----------------------------------------------------------------------------------------------------

    def lost(self, cause: DisconnectCause, reason: str) -> None:
        """Leave a session that does not work, and try for another: at once when it had lasted."""
        link = self._link
        if cause is DisconnectCause.REQUEST_UNANSWERED:
            link.count_error()
        link.last_error = reason
        self._reconciliation.give_up()
        link.drop_session(cause, reason)
        link.next_epoch()
        state = link.machine.state
        if state in (ConnectionState.DISCONNECTED, ConnectionState.FAILED):
            return
        if state is not ConnectionState.CONNECTED and (
            link.attempting or is_exhausted(link.machine)
        ):
            self._attempts.attempt_failed(GatewayConnectionError(reason), lost_layer(cause))
            return
        self._reconnect(state, cause, reason)

    def _reconnect(self, state: ConnectionState, cause: DisconnectCause, reason: str) -> None:
        link = self._link
        link.trouble = LayerHealth(layer=lost_layer(cause), ok=False, detail=reason)
        if state is ConnectionState.CONNECTED:
            link.begin_trail()
        if state is not ConnectionState.RECONNECTING:
            self._transitions.move(ConnectionState.RECONNECTING, reason, cause)
        delay_s = self._attempts.retry_delay_s() if link.machine.attempts else 0.0
        self._attempts.schedule_attempt(delay_s)
