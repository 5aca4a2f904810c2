"""The half of the facade that reads market data: quotes, bars, indicators, options, streams."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from actors import messages as m
from actors.errors import GatewayError, GatewayNotConnectedError, SnapshotModeViolationError
from actors.logic.history import history_violation
from actors.logic.order_validation import option_query
from actors.messages.addresses import FACADE, MARKET_DATA
from actors.model.market import (
    BarList,
    FeedKind,
    IndicatorReading,
    MarketData,
    OptionChain,
    Quote,
)
from supervision.facade.quote_streams import QuoteStream
from supervision.facade.session import GatewaySession


class MarketDataCalls:
    """See the module's docstring; `IBKRGateway` owns it, and says there what each call gives, takes and raises."""

    def __init__(self, session: GatewaySession) -> None:
        self._session = session

    async def snapshot(self, symbol: str, timeout: float, *, snapshot: bool) -> MarketData:
        """Read a quote with indicators. Raises `SnapshotModeViolationError` when ``snapshot`` is false (MKT-5)."""
        _require_snapshot(snapshot)
        if self._session.direct is not None:
            process = self._session.require_asked()
            return await self._session.direct.market_data(symbol, timeout, process.clock)
        read = await self._session.read(
            MARKET_DATA,
            m.GetMarketData,
            m.MarketDataRead,
            timeout,
            without_link=True,
            symbol=symbol,
        )
        return read.market_data

    async def historical_data(
        self,
        symbol: str,
        duration_minutes: int,
        bar_size: str,
        timeout: float,
    ) -> BarList:
        """Read at most the last 60 one-minute bars; more raises `AlphaLearningViolationError` (MKT-6)."""
        violation = history_violation(duration_minutes, bar_size)
        if violation is not None:
            raise violation
        read = await self._session.read(
            MARKET_DATA,
            m.GetBars,
            m.BarsRead,
            timeout,
            symbol=symbol,
            duration_minutes=duration_minutes,
            bar_size=bar_size,
        )
        return BarList(read.bars, read.gaps)

    async def indicators(
        self, symbols: Iterable[str], timeout: float
    ) -> dict[str, IndicatorReading]:
        """Read the indicators of many symbols at once, without quotes."""
        wanted = _symbols(symbols)
        read = await self._session.read(
            MARKET_DATA,
            m.GetIndicators,
            m.IndicatorsRead,
            timeout,
            without_link=True,
            symbols=wanted,
        )
        return {reading.symbol: reading for reading in read.readings}

    async def option_chain(self, symbol: str, timeout: float) -> OptionChain:
        """Read the expiries and strikes that can be traded on ``symbol``."""
        read = await self._session.read(
            MARKET_DATA, m.GetOptionChain, m.OptionChainRead, timeout, symbol=symbol
        )
        return read.chain

    async def option_quote(
        self,
        symbol: str,
        expiry: str,
        strike: float,
        right: str,
        timeout: float,
        *,
        snapshot: bool,
    ) -> Quote:
        """Read a snapshot of one option with its implied volatility and greeks."""
        _require_snapshot(snapshot)
        query = option_query(symbol, expiry, strike, right)
        if self._session.direct is not None:
            return await self._session.direct.quote(query, timeout)
        read = await self._session.read(
            MARKET_DATA, m.GetOptionQuote, m.QuoteRead, timeout, query=query
        )
        return read.quote

    async def subscribe(
        self,
        symbols: Iterable[str],
        timeout: float,
        *,
        feed: FeedKind | str | None,
    ) -> QuoteStream:
        """Stream quotes of many symbols (GW-7): iterate over what this returns, or over its ``events()``."""
        self._session.refuse_direct("subscribe_quotes")
        wanted, kind = _symbols(symbols), _feed_kind(feed or self._session.config.market_data.feed)
        ends_at = asyncio.get_running_loop().time() + timeout
        process = await self._session.require_connected(timeout)
        quotes = self._session.quotes
        if quotes is None:
            raise GatewayNotConnectedError("not connected: call connect() first")
        subscription_id = process.entropy.uuid4()
        stream = quotes.open(subscription_id, wanted, kind)
        try:
            await self._session.ask(
                MARKET_DATA,
                m.SubscribeQuotes,
                m.QuotesSubscribed,
                ends_at - asyncio.get_running_loop().time(),
                subscription_id=subscription_id,
                subscriber=FACADE,
                symbols=wanted,
                feed=kind,
            )
        except BaseException:
            quotes.close(subscription_id)  # it may have been accepted, and nobody would end it
            raise
        return stream


def _require_snapshot(snapshot: bool) -> None:
    if not snapshot:
        raise SnapshotModeViolationError("quotes are read with snapshot=True only (was False)")


def _symbols(symbols: Iterable[str]) -> tuple[str, ...]:
    wanted = () if isinstance(symbols, str) else tuple(dict.fromkeys(symbols))
    if not wanted:
        raise GatewayError(f"symbols must be a list of at least one symbol (was {symbols!r:.40})")
    return wanted


def _feed_kind(feed: FeedKind | str) -> FeedKind:
    try:
        return FeedKind(feed)
    except ValueError:
        allowed = ", ".join(FeedKind)
        raise GatewayError(f"feed must be one of {allowed} (was {feed!r:.40})") from None
