"""What all parts of the market-data actor stand on: what it remembers, and the steps that its reads share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import attrs

from actors.errors import (
    CompetingSessionError,
    ErrorInfo,
    NotSubscribedError,
    SnapshotModeViolationError,
    restore,
)
from actors.kernel.actor import ActorContext
from actors.kernel.conversations import ConversingActor
from actors.kernel.messages import Reply, Request
from actors.kernel.stories import child_id
from actors.market_data.second_source_reads import FailoverDesk, FailoverSettings
from actors.messages.addresses import LINK, PUBLISHER
from actors.messages.market_data import (
    ContractQualified,
    QualifyContract,
    QuoteUpdated,
    SnapshotTaken,
    TakeSnapshot,
)
from actors.messages.publishing import PublishQuote
from actors.model.contracts import Contract, ContractQuery
from actors.model.market import DataCondition, DataSource, DataTrouble, Quote
from actors.ports import EventLog, no_log

K = TypeVar("K")
V = TypeVar("V")
R = TypeVar("R", bound=Reply)

_CONDITION_OF_ERROR: Final = {
    NotSubscribedError.__name__: DataCondition.NOT_SUBSCRIBED,
    CompetingSessionError.__name__: DataCondition.COMPETING_SESSION,
}


def condition_of(error: ErrorInfo) -> DataCondition:
    """Say what an error of a read means for a symbol's data; whatever else went wrong, there is none (MKT-11)."""
    return _CONDITION_OF_ERROR.get(error.kind, DataCondition.UNAVAILABLE)


@attrs.frozen(kw_only=True)
class MarketDataSettings:
    """The ``[market_data]`` section as this actor needs it; times in seconds."""

    stale_after_s: float = 300.0
    snapshot_interval_s: float = 1.0
    snapshot_timeout_s: float = 12.0
    max_subscriptions: int = 100
    max_open_snapshots: int = 90
    """So many of the snapshots that feed subscribers may be open: IB has 100 lines, and reads need some, too."""
    max_tick_streams: int = 5
    """IB's limit on tick-by-tick subscriptions."""
    ticks_refresh_s: float = 30.0
    """While ticks feed a symbol a snapshot of it is taken so often."""
    max_symbols: int = 500
    max_remembered: int = 1000
    """So many contracts, quotes and series of bars each; the oldest are forgotten first."""
    publishes: bool = False
    """There is a publisher, which is given every quote (MKT-9)."""
    failover: FailoverSettings = attrs.field(factory=FailoverSettings)


class MarketDataDesk(ConversingActor):
    """Contracts and newest quotes, each read by asking the link."""

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
        self.judged_at: dict[int, float] = {}
        self.troubles: dict[int, DataTrouble] = {}
        self.failover = FailoverDesk(
            self,
            self.settings.failover,
            self.contracts.get,
            self.publish,
            self.unanswered,
            log,
        )

    def remember(self, memory: dict[K, V], key: K, value: V) -> None:
        """Keep a value within the bound."""
        if key not in memory and len(memory) >= self.settings.max_remembered:
            del memory[next(iter(memory))]
        memory[key] = value

    def forget_session(self) -> None:
        """Forget what a session taught."""
        self.contracts.clear()
        self.quotes.clear()
        self.troubles.clear()

    def refuses_stream(self, request: Request, snapshot: bool) -> bool:
        """Refuse what would stream (MKT-5); True when it did."""
        if snapshot:
            return False
        self.refuse(
            request,
            SnapshotModeViolationError("quotes are read with snapshot=True only (was False)"),
        )
        return True

    def qualified(
        self, request: Request, query: ContractQuery, then: Callable[[Contract], None]
    ) -> None:
        """Go on with the one contract that fits; remembered."""
        held = self.contracts.get(query)
        if held is not None:
            then(held)
            return

        def keep(reply: ContractQualified) -> None:
            self.remember(self.contracts, query, reply.contract)
            then(reply.contract)

        self.ask(
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

    def snapshot(self, request: Request, contract: Contract, then: Callable[[Quote], None]) -> None:
        """Go on with a fresh snapshot."""

        def keep(reply: SnapshotTaken) -> None:
            self.publish(reply.quote)
            then(reply.quote)

        self.ask(
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
            lambda error: self.unanswered(contract, error),
        )

    def ask(
        self,
        request: Request,
        step: str,
        make: Callable[[str], Request],
        expected: type[R],
        then: Callable[[R], None],
        otherwise: Callable[[ErrorInfo], None] = lambda _: None,
    ) -> None:
        """Ask the link for one step of ``request``; a failure of the step is ``otherwise`` noted, and the request's."""

        def on_reply(reply: Reply) -> None:
            assert isinstance(reply, expected)  # noqa: S101 - the link answers in kind
            then(reply)

        def on_failure(error: ErrorInfo) -> None:
            otherwise(error)
            self.refuse(request, restore(error))

        self.conversations.ask(
            LINK, make(child_id(request.correlation_id, step)), on_reply, on_failure
        )

    def unanswered(self, contract: Contract, error: ErrorInfo) -> None:
        """Take note that IB gave no quote of a contract, and why."""
        self._note(contract, condition_of(error), error.text)
        self.failover.unanswered(contract)

    def _note(self, contract: Contract, condition: DataCondition, why: str = "") -> None:
        """Keep what is the matter with a contract's data, and log when that changes (MKT-11)."""
        held = self.troubles.get(contract.con_id)
        before = DataCondition.LIVE if held is None else held.condition
        if condition is DataCondition.LIVE:
            self.troubles.pop(contract.con_id, None)
        else:
            trouble = DataTrouble(name=str(contract), condition=condition, why=why)
            self.remember(self.troubles, contract.con_id, trouble)
        if condition is not before:
            self.log(
                "data_condition_changed",
                level="INFO" if condition is DataCondition.LIVE else "WARNING",
                symbol=str(contract),
                condition=condition.value,
                before=before.value,
                why=why,
            )

    def publish_streamed(self, quote: Quote, now: float) -> None:
        """Remember the newest quote of a stream; those who judge are told no more often than snapshots would come."""
        con_id = quote.contract.con_id
        if now - self.judged_at.get(con_id, float("-inf")) >= self.settings.snapshot_interval_s:
            self.remember(self.judged_at, con_id, now)
            self.publish(quote)
            return
        self.remember(self.quotes, con_id, quote)
        if self.settings.publishes:
            self.tell(PUBLISHER, PublishQuote(quote=quote))

    def publish(self, quote: Quote) -> None:
        """Remember the quote and tell those who judge by it."""
        self.failover.quoted(quote)
        if quote.source is DataSource.IB:
            self._note(quote.contract, quote.condition)
        self.remember(self.quotes, quote.contract.con_id, quote)
        update = QuoteUpdated(quote=quote)
        for address in self.failover.audience(quote):
            self.tell(address, update)
        if self.settings.publishes:
            self.tell(PUBLISHER, PublishQuote(quote=quote))
        self.log("quote_received", level="DEBUG", symbol=quote.symbol, source=quote.source.value)
