"""The step that the baselines take whenever the account's numbers come, and the losses that follow (RULES 4)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from types import MappingProxyType

import attrs

from actors.model.account import Account, Mark
from actors.risk.baselines import LAST, Baseline, Baselines, day_key, is_over_night, roll, snapshot
from actors.risk.exposure import Exposure, Ledger
from actors.risk.limits import PeriodLosses
from actors.risk.profit import Moved, adjusted, profit, valued
from actors.risk.unexplained import rest


@attrs.frozen(kw_only=True)
class Noted:
    """``begun`` are new baselines; ``moved`` those that something came to or left without an execution."""

    baselines: Baselines
    begun: tuple[Baseline, ...]
    moved: tuple[tuple[Baseline, tuple[Moved, ...]], ...]


def take_note(
    baselines: Baselines,
    ledger: Ledger,
    account: Account,
    marks: Mapping[int, Mark],
    now: datetime,
    before: Mapping[int, Exposure] = MappingProxyType({}),
    *,
    moving: Collection[int] = (),
    has_just_started: bool = False,
) -> Noted:
    """Begin the periods that are due, and move the baselines by what changed hands without an execution.

    ``has_just_started``: a period that begins after a night without us begins where the last process left the account,
    so that a gap is a loss. ``marks`` are the last of each contract, ``before`` is what was held when this was called
    last; ``moving`` moved while they were read.
    """
    began = snapshot(LAST, day_key(now), ledger, account)
    last = baselines.last
    if has_just_started and began is not None and last is not None:
        began = last if is_over_night(last.key, now) else began
    rolled, begun = roll(baselines, now, began)
    moved: list[tuple[Baseline, tuple[Moved, ...]]] = []
    for known in rolled.running:
        priced = valued(known, account.marks)
        after, what = adjusted(priced, ledger, account, marks, before, apart_from=moving)
        if after is not known:
            moved.append((after, what))
    changed = tuple(each for each, _ in moved)
    return Noted(baselines=rolled.with_(changed), begun=begun, moved=tuple(moved))


def losses(
    baselines: Baselines, ledger: Ledger, account: Account, *, counts_rest: bool = False
) -> PeriodLosses:
    """What positions have lost since day and week began, as ratios; ``counts_rest``: of what has no price, too."""

    def ratio(baseline: Baseline | None) -> float | None:
        if baseline is None or not baseline.value > 0.0 or account.net_liquidation is None:
            return None
        known = profit(baseline, ledger, account)
        gained = known.gained + (rest(baseline, account, known) if counts_rest else 0.0)
        return max(0.0, -gained / baseline.value)

    return PeriodLosses(day=ratio(baselines.day), week=ratio(baselines.week))
