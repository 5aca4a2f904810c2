"""The feed actor: it asks the second source on behalf of the market-data actor, within the limits of its plan (MKT-10).

::

    ReadFeedQuote ──▶ known and young enough? ──▶ answered
                  └─▶ asked for already? ──▶ answered together ──▶ turn within the limits ──▶ the source

Guarantees: it has a thread and loop of its own, so that nothing else waits for a slow source; no question outlives the
last deadline of those who wait for it; what the plan grants is counted across restarts of this actor. A source that
does not answer degrades health and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import attrs

from actors import messages as m
from actors.errors import (
    FeedDailyLimitError,
    FeedError,
    FeedRateLimitError,
    FeedSymbolError,
    FeedTimeoutError,
)
from actors.kernel.actor import ActorContext
from actors.kernel.handlers import handles
from actors.kernel.loop_actor import LoopActor
from actors.kernel.messages import Reply, Request
from actors.model.market import Bar, FeedQuote
from actors.ports import EventLog, no_log
from actors.sections.market_data import Failover, MarketData
from supervision.feeds.budget import RequestBudget
from supervision.feeds.port import SecondSource

OpenSource = Callable[[], Awaitable[SecondSource]]

ANSWER_BEFORE_S: Final = 0.05
"""So long before its deadline a request is given up, so that the answer says why."""

_Found = FeedQuote | tuple[Bar, ...]


@attrs.define
class FeedMemory:
    """What outlives the actor's restarts: what was asked, what was found, and why nothing is found now.

    Replaced whole or by one assignment, since an incarnation that hung may wake up.
    """

    budget: RequestBudget
    found: dict[tuple[str, str], tuple[float, _Found]] = attrs.field(factory=dict)
    degraded_by: str | None = None


@attrs.define
class _Errand:
    """One question to the source, and who waits for its answer."""

    waiting: list[Request] = attrs.field(factory=list)

    @property
    def deadline(self) -> float:
        return max(request.deadline for request in self.waiting)


class FeedActor(LoopActor):
    """See the module's docstring. ``open_source`` makes the source's side for one incarnation."""

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: Failover,
        market_data: MarketData,
        memory: FeedMemory,
        open_source: OpenSource,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context)
        self.settings = settings
        self._market_data = market_data
        self.log = log
        self._memory = memory
        self._open_source = open_source
        self._source: SecondSource | None = None
        self._errands: dict[tuple[str, str], _Errand] = {}
        self._turn: asyncio.Lock

    def started(self) -> None:
        """Begin with nothing under way."""
        self._turn = asyncio.Lock()

    # --- what is asked ----------------------------------------------------------------------------------------------

    @handles(m.ReadFeedQuote)
    def on_read_feed_quote(self, request: m.ReadFeedQuote) -> None:
        """Answer with the price of a symbol."""
        symbol = request.symbol
        self._serve(("quote", symbol), request, lambda source: source.quote(symbol))

    @handles(m.ReadFeedBars)
    def on_read_feed_bars(self, request: m.ReadFeedBars) -> None:
        """Answer with the bars of a symbol."""
        symbol = request.symbol
        self._serve(("bars", symbol), request, lambda source: source.bars(symbol))

    @handles(m.GetFeedStatus)
    def on_get_feed_status(self, request: m.GetFeedStatus) -> None:
        """Tell how the source answers."""
        memory = self._memory
        self.reply(
            request,
            m.FeedStatus(
                correlation_id=request.correlation_id,
                degraded_by=memory.degraded_by,
                requests_today=memory.budget.today(self.clock.monotonic()),
            ),
        )

    def _serve(
        self,
        key: tuple[str, str],
        request: Request,
        ask: Callable[[SecondSource], Coroutine[Any, Any, _Found]],
    ) -> None:
        held = self._memory.found.get(key)
        if held is not None and self.clock.monotonic() - held[0] < self.settings.max_age_s:
            self._answer(request, held[1])
            return
        errand = self._errands.get(key)
        if errand is None:
            errand = self._errands[key] = _Errand()
            self.spawn(self._run(key, errand, ask))
        errand.waiting.append(request)

    # --- asking -----------------------------------------------------------------------------------------------------

    async def _run(
        self,
        key: tuple[str, str],
        errand: _Errand,
        ask: Callable[[SecondSource], Coroutine[Any, Any, _Found]],
    ) -> None:
        try:
            found = await self._ask(errand, ask)
        except FeedError as error:
            self._failed(key, errand, error)
            return
        self._remember(key, found)
        self._say_recovered()
        del self._errands[key]
        for request in errand.waiting:
            self._answer(request, found)

    async def _ask(
        self, errand: _Errand, ask: Callable[[SecondSource], Coroutine[Any, Any, _Found]]
    ) -> _Found:
        async with self._turn:  # one after the other, as its limits are counted
            await self._wait_for_turn(errand)
            if self._source is None:
                self._source = await self._open_source()
            now = self.clock.monotonic()
            self._memory.budget = self._memory.budget.asked(now)
            left_s = errand.deadline - now - ANSWER_BEFORE_S
            try:
                async with asyncio.timeout(left_s):
                    return await ask(self._source)
            except TimeoutError:
                raise FeedTimeoutError("no whole answer before the deadline") from None
            except FeedRateLimitError as error:  # others may use the same key
                self._memory.budget = self._memory.budget.refused(
                    self.clock.monotonic(), for_the_day=isinstance(error, FeedDailyLimitError)
                )
                raise

    async def _wait_for_turn(self, errand: _Errand) -> None:
        while (wait_s := self._memory.budget.wait_s(self.clock.monotonic())) > 0:
            if self.clock.monotonic() + wait_s > errand.deadline - ANSWER_BEFORE_S:
                raise FeedRateLimitError(
                    f"its limit of requests is reached; the next is possible in {wait_s:.0f} s"
                    " (failover.requests_per_minute, failover.requests_per_day)"
                )
            await asyncio.sleep(wait_s)

    def _remember(self, key: tuple[str, str], found: _Found) -> None:
        held = self._memory.found
        held.pop(key, None)
        held[key] = (self.clock.monotonic(), found)
        if len(held) > self._market_data.max_remembered:
            del held[next(iter(held))]

    def _answer(self, request: Request, found: _Found) -> None:
        self.reply(request, _reply(request, found))

    def _failed(self, key: tuple[str, str], errand: _Errand, error: FeedError) -> None:
        if not isinstance(error, FeedSymbolError):
            self._say_degraded(error)
        del self._errands[key]
        for request in errand.waiting:
            self.refuse(request, error)

    # --- saying -----------------------------------------------------------------------------------------------------

    def _say_degraded(self, error: FeedError) -> None:
        if self._memory.degraded_by is None:
            self.log(
                "feed_degraded", level="WARNING", error_type=type(error).__name__, reason=str(error)
            )
        self._memory.degraded_by = str(error)

    def _say_recovered(self) -> None:
        if self._memory.degraded_by is not None:
            self._memory.degraded_by = None
            self.log("feed_recovered")

    async def winding_down(self) -> None:
        """Close the connections."""
        if self._source is not None:
            with contextlib.suppress(FeedError):
                await self._source.close()


def _reply(request: Request, found: _Found) -> Reply:
    if isinstance(found, FeedQuote):
        return m.FeedQuoteRead(correlation_id=request.correlation_id, quote=found)
    assert isinstance(request, m.ReadFeedBars)  # noqa: S101 - what was asked for bars
    return m.FeedBarsRead(correlation_id=request.correlation_id, symbol=request.symbol, bars=found)
