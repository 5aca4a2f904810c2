"""Streaming quotes: how what was subscribed to is fed (D17, MKT-7).

A symbol has one feed, however many subscribed to it. Snapshots of it are taken in turn with all others (`PollWindow`);
where a subscription wants ticks, IB's tick-by-tick stream feeds it, and snapshots only come now and then: for what
ticks do not say, and to find a stream that has fallen silent.

=============  =====================================================================================================
interruption   the link is lost · a snapshot failed · the gateway refused or ended the stream · the stream is silent
healed by      a snapshot where snapshots feed; where ticks do, nothing but a tick
=============  =====================================================================================================

Both are told to subscribers once per change. A stream that was refused is asked for again after a while, and snapshots
feed at their own pace meanwhile.
"""

from __future__ import annotations

from typing import Final

import attrs

from actors.errors import ContractQualificationError, ErrorInfo, GatewayError, describe
from actors.kernel.actor import ActorContext
from actors.kernel.handlers import handles
from actors.kernel.messages import Message, Reply
from actors.kernel.stories import RequestHeader
from actors.market_data.poll_window import PollWindow
from actors.market_data.reads import MarketDataSettings
from actors.market_data.subscribers import RESUMED, Feed, QuoteSubscribers
from actors.messages.addresses import LINK
from actors.messages.market_data import (
    ContractQualified,
    QualifyContract,
    QuotesInterrupted,
    QuotesStreamed,
    QuotesSubscribed,
    SnapshotTaken,
    StartTicks,
    StopTicks,
    StreamTaken,
    SubscribeQuotes,
    TakeSnapshot,
    TicksEnded,
    UnsubscribeQuotes,
)
from actors.model.connection import ConnectionState
from actors.model.contracts import Contract, ContractQuery
from actors.model.market import Quote
from actors.ports import EventLog, no_log

TICKS_AGAIN_S: Final = 15.0
"""IB refuses a second tick-by-tick request for the same instrument within this time."""

_STARVED: Final = 2.0
"""An answer about a snapshot is given so many times the time it may take: it waits for its turn before."""


@attrs.frozen(kw_only=True)
class PollDue(Message):
    """The next snapshot of a subscribed symbol is due."""

    symbol: str


