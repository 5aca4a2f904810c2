"""Since when the data of what is held or traded is stale, and when that is too long (STC-1, MKT-12).

::

    held or traded ──▶ watched ──▶ stale, counted while its session is open and somebody looks
                          ▲                  │
                          └── a fresh stamp ─┤ > data_quarantine_after_s, and asked in vain since
                                             ▼
                                        quarantined, told again until Strategy C is latched

What counts is the age of the newest proved change (`evidence_age_s`), and of it only what was spent in an open session.
Only what is *frozen* or a *dead feed* sells anything (`standing_of`, RULES 5): lively data that stands still while its
own bars show trades, or nothing that is watched nor any witness lives and bars are not answered. A far option without
quotes, an entitlement without a definition, quiet and suspect data are told, and sell nothing.

Time in which nobody looked (the link was down, the process stood still) is not counted: the marks are moved on by it,
and IB has to be asked in vain again before anything follows. One answer is no answer: `VAIN_READS` are needed.

All times are monotonic seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

import attrs

from actors.logic.freshness import Bars, Standing, standing
from actors.logic.quality import quote_age_s
from actors.model.market import Bar, DataSource, DataType, Quote
from actors.sections.strategy_c import StrategyC

VAIN_READS: Final = 2
"""So many reads without anything fresh are needed since the last fresh stamp, or since looking was resumed."""


LATE_S: Final = 0.1
"""So long after the moment that counts it is looked at; nobody looks more often than that."""


WARN_AFTER_S: Final = 60.0
"""When people are told that Strategy C is coming; of a shorter limit, half of it."""

MAX_AGE_S: Final = 1.0
"""A quote that somebody else asked for will do when it is no older."""

BARS_PER_LOOK: Final = 2
"""So many contracts' bars one look asks for: history is paced."""

READS_PER_LOOK: Final = 20
"""So many reads one look asks for, so that many positions do not fill the wire."""

TELL_AGAIN_S: Final = 5.0

IDLE_LOOK_S: Final = 5.0
"""When nothing is watched it is looked no more often than that,"""

CLOSED_LOOK_S: Final = 30.0
"""and when nothing of what is watched trades, than that."""

LEAST_GAP_S: Final = 15.0
GAP_LOOKS: Final = 3.0


def max_gap_s(settings: StrategyC) -> float:
    """Say how far looks at an open market may be apart: further, and they were interrupted."""
    return max(LEAST_GAP_S, GAP_LOOKS * settings.data_watch_every_s)


Mark = tuple[datetime, float]
"""The start of the newest bar with trades, and its volume: both by the broker's clock, so that ours can step."""


@attrs.frozen(kw_only=True)
class Watched:
    """One contract: the moment of its newest stamp, as far as it counts, and how IB answered since.

    ``stamped`` is False until there was a stamp; ``opened_at`` is when its session began, None while it is closed.
    ``suspect_after_s`` tells how lively its data is (`Pace`), None while that is unknown; ``halted_at``: when IB said
    last that trading is halted. ``bars``: what its own bars, asked for at ``bars_at``, say of the time since its data
    stands still; ``bars_mark`` is the newest of the first ones.
    ``asked``: a read is under way, or was when an incarnation of the watch ended.
    """

    fresh_at: float
    stamped: bool = False
    suspect_after_s: float | None = None
    halted_at: float = -math.inf
    bars: Bars = Bars.UNASKED
    bars_mark: Mark | None = None
    bars_at: float = -math.inf
    opened_at: float | None = None
    read_at: float | None = None
    asked: bool = False
    vain_reads: int = 0
    warned: bool = False
    told_at: float | None = None


@attrs.frozen(kw_only=True)
class DataWatch:
    """What is watched, by con_id, and when somebody looked last."""

    watched: Mapping[int, Watched] = MappingProxyType({})
    looked_at: float | None = None
    witnesses: Mapping[str, int] = MappingProxyType({})
    """How often in a row each witness was asked and showed no sign of life."""
    witnessed_at: float = -math.inf


def evidence_age_s(quote: Quote, now: datetime, monotonic: float) -> float:
    """Tell how long ago IB showed that the data of a contract lives; infinite when it did not.

    That is the quote's age (MKT-12), and for a halted contract the time since IB said so: who says that trading is
    halted has fresh data, although nobody trades or quotes. A halt is the market's, like a closed session.
    """
    if quote.halted and quote.data_type is DataType.LIVE and quote.source is DataSource.IB:
        return max(0.0, (now - quote.received_at).total_seconds())
    return quote_age_s(quote, monotonic)


def looked(
    state: DataWatch, now: float, opened_at: Mapping[int, float | None], settings: StrategyC
) -> DataWatch:
    """Take note of what is held or traded now, each with the moment at which its session began (None: closed)."""
    gap_s = 0.0 if state.looked_at is None else now - state.looked_at
    uncounted_s = gap_s if gap_s > max_gap_s(settings) else 0.0
    watched = {
        con_id: _followed(state.watched.get(con_id), opened, now, uncounted_s)
        for con_id, opened in opened_at.items()
    }
    return attrs.evolve(state, watched=MappingProxyType(watched), looked_at=now)


