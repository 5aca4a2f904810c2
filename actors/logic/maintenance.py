"""Planned maintenance: when the broker resets its systems, and when the gateway restarts itself (CON-15).

A rule repeats every week in the local time of its zone: "Sun-Fri 00:15-01:45", "Fri 23:00-Sat 03:00", or a daily
restart "23:45" of so many seconds. Where rules meet or overlap, their windows are one.

Guarantees: windows are in UTC, in order, apart from each other, and an instant is in one exactly from its begin
(included) to its end (excluded). Where a change of the clocks repeats or skips a local time, a window takes the longer
reading: it begins at the earlier and ends at the later of the instants that may be meant.

Source of the default: IB, "Server reset times", North America; its times are US/Eastern.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import attrs

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
WEEK: Final = timedelta(days=7)
IB_ZONE: Final = "America/New_York"
IB_WINDOWS: Final = ("Sun-Fri 00:15-01:45", "Fri 23:00-Sat 03:00")
"""IB's published North American reset times."""

_DAY: Final = f"({'|'.join(DAYS)})"
_TIME: Final = r"([01]\d|2[0-3]):([0-5]\d)"
_DAILY: Final = re.compile(f"{_DAY}(?:-{_DAY})? {_TIME}-{_TIME}")
_ACROSS: Final = re.compile(f"{_DAY} {_TIME}-{_DAY} {_TIME}")
_RESTART: Final = re.compile(r"(\d|[01]\d|2[0-3]):([0-5]\d)(?: ([AP]M))?(?: (\S+))?")


@attrs.frozen(kw_only=True)
class Rule:
    """A window of every week: it begins on ``weekday`` (0 is Monday) at ``begin``, local time of ``zone``.

    It ends ``days`` days later at ``end``, or after ``lasts`` where that is given.
    """

    name: str
    zone: ZoneInfo
    weekday: int
    begin: time
    days: int = 0
    end: time = time()
    lasts: timedelta | None = None

    @property
    def is_restart(self) -> bool:
        """Whether this is the gateway's own daily restart: the only rule that has a duration."""
        return self.lasts is not None

    @property
    def longest(self) -> timedelta:
        """A bound of how long it lasts, a change of the clocks included."""
        return (self.lasts or timedelta(days=self.days + 1)) + timedelta(hours=3)

    def window_of(self, day: date) -> Window:
        """Give the window that begins on ``day``."""
        begins_at = min(_readings(day, self.begin, self.zone))
        if self.lasts is not None:
            ends_at = begins_at + self.lasts
        else:
            ends_at = max(_readings(day + timedelta(days=self.days), self.end, self.zone))
        return Window(begins_at=begins_at, ends_at=ends_at, name=self.name)


@attrs.frozen(kw_only=True)
class Window:
    """One stretch of planned maintenance, from ``begins_at`` to just before ``ends_at`` (UTC)."""

    begins_at: datetime
    ends_at: datetime
    name: str

    def __str__(self) -> str:
        return f"planned maintenance ({self.name}) until {self.ends_at:%Y-%m-%d %H:%M:%S} UTC"


@attrs.frozen(kw_only=True)
class Maintenance:
    """All rules together; without any there is no maintenance. ``stop_opening_before_s``: seconds before a window."""

    rules: tuple[Rule, ...] = ()
    stop_opening_before_s: float = 120.0

    @property
    def plans_a_restart(self) -> bool:
        """Whether the gateway's own daily restart is among the rules."""
        return any(rule.is_restart for rule in self.rules)

    def window_at(self, now: datetime) -> Window | None:
        """Give the window that ``now`` (aware) is in, or None."""
        return next(
            (each for each in self._around(now) if each.begins_at <= now < each.ends_at), None
        )

    def next_window(self, now: datetime) -> Window | None:
        """Give the first window that begins after ``now``; None only without rules."""
        return next((each for each in self._around(now) if each.begins_at > now), None)

    def obstacle(self, now: datetime) -> Window | None:
        """Give the window for which nothing may be opened at ``now``: it is on, or about to begin."""
        return next(
            (
                each
                for each in self._around(now)
                if each.begins_at - self._before <= now < each.ends_at
            ),
            None,
        )

    def next_change(self, now: datetime) -> datetime | None:
        """Tell when `obstacle` or `window_at` will next give something else; None without rules."""
        current = self.window_at(now)
        if current is not None:
            return current.ends_at
        coming = self.next_window(now)
        if coming is None:
            return None
        stops_at = coming.begins_at - self._before
        return stops_at if stops_at > now else coming.begins_at

    @property
    def _before(self) -> timedelta:
        return timedelta(seconds=self.stop_opening_before_s)

    def _around(self, now: datetime) -> Iterator[Window]:
        """Give the windows of more than a week before and after ``now``, in order and apart."""
        return _merged(
            rule.window_of(day)
            for rule in self.rules
            for day in _days(rule, now.astimezone(rule.zone).date())
        )


