"""A sample of the fuzzing; ``make fuzz`` does a million."""

from __future__ import annotations

import pytest

from tests.fuzz import broker, facade


@pytest.mark.req("GW-14", "SUP-14")
@pytest.mark.parametrize("seed", range(3))
def test_whatever_a_caller_says_costs_nothing(seed: int) -> None:
    met = facade.fuzz(seed, 4_000)

    assert met.total() > 2_000
    assert met["RequestValidationError"] > 500


@pytest.mark.req("CON-17", "SUP-14")
@pytest.mark.parametrize("seed", range(4))
def test_whatever_the_broker_says_is_put_aside_and_closes_go(seed: int) -> None:
    changed = broker.fuzz(seed, 2_000)

    assert changed.total() >= 2_000
