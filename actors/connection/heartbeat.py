"""Whether the link still lives, and what follows when it does not: heartbeat, notices, loss (CON-9, CON-10)."""

from __future__ import annotations

from typing import Final

import attrs

from actors.connection.health_layers import lost_layer
from actors.connection.maintenance import ConnectionMaintenance
from actors.connection.states import is_exhausted
from actors.errors import GatewayConnectionError
from actors.kernel.handlers import handles
from actors.kernel.messages import Message, Reply
from actors.logic.broker_codes import NoticeMeaning, notice_meaning
from actors.messages.addresses import LINK
from actors.messages.connection import (
    NoticeReceived,
    Probe,
    Probed,
    ProofMissed,
    SessionEnded,
)
from actors.model.connection import (
    BreakerState,
    ConnectionState,
    DisconnectCause,
    LayerHealth,
)

NEWS_OF_TROUBLE: Final = frozenset(
    {
        NoticeMeaning.UPSTREAM_LOST,
        NoticeMeaning.PORT_RESET,
        NoticeMeaning.FARM_DOWN,
        NoticeMeaning.COMPETING_SESSION,
        NoticeMeaning.THROTTLE,
    }
)
"""Notices that count as errors of the session."""


@attrs.frozen(kw_only=True)
class BeatDue(Message):
    """It is time for the next heartbeat of ``epoch``."""

    epoch: int


@attrs.frozen(kw_only=True)
class UpstreamOverdue(Message):
    """The gateway has been cut off since ``lost_at`` (monotonic seconds), and has said nothing about it."""

    lost_at: float


