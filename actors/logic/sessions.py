"""When an instrument trades: the hours of its contract details as a calendar (STC-7, MKT-12).

::

    20261126:CLOSED;20261127:0930-20261127:1300     a day that is closed, and a half day
    20260306:1700-20260307:1600                     a session across midnight
    20090507:0700-1130,1230-1830                    the older form: both times on the day that stands in front

Times are the exchange's; a calendar holds them as UTC, so that days on which the clock changes need no care later.
Unknown is None, never "open" and never "closed": outside the days that the broker described, for a zone that nobody
knows, and for hours that cannot be read. In doubt about a repeated hour a session is longer rather than shorter, since
a close that is sent too early waits at the broker, and one that waits here too long does not.

Sources: TWS_WIRE §4 (contract details), IB's documentation of ContractDetails.tradingHours.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import attrs

from actors.logic.closable import trades_all_hours
from actors.logic.zones import utc_of, zone_of
from actors.model.contracts import Contract

_DAY: Final = re.compile(r"(\d{8}):(.+)")
_SPAN: Final = re.compile(r"(?:(\d{8}):)?(\d{4})-(?:(\d{8}):)?(\d{4})")
_CLOSED: Final = "CLOSED"
_END_OF_DAY: Final = "2359"
"""IB cannot write 24:00; a session that ends at this minute goes on to midnight."""

_MAX_DAYS: Final = 60
_MAX_SESSION: Final = timedelta(days=7)
_MAX_CALENDARS: Final = 1_000


class UnreadableHoursError(ValueError):
    """Hours that do not have IB's form; the text says what and where."""


@attrs.frozen
class Session:
    """One stretch of trading, from ``opens_at`` until before ``closes_at`` (UTC)."""

    opens_at: datetime
    closes_at: datetime


@attrs.frozen(kw_only=True)
class TradingCalendar:
    """The sessions that the broker described, and the days that it spoke of; see the module's docstring.

    ``sessions`` ascend and do not touch. ``days`` are dates at the exchange, whose time is that of ``zone``.
    """

    zone: ZoneInfo
    sessions: tuple[Session, ...]
    days: frozenset[date]

    def is_open(self, now: datetime) -> bool | None:
        """Tell whether the instrument trades at ``now``; None on a day of which nothing is known."""
        if self.session_at(now) is not None:
            return True
        return False if now.astimezone(self.zone).date() in self.days else None

    def session_at(self, now: datetime) -> Session | None:
        """The session that runs at ``now``; its ``closes_at`` says until when."""
        for session in self.sessions:
            if session.opens_at <= now < session.closes_at:
                return session
        return None

    def next_open(self, now: datetime) -> datetime | None:
        """The next opening after ``now`` (UTC); None when none is described, or a day before it is unknown."""
        for session in self.sessions:
            if session.opens_at > now:
                return session.opens_at if self._knows(now, session.opens_at) else None
        return None

    def _knows(self, start: datetime, end: datetime) -> bool:
        """Whether every day of the stretch was described."""
        day = start.astimezone(self.zone).date()
        last = end.astimezone(self.zone).date()
        while day <= last:
            if day not in self.days:
                return False
            day += timedelta(days=1)
        return True


@lru_cache(maxsize=_MAX_CALENDARS)
def parse_hours(hours: str, zone_name: str) -> TradingCalendar:
    """Read the hours of contract details; raise `UnreadableHoursError` for what does not have their form."""
    zone = zone_of(zone_name)
    if zone is None:
        raise UnreadableHoursError(f"the time zone is not known (was {zone_name!r})")
    found: list[Session] = []
    days: set[date] = set()
    parts = [part for part in hours.split(";") if part.strip()]
    if len(parts) > _MAX_DAYS:
        raise UnreadableHoursError(f"hours must have at most {_MAX_DAYS} days (had {len(parts)})")
    for part in parts:
        _read_day(part.strip(), zone, found, days)
    return TradingCalendar(zone=zone, sessions=_joined(found), days=frozenset(days))


def calendar_of(contract: Contract) -> TradingCalendar | None:
    """The calendar of the hours in which orders of ours trade; None when it is not known.

    Those are the liquid hours: an order never asks for trading outside them, and waits for them even where quotes do
    not. Futures and their options are traded in all their hours (`is_regular` says whether a market order will do).
    """
    if trades_all_hours(contract.security_type) and contract.trading_hours:
        return _calendar(contract.trading_hours, contract)
    return _calendar(contract.liquid_hours, contract)


def is_session_open(contract: Contract, now: datetime) -> bool | None:
    """Tell whether a contract trades at ``now``; None when its hours are not known."""
    calendar = calendar_of(contract)
    return None if calendar is None else calendar.is_open(now)


def is_regular(contract: Contract, now: datetime) -> bool | None:
    """Tell whether ``now`` lies in the liquid hours, in which market orders are used; None when they are not known."""
    calendar = _calendar(contract.liquid_hours, contract)
    return None if calendar is None else calendar.is_open(now)


def _calendar(hours: str, contract: Contract) -> TradingCalendar | None:
    if not hours:
        return None
    try:
        return parse_hours(hours, contract.time_zone)
    except UnreadableHoursError:
        return None


def waits_until(contract: Contract, now: datetime) -> datetime | None:
    """The opening that an order of this contract has to wait for; None when it trades now, or nobody knows."""
    calendar = calendar_of(contract)
    if calendar is None or calendar.is_open(now) is not False:
        return None
    return calendar.next_open(now)


def _read_day(part: str, zone: ZoneInfo, found: list[Session], days: set[date]) -> None:
    matched = _DAY.fullmatch(part)
    if matched is None:
        raise UnreadableHoursError(
            f"a day must look like 20261127:0930-20261127:1300 (was {part!r})"
        )
    day = _date(matched[1])
    days.add(day)
    if matched[2].strip().upper() == _CLOSED:
        return
    for index, text in enumerate(matched[2].split(",")):
        span = _SPAN.fullmatch(text.strip())
        if span is None or (index == 0 and span[1]):
            raise UnreadableHoursError(f"hours must look like 0930-20261127:1300 (was {text!r})")
        first = _date(span[1]) if span[1] else day
        last = _date(span[3]) if span[3] else first
        session = _session(first, span[2], last, span[4], zone)
        days |= {first, last}
        found.append(session)


def _session(first: date, opens: str, last: date, closes: str, zone: ZoneInfo) -> Session:
    end = _time(last, closes)
    if closes == _END_OF_DAY:
        end += timedelta(minutes=1)
    session = Session(utc_of(_time(first, opens), zone), utc_of(end, zone, latest=True))
    if not timedelta() < session.closes_at - session.opens_at <= _MAX_SESSION:
        raise UnreadableHoursError(
            f"a session must close after it opens, within a week (was {first} {opens} to {last} {closes})"
        )
    return session


def _joined(found: list[Session]) -> tuple[Session, ...]:
    """Sort the sessions and join those that touch or overlap."""
    joined: list[Session] = []
    for session in sorted(found, key=lambda item: item.opens_at):
        if joined and session.opens_at <= joined[-1].closes_at:
            closes_at = max(joined[-1].closes_at, session.closes_at)
            joined[-1] = Session(joined[-1].opens_at, closes_at)
        else:
            joined.append(session)
    return tuple(joined)


def _date(text: str) -> date:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        raise UnreadableHoursError(f"a day must be a real date (was {text!r})") from None


def _time(day: date, text: str) -> datetime:
    try:
        return datetime.combine(day, time(int(text[:2]), int(text[2:])))
    except ValueError:
        raise UnreadableHoursError(f"a time must be HHMM (was {text!r})") from None
