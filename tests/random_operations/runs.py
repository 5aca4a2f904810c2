"""One seed's storm, from its beginning to its end."""

from __future__ import annotations

import random
from collections import Counter
from typing import Final

import attrs

from tests.random_operations.storm import CONFIG, SIMULATED, Storm
from tests.worlds import ProofWorld, prove

SEQUENCE: Final = 100
"""Operations between two moments of rest at which all books are compared."""


@attrs.frozen
class Report:
    """What a seed did: operations, answers, and orders at the broker."""

    seed: int
    done: Counter[str]
    outcomes: Counter[str]
    placed: int
    executions: int


def storm(seed: int, operations: int) -> Report:
    """Run one seed; AssertionError tells what was broken."""

    async def scenario(world: ProofWorld) -> Report:
        raging = Storm(world, random.Random(seed))
        await raging.begin()
        for _ in range(operations // SEQUENCE):
            await raging.rage(SEQUENCE)
        placed = sum(entry.kind == "place" for entry in world.simulator.ledger)
        executions = len(world.simulator.executions())
        return Report(seed, raging.done, raging.outcomes, placed, executions)

    report: Report = prove(scenario, seed=seed, config=CONFIG, simulated=SIMULATED)
    return report
