"""One session: one socket, its requests that wait, and what it subscribes to.

Guarantees: every request that waits ends when the session ends; what IB answers without an id is asked for once at a
time; a late answer changes nothing. It decides nothing about orders.
"""

# mypy: disable-error-code="no-untyped-call"
# ib_insync's methods have no annotations.

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from typing import Any, Protocol

from actors import messages as m
from actors.errors import GatewayError
from actors.kernel.clock import Clock
from actors.link.answers import (
    ACCOUNT,
    COMPLETED_ORDERS,
    FIRST_REQUEST_ID,
    OPEN_ORDERS,
    POSITIONS,
    Answers,
    Pending,
)
from actors.link.client import SessionClient
from actors.link.liveness import Liveness
from actors.link.opening import handshake_error, handshake_failure
from actors.link.pacer import Pacer
from actors.link.pacing import PacingLane, PacingLimits
from actors.link.reports import Reports
from actors.link.settings import LinkSettings
from actors.link.ticks import TickStreams
from actors.link.traded_account import TradedAccount
from actors.link.wrapper import RawWrapper
from actors.logic.broker_codes import Meaning, RequestKind, meaning


class SessionListener(Protocol):
    """Who takes what the session itself cannot decide; each call comes on the loop."""

    def session_ready(self, session: Session) -> None:
        """The API is ready."""

    def session_broken(self, session: Session, error: Exception) -> None:
        """The connection is of no use any more."""

    def notice(self, session: Session, code: int, text: str) -> None:
        """Something that belongs to no request."""

    def undecodable(self, session: Session, fields: list[str], error: Exception) -> None:
        """A message without an order that could not be decoded."""

    def duplicate_id(self, session: Session, order_id: int) -> None:
        """The gateway knows this order id already."""

    def next_id(self, session: Session, order_id: int) -> None:
        """The gateway said which order id it expects next, after the handshake."""

    def proof_missed(self, session: Session, asked_at: float) -> None:
        """The gateway left the round trip of ``asked_at`` unanswered, for which an order waited."""


