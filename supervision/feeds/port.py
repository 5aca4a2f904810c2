"""What the feed actor needs of a second source."""

from __future__ import annotations

from typing import Protocol

from actors.model.market import Bar, FeedQuote


class SecondSource(Protocol):
    """Somewhere to ask for delayed market data. Every call raises a `FeedError` when it has none."""

    async def quote(self, symbol: str) -> FeedQuote:
        """Ask for the price of a symbol."""
        ...

    async def bars(self, symbol: str) -> tuple[Bar, ...]:
        """Ask for the one-minute bars of the last hour of trading, in ascending order of time."""
        ...

    async def close(self) -> None:
        """Let go of everything; raises nothing."""
        ...
