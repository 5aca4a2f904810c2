"""The regular hours of the exchanges in New York, for contracts whose own hours the broker did not tell.

9:30 to 16:00, and to 13:00 on the day after Thanksgiving, on 24 December, and on the day before Independence Day.
Closures that no rule foretells are not known here. Source: NYSE Rule 7.2 and its yearly notes on early closings.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Final

from actors.logic.holidays import holidays, is_business_day
from actors.logic.sessions import Session, calendar_of
from actors.logic.zones import NEW_YORK, utc_of
from actors.model.contracts import Contract

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


def session_of(contract: Contract, now: datetime) -> Session | None:
    """The session that runs at ``now``, None when none does.

    Where the broker did not tell the hours, those of the exchanges in New York are taken: to count at night could sell
    everything for nothing, and not to count at all would leave what is held without a watch.
    """
    if contract.expiry is not None and now.astimezone(NEW_YORK).date() > contract.expiry:
        return None  # what has expired has no data any more
    calendar = calendar_of(contract)
    if calendar is None or calendar.is_open(now) is None:
        return regular_session(now)
    return calendar.session_at(now)


def _is_half_day(day: date) -> bool:
    if (day.month, day.day) in ((7, 3), (12, 24)):
        return True
    yesterday = day - _ONE_DAY
    return day.month == 11 and yesterday.weekday() == 3 and yesterday in holidays(day.year)