def _followed(
    held: Watched | None, opened_at: float | None, now: float, uncounted_s: float
) -> Watched:
    if opened_at is None:  # a closed market is not a fault
        return Watched(fresh_at=now, stamped=True)
    if held is None:
        return Watched(fresh_at=now, opened_at=opened_at)
    if held.opened_at is None:
        return attrs.evolve(held, opened_at=opened_at, fresh_at=max(held.fresh_at, opened_at))
    # A session began once: what a step of the wall clock makes of that moment is not looked at.
    if not uncounted_s:
        return held
    moved = min(now, held.fresh_at + uncounted_s)
    return attrs.evolve(
        held,
        fresh_at=moved,
        vain_reads=0,
        bars=Bars.UNASKED,
        bars_mark=None,
    )


def begun_anew(state: DataWatch, now: float) -> DataWatch:
    """Count from now on: Strategy C is latched, and whoever re-arms it has the whole time again."""
    watched = {
        con_id: attrs.evolve(
            held,
            fresh_at=now,
            stamped=True,
            bars=Bars.UNASKED,
            bars_mark=None,
            vain_reads=0,
            warned=False,
            told_at=None,
        )
        for con_id, held in state.watched.items()
    }
    return attrs.evolve(state, watched=MappingProxyType(watched))


def due_reads(
    state: DataWatch, now: float, settings: StrategyC, under_way: Iterable[int]
) -> tuple[DataWatch, tuple[int, ...]]:
    """Choose whose data IB shall be asked for now: what was not asked for the longest time goes first."""
    busy = frozenset(under_way)
    due = [
        (held.read_at if held.read_at is not None else -math.inf, con_id)
        for con_id, held in state.watched.items()
        if held.opened_at is not None
        and con_id not in busy
        and (held.read_at is None or now - held.read_at >= settings.data_watch_every_s)
    ]
    chosen = tuple(con_id for _, con_id in sorted(due)[:READS_PER_LOOK])
    for con_id in chosen:
        held = state.watched[con_id]
        vain = held.vain_reads + held.asked  # nobody will ever answer that one
        asked = attrs.evolve(held, read_at=now, asked=True, vain_reads=vain)
        state = _with(state, con_id, asked)
    return state, chosen


def answered(state: DataWatch, con_id: int, stamped_at: float | None) -> DataWatch:
    """Take note of a read that ended; ``stamped_at`` is the moment of its newest stamp, None when it had none."""
    held = state.watched.get(con_id)
    if held is None or held.opened_at is None:
        return state
    # A stamp of before the session says nothing of it; the first stamp may be older than the watch.
    counted = None if stamped_at is None else max(stamped_at, held.opened_at)
    if counted is not None and counted > held.fresh_at:
        fresh = attrs.evolve(
            held,
            fresh_at=counted,
            stamped=True,
            bars=Bars.UNASKED,
            bars_mark=None,
            asked=False,
            vain_reads=0,
            warned=False,
            told_at=None,
        )
        return _with(state, con_id, fresh)
    vain = attrs.evolve(held, asked=False, vain_reads=held.vain_reads + 1)
    if counted is not None and not held.stamped:
        vain = attrs.evolve(vain, fresh_at=counted, stamped=True)
    return _with(state, con_id, vain)


def paced(state: DataWatch, con_id: int, quote: Quote, now: float) -> DataWatch:
    """Take note of how lively the data of a quote is, where that is known: it outlives whoever told it."""
    held = state.watched.get(con_id)
    if held is None:
        return state
    if quote.data_type is not DataType.LIVE:  # delayed data is never fresh, and never frozen
        held = attrs.evolve(held, suspect_after_s=None)
    elif quote.pace is not None and quote.pace.typical_s is not None:
        held = attrs.evolve(held, suspect_after_s=quote.pace.suspect_after_s)
    if quote.halted:
        held = attrs.evolve(held, halted_at=now)
    return _with(state, con_id, held)


def standing_of(state: DataWatch, con_id: int, now: float, settings: StrategyC) -> Standing:
    """Tell how the data of a contract stands."""
    held = state.watched[con_id]
    is_silent = _is_feed_silent(state, now)
    found = standing(held.suspect_after_s, now - held.fresh_at, held.bars, is_feed_silent=is_silent)
    settled_at = max(held.halted_at, held.opened_at or -math.inf) + settings.data_settles_s
    if found in CONDEMNED and now < settled_at:
        return Standing.SUSPECT
    return found


CONDEMNED: Final = (Standing.FROZEN, Standing.DEAD)
"""Only these sell anything."""


def _is_suspect(held: Watched, now: float) -> bool:
    limit_s = held.suspect_after_s
    return held.opened_at is not None and limit_s is not None and now - held.fresh_at > limit_s


def _is_feed_silent(state: DataWatch, now: float) -> bool:
    """Tell whether nothing that is watched lives, and no witness showed a sign of life when it was asked twice."""
    least_s = min((held.suspect_after_s or math.inf for held in state.watched.values()), default=0)
    is_open = [held for held in state.watched.values() if held.opened_at is not None]
    if any(now - held.fresh_at <= least_s for held in is_open):
        return False
    return bool(state.witnesses) and all(vain >= VAIN_READS for vain in state.witnesses.values())


