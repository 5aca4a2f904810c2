"""Since when data stands still, and how lively it is: only what changes, or a trade's stamp, proves anything."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from statistics import median
from typing import Any, Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.logic import freshness
from actors.logic.freshness import NEVER_SEEN, Pulse
from actors.model.market import DataSource, DataType, Pace, Quote
from actors.sections.market_data import MarketData
from tests.unit.logic.values import NOW, SPY

LIMITS: Final = MarketData()
FIRST: Final = Quote(contract=SPY, received_at=NOW, bid=10.0, ask=10.1, last=10.0)
OTHER: Final = attrs.evolve(FIRST, bid=10.01)
SESSION: Final = NOW - timedelta(hours=1)


def look(pulse: Pulse, quote: Quote, now: float, session: datetime | None = SESSION) -> Pulse:
    """Look at a quote that was received at ``now``."""
    received = attrs.evolve(quote, received_at=NOW + timedelta(seconds=now))
    return freshness.looked(pulse, received, now, session, LIMITS)


def changing(every_s: float, times: int, look_s: float = 1.0) -> Pulse:
    """Look every ``look_s`` at data that changes every ``every_s``, until the last of so many changes."""
    pulse, now, changes = NEVER_SEEN, 0.0, -1
    while changes < times:
        changes = int(now / every_s)
        pulse = look(pulse, attrs.evolve(FIRST, bid=10.0 + changes / 100), now)
        now += look_s
    return pulse


def trade(ago_s: float, at: float = 0.0) -> dict[str, Any]:
    """A trade's stamp, so many seconds before the look at ``at``."""
    return {"traded_at": NOW + timedelta(seconds=at - ago_s)}


@pytest.mark.req("MKT-12")
@pytest.mark.parametrize(
    ("first", "second", "after_s", "changed_at"),
    [
        pytest.param(FIRST, FIRST, 1.0, None, id="receipt of the same proves nothing"),
        pytest.param(FIRST, OTHER, 1.0, 1.0, id="the second look confirms"),
        pytest.param(FIRST, attrs.evolve(FIRST, ask_size=7.0), 1.0, 1.0, id="a size is enough"),
        pytest.param(FIRST, attrs.evolve(FIRST, volume=7.0), 1.0, None, id="a volume is not"),
        pytest.param(
            FIRST, OTHER, 61.0, 0.0, id="after a while it may be old: dated by the look before"
        ),
        pytest.param(attrs.evolve(FIRST, **trade(5.0)), FIRST, 1.0, -5.0, id="a stamp confirms"),
        pytest.param(attrs.evolve(FIRST, **trade(-5.0)), FIRST, 1.0, 0.0, id="not in the future"),
        pytest.param(
            FIRST, attrs.evolve(OTHER, data_type=DataType.DELAYED), 1.0, None, id="delayed"
        ),
        pytest.param(FIRST, attrs.evolve(OTHER, data_type=DataType.FROZEN), 1.0, None, id="frozen"),
        pytest.param(
            FIRST, attrs.evolve(OTHER, source=DataSource.ALPHA_VANTAGE), 1.0, None, id="second-hand"
        ),
        pytest.param(FIRST, Quote(contract=SPY, received_at=NOW), 1.0, None, id="no price"),
    ],
)
def test_what_proves_a_change(
    first: Quote, second: Quote, after_s: float, changed_at: float | None
) -> None:
    assert look(look(NEVER_SEEN, first, 0.0), second, after_s).changed_at == changed_at


@pytest.mark.req("MKT-12")
def test_a_newer_stamp_is_not_older_than_the_look_before_whatever_the_wall_clock_says() -> None:
    first = look(NEVER_SEEN, attrs.evolve(FIRST, **trade(1.0)), 0.0)
    step = timedelta(hours=1)
    newer = attrs.evolve(FIRST, traded_at=NOW + timedelta(seconds=1), received_at=NOW + step)

    assert freshness.looked(first, newer, 2.0, SESSION, LIMITS).changed_at == 0.0


@pytest.mark.req("MKT-12")
@given(st.floats(-1e6, 1e6), st.floats(0.1, 1e4))
def test_a_step_of_the_wall_clock_changes_no_age(step_s: float, later_s: float) -> None:
    seen = look(look(NEVER_SEEN, attrs.evolve(FIRST, **trade(1.0)), 0.0), OTHER, 1.0)
    stepped = attrs.evolve(
        OTHER, received_at=NOW + timedelta(seconds=1.0 + later_s + step_s), **trade(1.0)
    )

    again = freshness.looked(seen, stepped, 1.0 + later_s, SESSION, LIMITS)

    assert again.changed_at == 1.0


