"""How fast the link connects, and how long it may try at most (CON-3)."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from supervision import GatewayTimeoutError
from tests.worlds import ProofWorld, prove, real_world

CONNECTIONS = 60
WITHIN_S = 60.0
P95_S = 5.0
P99_S = 10.0
HARD_LIMIT_S = 30.0


@pytest.mark.req("CON-3")
def test_sixty_connections_take_less_than_a_minute(tmp_path: Path) -> None:
    async def scenario() -> list[float]:
        took = []
        async with real_world(tmp_path, connect=False) as world:
            for _ in range(CONNECTIONS):
                began = time.monotonic()
                await world.gateway.connect()
                took.append(time.monotonic() - began)
                await world.gateway.disconnect()
        return sorted(took)

    took = asyncio.run(scenario())

    assert sum(took) < WITHIN_S
    assert took[int(0.95 * CONNECTIONS)] < P95_S
    assert took[-1] < P99_S


@pytest.mark.req("CON-3", "GW-12")
def test_an_attempt_ends_at_the_hard_limit_and_the_next_one_connects_by_itself() -> None:
    async def scenario(world: ProofWorld) -> None:
        world.simulator.faults.silence()
        began = world.proof.loop.time()

        with pytest.raises(GatewayTimeoutError, match="still trying"):
            await world.gateway.connect(HARD_LIMIT_S)

        assert pytest.approx(world.proof.loop.time() - began, abs=0.05) == HARD_LIMIT_S
        world.simulator.faults.speak()
        await world.until(lambda: world.gateway.is_connected, within_s=2 * HARD_LIMIT_S)

    prove(scenario, connect=False)
