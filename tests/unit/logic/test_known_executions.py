"""From when on executions are asked for: nothing that was not settled may lie before (D23)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.connection.known_executions import MARGIN, KnownExecutions
from actors.model.connection import StatePart

from .values import NOW, broker_state, execution

HOUR = timedelta(hours=1)


def _at(hours: float) -> KnownExecutions:
    """What is known after a read whose newest execution is so old."""
    found = execution(1.0, executed_at=NOW - hours * HOUR)
    return KnownExecutions().after(broker_state(executions=(found,)), None)


@pytest.mark.req("STC-12", "CON-16")
def test_before_the_first_read_and_without_a_dated_execution_all_are_asked_for() -> None:
    undated = broker_state(executions=(execution(1.0, executed_at=None),))

    assert KnownExecutions().question() is None
    assert KnownExecutions().after(undated, None).question() is None


@pytest.mark.req("STC-12", "CON-16")
def test_they_are_asked_for_from_ten_minutes_before_the_newest_known_one() -> None:
    question = _at(hours=2.0).question()

    assert question is not None
    assert question.at == NOW - 2 * HOUR - MARGIN
    assert question.known == execution(1.0).base_id


@pytest.mark.req("STC-12", "CON-16")
def test_an_unknown_order_moves_the_moment_before_its_sending() -> None:
    sent_at = NOW - 3 * HOUR
    known = _at(hours=2.0).after(broker_state(), sent_at)

    question = known.question()

    assert question is not None
    assert question.at == sent_at - MARGIN


@pytest.mark.req("CON-16")
@pytest.mark.parametrize("silent", StatePart)
def test_a_read_without_executions_settles_none(silent: StatePart) -> None:
    newer = (execution(1.0, "0002.01", executed_at=NOW),)
    known = _at(hours=2.0)

    after = known.after(broker_state(executions=newer, silent=(silent,)), None)

    assert (after == known) is (silent is StatePart.EXECUTIONS)


@given(st.lists(st.tuples(st.floats(0.0, 24.0), st.none() | st.floats(0.0, 24.0)), min_size=1))
def test_what_the_last_read_left_unknown_is_never_out_of_reach(
    reads: list[tuple[float, float | None]],
) -> None:
    """Whatever the order in which the broker tells, the moment lies before the newest known and the first unknown."""
    known = KnownExecutions()
    for number, (hours, unknown_hours) in enumerate(reads):
        executed_at = NOW - hours * HOUR
        found = execution(1.0, f"{number}.01", executed_at=executed_at)
        unknown = None if unknown_hours is None else NOW - unknown_hours * HOUR
        known = known.after(broker_state(executions=(found,)), unknown)
        question = known.question()
        assert question is not None
        assert question.at <= executed_at - MARGIN
        assert unknown is None or question.at <= unknown - MARGIN
