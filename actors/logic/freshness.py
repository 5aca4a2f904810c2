"""Fresh means changing: since when a contract's data stands still, and how lively it is (MKT-12, MKT-13).

A quote that says the same as the one before proves nothing, however often it is received. What proves that data lives
is a newer stamp of a trade, or another bid, ask, last price or size than the look before showed. The first look after
a while shows no change: only the trade's own stamp, or one more look, can date it.

All times are monotonic seconds; a trade's stamp is compared with the receipt of the same quote, once, when it is first
seen. A step of the wall clock therefore changes no age.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from statistics import median
from typing import Final

import attrs

from actors.logic.frozen import evolve
from actors.model.market import DataSource, DataType, Pace, Quote
from actors.sections.market_data import MarketData

_SHORTEST_S: Final = 0.05
_STEP: Final = 1.2
_BUCKETS: Final = 64
"""Intervals of a session are counted by length, each bucket a fifth longer than the one before: up to an hour."""

_NONE: Final = (0,) * _BUCKETS

Values = tuple[float | None, ...]


class Standing(StrEnum):
    """How a contract's data stands (MKT-13)."""

    UNKNOWN = "unknown"
    """Too few changes were seen in this session."""
    QUIET = "quiet"
    """It does not change often, and its standing means nothing."""
    LIVELY = "lively"
    SUSPECT = "suspect"
    """It is lively and stands still; nobody has shown why. Bars without trades say: quiet, or halted."""
    FROZEN = "frozen"
    """And its own bars show trades since."""
    DEAD = "dead feed"
    """Nothing that is watched lives, nor any witness, and bars are not answered."""


class Bars(StrEnum):
    """What a contract's own minute bars say of the time since its data stands still."""

    UNASKED = "unasked"
    REFUSED = "refused"
    """Or paced: they prove nothing."""
    IDLE = "idle"
    TRADES = "trades"
    SILENT = "silent"
    """They were asked for in vain."""


def standing(
    suspect_after_s: float | None, age_s: float, bars: Bars, *, is_feed_silent: bool
) -> Standing:
    """Tell how data stands; ``suspect_after_s``: None while unknown, infinite for data that is not lively."""
    if suspect_after_s is None:
        return Standing.UNKNOWN
    if math.isinf(suspect_after_s):
        return Standing.QUIET
    if age_s <= suspect_after_s:
        return Standing.LIVELY
    if bars is Bars.TRADES:
        return Standing.FROZEN
    return Standing.DEAD if bars is Bars.SILENT and is_feed_silent else Standing.SUSPECT


@attrs.frozen(kw_only=True)
class Pulse:
    """What was seen of one contract's data.

    ``values`` are those of the last look that showed a price, which was at ``looked_at``. ``changed_at``: the newest
    moment that is proved to be one of a change. ``counted_from``: the look at which the running interval between two
    changes began, None while it is not known; ``looks`` in it so far. ``recent`` are the last intervals, each with its
    looks, and ``counts`` all of the session (by `_bucket`), which began at ``session``.
    """

    values: Values = ()
    traded_at: datetime | None = None
    looked_at: float | None = None
    changed_at: float | None = None
    counted_from: float | None = None
    looks: int = 0
    recent: tuple[tuple[float, int], ...] = ()
    counts: tuple[int, ...] = _NONE
    session: datetime | None = None


NEVER_SEEN: Final = Pulse()


def is_evidence(quote: Quote) -> bool:
    """Tell whether a quote can prove anything: delayed, frozen or second-hand data cannot, nor one without a price."""
    if quote.data_type is not DataType.LIVE or quote.source is not DataSource.IB:
        return False
    return any(_positive(price) is not None for price in (quote.bid, quote.ask, quote.last))


def looked(
    pulse: Pulse, quote: Quote, now: float, session: datetime | None, limits: MarketData
) -> Pulse:
    """Take note of a quote that was received just now; ``session`` is when the running one began."""
    if not is_evidence(quote):
        return pulse
    before = pulse if pulse.session == session else _in_session(pulse, session)
    values, gap_s = _values(quote), _since(before.looked_at, now)
    is_followed = gap_s <= limits.suspect_after_s
    changes = [] if before.changed_at is None else [before.changed_at]
    has_changed = bool(before.values) and values != before.values
    if has_changed and before.looked_at is not None:
        changes.append(now if is_followed else before.looked_at)
    stamped_at = _stamped_at(before, quote, now)
    if stamped_at is not None:
        changes.append(stamped_at)
        has_changed = has_changed or bool(before.values)
    seen = evolve(
        before,
        values=values,
        traded_at=quote.traded_at or before.traded_at,
        looked_at=now,
        changed_at=max(changes, default=None),
        looks=before.looks + 1,
        counted_from=before.counted_from if is_followed else None,
    )
    return _counted(seen, now, limits) if has_changed else seen


