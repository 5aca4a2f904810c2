"""Streaming quotes: how what was subscribed to is fed (D17, MKT-7).

A symbol has one feed, however many subscribed to it. Snapshots of it are taken in turn with all others (`PollWindow`);
where a subscription wants ticks, IB's tick-by-tick stream feeds it, and snapshots only come now and then: for what
ticks do not say, and to find a stream that has fallen silent.

=============  =====================================================================================================
interruption   the link is lost · a snapshot failed · the gateway refused or ended the stream · the stream is silent
healed by      a snapshot where snapshots feed; where ticks do, nothing but a tick
=============  =====================================================================================================

Subscribers learn of both once per change. A stream that was refused is asked for again after a while, and snapshots
feed at their own pace meanwhile.
"""

from __future__ import annotations

from typing import Final

import attrs

from actors import messages as m
from actors.errors import ContractQualificationError, GatewayError
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.kernel.messages import Message
from actors.kernel.stories import RequestHeader
from actors.market_data.poll_window import PollWindow
from actors.market_data.quotes import NewestQuotes
from actors.market_data.reads import LinkReads
from actors.market_data.route import SourceRoute
from actors.market_data.subscribers import Feed, Subscribers
from actors.messages.addresses import LINK
from actors.model.connection import ConnectionState
from actors.model.contracts import Contract, ContractQuery
from actors.model.market import DataCondition, Quote
from actors.sections.market_data import MarketData

TICKS_AGAIN_S: Final = 15.0
"""IB refuses a second tick-by-tick request for the same instrument within this time."""

_STARVED: Final = 2.0
"""An answer about a snapshot is given so many times the time it may take: it waits for its turn before."""


@attrs.frozen(kw_only=True)
class PollDue(Message):
    """The next snapshot of a subscribed symbol is due. No sleep of a story: it is put off and called off often."""

    symbol: str


