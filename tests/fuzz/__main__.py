"""Fuzzing by hand: ``python -m tests.fuzz {facade,broker} [--examples 500000] [--seed 0]``.

A failure names its seed; the same seed with as many examples replays it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.fuzz import broker, facade

FUZZERS = {"facade": facade.fuzz, "broker": broker.fuzz}
AT_ONCE = 2_000
"""Examples of one world; then another seed has its turn."""


def main() -> int:
    """Fuzz, and say what was met."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("what", nargs="?", choices=sorted(FUZZERS))
    parser.add_argument("--examples", type=int, default=500_000, help="of each")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    failed = 0
    for name in [chosen.what] if chosen.what else sorted(FUZZERS):
        began_s, met = time.perf_counter(), Counter[str]()
        for number, seed in enumerate(
            range(chosen.seed, chosen.seed + chosen.examples // AT_ONCE + 1)
        ):
            left = min(AT_ONCE, chosen.examples - number * AT_ONCE)
            if left <= 0:
                break
            try:
                met += FUZZERS[name](seed, left)
            except Exception as error:  # noqa: BLE001 - told with its seed
                failed += 1
                print(
                    f"{name}: seed {seed} with {left} examples FAILED: {error!r:.2000}", flush=True
                )
        took_s = time.perf_counter() - began_s
        print(f"{name}: {met.total()} in {took_s:.0f} s: {dict(met.most_common(12))}", flush=True)
    print(f"{failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