@pytest.mark.req("MKT-13")
@pytest.mark.parametrize(
    ("every_s", "times", "look_s", "expected"),
    [
        pytest.param(2.0, 20, 1.0, Pace(), id="unknown before so many changes"),
        pytest.param(2.0, 30, 1.0, Pace(typical_s=2.0, suspect_after_s=60.0), id="lively"),
        pytest.param(4.0, 30, 1.0, Pace(typical_s=4.0, suspect_after_s=80.0), id="lively, slow"),
        pytest.param(6.0, 30, 2.0, Pace(typical_s=6.0, suspect_after_s=120.0), id="three looks"),
        pytest.param(20.0, 30, 2.0, Pace(typical_s=20.0, rests_s=60.0), id="quiet"),
    ],
)
def test_how_lively_data_is(every_s: float, times: int, look_s: float, expected: Pace) -> None:
    pulse = changing(every_s, times, look_s)
    found = freshness.pace_of(pulse, LIMITS)

    changed_at, longest_s = pulse.changed_at, LIMITS.stale_after_s
    seen_at = pulse.looked_at
    assert found == attrs.evolve(
        expected, changed_at=changed_at, seen_at=seen_at, stale_after_s=longest_s
    )


@pytest.mark.req("MKT-13")
def test_another_session_begins_to_count_anew_and_keeps_the_age() -> None:
    pulse = changing(2.0, 30)
    at = pulse.looked_at or 0.0
    changed_at = pulse.changed_at

    opened = freshness.looked(pulse, FIRST, at + 1.0, NOW, LIMITS)

    assert freshness.typical(opened, LIMITS) is None
    assert changed_at is not None
    assert opened.changed_at is not None


@pytest.mark.req("MKT-13")
@pytest.mark.parametrize(
    ("pace", "expected"),
    [
        (Pace(stale_after_s=300.0), 60.0),
        (Pace(typical_s=2.0, suspect_after_s=60.0, stale_after_s=300.0), 60.0),
        (Pace(typical_s=10.0, rests_s=30.0, stale_after_s=300.0), 60.0),
        (Pace(typical_s=40.0, rests_s=120.0, stale_after_s=300.0), 120.0),
        (Pace(typical_s=200.0, rests_s=600.0, stale_after_s=300.0), 300.0),
        (Pace(stale_after_s=8.0), 8.0),
    ],
)
def test_how_old_a_quote_may_be_that_opens_something(pace: Pace, expected: float) -> None:
    assert freshness.opens_until_s(pace, 60.0) == expected


@pytest.mark.req("MKT-13")
def test_what_is_suspect_is_never_younger_than_what_is_stale_by_its_own_setting() -> None:
    assert freshness.suspect_after(0.1, MarketData(stale_after_s=8.0)) == 8.0


@pytest.mark.req("MKT-12", "MKT-13")
@given(
    st.lists(st.floats(0.1, 10.0), min_size=25, max_size=80),
    st.floats(0.5, 30.0),
    st.floats(0.0, 2000.0),
)
def test_lively_data_that_freezes_at_any_moment_is_suspect_in_time_and_not_before(
    intervals: list[float], look_s: float, stands_s: float
) -> None:
    pulse, now, price = NEVER_SEEN, 0.0, 10.0
    for interval_s in intervals:
        pulse = look(pulse, attrs.evolve(FIRST, bid=price), now)
        now, price = now + interval_s, price + 0.01
    changed_at = pulse.changed_at
    frozen = now - intervals[-1]
    looks = int(stands_s / look_s)
    for each in range(1, looks + 1):
        pulse = look(pulse, attrs.evolve(FIRST, bid=price - 0.01), frozen + each * look_s)
    pace, age_s = freshness.pace_of(pulse, LIMITS), looks * look_s

    assert pulse.changed_at == changed_at == pytest.approx(frozen)
    assert freshness.age_s(pace, frozen + age_s) == pytest.approx(age_s, abs=1e-6)
    if math.isfinite(pace.suspect_after_s):
        assert pace.typical_s is not None
        usual_s = median(intervals[-21:-1])
        assert pace.suspect_after_s <= max(60.0, 20.0 * 1.2 * max(usual_s, median(intervals[1:-1])))
