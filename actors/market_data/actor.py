"""The market-data actor: quotes, bars, indicators and option chains, each read by snapshot and on time.

It keeps the newest quote per contract, tells it to those who judge by it, and feeds subscribers by repeated snapshots
(D17). It refuses anything that would stream (MKT-5) or reach back further than an hour (MKT-6).

=====================  =============================================================================================
`SourceRoute`          which source serves each symbol
`NewestQuotes`         the newest quotes, their troubles, and who receives them
`LinkReads`            the contracts, and what is asked of the link on behalf of a request
`BarReads`             the bars, each read once
`IndicatorReads`       the indicators of many symbols
`Subscribers`          who subscribed to what
`QuoteFeeds`           how what was subscribed to is fed
`SecondSourceReads`    what the second source is asked for
=====================  =============================================================================================
"""

from __future__ import annotations

import attrs

from actors import messages as m
from actors.errors import SnapshotModeViolationError
from actors.kernel.actor import ActorContext, SupervisedActor
from actors.kernel.handlers import handles
from actors.kernel.messages import Request
from actors.kernel.stories import root_id
from actors.logic import freshness
from actors.logic.history import MAX_HISTORY_MINUTES, history_violation
from actors.logic.quality import market_data
from actors.market_data.bars import BarReads, BarsHeld
from actors.market_data.feeds import QuoteFeeds
from actors.market_data.indicator_reads import IndicatorReads
from actors.market_data.quotes import NewestQuotes
from actors.market_data.reads import LinkReads, refused_on_error
from actors.market_data.route import SourceRoute, failed_over
from actors.market_data.second_source_reads import SecondSourceReads
from actors.market_data.subscribers import Subscribers
from actors.messages.addresses import FACADE, LINK
from actors.model.connection import ConnectionState
from actors.model.contracts import Contract, ContractQuery
from actors.model.market import Quote
from actors.ports import EventLog, no_log
from actors.sections.market_data import Failover, MarketData


@attrs.define
class _Gathering:
    """What has come of one request for market data."""

    request: m.GetMarketData
    contract: Contract
    quote: Quote | None = None
    bars: BarsHeld | None = None


