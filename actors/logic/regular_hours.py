"""The regular hours of the exchanges in New York, for contracts whose own hours the broker did not tell.

9:30 to 16:00, and to 13:00 on the day after Thanksgiving, on 24 December, and on the day before Independence Day.
Closures that no rule foretells are not known here. Source: NYSE Rule 7.2 and its yearly notes on early closings.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Final

from actors.logic.holidays import holidays, is_business_day
from actors.logic.sessions import Session
from actors.logic.zones import NEW_YORK, utc_of

_OPENS: Final = time(9, 30)
_CLOSES: Final = time(16, 0)
_CLOSES_EARLY: Final = time(13, 0)
_ONE_DAY: Final = timedelta(days=1)


def regular_session(now: datetime) -> Session | None:
    """The session that runs in New York at ``now``; None while the exchanges there are closed."""
    day = now.astimezone(NEW_YORK).date()
    if not is_business_day(day):
        return None
    closes = _CLOSES_EARLY if _is_half_day(day) else _CLOSES
    session = Session(
        utc_of(datetime.combine(day, _OPENS), NEW_YORK),
        utc_of(datetime.combine(day, closes), NEW_YORK),
    )
    return session if session.opens_at <= now < session.closes_at else None


def _is_half_day(day: date) -> bool:
    if (day.month, day.day) in ((7, 3), (12, 24)):
        return True
    yesterday = day - _ONE_DAY
    return day.month == 11 and yesterday.weekday() == 3 and yesterday in holidays(day.year)
