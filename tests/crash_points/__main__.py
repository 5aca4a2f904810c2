"""Every crash point, several at a time: ``python -m tests.crash_points [--of-each N] [--kind KIND] [--number N]``."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter

from tests.crash_points.points import Kind, Point
from tests.crash_points.trial import Outcome, try_point


async def try_all(points: list[Point], at_a_time: int) -> list[Outcome]:
    """Try points side by side, and say at once what goes wrong."""
    places = asyncio.Semaphore(at_a_time)

    async def one(point: Point) -> Outcome:
        async with places:
            outcome = await try_point(point)
        for fault in outcome.faults:
            print(f"{point}: {fault}", flush=True)
        return outcome

    return await asyncio.gather(*(one(point) for point in points))


async def points_of(of_each: int | None) -> list[Point]:
    """Count the steps of a run without a crash, and name all of every kind, or so many, spread evenly."""
    whole = await try_point(None)
    if whole.faults:
        raise SystemExit(f"the run without a crash fails: {whole.faults}")
    return [
        Point(kind, number)
        for kind in Kind
        for number in _spread(whole.counts[kind], of_each or whole.counts[kind])
    ]


def _spread(count: int, wanted: int) -> list[int]:
    """Pick so many of the numbers from 1 to ``count``, the ends among them."""
    steps = min(count, wanted)
    return sorted({round(1 + (count - 1) * step / max(1, steps - 1)) for step in range(steps)})


def summary(outcomes: list[Outcome]) -> list[str]:
    """Say per kind how many points were tried, how many were reached, and how many failed."""
    tried: Counter[Kind] = Counter()
    reached: Counter[Kind] = Counter()
    failed: Counter[Kind] = Counter()
    for outcome in outcomes:
        if outcome.point is not None:
            tried[outcome.point.kind] += 1
            reached[outcome.point.kind] += outcome.reached
            failed[outcome.point.kind] += bool(outcome.faults)
    lines = [
        f"{kind:<36} {tried[kind]:>5} tried {reached[kind]:>5} reached {failed[kind]:>4} failed"
        for kind in Kind
    ]
    return [
        *lines,
        f"{'all':<36} {tried.total():>5} tried {reached.total():>5} reached {failed.total():>4} failed",
    ]


async def main() -> int:
    """Try them, and say how it went."""
    parser = argparse.ArgumentParser(prog="tests.crash_points")
    parser.add_argument("--of-each", type=int, help="only so many points of each kind")
    parser.add_argument("--at-a-time", type=int, default=4)
    parser.add_argument("--kind", choices=[kind.name for kind in Kind])
    parser.add_argument("--number", type=int)
    options = parser.parse_args()
    began_at = time.monotonic()
    points = await points_of(options.of_each)
    points = [
        point
        for point in points
        if options.kind in (None, point.kind.name) and options.number in (None, point.number)
    ]
    outcomes = await try_all(points, options.at_a_time)
    print(*summary(outcomes), f"{time.monotonic() - began_at:.0f} s", sep="\n")
    return int(any(outcome.faults for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