def due_bars(
    state: DataWatch, now: float, settings: StrategyC
) -> tuple[DataWatch, tuple[int, ...]]:
    """Choose whose bars shall be asked for now: of what is suspect and not shown to be frozen yet."""
    due = [
        (held.bars_at, con_id)
        for con_id, held in state.watched.items()
        if _is_suspect(held, now)
        and held.bars is not Bars.TRADES
        and now - held.bars_at >= settings.data_bars_every_s
    ]
    chosen = tuple(con_id for _, con_id in sorted(due)[:BARS_PER_LOOK])
    for con_id in chosen:
        state = _with(state, con_id, attrs.evolve(state.watched[con_id], bars_at=now))
    return state, chosen


def bars_answered(
    state: DataWatch, con_id: int, answer: Bars | tuple[Bar, ...], now: float
) -> DataWatch:
    """Take note of a contract's bars, or of why there are none. Trades are shown by two answers that differ."""
    held = state.watched.get(con_id)
    if held is None or not _is_suspect(held, now):
        return state
    if isinstance(answer, Bars):
        return _with(state, con_id, attrs.evolve(held, bars=answer))
    mark = max(((bar.start, bar.volume) for bar in answer if bar.volume > 0), default=None)
    if held.bars_mark is None or mark is None:
        return _with(state, con_id, attrs.evolve(held, bars=Bars.IDLE, bars_mark=mark))
    bars = Bars.TRADES if mark > held.bars_mark else Bars.IDLE
    return _with(state, con_id, attrs.evolve(held, bars=bars))


def due_witnesses(
    state: DataWatch, now: float, settings: StrategyC
) -> tuple[DataWatch, tuple[str, ...]]:
    """Name the witnesses to ask now: where bars are silent, others have to say whether anything lives."""
    is_needed = any(
        _is_suspect(held, now) and held.bars is Bars.SILENT for held in state.watched.values()
    )
    if not is_needed:
        return attrs.evolve(state, witnesses=MappingProxyType({})), ()
    if now - state.witnessed_at < settings.data_bars_every_s:
        return state, ()
    return attrs.evolve(state, witnessed_at=now), tuple(settings.data_witnesses.split(","))


def witnessed(state: DataWatch, symbol: str, *, lives: bool) -> DataWatch:
    """Take note of what a witness said."""
    vain = 0 if lives else state.witnesses.get(symbol, 0) + 1
    return attrs.evolve(state, witnesses=MappingProxyType({**state.witnesses, symbol: vain}))


def growing_stale(
    state: DataWatch, now: float, settings: StrategyC
) -> tuple[DataWatch, tuple[tuple[int, float], ...]]:
    """List what people have to be warned of, once each time it happens: con_id and the seconds that count."""
    limit_s = min(WARN_AFTER_S, settings.data_quarantine_after_s / 2)
    found = tuple(
        (con_id, now - held.fresh_at)
        for con_id, held in state.watched.items()
        if _is_stale(held, now, limit_s) and not held.warned
    )
    for con_id, _ in found:
        state = _with(state, con_id, attrs.evolve(state.watched[con_id], warned=True))
    return state, found


def quarantined(
    state: DataWatch, now: float, settings: StrategyC
) -> tuple[DataWatch, tuple[tuple[int, float], ...]]:
    """List what is stale for too long and has to be told now: con_id and the seconds that count."""
    found = []
    for con_id, held in state.watched.items():
        told = held.told_at is not None and now - held.told_at < TELL_AGAIN_S
        too_long = _is_stale(held, now, settings.data_quarantine_after_s)
        is_condemned = standing_of(state, con_id, now, settings) in CONDEMNED
        if is_condemned and too_long and not told:
            found.append((con_id, now - held.fresh_at))
    for con_id, _ in found:
        state = _with(state, con_id, attrs.evolve(state.watched[con_id], told_at=now))
    return state, tuple(found)


def _is_stale(held: Watched, now: float, limit_s: float) -> bool:
    asked_in_vain = held.opened_at is not None and held.vain_reads >= VAIN_READS
    return asked_in_vain and now - held.fresh_at > limit_s


def next_look_s(state: DataWatch, now: float, settings: StrategyC) -> float:
    """Tell when to look again: as always, or right after the moment at which something will be stale for too long."""
    look_s = settings.data_watch_every_s
    ends = [
        held.fresh_at + settings.data_quarantine_after_s
        for held in state.watched.values()
        if held.opened_at is not None
    ]
    if not ends:
        return max(CLOSED_LOOK_S if state.watched else IDLE_LOOK_S, look_s)
    ahead = min((end - now for end in ends if end >= now), default=look_s)
    return min(look_s, max(LATE_S, ahead + LATE_S))


def _with(state: DataWatch, con_id: int, watched: Watched) -> DataWatch:
    return attrs.evolve(state, watched=MappingProxyType({**state.watched, con_id: watched}))
