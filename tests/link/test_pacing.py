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

LIMITS = PacingLimits(rate_per_s=45, reserve_per_s=10, opening_reserve_per_s=5, data_burst=5)


def _send(
    count: int, now: float, sent: Sent = NOTHING_SENT, lane: PacingLane = PacingLane.OPENING
) -> Sent:
    for _ in range(count):
        sent = record(sent, now, lane, LIMITS)
    return sent


@pytest.mark.req("CON-14")
@pytest.mark.parametrize(
    ("sent_already", "may_go"),
    [
        (29, set(PacingLane)),
        (30, {PacingLane.CLOSE, PacingLane.OPENING, PacingLane.STATE}),
        (34, {PacingLane.CLOSE, PacingLane.OPENING, PacingLane.STATE}),
        (35, {PacingLane.CLOSE}),
        (44, {PacingLane.CLOSE}),
        (45, set()),
    ],
)
def test_each_lane_stops_where_the_reserve_of_a_better_one_begins(
    sent_already: int, may_go: set[PacingLane]
) -> None:
    sent = _send(sent_already, 100.0)

    assert may_go == {lane for lane in PacingLane if wait_s(sent, 100.0, lane, LIMITS) == 0}


@pytest.mark.req("CON-14")
def test_data_flows_evenly_after_a_short_burst() -> None:
    now, sent = 100.0, NOTHING_SENT
    gone: list[float] = []
    while len(gone) < 40:
        now += wait_s(sent, now, PacingLane.DATA, LIMITS)
        sent = record(sent, now, PacingLane.DATA, LIMITS)
        gone.append(now)

    assert gone[: LIMITS.data_burst] == [100.0] * LIMITS.data_burst
    for index, begin in enumerate(gone):
        for count, at in enumerate(gone[index:], start=1):
            in_a_burst = LIMITS.data_burst + (at - begin) / LIMITS.data_distance_s
            assert count <= in_a_burst + 1e-6


@pytest.mark.req("CON-14")
def test_a_feed_has_no_burst_and_leaves_the_one_of_those_who_wait() -> None:
    sent = record(NOTHING_SENT, 100.0, PacingLane.FEED, LIMITS)

    assert wait_s(sent, 100.0, PacingLane.FEED, LIMITS) == pytest.approx(LIMITS.data_distance_s)
    assert wait_s(sent, 100.0, PacingLane.DATA, LIMITS) == 0


@pytest.mark.req("CON-14")
def test_even_the_closing_lane_stops_at_the_rate() -> None:
    sent = _send(45, 100.0)

    assert wait_s(sent, 100.25, PacingLane.CLOSE, LIMITS) == pytest.approx(WINDOW_S - 0.25)


def test_the_window_slides() -> None:
    sent = _send(1, 100.5, _send(44, 100.0))

    assert wait_s(sent, 101.0, PacingLane.CLOSE, LIMITS) == pytest.approx(WINDOW_S - 1.0)
    assert wait_s(sent, 100.0 + WINDOW_S, PacingLane.CLOSE, LIMITS) == 0


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
        sent = record(sent, now, lane, LIMITS)
        times.append(now)
        assert len(sent.times) <= LIMITS.rate_per_s

    for index, begin in enumerate(times):
        assert sum(begin <= at < begin + 0.999_999 for at in times[index:]) <= LIMITS.rate_per_s
