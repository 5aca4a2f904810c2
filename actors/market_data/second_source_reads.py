"""The market-data actor's part in failover: it watches IB, and asks the second source while that serves (MKT-10).

While a symbol is failed over its reads are answered from the second source, the risk actor refuses to open anything
on it, and IB's own quotes reach only the position actor, which judges losses by nothing else. IB is probed meanwhile,
since a source is fresh again when it has shown so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final

import attrs

from actors.errors import ContractQualificationError, ErrorInfo, MarketDataUnavailableError, restore
from actors.kernel.conversations import ConversingActor
from actors.kernel.messages import Message, Reply, Request
from actors.kernel.stories import RequestHeader, root_id
from actors.logic.quality import quote_age_s
from actors.logic.sessions import is_session_open
from actors.market_data import failover, second_source
from actors.market_data.failover import Failover, FailoverLimits, Route, Step
from actors.messages.addresses import EXECUTOR, FACADE, FEED, LINK, POSITION, RISK
from actors.messages.feed import (
    FailoverChanged,
    FeedBarsRead,
    FeedQuoteRead,
    ReadFeedBars,
    ReadFeedQuote,
)
from actors.messages.market_data import (
    BarsRead,
    ContractQualified,
    GetBars,
    GetMarketData,
    MarketDataRead,
    QualifyContract,
    SnapshotTaken,
    TakeSnapshot,
)
from actors.model.connection import ConnectionState
from actors.model.contracts import Contract, ContractQuery, SecurityType
from actors.model.market import Bar, DataSource, FeedQuote, Quote
from actors.ports import EventLog, no_log

LOOKED_AT_S: Final = 1.0
"""Fresh quotes of a symbol on IB are taken note of so often: there may be thousands in a second."""

_EVERYBODY: Final = (RISK, EXECUTOR, POSITION)
"""Risk first, so that it is never behind the executor."""

_OF_THE_SECOND_SOURCE: Final = (RISK, EXECUTOR)
_OF_IB_MEANWHILE: Final = (POSITION,)


@attrs.frozen(kw_only=True)
class FailoverSettings:
    """The ``[failover]`` section as the market-data actor needs it; times in seconds.

    ``enabled``: there is a second source. ``intraday``: it has one-minute bars, too. ``stream_every_s``: so often the
    price of a symbol with subscribers is asked for.
    """

    enabled: bool = False
    limits: FailoverLimits = attrs.field(factory=FailoverLimits)
    probe_s: float = 5.0
    probe_timeout_s: float = 12.0
    stream_every_s: float = 300.0
    intraday: bool = False
    source: DataSource = DataSource.ALPHA_VANTAGE


@attrs.frozen(kw_only=True)
class FailoverLook(Message):
    """IB has to be probed again; the actor hands it to its `FailoverDesk`."""


def failed_over(symbol: str) -> MarketDataUnavailableError:
    """Make the error for who wanted a quote of IB to open something by."""
    return MarketDataUnavailableError(
        f"{symbol} is served by the second source now, and nothing is opened on its data"
    )


class FailoverDesk:
    """On behalf of one actor and in its thread. Without a second source it does nothing.

    ``keep`` is given every quote that a probe or the second source brings, and publishes it; ``failed`` is told of a
    probe in vain.
    """

    def __init__(
        self,
        actor: ConversingActor,
        settings: FailoverSettings,
        contract_of: Callable[[ContractQuery], Contract | None],
        keep: Callable[[Quote], None],
        failed: Callable[[Contract, ErrorInfo], None],
        log: EventLog = no_log,
    ) -> None:
        self._actor = actor
        self._settings = settings
        self._contract_of = contract_of
        self._keep = keep
        self._failed = failed
        self._log = log
        self._state = Failover()
        self._probing: set[str] = set()
        self._streamed_at: dict[str, float] = {}

    @property
    def state(self) -> Failover:
        """Where every symbol stands."""
        return self._state

    def started(self) -> None:
        """Begin to look, and tell that nothing is failed over: an earlier incarnation may have said otherwise."""
        if self._settings.enabled:
            self._tell()
            self._actor.schedule(self._settings.probe_s, FailoverLook())

    def is_over(self, symbol: str) -> bool:
        """Tell whether the second source serves a symbol."""
        return self._settings.enabled and self._state.is_over(symbol)

    def audience(self, quote: Quote) -> tuple[str, ...]:
        """Name the actors that judge by a quote."""
        if quote.source is not DataSource.IB:
            return _OF_THE_SECOND_SOURCE
        return _OF_IB_MEANWHILE if self.is_over(quote.symbol) else _EVERYBODY

    # --- what is seen of IB -----------------------------------------------------------------------------------------

    def quoted(self, quote: Quote) -> None:
        """Judge a quote that came from IB; call before it is handed on. Options follow what they are written on."""
        if not self._settings.enabled or quote.source is not DataSource.IB:
            return
        if quote.contract.security_type is not SecurityType.STOCK:
            return
        now = self._actor.clock.monotonic()
        if failover.was_fresh_within(self._state, quote.symbol, now, LOOKED_AT_S):
            return
        age_s = quote_age_s(quote, self._actor.clock.now())
        if failover.is_served(quote, age_s, self._settings.limits):
            self._take(failover.saw_fresh(self._state, quote.symbol, now, self._settings.limits))
        else:
            self.unanswered(quote.contract)

    def unanswered(self, contract: Contract) -> None:
        """Take note that IB was asked about a contract and gave nothing fresh."""
        if not self._settings.enabled or contract.security_type is not SecurityType.STOCK:
            return
        # Hours that nobody knows are taken for open: a look at a second source costs less than missing trouble.
        is_open = is_session_open(contract, self._actor.clock.now()) is not False
        now, limits = self._actor.clock.monotonic(), self._settings.limits
        self._take(
            failover.saw_stale(self._state, contract.symbol, now, limits, session_open=is_open)
        )

    def link_is(self, state: ConnectionState) -> None:
        """Follow the connection."""
        if self._settings.enabled:
            self._take(failover.link_changed(self._state, state))

    def _take(self, step: Step) -> None:
        before, (self._state, switches) = self._state, step
        for switch in switches:
            source = DataSource.IB if switch.route is Route.IB else self._settings.source
            self._log(
                "failover_changed",
                level="INFO" if switch.route is Route.IB else "WARNING",
                symbol=switch.symbol or "*",
                source=source.value,
                reason=switch.reason,
                failed_over=len(self._state.failed_over),
            )
        if switches or before.link_failed != self._state.link_failed:
            self._tell()

    def _tell(self) -> None:
        event = FailoverChanged(symbols=self._state.failed_over, everything=self._state.link_failed)
        for address in (RISK, FACADE):
            self._actor.tell(address, event)

    # --- probing ----------------------------------------------------------------------------------------------------

    def on_look(self, _: FailoverLook) -> None:
        """Ask IB about symbols of which nothing was heard, and tell again what is failed over."""
        settings = self._settings
        self._actor.schedule(settings.probe_s, FailoverLook())
        if self._state.link_failed or self._state.failed_over:
            self._tell()
        now = self._actor.clock.monotonic()
        for symbol in failover.due_probes(self._state, now, settings.probe_s):
            if symbol not in self._probing:
                self._probe(symbol)

    def _probe(self, symbol: str) -> None:
        self._probing.add(symbol)
        query = ContractQuery(symbol=symbol)
        contract = self._contract_of(query)
        if contract is not None:
            self._probe_contract(contract)
            return

        def qualified(reply: Reply) -> None:
            assert isinstance(reply, ContractQualified)  # noqa: S101 - answers in kind
            self._probe_contract(reply.contract)

        def failed(error: ErrorInfo) -> None:
            self._probing.discard(symbol)
            if error.kind == ContractQualificationError.__name__:
                self._state = failover.forgotten(self._state, symbol)
                self._tell()

        self._actor.conversations.ask(
            LINK,
            QualifyContract(**self._header("probe-contract"), query=query),
            qualified,
            failed,
        )

    def _probe_contract(self, contract: Contract) -> None:
        def answered(reply: Reply) -> None:
            assert isinstance(reply, SnapshotTaken)  # noqa: S101 - answers in kind
            self._probing.discard(contract.symbol)
            self._keep(reply.quote)

        def failed(error: ErrorInfo) -> None:
            self._probing.discard(contract.symbol)
            self._failed(contract, error)

        self._actor.conversations.ask(
            LINK, TakeSnapshot(**self._header("probe"), contract=contract), answered, failed
        )

    def _header(self, step: str) -> RequestHeader:
        return self._actor.conversations.of_our_own(step, self._settings.probe_timeout_s)

    # --- streams ----------------------------------------------------------------------------------------------------

    def feed_streams(self, subscribed: Iterable[str]) -> None:
        """Have the second source feed the subscribers of one symbol: of those it serves, the one that waited longest.

        One at a look, since its plan grants few requests, which callers need, too. What it answers goes to ``keep``.
        """
        over = [symbol for symbol in subscribed if self.is_over(symbol)]
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
        self._actor.conversations.ask(
            FEED,
            ReadFeedQuote(**self._header("feed-stream"), symbol=symbol),
            self._take_streamed,
            lambda _: None,  # the feed's own status says what is the matter
        )

    def _take_streamed(self, reply: Reply) -> None:
        self._take_second(reply)

    def _take_second(self, reply: Reply) -> FeedQuote:
        assert isinstance(reply, FeedQuoteRead)  # noqa: S101 - answers in kind
        quote = reply.quote
        contract = self._contract_of(ContractQuery(symbol=quote.symbol))
        self._served(quote.symbol)
        if contract is not None and self.is_over(quote.symbol):
            self._keep(second_source.quote_of(quote, contract))
        return quote

    # --- reads from the second source -------------------------------------------------------------------------------

    def read_market_data(self, request: GetMarketData) -> None:
        """Answer with the second source's price, and with indicators where it has bars."""
        if not self._settings.intraday:
            self._read_quote(request, lambda quote: self._answer(request, quote, ()))
            return
        self._read_quote(
            request,
            lambda quote: self._read_bars(
                request, request.symbol, lambda bars: self._answer(request, quote, bars)
            ),
        )

    def read_bars(self, request: GetBars) -> bool:
        """Answer with the second source's bars; False when it has none, or the contract is not known."""
        contract = self._contract_of(ContractQuery(symbol=request.symbol))
        if not self._settings.intraday or contract is None:
            return False
        self._read_bars(
            request,
            request.symbol,
            lambda bars: self._actor.reply(
                request,
                BarsRead(
                    correlation_id=request.correlation_id,
                    contract=contract,
                    bars=bars[-request.duration_minutes :],
                ),
            ),
        )
        return True

    def _read_quote(self, request: GetMarketData, then: Callable[[FeedQuote], None]) -> None:
        self._ask(
            request,
            ReadFeedQuote(
                **self._actor.conversations.on_behalf(request, "feed"), symbol=request.symbol
            ),
            lambda reply: then(self._take_second(reply)),
        )

    def _served(self, symbol: str) -> None:
        before, now = self._state, self._actor.clock.monotonic()
        self._state = failover.saw_second(before, symbol, now, self._settings.limits)
        if self._state is not before:
            self._tell()

    def _read_bars(
        self, request: Request, symbol: str, then: Callable[[tuple[Bar, ...]], None]
    ) -> None:
        def answered(reply: Reply) -> None:
            assert isinstance(reply, FeedBarsRead)  # noqa: S101 - answers in kind
            then(reply.bars)

        self._ask(
            request,
            ReadFeedBars(
                **self._actor.conversations.on_behalf(request, "feed-bars"), symbol=symbol
            ),
            answered,
        )

    def _ask(self, request: Request, question: Request, then: Callable[[Reply], None]) -> None:
        def failed(error: ErrorInfo) -> None:
            self._actor.refuse(request, restore(error))

        self._actor.conversations.ask(FEED, question, then, failed)

    def _answer(self, request: GetMarketData, quote: FeedQuote, bars: tuple[Bar, ...]) -> None:
        contract = self._contract_of(ContractQuery(symbol=request.symbol))
        data = second_source.market_data(quote, bars, contract, self._actor.clock.now())
        self._actor.reply(
            request, MarketDataRead(correlation_id=request.correlation_id, market_data=data)
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