class MarketDataActor(SupervisedActor):
    """See the module's docstring. ``publishes``: there is a publisher, which is given every quote (MKT-9)."""

    parts = (NewestQuotes, BarReads, IndicatorReads, QuoteFeeds)

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: MarketData,
        failover: Failover,
        publishes: bool,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context)
        self.settings = settings
        self.log = log
        self.route = SourceRoute(self, failover, settings.max_remembered, log)
        self.quotes = self.own(NewestQuotes(self, settings, self.route, log, publishes=publishes))
        self.reads = LinkReads(self, self.quotes, settings.max_remembered)
        self.bars = self.own(BarReads(self, settings.max_remembered, log))
        self.indicators = self.own(IndicatorReads(self, self.route, self.bars))
        self.subscribers = Subscribers(self, settings, log)
        self.feeds = self.own(
            QuoteFeeds(self, settings, self.route, self.quotes, self.reads, self.subscribers)
        )
        self.second_source = SecondSourceReads(
            self, failover, settings, self.route, self.quotes, self.reads, self.subscribers, log
        )

    def started(self) -> None:
        """Have the subscribers of an earlier incarnation subscribe again."""
        if self.incarnation > 1:
            self.tell(LINK, m.StopAllTicks())
            self.tell(FACADE, m.FeedsLost())
        self.second_source.started()

    # --- market data ------------------------------------------------------------------------------------------------

    @handles(m.GetMarketData)
    async def on_get_market_data(self, request: m.GetMarketData) -> None:
        """Qualify, then read quote and bars side by side, then compute."""
        with refused_on_error(self, request):
            _refuse_stream(request.snapshot)
            if self.route.is_over(request.symbol):
                await self.second_source.read_market_data(request)
                return
            contract = await self.reads.qualified(request, ContractQuery(symbol=request.symbol))
            gathering = _Gathering(request, contract)
            self.begin_story(self._gather_quote(gathering))
            self.begin_story(self._gather_bars(gathering))

    async def _gather_quote(self, gathering: _Gathering) -> None:
        with refused_on_error(self, gathering.request):
            gathering.quote = await self.reads.snapshot(gathering.request, gathering.contract)
            self._answer_if_complete(gathering)

    async def _gather_bars(self, gathering: _Gathering) -> None:
        with refused_on_error(self, gathering.request):
            gathering.bars = await self.bars.newest(
                gathering.request, gathering.contract, MAX_HISTORY_MINUTES
            )
            self._answer_if_complete(gathering)

    def _answer_if_complete(self, gathering: _Gathering) -> None:
        request, contract = gathering.request, gathering.contract
        quote, held = gathering.quote, gathering.bars
        if quote is None or held is None:
            return
        computed = self.bars.book.indicators(contract.con_id, held.bars)
        data = market_data(
            quote,
            computed,
            self.clock.now(),
            self.clock.monotonic(),
            stale_after_s=self.settings.stale_after_s,
            bar_gaps=held.gaps,
        )
        self.reply(
            request, m.MarketDataRead(correlation_id=request.correlation_id, market_data=data)
        )
        self.log(
            "quote_read",
            level="DEBUG",
            correlation_id=root_id(request.correlation_id),
            symbol=contract.symbol,
            last=data.last_price,
            bid=data.bid,
            ask=data.ask,
            quality=data.data_quality_score,
        )

    # --- quotes -----------------------------------------------------------------------------------------------------

    @handles(m.GetQuote)
    async def on_get_quote(self, request: m.GetQuote) -> None:
        """Answer from memory when that is young enough, else read a snapshot."""
        with refused_on_error(self, request):
            _refuse_stream(request.snapshot)
            if request.for_opening and self.route.is_over(request.contract.symbol):
                raise failed_over(request.contract.symbol)
            quote = self.quotes.newest.get(request.contract.con_id)
            now = self.clock.monotonic()
            if quote is None or not freshness.is_seen_within(quote, now, request.max_age_s):
                quote = await self.reads.snapshot(request, request.contract)
            if request.for_opening and freshness.is_evidence(quote) and not _is_dated(quote):
                await self.sleep(self.settings.second_look_s)
                quote = await self.reads.snapshot(request, request.contract)
            self._answer_quote(request, quote)

    @handles(m.GetOptionQuote)
    async def on_get_option_quote(self, request: m.GetOptionQuote) -> None:
        """Qualify one option and read a snapshot of it (MKT-8)."""
        with refused_on_error(self, request):
            _refuse_stream(request.snapshot)
            await self._read_quote(request, request.query)

    @handles(m.ProveMarketData)
    async def on_prove_market_data(self, request: m.ProveMarketData) -> None:
        """Show that data answers, for the opening readiness of CON-4."""
        with refused_on_error(self, request):
            await self._read_quote(request, ContractQuery(symbol=request.symbol))

    async def _read_quote(self, request: Request, query: ContractQuery) -> None:
        contract = await self.reads.qualified(request, query)
        self._answer_quote(request, await self.reads.snapshot(request, contract))

    def _answer_quote(self, request: Request, quote: Quote) -> None:
        self.reply(request, m.QuoteRead(correlation_id=request.correlation_id, quote=quote))

    # --- bars and option chains -------------------------------------------------------------------------------------

    @handles(m.GetBars)
    async def on_get_bars(self, request: m.GetBars) -> None:
        """Refuse more than an hour, then read (MKT-6)."""
        with refused_on_error(self, request):
            violation = history_violation(request.duration_minutes, request.bar_size)
            if violation is not None:
                raise violation
            over = None if request.contract else self.second_source.bars_of(request.symbol)
            if over is not None:
                await self.second_source.read_bars(request, over)
                return
            contract = request.contract
            if contract is None:
                contract = await self.reads.qualified(request, ContractQuery(symbol=request.symbol))
            held = await self.bars.newest(request, contract, request.duration_minutes)
            read = m.BarsRead(
                correlation_id=request.correlation_id,
                contract=contract,
                bars=held.bars,
                gaps=held.gaps,
            )
            self.reply(request, read)

    @handles(m.GetOptionChain)
    async def on_get_option_chain(self, request: m.GetOptionChain) -> None:
        """Qualify the underlying and read its chain."""
        with refused_on_error(self, request):
            underlying = await self.reads.qualified(request, ContractQuery(symbol=request.symbol))
            question = m.ReadOptionChain(**self.on_behalf(request, "chain"), underlying=underlying)
            read = await self.asked(LINK, question, m.OptionChainRead)
            self.reply(
                request, m.OptionChainRead(correlation_id=request.correlation_id, chain=read.chain)
            )

    # --- the link ---------------------------------------------------------------------------------------------------

    @handles(m.ConnectionStateChanged)
    def on_connection_state_changed(self, event: m.ConnectionStateChanged) -> None:
        """Forget what a session taught when it was asked to end (CON-13)."""
        self.route.link_is(event.state)
        self.feeds.follow_link(event.state, event.reason)
        if event.state is ConnectionState.DISCONNECTED:
            self.reads.contracts.clear()
            self.quotes.forget_session()
            self.bars.forget_session()


def _is_dated(quote: Quote) -> bool:
    """Tell whether anything proves since when a quote's data is what it is."""
    return quote.pace is not None and quote.pace.changed_at is not None


def _refuse_stream(snapshot: bool) -> None:
    """Refuse what would stream (MKT-5)."""
    if not snapshot:
        raise SnapshotModeViolationError("quotes are read with snapshot=True only (was False)")
