"""A sample of the random operations; ``make random-operations`` runs all 100,000.

A failure names its seed; ``python -m tests.random_operations --first SEED --seeds 1 --operations 100`` replays it.
"""

from __future__ import annotations

import pytest

from tests.random_operations.runs import storm

SEEDS = range(8)
OPERATIONS = 100


@pytest.mark.req(
    "ORD-3",
    "ORD-5",
    "ORD-7",
    "ORD-9",
    "RSK-4",
    "RSK-6",
    "STC-2",
    "STC-6",
    "POS-4",
    "SUP-6",
    "SUP-11",
)
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_asked_and_whatever_fails_the_promises_about_orders_are_kept(seed: int) -> None:
    report = storm(seed, OPERATIONS)

    assert report.done.total() == OPERATIONS


def test_a_seed_does_the_same_again() -> None:
    report = storm(7, OPERATIONS)

    assert report == storm(7, OPERATIONS)
    assert report.placed > 0
    assert report.executions > 0
