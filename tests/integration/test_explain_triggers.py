"""``python -m supervision explain --triggers``: what was tolerated, and how that ended, by the journal alone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from supervision.commands.cli import ExitCode
from supervision.config.sections import Journal, StrategyC
from tests.integration.test_explain import SIMULATED, Run, config_of
from tests.worlds import RealWorld, a_config, real_world

pytestmark = pytest.mark.req("STC-10")


def lived(folder: Path, grace_s: float, away_s: float) -> Run:
    """Lose the link for a while under a grace."""
    config = a_config(journal=Journal(), strategy_c=StrategyC(grace_seconds=grace_s))

    async def lose(world: RealWorld) -> None:
        world.simulator.faults.refuse_connections(away_s)
        world.simulator.faults.drop_connections()
        await world.until(lambda: not world.gateway.is_connected)
        await world.until(lambda: world.gateway.is_connected)

    async def run() -> None:
        async with real_world(folder, config=config, simulated=SIMULATED) as world:
            await lose(world)

    asyncio.run(run())
    return Run(config_of(folder))


def told(run: Run) -> list[Any]:
    ended = run.explain("--triggers", "--json")
    assert ended.code == ExitCode.OK, ended.err
    return list(json.loads(ended.out)["tolerated"])


def test_a_link_that_is_back_in_time_triggered_nothing_and_that_is_said(tmp_path: Path) -> None:
    run = lived(tmp_path, grace_s=60.0, away_s=0.2)

    (one,) = told(run)
    out = run.explain("--triggers").out
    assert one["trigger"].startswith("disconnect (socket_closed)")
    assert one["ended_at"] < one["until"]
    assert "nothing was triggered" in out


def test_one_that_is_not_triggered_strategy_c(tmp_path: Path) -> None:
    run = lived(tmp_path, grace_s=0.1, away_s=0.5)

    assert "Strategy C was triggered" in run.explain("--triggers").out


def test_it_stands_alone(tmp_path: Path) -> None:
    ended = Run(config_of(tmp_path)).explain("--triggers", "--liquidation")

    assert ended.code == ExitCode.USAGE
