"""What the gateway says of its own connectivity, and how each notice is obeyed (CON-10)."""

from __future__ import annotations

from typing import Final

import attrs

from actors import messages as m
from actors.connection.attempts import Attempts
from actors.connection.callers import Callers
from actors.connection.data_proof import DataProof
from actors.connection.heartbeat import Heartbeat
from actors.connection.link_state import LinkState
from actors.connection.readiness import Readiness
from actors.connection.reconciliation import Reconciliation
from actors.connection.transitions import Transitions
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.kernel.messages import Message
from actors.logic.broker_codes import Notice, NoticeMeaning, notice_meaning
from actors.model.connection import ConnectionState, DisconnectCause
from actors.ports import EventLog

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
class UpstreamOverdue(Message):
    """The gateway has been cut off since ``lost_at`` (monotonic seconds) without a word; told to oneself."""

    lost_at: float


class Notices(Part):
    """A disconnect is more than one thing (D10): a closed socket, a lost upstream, a reset port.

    ``_upstream_lost_at`` (monotonic seconds) is when waiting for the upstream began last.
    """

    def __init__(
        self,
        actor: SupervisedActor,
        link: LinkState,
        transitions: Transitions,
        callers: Callers,
        readiness: Readiness,
        proof: DataProof,
        reconciliation: Reconciliation,
        attempts: Attempts,
        heartbeat: Heartbeat,
        log: EventLog,
    ) -> None:
        self._actor = actor
        self._link = link
        self._transitions = transitions
        self._callers = callers
        self._readiness = readiness
        self._proof = proof
        self._reconciliation = reconciliation
        self._attempts = attempts
        self._heartbeat = heartbeat
        self._log = log
        self._upstream_lost_at = 0.0

    @handles(m.SessionEnded)
    def on_session_ended(self, message: m.SessionEnded) -> None:
        """Take note that the socket is gone."""
        link = self._link
        if self._callers.want_to_disconnect:
            link.session = None
            self._attempts.disconnected("asked")
            return
        if link.session is None:
            return
        if message.link_session in (None, link.session.link_session):
            link.session = None
            self._heartbeat.lost(message.cause, message.reason)

    @handles(m.NoticeReceived)
    def on_notice_received(self, message: m.NoticeReceived) -> None:
        """Obey the gateway's notices on connectivity."""
        link = self._link
        notice = notice_meaning(message.code, message.text)
        if link.session is None and notice.meaning is NoticeMeaning.PORT_RESET:
            # A predecessor's session ended with it: said once, and never to be learned again.
            link.remember(ports=link.ports.after_reset(message.text))
        if link.session is None or message.link_session != link.session.link_session:
            return
        self._log("notice", level="DEBUG", code=message.code, text=message.text)
        if notice.meaning in NEWS_OF_TROUBLE:
            link.count_error()
        self._obey(notice, message.text)

    def _obey(self, notice: Notice, text: str) -> None:
        meaning = notice.meaning
        if meaning is NoticeMeaning.UPSTREAM_LOST:
            self._on_upstream_lost(text)
        elif meaning in (NoticeMeaning.RESTORED, NoticeMeaning.RESTORED_DATA_LOST):
            self._on_upstream_restored()
        elif meaning is NoticeMeaning.PORT_RESET:
            self._heartbeat.lost(DisconnectCause.PORT_RESET, text)
            self._link.remember(ports=self._link.ports.after_reset(text))
        else:
            self._proof.on_data_notice(notice)

    def _on_upstream_lost(self, text: str) -> None:
        """The socket stays, and IB will say when it is back; the heartbeat goes on watching the socket."""
        link = self._link
        link.upstream_lost = True
        link.last_error = text
        if link.is_connected:
            self._be_patient()
            link.begin_trail()
            self._transitions.move(
                ConnectionState.RECONNECTING, text, DisconnectCause.UPSTREAM_LOST
            )

    def _on_upstream_restored(self) -> None:
        """Read the world again; while CONNECTED too, since what was missed came before this session did."""
        link = self._link
        link.upstream_lost = False
        link.sound_since = self._actor.clock.monotonic()
        link.remember(data=link.data.with_all_farms_up())
        if not link.attempting:
            link.begin_effort(link.settings.gateway.timeout_s)
        self._reconciliation.begin()
        if link.is_connected:
            self._proof.demand_a_tick()
            self._readiness.announce()

    def wait_for_upstream(self) -> None:
        """Everything is read, but the gateway itself is cut off: only the heartbeat goes on."""
        self._reconciliation.give_up()
        self._link.next_epoch()
        self._link.attempting = False
        self._heartbeat.begin()
        self._be_patient()

    def _be_patient(self) -> None:
        """Wait for the gateway's word that it is back, but not for ever: the word may be lost with it."""
        self._upstream_lost_at = self._actor.clock.monotonic()
        overdue = UpstreamOverdue(lost_at=self._upstream_lost_at)
        self._actor.schedule(self._link.settings.connection.upstream_patience_s, overdue)

    @handles(UpstreamOverdue)
    def on_upstream_overdue(self, message: UpstreamOverdue) -> None:
        """Ask for a new session: the gateway tells each anew how it stands."""
        link = self._link
        is_news = link.session is not None and message.lost_at == self._upstream_lost_at
        if link.upstream_lost and is_news:
            patience_s = link.settings.connection.upstream_patience_s
            reason = f"cut off from IB for {patience_s:g} s without a word"
            self._heartbeat.lost(DisconnectCause.UPSTREAM_LOST, reason)
