"""What the second source is asked for while it serves, and how IB is probed meanwhile (MKT-10).

While a symbol is failed over its reads are answered from the second source. IB is probed, since a source is fresh again
when it has shown so.
"""

from __future__ import annotations

import math

from actors import messages as m
from actors.errors import ContractQualificationError, GatewayError
from actors.kernel.actor import SupervisedActor
from actors.kernel.messages import Request
from actors.kernel.stories import RequestHeader, root_id
from actors.market_data import second_source
from actors.market_data.quotes import NewestQuotes
from actors.market_data.reads import LinkReads
from actors.market_data.route import SourceRoute
from actors.market_data.subscribers import Subscribers
from actors.messages.addresses import FEED
from actors.model.contracts import Contract, ContractQuery
from actors.model.market import Bar, FeedQuote
from actors.ports import EventLog
from actors.sections.market_data import Failover, MarketData


class SecondSourceReads:
    """Owns what is being probed, and when each stream was fed last. Without a second source it does nothing."""

    def __init__(
        self,
        actor: SupervisedActor,
        settings: Failover,
        market_data: MarketData,
        route: SourceRoute,
        quotes: NewestQuotes,
        reads: LinkReads,
        subscribers: Subscribers,
        log: EventLog,
    ) -> None:
        self._actor = actor
        self._settings = settings
        self._market_data = market_data
        self._route = route
        self._quotes = quotes
        self._reads = reads
        self._subscribers = subscribers
        self._log = log
        self._probing: set[str] = set()
        self._streamed_at: dict[str, float] = {}

    def started(self) -> None:
        """Begin to look, and tell that nothing is failed over: an earlier incarnation may have said otherwise."""
        if self._settings.enabled:
            self._route.announce()
            self._actor.begin_story(self._watch())

    async def _watch(self) -> None:
        """Ask IB about symbols that were not seen for a while, and announce again what is failed over."""
        while True:
            await self._actor.sleep(self._settings.probe_s)
            if self._route.is_any_over:
                self._route.announce()
            for symbol in self._route.due_probes():
                if symbol not in self._probing:
                    self._actor.begin_story(self._probe(symbol))
            self._feed_a_stream()

    # --- probing ----------------------------------------------------------------------------------------------------

    async def _probe(self, symbol: str) -> None:
        self._probing.add(symbol)
        try:
            contract = await self._probed_contract(symbol)
            if contract is not None:
                quote = await self._reads.ask_quote(self._header("probe"), contract)
                self._quotes.publish(quote)
        except GatewayError:
            pass  # `NewestQuotes` took note of it, and the next look asks again
        finally:
            self._probing.discard(symbol)

    async def _probed_contract(self, symbol: str) -> Contract | None:
        """Give the contract of a symbol; one that IB does not know is watched no longer."""
        held = self._contract_of(symbol)
        if held is not None:
            return held
        header = self._header("probe-contract")
        try:
            return await self._reads.ask_contract(header, ContractQuery(symbol=symbol))
        except ContractQualificationError:
            self._route.forget(symbol)
            return None

    def _contract_of(self, symbol: str) -> Contract | None:
        return self._reads.contracts.get(ContractQuery(symbol=symbol))

    def _header(self, step: str) -> RequestHeader:
        return self._actor.of_our_own(step, self._market_data.read_timeout_s)

    # --- streams ----------------------------------------------------------------------------------------------------

    def _feed_a_stream(self) -> None:
        """Have the second source feed the subscribers of one symbol: of those it serves, the one that waited longest.

        One at a look, since its plan grants few requests, which callers need, too.
        """
        over = [symbol for symbol in self._subscribers.feeds if self._route.is_over(symbol)]
        self._streamed_at = {
            symbol: at for symbol, at in self._streamed_at.items() if symbol in over
        }
        now = self._actor.clock.monotonic()
        waited = [(self._streamed_at.get(symbol, -math.inf), symbol) for symbol in over]
        due = [each for each in waited if now - each[0] >= self._settings.stream_every_s]
        if not due:
            return
        symbol = min(due)[1]
        self._streamed_at[symbol] = now
        self._actor.begin_story(self._feed(symbol))

    async def _feed(self, symbol: str) -> None:
        question = m.ReadFeedQuote(**self._header("feed-stream"), symbol=symbol)
        try:
            self._take((await self._actor.asked(FEED, question, m.FeedQuoteRead)).quote)
        except GatewayError:
            return  # the feed's own status says what is the matter

    def _take(self, quote: FeedQuote) -> None:
        """Publish what the second source says of a contract that the broker knows, while it serves that."""
        contract = self._contract_of(quote.symbol)
        self._route.served(quote.symbol)
        if contract is not None and self._route.is_over(quote.symbol):
            written = second_source.quote_of(quote, contract)
            self._quotes.publish(written)
            self._subscribers.tell_if_subscribed(written)

    # --- reads from the second source -------------------------------------------------------------------------------

    async def read_market_data(self, request: m.GetMarketData) -> None:
        """Answer with the second source's price, and with indicators where it has bars; raises its errors."""
        question = m.ReadFeedQuote(**self._actor.on_behalf(request, "feed"), symbol=request.symbol)
        quote = (await self._actor.asked(FEED, question, m.FeedQuoteRead)).quote
        self._take(quote)
        bars = await self._bars(request, request.symbol) if self._settings.intraday else ()
        self._answer(request, quote, bars)

    def bars_of(self, symbol: str) -> Contract | None:
        """Give the contract whose bars the second source can be asked for; None when there are none."""
        if not self._settings.intraday or not self._route.is_over(symbol):
            return None
        return self._contract_of(symbol)

    async def read_bars(self, request: m.GetBars, contract: Contract) -> None:
        """Answer with the second source's bars; raises its errors."""
        bars = await self._bars(request, request.symbol)
        read = m.BarsRead(
            correlation_id=request.correlation_id,
            contract=contract,
            bars=bars[-request.duration_minutes :],
        )
        self._actor.reply(request, read)

    async def _bars(self, request: Request, symbol: str) -> tuple[Bar, ...]:
        question = m.ReadFeedBars(**self._actor.on_behalf(request, "feed-bars"), symbol=symbol)
        return (await self._actor.asked(FEED, question, m.FeedBarsRead)).bars

    def _answer(self, request: m.GetMarketData, quote: FeedQuote, bars: tuple[Bar, ...]) -> None:
        contract = self._contract_of(request.symbol)
        data = second_source.market_data(quote, bars, contract, self._actor.clock.now())
        self._actor.reply(
            request, m.MarketDataRead(correlation_id=request.correlation_id, market_data=data)
        )
        self._log(
            "quote_read",
            level="DEBUG",
            correlation_id=root_id(request.correlation_id),
            symbol=quote.symbol,
            source=quote.source.value,
            last=data.last_price,
            quality=data.data_quality_score,
        )
