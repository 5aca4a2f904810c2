"""Whether the link still lives, and what follows when it does not: heartbeat, data, notices, loss (CON-4, 9, 10)."""

from __future__ import annotations

import attrs

from actors.connection_attempts import ConnectionAttempts
from actors.errors import (
    GatewayConnectionError,
)
from actors.logic.broker_codes import NoticeMeaning, notice_meaning
from actors.messages.addresses import (
    LINK,
    MARKET_DATA,
)
from actors.messages.connection import (
    NoticeReceived,
    Probe,
    Probed,
    ProofMissed,
    ProveMarketData,
    SessionEnded,
)
from actors.messages.lifecycle import Message, Reply
from actors.model.connection import ConnectionState, DisconnectCause


@attrs.frozen(kw_only=True)
class BeatDue(Message):
    """It is time for the next heartbeat of ``epoch``."""

    epoch: int


@attrs.frozen(kw_only=True)
class ProofDue(Message):
    """Market data shall be proved again for ``epoch``."""

    epoch: int


class ConnectionHealth(ConnectionAttempts):
    """A disconnect is more than one thing (D10): a closed socket, silence, a lost upstream, a reset port."""

    # --- health ---------------------------------------------------------------------------------------------------

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
        assert isinstance(reply, Probed)  # noqa: S101 - the link answers in kind
        if epoch != self.epoch:
            return
        self.missed = 0
        self.log("heartbeat", level="DEBUG", latency_ms=round(reply.latency_ms, 3))
        self._beat_after(self.settings.heartbeat_s)

    def _beat_missed(self, epoch: int, reason: str) -> None:
        if epoch != self.epoch:
            return
        self.missed += 1
        self.missed_at = self.clock.monotonic()
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

    def on_proof_due(self, message: ProofDue) -> None:
        """Prove market data again."""
        if message.epoch == self.epoch and self.machine.state is ConnectionState.CONNECTED:
            self.prove_market_data()

    def prove_market_data(self) -> None:
        """Only opening needs market data: a gateway without it must still let us close (CON-4)."""
        epoch = self.epoch
        self.ask(
            MARKET_DATA,
            ProveMarketData(
                **self.conversations.of_our_own("proof", self.settings.timeout_s),
                symbol=self.settings.probe_symbol,
            ),
            lambda _: self._readiness(epoch, None),
            lambda error: self._readiness(epoch, f"market data does not answer: {error.text}"),
        )

    def _readiness(self, epoch: int, blocked_by: str | None) -> None:
        if epoch != self.epoch:
            return
        if self.client_ids.is_fallback:
            blocked_by = blocked_by or self.client_ids.explanation
        self.opening_blocked_by = blocked_by
        self.tell_readiness()
        if blocked_by is not None:
            self.log("opening_blocked", level="WARNING", reason=blocked_by)
            self.schedule(self.settings.probe_retry_s, ProofDue(epoch=epoch))
        for request in self.connects.values():
            self.answer_connect(request)
        self.connects.clear()

    # --- loss -----------------------------------------------------------------------------------------------------

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

    def on_notice_received(self, message: NoticeReceived) -> None:
        """Obey the gateway's notices on connectivity (CON-10)."""
        if self.session is None or message.link_session != self.session.link_session:
            return
        meaning = notice_meaning(message.code, message.text).meaning
        self.log("notice", level="DEBUG", code=message.code, text=message.text)
        if meaning is NoticeMeaning.UPSTREAM_LOST:
            self._upstream_lost(message.text)
        elif meaning in (NoticeMeaning.RESTORED, NoticeMeaning.RESTORED_DATA_LOST):
            self.upstream_lost = False
            if self.machine.state is not ConnectionState.CONNECTED:
                self.reconcile()
        elif meaning is NoticeMeaning.PORT_RESET:
            self.lost(DisconnectCause.PORT_RESET, message.text)

    def _upstream_lost(self, text: str) -> None:
        """The socket stays, and IB will say when it is back; the heartbeat goes on watching the socket."""
        self.upstream_lost = True
        self.last_error = text
        if self.machine.state is ConnectionState.CONNECTED:
            self.opening_blocked_by = text
            self.move(ConnectionState.RECONNECTING, text, DisconnectCause.UPSTREAM_LOST)

    def wait_for_upstream(self) -> None:
        """Everything is read, but the gateway itself is cut off: only the heartbeat goes on."""
        self.end_reconciliation()
        self.next_epoch()
        self.missed = 0
        self.timer = self.schedule(self.settings.heartbeat_s, BeatDue(epoch=self.epoch))

    def lost(self, cause: DisconnectCause, reason: str) -> None:
        """Leave a session that does not work, and try for another at once."""
        self.last_error = reason
        self.client_ids = self.client_ids.from_the_start()
        self.end_reconciliation()
        self.opening_blocked_by = reason
        self.drop_session(cause, reason)
        self.next_epoch()
        if self.machine.state is ConnectionState.CONNECTED:
            self.move(ConnectionState.RECONNECTING, reason, cause)
            self.schedule_attempt(0.0)
        elif self.machine.state in (ConnectionState.CONNECTING, ConnectionState.RECONNECTING):
            self.attempt_failed(GatewayConnectionError(reason))
