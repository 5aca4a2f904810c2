"""The New York Stock Exchange's holidays, by its rules, so that business days can be counted (RSK-1).

A holiday on a Saturday is kept on the Friday before, one on a Sunday on the Monday after; New Year's Day on a Saturday
is not kept at all. Closures that no rule foretells (a storm, a state funeral) are not known here: whoever counts then
has a business day too many within its window, so that the window is a day too short.

Source: NYSE Rule 7.2; Juneteenth since 2022.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from typing import Final

_MONDAY, _THURSDAY, _SATURDAY, _SUNDAY = 0, 3, 5, 6
_ONE_DAY: Final = timedelta(days=1)


def is_business_day(day: date) -> bool:
    """Tell whether the exchange trades on a day."""
    return day.weekday() < _SATURDAY and day not in holidays(day.year)


@lru_cache(maxsize=16)
def holidays(year: int) -> frozenset[date]:
    """The weekdays of a year on which the exchange is closed."""
    fixed = [_kept(date(year, 7, 4)), _kept(date(year, 12, 25))]
    if year >= 2022:
        fixed.append(_kept(date(year, 6, 19)))
    new_year = date(year, 1, 1)
    if new_year.weekday() != _SATURDAY:
        fixed.append(_kept(new_year))
    moving = [
        _nth(year, 1, _MONDAY, 3),
        _nth(year, 2, _MONDAY, 3),
        easter(year) - 2 * _ONE_DAY,
        _nth(year, 6, _MONDAY, 1) - 7 * _ONE_DAY,
        _nth(year, 9, _MONDAY, 1),
        _nth(year, 11, _THURSDAY, 4),
    ]
    return frozenset([*fixed, *moving])


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar, by the anonymous algorithm (Meeus, Astronomical Algorithms, ch. 8)."""
    golden = year % 19
    century, rest = divmod(year, 100)
    leaps, left = divmod(century, 4)
    correction = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - leaps - correction + 15) % 30
    quarter, single = divmod(rest, 4)
    weekday = (32 + 2 * left + 2 * quarter - epact - single) % 7
    late = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * late + 114, 31)
    return date(year, month, day + 1)


def _nth(year: int, month: int, weekday: int, number: int) -> date:
    first = date(year, month, 1)
    return first + _ONE_DAY * ((weekday - first.weekday()) % 7 + 7 * (number - 1))


def _kept(day: date) -> date:
    if day.weekday() == _SATURDAY:
        return day - _ONE_DAY
    return day + _ONE_DAY if day.weekday() == _SUNDAY else day
