"""The session that is open: how one is opened, adopted and ended, and what the gateway says about it.

Guarantees: at most one session at a time; the gate closes in the call in which a loss is seen; whoever waits for a
session to open is answered; what an ended session still says changes nothing.
"""

# mypy: disable-error-code="no-untyped-call"
# ib_insync's methods have no annotations.

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from actors import messages as m
from actors.errors import (
    GatewayConnectionError,
    GatewayError,
    GatewayNotConnectedError,
    SupersededError,
)
from actors.kernel.handlers import Part, handles
from actors.kernel.loop_actor import LoopActor
from actors.kernel.messages import Request
from actors.link.deadlines import left_s
from actors.link.memory import OrderIds
from actors.link.opening import open_failure
from actors.link.order_gate import OrderGate
from actors.link.pacing import PacingLane
from actors.link.quarantine import Odd, odd_message
from actors.link.registry import PROCESS_LINKS
from actors.link.repeats import Repeats
from actors.link.reports import Reports
from actors.link.session import Session
from actors.link.settings import LinkSettings
from actors.logic.broker_codes import NoticeMeaning, is_cut_off, notice_meaning
from actors.messages.addresses import CONNECTION, EXECUTOR, RISK
from actors.model.connection import OUR_OWN, DisconnectCause
from actors.ports import EventLog

MOST_ODD: Final = 1000
"""So many different odd messages of a process have the state read again; more would be a gateway gone mad."""

_NOT_THEIRS: Final = OUR_OWN | {DisconnectCause.ASKED}
"""Ends of a session for which Strategy C has to answer to nobody who counts at the gate."""

_LOSSES = (NoticeMeaning.UPSTREAM_LOST, NoticeMeaning.PORT_RESET)