def _days(rule: Rule, today: date) -> Iterator[date]:
    """List the days around ``today`` on which a rule's window begins: those that may touch it, and the next two."""
    back = rule.longest // WEEK + 1
    first = today + timedelta(days=(rule.weekday - today.weekday()) % 7) - back * WEEK
    return (first + number * WEEK for number in range(back + 2))


def _readings(day: date, at: time, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Give the two instants that a local time may mean; they differ only where the clocks change."""
    local = datetime.combine(day, at, zone)
    return local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)


def _merged(windows: Iterable[Window]) -> Iterator[Window]:
    """Put windows in order, and make one of those that meet or overlap."""
    current: Window | None = None
    for window in sorted(windows, key=lambda each: (each.begins_at, each.ends_at)):
        if current is None or window.begins_at > current.ends_at:
            if current is not None:
                yield current
            current = window
        elif window.ends_at > current.ends_at:
            current = attrs.evolve(
                current, ends_at=window.ends_at, name=f"{current.name} and {window.name}"
            )
    if current is not None:
        yield current


# --- from text ------------------------------------------------------------------------------------------------------


def parse_windows(text: str, zone: ZoneInfo) -> tuple[Rule, ...]:
    """Read "Sun-Fri 00:15-01:45" (each of these days, past midnight if it ends earlier than it begins) or
    "Fri 23:00-Sat 03:00" (once a week). Raises `ValueError` that says why.
    """
    if found := _DAILY.fullmatch(text):
        first, last, *numbers = found.groups()
        begin, end = _times(numbers)
        if begin == end:
            raise ValueError("it begins and ends at the same time")
        return tuple(
            Rule(
                name=text,
                zone=zone,
                weekday=weekday,
                begin=begin,
                days=int(end < begin),
                end=end,
            )
            for weekday in _weekdays(first, last or first)
        )
    if found := _ACROSS.fullmatch(text):
        first, hour, minute, last, *rest = found.groups()
        begin, end = _times([hour, minute, *rest])
        days = (DAYS.index(last) - DAYS.index(first)) % 7
        if days == 0 and end <= begin:
            raise ValueError("it ends before it begins")
        weekday = DAYS.index(first)
        return (Rule(name=text, zone=zone, weekday=weekday, begin=begin, days=days, end=end),)
    raise ValueError('neither like "Sun-Fri 00:15-01:45" nor like "Fri 23:00-Sat 03:00"')


def parse_restart(text: str, lasts_s: float, zone: ZoneInfo) -> tuple[Rule, ...]:
    """Read the gateway's daily restart: "" for none, "23:45" in ``zone``, or "23:45 Europe/Berlin" in its own.

    The hour may be one of twelve, as the gateway's own window has it: "11:45 PM". Raises `ValueError` that says why.
    """
    if not text:
        return ()
    found = _RESTART.fullmatch(text)
    if found is None:
        raise ValueError('not like "23:45", "11:45 PM" or "23:45 Europe/Berlin"')
    hour, minute, half, own = found.groups()
    begin = time(_hour_of_day(int(hour), half), int(minute))
    return tuple(
        Rule(
            name=f"gateway restart {text}",
            zone=read_zone(own) if own else zone,
            weekday=weekday,
            begin=begin,
            lasts=timedelta(seconds=lasts_s),
        )
        for weekday in range(7)
    )


def names_a_zone(restart: str) -> bool:
    """Whether the text of a daily restart says its own time zone."""
    found = _RESTART.fullmatch(restart)
    return found is not None and found.group(4) is not None


def _hour_of_day(hour: int, half: str | None) -> int:
    """Read an hour of 24, or one of twelve before or after noon; raises `ValueError` for one that there is not."""
    if half is None:
        return hour
    if not 1 <= hour <= 12:
        raise ValueError(f"there is no hour {hour} {half}")
    return hour % 12 + (12 if half == "PM" else 0)


def read_zone(name: str) -> ZoneInfo:
    """Find a time zone by its IANA name; raises `ValueError` for an unknown one."""
    try:
        return ZoneInfo(name)
    except (
        KeyError,
        OSError,
        ValueError,
    ) as error:  # unknown, a directory of zones, no name at all
        raise ValueError(f"no time zone is called {name!r}") from error


def _times(numbers: list[str]) -> tuple[time, time]:
    begin_hour, begin_minute, end_hour, end_minute = map(int, numbers)
    return time(begin_hour, begin_minute), time(end_hour, end_minute)


def _weekdays(first: str, last: str) -> list[int]:
    """List the days from one to the other, over the end of the week where need be."""
    begin = DAYS.index(first)
    return [(begin + number) % 7 for number in range((DAYS.index(last) - begin) % 7 + 1)]
