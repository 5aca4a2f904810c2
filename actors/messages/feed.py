"""Messages for the second source of market data, and about which source serves which symbol (MKT-10)."""

from __future__ import annotations

import attrs

from actors.kernel.messages import Lane, Message, Reply, Request
from actors.model.market import Bar, FeedQuote


@attrs.frozen(kw_only=True)
class ReadFeedQuote(Request):
    """Ask the second source for the price of a symbol; answered by `FeedQuoteRead` or a `FeedError`."""

    symbol: str


@attrs.frozen(kw_only=True)
class FeedQuoteRead(Reply):
    """The price that the second source knows."""

    quote: FeedQuote


@attrs.frozen(kw_only=True)
class ReadFeedBars(Request):
    """Ask the second source for the one-minute bars of the last hour; answered by `FeedBarsRead` or a `FeedError`."""

    symbol: str


@attrs.frozen(kw_only=True)
class FeedBarsRead(Reply):
    """Bars of regular hours in ascending order of time, at most 60."""

    symbol: str
    bars: tuple[Bar, ...]


@attrs.frozen(kw_only=True)
class GetFeedStatus(Request):
    """Answered by `FeedStatus`."""


@attrs.frozen(kw_only=True)
class FeedStatus(Reply):
    """How the second source answers. ``degraded_by`` says why it does not; None while it does, or was never asked."""

    degraded_by: str | None
    requests_today: int

    @property
    def problem(self) -> str | None:
        """Say in words that the second source does not answer; None while it does."""
        return None if self.degraded_by is None else f"second source: {self.degraded_by}"


@attrs.frozen(kw_only=True)
class FailoverChanged(Message):
    """These symbols are served by the second source now, ``everything`` where the link has failed.

    Nothing may be opened on them until a later message leaves them out. It is told again while it holds, so that who
    was restarted learns of it. It travels in the lane of `ConnectionStateChanged`, which it may follow from.
    """

    lane = Lane.RECOVERY

    symbols: tuple[str, ...]
    everything: bool = False

    def covers(self, symbol: str) -> bool:
        """Tell whether the second source serves this symbol."""
        return self.everything or symbol in self.symbols


NOT_FAILED_OVER = FailoverChanged(symbols=())
