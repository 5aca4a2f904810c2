"""What was held, and what the account was worth, when the day and the week began (RSK-1, RSK-5).

Days and weeks are those of the exchange's calendar in New York: a day begins at midnight there, a week on Monday.
Baselines are keyed by day and week, so that a restart within the same day finds them again instead of making new ones.
A key only moves on: a clock that steps back begins nothing, and until a new period has its baseline the old one holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Final

import attrs

from actors.logic.executions import Executions
from actors.logic.holidays import is_business_day
from actors.logic.zones import NEW_YORK
from actors.model.account import Account
from actors.model.contracts import SecurityType
from actors.risk.exposure import Exposure, Ledger

EXCHANGE_ZONE: Final = NEW_YORK
DAY: Final = "day"
WEEK: Final = "week"
LAST: Final = "last"
"""What was known last before the process ended: a period that begins with the next process begins there, so that a gap
in between is a loss."""

KNOWN_FOR: Final = timedelta(hours=1)
"""An execution that the broker tells so much later than the newest one that is known belongs to the time before."""


DAILY_SETTLED: Final = frozenset({SecurityType.FUTURE, SecurityType.CFD})
"""What costs nothing: its results come into the cash, as the broker settles them."""

NO_POSITION: Final = frozenset(
    {SecurityType.CURRENCY, SecurityType.COMBINATION, SecurityType.INDEX}
)
"""Conversions of currencies and tickets of combinations are executions, and never a position."""


@attrs.frozen(kw_only=True)
class Stake:
    """What was held of a contract, in its currency: the value and the cost of all of it.

    ``value`` is None while nobody has said a price; ``rate`` is what a unit of the currency was worth in the account's.
    """

    quantity: float
    value: float | None
    cost: float
    currency: str
    rate: float
    is_future: bool = False


@attrs.frozen(kw_only=True)
class Baseline:
    """The account when the period began that ``key`` names. Transfers and acknowledged residuals move it.

    ``value`` is the net liquidation, ``cash`` the cash, ``futures`` what futures had gained since the begin when that
    cash was noted. ``seen`` are the executions that the stakes include, by base
    id; those from more than `KNOWN_FOR` before ``seen_until``, the newest of them, are included without being named.
    """

    kind: str
    key: str
    value: float
    cash: float | None = None
    futures: float = 0.0
    stakes: Mapping[int, Stake] = MappingProxyType({})
    seen: frozenset[str] = frozenset()
    seen_until: datetime | None = None


@attrs.frozen(kw_only=True)
class Baselines:
    """The baselines of the running day and week, and what was known last; None where none is known yet."""

    day: Baseline | None = None
    week: Baseline | None = None
    last: Baseline | None = None

    @property
    def running(self) -> tuple[Baseline, ...]:
        """Those that losses are counted from."""
        return tuple(each for each in (self.day, self.week) if each is not None)

    def with_(self, changed: Iterable[Baseline]) -> Baselines:
        """Put in what has changed, each in the place of its kind."""
        return attrs.evolve(self, **{each.kind: each for each in changed})


NO_BASELINES: Final = Baselines()


def day_key(now: datetime) -> str:
    """Name the exchange's day, such as ``2026-03-02``."""
    return now.astimezone(EXCHANGE_ZONE).date().isoformat()


def week_key(now: datetime) -> str:
    """Name the exchange's week (Monday to Sunday), such as ``2026-W10``."""
    year, week, _ = now.astimezone(EXCHANGE_ZONE).isocalendar()
    return f"{year}-W{week:02d}"


def newest(found: Iterable[Baseline]) -> Baselines:
    """Take the newest baseline of each kind, by key, of what was recorded."""
    kept: dict[str, Baseline] = {}
    for each in found:
        if each.kind in (DAY, WEEK, LAST):
            known = kept.get(each.kind)
            kept[each.kind] = each if known is None or known.key <= each.key else known
    return Baselines(day=kept.get(DAY), week=kept.get(WEEK), last=kept.get(LAST))


def snapshot(kind: str, key: str, ledger: Ledger, account: Account | None) -> Baseline | None:
    """Describe the account as it is; None where its net liquidation is unknown or not positive."""
    worth = None if account is None else account.net_liquidation
    if account is None or worth is None or not worth > 0.0:
        return None
    seen, seen_until = included(ledger.executions)
    return Baseline(
        kind=kind,
        key=key,
        value=worth,
        cash=account.cash,
        stakes=MappingProxyType(
            {con_id: stake_of(held, account) for con_id, held in positions(ledger).items()}
        ),
        seen=seen,
        seen_until=seen_until,
    )


def positions(ledger: Ledger) -> dict[int, Exposure]:
    """What is held, by con_id."""
    return {
        con_id: held
        for con_id, held in ledger.positions.items()
        if held.contract.security_type not in NO_POSITION
    }


def stake_of(held: Exposure, account: Account) -> Stake:
    """Describe a holding."""
    mark = account.marks.get(held.contract.con_id)
    return Stake(
        quantity=held.quantity,
        value=None if mark is None else held.quantity * mark.unit_value,
        cost=held.quantity * held.average_cost,
        currency=held.contract.currency,
        rate=account.rate_of(held.contract.currency) or 1.0,
        is_future=held.contract.security_type in DAILY_SETTLED,
    )


def included(executions: Executions) -> tuple[frozenset[str], datetime | None]:
    """Say which executions are known, in the form that a baseline keeps."""
    times = [each.executed_at for each in executions.values() if each.executed_at is not None]
    if not times:
        return frozenset(executions), None
    since = max(times) - KNOWN_FOR
    return (
        frozenset(
            base_id
            for base_id, each in executions.items()
            if each.executed_at is None or each.executed_at >= since
        ),
        max(times),
    )


def roll(
    baselines: Baselines, now: datetime, began: Baseline | None
) -> tuple[Baselines, tuple[Baseline, ...]]:
    """Begin the periods that have no baseline yet at ``began``; the second value lists the new ones, to be recorded."""
    if began is None:
        return baselines, ()
    due = ((DAY, baselines.day, day_key(now)), (WEEK, baselines.week, week_key(now)))
    new = tuple(
        attrs.evolve(began, kind=kind, key=key)
        for kind, known, key in due
        if known is None or known.key < key
    )
    return baselines.with_(new), new


def is_over_night(key: str, now: datetime) -> bool:
    """Tell whether no business day lies between the day that ``key`` names and the exchange's present one."""
    day, last = now.astimezone(EXCHANGE_ZONE).date(), date.fromisoformat(key)
    if not timedelta() <= day - last <= timedelta(days=7):
        return False
    between = (last + timedelta(days=n) for n in range(1, (day - last).days))
    return not any(is_business_day(each) for each in between)


def least_equity(baselines: Baselines, account: Account | None) -> float | None:
    """What the account is worth, or was when the exchange's day began, whichever is less; None when unknown."""
    worth = None if account is None else account.net_liquidation
    day = baselines.day
    return worth if worth is None or day is None else min(worth, day.value)
