"""All random operations: ``python -m tests.random_operations [--seeds 200] [--first 0] [--operations 500]``.

A failure names its seed; ``--first SEED --seeds 1`` replays it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.random_operations.runs import Report, storm


def _attempt(seed: int, operations: int) -> Report | str:
    try:
        return storm(seed, operations)
    except Exception as error:  # noqa: BLE001 - whatever broke belongs to its seed
        return f"seed {seed}: {error!r}"


def main() -> int:
    """Run the seeds, each in its own proof, and say how it went."""
    parser = argparse.ArgumentParser(prog="tests.random_operations")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--operations", type=int, default=500, help="for each seed")
    parser.add_argument("--at-a-time", type=int, default=os.cpu_count(), help="seeds side by side")
    options = parser.parse_args()
    began_at = time.monotonic()
    seeds = range(options.first, options.first + options.seeds)
    done: Counter[str] = Counter()
    placed = executions = failed = finished = 0
    with ProcessPoolExecutor(options.at_a_time) as pool:
        for told in pool.map(_attempt, seeds, [options.operations] * len(seeds)):
            if isinstance(told, str):
                failed += 1
                print(told, flush=True)
            else:
                done += told.done
                placed += told.placed
                executions += told.executions
            finished += 1
            if finished % 10 == 0:
                print(f"{finished} of {len(seeds)} seeds, {failed} failed", flush=True)
    print(", ".join(f"{count} {name}" for name, count in done.most_common()))
    print(
        f"{done.total()} operations, {placed} orders at the broker, {executions} executions,"
        f" {failed} of {len(seeds)} seeds failed, {time.monotonic() - began_at:.0f} s"
    )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
