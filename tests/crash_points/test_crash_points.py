"""A sample of the crash points, spread evenly over every kind; ``make crash-points`` tries all of them."""

from __future__ import annotations

import asyncio
import multiprocessing

import pytest

from tests.crash_points.__main__ import Places, points_of, summary
from tests.crash_points.points import Day

OF_EACH = {Day.TRADING: 2, Day.OVER_NIGHT: 2}
AT_A_TIME = 4

needs_forkserver = pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(), reason="needs POSIX processes"
)


@needs_forkserver
@pytest.mark.parametrize(
    "day",
    [
        pytest.param(Day.TRADING, marks=pytest.mark.req("ORD-9", "STC-3", "STC-6", "SIM-5")),
        pytest.param(Day.OVER_NIGHT, marks=pytest.mark.req("ORD-9", "STC-3", "STC-6", "STC-7")),
    ],
)
def test_whatever_the_step_at_which_we_die_the_next_process_finds_the_truth_and_gets_flat(
    day: Day,
) -> None:
    async def sample() -> list[str]:
        places = Places(asyncio.Semaphore(AT_A_TIME))
        outcomes = await places.try_all(await points_of(day, OF_EACH[day]))
        print(*summary(outcomes), sep="\n")
        assert any(outcome.reached for outcome in outcomes)
        return [f"{outcome.point}: {fault}" for outcome in outcomes for fault in outcome.faults]

    assert asyncio.run(sample()) == []
