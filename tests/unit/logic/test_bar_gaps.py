"""Which minutes without a bar are a gap, and which are a closed market."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import attrs
import pytest

from actors.market_data.bar_gaps import missing_bars
from actors.model.contracts import Contract, SecurityType
from actors.model.market import Bar, BarGap

NEW_YORK = ZoneInfo("America/New_York")
MINUTE = timedelta(minutes=1)
HOURS = "20260305:0930-20260305:1600;20260306:0930-20260306:1600;20260309:0930-20260309:1600"
SPY = Contract(
    con_id=756733,
    symbol="SPY",
    security_type=SecurityType.STOCK,
    time_zone="US/Eastern",
    liquid_hours=HOURS,
)
LUNCH = attrs.evolve(
    SPY,
    time_zone="Asia/Tokyo",
    liquid_hours="20260306:0900-20260306:1130,1230-20260306:1530",
)


def at(clock: str, day: int = 6, zone: ZoneInfo = NEW_YORK) -> datetime:
    """A moment in March 2026 at the exchange."""
    hour, minute = map(int, clock.split(":"))
    return datetime(2026, 3, day, hour, minute, tzinfo=zone).astimezone(UTC)


def bars(*stretches: tuple[datetime, int]) -> list[Bar]:
    """Bars from each beginning, so many minutes long."""
    return [_bar(start + MINUTE * number) for start, count in stretches for number in range(count)]


def _bar(start: datetime) -> Bar:
    return Bar(start=start, open=1.0, high=1.0, low=1.0, close=1.0, volume=1.0)


def gap(begins_at: datetime, ends_at: datetime) -> BarGap:
    return BarGap(symbol="SPY", begins_at=begins_at, ends_at=ends_at)


@pytest.mark.req("MKT-6")
def test_minutes_without_bars_within_a_session_are_a_gap() -> None:
    read = bars((at("10:00"), 10), (at("10:13"), 7))

    (found,) = missing_bars(read, SPY, at("10:20"))

    assert found == gap(at("10:10"), at("10:13"))
    assert found.minutes == 3


@pytest.mark.req("MKT-6")
def test_every_gap_is_told() -> None:
    read = bars((at("10:00"), 1), (at("10:02"), 1), (at("10:05"), 1))

    found = missing_bars(read, SPY, at("10:06"))

    assert found == (gap(at("10:01"), at("10:02")), gap(at("10:03"), at("10:05")))


@pytest.mark.req("MKT-6")
@pytest.mark.parametrize(
    "read",
    [
        pytest.param(bars((at("15:30", 5), 30), (at("09:30"), 10)), id="a night"),
        pytest.param(bars((at("15:30", 6), 30), (at("09:30", 9), 10)), id="a weekend"),
        pytest.param(bars((at("15:30", 4), 10), (at("09:30", 5), 10)), id="a day nobody described"),
        pytest.param(bars((at("10:00"), 10)), id="none"),
        pytest.param([], id="no bar at all"),
    ],
)
def test_what_lies_between_two_sessions_is_no_gap(read: list[Bar]) -> None:
    now = read[-1].start + MINUTE if read else at("10:00")

    assert missing_bars(read, SPY, now) == ()


@pytest.mark.req("MKT-6")
def test_a_lunch_break_is_no_gap() -> None:
    tokyo = ZoneInfo("Asia/Tokyo")
    read = bars((at("11:00", zone=tokyo), 30), (at("12:30", zone=tokyo), 30))

    assert missing_bars(read, LUNCH, at("13:00", zone=tokyo)) == ()


@pytest.mark.req("MKT-6")
@pytest.mark.parametrize("hours", ["", "rubbish"])
def test_nothing_is_said_where_the_hours_are_not_known(hours: str) -> None:
    read = bars((at("10:00"), 10), (at("10:30"), 10))

    assert missing_bars(read, attrs.evolve(SPY, liquid_hours=hours), at("10:40")) == ()


@pytest.mark.req("MKT-6")
@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param(at("10:10"), (), id="the newest bar has just closed"),
        pytest.param(at("10:11"), (), id="the next one may be on its way"),
        pytest.param(at("10:12"), (gap(at("10:10"), at("10:12")),), id="it did not come"),
        pytest.param(at("15:59"), (gap(at("10:10"), at("15:59")),), id="hours later"),
        pytest.param(at("20:00"), (gap(at("10:10"), at("16:00")),), id="up to the close"),
    ],
)
def test_bars_that_end_too_early_are_a_gap_up_to_now_or_the_close(
    now: datetime, expected: tuple[BarGap, ...]
) -> None:
    read = bars((at("10:00"), 10))

    assert missing_bars(read, SPY, now) == expected


@pytest.mark.req("MKT-6")
@pytest.mark.parametrize("month_day", [(3, 8), (11, 1)], ids=["spring", "autumn"])
def test_the_change_of_clocks_makes_no_gap_and_hides_none(month_day: tuple[int, int]) -> None:
    """A market that is open around the clock, over the hour that is skipped or repeated."""
    day = datetime(2026, *month_day, tzinfo=NEW_YORK)
    text = f"{day:%Y%m%d}"
    always = attrs.evolve(SPY, liquid_hours=f"{text}:0000-{text}:2359")
    begins_at = day.astimezone(UTC) + timedelta(minutes=30)
    read = bars((begins_at, 240))

    assert missing_bars(read, always, begins_at + MINUTE * 240) == ()
    holed = _without(read, range(100, 105))
    assert missing_bars(holed, always, begins_at + MINUTE * 240) == (
        gap(begins_at + MINUTE * 100, begins_at + MINUTE * 105),
    )


def _without(read: list[Bar], numbers: Iterable[int]) -> list[Bar]:
    left_out = set(numbers)
    return [bar for number, bar in enumerate(read) if number not in left_out]
