"""The log and the metrics hear the same events, so they cannot disagree: a seeded storm, counted twice."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from supervision.observe.metrics import Metrics
from supervision.observe.metrics_state import State
from supervision.proof.time import VirtualClock
from tests.unit.observe.test_metrics import samples
from tests.walk.link_records import Lines
from tests.worlds import CONTEXT, ProofWorld, a_config, buy, prove

TROUBLES = 12
COUNTED = {
    "connection_success": "status=success",
    "connection_failure": "status=failure",
    "client_id_conflict": "status=conflict",
}


def fan_out(lines: Lines, counting: list[Metrics]) -> Any:
    """Tell every event to both, as the observer of a process does."""

    def log(event: str, **told: Any) -> None:
        fields = {
            key: value for key, value in told.items() if key not in ("level", "correlation_id")
        }
        for metrics in counting:
            metrics.count(event, fields)
        lines(event, **told)

    return log


async def trouble(world: ProofWorld, lines: Lines, dice: random.Random) -> None:
    """Break the link in one way or another, and wait for it to be back."""
    faults, before = world.simulator.faults, len(lines.of("disconnection"))
    kind = dice.randrange(4)
    if kind == 0:
        faults.drop_connections()
    elif kind == 1:
        faults.nightly_reset(dice.uniform(1.0, 20.0))
    elif kind == 2:
        faults.client_id_taken(times=dice.randrange(1, 5))
        faults.drop_connections()
    else:
        faults.refuse_connections(dice.uniform(1.0, 10.0))
        faults.drop_connections()
    await world.until(lambda: len(lines.of("disconnection")) > before)
    await world.until(lambda: world.gateway.is_connected, within_s=600.0)
    await asyncio.sleep(dice.uniform(0.0, 90.0))


@pytest.mark.req("OBS-1", "OBS-2")
@pytest.mark.parametrize("seed", range(3))
def test_what_is_counted_is_what_was_logged(seed: int) -> None:
    lines, counting = Lines(), list[Metrics]()

    async def scenario(world: ProofWorld) -> dict[str, float]:
        dice = random.Random(seed)
        counting.append(Metrics(VirtualClock(world.proof.loop), ("SPY",), lambda: State()))
        await world.gateway.connect()
        await world.gateway.submit_order(buy(10), CONTEXT)
        for _ in range(TROUBLES):
            await trouble(world, lines, dice)
        return samples(counting[0])

    log = fan_out(lines, counting)
    found = prove(scenario, seed=seed, connect=False, log=log, config=a_config())

    for event, series in COUNTED.items():
        logged = len(lines.of(event))
        assert found[f"ib_gateway_connections_total,{series}"] == logged, (seed, event)
    assert len(lines.of("connection_success")) > TROUBLES
    beats = [line["latency_ms"] for line in lines.of("heartbeat")]
    assert found["ib_gateway_heartbeat_latency_ms_count"] == len(beats)
    retries = sum(value for name, value in found.items() if name.startswith("ib_gateway_retry"))
    assert retries == len(lines.of("connection_retry"))
    assert found["ibkr_actors_strategy_c_triggers_total,reason=DISCONNECT"] == 1
    assert found["ib_gateway_active_connections"] == 1
    assert found["ibkr_actors_events_uncounted_total"] == 0