class Sessions(Part):
    """See the module's docstring. Everything here runs on the link's loop, `abandon` excepted."""

    def __init__(
        self,
        link: LoopActor,
        *,
        settings: LinkSettings,
        gate: OrderGate,
        order_ids: OrderIds,
        log: EventLog,
    ) -> None:
        self.current: Session | None = None
        """The session that is open or being opened."""
        self.undecodable_count = 0
        self._odd_seen: set[tuple[str, ...]] = set()
        """So many messages of the current session could not be decoded."""
        self.flattening = m.FlatteningChanged(running=False)
        """What Strategy C said last of its work."""
        self._link = link
        self._settings = settings
        self._gate = gate
        self._order_ids = order_ids
        self._log = log
        self.repeats = Repeats()
        """What was just said of orders; whoever writes something about an order makes it forget."""
        self._reports = Reports(link.tell, gate, self.repeats)
        self._opening: m.OpenSession | None = None
        self._began_at = 0.0
        self._made = 0

    # --- opening and ending ---------------------------------------------------------------------------------------

    @handles(m.OpenSession)
    def on_open_session(self, request: m.OpenSession) -> None:
        """Open a session; one that is open or on its way ends first."""
        self.end(DisconnectCause.ASKED, "another session is opened")
        try:
            PROCESS_LINKS.claim(self)
        except GatewayError as error:
            self._link.refuse(request, error)
            return
        self._made += 1
        self._opening = request
        self._began_at = self._link.clock.monotonic()
        self.undecodable_count = 0
        self.repeats.forget_all()
        self.current = Session(
            number=self._made,
            request=request,
            settings=self._settings,
            clock=self._link.clock,
            loop=self._link.loop,
            spawn=self._link.spawn,
            listener=self,
            reports=self._reports,
        )
        self.current.pacer.set_flattening(self.flattening.running)
        self._link.spawn(self._open(self.current, request))

    async def _open(self, session: Session, request: m.OpenSession) -> None:
        try:
            async with asyncio.timeout(left_s(request, self._link.clock)) as limit:
                await session.client.open(request.host, request.port, request.client_id)
                self._link.tell(CONNECTION, m.SocketOpened(correlation_id=request.correlation_id))
                await session.settled
        except (OSError, GatewayError) as error:
            failure = open_failure(error, request, timed_out=limit.expired())
            if self.current is session and not session.is_ready:
                self.end(DisconnectCause.LINK_FAILED, str(failure), failure)

    def session_ready(self, session: Session) -> None:
        """Answer `OpenSession` in the same call, so that nothing the gateway says next overtakes it."""
        request, self._opening = self._opening, None
        if request is None or session is not self.current:
            return
        floor = max(session.client.next_valid_id, request.order_id_floor)
        self._order_ids.raise_floor(floor)
        self._gate.session_opened(session.accounts, readonly=session.readonly)
        if self._settings.market_data_type != 1 and session.pacer.try_now(PacingLane.CLOSE):
            session.client.reqMarketDataType(int(self._settings.market_data_type))
        self._link.reply(request, self._describe_session(session, request))

    def _describe_session(self, session: Session, request: Request) -> m.SessionOpened:
        return m.SessionOpened(
            correlation_id=request.correlation_id,
            link_session=session.number,
            server_version=session.server_version,
            accounts=session.accounts,
            next_order_id=self._order_ids.last + 1,
            client_id=session.client_id,
            elapsed_ms=(self._link.clock.monotonic() - self._began_at) * 1000,
            upstream_lost=session.is_cut_off,
        )

    @handles(m.FlatteningChanged)
    def on_flattening_changed(self, message: m.FlatteningChanged) -> None:
        """Let data wait while something is being closed, in this session and in those that follow."""
        self.flattening = message
        if self.current is not None:
            self.current.pacer.set_flattening(message.running)

    @handles(m.AdoptSession)
    def on_adopt_session(self, request: m.AdoptSession) -> None:
        """Describe the session that is open."""
        session = self.current
        if session is None or not session.is_ready:
            self._link.refuse(request, GatewayNotConnectedError("no session is open"))
            return
        self._link.reply(request, self._describe_session(session, request))

    @handles(m.EndSession)
    def on_end_session(self, message: m.EndSession) -> None:
        """End the session, whichever it is."""
        self.end(message.cause, message.reason, graceful=message.graceful)

    def end(
        self,
        cause: DisconnectCause,
        reason: str,
        error: GatewayError | None = None,
        *,
        graceful: bool = False,
    ) -> None:
        """Close the gate, then the socket; fail whoever waits; tell the connection."""
        session, self.current = self.current, None
        if session is None:
            return
        self._gate.session_ended(reason, planned=cause in _NOT_THEIRS)
        was_ready = session.is_ready
        session.end(
            error or GatewayConnectionError(f"the session ended: {reason}"), graceful=graceful
        )
        PROCESS_LINKS.release(self)
        request, self._opening = self._opening, None
        if request is not None:
            self._link.refuse(request, error or GatewayConnectionError(f"not connected: {reason}"))
        if was_ready:
            self._link.tell(
                CONNECTION,
                m.SessionEnded(link_session=session.number, cause=cause, reason=reason),
            )

    def abandon(self, *, in_another_thread: bool) -> None:
        """Cut the connection. A thread that hangs may still hold the loop, so the socket is shut down from here."""
        session, self.current = self.current, None
        if session is None:
            return
        self._gate.session_ended("the link failed", planned=True)
        PROCESS_LINKS.release(self)
        if not in_another_thread:
            session.client.abort()
            return
        session.client.cut()
        with suppress(RuntimeError):  # the loop is closed, and the socket with it
            self._link.loop.call_soon_threadsafe(session.client.abort)

    # --- what the gateway says ------------------------------------------------------------------------------------

    def session_broken(self, session: Session, error: Exception) -> None:
        """The socket was closed, or what came out of it was no message of IB's."""
        if session is not self.current:
            return
        closed = isinstance(error, GatewayConnectionError)
        cause = DisconnectCause.SOCKET_CLOSED if closed else DisconnectCause.LINK_FAILED
        reason = str(error) if closed else f"undecodable: {type(error).__name__}: {error}"
        with suppress(SupersededError):  # then a successor has the session's place already
            self.end(cause, reason)

    def undecodable(self, session: Session, fields: list[str], error: Exception) -> None:
        """Put a message aside that could not be read, and say what it was about; the session goes on (D22)."""
        if session is not self.current:
            return
        self.undecodable_count += 1
        odd = odd_message(fields)
        self._log(
            "message_quarantined",
            level="ERROR" if odd.concerns_trading else "WARNING",
            message_number=odd.number,
            kind=odd.kind,
            con_id=odd.con_id,
            order_id=odd.order_id,
            error_type=type(error).__name__,
            why=str(error)[:200],
            count=self.undecodable_count,
            fields=odd.fields if odd.concerns_trading else len(fields),
        )
        if odd.concerns_trading and odd.con_id is not None:
            why = f"a message about it ({odd.kind}) could not be read: {error}"
            unsure = m.ContractUnsure(
                con_id=odd.con_id, why=why[:300], at=self._link.clock.monotonic()
            )
            self._link.tell(RISK, unsure)
        self._read_what_it_said(session, odd)

    def _read_what_it_said(self, session: Session, odd: Odd) -> None:
        """Have the state read once for each odd message that came unasked; one in an answer would come again."""
        is_asked = session.answers.are_being_read or odd.is_answer
        if not odd.concerns_trading or is_asked or odd.fields in self._odd_seen:
            return
        if len(self._odd_seen) < MOST_ODD:
            self._odd_seen.add(odd.fields)
            self._link.tell(CONNECTION, m.RequestReconciliation(sender=EXECUTOR))

    def notice(self, session: Session, code: int, text: str) -> None:
        """Close the gate when the notice says that the link to the exchange is lost, then hand it on (CON-10)."""
        if session is not self.current:
            return
        meaning = notice_meaning(code, text).meaning
        session.is_cut_off = is_cut_off(meaning, session.is_cut_off)
        if meaning is NoticeMeaning.THROTTLE:
            self._slow_down(session, text)
        if meaning in _LOSSES:
            self._gate.close(f"{text} (code {code})")
        if session.is_ready:
            self._link.tell(
                CONNECTION, m.NoticeReceived(link_session=session.number, code=code, text=text)
            )

    def _slow_down(self, session: Session, text: str) -> None:
        """Send half as much for a while: somebody, perhaps another program beside us, sends too much."""
        session.pacer.slow_down(self._settings.pacing.slow_down_s)
        self._log(
            "rate_exceeded",
            level="WARNING",
            text=text,
            slow_for_s=self._settings.pacing.slow_down_s,
        )

    def duplicate_id(self, session: Session, order_id: int) -> None:
        """Leap ahead of whoever used the id, ask where the gateway stands, and have the floor made durable (D15)."""
        if session is not self.current or not self._order_ids.leap(order_id):
            return
        self._log("order_id_duplicate", level="ERROR", order_id=order_id, next=self._order_ids.last)
        self._tell_floor(session)
        self._link.spawn(self._ask_next_id(session))

    async def _ask_next_id(self, session: Session) -> None:
        with suppress(GatewayError):  # the next session begins with the gateway's floor anyway
            await session.pacer.turn(PacingLane.CLOSE)
            session.client.reqIds(1)

    def next_id(self, session: Session, order_id: int) -> None:
        """Follow the gateway upwards, never downwards."""
        if session is self.current and order_id - 1 > self._order_ids.last:
            self._order_ids.raise_floor(order_id)
            self._tell_floor(session)

    def _tell_floor(self, session: Session) -> None:
        self._link.tell(
            CONNECTION,
            m.OrderIdsLeapt(client_id=session.client_id, highest=self._order_ids.last),
        )

    def proof_missed(self, session: Session, asked_at: float) -> None:
        """Tell the connection, which has its own ways to find out whether the link is lost."""
        if session is self.current:
            self._link.tell(
                CONNECTION, m.ProofMissed(link_session=session.number, asked_at=asked_at)
            )
