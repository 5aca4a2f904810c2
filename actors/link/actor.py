"""The link actor: the one thread that speaks to the gateway (D1, D8).

It opens one session at a time, answers what is asked of the gateway, hands on what the gateway says, and holds the
order gate. Whatever it is told comes as a message; whatever it has to say goes out as one.

Guarantees: nothing reaches the wire as an order unless `logic.order_gate` let it pass in the same call; the gate closes
in the call in which a loss is seen; every request ends at its deadline, and all of them when the session ends.
"""

# mypy: disable-error-code="no-untyped-call"
# ib_insync's methods have no annotations.

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

from actors.errors import (
    GatewayConnectionError,
    GatewayError,
    GatewayNotConnectedError,
    OutcomeUnknownError,
    SupersededError,
    describe,
)
from actors.kernel.actor import ActorContext
from actors.kernel.handlers import handles
from actors.kernel.messages import Message, Request, RequestFailed
from actors.link.asking import AskingLink
from actors.link.memory import LinkMemory
from actors.link.opening import open_failure
from actors.link.orders import OrderSender
from actors.link.pacing import PacingLane
from actors.link.registry import PROCESS_LINKS
from actors.link.reports import Reports
from actors.link.sending import OrderDesk
from actors.link.session import Session
from actors.link.settings import LinkSettings
from actors.logic.broker_codes import NoticeMeaning, is_cut_off, notice_meaning
from actors.messages.addresses import CONNECTION
from actors.messages.connection import (
    AdoptSession,
    EndSession,
    NoticeReceived,
    OpenSession,
    OrderIdsLeapt,
    ProofMissed,
    SessionEnded,
    SessionOpened,
    SocketOpened,
)
from actors.messages.orders import (
    GateAnswered,
    InstallPermitKey,
    QueryGate,
    SendCancel,
    SendGlobalCancel,
    SendOrder,
    SetGate,
)
from actors.messages.risk import LatchChanged
from actors.model.connection import DisconnectCause
from actors.ports import EventLog, no_log

_LOSSES = (NoticeMeaning.UPSTREAM_LOST, NoticeMeaning.PORT_RESET)


