"""IB's names of time zones."""

from __future__ import annotations

from datetime import datetime

import pytest

from actors.logic.zones import NEW_YORK, utc_of, zone_of


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("US/Eastern", "America/New_York"),
        ("EST (Eastern Standard Time)", "America/New_York"),
        ("EST5EDT", "America/New_York"),
        ("America/New_York", "America/New_York"),
        ("CST (Central Standard Time)", "America/Chicago"),
        ("CTT", "America/Chicago"),
        ("MET (Middle Europe Time)", "Europe/Berlin"),
        ("GB-Eire", "Europe/London"),
        ("GMT (Greenwich Mean Time)", "Europe/London"),
        ("JST (Japan Standard Time)", "Asia/Tokyo"),
        ("Japan", "Asia/Tokyo"),
        ("Hongkong", "Asia/Hong_Kong"),
        ("AET", "Australia/Sydney"),
        ("AEST (Australian Eastern Standard Time (New South Wales))", "Australia/Sydney"),
        ("Europe/Warsaw", "Europe/Warsaw"),
        ("UTC", "UTC"),
    ],
)
def test_a_zone_is_found_by_ibs_name_and_by_the_databases(name: str, expected: str) -> None:
    zone = zone_of(name)

    assert zone is not None
    assert expected == zone.key


@pytest.mark.parametrize(
    "name", ["", "  ", "Nowhere/Land", "../etc/passwd", "America", "\0", "(x)"]
)
def test_a_name_that_nobody_knows_is_no_zone(name: str) -> None:
    assert zone_of(name) is None


def test_new_york_has_its_summer_time_under_ibs_short_name() -> None:
    summer = datetime(2026, 7, 1, 9, 30)  # noqa: DTZ001 - the exchange's local time
    zone = zone_of("EST")

    assert zone is not None
    assert utc_of(summer, zone).hour == 13


@pytest.mark.parametrize(
    ("local", "early", "late"),
    [
        (datetime(2026, 11, 1, 1, 30), 5, 6),  # noqa: DTZ001 - shown twice
        (datetime(2026, 3, 8, 2, 30), 6, 7),  # noqa: DTZ001 - leapt over
        (datetime(2026, 3, 9, 2, 30), 6, 6),  # noqa: DTZ001 - as on every other day
    ],
)
def test_a_time_with_two_readings_is_taken_as_asked(local: datetime, early: int, late: int) -> None:
    assert (early, late) == (
        utc_of(local, NEW_YORK).hour,
        utc_of(local, NEW_YORK, latest=True).hour,
    )
