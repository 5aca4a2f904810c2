"""Dates and hours at the exchange (US/Eastern), and the times IB prints."""

from __future__ import annotations

import datetime as dt
import re
from zoneinfo import ZoneInfo

EASTERN = ZoneInfo("America/New_York")
"""The zone of the clock here, and of nearly all instruments; IB calls it US/Eastern."""
ZONE_NAME = "US/Eastern"
CENTRAL_NAME = "US/Central"
_CENTRAL = ZoneInfo("America/Chicago")
_OPENS = dt.time(18)
_CLOSES = dt.time(17)
_LONGEST_PAUSE_DAYS = 15


def eastern(moment: dt.datetime) -> dt.datetime:
    """The exchange's local time at `moment`."""
    return moment.astimezone(EASTERN)


def stamp(moment: dt.datetime) -> str:
    """Print a moment as IB does, with the zone, to the second."""
    return eastern(moment).strftime("%Y%m%d %H:%M:%S ") + ZONE_NAME


def utc_stamp(moment: dt.datetime) -> str:
    """Print a moment in IB's UTC form."""
    return moment.astimezone(dt.UTC).strftime("%Y%m%d-%H:%M:%S")


def expiries(today: dt.date, *, daily: bool) -> tuple[dt.date, ...]:
    """Option expiries from `today` on: Fridays for eight weeks, third Fridays for a year.

    `daily` adds every weekday of the next two weeks.
    """
    days = {today + dt.timedelta(days=n) for n in range(57)}
    chosen = {day for day in days if day.weekday() == 4}
    if daily:
        near = today + dt.timedelta(days=14)
        chosen |= {day for day in days if day <= near and day.weekday() < 5}
    year, month = today.year, today.month
    for _ in range(13):
        first = dt.date(year, month, 1)
        chosen.add(first + dt.timedelta(days=(4 - first.weekday()) % 7 + 14))
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return tuple(sorted(day for day in chosen if day >= today))


class Hours:
    """When the market is open: always, or on weekdays between two times, with days that differ."""

    def __init__(self, text: str | None) -> None:
        """Read "HHMM-HHMM", and behind semicolons the days that differ; `None` means always.

        "0930-1600;20251127:CLOSED;20251128:0930-1300" has a holiday and a half day. Raises `ValueError` with the
        reason.
        """
        self._session: tuple[dt.time, dt.time] | None = None
        self._days: dict[dt.date, tuple[dt.time, dt.time] | None] = {}
        if text is None:
            return
        daily, *days = text.split(";")
        self._session = _session(daily)
        for part in days:
            day, _, span = part.partition(":")
            try:
                date = dt.datetime.strptime(day, "%Y%m%d").replace(tzinfo=EASTERN).date()
            except ValueError:
                raise ValueError(
                    f"a day must look like 20251128:0930-1300 (was {part!r})"
                ) from None
            self._days[date] = None if span == "CLOSED" else _session(span)

    def _on(self, day: dt.date) -> tuple[dt.time, dt.time] | None:
        """The session of a day; `None` when it has none."""
        if day in self._days:
            return self._days[day]
        return self._session if day.weekday() < 5 else None

    @property
    def always(self) -> bool:
        """Whether the market never closes."""
        return self._session is None

    def is_open(self, moment: dt.datetime) -> bool:
        """Whether the market is open at `moment`."""
        if self._session is None:
            return True
        local = eastern(moment)
        session = self._on(local.date())
        return session is not None and session[0] <= local.time() < session[1]

    def next_open(self, moment: dt.datetime) -> dt.datetime:
        """The first moment from `moment` on at which the market is open."""
        if self._session is None or self.is_open(moment):
            return moment
        local = eastern(moment)
        for days in range(_LONGEST_PAUSE_DAYS):
            day = local.date() + dt.timedelta(days=days)
            session = self._on(day)
            if session is not None and dt.datetime.combine(day, session[0], EASTERN) >= local:
                return dt.datetime.combine(day, session[0], EASTERN)
        return moment

    def next_close(self, moment: dt.datetime) -> dt.datetime:
        """The end of the session that runs at `moment`, or of the next one; call it for hours that end."""
        opens = eastern(self.next_open(moment))
        session = self._on(opens.date())
        if session is None:
            return moment + dt.timedelta(days=_LONGEST_PAUSE_DAYS)
        return dt.datetime.combine(opens.date(), session[1], EASTERN)

    def last_open(self, moment: dt.datetime) -> dt.datetime:
        """The last moment up to `moment` at which the market was open, to the second."""
        if self._session is None or self.is_open(moment):
            return moment
        local = eastern(moment)
        for days in range(_LONGEST_PAUSE_DAYS):
            day = local.date() - dt.timedelta(days=days)
            session = self._on(day)
            if session is not None and dt.datetime.combine(day, session[1], EASTERN) <= local:
                return dt.datetime.combine(day, session[1], EASTERN) - dt.timedelta(seconds=1)
        return moment

    def describe(self, moment: dt.datetime, days: int = 6) -> str:
        """Print trading hours as contract details carry them, from today on."""
        return ";".join(
            self._describe_day(eastern(moment).date() + dt.timedelta(days=n)) for n in range(days)
        )

    def _describe_day(self, day: dt.date) -> str:
        date = day.strftime("%Y%m%d")
        if self._session is None:
            return f"{date}:0000-{date}:2359"
        session = self._on(day)
        if session is None:
            return f"{date}:CLOSED"
        opens, closes = (moment.strftime("%H%M") for moment in session)
        return f"{date}:{opens}-{date}:{closes}"


