"""Alpha Vantage as the second source of market data (MKT-10).

Its quotes are delayed by fifteen minutes or a day, depending on the plan, so they are never fresh (MKT-12). The key
goes into each request and nowhere else: not into logs, errors or a repr.
"""

from __future__ import annotations

from typing import Final

from actors.errors import FeedError
from actors.kernel.clock import Clock
from actors.model.market import Bar, FeedQuote
from actors.sections.market_data import Failover
from supervision.feeds.alpha_vantage_replies import read_bars, read_quote, symbol_there
from supervision.feeds.http import Requester

_BAR_SIZE: Final = "1min"


class AlphaVantage:
    """An `SecondSource` for one asyncio loop. Requests are not paced here but by who asks (`RequestBudget`)."""

    def __init__(self, settings: Failover, api_key: str, clock: Clock) -> None:
        self._clock = clock
        self._requester = Requester(
            settings.url,
            api_key,
            timeout_s=settings.timeout_s,
            max_body_bytes=settings.max_body_bytes,
        )

    async def quote(self, symbol: str) -> FeedQuote:
        """Ask GLOBAL_QUOTE; raises a `FeedError`."""
        body = await self._requester.get(
            {"function": "GLOBAL_QUOTE", "symbol": symbol_there(symbol)}
        )
        try:
            return read_quote(body, symbol, self._clock.now())
        except FeedError as error:
            raise self._masked(error) from None

    async def bars(self, symbol: str) -> tuple[Bar, ...]:
        """Ask TIME_SERIES_INTRADAY for regular hours, which takes a premium key; raises a `FeedError`."""
        body = await self._requester.get(
            {
                "function": "TIME_SERIES_INTRADAY",
                "symbol": symbol_there(symbol),
                "interval": _BAR_SIZE,
                "outputsize": "compact",
                "adjusted": "false",
                "extended_hours": "false",
            }
        )
        try:
            return read_bars(body, symbol)
        except FeedError as error:
            raise self._masked(error) from None

    def _masked(self, error: FeedError) -> FeedError:
        """Its notes quote the key: "We have detected your API key as …"."""
        return type(error)(self._requester.without_key(str(error)))

    async def close(self) -> None:
        """Close what is open."""
        await self._requester.close()
