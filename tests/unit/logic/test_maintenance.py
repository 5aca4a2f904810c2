"""Maintenance windows are where the wall clock says, in every week of the year, both changes of the clocks included."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.logic.maintenance import (
    IB_WINDOWS,
    IB_ZONE,
    Maintenance,
    Window,
    parse_restart,
    parse_windows,
    read_zone,
)

pytestmark = pytest.mark.req("CON-15")

NEW_YORK = ZoneInfo(IB_ZONE)
BERLIN = ZoneInfo("Europe/Berlin")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
"""Its clocks change by half an hour, in the southern summer."""
MINUTES_OF_WEEK = 7 * 24 * 60
BEFORE_S = 120.0


def maintenance(
    *windows: str, zone: ZoneInfo = NEW_YORK, restart: str = "", lasts_s: float = 300.0
) -> Maintenance:
    """Make the schedule of these rules."""
    rules = [rule for text in windows for rule in parse_windows(text, zone)]
    rules += parse_restart(restart, lasts_s, zone)
    return Maintenance(rules=tuple(rules), stop_opening_before_s=BEFORE_S)


IB = maintenance(*IB_WINDOWS)


def local(text: str, zone: ZoneInfo = NEW_YORK, fold: int = 0) -> datetime:
    """Read a local time."""
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(UTC)


# --- the published windows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "inside"),
    [
        ("2025-11-19T00:14:59", False),
        ("2025-11-19T00:15:00", True),  # Wednesday
        ("2025-11-19T01:44:59", True),
        ("2025-11-19T01:45:00", False),
        ("2025-11-21T00:30:00", True),  # Friday, early
        ("2025-11-21T22:59:59", False),
        ("2025-11-21T23:00:00", True),  # Friday, late
        ("2025-11-22T02:59:59", True),  # Saturday
        ("2025-11-22T03:00:00", False),
        ("2025-11-22T12:00:00", False),
        ("2025-11-23T00:15:00", True),  # Sunday
    ],
)
def test_the_published_reset_times_are_windows(at: str, inside: bool) -> None:
    assert (IB.window_at(local(at)) is not None) is inside


def test_saturday_has_no_window_of_its_own_after_the_long_one() -> None:
    after = IB.next_window(local("2025-11-22T01:00:00"))

    assert after is not None
    assert after.begins_at == local("2025-11-23T00:15:00")


def test_a_window_says_its_name_and_its_end() -> None:
    window = IB.window_at(local("2025-07-15T00:30:00"))

    assert str(window) == "planned maintenance (Sun-Fri 00:15-01:45) until 2025-07-15 05:45:00 UTC"


def test_without_rules_there_is_no_maintenance() -> None:
    none = Maintenance()
    now = local("2025-11-19T00:30:00")

    assert (none.window_at(now), none.obstacle(now)) == (None, None)
    assert (none.next_window(now), none.next_change(now)) == (None, None)


# --- before a window --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "blocked"),
    [
        ("2025-11-19T00:12:59", False),
        ("2025-11-19T00:13:00", True),
        ("2025-11-19T01:44:59", True),
        ("2025-11-19T01:45:00", False),
    ],
)
def test_opening_stops_before_a_window_and_until_its_end(at: str, blocked: bool) -> None:
    assert (IB.obstacle(local(at)) is not None) is blocked


def test_a_window_shorter_than_the_time_before_it_is_not_overlooked() -> None:
    short = maintenance(restart="23:45", lasts_s=30.0)

    assert short.obstacle(local("2025-11-19T23:44:00")) is not None


# --- rules ------------------------------------------------------------------------------------------------------------


def test_a_daily_restart_has_a_zone_of_its_own() -> None:
    schedule = maintenance(restart="23:45 Europe/Berlin", lasts_s=600.0)

    window = schedule.next_window(local("2025-11-19T12:00:00"))

    assert window == Window(
        begins_at=local("2025-11-19T23:45:00", BERLIN),
        ends_at=local("2025-11-19T23:55:00", BERLIN),
        name="gateway restart 23:45 Europe/Berlin",
    )


def test_windows_that_meet_are_one() -> None:
    schedule = maintenance("Mon 22:00-23:00", "Mon 23:00-Tue 01:00", restart="00:30", lasts_s=3600)

    window = schedule.window_at(local("2025-11-17T22:30:00"))

    assert window is not None
    assert window.ends_at == local("2025-11-18T01:30:00")
    assert window.name == "Mon 22:00-23:00 and Mon 23:00-Tue 01:00 and gateway restart 00:30"


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("Sat-Mon 23:00-01:00", "2025-11-18T00:30:00", "2025-11-18T23:30:00"),
        ("Sun 20:00-Mon 04:00", "2025-11-17T03:00:00", "2025-11-18T03:00:00"),
        ("Mon 01:00-Sun 23:00", "2025-11-20T12:00:00", "2025-11-16T23:30:00"),
    ],
)
def test_windows_cross_midnight_and_the_end_of_the_week(
    text: str, inside: str, outside: str
) -> None:
    schedule = maintenance(text)

    assert schedule.window_at(local(inside)) is not None
    assert schedule.window_at(local(outside)) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "neither like"),
        ("Sun-Fri 00:15", "neither like"),
        ("sun 00:15-01:45", "neither like"),
        ("Sun 24:00-01:45", "neither like"),
        ("Sun 00:60-01:45", "neither like"),
        ("Sun 00:15-01:45 ", "neither like"),
        ("Sun 0:15-1:45", "neither like"),
        ("Sun 01:00-01:00", "begins and ends at the same time"),
        ("Sun 02:00-Sun 01:00", "ends before it begins"),
    ],
)
def test_a_window_that_cannot_be_read_says_why(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_windows(text, NEW_YORK)


@pytest.mark.parametrize(
    "text", ["23", "24:00", "23:45 Nowhere/City", "23:45 America", "23:45 ../x"]
)
def test_a_restart_that_cannot_be_read_says_why(text: str) -> None:
    with pytest.raises(ValueError, match=r"not like|no time zone"):
        parse_restart(text, 60.0, NEW_YORK)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "America", "/etc/passwd", "a\0b"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        read_zone(name)


# --- changes of the clocks --------------------------------------------------------------------------------------------


def test_a_repeated_hour_makes_the_window_longer() -> None:
    window = IB.window_at(local("2025-11-02T00:30:00"))

    assert window is not None
    assert window.ends_at == local("2025-11-02T01:45:00", fold=1)
    assert window.ends_at - window.begins_at == timedelta(hours=2, minutes=30)


def test_a_skipped_hour_does_not_touch_the_published_window() -> None:
    window = IB.window_at(local("2026-03-08T00:30:00"))

    assert window is not None
    assert window.ends_at - window.begins_at == timedelta(hours=1, minutes=30)


def test_a_window_within_the_skipped_hour_is_not_lost() -> None:
    window = maintenance("Sun 02:15-02:45").next_window(local("2026-03-07T12:00:00"))

    assert window is not None
    assert window.begins_at <= local("2026-03-08T03:15:00") < window.ends_at


times = st.integers(0, MINUTES_OF_WEEK - 1)
instants = st.floats(0.0, 366 * 86_400.0).map(
    lambda second: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
)
zones = st.sampled_from([NEW_YORK, BERLIN, LORD_HOWE, ZoneInfo("UTC")])
NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


@st.composite
def spans(draw: st.DrawFn) -> tuple[int, int]:
    """Draw a window by its first minute of the week and its length in minutes."""
    return draw(times), draw(st.integers(1, 24 * 60 - 1))


def text_of(span: tuple[int, int]) -> str:
    begin, length = span
    end = (begin + length) % MINUTES_OF_WEEK
    first, last = (NAMES[minute // (24 * 60)] for minute in (begin, end))
    return f"{first} {clock(begin % (24 * 60))}-{last} {clock(end % (24 * 60))}"


def clocks_change_near(now: datetime, zone: ZoneInfo) -> bool:
    """Whether the zone's clocks change within a day and a half."""
    around = (now + timedelta(hours=hours) for hours in range(-36, 37))
    return len({moment.astimezone(zone).utcoffset() for moment in around}) > 1


