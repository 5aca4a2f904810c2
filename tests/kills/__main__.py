"""Random kills: ``python -m tests.kills [--seeds 2000] [--first 0] [--reality 40]``.

A failure names its seed: ``--first SEED --seeds 1`` replays it in proof mode; ``--reality 1 --seeds 0 --first SEED``
does the same with real processes and signals, as far as the machine repeats itself.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Iterable

from tests.kills import proof, reality
from tests.kills.plan import plan_of
from tests.kills.proof import Result


def attempt(trial: Callable[[int], Result], seed: int) -> Result:
    """Carry out one seed; what nobody expected is a fault like others."""
    try:
        return trial(seed)
    except Exception:  # noqa: BLE001  # told with its seed, and counted
        return Result(plan_of(seed), (traceback.format_exc(),))


def report(kind: str, trial: Callable[[int], Result], seeds: Iterable[int]) -> int:
    """Carry out all seeds, print each that failed and the sum; returns how many failed."""
    began_s = time.perf_counter()
    results = []
    for seed in seeds:
        result = attempt(trial, seed)
        results.append(result)
        if result.faults:
            print(
                f"{kind} seed {seed} FAILED: {result.plan}", *result.faults, sep="\n  ", flush=True
            )
    failed = sum(bool(result.faults) for result in results)
    if results:
        late = max(results, key=lambda each: each.late_s)
        flat = max(results, key=lambda each: each.flat_s)
        print(
            f"{kind}: {len(results)} trials, {failed} failed; flat at the latest {late.late_s:.1f} s after fate and"
            f" market allowed it (seed {late.plan.seed}), {flat.flat_s:.1f} s after the link was back (seed"
            f" {flat.plan.seed}); {time.perf_counter() - began_s:.0f} s",
            flush=True,
        )
    return failed


def main() -> int:
    """Run what was asked for; the exit code says whether everything ended flat."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--reality", type=int, default=40)
    chosen = parser.parse_args()
    first: int = chosen.first
    failed = report("proof", proof.prove, range(first, first + chosen.seeds))
    failed += report("reality", reality.survive, range(first, first + chosen.reality))
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
