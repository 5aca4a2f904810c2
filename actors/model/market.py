"""Market data: quotes, bars, indicators, and what is said of their quality.

A price that the broker does not have is ``None``, never 0 or -1 (MKT-4).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date, datetime
from enum import IntEnum, StrEnum
from typing import Final

import attrs

from actors.model.contracts import Contract, Right


class DataType(IntEnum):
    """IB's market data types; only live data is ever fresh (MKT-12)."""

    LIVE = 1
    FROZEN = 2
    DELAYED = 3
    DELAYED_FROZEN = 4


class DataSource(StrEnum):
    """Where a datum comes from."""

    IB = "ib"
    ALPHA_VANTAGE = "alpha_vantage"


class FeedKind(StrEnum):
    """How subscribers are fed (D17): by repeated snapshots, or by IB's tick-by-tick streams, of which it allows few."""

    SNAPSHOTS = "snapshots"
    TICKS = "ticks"


class DataCondition(StrEnum):
    """What stands between us and a symbol's live data, told apart (MKT-11); LIVE: nothing does."""

    LIVE = "live"
    PARTIAL = "partial"
    """A part of it is not subscribed to (10090)."""
    DELAYED = "delayed"
    """Delayed data is shown instead (10167)."""
    FROZEN = "frozen"
    """The last values of before the close."""
    HALTED = "halted"
    """Trading in it is halted."""
    NO_PRICE = "no_price"
    """IB answers and has neither bid, ask nor last."""
    NOT_SUBSCRIBED = "not_subscribed"
    """The account has no right to it (354, 10089, 10168)."""
    COMPETING_SESSION = "competing_session"
    """Another session of the same user holds it (10197)."""
    UNAVAILABLE = "unavailable"
    """IB does not answer, or says something else."""


_CONDITIONS: Final = {
    DataType.FROZEN: DataCondition.FROZEN,
    DataType.DELAYED: DataCondition.DELAYED,
    DataType.DELAYED_FROZEN: DataCondition.DELAYED,
}


@attrs.frozen(kw_only=True)
class Pace:
    """Since when a contract's data is what it is, and what that means (MKT-12); monotonic seconds of this process.

    ``changed_at``: the newest proved change, None where nothing proves one. ``typical_s``: the usual time between two
    changes, None while too few were seen. ``suspect_after_s``: lively data without a change for so long is suspect;
    infinite for data that is not lively, where a change may take ``rests_s`` and more. ``stale_after_s``: whatever is
    older is stale. ``seen_at``: when the newest quote with a price was received.
    """

    changed_at: float | None = None
    seen_at: float | None = None
    typical_s: float | None = None
    suspect_after_s: float = math.inf
    rests_s: float = 0.0
    stale_after_s: float = math.inf


@attrs.frozen(kw_only=True)
class Quote:
    """One snapshot of a contract's market. Prices in the contract's currency, sizes in units.

    ``model_price`` is what the gateway's model makes of an option; None where it was not computed. ``pace``: None until
    somebody compared it with the quotes before it; such a quote is never fresh.
    """

    contract: Contract
    received_at: datetime
    bid: float | None = None
    ask: float | None = None
    last: float | None = None
    bid_size: float | None = None
    ask_size: float | None = None
    last_size: float | None = None
    open: float | None = None
    high: float | None = None
    low: float | None = None
    close: float | None = None
    volume: float | None = None
    traded_at: datetime | None = None
    halted: bool = False
    is_partial: bool = False
    data_type: DataType = DataType.LIVE
    source: DataSource = DataSource.IB
    implied_volatility: float | None = None
    delta: float | None = None
    gamma: float | None = None
    vega: float | None = None
    theta: float | None = None
    underlying_price: float | None = None
    model_price: float | None = None
    pace: Pace | None = None

    @property
    def symbol(self) -> str:
        """The contract's symbol."""
        return self.contract.symbol

    @property
    def midpoint(self) -> float | None:
        """The middle of bid and ask, or None when either is missing."""
        if self.bid is None or self.ask is None:
            return None
        return (self.bid + self.ask) / 2

    @property
    def condition(self) -> DataCondition:
        """Say what is the matter with it; a halt says more than the kind of data does."""
        if self.halted:
            return DataCondition.HALTED
        if all(price is None for price in (self.bid, self.ask, self.last)):
            return DataCondition.NO_PRICE
        if self.data_type is not DataType.LIVE:
            return _CONDITIONS[self.data_type]
        return DataCondition.PARTIAL if self.is_partial else DataCondition.LIVE

    @property
    def price(self) -> float | None:
        """The best single price known: last, else the midpoint, else the previous close is *not* used."""
        return self.last if self.last is not None else self.midpoint


