"""All days of trouble: ``python -m tests.faults [--seeds 100] [--first 0] [--jobs CORES]``.

Each seed is one day of 24 hours in proof mode. A failure names its seed; ``--first SEED --seeds 1`` replays it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.faults.day import Day, prove_day


def attempt(seed: int) -> tuple[int, Day | str]:
    """Live through one day; a failure comes back in words."""
    try:
        return seed, prove_day(seed)
    except Exception:  # noqa: BLE001  # told with its seed, and counted
        return seed, traceback.format_exc()


def main() -> int:
    """Print what came of each seed; the exit code says whether every day ended well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    began_s, failed = time.perf_counter(), 0
    days: list[Day] = []
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    with ProcessPoolExecutor(chosen.jobs) as pool:
        for seed, outcome in pool.map(attempt, seeds):
            if isinstance(outcome, Day):
                days.append(outcome)
                print(f"seed {seed}: {outcome.sessions} sessions, {outcome.rearmed} liquidations")
            else:
                failed += 1
                print(f"seed {seed} FAILED\n{outcome}")
    orders = sum((day.orders for day in days), Counter[str]())
    print(
        f"{len(days)} of {len(seeds)} days ended well, with {sum(day.troubles for day in days)} troubles, "
        f"{sum(day.sessions for day in days)} sessions and {orders.total()} orders "
        f"({', '.join(f'{count} {name}' for name, count in orders.most_common())}), "
        f"in {time.perf_counter() - began_s:.0f} s"
    )
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
