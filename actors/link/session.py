"""One session: one socket, its requests that wait, and what it subscribes to.

Guarantees: every request that waits ends when the session ends; what IB answers without an id is asked for once at a
time; a late answer changes nothing. It decides nothing about orders.
"""

# mypy: disable-error-code="no-untyped-call"
# ib_insync's methods have no annotations.

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from typing import Any, Protocol

from actors.errors import (
    ClientIDInUseError,
    GatewayAuthenticationError,
    GatewayConnectionError,
    GatewayError,
    IncompatibleVersionError,
)
from actors.kernel.clock import Clock
from actors.link.account_values import AccountValues
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
from actors.link.life import Life
from actors.link.pacer import Pacer
from actors.link.pacing import PacingLane, PacingLimits
from actors.link.reports import Reports
from actors.link.settings import LinkSettings
from actors.link.ticks import TickDesk
from actors.link.wrapper import RawWrapper
from actors.logic.broker_codes import Meaning, RequestKind, meaning
from actors.messages.connection import OpenSession
from actors.model.account import Holding
from actors.model.connection import BrokerState
from actors.model.orders import BrokerOrder, Execution

_HANDSHAKE_ERRORS: dict[int, type[GatewayError]] = {
    326: ClientIDInUseError,
    501: GatewayConnectionError,
    502: GatewayConnectionError,
    503: IncompatibleVersionError,
    505: IncompatibleVersionError,
    506: IncompatibleVersionError,
    507: GatewayConnectionError,
    10141: GatewayAuthenticationError,
}
_LOGIN_WORDS = ("not logged in", "login", "log in", "authentication", "disclaimer")


