"""What the account was worth when the day and the week began, and what was lost since (RSK-1, RSK-5).

Days and weeks are those of the exchange's calendar in New York: a day begins at midnight there, a week on Monday.
Baselines are keyed by day and week, so that a restart within the same day finds them again instead of making new ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

import attrs

from actors.logic.zones import NEW_YORK
from actors.model.account import Account

EXCHANGE_ZONE: Final = NEW_YORK
DAY: Final = "day"
WEEK: Final = "week"


@attrs.frozen(kw_only=True)
class Baseline:
    """The net liquidation at the start of the period that ``key`` names."""

    kind: str
    key: str
    value: float


@attrs.frozen(kw_only=True)
class Baselines:
    """The baselines of the running day and week; None where none is known yet."""

    day: Baseline | None = None
    week: Baseline | None = None


NO_BASELINES: Final = Baselines()


def day_key(now: datetime) -> str:
    """Name the exchange's day, such as ``2026-03-02``."""
    return now.astimezone(EXCHANGE_ZONE).date().isoformat()


def week_key(now: datetime) -> str:
    """Name the exchange's week (Monday to Sunday), such as ``2026-W10``."""
    year, week, _ = now.astimezone(EXCHANGE_ZONE).isocalendar()
    return f"{year}-W{week:02d}"


def from_journal(rows: Iterable[tuple[str, str, float]]) -> Baselines:
    """Read back what was recorded as (kind, key, value); the last row of a kind counts."""
    found = {kind: Baseline(kind=kind, key=key, value=value) for kind, key, value in rows}
    return Baselines(day=found.get(DAY), week=found.get(WEEK))


def roll(
    baselines: Baselines, account: Account | None, now: datetime
) -> tuple[Baselines, tuple[Baseline, ...]]:
    """Begin the periods that have no baseline yet; the second value lists the new ones, to be recorded.

    An account whose net liquidation is unknown or not positive begins nothing.
    """
    worth = None if account is None else account.net_liquidation
    if worth is None or not worth > 0.0:
        return baselines, ()
    new: list[Baseline] = []
    kept: dict[str, Baseline | None] = {}
    current = ((DAY, baselines.day, day_key(now)), (WEEK, baselines.week, week_key(now)))
    for kind, known, key in current:
        kept[kind] = known
        if known is None or known.key != key:
            kept[kind] = Baseline(kind=kind, key=key, value=worth)
            new.append(Baseline(kind=kind, key=key, value=worth))
    return Baselines(day=kept[DAY], week=kept[WEEK]), tuple(new)


def least_equity(baselines: Baselines, account: Account | None, now: datetime) -> float | None:
    """What the account is worth, or was when the exchange's day began, whichever is less; None when unknown."""
    worth = None if account is None else account.net_liquidation
    day = baselines.day
    if worth is None or day is None or day.key != day_key(now):
        return worth
    return min(worth, day.value)


def daily_loss_ratio(baselines: Baselines, account: Account | None, now: datetime) -> float | None:
    """The day's loss as a ratio of its baseline, 0 for a gain; None when either is unknown or of another day."""
    return _loss_ratio(baselines.day, day_key(now), account)


def weekly_drawdown_ratio(
    baselines: Baselines, account: Account | None, now: datetime
) -> float | None:
    """The week's loss as a ratio of its baseline, 0 for a gain; None when either is unknown or of another week."""
    return _loss_ratio(baselines.week, week_key(now), account)


def _loss_ratio(baseline: Baseline | None, key: str, account: Account | None) -> float | None:
    worth = None if account is None else account.net_liquidation
    if baseline is None or baseline.key != key or worth is None or not baseline.value > 0.0:
        return None
    return max(0.0, (baseline.value - worth) / baseline.value)
