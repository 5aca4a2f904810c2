"""Every crash point, several at a time: ``python -m tests.crash_points [--day DAY] [--kind KIND] [--number N]``."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter

import attrs

from tests.crash_points.points import Day, Kind, Point
from tests.crash_points.trial import Outcome, try_point

ATTEMPTS = 3
"""No two runs have quite as many messages: a step near the end may not come, and is waited for in so many runs."""


@attrs.frozen
class Places:
    """So many points are tried side by side; what goes wrong is said at once."""

    semaphore: asyncio.Semaphore

    async def try_one(self, point: Point) -> Outcome:
        """Try a point until it is reached, a few times at most."""
        for _ in range(ATTEMPTS):
            async with self.semaphore:
                outcome = await try_point(point.day, point)
            for fault in outcome.faults:
                print(f"{point}: {fault}", flush=True)
            if outcome.reached or outcome.faults or point.then is not None:
                break
        return outcome

    async def try_all(self, points: list[Point]) -> list[Outcome]:
        """Try points side by side."""
        return await asyncio.gather(*map(self.try_one, points))

    async def try_beyond(self, last: Point) -> list[Outcome]:
        """Go on after the last step of the run that was counted, as far as other runs go."""
        outcomes: list[Outcome] = []
        while True:
            last = attrs.evolve(last, number=last.number + 1)
            outcome = await self.try_one(last)
            if not outcome.reached and not outcome.faults:
                return outcomes
            outcomes.append(outcome)
            if outcome.faults:
                return outcomes


async def points_of(day: Day, of_each: int | None) -> list[Point]:
    """Count the steps of a day without a crash, and name all of every kind, or so many, spread evenly."""
    whole = await try_point(day)
    if whole.faults:
        raise SystemExit(f"the {day} without a crash fails: {whole.faults}")
    return [
        Point(day, kind, number)
        for kind in Kind
        for number in _spread(whole.counts[kind], of_each or whole.counts[kind])
    ]


def deaths_in_a_row(points: list[Point], wanted: int, seed: int) -> list[Point]:
    """Choose points at random after which the next process dies as well, somewhere in the first half of its steps."""
    dice = random.Random(seed)
    steps = Counter(point.kind for point in points)
    chosen = []
    for point in dice.choices(points, k=wanted):
        kind = dice.choice(list(Kind))
        number = dice.randint(1, max(1, steps[kind] // 2))
        chosen.append(attrs.evolve(point, then=attrs.evolve(point, kind=kind, number=number)))
    return chosen


def _spread(count: int, wanted: int) -> list[int]:
    """Pick so many of the numbers from 1 to ``count``, the ends among them."""
    steps = min(count, wanted)
    return sorted({round(1 + (count - 1) * step / max(1, steps - 1)) for step in range(steps)})


def summary(outcomes: list[Outcome]) -> list[str]:
    """Say per day and kind how many points were tried, how many were reached, and how many failed."""
    tried: Counter[str] = Counter()
    reached: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for outcome in outcomes:
        if outcome.point is not None:
            once = f"{outcome.point.day}: {outcome.point.kind}"
            name = f"{outcome.point.day}: two deaths in a row" if outcome.point.then else once
            tried[name] += 1
            reached[name] += outcome.reached
            failed[name] += bool(outcome.faults)
    lines = [
        f"{name:<50} {tried[name]:>5} tried {reached[name]:>5} reached {failed[name]:>4} failed"
        for name in sorted(tried)
    ]
    return [
        *lines,
        f"{'all':<50} {tried.total():>5} tried {reached.total():>5} reached {failed.total():>4} failed",
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.crash_points")
    parser.add_argument("--of-each", type=int, help="only so many points of each kind")
    parser.add_argument("--at-a-time", type=int, default=4)
    parser.add_argument("--day", choices=[day.name for day in Day])
    parser.add_argument("--kind", choices=[kind.name for kind in Kind])
    parser.add_argument("--number", type=int)
    parser.add_argument(
        "--twice", type=int, help="so many deaths of a day after which the next process dies, too"
    )
    parser.add_argument("--seed", type=int, default=0, help="for --twice")
    return parser.parse_args()


async def main() -> int:
    """Try them, and say how it went."""
    options = _options()
    began_at = time.monotonic()
    places = Places(asyncio.Semaphore(options.at_a_time))
    days = [day for day in Day if options.day in (None, day.name)]
    points = [
        point
        for day in days
        for point in await points_of(day, options.of_each)
        if options.kind in (None, point.kind.name) and options.number in (None, point.number)
    ]
    if options.twice is not None:
        by_day = [[point for point in points if point.day is day] for day in days]
        points = [
            point
            for of_day in by_day
            for point in deaths_in_a_row(of_day, options.twice, options.seed)
        ]
    outcomes = await places.try_all(points)
    if options.of_each is None and options.number is None and options.twice is None:
        ends = {(point.day, point.kind): point for point in points}
        for beyond in await asyncio.gather(*map(places.try_beyond, ends.values())):
            outcomes += beyond
    print(*summary(outcomes), f"{time.monotonic() - began_at:.0f} s", sep="\n")
    return int(any(outcome.faults for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