class SessionOwner(Protocol):
    """Who is told what the gateway says; each call comes on the loop."""

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

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine on the loop."""


class Session:
    """See the module's docstring. All times in seconds."""

    def __init__(
        self,
        *,
        number: int,
        request: OpenSession,
        settings: LinkSettings,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        owner: SessionOwner,
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
                rate_per_s=settings.messages_per_s, reserve_per_s=settings.priority_reserve_per_s
            ),
            settings.max_waiting_requests,
        )
        self.client = SessionClient(
            RawWrapper(self),
            self,
            max_frame_bytes=settings.max_frame_bytes,
            max_unsent_bytes=settings.max_unsent_bytes,
        )
        self.life = Life(
            loop=loop,
            clock=clock,
            client=self.client,
            pacer=self.pacer,
            spawn=owner.spawn,
            on_missed=lambda asked_at: owner.proof_missed(self, asked_at),
            fresh_s=settings.proof_of_life_s,
            limit_s=settings.round_trip_timeout_s,
        )
        self.ticks = TickDesk(
            loop=loop,
            clock=clock,
            answers=self.answers,
            client=self.client,
            pacer=self.pacer,
            tell=reports.market,
            spawn=owner.spawn,
            max_lines=settings.max_tick_streams,
            interval_s=settings.ticks_interval_s,
        )
        self.settled: asyncio.Future[None] = loop.create_future()
        self.is_ready = False
        self.is_cut_off = False
        self.received_at: datetime = clock.now()
        self.unanswered: str | None = None
        self.reading = asyncio.Lock()
        self.reads_begun = 0
        self.newest_read: tuple[int, BrokerState] | None = None
        self.account: str | None = None
        self.account_values: AccountValues | None = None
        self.commissions: dict[str, tuple[float, float | None]] = {}
        self._account_dirty = False
        self._account_complete = False
        self._owner = owner
        self._reports = reports

    # --- life -----------------------------------------------------------------------------------------------------

    @property
    def accounts(self) -> tuple[str, ...]:
        """The managed accounts."""
        return self.client.accounts

    def concerns(self, account: str) -> bool:
        """Tell whether a position or an execution is of the account that is traded: a login may manage several."""
        one_only = self.account is None or len(self.accounts) <= 1
        return one_only or account in ("", self.account)

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
        self.life.end(error)

    def _settle(self, error: GatewayError) -> None:
        """End the handshake with an error, unless it has ended."""
        if not self.settled.done():
            self.settled.set_exception(error)
            self.settled.exception()  # seen, even when nobody waits for it any more

    def _say_farewell(self) -> None:
        """Cancel what is subscribed (CON-13). What does not go through any more does not matter."""
        with suppress(GatewayError):
            self.ticks.farewell()
            if self.account_values is not None:
                self.client.reqAccountUpdates(False, self.account_values.account_id)
            self.client.cancelPositions()

    def on_ready(self) -> None:
        """The handshake is done; called by the client."""
        self.pacer.try_now(PacingLane.PRIORITY)  # startApi counts, too
        self.is_ready = True
        if not self.settled.done():
            self.settled.set_result(None)
        self._owner.session_ready(self)

    def on_broken(self, error: Exception) -> None:
        """The socket is gone, or what comes out of it makes no sense; called by the client."""
        if not self.is_ready and not self.settled.done():
            self._settle(_handshake_failure(error))
            return
        self._owner.session_broken(self, error)

    def on_undecodable(self, fields: list[str], error: Exception) -> None:
        """One message is lost; called by the client."""
        self._owner.undecodable(self, fields, error)

    def batch_began(self) -> None:
        """Date everything in a batch alike: by our clock, not by the library's (D3)."""
        self.received_at = self.clock.now()
        self.life.heard()

    def batch_ended(self) -> None:
        """Tell the account's numbers once per batch."""
        if self._account_dirty and self._account_complete and self.account_values is not None:
            self._account_dirty = False
            self._reports.account(self.account_values.account(self.received_at))

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
    async def single(self, key: str, ends: int = 1) -> AsyncIterator[Pending]:
        """Ask for what has no id, once at a time: the caller holds the lock that belongs to ``key``.

        The body writes as many requests as the answer has end markers. One that is given up, because its deadline
        passed or something asked beside it failed, is remembered in ``unanswered``: its answer could be taken for that
        of the next one, so the session has to end.
        """
        pending = Pending(
            self.loop, key, RequestKind.NONE, self.settings.max_items_per_answer, ends
        )
        for _ in range(ends):
            await self.pacer.turn(PacingLane.ORDER)
        self.answers.expect(key, pending)
        try:
            yield pending
            await pending.done
        finally:
            if not pending.done.done() or pending.done.cancelled():
                self.unanswered = key
            self.answers.forget(key)

    def watch_account(self, account: str) -> None:
        """Collect the numbers of this account from now on; they are complete at the next end marker."""
        self.account_values = AccountValues(account)
        self._account_complete = False
        self._account_dirty = False

    # --- what the gateway says ------------------------------------------------------------------------------------

    def on_error(self, request_id: int, code: int, text: str) -> None:
        """Give an error to whom it belongs: a request, an order, the handshake, or nobody in particular."""
        if not self.is_ready and not self.settled.done():
            failure = _handshake_error(code, text)
            if failure is not None:
                self._settle(failure)
                return
        if request_id >= FIRST_REQUEST_ID:
            pending = self.answers.get(request_id)
            if pending is not None:
                pending.on_error(code, text)
            if code == 10197:
                self._owner.notice(self, code, text)
        elif request_id > 0:
            if meaning(code, RequestKind.NEW) is Meaning.DUPLICATE_ID:
                self._owner.duplicate_id(self, request_id)
            self._reports.order_error(request_id, code, text, at=self.received_at)
        else:
            self._refused_without_id(code, text)
            self._owner.notice(self, code, text)

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
            self._owner.next_id(self, order_id)

    def on_order(self, order: BrokerOrder) -> None:
        """An order's terms or state; it may be the answer to a question."""
        self.answers.add(OPEN_ORDERS, order)
        self._reports.order(order, ours=order.client_id == self.client_id, at=self.received_at)

    def on_execution(self, request_id: int, execution: Execution) -> None:
        """An execution, live or asked for; one in another account moves nothing here."""
        if not self.concerns(execution.account):
            return
        self.answers.add(request_id, execution)
        self._reports.execution(
            execution, asked=request_id >= FIRST_REQUEST_ID, at=self.received_at
        )

    def on_commission(self, exec_id: str, commission: float, pnl: float) -> None:
        """A commission; every read of the executions tells all of them again, which is no news.

        IB says "unset" for the profit of an opening trade.
        """
        realized = pnl if abs(pnl) < 1e300 else None
        if self.commissions.get(exec_id) == (commission, realized):
            return
        if len(self.commissions) < self.settings.max_items_per_answer:
            self.commissions[exec_id] = (commission, realized)
        self._reports.commission(exec_id, commission, realized)

    def on_holding(self, holding: Holding) -> None:
        """A position: part of an answer, or news; closing one of another account would open one here."""
        if not self.concerns(holding.account):
            return
        pending = self.answers.get(POSITIONS)
        if pending is not None:
            pending.add(holding)
        else:
            self._reports.holding(holding)

    def on_account_value(self, key: str, value: str, currency: str, account: str) -> None:
        """One number of the account."""
        values = self.account_values
        if values is not None and values.take(key, value, currency, account):
            self._account_dirty = True

    def on_account_end(self, account: str) -> None:
        """The account's numbers are complete."""
        if self.account_values is not None and account == self.account_values.account_id:
            self._account_complete = True
            self.answers.finish(ACCOUNT)


def _handshake_error(code: int, text: str) -> GatewayError | None:
    """Choose the error of CON-7 that a code means before the API is ready; None for a mere notice."""
    kind = _HANDSHAKE_ERRORS.get(code)
    if kind is None and any(word in text.lower() for word in _LOGIN_WORDS):
        kind = GatewayAuthenticationError
    return None if kind is None else kind(f"{text} (code {code})")


def _handshake_failure(error: Exception) -> GatewayError:
    """Name what broke the connection before the API was ready."""
    if isinstance(error, GatewayConnectionError):
        return GatewayConnectionError(
            f"{error} before the API was ready: is this host trusted by the gateway, and the API enabled there?"
        )
    if isinstance(error, GatewayError):
        return error
    return GatewayConnectionError(f"the handshake failed: {error}")