class LinkActor(AskingLink):
    """See the module's docstring. Everything here runs on the link's loop, `abandoned` excepted."""

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: LinkSettings,
        memory: LinkMemory | None = None,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context, settings=settings, memory=memory, log=log)
        self.opening: OpenSession | None = None
        self.began_at = 0.0
        self.sessions_made = 0
        self.undecodable_count = 0
        self.order_ids = self.memory.order_ids
        sender = OrderSender() if settings.sends_orders else None
        self.desk = OrderDesk(self, self.gate, sender, self.order_ids)
        self.reports = Reports(self.tell, self.gate)

    def started(self) -> None:
        """Say that whatever session an earlier incarnation had is gone; the gate is closed and has no key."""
        if self.incarnation > 1:
            self.gate.assume_disconnect()
            self.tell(
                CONNECTION,
                SessionEnded(
                    link_session=None,
                    cause=DisconnectCause.LINK_FAILED,
                    reason="the link was restarted",
                ),
            )

    def stopping(self) -> None:
        """Close in order."""
        self.end_session(DisconnectCause.ASKED, "the link stops", graceful=True)

    def abandoned(self) -> None:
        """Cut the connection. A thread that hangs may still hold the loop, so the socket is shut down from here."""
        session, self.session = self.session, None
        if session is None:
            return
        self.gate.session_ended("the link failed")
        PROCESS_LINKS.release(self)
        if not self._own_loop or threading.current_thread() is self.thread:
            session.client.abort()
            return
        session.client.cut()
        with suppress(RuntimeError):  # the loop is closed, and the socket with it
            self.loop.call_soon_threadsafe(session.client.abort)

    def failure_answer(self, message: Message, error: BaseException) -> Message | None:
        """An order that was at the gate when something broke may have been sent: its fate has to be asked for."""
        if not isinstance(message, SendOrder):
            return None
        unknown = OutcomeUnknownError(f"the link failed at the gate: {type(error).__name__}")
        return RequestFailed(correlation_id=message.correlation_id, error=describe(unknown))

    # --- the session ----------------------------------------------------------------------------------------------

    @handles(OpenSession)
    def on_open_session(self, request: OpenSession) -> None:
        """Open a session; one that is open or on its way ends first."""
        self.end_session(DisconnectCause.ASKED, "another session is opened")
        try:
            PROCESS_LINKS.claim(self)
        except GatewayError as error:
            self.refuse(request, error)
            return
        self.sessions_made += 1
        self.opening = request
        self.began_at = self.clock.monotonic()
        self.undecodable_count = 0
        self.session = Session(
            number=self.sessions_made,
            request=request,
            settings=self.settings,
            clock=self.clock,
            loop=self.loop,
            owner=self,
            reports=self.reports,
        )
        self.spawn(self._open(self.session, request))

    async def _open(self, session: Session, request: OpenSession) -> None:
        try:
            async with asyncio.timeout(self.left_s(request)) as limit:
                await session.client.open(request.host, request.port, request.client_id)
                self.tell(CONNECTION, SocketOpened(correlation_id=request.correlation_id))
                await session.settled
        except (OSError, GatewayError) as error:
            failure = open_failure(error, request, timed_out=limit.expired())
            if self.session is session and not session.is_ready:
                self.end_session(DisconnectCause.LINK_FAILED, str(failure), failure)

    def session_ready(self, session: Session) -> None:
        """Answer `OpenSession` in the same call, so that nothing the gateway says next overtakes it."""
        request, self.opening = self.opening, None
        if request is None or session is not self.session:
            return
        floor = max(session.client.next_valid_id, request.order_id_floor)
        self.order_ids.raise_floor(floor)
        self.gate.session_opened(session.accounts, readonly=session.readonly)
        if self.settings.market_data_type != 1 and session.pacer.try_now(PacingLane.PRIORITY):
            session.client.reqMarketDataType(int(self.settings.market_data_type))
        self.reply(request, self._describe_session(session, request))

    def _describe_session(self, session: Session, request: Request) -> SessionOpened:
        return SessionOpened(
            correlation_id=request.correlation_id,
            link_session=session.number,
            server_version=session.server_version,
            accounts=session.accounts,
            next_order_id=self.order_ids.last + 1,
            client_id=session.client_id,
            elapsed_ms=(self.clock.monotonic() - self.began_at) * 1000,
            upstream_lost=session.is_cut_off,
        )

    @handles(AdoptSession)
    def on_adopt_session(self, request: AdoptSession) -> None:
        """Describe the session that is open."""
        session = self.session
        if session is None or not session.is_ready:
            self.refuse(request, GatewayNotConnectedError("no session is open"))
            return
        self.reply(request, self._describe_session(session, request))

    @handles(EndSession)
    def on_end_session(self, message: EndSession) -> None:
        """End the session, whichever it is."""
        self.end_session(message.cause, message.reason, graceful=message.graceful)

    def end_session(
        self,
        cause: DisconnectCause,
        reason: str,
        error: GatewayError | None = None,
        *,
        graceful: bool = False,
    ) -> None:
        """Close the gate, then the socket; fail whoever waits; tell the connection."""
        session, self.session = self.session, None
        if session is None:
            return
        self.gate.session_ended(reason, planned=cause is DisconnectCause.ASKED)
        was_ready = session.is_ready
        session.end(
            error or GatewayConnectionError(f"the session ended: {reason}"), graceful=graceful
        )
        PROCESS_LINKS.release(self)
        request, self.opening = self.opening, None
        if request is not None:
            self.refuse(request, error or GatewayConnectionError(f"not connected: {reason}"))
        if was_ready:
            self.tell(
                CONNECTION,
                SessionEnded(link_session=session.number, cause=cause, reason=reason),
            )

    def session_broken(self, session: Session, error: Exception) -> None:
        """The socket was closed, or what came out of it was no message of IB's."""
        if session is not self.session:
            return
        closed = isinstance(error, GatewayConnectionError)
        cause = DisconnectCause.SOCKET_CLOSED if closed else DisconnectCause.LINK_FAILED
        reason = str(error) if closed else f"undecodable: {type(error).__name__}: {error}"
        with suppress(SupersededError):  # then a successor has the session's place already
            self.end_session(cause, reason)

    def undecodable(self, session: Session, fields: list[str], error: Exception) -> None:
        """Count what could not be decoded and carried no order; too much of it ends the session."""
        if session is not self.session:
            return
        self.undecodable_count += 1
        self.log(
            "message_undecodable",
            level="WARNING",
            message_number=fields[0],
            field_count=len(fields),
            error_type=type(error).__name__,
            count=self.undecodable_count,
        )
        if self.undecodable_count > self.settings.max_undecodable:
            raise error

    def notice(self, session: Session, code: int, text: str) -> None:
        """Close the gate when the notice says that the link to the exchange is lost, then hand it on (CON-10)."""
        if session is not self.session:
            return
        meaning = notice_meaning(code, text).meaning
        session.is_cut_off = is_cut_off(meaning, session.is_cut_off)
        if meaning is NoticeMeaning.THROTTLE:
            self._slow_down(session, text)
        if meaning in _LOSSES:
            self.gate.close(f"{text} (code {code})")
        if session.is_ready:
            self.tell(CONNECTION, NoticeReceived(link_session=session.number, code=code, text=text))

    def _slow_down(self, session: Session, text: str) -> None:
        """Send half as much for a while: somebody, perhaps another program beside us, sends too much."""
        session.pacer.slow_down(self.settings.slow_down_s)
        self.log("rate_exceeded", level="WARNING", text=text, slow_for_s=self.settings.slow_down_s)

    def duplicate_id(self, session: Session, order_id: int) -> None:
        """Leap ahead of whoever used the id, ask where the gateway stands, and have the floor made durable (D15)."""
        if session is not self.session or not self.order_ids.leap(order_id):
            return
        self.log("order_id_duplicate", level="ERROR", order_id=order_id, next=self.order_ids.last)
        self._tell_floor(session)
        self.spawn(self._ask_next_id(session))

    async def _ask_next_id(self, session: Session) -> None:
        with suppress(GatewayError):  # the next session begins with the gateway's floor anyway
            await session.pacer.turn(PacingLane.PRIORITY)
            session.client.reqIds(1)

    def next_id(self, session: Session, order_id: int) -> None:
        """Follow the gateway upwards, never downwards."""
        if session is self.session and order_id - 1 > self.order_ids.last:
            self.order_ids.raise_floor(order_id)
            self._tell_floor(session)

    def _tell_floor(self, session: Session) -> None:
        self.tell(
            CONNECTION,
            OrderIdsLeapt(client_id=session.client_id, highest=self.order_ids.last),
        )

    def proof_missed(self, session: Session, asked_at: float) -> None:
        """Tell the connection, which has its own ways to find out whether the link is lost."""
        if session is self.session:
            self.tell(CONNECTION, ProofMissed(link_session=session.number, asked_at=asked_at))

    # --- the gate -------------------------------------------------------------------------------------------------

    @handles(InstallPermitKey)
    def on_install_permit_key(self, message: InstallPermitKey) -> None:
        """Take the key of a new incarnation of risk."""
        self.gate.install_key(message.key)

    @handles(SetGate)
    def on_set_gate(self, message: SetGate) -> None:
        """Open or close for the connection."""
        if not self.gate.set_open(message.open, message.reason):
            self.log("gate_stays_closed", level="WARNING", reason="the state was not read yet")
        self.desk.gate_moved()

    @handles(LatchChanged)
    def on_latch_changed(self, message: LatchChanged) -> None:
        """Let only closes pass while latched."""
        self.gate.set_latched(message.latched, message.answered_disconnects)

    @handles(QueryGate)
    def on_query_gate(self, request: QueryGate) -> None:
        """Tell which orders were sent; the others never will be."""
        self.reply(
            request,
            GateAnswered(
                correlation_id=request.correlation_id,
                sent=self.gate.answer(request.order_refs),
                gate_started_at=self.gate.knows_since,
            ),
        )

    @handles(SendOrder)
    def on_send_order(self, request: SendOrder) -> None:
        """Pass the gate and write, in one step."""
        self.desk.send(request, self.sender)

    @handles(SendCancel)
    def on_send_cancel(self, message: SendCancel) -> None:
        """Cancel one order; needs no permit."""
        self.desk.cancel(message.broker_order_id)

    @handles(SendGlobalCancel)
    def on_send_global_cancel(self, _: SendGlobalCancel) -> None:
        """Cancel every order of the account."""
        self.desk.cancel_all()


__all__ = ["LinkActor", "LinkSettings"]
