"""Who subscribed to quotes of what, within which bounds, and what they receive (MKT-7, MKT-10)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import attrs

from actors import messages as m
from actors.kernel.actor import SupervisedActor
from actors.kernel.addresses import Cancellable
from actors.model.contracts import Contract
from actors.model.market import FeedKind, Quote
from actors.ports import EventLog
from actors.sections.market_data import MarketData

LINES_PER_SYMBOL: Final = 2
"""Tick-by-tick subscriptions that a symbol takes: bid and ask, trades."""

RESUMED: Final = "the subscription is resumed"
"""Why a feed counts as standing still whose subscriber believes that it does."""


@attrs.define
class Feed:
    """One symbol that somebody subscribed to. Times in monotonic seconds."""

    symbol: str
    subscriptions: dict[str, FeedKind] = attrs.field(factory=dict)
    subscribers: tuple[str, ...] = ()
    """Addresses, each once."""
    interrupted_by: str | None = None
    """Why it stands still; None while it does not."""
    asked_at: float = float("-inf")
    timer: Cancellable | None = None
    streaming: Contract | None = None
    """The contract that was asked to stream."""
    ticked_at: float | None = None
    """When the stream last gave something; None before it did."""
    ticks_not_before: float = float("-inf")

    @property
    def wants_ticks(self) -> bool:
        """Whether a subscription is to be fed by ticks."""
        return FeedKind.TICKS in self.subscriptions.values()


class Subscribers:
    """Owns the subscriptions and one feed per symbol, however many subscribed to it."""

    def __init__(self, actor: SupervisedActor, settings: MarketData, log: EventLog) -> None:
        self._actor = actor
        self._settings = settings
        self._log = log
        self._subscriptions: dict[str, m.SubscribeQuotes] = {}
        self.feeds: dict[str, Feed] = {}

    def refusal(self, request: m.SubscribeQuotes) -> str | None:
        """Say which bound the subscription would break; None when it breaks none."""
        settings, known = self._settings, self._subscriptions
        if request.subscription_id not in known and len(known) >= settings.max_subscriptions:
            return f"market_data.max_subscriptions is reached ({settings.max_subscriptions})"
        wanted = len(set(request.symbols) | set(self.feeds))
        if wanted > settings.max_symbols:
            return (
                f"{wanted} symbols would be subscribed to, and market_data.max_symbols allows"
                f" {settings.max_symbols}"
            )
        ticking = {symbol for symbol, feed in self.feeds.items() if feed.wants_ticks}
        lines = LINES_PER_SYMBOL * len(ticking | set(request.symbols))
        if request.feed is FeedKind.TICKS and lines > settings.max_tick_streams:
            return (
                f"{lines} tick-by-tick subscriptions would be open, {LINES_PER_SYMBOL} a symbol, and"
                f" market_data.max_tick_streams allows {settings.max_tick_streams}, as IB does:"
                " subscribe to the other symbols with feed='snapshots'"
            )
        return None

    def knows(self, subscription_id: str) -> bool:
        """Whether a subscription was begun and has not ended."""
        return subscription_id in self._subscriptions

    def begin(self, request: m.SubscribeQuotes) -> None:
        """Take a subscription in; `add` its symbols next."""
        self._subscriptions[request.subscription_id] = request

    def add(self, symbol: str, request: m.SubscribeQuotes) -> Feed:
        """Give the feed of a symbol, from now on also for this subscription; says so where it stands still."""
        feed = self.feeds.get(symbol)
        if feed is None:
            broken = RESUMED if request.resumed else None
            feed = self.feeds[symbol] = Feed(symbol, interrupted_by=broken)
        elif feed.interrupted_by is not None:
            standing = m.QuotesInterrupted(symbols=(symbol,), reason=feed.interrupted_by)
            self._actor.tell(request.subscriber, standing)
        feed.subscriptions[request.subscription_id] = request.feed
        self._note_subscribers(feed)
        return feed

    def end(self, subscription_id: str) -> tuple[Feed, ...]:
        """Let go of a subscription and of feeds that nobody wants; gives the feeds it had, none when it is unknown."""
        ended = self._subscriptions.pop(subscription_id, None)
        if ended is None:
            return ()
        feeds = tuple(self.feeds[symbol] for symbol in dict.fromkeys(ended.symbols))
        for feed in feeds:
            del feed.subscriptions[subscription_id]
            self._note_subscribers(feed)
            if not feed.subscriptions:
                del self.feeds[feed.symbol]
        return feeds

    def _note_subscribers(self, feed: Feed) -> None:
        """Keep the addresses of who subscribed to a feed, after a change."""
        addresses = {self._subscriptions[held].subscriber for held in feed.subscriptions}
        feed.subscribers = tuple(sorted(addresses))

    def expect_to_resume(self, symbols: Iterable[str]) -> None:
        """Tell the next quotes as a resumption: who subscribed believes that they stand still."""
        for symbol in symbols:
            feed = self.feeds[symbol]
            feed.interrupted_by = feed.interrupted_by or RESUMED

    def interrupt(self, feeds: Iterable[Feed], reason: str) -> None:
        """Tell that feeds stand still: those that did not before."""
        fresh = [feed for feed in feeds if feed.interrupted_by is None]
        if not fresh:
            return
        for feed in fresh:
            feed.interrupted_by = reason
        self._log(
            "quotes_interrupted",
            level="WARNING",
            symbols=tuple(feed.symbol for feed in fresh),
            reason=reason,
        )
        for address, symbols in _by_subscriber(fresh).items():
            self._actor.tell(address, m.QuotesInterrupted(symbols=symbols, reason=reason))

    def resume(self, feeds: Iterable[Feed]) -> None:
        """Tell that feeds go on."""
        held = list(feeds)
        if not held:
            return
        for feed in held:
            feed.interrupted_by = None
        self._log("quotes_resumed", symbols=tuple(feed.symbol for feed in held))
        for address, symbols in _by_subscriber(held).items():
            self._actor.tell(address, m.QuotesResumed(symbols=symbols))

    def tell_quotes(self, quotes: Iterable[Quote]) -> None:
        """Tell newer quotes of symbols that are subscribed to, in one message for each subscriber."""
        by_address: defaultdict[str, list[Quote]] = defaultdict(list)
        for quote in quotes:
            for address in self.feeds[quote.symbol].subscribers:
                by_address[address].append(quote)
        for address, each in by_address.items():
            self._actor.tell(address, m.QuotesUpdated(quotes=tuple(each)))

    def tell_if_subscribed(self, quote: Quote) -> None:
        """Hand on what the second source says, too; its name is on it (MKT-10)."""
        if quote.symbol in self.feeds:
            self.tell_quotes((quote,))


def _by_subscriber(feeds: Iterable[Feed]) -> dict[str, tuple[str, ...]]:
    by_address: defaultdict[str, list[str]] = defaultdict(list)
    for feed in feeds:
        for address in feed.subscribers:
            by_address[address].append(feed.symbol)
    return {address: tuple(symbols) for address, symbols in by_address.items()}
