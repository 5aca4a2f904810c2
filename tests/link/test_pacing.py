"""IB's message limit, kept before the gate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import ConfigurationError
from actors.link.pacing import (
    NOTHING_SENT,
    WINDOW_S,
    PacingLane,
    PacingLimits,
    Sent,
    record,
    wait_s,
)

LIMITS = PacingLimits(rate_per_s=45, reserve_per_s=10)


def _send(count: int, now: float, sent: Sent = NOTHING_SENT) -> Sent:
    for _ in range(count):
        sent = record(sent, now, LIMITS)
    return sent


@pytest.mark.req("CON-14")
def test_data_stops_at_the_reserve_and_the_priority_lane_goes_on() -> None:
    sent = _send(35, 100.0)

    assert wait_s(sent, 100.0, PacingLane.DATA, LIMITS) > 0
    assert wait_s(sent, 100.0, PacingLane.ORDER, LIMITS) > 0
    assert wait_s(sent, 100.0, PacingLane.PRIORITY, LIMITS) == 0


@pytest.mark.req("CON-14")
def test_even_the_priority_lane_stops_at_the_rate() -> None:
    sent = _send(45, 100.0)

    assert wait_s(sent, 100.25, PacingLane.PRIORITY, LIMITS) == pytest.approx(WINDOW_S - 0.25)


def test_the_window_slides() -> None:
    sent = record(_send(44, 100.0), 100.5, LIMITS)

    assert wait_s(sent, 101.0, PacingLane.PRIORITY, LIMITS) == pytest.approx(WINDOW_S - 1.0)
    assert wait_s(sent, 100.0 + WINDOW_S, PacingLane.PRIORITY, LIMITS) == 0


def test_a_reserve_that_leaves_nothing_for_data_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="reserve_per_s must be 0 to rate_per_s - 1 = 44"):
        PacingLimits(rate_per_s=45, reserve_per_s=45)


@pytest.mark.req("CON-14")
@given(
    st.lists(st.tuples(st.floats(0.0, 0.2), st.sampled_from(PacingLane)), min_size=1, max_size=300)
)
def test_no_second_ever_holds_more_than_the_rate(arrivals: list[tuple[float, PacingLane]]) -> None:
    """Whoever waits as told never exceeds the limit, and what is remembered stays bounded."""
    now, sent = 0.0, NOTHING_SENT
    times: list[float] = []
    for gap_s, lane in arrivals:
        now += gap_s
        while (delay_s := wait_s(sent, now, lane, LIMITS)) > 0:
            now += delay_s
        sent = record(sent, now, LIMITS)
        times.append(now)
        assert len(sent) <= LIMITS.rate_per_s

    for index, begin in enumerate(times):
        assert sum(begin <= at < begin + 0.999_999 for at in times[index:]) <= LIMITS.rate_per_s
