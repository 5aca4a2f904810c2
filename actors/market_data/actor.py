"""The market-data actor: quotes, bars, indicators and option chains, each read by snapshot and on time.

It keeps the newest quote per contract, tells it to those who judge by it, and feeds subscribers by repeated snapshots
(D17). It refuses anything that would stream (MKT-5) or reach back further than an hour (MKT-6).
"""

from __future__ import annotations

from collections.abc import Mapping

from actors.errors import InsufficientDataError
from actors.kernel.handlers import handles
from actors.kernel.messages import Request
from actors.kernel.stories import root_id
from actors.logic.history import MAX_HISTORY_MINUTES, history_violation
from actors.logic.quality import market_data
from actors.market_data.bars import BarsHeld
from actors.market_data.indicator_reads import IndicatorReads
from actors.market_data.second_source_reads import FailoverLook, failed_over
from actors.messages.addresses import FACADE, LINK
from actors.messages.connection import ConnectionStateChanged, ProveMarketData
from actors.messages.market_data import (
    BarsRead,
    DataStatus,
    FeedsLost,
    GetBars,
    GetDataStatus,
    GetMarketData,
    GetOptionChain,
    GetOptionQuote,
    GetQuote,
    MarketDataRead,
    OptionChainRead,
    QuoteRead,
    ReadOptionChain,
    StopAllTicks,
)
from actors.model.connection import ConnectionState
from actors.model.contracts import Contract, ContractQuery
from actors.model.market import Quote


class MarketDataActor(IndicatorReads):
    """See the module's docstring."""

    def started(self) -> None:
        """Have the subscribers of an earlier incarnation subscribe again."""
        if self.incarnation > 1:
            self.tell(LINK, StopAllTicks())
            self.tell(FACADE, FeedsLost())
        self.failover.started()

    # --- reads ----------------------------------------------------------------------------------------------------

    @handles(GetMarketData)
    def on_get_market_data(self, request: GetMarketData) -> None:
        """Qualify, then read quote and bars side by side, then compute."""
        if self.refuses_stream(request, request.snapshot):
            return
        if self.failover.is_over(request.symbol):
            self.failover.read_market_data(request)
            return
        self.qualified(
            request,
            ContractQuery(symbol=request.symbol),
            lambda contract: self._read_market_data(request, contract),
        )

    def _read_market_data(self, request: GetMarketData, contract: Contract) -> None:
        gathered: dict[str, object] = {}

        def collect(part: str, value: object) -> None:
            gathered[part] = value
            if len(gathered) == 2:
                self._answer_market_data(request, contract, gathered)

        self.snapshot(request, contract, lambda quote: collect("quote", quote))
        self.bars(request, contract, MAX_HISTORY_MINUTES, lambda held: collect("bars", held))

    def _answer_market_data(
        self, request: GetMarketData, contract: Contract, gathered: Mapping[str, object]
    ) -> None:
        quote, held = gathered["quote"], gathered["bars"]
        assert isinstance(quote, Quote)  # noqa: S101 - narrows what collect() gathered
        assert isinstance(held, BarsHeld)  # noqa: S101
        try:
            computed = self.book.indicators(contract.con_id, held.bars)
        except InsufficientDataError as error:
            self.refuse(request, error)
            return
        data = market_data(
            quote,
            computed,
            self.clock.now(),
            stale_after_s=self.settings.stale_after_s,
            bar_gaps=held.gaps,
        )
        self.reply(request, MarketDataRead(correlation_id=request.correlation_id, market_data=data))
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

    @handles(GetQuote)
    def on_get_quote(self, request: GetQuote) -> None:
        """Answer from memory when that is young enough, else read a snapshot."""
        if self.refuses_stream(request, request.snapshot):
            return
        if request.for_opening and self.failover.is_over(request.contract.symbol):
            self.refuse(request, failed_over(request.contract.symbol))
            return
        held = self.quotes.get(request.contract.con_id)
        age_limit_s = request.max_age_s
        if held and (self.clock.now() - held.received_at).total_seconds() < age_limit_s:
            self._answer_quote(request, held)
            return
        self.snapshot(request, request.contract, lambda quote: self._answer_quote(request, quote))

    @handles(GetOptionQuote)
    def on_get_option_quote(self, request: GetOptionQuote) -> None:
        """Qualify one option and read a snapshot of it (MKT-8)."""
        if self.refuses_stream(request, request.snapshot):
            return
        self.qualified(
            request,
            request.query,
            lambda contract: self.snapshot(
                request, contract, lambda quote: self._answer_quote(request, quote)
            ),
        )

    def _answer_quote(self, request: Request, quote: Quote) -> None:
        self.reply(request, QuoteRead(correlation_id=request.correlation_id, quote=quote))

    @handles(GetBars)
    def on_get_bars(self, request: GetBars) -> None:
        """Refuse more than an hour, then read (MKT-6)."""
        violation = history_violation(request.duration_minutes, request.bar_size)
        if violation is not None:
            self.refuse(request, violation)
            return
        if self.failover.is_over(request.symbol) and self.failover.read_bars(request):
            return
        self.qualified(
            request,
            ContractQuery(symbol=request.symbol),
            lambda contract: self.bars(
                request,
                contract,
                request.duration_minutes,
                lambda held: self.reply(
                    request,
                    BarsRead(
                        correlation_id=request.correlation_id,
                        contract=contract,
                        bars=held.bars,
                        gaps=held.gaps,
                    ),
                ),
            ),
        )

    @handles(GetOptionChain)
    def on_get_option_chain(self, request: GetOptionChain) -> None:
        """Qualify the underlying and read its chain."""
        self.qualified(
            request,
            ContractQuery(symbol=request.symbol),
            lambda underlying: self.ask(
                request,
                "chain",
                lambda correlation_id: ReadOptionChain(
                    correlation_id=correlation_id,
                    deadline=request.deadline,
                    reply_to=self.name,
                    underlying=underlying,
                ),
                OptionChainRead,
                lambda read: self.reply(
                    request,
                    OptionChainRead(correlation_id=request.correlation_id, chain=read.chain),
                ),
            ),
        )

    @handles(ProveMarketData)
    def on_prove_market_data(self, request: ProveMarketData) -> None:
        """Show that data answers, for the opening readiness of CON-4."""
        self.qualified(
            request,
            ContractQuery(symbol=request.symbol),
            lambda contract: self.snapshot(
                request, contract, lambda quote: self._answer_quote(request, quote)
            ),
        )

    @handles(ConnectionStateChanged)
    def on_connection_state_changed(self, event: ConnectionStateChanged) -> None:
        """Forget what a session taught when it was asked to end (CON-13)."""
        self.failover.link_is(event.state)
        self.follow_link(event.state, event.reason)
        if event.state is ConnectionState.DISCONNECTED:
            self.forget_session()

    @handles(GetDataStatus)
    def on_get_data_status(self, request: GetDataStatus) -> None:
        """Tell whose data is not live (MKT-11)."""
        self.reply(
            request,
            DataStatus(
                correlation_id=request.correlation_id, troubles=tuple(self.troubles.values())
            ),
        )

    @handles(FailoverLook)
    def on_failover_look(self, look: FailoverLook) -> None:
        """Ask IB about what the second source serves now, and that for subscribers."""
        self.failover.on_look(look)
        self.failover.feed_streams(tuple(self.feeds))
