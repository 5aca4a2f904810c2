"""The sections ``[market_data]`` and ``[failover]``: quotes, bars, and a second source of them."""

from __future__ import annotations

from typing import ClassVar, Final

import attrs

from actors.sections.fields import DAY_S, Below, Section, Text, choice, flag, key, number, whole

MARGIN_S: Final = 1.0
"""Who asks the link for a snapshot waits so much longer than the link does: its answer says more than a timeout."""

FEED_URL: Final = Text(
    r"https://[!-~]{1,1024}|http://(127\.0\.0\.1|localhost)(:[0-9]{1,5})?(/[!-~]{0,1024})?",
    "an https URL; http only on this machine, since the key goes there",
)


@attrs.frozen(kw_only=True)
class MarketData(Section):
    """Quotes and bars."""

    snapshot_timeout_s: float = number(11.0, 0.1, 60.0, "IB may take that long")
    snapshot_interval_s: float = number(
        1.0, 0.05, 3600.0, "between two snapshots of a subscribed symbol"
    )
    stale_after_s: float = number(
        300.0, 1.0, 3600.0, "a quote whose data is older is stale, and says so"
    )
    suspect_after_s: float = number(
        60.0,
        1.0,
        3600.0,
        "lively data without a change for so long, or stale_after_s if that is less, is suspect: nothing is opened",
    )
    suspect_intervals: float = number(
        20.0, 2.0, 1000.0, "and for so many times the usual time between two changes"
    )
    typical_of: int = whole(20, 3, 200, "what is usual is the median of so many changes")
    lively_s: float = number(
        5.0, 0.1, 600.0, "data is lively that usually changes within so long, or lively_looks looks"
    )
    lively_looks: float = number(3.0, 1.0, 100.0, "see lively_s")
    quiet_intervals: float = number(
        3.0, 1.0, 100.0, "data that is not lively opens until it rested for so many usual times"
    )
    second_look_s: float = number(
        1.0,
        0.05,
        60.0,
        "before an opening, data that nothing dates is looked at again after so long",
    )
    feed: str = choice(
        "snapshots",
        "ticks",
        meaning='of subscribe_quotes: "snapshots", repeated, or "ticks", IB\'s tick-by-tick streams',
    )
    max_symbols: int = whole(500, 1, 1000, "subscribed at once")
    max_subscriptions: int = whole(100, 1, 10_000, "open at once")
    max_open_snapshots: int = whole(
        90, 1, 1000, "of subscribed symbols: IB has 100 lines for everything, and reads need some"
    )
    max_tick_streams: int = whole(
        5, 2, 10_000, "IB's limit of tick-by-tick subscriptions; a symbol takes two"
    )
    ticks_interval_s: float = number(
        0.1, 0.01, 60.0, "subscribers get the newest of each symbol so often"
    )
    ticks_refresh_s: float = number(
        30.0,
        0.1,
        3600.0,
        "between two snapshots of a symbol that ticks feed: for what ticks do not say",
    )
    max_remembered: int = whole(
        1000,
        1,
        100_000,
        "contracts, quotes and series of bars each; the oldest are forgotten first",
    )

    @property
    def read_timeout_s(self) -> float:
        """Say how long who asks the link for a snapshot waits for its answer."""
        return self.snapshot_timeout_s + MARGIN_S


@attrs.frozen(kw_only=True)
class Failover(Section):
    """A second source of market data, Alpha Vantage: with ALPHA_VANTAGE_API_KEY only."""

    RELATIONS: ClassVar = (Below("probe_s", "back_after_s"),)

    enabled: bool = flag(True, "false: IB alone serves market data")
    url: str = key("https://www.alphavantage.co/query", FEED_URL, "where it is asked")
    after_s: float = number(
        60.0,
        0.05,
        3600.0,
        "IB's data of a symbol is stale for so long in an open session, or the link has failed",
    )
    back_after_s: float = number(30.0, 0.05, 3600.0, "IB was fresh for so long: back")
    probe_s: float = number(5.0, 0.01, 600.0, "so often IB is asked meanwhile")
    intraday: bool = flag(False, "true: one-minute bars and indicators, too; for a premium key")
    max_age_s: float = number(
        300.0,
        0.0,
        DAY_S,
        "a price that was asked for is good for so long; its quotes are delayed anyway",
    )
    requests_per_minute: int = whole(5, 1, 10_000, "a free key's limits")
    requests_per_day: int = whole(25, 1, 10_000_000, "in any 24 hours")
    timeout_s: float = number(10.0, 0.05, 60.0, "for one answer")
    max_body_bytes: int = whole(
        1_000_000, 1000, 100_000_000, "a longer answer is cut off and counts as none"
    )

    @property
    def stream_every_s(self) -> float:
        """Say how often the price of a symbol with subscribers is asked for."""
        return max(self.max_age_s, self.probe_s)
