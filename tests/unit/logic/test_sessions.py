"""An instrument's hours as IB prints them: open, closed, or not known."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.logic.sessions import (
    Session,
    UnreadableHoursError,
    calendar_of,
    is_regular,
    is_session_open,
    parse_hours,
    waits_until,
)
from actors.model.contracts import SecurityType
from tests.unit.logic.values import SPY

pytestmark = pytest.mark.req("STC-7", "MKT-12")

NEW_YORK = ZoneInfo("America/New_York")
THANKSGIVING = (
    "20251126:0930-20251126:1600;20251127:CLOSED;20251128:0930-20251128:1300;"
    "20251129:CLOSED;20251130:CLOSED;20251201:0930-20251201:1600"
)
"""The NYSE's Thanksgiving week of 2025: a holiday, and a half day after it."""

CHRISTMAS = (
    "20261223:0930-20261223:1600;20261224:0930-20261224:1300;20261225:CLOSED;"
    "20261226:CLOSED;20261227:CLOSED;20261228:0930-20261228:1600"
)


def at(text: str, zone: ZoneInfo = NEW_YORK) -> datetime:
    """A moment by the exchange's clock."""
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


@pytest.mark.parametrize(
    ("hours", "now", "expected"),
    [
        (THANKSGIVING, "2025-11-26 09:29:59", False),
        (THANKSGIVING, "2025-11-26 09:30:00", True),
        (THANKSGIVING, "2025-11-26 15:59:59", True),
        (THANKSGIVING, "2025-11-26 16:00:00", False),
        (THANKSGIVING, "2025-11-27 12:00:00", False),
        (THANKSGIVING, "2025-11-28 12:59:59", True),
        (THANKSGIVING, "2025-11-28 13:00:00", False),
        (THANKSGIVING, "2025-11-29 12:00:00", False),
        (CHRISTMAS, "2026-12-24 12:59:59", True),
        (CHRISTMAS, "2026-12-24 13:00:00", False),
        (CHRISTMAS, "2026-12-25 12:00:00", False),
        (THANKSGIVING, "2025-11-25 12:00:00", None),
        (THANKSGIVING, "2025-12-02 12:00:00", None),
    ],
)
def test_holidays_and_half_days_of_the_nyse(hours: str, now: str, expected: bool | None) -> None:
    assert expected is parse_hours(hours, "US/Eastern").is_open(at(now))


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2025-11-26 16:00", "2025-11-28 09:30"),
        ("2025-11-28 13:00", "2025-12-01 09:30"),
        ("2025-11-28 09:29", "2025-11-28 09:30"),
        ("2025-11-28 09:30", "2025-12-01 09:30"),
    ],
)
def test_the_next_opening_leaps_over_closed_days(now: str, expected: str) -> None:
    assert at(expected) == parse_hours(THANKSGIVING, "US/Eastern").next_open(at(now))


def test_a_session_says_until_when_it_runs() -> None:
    session = parse_hours(THANKSGIVING, "US/Eastern").session_at(at("2025-11-28 10:00"))

    assert session == Session(at("2025-11-28 09:30"), at("2025-11-28 13:00"))


@pytest.mark.parametrize("now", ["2025-11-25 12:00", "2025-12-01 16:00", "2025-12-03 10:00"])
def test_no_opening_is_named_over_days_of_which_nothing_is_known(now: str) -> None:
    assert parse_hours(THANKSGIVING, "US/Eastern").next_open(at(now)) is None


def test_a_day_that_is_left_out_is_not_known_to_be_closed() -> None:
    calendar = parse_hours("20260305:0930-20260305:1600;20260309:0930-20260309:1600", "EST")

    assert calendar.is_open(at("2026-03-06 12:00")) is None
    assert calendar.next_open(at("2026-03-05 17:00")) is None
    assert calendar.next_open(at("2026-03-09 08:00")) == at("2026-03-09 09:30")


def test_a_session_may_run_across_midnight() -> None:
    hours = "20260305:1700-20260306:1600;20260307:CLOSED;20260308:1700-20260309:1600"
    calendar = parse_hours(hours, "US/Central")
    chicago = ZoneInfo("America/Chicago")

    assert [
        calendar.is_open(at(text, chicago))
        for text in ("2026-03-05 23:59", "2026-03-06 15:59", "2026-03-06 16:00", "2026-03-08 17:00")
    ] == [True, True, False, True]
    assert calendar.next_open(at("2026-03-06 16:00", chicago)) == at("2026-03-08 17:00", chicago)


def test_the_older_form_names_the_day_once_and_may_have_a_pause() -> None:
    calendar = parse_hours("20090507:0900-1130,1230-1500;20090508:CLOSED", "Japan")
    tokyo = ZoneInfo("Asia/Tokyo")

    assert [
        calendar.is_open(at(text, tokyo))
        for text in ("2009-05-07 11:29", "2009-05-07 12:00", "2009-05-07 12:30", "2009-05-08 10:00")
    ] == [True, False, True, False]


def test_a_day_that_ends_at_23_59_goes_on_into_the_next() -> None:
    calendar = parse_hours("20260305:0000-20260305:2359;20260306:0000-20260306:2359", "EST")

    assert calendar.is_open(at("2026-03-05 23:59:30")) is True
    assert len(calendar.sessions) == 1


@pytest.mark.parametrize(
    ("day", "opens_hour_utc"),
    [("20260306", 14), ("20260309", 13), ("20261030", 13), ("20261102", 14)],
)
def test_the_open_follows_the_exchanges_summer_time(day: str, opens_hour_utc: int) -> None:
    calendar = parse_hours(f"{day}:0930-{day}:1600", "US/Eastern")

    assert opens_hour_utc == calendar.sessions[0].opens_at.hour


