"""Time to flat is free of the feed and of the day's executions: ten positions, a lost link, flat (STC-12)."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from actors.messages.connection import Reconcile
from supervision.simulator import SimulatorConfig
from tests.walk.watching import tapped
from tests.worlds import ProofWorld, a_config, prove

HELD = tuple(f"SYM{number:03d}" for number in range(1, 11))
STREAMED = tuple(f"SYM{number:03d}" for number in range(1, 101))
OF_THE_DAY = 6_500
AT_MOST = 2.0
SIMULATED = SimulatorConfig(seed=7, cash=10_000_000.0, extra_symbols=len(STREAMED))
HOUR_S = 3600.0


@attrs.frozen(kw_only=True)
class Cost:
    """What it took from the loss of the link until nothing was held."""

    virtual_s: float
    messages: int
    executions_read: int


def _trade_all_day(world: ProofWorld, executions: int) -> None:
    for number in range(executions):
        world.simulator.faults.trade_elsewhere("QQQ", 1 if number % 2 else -1)


async def _streamed(world: ProofWorld, symbols: tuple[str, ...]) -> None:
    stream = await world.gateway.subscribe_quotes(list(symbols))
    async for _ in stream:
        pass


def _measured(*, executions: int, symbols: tuple[str, ...]) -> Cost:
    async def scenario(world: ProofWorld) -> Cost:
        _trade_all_day(world, executions)
        await asyncio.sleep(HOUR_S)
        for symbol in HELD:
            world.simulator.faults.trade_elsewhere(symbol, 10)
        await world.gateway.connect()
        streaming = asyncio.create_task(_streamed(world, symbols)) if symbols else None
        await asyncio.sleep(10.0)
        reads = tapped(world.process, Reconcile)
        state, began_at = world.simulator.faults.state, world.proof.loop.time()
        before = state.messages_received
        world.simulator.faults.drop_connections()
        await world.until(lambda: not world.simulator.positions())
        cost = Cost(
            virtual_s=world.proof.loop.time() - began_at,
            messages=state.messages_received - before,
            executions_read=max(len(read.state.executions) for read in reads),
        )
        if streaming is not None:
            streaming.cancel()
        return cost

    cost: Cost = prove(scenario, config=a_config(), simulated=SIMULATED, connect=False)
    return cost


@pytest.mark.req("STC-12")
def test_a_hundred_streams_and_a_day_of_executions_at_most_double_the_time_to_flat() -> None:
    quiet = _measured(executions=0, symbols=())
    busy = _measured(executions=OF_THE_DAY, symbols=STREAMED)

    print(f"quiet: {quiet}; busy: {busy}")
    assert busy.virtual_s <= AT_MOST * quiet.virtual_s
    assert busy.messages <= AT_MOST * quiet.messages
    assert busy.executions_read <= quiet.executions_read
