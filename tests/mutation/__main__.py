"""Mutation scores: ``python -m tests.mutation [MODULE …] [--sample N --seed S]``.

Without ``--sample`` every mutant is tried, and a module below its floor ends the run with 1. With it, that many of all
mutants are drawn by the seed and tried; survivors are printed, so that one line replays them.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import attrs

from tests.mutation.equivalents import EQUIVALENTS, Equivalent
from tests.mutation.measured import FLOOR_RATIO, MEASURED
from tests.mutation.workshop import Mutant, Workshop


@attrs.frozen
class Score:
    """What became of the mutants of one module."""

    module: str
    killed: int
    out_of_time: int
    survivors: tuple[Mutant, ...]
    equivalent: int
    gone: tuple[Equivalent, ...]
    """What is listed as equivalent and does not exist any more."""

    @property
    def ratio(self) -> float:
        """The killed among those that can be killed."""
        tried = self.killed + len(self.survivors)
        return self.killed / tried if tried else 1.0

    def __str__(self) -> str:
        tried = self.killed + len(self.survivors)
        same = f", {self.equivalent} equivalent" if self.equivalent else ""
        same += f", {self.out_of_time} of them by time" if self.out_of_time else ""
        return f"{self.module:<40} {self.ratio:>6.1%}  {self.killed} of {tried} killed{same}"


def scored(module: str, mutants: Iterable[Mutant]) -> Score:
    """Count the mutants of a module, the equivalent ones apart."""
    listed = {known for known in EQUIVALENTS if known.module == module}
    # What an import calls is called before mutmut switches a mutant on: a survivor there was never tried.
    at_import = MEASURED[module].at_import
    tried = [mutant for mutant in mutants if mutant.is_killed or mutant.function not in at_import]
    named = {mutant: _named(module, mutant) for mutant in tried}
    survivors = [mutant for mutant in named if not mutant.is_killed]
    return Score(
        module=module,
        killed=len(named) - len(survivors),
        out_of_time=sum(mutant.is_out_of_time for mutant in named),
        survivors=tuple(mutant for mutant in survivors if named[mutant] not in listed),
        equivalent=sum(named[mutant] in listed for mutant in survivors),
        gone=tuple(listed.difference(named.values())),
    )


def _named(module: str, mutant: Mutant) -> Equivalent:
    return Equivalent(module, mutant.function, mutant.removed, mutant.added)


def measure(modules: Iterable[str], place: Path, sample: int | None, seed: int) -> list[Score]:
    """Measure one module after the other; each score is printed as soon as it is there."""
    workshops = {
        module: Workshop(place / module.replace("/", "."), module, MEASURED[module], seed)
        for module in modules
    }
    for workshop in workshops.values():
        workshop.furnish()
    drawn = {} if sample is None else _draw(workshops, sample, seed)
    scores = []
    for module, workshop in workshops.items():
        if sample is not None and not drawn[module]:
            continue
        score = scored(module, workshop.try_all(drawn.get(module, ())))
        print(score, flush=True)
        for mutant in score.survivors:
            print(f"    {mutant.name.rpartition('.')[2]}: {mutant.removed}  →  {mutant.added}")
        scores.append(score)
    return scores


def _draw(workshops: dict[str, Workshop], sample: int, seed: int) -> dict[str, list[str]]:
    """Draw so many mutants of all, by the seed."""
    every = [(module, name) for module, shop in workshops.items() for name in shop.names()]
    drawn: dict[str, list[str]] = defaultdict(list)
    for module, name in random.Random(seed).sample(every, min(sample, len(every))):
        drawn[module].append(name)
    return drawn


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.mutation")
    parser.add_argument("modules", nargs="*", help="paths from the root; all that are measured")
    parser.add_argument("--sample", type=int, help="try so many mutants of all, drawn by the seed")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main() -> int:
    """Measure, print, and say whether every module is above its floor and every equivalent exists."""
    asked = _options()
    with tempfile.TemporaryDirectory(prefix="mutation-") as place:
        scores = measure(asked.modules or MEASURED, Path(place), asked.sample, asked.seed)
    if asked.sample is not None:
        return 0
    for equivalent in (item for score in scores for item in score.gone):
        print(f"listed as equivalent, and not there any more: {equivalent}")
    low = [score for score in scores if score.ratio < FLOOR_RATIO]
    return 1 if low or any(score.gone for score in scores) else 0


if __name__ == "__main__":
    sys.exit(main())