class ConnectionHealth(ConnectionMaintenance):
    """A disconnect is more than one thing (D10): a closed socket, silence, a lost upstream, a reset port."""

    # --- health ---------------------------------------------------------------------------------------------------

    @handles(BeatDue)
    def on_beat_due(self, message: BeatDue) -> None:
        """Make a round trip; a link that does not answer is lost even while its socket is open (CON-9)."""
        if message.epoch != self.epoch or self.session is None or self.is_beating:
            return
        epoch = self.epoch
        self.is_beating = True
        self.ask(
            LINK,
            Probe(
                correlation_id=self.entropy.uuid4(),
                deadline=self.clock.monotonic() + self.settings.heartbeat_timeout_s,
                reply_to=self.name,
            ),
            lambda reply: self._beat_answered(epoch, reply),
            lambda error: self._beat_missed(epoch, error.text),
        )

    def _beat_answered(self, epoch: int, reply: Reply) -> None:
        assert isinstance(reply, Probed)  # noqa: S101 - it answers in kind
        if epoch != self.epoch:
            return
        self.missed = 0
        self.answered(reply)
        self.log(
            "heartbeat",
            level="DEBUG",
            latency_ms=round(reply.latency_ms, 3),
            memory_mb=self.read_memory_mb(),
        )
        if self.breaker.state is BreakerState.HALF_OPEN:
            self.tell_breaker(self.breaker.succeeded, "the connection lasts")
        self._beat_after(self.settings.heartbeat_s)

    def answered(self, reply: Probed) -> None:
        """Remember the last round trip."""
        self.answered_at, self.latency_ms = self.clock.monotonic(), reply.latency_ms

    def _beat_missed(self, epoch: int, reason: str) -> None:
        if epoch != self.epoch:
            return
        self.missed += 1
        self.missed_at = self.clock.monotonic()
        self.count_error()
        self.log("heartbeat_missed", level="WARNING", missed=self.missed, reason=reason)
        if self.missed >= self.settings.missed_beats:
            self.lost(DisconnectCause.SILENCE, f"{self.missed} heartbeats were not answered")
        else:
            self._beat_after(0.0)

    def _beat_after(self, delay_s: float) -> None:
        """Have one next beat, whatever was planned before."""
        self.is_beating = False
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.schedule(delay_s, BeatDue(epoch=self.epoch))

    @handles(ProofMissed)
    def on_proof_missed(self, message: ProofMissed) -> None:
        """Count a round trip that an order waited for in vain as a missed beat, and beat at once.

        While a beat is under way it is no news: the beat asks the same question. Nor is it when a beat that was asked
        later was missed already.
        """
        session = self.session
        if session is None or message.link_session != session.link_session or self.is_beating:
            return
        is_news = self.missed_at is None or message.asked_at >= self.missed_at
        if is_news and self.machine.state is ConnectionState.CONNECTED:
            self._beat_missed(self.epoch, "an order waited for a proof of life")

    # --- loss -----------------------------------------------------------------------------------------------------

    @handles(SessionEnded)
    def on_session_ended(self, message: SessionEnded) -> None:
        """Take note that the socket is gone."""
        if self.disconnects:
            self.session = None
            self.disconnected("asked")
            return
        if self.session is None:
            return
        if message.link_session in (None, self.session.link_session):
            self.session = None
            self.lost(message.cause, message.reason)

    @handles(NoticeReceived)
    def on_notice_received(self, message: NoticeReceived) -> None:
        """Obey the gateway's notices on connectivity (CON-10)."""
        notice = notice_meaning(message.code, message.text)
        meaning = notice.meaning
        if self.session is None and meaning is NoticeMeaning.PORT_RESET:
            # A predecessor's session ended with it: said once, and never to be learned again.
            self.remember(ports=self.ports.after_reset(message.text))
        if self.session is None or message.link_session != self.session.link_session:
            return
        self.log("notice", level="DEBUG", code=message.code, text=message.text)
        if meaning in NEWS_OF_TROUBLE:
            self.count_error()
        if meaning is NoticeMeaning.UPSTREAM_LOST:
            self._upstream_lost(message.text)
        elif meaning in (NoticeMeaning.RESTORED, NoticeMeaning.RESTORED_DATA_LOST):
            self._upstream_restored()
        elif meaning is NoticeMeaning.PORT_RESET:
            self.lost(DisconnectCause.PORT_RESET, message.text)
            self.remember(ports=self.ports.after_reset(message.text))
        else:
            self.on_data_notice(notice)

    def _upstream_lost(self, text: str) -> None:
        """The socket stays, and IB will say when it is back; the heartbeat goes on watching the socket."""
        self.upstream_lost = True
        self.last_error = text
        if self.machine.state is ConnectionState.CONNECTED:
            self._be_patient()
            self.begin_trail()
            self.move(ConnectionState.RECONNECTING, text, DisconnectCause.UPSTREAM_LOST)

    def _upstream_restored(self) -> None:
        """Read the world again; while CONNECTED too, since what was missed came before this session did."""
        self.upstream_lost = False
        self.remember(data=self.data.with_all_farms_up())
        if not self.attempting:
            self.begin_effort(self.settings.timeout_s)
        self.reconcile()
        if self.machine.state is ConnectionState.CONNECTED:
            self.demand_a_tick()
            self.tell_readiness()

    def wait_for_upstream(self) -> None:
        """Everything is read, but the gateway itself is cut off: only the heartbeat goes on."""
        self.end_reconciliation()
        self.next_epoch()
        self.attempting = False
        self.missed = 0
        self.timer = self.schedule(self.settings.heartbeat_s, BeatDue(epoch=self.epoch))
        self._be_patient()

    def _be_patient(self) -> None:
        """Wait for the gateway's word that it is back, but not for ever: the word may be lost with it."""
        self.upstream_lost_at = self.clock.monotonic()
        self.schedule(
            self.settings.upstream_patience_s, UpstreamOverdue(lost_at=self.upstream_lost_at)
        )

    @handles(UpstreamOverdue)
    def on_upstream_overdue(self, message: UpstreamOverdue) -> None:
        """Ask for a new session: the gateway tells each anew how it stands."""
        is_news = self.session is not None and message.lost_at == self.upstream_lost_at
        if self.upstream_lost and is_news:
            self.lost(
                DisconnectCause.UPSTREAM_LOST,
                f"cut off from IB for {self.settings.upstream_patience_s:g} s without a word",
            )

    def begin_trail(self) -> None:
        """Follow what comes now under a correlation id of its own."""
        self.trail = self.entropy.uuid4()

    def lost(self, cause: DisconnectCause, reason: str) -> None:
        """Leave a session that does not work, and try for another: at once when it had lasted."""
        if cause is DisconnectCause.REQUEST_UNANSWERED:
            self.count_error()
        self.last_error = reason
        self.end_reconciliation()
        self.drop_session(cause, reason)
        self.next_epoch()
        state = self.machine.state
        if state in (ConnectionState.DISCONNECTED, ConnectionState.FAILED):
            return
        if state is not ConnectionState.CONNECTED and (
            self.attempting or is_exhausted(self.machine)
        ):
            self.attempt_failed(GatewayConnectionError(reason), lost_layer(cause))
            return
        self.trouble = LayerHealth(layer=lost_layer(cause), ok=False, detail=reason)
        if state is ConnectionState.CONNECTED:
            self.begin_trail()
        if state is not ConnectionState.RECONNECTING:
            self.move(ConnectionState.RECONNECTING, reason, cause)
        self.schedule_attempt(self.retry_delay_s() if self.machine.attempts else 0.0)
