"""Tick-by-tick streams of one session: what ticks say is kept per contract, and handed on as quotes (MKT-7, D17).

::

    tick ──▶ line (one subscription) ──▶ `TickedMarket` (newest values of one contract) ──▶ list of what is newer
                                                      every ``ticks_interval_s``, oldest first ──▶ `QuotesStreamed`

Guarantees: a tick costs no object; what is handed on is the newest of each contract; at most one message is on its way
until its reader has taken it; a subscription that was written is cancelled when nobody wants it any more. It refuses
more subscriptions than the settings allow.
"""

# mypy: disable-error-code="no-untyped-call"
# ib_insync's methods have no annotations.

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from actors import messages as m
from actors.errors import GatewayError, MarketDataUnavailableError
from actors.kernel.clock import Clock
from actors.kernel.messages import Message
from actors.link.answers import Answers, Pending
from actors.link.client import SessionClient
from actors.link.orders import ib_contract
from actors.link.pacer import Pacer
from actors.link.pacing import PacingLane
from actors.link.ticked_market import TickedMarket
from actors.logic.broker_codes import RequestKind
from actors.messages.addresses import MARKET_DATA
from actors.model.contracts import Contract
from actors.model.market import Quote

BATCH: Final = 100
"""So many quotes go in one message: its reader must not keep the interpreter from an order for long."""

_KINDS: Final = ("BidAsk", "Last")
LINES_EACH: Final = len(_KINDS)
"""So many of IB's tick-by-tick subscriptions a contract takes."""

_PAST: Final = 0
_KEEP_SIZES: Final = False  # False: a change of size alone is a tick, too