def pace_of(pulse: Pulse, limits: MarketData) -> Pace:
    """Say what follows for a quote that was just looked at."""
    typical_s = typical(pulse, limits)
    pace = Pace(
        changed_at=pulse.changed_at,
        seen_at=pulse.looked_at,
        typical_s=typical_s,
        stale_after_s=limits.stale_after_s,
    )
    if typical_s is None:
        return pace
    if is_lively(pulse, typical_s, limits):
        return evolve(pace, suspect_after_s=suspect_after(typical_s, limits))
    return evolve(pace, rests_s=limits.quiet_intervals * typical_s)


def typical(pulse: Pulse, limits: MarketData) -> float | None:
    """The median interval between changes: the larger of the session's and the last ones'; None: too few were seen."""
    if len(pulse.recent) < limits.typical_of:
        return None
    recent = median(interval_s for interval_s, _ in pulse.recent)
    return max(recent, _median_of(pulse.counts))


def is_lively(pulse: Pulse, typical_s: float, limits: MarketData) -> bool:
    """Tell whether data changes so often that its standing still means something."""
    looks = sum(looks for _, looks in pulse.recent)
    look_s = sum(interval_s for interval_s, _ in pulse.recent) / max(1, looks)
    return typical_s <= max(limits.lively_s, limits.lively_looks * look_s)


def suspect_after(typical_s: float, limits: MarketData) -> float:
    """Say after how many seconds without a change lively data is suspect."""
    least_s = min(limits.suspect_after_s, limits.stale_after_s)
    return max(least_s, limits.suspect_intervals * typical_s)


def age_s(pace: Pace | None, now: float) -> float:
    """Tell the seconds since the last proved change, at least 0; infinite where there is none."""
    if pace is None or pace.changed_at is None:
        return math.inf
    return max(0.0, now - pace.changed_at)


def is_seen_within(quote: Quote, now: float, seconds: float) -> bool:
    """Tell whether a quote with a price was received so shortly ago, whatever the wall clock says."""
    seen_at = None if quote.pace is None else quote.pace.seen_at
    return is_evidence(quote) and seen_at is not None and now - seen_at < seconds


def opens_until_s(pace: Pace, quote_max_age_s: float) -> float:
    """Say how old a quote may be that opens something."""
    return min(pace.stale_after_s, max(quote_max_age_s, pace.rests_s))


def _in_session(pulse: Pulse, session: datetime | None) -> Pulse:
    """Begin to count anew: how lively data was in another session says nothing of this one."""
    return evolve(pulse, session=session, recent=(), counts=_NONE, counted_from=None, looks=0)


def _counted(pulse: Pulse, now: float, limits: MarketData) -> Pulse:
    """Count the interval that ends with the change that was just seen."""
    if pulse.counted_from is None:
        return evolve(pulse, counted_from=now, looks=0)
    interval_s = now - pulse.counted_from
    bucket = _bucket(interval_s)
    counts = (*pulse.counts[:bucket], pulse.counts[bucket] + 1, *pulse.counts[bucket + 1 :])
    recent = (*pulse.recent, (interval_s, pulse.looks))[-limits.typical_of :]
    return evolve(pulse, recent=recent, counts=counts, counted_from=now, looks=0)


def _stamped_at(pulse: Pulse, quote: Quote, now: float) -> float | None:
    """The moment of a trade that was not seen before; a stamp cannot be newer than its receipt."""
    if quote.traded_at is None or _positive(quote.last) is None:
        return None
    if pulse.traded_at is not None and quote.traded_at <= pulse.traded_at:
        return None
    at = now - max(0.0, (quote.received_at - quote.traded_at).total_seconds())
    is_newer = pulse.traded_at is not None and pulse.looked_at is not None
    return max(at, pulse.looked_at) if is_newer and pulse.looked_at is not None else at


def _values(quote: Quote) -> Values:
    """What has to change; an option's data lives with that of what it is written on."""
    return (
        quote.bid,
        quote.ask,
        quote.last,
        quote.bid_size,
        quote.ask_size,
        quote.last_size,
        quote.underlying_price,
    )


def _since(before: float | None, now: float) -> float:
    return math.inf if before is None else now - before


def _bucket(interval_s: float) -> int:
    if interval_s <= _SHORTEST_S:
        return 0
    return min(_BUCKETS - 1, math.ceil(math.log(interval_s / _SHORTEST_S, _STEP)))


def _median_of(counts: Sequence[int]) -> float:
    """The median of what was counted, as the lower end of its bucket."""
    half, seen = sum(counts) / 2, 0
    for bucket, count in enumerate(counts):
        seen += count
        if seen >= half:
            return _SHORTEST_S * _STEP ** max(0, bucket - 1)
    return 0.0


def _positive(value: float | None) -> float | None:
    """IB sends −1 and 0 for "none"."""
    return value if value is not None and math.isfinite(value) and value > 0 else None