class QuoteFeeds(Part):
    """Owns whose turn it is, and whether anybody can be asked. See the module's docstring."""

    def __init__(
        self,
        actor: SupervisedActor,
        settings: MarketData,
        route: SourceRoute,
        quotes: NewestQuotes,
        reads: LinkReads,
        subscribers: Subscribers,
    ) -> None:
        self._actor = actor
        self._settings = settings
        self._route = route
        self._quotes = quotes
        self._reads = reads
        self._subscribers = subscribers
        self._window = PollWindow(settings.max_open_snapshots)
        self._link_lost: str | None = None
        """Why nothing can be asked for; None while it can, or while nobody has said otherwise."""

    @property
    def _feeds(self) -> dict[str, Feed]:
        return self._subscribers.feeds

    # --- subscriptions --------------------------------------------------------------------------------------------

    @handles(m.SubscribeQuotes)
    def on_subscribe_quotes(self, request: m.SubscribeQuotes) -> None:
        """Begin to feed the symbols (MKT-7); a subscription that is known is only confirmed."""
        refusal = self._subscribers.refusal(request)
        if refusal is not None:
            self._actor.refuse(request, GatewayError(refusal))
            return
        if not self._subscribers.knows(request.subscription_id):
            self._subscribers.begin(request)
            for symbol in dict.fromkeys(request.symbols):
                self._begin_to_feed(self._subscribers.add(symbol, request))
            self._take_turns()
        elif request.resumed:
            self._subscribers.expect_to_resume(request.symbols)
        self._actor.reply(
            request,
            m.QuotesSubscribed(correlation_id=request.correlation_id, symbols=request.symbols),
        )

    def _begin_to_feed(self, feed: Feed) -> None:
        if self._link_lost is not None:
            self._subscribers.interrupt((feed,), self._link_lost)
        elif feed.asked_at == float("-inf") or (feed.wants_ticks and feed.streaming is None):
            self._window.due(feed.symbol)

    @handles(m.UnsubscribeQuotes)
    def on_unsubscribe_quotes(self, message: m.UnsubscribeQuotes) -> None:
        """Stop feeding; a symbol that nobody wants any more is asked about no further."""
        for feed in self._subscribers.end(message.subscription_id):
            if not feed.wants_ticks and feed.streaming is not None:
                self._stop_ticks(feed)
                self._poll_soon(feed)
            if not feed.subscriptions:
                self._cancel_timer(feed)
                self._window.drop(feed.symbol)

    # --- snapshots ------------------------------------------------------------------------------------------------

    @handles(PollDue)
    def on_poll_due(self, poll: PollDue) -> None:
        """Put a symbol in line for its next snapshot."""
        feed = self._feeds.get(poll.symbol)
        if feed is None or self._link_lost is not None:
            return
        feed.timer = None
        self._window.due(poll.symbol)
        self._take_turns()

    def _take_turns(self) -> None:
        for symbol in self._window.turns():
            self._actor.begin_story(self._poll(symbol))

    async def _poll(self, symbol: str) -> None:
        self._feeds[symbol].asked_at = self._actor.clock.monotonic()
        try:
            contract = await self._contract_of(symbol)
            if symbol in self._feeds:
                await self._read_snapshot(contract)
        except GatewayError as error:
            self._interrupt_polled(symbol, error)
        self._poll_ended(symbol)

    async def _contract_of(self, symbol: str) -> Contract:
        query = ContractQuery(symbol=symbol)
        contract = self._reads.contracts.get(query)
        if contract is None:
            contract = await self._reads.ask_contract(self._header("contract"), query)
        if contract.symbol != symbol:
            raise _other_name(symbol, contract)
        self._reads.contracts.keep(query, contract)
        return contract

    async def _read_snapshot(self, contract: Contract) -> None:
        feed = self._feeds[contract.symbol]
        if feed.wants_ticks and feed.streaming is None:
            self._start_ticks(feed, contract)
        quote = await self._reads.ask_quote(self._header("quote"), contract, for_feed=True)
        self._take_snapshot(quote)

    def _header(self, step: str) -> RequestHeader:
        return self._actor.of_our_own(step, _STARVED * self._settings.read_timeout_s)

    def _take_snapshot(self, quote: Quote) -> None:
        feed = self._feeds.get(quote.symbol)
        if feed is not None and self._is_silent(feed, quote):
            self._lose_ticks(feed, f"the ticks of {feed.symbol} have stopped coming")
        quote = self._quotes.publish(quote)
        if feed is None:
            return
        if feed.interrupted_by is not None and not feed.wants_ticks:
            self._subscribers.resume((feed,))
        if not self._says_less(quote):
            self._subscribers.tell_quotes((quote,))

    def _says_less(self, quote: Quote) -> bool:
        """Tell whether IB has no price of a symbol that the second source serves: that would replace one that has."""
        over = self._route.is_over(quote.symbol)
        return over and quote.condition is DataCondition.NO_PRICE

    def _is_silent(self, feed: Feed, quote: Quote) -> bool:
        """Tell whether the market moved while its stream said nothing."""
        if feed.ticked_at is None:
            return False
        held = self._quotes.newest.get(quote.contract.con_id)
        moved = held is not None and (held.bid, held.ask) != (quote.bid, quote.ask)
        quiet_s = self._actor.clock.monotonic() - feed.ticked_at
        return moved and quiet_s >= self._settings.ticks_refresh_s

    def _interrupt_polled(self, symbol: str, error: GatewayError) -> None:
        feed = self._feeds.get(symbol)
        if feed is not None and feed.ticked_at is None:
            self._subscribers.interrupt((feed,), str(error))

    def _poll_ended(self, symbol: str) -> None:
        """Give the place to the next one, and come back to this one later."""
        self._window.ended(symbol)
        feed = self._feeds.get(symbol)
        if feed is not None and self._link_lost is None:
            every_s = self._settings.snapshot_interval_s
            if feed.ticked_at is not None:
                every_s = self._settings.ticks_refresh_s
            self._schedule_poll(feed, every_s)
        self._take_turns()

    def _poll_soon(self, feed: Feed) -> None:
        if self._link_lost is None:
            self._schedule_poll(feed, self._settings.snapshot_interval_s)

    def _schedule_poll(self, feed: Feed, every_s: float) -> None:
        self._cancel_timer(feed)
        delay_s = max(0.0, feed.asked_at + every_s - self._actor.clock.monotonic())
        feed.timer = self._actor.schedule(delay_s, PollDue(symbol=feed.symbol))

    def _cancel_timer(self, feed: Feed) -> None:
        if feed.timer is not None:
            feed.timer.cancel()
            feed.timer = None

    # --- ticks ----------------------------------------------------------------------------------------------------

    def _start_ticks(self, feed: Feed, contract: Contract) -> None:
        now = self._actor.clock.monotonic()
        if now < feed.ticks_not_before:
            return
        feed.streaming, feed.ticked_at = contract, None
        feed.ticks_not_before = now + TICKS_AGAIN_S
        self._actor.begin_story(self._ask_for_ticks(contract))

    async def _ask_for_ticks(self, contract: Contract) -> None:
        question = m.StartTicks(**self._header("ticks"), contract=contract)
        try:
            await self._actor.asked(LINK, question, m.TicksAsked)
        except GatewayError as error:
            self._ticks_failed(contract.con_id, str(error))

    def _stop_ticks(self, feed: Feed) -> None:
        if feed.streaming is not None:
            self._actor.tell(LINK, m.StopTicks(con_id=feed.streaming.con_id))
            feed.streaming, feed.ticked_at = None, None

    @handles(m.QuotesStreamed)
    def on_quotes_streamed(self, batch: m.QuotesStreamed) -> None:
        """Hand on what ticks made newer."""
        now = self._actor.clock.monotonic()
        resumed, wanted = [], []
        for quote in batch.quotes:
            feed = self._feeds.get(quote.symbol)
            if feed is None or feed.streaming is None:
                self._actor.tell(LINK, m.StopTicks(con_id=quote.contract.con_id))
                continue
            feed.ticked_at = now
            if feed.interrupted_by is not None:
                resumed.append(feed)
            wanted.append(self._quotes.publish_streamed(quote, now))
        self._subscribers.resume(resumed)
        self._subscribers.tell_quotes(wanted)
        self._actor.tell(LINK, m.StreamTaken())

    @handles(m.TicksEnded)
    def on_ticks_ended(self, event: m.TicksEnded) -> None:
        """Feed by snapshots until the gateway streams again."""
        self._ticks_failed(event.con_id, event.reason)

    def _ticks_failed(self, con_id: int, reason: str) -> None:
        for feed in self._feeds.values():
            if feed.streaming is not None and feed.streaming.con_id == con_id:
                self._lose_ticks(feed, reason)

    def _lose_ticks(self, feed: Feed, reason: str) -> None:
        self._stop_ticks(feed)
        self._subscribers.interrupt((feed,), reason)
        self._poll_soon(feed)

    # --- the link -------------------------------------------------------------------------------------------------

    def follow_link(self, state: ConnectionState, reason: str) -> None:
        """Interrupt every feed while the link is lost; begin anew when it is back."""
        feeds = tuple(self._feeds.values())
        if state is ConnectionState.CONNECTED:
            self._link_lost = None
            for feed in feeds:
                self._window.due(feed.symbol)
            self._take_turns()
            return
        self._link_lost = reason or f"the link is {state.value}"
        self._window.drop_all()
        for feed in feeds:
            self._cancel_timer(feed)
            feed.streaming, feed.ticked_at = None, None  # they ended with the session
            feed.ticks_not_before = float("-inf")
        self._subscribers.interrupt(feeds, self._link_lost)


def _other_name(symbol: str, contract: Contract) -> ContractQualificationError:
    return ContractQualificationError(
        f"the broker's name of {symbol} is {contract.symbol}: subscribe to that"
    )
