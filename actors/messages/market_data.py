"""Messages about contracts, quotes, bars and option chains."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

import attrs

from actors.kernel.messages import Message, Overflow, Reply, Request
from actors.messages.said import all_said, said
from actors.model.contracts import Contract, ContractQuery
from actors.model.market import (
    Bar,
    BarGap,
    DataTrouble,
    FeedKind,
    IndicatorReading,
    MarketData,
    OptionChain,
    Quote,
)

_SHOWN: Final = 10
"""So many troubles are named; of the others their number is told."""

# --- asked of the market-data actor -------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class GetMarketData(Request):
    """A quote with indicators; answered by `MarketDataRead`."""

    symbol: str = said()
    snapshot: bool = True


@attrs.frozen(kw_only=True)
class MarketDataRead(Reply):
    """The answer to `GetMarketData`."""

    market_data: MarketData


@attrs.frozen(kw_only=True)
class GetQuote(Request):
    """A quote of a qualified contract that is at most ``max_age_s`` old; answered by `QuoteRead`.

    ``for_opening``: an order shall be judged by it, so that it is refused at once while the second source serves.
    """

    contract: Contract
    max_age_s: float = 0.0
    for_opening: bool = False
    snapshot: bool = True


@attrs.frozen(kw_only=True)
class QuoteRead(Reply):
    """The answer to `GetQuote` and `GetOptionQuote`."""

    quote: Quote


@attrs.frozen(kw_only=True)
class GetBars(Request):
    """One-minute history; at most 60 minutes and 60 bars (MKT-6). Answered by `BarsRead`.

    ``contract``: whose bars, always IB's own, where a symbol does not say it.
    """

    symbol: str = said()
    duration_minutes: int = 60
    bar_size: str = "1 min"
    contract: Contract | None = None


@attrs.frozen(kw_only=True)
class GetIndicators(Request):
    """The indicators of many symbols, without quotes; answered by `IndicatorsRead`."""

    symbols: tuple[str, ...] = all_said()


@attrs.frozen(kw_only=True)
class IndicatorsRead(Reply):
    """One reading per symbol, in their order; what could not be had by the deadline says why."""

    readings: tuple[IndicatorReading, ...]


@attrs.frozen(kw_only=True)
class GetOptionChain(Request):
    """Answered by `OptionChainRead`."""

    symbol: str = said()


@attrs.frozen(kw_only=True)
class GetOptionQuote(Request):
    """Qualify an option and read a snapshot of it; answered by `QuoteRead`."""

    query: ContractQuery
    snapshot: bool = True


@attrs.frozen(kw_only=True)
class SubscribeQuotes(Request):
    """Feed ``subscriber`` with `QuotesUpdated` until `UnsubscribeQuotes`; answered by `QuotesSubscribed`.

    ``resumed``: it goes on with a subscription that was interrupted, so the first quote is told as `QuotesResumed`.
    """

    subscription_id: str
    subscriber: str
    symbols: tuple[str, ...] = all_said()
    feed: FeedKind = FeedKind.SNAPSHOTS
    resumed: bool = False


@attrs.frozen(kw_only=True)
class QuotesSubscribed(Reply):
    """The feed of these symbols has begun."""

    symbols: tuple[str, ...]


@attrs.frozen(kw_only=True)
class UnsubscribeQuotes(Message):
    """End a subscription; an unknown one is ignored."""

    overflow = Overflow.SIGNAL  # never refused: nobody would end it then

    subscription_id: str


@attrs.frozen(kw_only=True)
class GetDataStatus(Request):
    """Answered by `DataStatus`."""


@attrs.frozen(kw_only=True)
class DataStatus(Reply):
    """The contracts whose data is not live, as it was when they were asked for last (MKT-11)."""

    troubles: tuple[DataTrouble, ...] = ()
    degraded_by: str | None = None
    """Why nobody can tell."""

    @property
    def problem(self) -> str | None:
        """Say it in words; None while all data is live."""
        if self.degraded_by is not None:
            return f"market data: {self.degraded_by}"
        if not self.troubles:
            return None
        shown = "; ".join(map(str, self.troubles[:_SHOWN]))
        more = len(self.troubles) - _SHOWN
        return f"market data: {shown}" + (f"; and {more} more" if more > 0 else "")


# --- from the executor --------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class ContractDescribed(Message):
    """A contract was qualified; whoever has to wait for its open learns its hours."""

    overflow = Overflow.CONFLATE

    contract: Contract

    def conflation_key(self) -> Hashable:
        """Descriptions of one contract replace each other."""
        return self.contract.con_id


# --- from the market-data actor -----------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class QuoteUpdated(Message):
    """A newer quote; only the newest per contract waits in a mailbox (MKT-7)."""

    overflow = Overflow.CONFLATE

    quote: Quote

    def conflation_key(self) -> Hashable:
        """Quotes of one contract replace each other."""
        return self.quote.contract.con_id


@attrs.frozen(kw_only=True)
class TradingHalted(Message):
    """Trading in a contract is halted, or (``halted`` False) goes on; told once per change, to those who close."""

    contract: Contract
    halted: bool


@attrs.frozen(kw_only=True)
class QuotesUpdated(Message):
    """Newer quotes of subscribed symbols, at most one of each; for subscribers, who conflate by themselves (MKT-7)."""

    quotes: tuple[Quote, ...]


@attrs.frozen(kw_only=True)
class QuotesInterrupted(Message):
    """The feed of these symbols stands still; `QuotesResumed` follows when a fresh quote came (MKT-7)."""

    symbols: tuple[str, ...]
    reason: str


@attrs.frozen(kw_only=True)
class QuotesResumed(Message):
    """A fresh quote came for these symbols after an interruption."""

    symbols: tuple[str, ...]


@attrs.frozen(kw_only=True)
class FeedsLost(Message):
    """The market-data actor was restarted and has no subscriptions: who wants quotes subscribes again."""


# --- asked of the link --------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class QualifyContract(Request):
    """Find exactly one contract; answered by `ContractQualified` or `ContractQualificationError` (ORD-2)."""

    query: ContractQuery


@attrs.frozen(kw_only=True)
class ContractQualified(Reply):
    """The one contract that fits."""

    query: ContractQuery
    contract: Contract


@attrs.frozen(kw_only=True)
class TakeSnapshot(Request):
    """Read one snapshot; answered by `SnapshotTaken`. ``snapshot=False`` is refused (MKT-5).

    ``for_feed``: one of a stream of snapshots, which lets all that somebody waits for go first.
    """

    contract: Contract
    snapshot: bool = True
    for_feed: bool = False


@attrs.frozen(kw_only=True)
class SnapshotTaken(Reply):
    """The quote as it stood when the broker ended the snapshot."""

    quote: Quote


@attrs.frozen(kw_only=True)
class ReadBars(Request):
    """Read trade bars of regular hours that end now; answered by `BarsRead`."""

    contract: Contract
    duration_minutes: int
    bar_size: str = "1 min"


@attrs.frozen(kw_only=True)
class BarsRead(Reply):
    """Bars in ascending order of time; the market-data actor adds the gaps."""

    contract: Contract
    bars: tuple[Bar, ...]
    gaps: tuple[BarGap, ...] = ()


@attrs.frozen(kw_only=True)
class ReadOptionChain(Request):
    """Read the option parameters of an underlying; answered by `OptionChainRead`."""

    underlying: Contract


@attrs.frozen(kw_only=True)
class OptionChainRead(Reply):
    """The chain of the SMART exchange with the standard multiplier."""

    chain: OptionChain


@attrs.frozen(kw_only=True)
class StartTicks(Request):
    """Stream a contract tick by tick until `StopTicks` or `TicksEnded`; answered by `TicksAsked` (MKT-7).

    One that streams already is cancelled and asked for anew.
    """

    contract: Contract


@attrs.frozen(kw_only=True)
class TicksAsked(Reply):
    """The subscriptions are on the wire. IB does not confirm them: the first tick does, in `QuotesStreamed`."""


@attrs.frozen(kw_only=True)
class StopTicks(Message):
    """Cancel the stream of a contract; one that does not stream is ignored."""

    con_id: int


@attrs.frozen(kw_only=True)
class StopAllTicks(Message):
    """Cancel every stream: whoever asked for them is gone."""


@attrs.frozen(kw_only=True)
class QuotesStreamed(Message):
    """What ticks made newer since the last such message, one quote a contract.

    Another one follows only after `StreamTaken`, so that none ever queues behind a busy reader.
    """

    overflow = Overflow.SIGNAL  # never refused: the link waits for the answer

    quotes: tuple[Quote, ...]


@attrs.frozen(kw_only=True)
class StreamTaken(Message):
    """The last `QuotesStreamed` was taken: the link may send the next."""


@attrs.frozen(kw_only=True)
class TicksEnded(Message):
    """The gateway refused or ended the stream of a contract."""

    con_id: int
    reason: str