@given(st.lists(spans(), min_size=1, max_size=4), zones, instants)
def test_windows_are_where_the_wall_clock_says(
    drawn: list[tuple[int, int]], zone: ZoneInfo, now: datetime
) -> None:
    schedule = maintenance(*map(text_of, drawn), zone=zone)
    wall = now.astimezone(zone)
    minute = (wall.weekday() * 24 + wall.hour) * 60 + wall.minute
    expected = any((minute - begin) % MINUTES_OF_WEEK < length for begin, length in drawn)

    found = schedule.window_at(now) is not None

    assert found is expected or (clocks_change_near(now, zone) and (found or not expected))


@given(st.lists(spans(), min_size=1, max_size=4), zones, instants)
def test_begins_ends_and_changes_agree_with_each_other(
    drawn: list[tuple[int, int]], zone: ZoneInfo, now: datetime
) -> None:
    schedule = maintenance(*map(text_of, drawn), zone=zone, restart="12:00", lasts_s=60.0)
    tick = timedelta(microseconds=1)
    moment, seen = now, []
    for _ in range(4):
        window = schedule.next_window(moment)
        assert window is not None
        seen.append(window)
        moment = window.begins_at

    for window in seen:
        assert schedule.window_at(window.begins_at) == window
        assert schedule.window_at(window.ends_at - tick) == window
        assert schedule.window_at(window.begins_at - tick) is None
        assert schedule.window_at(window.ends_at) is None
        assert schedule.obstacle(window.begins_at - timedelta(seconds=BEFORE_S)) is not None
    for one, following in pairwise(seen):
        assert one.ends_at < following.begins_at


@given(st.lists(spans(), min_size=1, max_size=3), zones, instants)
def test_nothing_changes_before_the_next_change(
    drawn: list[tuple[int, int]], zone: ZoneInfo, now: datetime
) -> None:
    schedule = maintenance(*map(text_of, drawn), zone=zone)
    change = schedule.next_change(now)
    assert change is not None
    assert change > now
    last = change - timedelta(microseconds=1)

    def state(moment: datetime) -> tuple[object, bool]:
        return schedule.window_at(moment), schedule.obstacle(moment) is not None

    between = [now + (last - now) * part / 8 for part in range(9)]
    assert {state(moment) for moment in between} == {state(now)}
    assert state(change) != state(now)