@attrs.frozen(kw_only=True)
class DataTrouble:
    """A contract whose data is not live, in which way, and what the gateway said of it."""

    name: str
    condition: DataCondition
    why: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.condition}" + (f" ({self.why})" if self.why else "")


@attrs.frozen(kw_only=True)
class FeedQuote:
    """What a second source says of a symbol: a delayed price, never fresh (MKT-12), without bid and ask.

    ``traded_on`` is the exchange's day of the price, all that such sources tell of its time.
    """

    symbol: str
    source: DataSource
    received_at: datetime
    traded_on: date
    price: float
    open: float | None = None
    high: float | None = None
    low: float | None = None
    previous_close: float | None = None
    volume: float | None = None


@attrs.frozen(kw_only=True)
class Bar:
    """One bar of trades; ``start`` is its first instant, in UTC.

    ``is_forming``: its time was not over when it was read, so that it will look different later.
    """

    start: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    is_forming: bool = False


@attrs.frozen(kw_only=True)
class BarGap:
    """A stretch of a session without bars, from ``begins_at`` until before ``ends_at`` (UTC)."""

    symbol: str
    begins_at: datetime
    ends_at: datetime

    @property
    def minutes(self) -> int:
        """How many one-minute bars are missing."""
        return round((self.ends_at - self.begins_at).total_seconds() / 60)


class BarList(list[Bar]):
    """Bars in ascending order, and the ``gaps`` between them."""

    def __init__(self, bars: Iterable[Bar] = (), gaps: tuple[BarGap, ...] = ()) -> None:
        super().__init__(bars)
        self.gaps = gaps


@attrs.frozen(kw_only=True)
class IndicatorReading:
    """The indicators of one symbol of many, or why there are none.

    ``as_of`` is the start of the newest bar, which may be forming.
    """

    symbol: str
    indicators: Indicators | None = None
    as_of: datetime | None = None
    bar_gaps: tuple[BarGap, ...] = ()
    why_not: str | None = None


@attrs.frozen(kw_only=True)
class Indicators:
    """Indicators of the last bars (MKT-1, MKT-2); one that cannot be had is None."""

    ema_fast: float | None
    ema_slow: float | None
    rsi: float | None
    vwap: float | None
    bollinger_upper: float | None
    bollinger_middle: float | None
    bollinger_lower: float | None


@attrs.frozen(kw_only=True)
class DataQuality:
    """What may be thought of a quote: its age, what it lacks, and a score from 0 (worthless) to 1."""

    is_stale: bool
    staleness_s: float
    missing_fields: tuple[str, ...]
    score: float


@attrs.frozen(kw_only=True)
class MarketData:
    """A quote with its indicators and its quality: what a strategy decides on (MKT-1)."""

    symbol: str
    timestamp: datetime
    last_price: float | None
    bid: float | None
    ask: float | None
    volume: float | None
    ema_fast: float | None
    ema_slow: float | None
    rsi: float | None
    vwap: float | None
    bollinger_upper: float | None
    bollinger_lower: float | None
    bollinger_middle: float | None
    is_stale: bool
    staleness_seconds: float
    missing_fields: tuple[str, ...]
    data_quality_score: float
    source: DataSource = DataSource.IB
    condition: DataCondition = DataCondition.LIVE
    contract: Contract | None = None
    bar_gaps: tuple[BarGap, ...] = ()

    @property
    def quality(self) -> DataQuality:
        """The four quality fields as one value."""
        return DataQuality(
            is_stale=self.is_stale,
            staleness_s=self.staleness_seconds,
            missing_fields=self.missing_fields,
            score=self.data_quality_score,
        )


@attrs.frozen(kw_only=True)
class OptionChain:
    """The expiries and strikes that can be traded on an underlying, both ascending."""

    symbol: str
    underlying_con_id: int
    exchange: str
    trading_class: str
    multiplier: float
    expiries: tuple[date, ...]
    strikes: tuple[float, ...]


@attrs.frozen(kw_only=True)
class OptionSpec:
    """One option of a chain, named by the caller."""

    symbol: str
    expiry: date
    strike: float
    right: Right
