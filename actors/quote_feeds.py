"""Streaming quotes: subscribed symbols are fed by repeated snapshots (D17, MKT-7)."""

from __future__ import annotations

import attrs

from actors.bar_reads import BarReads
from actors.base import ActorContext
from actors.conversations import child_id
from actors.errors import ErrorInfo, GatewayError
from actors.market_data_desk import MarketDataSettings
from actors.messages.addresses import LINK
from actors.messages.lifecycle import Message, Reply
from actors.messages.market_data import (
    ContractQualified,
    GetMarketData,
    QualifyContract,
    QuotesInterrupted,
    QuotesResumed,
    QuotesSubscribed,
    QuoteUpdated,
    SnapshotTaken,
    SubscribeQuotes,
    TakeSnapshot,
    UnsubscribeQuotes,
)
from actors.model.contracts import Contract, ContractQuery
from actors.ports import EventLog, no_log


@attrs.frozen(kw_only=True)
class PollDue(Message):
    """The next snapshot of a subscribed symbol is due."""

    symbol: str


@attrs.define
class _Feed:
    """One symbol that somebody subscribed to."""

    subscriptions: set[str] = attrs.field(factory=set)
    interrupted: bool = False


class QuoteFeeds(BarReads):
    """One feed per symbol, however many subscribed to it."""

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: MarketDataSettings | None = None,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context, settings=settings, log=log)
        self.subscriptions: dict[str, SubscribeQuotes] = {}
        self.feeds: dict[str, _Feed] = {}

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
                self.tell(self.name, PollDue(symbol=symbol))
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

    def on_poll_due(self, poll: PollDue) -> None:
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
            lambda error: self._snapshot_failed(held, error),
        )

    def _poll_qualified(self, symbol: str, reply: Reply) -> None:
        assert isinstance(reply, ContractQualified)  # noqa: S101 - answers in kind
        self.remember(self.contracts, reply.query, reply.contract)
        self.tell(self.name, PollDue(symbol=symbol))

    def _feed_quote(self, symbol: str, reply: Reply) -> None:
        assert isinstance(reply, SnapshotTaken)  # noqa: S101 - answers in kind
        self.publish(reply.quote)
        feed = self.feeds.get(symbol)
        if feed is None:
            return
        if feed.interrupted:
            feed.interrupted = False
            self._tell_subscribers(feed, QuotesResumed(symbols=(symbol,)))
        self._tell_subscribers(feed, QuoteUpdated(quote=reply.quote))
        self.schedule(self.settings.snapshot_interval_s, PollDue(symbol=symbol))

    def _snapshot_failed(self, contract: Contract, error: ErrorInfo) -> None:
        self.failover.unanswered(contract)
        self._feed_failed(contract.symbol, error)

    def _feed_failed(self, symbol: str, error: ErrorInfo) -> None:
        feed = self.feeds.get(symbol)
        if feed is None:
            return
        if not feed.interrupted:
            feed.interrupted = True
            self._tell_subscribers(feed, QuotesInterrupted(symbols=(symbol,), reason=error.text))
        self.schedule(self.settings.snapshot_interval_s, PollDue(symbol=symbol))

    def _tell_subscribers(self, feed: _Feed, message: Message) -> None:
        addresses = {self.subscriptions[held].subscriber for held in sorted(feed.subscriptions)}
        for address in sorted(addresses):
            self.tell(address, message)