def _session(text: str) -> tuple[dt.time, dt.time]:
    try:
        opens, closes = (
            dt.time(int(part[:2]), int(part[2:])) for part in text.split("-", maxsplit=1)
        )
    except ValueError:
        raise ValueError(f"hours must look like 0930-1600 (was {text!r})") from None
    if opens >= closes:
        raise ValueError(f"hours must open before they close (was {text!r})")
    return opens, closes


class AroundTheClock:
    """The hours of futures: from 18:00 in New York to 17:00 of the next weekday; always where the market never closes.

    Their liquid hours are those of the market.
    """

    def __init__(self, market: Hours) -> None:
        """Go with the hours of the stock ``market``."""
        self._market = market

    def is_open(self, moment: dt.datetime) -> bool:
        """Whether futures trade at ``moment``."""
        return self._market.always or self._session(moment) is not None

    def last_open(self, moment: dt.datetime) -> dt.datetime:
        """The last moment up to ``moment`` at which futures traded, to the second."""
        if self.is_open(moment):
            return moment
        local = eastern(moment)
        day = local.date() if local.time() >= _CLOSES else local.date() - dt.timedelta(days=1)
        while day.weekday() >= 5:
            day -= dt.timedelta(days=1)
        return dt.datetime.combine(day, _CLOSES, EASTERN) - dt.timedelta(seconds=1)

    def next_close(self, moment: dt.datetime) -> dt.datetime:
        """The end of the session that runs at ``moment``, or of the next one."""
        while (day := self._session(moment)) is None:
            moment += dt.timedelta(hours=1)
        return dt.datetime.combine(day, _CLOSES, EASTERN)

    def describe(self, moment: dt.datetime, days: int = 6) -> str:
        """Print the trading hours in Chicago's time, as contract details carry them."""
        if self._market.always:
            return self._market.describe(moment, days)
        today = eastern(moment).date()
        return ";".join(self._describe_day(today + dt.timedelta(days=n)) for n in range(days))

    def describe_liquid(self, moment: dt.datetime, days: int = 6) -> str:
        """Print the liquid hours in Chicago's time."""
        hours = self._market.describe(moment, days)
        return hours if self._market.always else _in_chicago(hours)

    def _describe_day(self, day: dt.date) -> str:
        if day.weekday() >= 5:
            return f"{day:%Y%m%d}:CLOSED"
        begins = day - dt.timedelta(days=1)
        return f"{begins:%Y%m%d}:1700-{day:%Y%m%d}:1600"

    def _session(self, moment: dt.datetime) -> dt.date | None:
        """The weekday that a session belongs to; None between sessions."""
        local = eastern(moment)
        if _CLOSES <= local.time() < _OPENS:
            return None
        late = dt.timedelta(days=1 if local.time() >= _OPENS else 0)
        day = local.date() + late
        return day if day.weekday() < 5 else None


def _in_chicago(hours: str) -> str:
    """Print hours of New York in Chicago's time, which is always an hour less."""
    return re.sub(
        r"(\d{8}):(\d{4})",
        lambda found: dt.datetime.strptime(found[0], "%Y%m%d:%H%M")
        .replace(tzinfo=EASTERN)
        .astimezone(_CENTRAL)
        .strftime("%Y%m%d:%H%M"),
        hours,
    )
