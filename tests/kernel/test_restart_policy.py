"""The restart decision is a pure function: its tables."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervision.tree.restart_policy import Escalate, RestartAfter, RestartPolicy, decide

POLICY = RestartPolicy()
PATIENT = RestartPolicy(max_restarts=1_000_000)


@pytest.mark.req("SUP-2")
@pytest.mark.parametrize(
    ("failures", "now", "expected"),
    [
        ([0.0], 0.0, RestartAfter(delay_s=0.1, attempt=1)),
        ([0.0, 1.0], 1.0, RestartAfter(delay_s=0.2, attempt=2)),
        ([0.0, 1.0, 2.0], 2.0, RestartAfter(delay_s=0.4, attempt=3)),
        ([0.0, 1.0, 2.0, 3.0], 3.0, RestartAfter(delay_s=0.8, attempt=4)),
        ([0.0, 1.0, 2.0, 3.0, 4.0], 4.0, RestartAfter(delay_s=1.6, attempt=5)),
        ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], 5.0, Escalate(failures=6, within_s=60.0)),
        # the first failure has left the window of 60 s, so five remain
        ([0.0, 50.0, 51.0, 52.0, 53.0, 60.0], 60.0, RestartAfter(delay_s=3.2, attempt=6)),
        # one millisecond earlier it has not
        ([0.001, 50.0, 51.0, 52.0, 53.0, 60.0], 60.0, Escalate(failures=6, within_s=60.0)),
        # a quiet minute starts the count again
        ([0.0, 1.0, 61.0], 61.0, RestartAfter(delay_s=0.1, attempt=1)),
        ([0.0, 1.0, 60.9], 60.9, RestartAfter(delay_s=0.4, attempt=3)),
        ([0.0, 1.0, 61.0, 62.0], 62.0, RestartAfter(delay_s=0.2, attempt=2)),
    ],
)
def test_default_policy_restarts_with_backoff_or_escalates(
    failures: list[float], now: float, expected: RestartAfter | Escalate
) -> None:
    assert decide(failures, now, POLICY, 0.0) == expected


@pytest.mark.req("SUP-2")
@pytest.mark.parametrize(("jitter", "delay_s"), [(-1.0, 0.08), (0.0, 0.1), (1.0, 0.12)])
def test_jitter_moves_the_delay_by_a_fifth_at_most(jitter: float, delay_s: float) -> None:
    decision = decide([0.0], 0.0, POLICY, jitter)

    assert isinstance(decision, RestartAfter)
    assert decision.delay_s == pytest.approx(delay_s)


@pytest.mark.req("SUP-2")
def test_delay_never_exceeds_its_maximum_however_many_failures_there_were() -> None:
    failures = [float(second) for second in range(5_000)]

    decision = decide(failures, 4_999.0, PATIENT, 1.0)

    assert decision == RestartAfter(delay_s=30.0, attempt=5_000)


@pytest.mark.req("SUP-2")
@given(
    gaps=st.lists(st.floats(0, 100), min_size=1, max_size=30),
    jitter=st.floats(-1, 1),
    max_restarts=st.integers(0, 10),
)
def test_escalates_exactly_when_the_window_holds_more_than_the_limit(
    gaps: list[float], jitter: float, max_restarts: int
) -> None:
    policy = RestartPolicy(max_restarts=max_restarts)
    failures = [sum(gaps[: index + 1]) for index in range(len(gaps))]
    now = failures[-1]

    decision = decide(failures, now, policy, jitter)

    in_window = [at for at in failures if now - at < policy.within_s]
    assert isinstance(decision, Escalate) == (len(in_window) > max_restarts)
    if isinstance(decision, RestartAfter):
        assert 0.08 <= decision.delay_s <= 30.0
        assert 1 <= decision.attempt <= len(failures)


@pytest.mark.req("SUP-2")
def test_no_restart_allowed_means_the_first_failure_escalates() -> None:
    assert decide([7.0], 7.0, RestartPolicy(max_restarts=0), 0.0) == Escalate(
        failures=1, within_s=60.0
    )


@pytest.mark.req("SUP-2")
@pytest.mark.parametrize("first_delay_s", [0.0, 0.001])
def test_delay_may_be_none_at_all_or_constant(first_delay_s: float) -> None:
    policy = RestartPolicy(first_delay_s=first_delay_s, factor=1.0, max_restarts=100)

    decision = decide([0.0, 1.0, 2.0], 2.0, policy, 0.0)

    assert decision == RestartAfter(delay_s=first_delay_s, attempt=3)


@pytest.mark.req("SUP-2")
@pytest.mark.parametrize(
    ("field", "value", "limit"),
    [
        ("first_delay_s", -0.1, ">= 0"),
        ("max_delay_s", 0.05, ">= first_delay_s"),
        ("factor", 0.5, ">= 1"),
        ("jitter_ratio", 1.5, "<= 1"),
        ("reset_after_s", 0.0, "> 0"),
        ("max_restarts", -1, ">= 0"),
        ("within_s", 0.0, "> 0"),
        ("within_s", math.nan, "> 0"),
        ("max_delay_s", math.inf, ">= 0"),
    ],
)
def test_policy_refuses_values_out_of_bounds_and_names_them(
    field: str, value: float, limit: str
) -> None:
    changed: dict[str, Any] = {field: value}

    with pytest.raises(ValueError, match=field) as caught:
        RestartPolicy(**changed)

    assert limit in str(caught.value)
    assert str(value) in str(caught.value)


BOUNDS: dict[str, tuple[float, float | None, bool]] = {
    "first_delay_s": (0.0, None, False),
    "max_delay_s": (0.0, None, False),
    "factor": (1.0, None, False),
    "jitter_ratio": (0.0, 1.0, False),
    "reset_after_s": (0.0, None, True),
    "max_restarts": (0.0, None, False),
    "within_s": (0.0, None, True),
}
"""Field → its lowest and highest value, and whether the lowest itself is too low."""


def _made(name: str, value: float) -> RestartPolicy:
    fields: dict[str, Any] = {name: value}
    if name == "max_delay_s":
        fields["first_delay_s"] = min(value, 0.0)
    if name == "first_delay_s":
        fields["max_delay_s"] = max(value, 30.0)
    return RestartPolicy(**fields)


@pytest.mark.req("SUP-2")
@pytest.mark.parametrize("name", BOUNDS)
def test_each_field_has_its_bounds_and_says_them(name: str) -> None:
    low, high, above = BOUNDS[name]
    top = "" if high is None else f" and <= {high:g}"
    inside = [low + 0.5, *([] if above else [low]), *([] if high is None else [high])]
    outside = [low - 0.5, math.nan, math.inf, *([low] if above else [])]
    outside += [] if high is None else [high + 0.5]

    for value in inside:
        assert getattr(_made(name, value), name) == value
    for value in outside:
        fields: dict[str, Any] = {name: value}
        with pytest.raises(ValueError) as raised:
            RestartPolicy(**fields)
        assert str(raised.value) == (
            f"{name} must be {'>' if above else '>='} {low:g}{top} (was {value})"
        )


@pytest.mark.req("SUP-2")
@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (RestartPolicy(first_delay_s=1.0, max_delay_s=1.0), [1.0, 1.0, 1.0]),
        (RestartPolicy(first_delay_s=1.0, max_delay_s=4.0), [1.0, 2.0, 4.0, 4.0]),
        (RestartPolicy(first_delay_s=1.0, max_delay_s=5.0), [1.0, 2.0, 4.0, 5.0, 5.0]),
        (
            RestartPolicy(first_delay_s=1.0, max_delay_s=30.0, factor=3.0),
            [1.0, 3.0, 9.0, 27.0, 30.0],
        ),
        (RestartPolicy(first_delay_s=0.0), [0.0, 0.0]),
        (RestartPolicy(first_delay_s=2.0, factor=1.0), [2.0, 2.0]),
    ],
)
def test_the_delay_grows_by_its_factor_up_to_its_maximum(
    policy: RestartPolicy, expected: list[float]
) -> None:
    failures = [float(number) for number in range(len(expected))]
    found = [decide(failures[: number + 1], number, policy, 0.0) for number in range(len(expected))]

    delays = [each.delay_s for each in found if isinstance(each, RestartAfter)]
    assert delays == pytest.approx(expected)
