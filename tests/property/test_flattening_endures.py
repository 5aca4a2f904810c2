"""A contract that can be closed is closed, whatever the broker does; `python -m tests.flattening` runs ten thousand."""

from __future__ import annotations

import pytest

from tests.flattening.trial import WITHIN_S, run

SEEDS = 200


@pytest.mark.req("STC-8", "STC-6", "POS-6")
def test_under_every_broker_it_ends_flat_in_time_and_never_turns_the_position() -> None:
    results = [run(seed) for seed in range(SEEDS)]

    assert [result for result in results if result.fault is not None] == []
    assert max(result.late_s for result in results) <= WITHIN_S
    assert sum(result.closes for result in results) > SEEDS
