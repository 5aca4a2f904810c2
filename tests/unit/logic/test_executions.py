"""Counting executions: one by one or many at once, and for how long they are remembered."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.logic.executions import NO_EXECUTIONS, count, count_all, since
from actors.model.orders import Execution
from tests.unit.logic.values import NOW, execution

executions = st.builds(
    lambda number, correction, quantity, commission: attrs.evolve(
        execution(float(quantity), f"e.{number}.{correction:02d}"), commission=commission
    ),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 9),
    st.one_of(st.none(), st.just(1.5)),
)


@pytest.mark.req("ORD-7")
@given(st.lists(executions, max_size=10), st.lists(executions, max_size=10))
def test_many_at_once_count_like_one_after_the_other(
    before: list[Execution], arrived: list[Execution]
) -> None:
    one_by_one = NO_EXECUTIONS
    for item in (*before, *arrived):
        one_by_one = count(one_by_one, item).executions

    at_once = count_all(count_all(NO_EXECUTIONS, before), arrived)

    assert dict(at_once) == dict(one_by_one)


def test_executions_before_a_moment_are_forgotten_and_those_without_a_time_stay() -> None:
    old, young, timeless = (
        attrs.evolve(execution(1.0, f"e.{number}.01"), executed_at=at)
        for number, at in enumerate((NOW - timedelta(days=9), NOW, None))
    )
    counted = count_all(NO_EXECUTIONS, (old, young, timeless))

    kept = since(counted, NOW - timedelta(days=8))

    assert set(kept.values()) == {young, timeless}
    assert since(kept, NOW - timedelta(days=8)) is kept
