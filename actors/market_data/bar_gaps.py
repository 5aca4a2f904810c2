"""Minutes of a session of which there is no bar.

Reported are stretches between two bars of one session, and from the newest bar to now, or to the close. What lies
between two sessions (a night, a lunch break, a half day's afternoon) is no gap; neither is a stretch of which the hours
are not known. Whether the broker lost the bars, the instrument was halted or nobody traded cannot be told from bars.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from actors.logic.sessions import Session, TradingCalendar, calendar_of
from actors.model.contracts import Contract
from actors.model.market import Bar, BarGap

MINUTE: Final = timedelta(minutes=1)
LATE: Final = timedelta(minutes=1)
"""The bar of the minute that has just ended may still be on its way."""


def missing_bars(bars: Sequence[Bar], contract: Contract, now: datetime) -> tuple[BarGap, ...]:
    """Find the gaps of one-minute bars in ascending order, read at ``now``."""
    calendar = calendar_of(contract)
    if calendar is None or not bars:
        return ()
    stretches = [
        (before.start + MINUTE, after.start)
        for before, after in pairwise(bars)
        if after.start - before.start > MINUTE
        and _session(calendar, before) is _session(calendar, after) is not None
    ]
    newest = bars[-1]
    session = _session(calendar, newest)
    if session is not None:
        ends_at = min(now.replace(second=0, microsecond=0), session.closes_at)
        if ends_at - (newest.start + MINUTE) > LATE:
            stretches.append((newest.start + MINUTE, ends_at))
    return tuple(
        BarGap(symbol=contract.symbol, begins_at=begins_at, ends_at=ends_at)
        for begins_at, ends_at in stretches
    )


def _session(calendar: TradingCalendar, bar: Bar) -> Session | None:
    return calendar.session_at(bar.start)