class Session:
    """See the module's docstring. All times in seconds."""

    def __init__(
        self,
        *,
        number: int,
        request: m.OpenSession,
        settings: LinkSettings,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        spawn: Callable[[Coroutine[Any, Any, Any]], object],
        listener: SessionListener,
        reports: Reports,
    ) -> None:
        self.number = number
        self.client_id = request.client_id
        self.readonly = request.readonly
        self.settings = settings
        self.clock = clock
        self.loop = loop
        self.answers = Answers()
        self.pacer = Pacer(
            loop,
            clock,
            PacingLimits(
                rate_per_s=settings.pacing.messages_per_s,
                reserve_per_s=settings.pacing.reserve_messages,
                opening_reserve_per_s=settings.pacing.opening_reserve_messages,
                data_burst=settings.pacing.data_burst,
            ),
            settings.pacing.max_waiting,
            settings.pacing.data_pause_s,
        )
        self.account = TradedAccount(
            client_id=request.client_id,
            managed=lambda: self.accounts,
            answers=self.answers,
            reports=reports,
            max_commissions=settings.max_items_per_answer,
        )
        self.client = SessionClient(
            RawWrapper(self, self.answers, self.account),
            self,
            max_frame_bytes=settings.gateway.max_frame_bytes,
            max_unsent_bytes=settings.max_unsent_bytes,
        )
        self.liveness = Liveness(
            loop=loop,
            clock=clock,
            client=self.client,
            pacer=self.pacer,
            spawn=spawn,
            on_missed=lambda asked_at: listener.proof_missed(self, asked_at),
            fresh_s=settings.orders.proof_of_life_s,
            limit_s=settings.connection.heartbeat_timeout_s,
        )
        self.ticks = TickStreams(
            loop=loop,
            clock=clock,
            answers=self.answers,
            client=self.client,
            pacer=self.pacer,
            tell=reports.market,
            spawn=spawn,
            max_lines=settings.market_data.max_tick_streams,
            interval_s=settings.market_data.ticks_interval_s,
        )
        self.settled: asyncio.Future[None] = loop.create_future()
        self.is_ready = False
        self.is_cut_off = False
        self.received_at: datetime = clock.now()
        self.unanswered: str | None = None
        self._listener = listener
        self._reports = reports

    # --- its beginning and its end --------------------------------------------------------------------------------

    @property
    def accounts(self) -> tuple[str, ...]:
        """The managed accounts."""
        return self.client.accounts

    @property
    def server_version(self) -> int:
        """The protocol version that was agreed on."""
        return int(self.client.serverVersion())

    def end(self, error: GatewayError, *, graceful: bool = False) -> None:
        """Fail everything that waits, and close: in order when ``graceful``, else by aborting."""
        self.is_ready = False
        if graceful and self.client.can_write:
            self._say_farewell()
            self.client.close_in_order()
            self.loop.call_later(self.settings.farewell_s, self.client.abort)
        else:
            self.client.abort()
        self._settle(error)
        self.ticks.end()
        self.answers.fail_all(error)
        self.pacer.fail(error)
        self.liveness.end(error)

    def _settle(self, error: GatewayError) -> None:
        """End the handshake with an error, unless it has ended."""
        if not self.settled.done():
            self.settled.set_exception(error)
            self.settled.exception()  # seen, even when nobody waits for it any more

    def _say_farewell(self) -> None:
        """Cancel what is subscribed (CON-13). What does not go through any more does not matter."""
        with suppress(GatewayError):
            self.ticks.farewell()
            if self.account.values is not None:
                self.client.reqAccountUpdates(False, self.account.values.account_id)
            self.client.cancelPositions()

    def on_ready(self) -> None:
        """The handshake is done; called by the client."""
        self.pacer.try_now(PacingLane.CLOSE)  # startApi counts, too
        self.is_ready = True
        if not self.settled.done():
            self.settled.set_result(None)
        self._listener.session_ready(self)

    def on_broken(self, error: Exception) -> None:
        """The socket is gone, or what comes out of it makes no sense; called by the client."""
        if not self.is_ready and not self.settled.done():
            self._settle(handshake_failure(error))
            return
        self._listener.session_broken(self, error)

    def on_undecodable(self, fields: list[str], error: Exception) -> None:
        """One message is lost; called by the client."""
        self._listener.undecodable(self, fields, error)

    def batch_began(self) -> None:
        """Date everything in a batch alike: by our clock, not by the library's (D3)."""
        self.received_at = self.clock.now()
        self.liveness.bytes_came()

    def batch_ended(self) -> None:
        """Report the account's numbers once per batch."""
        self.account.on_batch_end(self.received_at)

    # --- asking ---------------------------------------------------------------------------------------------------

    @contextmanager
    def expecting(
        self,
        what: str,
        kind: RequestKind,
        pending_type: type[Pending] = Pending,
    ) -> Iterator[tuple[int, Pending]]:
        """Draw a request id and collect its answer; afterwards whatever still comes is ignored."""
        request_id = self.answers.next_id()
        pending = pending_type(self.loop, what, kind, self.settings.max_items_per_answer)
        self.answers.expect(request_id, pending)
        try:
            yield request_id, pending
        finally:
            self.answers.forget(request_id)

    @asynccontextmanager
    async def single(
        self, key: str, *, ends: int = 1, needed: bool = True
    ) -> AsyncIterator[Pending]:
        """Ask for what has no id, once at a time: the caller sees to that, and waits for the end in the body.

        The body writes as many requests as the answer has end markers. One that is ``needed`` and given up, because
        nothing came for too long or something asked beside it failed, is remembered in ``unanswered``: its answer could
        be taken for that of the next one, so the session has to end.
        """
        pending = Pending(
            self.loop, key, RequestKind.NONE, self.settings.max_items_per_answer, ends
        )
        for _ in range(ends):
            await self.pacer.turn(PacingLane.STATE)
        pending.heard()
        self.answers.expect(key, pending)
        try:
            yield pending
        finally:
            if needed and not pending.done.done():
                self.unanswered = key
            self.answers.forget(key)

    # --- what the gateway says ------------------------------------------------------------------------------------

    def on_error(self, request_id: int, code: int, text: str) -> None:
        """Give an error to whom it belongs: a request, an order, the handshake, or nobody in particular."""
        if not self.is_ready and not self.settled.done():
            failure = handshake_error(code, text)
            if failure is not None:
                self._settle(failure)
                return
        if request_id >= FIRST_REQUEST_ID:
            pending = self.answers.get(request_id)
            if pending is not None:
                pending.on_error(code, text)
            if code == 10197:
                self._listener.notice(self, code, text)
        elif request_id > 0:
            if meaning(code, RequestKind.NEW) is Meaning.DUPLICATE_ID:
                self._listener.duplicate_id(self, request_id)
            self._reports.order_error(request_id, code, text, at=self.received_at)
        else:
            self._refused_without_id(code, text)
            self._listener.notice(self, code, text)

    def _refused_without_id(self, code: int, text: str) -> None:
        """An invalid request without an id can only be one of those that wait (such as in read-only mode)."""
        if code not in (320, 321, 322):
            return
        for key in (OPEN_ORDERS, COMPLETED_ORDERS, POSITIONS, ACCOUNT):
            pending = self.answers.get(key)
            if pending is not None:
                pending.on_error(code, text)

    def on_next_id(self, order_id: int) -> None:
        """The gateway's floor for order ids; the handshake's own is read by the client."""
        if self.is_ready:
            self._listener.next_id(self, order_id)

    def on_time(self, gateway_time: datetime) -> None:
        """The answer to a round trip."""
        self.liveness.answered(gateway_time)

    def on_tick(self, fields: list[str]) -> None:
        """A tick of a stream; one of a stream that was cancelled is late."""
        take = self.ticks.takers.get(fields[1])
        if take is not None:
            take(fields, self.received_at)