@pytest.mark.parametrize(
    "hours",
    [
        "nonsense",
        "20260305",
        "20260305:",
        "20260305:OPEN",
        "20260305:0930",
        "20260305:0930-",
        "20260305:1600-0930",
        "20260305:0930-20260305:0930",
        "20260305:0930-20260305:2460",
        "20260230:0930-20260230:1600",
        "20260305:0930-20270305:1600",
        "20260305:0930-20260305:1600;x",
        ";".join(["20260305:CLOSED"] * 61),
    ],
)
def test_hours_without_ibs_form_are_refused_and_count_as_unknown(hours: str) -> None:
    with pytest.raises(UnreadableHoursError):
        parse_hours(hours, "US/Eastern")

    assert calendar_of(attrs.evolve(SPY, liquid_hours=hours)) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"liquid_hours": ""},
        {"liquid_hours": "20251128:CLOSED", "time_zone": "Nowhere/Land"},
        {"liquid_hours": "", "trading_hours": THANKSGIVING},
    ],
)
def test_unknown_hours_are_neither_open_nor_closed_and_make_nobody_wait(
    fields: dict[str, Any],
) -> None:
    contract = attrs.evolve(SPY, **fields)

    assert is_session_open(contract, at("2025-11-28 10:00")) is None
    assert waits_until(contract, at("2025-11-28 10:00")) is None


@pytest.mark.req("STC-9")
@pytest.mark.parametrize(
    ("kind", "trades", "regular"),
    [
        (SecurityType.STOCK, False, False),
        (SecurityType.OPTION, False, False),
        (SecurityType.WARRANT, False, False),
        (SecurityType.FUTURE, True, False),
        (SecurityType.FUTURE_OPTION, True, False),
    ],
)
def test_futures_and_their_options_trade_outside_their_liquid_hours(
    kind: SecurityType, trades: bool, regular: bool
) -> None:
    contract = attrs.evolve(
        SPY,
        security_type=kind,
        time_zone="US/Central",
        trading_hours="20251125:1700-20251126:1600",
        liquid_hours="20251126:0830-20251126:1500",
    )
    before_the_bell = at("2025-11-26 03:00")

    assert is_session_open(contract, before_the_bell) is trades
    assert is_regular(contract, before_the_bell) is regular
    assert is_session_open(contract, at("2025-11-26 10:00")) is True
    assert is_regular(contract, at("2025-11-26 10:00")) is True


def test_whether_hours_are_regular_is_not_known_without_them() -> None:
    future = attrs.evolve(SPY, security_type=SecurityType.FUTURE)

    assert is_regular(future, at("2025-11-26 10:00")) is None


def test_an_order_waits_for_the_open_of_the_liquid_hours_only() -> None:
    contract = attrs.evolve(
        SPY,
        liquid_hours=THANKSGIVING,
        trading_hours="20251128:0400-20251128:2000",
    )

    assert waits_until(contract, at("2025-11-28 08:00")) == at("2025-11-28 09:30")
    assert waits_until(contract, at("2025-11-28 10:00")) is None
    assert waits_until(contract, at("2025-11-28 14:00")) == at("2025-12-01 09:30")
    assert waits_until(contract, at("2025-12-05 14:00")) is None


ZONES = ["US/Eastern", "US/Central", "GB-Eire", "MET", "Japan", "Australia/NSW", "UTC"]


@settings(max_examples=200, deadline=None)
@given(
    zone_name=st.sampled_from(ZONES),
    first=st.dates(date(2025, 1, 1), date(2026, 12, 20)),
    days=st.lists(
        st.tuples(st.booleans(), st.integers(240, 700), st.integers(701, 1438)), min_size=1
    ),
    offset_min=st.integers(-2_000, 60_000),
)
def test_what_is_said_of_an_instant_is_what_the_exchanges_clock_shows(
    zone_name: str, first: date, days: list[tuple[bool, int, int]], offset_min: int
) -> None:
    """Independent: the local clock at the instant is looked up in the table of minutes, without any session."""
    days = days[:50]
    table = {first + timedelta(days=index): row for index, row in enumerate(days)}
    zones = {"US/Eastern": "America/New_York", "US/Central": "America/Chicago"}
    zones |= {"GB-Eire": "Europe/London", "MET": "Europe/Berlin"}
    zones |= {"Japan": "Asia/Tokyo", "Australia/NSW": "Australia/Sydney"}
    zone = ZoneInfo(zones.get(zone_name, zone_name))
    now = datetime.combine(first, time(), zone).astimezone(UTC) + timedelta(minutes=offset_min)

    calendar = parse_hours(";".join(_day(day, row) for day, row in table.items()), zone_name)

    local = now.astimezone(zone)
    row = table.get(local.date())
    minute = local.hour * 60 + local.minute
    expected = None if row is None else row[0] and row[1] <= minute < row[2]
    assert expected is calendar.is_open(now)
    opening = calendar.next_open(now)
    if opening is not None:
        assert opening > now
        assert calendar.is_open(opening) is True
        assert calendar.is_open(opening - timedelta(seconds=1)) is not True
    assert all(one.closes_at < two.opens_at for one, two in pairwise(calendar.sessions))


def _day(day: date, row: tuple[bool, int, int]) -> str:
    is_open, opens, closes = row
    if not is_open:
        return f"{day:%Y%m%d}:CLOSED"
    return f"{day:%Y%m%d}:{opens // 60:02d}{opens % 60:02d}-{day:%Y%m%d}:{closes // 60:02d}{closes % 60:02d}"
