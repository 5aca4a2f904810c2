"""The market-data actor: quotes, bars, indicators and option chains, each read by snapshot and on time.

It keeps the newest quote per contract, tells it to those who judge by it, and feeds subscribers by repeated snapshots
(D17). It refuses anything that would stream (MKT-5) or reach back further than an hour (MKT-6).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import ClassVar, TypeVar

import attrs

from actors.base import ActorContext
from actors.conversations import (
    ANSWERS,
    ConversingActor,
    child_id,
    root_id,
)
from actors.errors import (
    ErrorInfo,
    GatewayError,
    GatewayTimeoutError,
    InsufficientDataError,
    SnapshotModeViolationError,
    restore,
)
from actors.logic.history import MAX_HISTORY_MINUTES, history_violation
from actors.logic.indicators import indicators
from actors.logic.quality import market_data
from actors.messages.addresses import EXECUTOR, GATEWAY, LINK, POSITION, RISK
from actors.messages.connection import ConnectionStateChanged, ProveMarketData
from actors.messages.lifecycle import Message, Reply, Request
from actors.messages.market_data import (
    BarsRead,
    ContractQualified,
    FeedsLost,
    GetBars,
    GetMarketData,
    GetOptionChain,
    GetOptionQuote,
    GetQuote,
    MarketDataRead,
    OptionChainRead,
    QualifyContract,
    QuoteRead,
    QuotesInterrupted,
    QuotesResumed,
    QuotesSubscribed,
    QuoteUpdated,
    ReadBars,
    ReadOptionChain,
    SnapshotTaken,
    SubscribeQuotes,
    TakeSnapshot,
    UnsubscribeQuotes,
)
from actors.model.connection import ConnectionState
from actors.model.contracts import Contract, ContractQuery
from actors.model.market import Bar, Quote
from actors.ports import EventLog, no_log

IDENTICAL_HISTORY_S = 15.0
"""IB refuses an identical history request within this time (TWS_WIRE §10)."""

R = TypeVar("R", bound=Reply)


@attrs.frozen(kw_only=True)
class MarketDataSettings:
    """The ``[market_data]`` section as this actor needs it; times in seconds."""

    stale_after_s: float = 300.0
    snapshot_interval_s: float = 1.0
    snapshot_timeout_s: float = 12.0
    max_subscriptions: int = 100
    max_symbols: int = 500


@attrs.frozen(kw_only=True)
class _Poll(Message):
    """The next snapshot of a subscribed symbol is due."""

    symbol: str


@attrs.frozen
class _BarsHeld:
    read_at: datetime
    bars: tuple[Bar, ...]


@attrs.frozen
class _Reader:
    """Somebody who waits for bars that are being read."""

    request: Request
    contract: Contract
    then: Callable[[tuple[Bar, ...]], None]


@attrs.define
class _Feed:
    """One symbol that somebody subscribed to."""

    subscriptions: set[str] = attrs.field(factory=set)
    interrupted: bool = False


class MarketDataActor(ConversingActor):
    """See the module's docstring."""

    handlers: ClassVar[Mapping[type[Message], str]] = {
        GetMarketData: "on_get_market_data",
        GetQuote: "on_get_quote",
        GetBars: "on_get_bars",
        GetOptionChain: "on_get_option_chain",
        GetOptionQuote: "on_get_option_quote",
        ProveMarketData: "on_prove_market_data",
        SubscribeQuotes: "on_subscribe_quotes",
        UnsubscribeQuotes: "on_unsubscribe_quotes",
        ConnectionStateChanged: "on_connection_state_changed",
        _Poll: "on_poll",
        ContractQualified: "on_answer",
        SnapshotTaken: "on_answer",
        BarsRead: "on_answer",
        OptionChainRead: "on_answer",
        **ANSWERS,
    }

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: MarketDataSettings | None = None,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context)
        self.settings = settings or MarketDataSettings()
        self.log = log
        self.contracts: dict[ContractQuery, Contract] = {}
        self.quotes: dict[int, Quote] = {}
        self.bars: dict[tuple[int, int], _BarsHeld] = {}
        self.readers: dict[tuple[int, int], list[_Reader]] = {}
        self.subscriptions: dict[str, SubscribeQuotes] = {}
        self.feeds: dict[str, _Feed] = {}

    def started(self) -> None:
        """Have the subscribers of an earlier incarnation subscribe again."""
        if self.incarnation > 1:
            self.tell(GATEWAY, FeedsLost())

    # --- reads ----------------------------------------------------------------------------------------------------

    def on_get_market_data(self, request: GetMarketData) -> None:
        """Qualify, then read quote and bars side by side, then compute."""
        if self._refuses_stream(request, request.snapshot):
            return
        self._qualified(
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

        self._snapshot(request, contract, lambda quote: collect("quote", quote))
        self._bars(request, contract, MAX_HISTORY_MINUTES, lambda bars: collect("bars", bars))

    def _answer_market_data(
        self, request: GetMarketData, contract: Contract, gathered: Mapping[str, object]
    ) -> None:
        quote, bars = gathered["quote"], gathered["bars"]
        assert isinstance(quote, Quote)  # noqa: S101 - narrows what collect() gathered
        assert isinstance(bars, tuple)  # noqa: S101
        try:
            computed = indicators(bars)
        except InsufficientDataError as error:
            self.refuse(request, error)
            return
        data = market_data(
            quote, computed, self.clock.now(), stale_after_s=self.settings.stale_after_s
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

    def on_get_quote(self, request: GetQuote) -> None:
        """Answer from memory when that is young enough, else read a snapshot."""
        if self._refuses_stream(request, request.snapshot):
            return
        held = self.quotes.get(request.contract.con_id)
        age_limit_s = request.max_age_s
        if held and (self.clock.now() - held.received_at).total_seconds() < age_limit_s:
            self._answer_quote(request, held)
            return
        self._snapshot(request, request.contract, lambda quote: self._answer_quote(request, quote))

    def on_get_option_quote(self, request: GetOptionQuote) -> None:
        """Qualify one option and read a snapshot of it (MKT-8)."""
        if self._refuses_stream(request, request.snapshot):
            return
        self._qualified(
            request,
            request.query,
            lambda contract: self._snapshot(
                request, contract, lambda quote: self._answer_quote(request, quote)
            ),
        )

    def _answer_quote(self, request: Request, quote: Quote) -> None:
        self.reply(request, QuoteRead(correlation_id=request.correlation_id, quote=quote))

    def on_get_bars(self, request: GetBars) -> None:
        """Refuse more than an hour, then read (MKT-6)."""
        violation = history_violation(request.duration_minutes, request.bar_size)
        if violation is not None:
            self.refuse(request, violation)
            return
        self._qualified(
            request,
            ContractQuery(symbol=request.symbol),
            lambda contract: self._bars(
                request,
                contract,
                request.duration_minutes,
                lambda bars: self.reply(
                    request,
                    BarsRead(correlation_id=request.correlation_id, contract=contract, bars=bars),
                ),
            ),
        )

    def on_get_option_chain(self, request: GetOptionChain) -> None:
        """Qualify the underlying and read its chain."""
        self._qualified(
            request,
            ContractQuery(symbol=request.symbol),
            lambda underlying: self._ask(
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

    def on_prove_market_data(self, request: ProveMarketData) -> None:
        """Show that data answers, for the opening readiness of CON-4."""
        self._qualified(
            request,
            ContractQuery(symbol=request.symbol),
            lambda contract: self._snapshot(
                request, contract, lambda quote: self._answer_quote(request, quote)
            ),
        )

    # --- the steps that reads share -------------------------------------------------------------------------------

    def _refuses_stream(self, request: Request, snapshot: bool) -> bool:
        if snapshot:
            return False
        self.refuse(
            request,
            SnapshotModeViolationError("quotes are read with snapshot=True only (was False)"),
        )
        return True

    def _qualified(
        self, request: Request, query: ContractQuery, then: Callable[[Contract], None]
    ) -> None:
        held = self.contracts.get(query)
        if held is not None:
            then(held)
            return

        def keep(reply: ContractQualified) -> None:
            self.contracts[query] = reply.contract
            then(reply.contract)

        self._ask(
            request,
            "contract",
            lambda correlation_id: QualifyContract(
                correlation_id=correlation_id,
                deadline=request.deadline,
                reply_to=self.name,
                query=query,
            ),
            ContractQualified,
            keep,
        )

    def _snapshot(
        self, request: Request, contract: Contract, then: Callable[[Quote], None]
    ) -> None:
        def keep(reply: SnapshotTaken) -> None:
            self._publish(reply.quote)
            then(reply.quote)

        self._ask(
            request,
            "quote",
            lambda correlation_id: TakeSnapshot(
                correlation_id=correlation_id,
                deadline=request.deadline,
                reply_to=self.name,
                contract=contract,
            ),
            SnapshotTaken,
            keep,
        )

    def _bars(
        self,
        request: Request,
        contract: Contract,
        minutes: int,
        then: Callable[[tuple[Bar, ...]], None],
    ) -> None:
        key = (contract.con_id, minutes)
        held = self.bars.get(key)
        now = self.clock.now()
        if held is not None and _still_newest(held.read_at, now):
            then(held.bars)
            return

        readers = self.readers.setdefault(key, [])
        readers.append(_Reader(request, contract, then))
        if len(readers) == 1:
            self._read_bars(key, readers[0])

    def _read_bars(self, key: tuple[int, int], first: _Reader) -> None:
        """Ask once for all who want the same bars: IB takes a second, identical request for an offence (CON-14)."""

        def keep(reply: Reply) -> None:
            assert isinstance(reply, BarsRead)  # noqa: S101 - the link answers in kind
            self.bars[key] = _BarsHeld(self.clock.now(), reply.bars)
            for reader in self.readers.pop(key):
                reader.then(reply.bars)

        def failed(error: ErrorInfo) -> None:
            now = self.clock.monotonic()
            out_of_time = error.kind == GatewayTimeoutError.__name__
            for reader in self.readers.pop(key):
                if out_of_time and reader.request.deadline > now:
                    self._bars(reader.request, reader.contract, key[1], reader.then)
                else:
                    self.refuse(reader.request, restore(error))

        self.conversations.ask(
            LINK,
            ReadBars(
                **self.conversations.on_behalf(first.request, "bars"),
                contract=first.contract,
                duration_minutes=key[1],
            ),
            keep,
            failed,
        )

    def _ask(
        self,
        request: Request,
        step: str,
        make: Callable[[str], Request],
        expected: type[R],
        then: Callable[[R], None],
    ) -> None:
        """Ask the link for one step of ``request``; a failure of the step is a failure of the request."""

        def on_reply(reply: Reply) -> None:
            assert isinstance(reply, expected)  # noqa: S101 - the link answers in kind
            then(reply)

        def on_failure(error: ErrorInfo) -> None:
            self.refuse(request, restore(error))

        self.conversations.ask(
            LINK, make(child_id(request.correlation_id, step)), on_reply, on_failure
        )

    def _publish(self, quote: Quote) -> None:
        """Remember the quote and tell those who judge by it; risk first, so that it is never behind the executor."""
        self.quotes[quote.contract.con_id] = quote
        update = QuoteUpdated(quote=quote)
        for address in (RISK, EXECUTOR, POSITION):
            self.tell(address, update)
        self.log("quote_received", level="DEBUG", symbol=quote.symbol, source=quote.source.value)

    # --- subscriptions --------------------------------------------------------------------------------------------

    def on_subscribe_quotes(self, request: SubscribeQuotes) -> None:
        """Begin to feed the symbols by repeated snapshots (MKT-7)."""
        wanted = set(request.symbols) | set(self.feeds)
        if len(self.subscriptions) >= self.settings.max_subscriptions:
            self.refuse(request, GatewayError("market_data.max_subscriptions is reached"))
            return
        if len(wanted) > self.settings.max_symbols:
            self.refuse(request, GatewayError("market_data.max_symbols is reached"))
            return
        self.subscriptions[request.subscription_id] = request
        for symbol in request.symbols:
            feed = self.feeds.get(symbol)
            if feed is None:
                feed = self.feeds[symbol] = _Feed()
                self.tell(self.name, _Poll(symbol=symbol))
            feed.subscriptions.add(request.subscription_id)
        self.reply(
            request,
            QuotesSubscribed(correlation_id=request.correlation_id, symbols=request.symbols),
        )

    def on_unsubscribe_quotes(self, message: UnsubscribeQuotes) -> None:
        """Stop feeding; a symbol that nobody wants any more is polled no further."""
        ended = self.subscriptions.pop(message.subscription_id, None)
        if ended is None:
            return
        for symbol in ended.symbols:
            feed = self.feeds.get(symbol)
            if feed is None:
                continue
            feed.subscriptions.discard(message.subscription_id)
            if not feed.subscriptions:
                del self.feeds[symbol]

    def on_poll(self, poll: _Poll) -> None:
        """Read the next snapshot of a subscribed symbol."""
        if poll.symbol not in self.feeds:
            return
        request = GetMarketData(
            correlation_id=self.entropy.uuid4(),
            deadline=self.clock.monotonic() + self.settings.snapshot_timeout_s,
            reply_to=self.name,
            symbol=poll.symbol,
        )
        query = ContractQuery(symbol=poll.symbol)
        held = self.contracts.get(query)
        if held is None:
            self.conversations.ask(
                LINK,
                QualifyContract(
                    correlation_id=child_id(request.correlation_id, "contract"),
                    deadline=request.deadline,
                    reply_to=self.name,
                    query=query,
                ),
                lambda reply: self._poll_qualified(poll.symbol, reply),
                lambda error: self._feed_failed(poll.symbol, error),
            )
            return
        self.conversations.ask(
            LINK,
            TakeSnapshot(
                correlation_id=child_id(request.correlation_id, "quote"),
                deadline=request.deadline,
                reply_to=self.name,
                contract=held,
            ),
            lambda reply: self._feed_quote(poll.symbol, reply),
            lambda error: self._feed_failed(poll.symbol, error),
        )

    def _poll_qualified(self, symbol: str, reply: Reply) -> None:
        assert isinstance(reply, ContractQualified)  # noqa: S101 - the link answers in kind
        self.contracts[reply.query] = reply.contract
        self.tell(self.name, _Poll(symbol=symbol))

    def _feed_quote(self, symbol: str, reply: Reply) -> None:
        assert isinstance(reply, SnapshotTaken)  # noqa: S101 - the link answers in kind
        self._publish(reply.quote)
        feed = self.feeds.get(symbol)
        if feed is None:
            return
        if feed.interrupted:
            feed.interrupted = False
            self._tell_subscribers(feed, QuotesResumed(symbols=(symbol,)))
        self._tell_subscribers(feed, QuoteUpdated(quote=reply.quote))
        self.schedule(self.settings.snapshot_interval_s, _Poll(symbol=symbol))

    def _feed_failed(self, symbol: str, error: ErrorInfo) -> None:
        feed = self.feeds.get(symbol)
        if feed is None:
            return
        if not feed.interrupted:
            feed.interrupted = True
            self._tell_subscribers(feed, QuotesInterrupted(symbols=(symbol,), reason=error.text))
        self.schedule(self.settings.snapshot_interval_s, _Poll(symbol=symbol))

    def _tell_subscribers(self, feed: _Feed, message: Message) -> None:
        addresses = {self.subscriptions[held].subscriber for held in sorted(feed.subscriptions)}
        for address in sorted(addresses):
            self.tell(address, message)

    def on_connection_state_changed(self, event: ConnectionStateChanged) -> None:
        """Forget what a session taught when it was asked to end (CON-13)."""
        if event.state is ConnectionState.DISCONNECTED:
            self.contracts.clear()
            self.quotes.clear()
            self.bars.clear()


def _still_newest(read_at: datetime, now: datetime) -> bool:
    """Bars stay the newest until the next minute closes; IB refuses to be asked twice within 15 s anyway."""
    same_minute = read_at.replace(second=0, microsecond=0) == now.replace(second=0, microsecond=0)
    return same_minute or (now - read_at).total_seconds() < IDENTICAL_HISTORY_S
