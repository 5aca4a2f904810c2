"""How soon a half-open link is found: the socket stands, and nothing comes out of it (CON-9)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Final

import pytest

from actors.model.connection import ConnectionState, DisconnectCause
from supervision.config.sections import Connection, GatewayConfig, StrategyC
from tests.walk.link_records import Seen
from tests.worlds import ProofWorld, a_config, prove

DEFAULTS: Final = Connection()
LIMIT_S: Final = DEFAULTS.heartbeat_s + DEFAULTS.missed_beats * DEFAULTS.heartbeat_timeout_s
C = ConnectionState
CALM: Final = a_config(
    strategy_c=StrategyC(grace_seconds=3600.0), gateway=GatewayConfig(timeout_s=5.0)
)
SEEDS: Final = 34
PHASES: Final = 6
"""Of the heartbeat's interval, drawn at random, in which the silence begins; per seed. More of them would meet the
quarter-hourly comparison of positions, which finds a dead link too."""

LONG_S: Final = 61.0
"""A connection that lasted so long is tried again at once."""
ROUNDING_S: Final = 0.05
"""Two timeouts are told by a timer each, some milliseconds after the answer would have been due."""


def _found_after(seed: int) -> list[float]:
    """Let the link fall silent again and again, and tell after how many seconds each time it was found."""

    async def scenario(world: ProofWorld) -> list[float]:
        rng = random.Random(seed)
        found = []
        seen = Seen(world)
        for _ in range(PHASES):
            await asyncio.sleep(LONG_S + rng.uniform(0.0, DEFAULTS.heartbeat_s))
            began_at, before = world.process.clock.now(), len(seen.changes)
            world.simulator.faults.silence(stop_reading=rng.random() < 0.5)
            await asyncio.sleep(LIMIT_S + 1.0)
            lost = seen.changes[before]
            assert (lost.state, lost.cause) == (C.RECONNECTING, DisconnectCause.SILENCE)
            found.append((lost.at - began_at).total_seconds())
            world.simulator.faults.speak()
            while seen.states[-1] is not C.CONNECTED:
                await asyncio.sleep(1.0)
        return found

    took: list[float] = prove(scenario, seed=seed, config=CALM)
    return took


def _percentile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


@pytest.mark.req("CON-9")
def test_a_half_open_link_is_found_within_an_interval_and_two_timeouts() -> None:
    took = [seconds for seed in range(SEEDS) for seconds in _found_after(seed)]

    told = ", ".join(f"p{percent} {_percentile(took, percent):.2f} s" for percent in (50, 95, 99))
    summary = (
        f"{len(took)} silences found after {told}, at most {max(took):.2f} s; allowed {LIMIT_S:g} s"
    )
    print(summary)
    assert len(took) >= 200
    assert max(took) <= LIMIT_S + ROUNDING_S, summary
    assert min(took) >= DEFAULTS.missed_beats * DEFAULTS.heartbeat_timeout_s, summary