class QuoteFeeds(QuoteSubscribers):
    """See the module's docstring."""

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: MarketDataSettings | None = None,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context, settings=settings, log=log)
        self.window = PollWindow(self.settings.max_open_snapshots)
        self.link_lost: str | None = None
        """Why nothing can be asked for; None while it can, or while nobody has said otherwise."""

    # --- subscriptions --------------------------------------------------------------------------------------------

    @handles(SubscribeQuotes)
    def on_subscribe_quotes(self, request: SubscribeQuotes) -> None:
        """Begin to feed the symbols (MKT-7); a subscription that is known is only confirmed."""
        refusal = self.refusal(request)
        if refusal is not None:
            self.refuse(request, GatewayError(refusal))
            return
        if request.subscription_id not in self.subscriptions:
            self.subscriptions[request.subscription_id] = request
            for symbol in dict.fromkeys(request.symbols):
                self._subscribe(symbol, request)
            self._take_turns()
        elif request.resumed:
            self.expect_to_resume(request.symbols)
        self.reply(
            request,
            QuotesSubscribed(correlation_id=request.correlation_id, symbols=request.symbols),
        )

    def _subscribe(self, symbol: str, request: SubscribeQuotes) -> None:
        feed = self.feeds.get(symbol)
        if feed is None:
            broken = RESUMED if request.resumed else None
            feed = self.feeds[symbol] = Feed(symbol, interrupted_by=broken)
        elif feed.interrupted_by is not None:
            told = QuotesInterrupted(symbols=(symbol,), reason=feed.interrupted_by)
            self.tell(request.subscriber, told)
        feed.subscriptions[request.subscription_id] = request.feed
        self.note_subscribers(feed)
        if self.link_lost is not None:
            self.interrupt((feed,), self.link_lost)
        elif feed.asked_at == float("-inf") or (feed.wants_ticks and feed.streaming is None):
            self.window.due(symbol)

    @handles(UnsubscribeQuotes)
    def on_unsubscribe_quotes(self, message: UnsubscribeQuotes) -> None:
        """Stop feeding; a symbol that nobody wants any more is asked about no further."""
        ended = self.subscriptions.pop(message.subscription_id, None)
        if ended is None:
            return
        for symbol in dict.fromkeys(ended.symbols):
            feed = self.feeds[symbol]
            del feed.subscriptions[message.subscription_id]
            self.note_subscribers(feed)
            if not feed.wants_ticks and feed.streaming is not None:
                self._stop_ticks(feed)
                self._poll_soon(feed)
            if not feed.subscriptions:
                self._cancel_timer(feed)
                self.window.drop(symbol)
                del self.feeds[symbol]

    # --- snapshots ------------------------------------------------------------------------------------------------

    @handles(PollDue)
    def on_poll_due(self, poll: PollDue) -> None:
        """Put a symbol in line for its next snapshot."""
        feed = self.feeds.get(poll.symbol)
        if feed is None or self.link_lost is not None:
            return
        feed.timer = None
        self.window.due(poll.symbol)
        self._take_turns()

    def _take_turns(self) -> None:
        for symbol in self.window.turns():
            self._poll(symbol)

    def _poll(self, symbol: str) -> None:
        self.feeds[symbol].asked_at = self.clock.monotonic()
        held = self.contracts.get(ContractQuery(symbol=symbol))
        if held is not None:
            self._take_snapshot(held)
            return

        def qualified(reply: Reply) -> None:
            assert isinstance(reply, ContractQualified)  # noqa: S101 - answers in kind
            if reply.contract.symbol != symbol:
                self._poll_failed(symbol, describe(_other_name(symbol, reply.contract)))
                return
            self.remember(self.contracts, reply.query, reply.contract)
            self._take_snapshot(reply.contract)

        self.conversations.ask(
            LINK,
            QualifyContract(**self._header("contract"), query=ContractQuery(symbol=symbol)),
            qualified,
            lambda error: self._poll_failed(symbol, error),
        )

    def _take_snapshot(self, contract: Contract) -> None:
        feed = self.feeds.get(contract.symbol)
        if feed is None:
            self._poll_ended(contract.symbol)
            return
        if feed.wants_ticks and feed.streaming is None:
            self._start_ticks(feed, contract)
        self.conversations.ask(
            LINK,
            TakeSnapshot(**self._header("quote"), contract=contract, for_feed=True),
            lambda reply: self._snapshot_taken(contract, reply),
            lambda error: self._snapshot_failed(contract, error),
        )

    def _header(self, step: str) -> RequestHeader:
        return self.conversations.of_our_own(step, _STARVED * self.settings.snapshot_timeout_s)

    def _snapshot_taken(self, contract: Contract, reply: Reply) -> None:
        assert isinstance(reply, SnapshotTaken)  # noqa: S101 - answers in kind
        feed = self.feeds.get(contract.symbol)
        if feed is not None and self._is_silent(feed, reply.quote):
            self._lose_ticks(feed, f"the ticks of {feed.symbol} have stopped coming")
        self.publish(reply.quote)
        if feed is not None:
            if feed.interrupted_by is not None and not feed.wants_ticks:
                self.resume((feed,))
            if not self.says_less(reply.quote):
                self.tell_quotes((reply.quote,))
        self._poll_ended(contract.symbol)

    def _is_silent(self, feed: Feed, quote: Quote) -> bool:
        """Tell whether the market moved while its stream said nothing."""
        if feed.ticked_at is None:
            return False
        held = self.quotes.get(quote.contract.con_id)
        moved = held is not None and (held.bid, held.ask) != (quote.bid, quote.ask)
        quiet_s = self.clock.monotonic() - feed.ticked_at
        return moved and quiet_s >= self.settings.ticks_refresh_s

    def _snapshot_failed(self, contract: Contract, error: ErrorInfo) -> None:
        self.unanswered(contract, error)
        self._poll_failed(contract.symbol, error)

    def _poll_failed(self, symbol: str, error: ErrorInfo) -> None:
        feed = self.feeds.get(symbol)
        if feed is not None and feed.ticked_at is None:
            self.interrupt((feed,), error.text)
        self._poll_ended(symbol)

    def _poll_ended(self, symbol: str) -> None:
        """Give the place to the next one, and come back to this one later."""
        self.window.ended(symbol)
        feed = self.feeds.get(symbol)
        if feed is not None and self.link_lost is None:
            every_s = self.settings.snapshot_interval_s
            if feed.ticked_at is not None:
                every_s = self.settings.ticks_refresh_s
            self._schedule_poll(feed, every_s)
        self._take_turns()

    def _poll_soon(self, feed: Feed) -> None:
        if self.link_lost is None:
            self._schedule_poll(feed, self.settings.snapshot_interval_s)

    def _schedule_poll(self, feed: Feed, every_s: float) -> None:
        self._cancel_timer(feed)
        delay_s = max(0.0, feed.asked_at + every_s - self.clock.monotonic())
        feed.timer = self.schedule(delay_s, PollDue(symbol=feed.symbol))

    def _cancel_timer(self, feed: Feed) -> None:
        if feed.timer is not None:
            feed.timer.cancel()
            feed.timer = None

    # --- ticks ----------------------------------------------------------------------------------------------------

    def _start_ticks(self, feed: Feed, contract: Contract) -> None:
        now = self.clock.monotonic()
        if now < feed.ticks_not_before:
            return
        feed.streaming, feed.ticked_at = contract, None
        feed.ticks_not_before = now + TICKS_AGAIN_S
        self.conversations.ask(
            LINK,
            StartTicks(**self._header("ticks"), contract=contract),
            lambda _: None,
            lambda error: self._ticks_failed(contract.con_id, error.text),
        )

    def _stop_ticks(self, feed: Feed) -> None:
        if feed.streaming is not None:
            self.tell(LINK, StopTicks(con_id=feed.streaming.con_id))
            feed.streaming, feed.ticked_at = None, None

    @handles(QuotesStreamed)
    def on_quotes_streamed(self, batch: QuotesStreamed) -> None:
        """Hand on what ticks made newer."""
        now = self.clock.monotonic()
        resumed, wanted = [], []
        for quote in batch.quotes:
            feed = self.feeds.get(quote.symbol)
            if feed is None or feed.streaming is None:
                self.tell(LINK, StopTicks(con_id=quote.contract.con_id))
                continue
            feed.ticked_at = now
            if feed.interrupted_by is not None:
                resumed.append(feed)
            wanted.append(quote)
            self.publish_streamed(quote, now)
        self.resume(resumed)
        self.tell_quotes(wanted)
        self.tell(LINK, StreamTaken())

    @handles(TicksEnded)
    def on_ticks_ended(self, event: TicksEnded) -> None:
        """Feed by snapshots until the gateway streams again."""
        self._ticks_failed(event.con_id, event.reason)

    def _ticks_failed(self, con_id: int, reason: str) -> None:
        for feed in self.feeds.values():
            if feed.streaming is not None and feed.streaming.con_id == con_id:
                self._lose_ticks(feed, reason)

    def _lose_ticks(self, feed: Feed, reason: str) -> None:
        self._stop_ticks(feed)
        self.interrupt((feed,), reason)
        self._poll_soon(feed)

    # --- the link -------------------------------------------------------------------------------------------------

    def follow_link(self, state: ConnectionState, reason: str) -> None:
        """Interrupt every feed while the link is lost; begin anew when it is back."""
        feeds = tuple(self.feeds.values())
        if state is ConnectionState.CONNECTED:
            self.link_lost = None
            for feed in feeds:
                self.window.due(feed.symbol)
            self._take_turns()
            return
        self.link_lost = reason or f"the link is {state.value}"
        self.window.drop_all()
        for feed in feeds:
            self._cancel_timer(feed)
            feed.streaming, feed.ticked_at = None, None  # they ended with the session
            feed.ticks_not_before = float("-inf")
        self.interrupt(feeds, self.link_lost)


def _other_name(symbol: str, contract: Contract) -> ContractQualificationError:
    return ContractQualificationError(
        f"the broker's name of {symbol} is {contract.symbol}: subscribe to that"
    )
