"""Run many seeds: ``python -m tests.flattening --seeds 10000 --first 0``."""

from __future__ import annotations

import argparse
import sys
import time

from tests.flattening.trial import run


def main() -> int:
    """Say how many seeds failed, and why the first did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    begun = time.perf_counter()
    results = [run(seed) for seed in range(arguments.first, arguments.first + arguments.seeds)]
    failed = [result for result in results if result.fault is not None]
    for result in failed[:5]:
        sys.stdout.write(f"seed {result.seed}: {result.fault}\n")
    late = max((each.late_s for each in results if not each.fault), default=0.0)
    sys.stdout.write(
        f"{len(results)} seeds, {sum(each.closes for each in results)} closes,"
        f" {len(failed)} failed, the latest closed {late:.1f} s after it could be,"
        f" {time.perf_counter() - begun:.0f} s\n"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
