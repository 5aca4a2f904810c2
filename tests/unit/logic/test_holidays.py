"""The New York Stock Exchange's calendar of holidays."""

from __future__ import annotations

from datetime import date

import pytest

from actors.logic.holidays import easter, holidays, is_business_day

# As published by the exchange; month and day.
PUBLISHED = {
    2021: ["01-01", "01-18", "02-15", "04-02", "05-31", "07-05", "09-06", "11-25", "12-24"],
    2022: ["01-17", "02-21", "04-15", "05-30", "06-20", "07-04", "09-05", "11-24", "12-26"],
    2024: [
        "01-01",
        "01-15",
        "02-19",
        "03-29",
        "05-27",
        "06-19",
        "07-04",
        "09-02",
        "11-28",
        "12-25",
    ],
    2025: [
        "01-01",
        "01-20",
        "02-17",
        "04-18",
        "05-26",
        "06-19",
        "07-04",
        "09-01",
        "11-27",
        "12-25",
    ],
    2026: [
        "01-01",
        "01-19",
        "02-16",
        "04-03",
        "05-25",
        "06-19",
        "07-03",
        "09-07",
        "11-26",
        "12-25",
    ],
    2027: [
        "01-01",
        "01-18",
        "02-15",
        "03-26",
        "05-31",
        "06-18",
        "07-05",
        "09-06",
        "11-25",
        "12-24",
    ],
}


@pytest.mark.req("RSK-1", "RSK-5")
@pytest.mark.parametrize("year", PUBLISHED)
def test_the_holidays_are_those_that_the_exchange_published(year: int) -> None:
    assert [f"{day:%m-%d}" for day in sorted(holidays(year))] == PUBLISHED[year]


@pytest.mark.parametrize(
    "day", [date(2000, 4, 23), date(2019, 4, 21), date(2024, 3, 31), date(2038, 4, 25)]
)
def test_easter_is_found(day: date) -> None:
    assert day == easter(day.year)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2026, 7, 2), True),
        (date(2026, 7, 3), False),
        (date(2026, 7, 4), False),
        (date(2026, 7, 6), True),
        (date(2021, 12, 31), True),  # New Year's Day of 2022 fell on a Saturday
    ],
)
def test_business_days_leave_out_weekends_and_holidays(day: date, expected: bool) -> None:
    assert expected is is_business_day(day)