class _Line(Pending):
    """One subscription; it ends with an error under its id and with nothing else."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, what: str, failed: Callable[[GatewayError], None]
    ) -> None:
        super().__init__(loop, what, RequestKind.DATA, max_items=0)
        self._failed = failed
        self.request_id = 0

    def fail(self, error: GatewayError) -> None:
        """IB refused the subscription, or has ended it."""
        self._failed(error)


class _Stream:
    """One contract that streams, or is about to."""

    def __init__(self, market: TickedMarket) -> None:
        self.market = market
        self.lines: list[_Line] = []


class TickStreams:
    """See the module's docstring. Everything runs on the link's loop; times in seconds."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        answers: Answers,
        client: SessionClient,
        pacer: Pacer,
        tell: Callable[[str, Message], None],
        spawn: Callable[[Coroutine[Any, Any, Any]], object],
        max_lines: int,
        interval_s: float,
    ) -> None:
        self.takers: dict[str, Callable[[list[str], datetime], None]] = {}
        """What takes the fields of a tick, by the request id as the wire has it."""
        self._loop = loop
        self._clock = clock
        self._answers = answers
        self._client = client
        self._pacer = pacer
        self._tell = tell
        self._spawn = spawn
        self._max_lines = max_lines
        self._interval_s = interval_s
        self._streams: dict[int, _Stream] = {}
        self._newer: deque[TickedMarket] = deque()
        self._unwanted: deque[int] = deque()
        self._cancelling = False
        self._on_its_way = False
        self._handed_on_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    # --- subscriptions --------------------------------------------------------------------------------------------

    async def start(self, contract: Contract) -> None:
        """Subscribe to a contract, anew where it streams. Raises `MarketDataUnavailableError` beyond the limit."""
        self.stop(contract.con_id)
        needed = LINES_EACH * (len(self._streams) + 1)
        if needed > self._max_lines:
            raise MarketDataUnavailableError(
                f"ticks of {contract}: {needed} tick-by-tick subscriptions would be open, and"
                f" market_data.max_tick_streams allows {self._max_lines}"
            )
        stream = self._streams[contract.con_id] = _Stream(TickedMarket(contract, self._note_newer))
        try:
            for kind in _KINDS:
                await self._pacer.turn(PacingLane.DATA)
                if self._streams.get(contract.con_id) is not stream:
                    return
                self._subscribe(stream, kind)
        except BaseException:
            if self._streams.get(contract.con_id) is stream:
                self.stop(contract.con_id)
            raise

    def _subscribe(self, stream: _Stream, kind: str) -> None:
        market = stream.market
        line = _Line(
            self._loop,
            f"ticks of {market.contract}",
            lambda error: self._line_failed(stream, line, error),
        )
        line.request_id = self._answers.next_id()
        stream.lines.append(line)
        self._answers.expect(line.request_id, line)
        take = market.take_bid_ask if kind == "BidAsk" else market.take_trade
        self.takers[str(line.request_id)] = take
        self._client.reqTickByTickData(
            line.request_id, ib_contract(market.contract), kind, _PAST, _KEEP_SIZES
        )

    def _line_failed(self, stream: _Stream, line: _Line, error: GatewayError) -> None:
        """Give up both subscriptions of a contract: half a quote is none."""
        con_id = stream.market.contract.con_id
        if self._streams.get(con_id) is not stream:
            return
        stream.lines.remove(line)  # IB has no such subscription any more
        self._forget(line)
        self.stop(con_id)
        self._tell(MARKET_DATA, m.TicksEnded(con_id=con_id, reason=str(error)))

    def stop(self, con_id: int) -> None:
        """Cancel a contract's subscriptions; what still comes of them changes nothing."""
        stream = self._streams.pop(con_id, None)
        if stream is None:
            return
        stream.market.is_wanted = False
        for line in stream.lines:
            self._forget(line)
            self._unwanted.append(line.request_id)
        if self._unwanted and not self._cancelling:
            self._cancelling = True
            self._spawn(self._cancel())

    def stop_all(self) -> None:
        """Cancel everything; whoever took the last message is gone with it."""
        for con_id in tuple(self._streams):
            self.stop(con_id)
        self._on_its_way = False

    def _forget(self, line: _Line) -> None:
        self._answers.forget(line.request_id)
        self.takers.pop(str(line.request_id), None)

    async def _cancel(self) -> None:
        try:
            with suppress(GatewayError):  # the session has ended, and every subscription with it
                while self._unwanted:
                    await self._pacer.turn(PacingLane.DATA)
                    if self._unwanted:
                        self._client.cancelTickByTickData(self._unwanted.popleft())
        finally:
            self._cancelling = False

    def farewell(self) -> None:
        """Cancel what the rate still allows; the rest ends with the socket (CON-13)."""
        open_ids = [line.request_id for held in self._streams.values() for line in held.lines]
        for request_id in (*self._unwanted, *open_ids):
            if not self._pacer.try_now(PacingLane.CLOSE):
                return
            self._client.cancelTickByTickData(request_id)

    def end(self) -> None:
        """Forget everything: the session has ended."""
        for stream in self._streams.values():
            stream.market.is_wanted = False
            for line in stream.lines:
                self._forget(line)
        self._streams.clear()
        self._unwanted.clear()
        self._newer.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- quotes ---------------------------------------------------------------------------------------------------

    def rebase(self, quote: Quote) -> None:
        """Take over a whole snapshot: what ticks do not say, such as the day's volume so far, stems from there."""
        stream = self._streams.get(quote.contract.con_id)
        if stream is not None:
            stream.market.rebase(quote)

    def _note_newer(self, market: TickedMarket) -> None:
        self._newer.append(market)
        if self._timer is None and not self._on_its_way:
            self._set_timer()

    def _set_timer(self) -> None:
        wait_s = self._handed_on_at + self._interval_s - self._clock.monotonic()
        self._timer = self._loop.call_later(max(0.0, wait_s), self._hand_on)

    def taken(self) -> None:
        """The reader has taken what was handed on."""
        self._on_its_way = False
        if not self._newer or self._timer is not None:
            return
        if len(self._newer) >= BATCH:
            self._hand_on()
        else:
            self._set_timer()

    def _hand_on(self) -> None:
        self._timer = None
        quotes: list[Quote] = []
        while self._newer and len(quotes) < BATCH:
            market = self._newer.popleft()
            market.is_newer = False
            if market.is_wanted:
                quotes.append(market.quote())
        if not quotes:
            return
        self._handed_on_at = self._clock.monotonic()
        self._on_its_way = True
        self._tell(MARKET_DATA, m.QuotesStreamed(quotes=tuple(quotes)))
