"""The circuit breaker: on given time, and by nothing but what it is fed (CON-6)."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.model.connection import BreakerState
from supervision.process.breaker import SLACK_S, ConnectionBreaker

FAILURES = 5
OPEN_S = 30.0
SUCCESSES = 2
B = BreakerState


def a_breaker() -> ConnectionBreaker:
    return ConnectionBreaker(failures=FAILURES, open_s=OPEN_S, successes=SUCCESSES)


def opened(at: float = 0.0) -> ConnectionBreaker:
    breaker = a_breaker()
    for _ in range(FAILURES):
        breaker.failed(at)
    return breaker


@pytest.mark.req("CON-6")
def test_it_opens_at_the_fifth_failure_in_a_row_and_not_before() -> None:
    breaker = a_breaker()
    states = []
    for _ in range(FAILURES):
        breaker.failed(1.0)
        states.append(breaker.state)

    assert states == [B.CLOSED] * (FAILURES - 1) + [B.OPEN]
    assert breaker.rest_s(1.0) == OPEN_S


@pytest.mark.req("CON-6")
def test_a_success_starts_the_count_of_failures_anew() -> None:
    breaker = a_breaker()
    for _ in range(3):
        for _ in range(FAILURES - 1):
            breaker.failed(1.0)
        breaker.succeeded(1.0)

    assert breaker.state is B.CLOSED


@pytest.mark.req("CON-6")
@pytest.mark.parametrize(
    ("at", "rest_s", "state"),
    [(100.0, OPEN_S, B.OPEN), (129.0, 1.0, B.OPEN), (130.0, 0.0, B.HALF_OPEN)],
)
def test_an_attempt_is_let_through_when_thirty_seconds_have_passed(
    at: float, rest_s: float, state: BreakerState
) -> None:
    breaker = opened(at=100.0)

    assert breaker.rest_s(at) == rest_s
    breaker.begin(at)
    assert breaker.state is state


@pytest.mark.req("CON-6")
def test_two_successes_close_a_half_open_breaker() -> None:
    breaker = opened()
    breaker.begin(OPEN_S)
    breaker.succeeded(OPEN_S)
    after_one = breaker.state
    breaker.succeeded(OPEN_S + 1.0)

    assert (after_one, breaker.state) == (B.HALF_OPEN, B.CLOSED)


@pytest.mark.req("CON-6")
def test_one_failure_opens_a_half_open_breaker_for_the_whole_time_again() -> None:
    breaker = opened()
    breaker.begin(OPEN_S)
    breaker.succeeded(OPEN_S)
    breaker.failed(40.0)

    assert (breaker.state, breaker.rest_s(40.0)) == (B.OPEN, OPEN_S)


@pytest.mark.req("CON-6")
@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_what_is_fed_while_it_rests_changes_nothing(outcome: str) -> None:
    breaker = opened()

    getattr(breaker, outcome)(10.0)

    assert (breaker.state, breaker.rest_s(10.0)) == (B.OPEN, OPEN_S - 10.0)


@pytest.mark.req("CON-6")
def test_given_times_far_from_the_computers_clock_make_no_difference() -> None:
    for origin in (-1e9, 0.0, 1e6, 4e9):
        breaker = opened(at=origin)
        breaker.begin(origin + OPEN_S - 1.0)
        before = breaker.state
        breaker.begin(origin + OPEN_S)

        assert (before, breaker.state) == (B.OPEN, B.HALF_OPEN)


@attrs.define
class _Model:
    """What CON-6 says, written down without the library."""

    state: BreakerState = B.CLOSED
    failures: int = 0
    successes: int = 0
    opened_at: float = 0.0

    def begin(self, now: float) -> None:
        if self.state is B.OPEN and self.opened_at + OPEN_S - now <= SLACK_S:
            self.state, self.successes = B.HALF_OPEN, 0

    def succeeded(self, now: float) -> None:
        self.begin(now)
        if self.state is B.OPEN:
            return
        self.failures = 0
        self.successes += 1
        if self.state is B.HALF_OPEN and self.successes == SUCCESSES:
            self.state = B.CLOSED

    def failed(self, now: float) -> None:
        self.begin(now)
        if self.state is B.OPEN:
            return
        self.failures += 1
        if self.state is B.HALF_OPEN or self.failures == FAILURES:
            self.state, self.opened_at, self.failures = B.OPEN, now, 0


@pytest.mark.req("CON-6")
@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["begin", "succeeded", "failed", "failed"]),
            st.sampled_from([0.0, 0.1, 1.0, 14.999, 15.0, 30.0, 100.0]),
        ),
        max_size=60,
    )
)
def test_it_goes_the_way_of_the_requirement_whatever_it_is_fed(
    steps: list[tuple[str, float]],
) -> None:
    breaker, model, now = a_breaker(), _Model(), 5.0
    for name, pause_s in steps:
        now += pause_s
        getattr(breaker, name)(now)
        getattr(model, name)(now)
        assert breaker.state is model.state
