"""Each row about the link, with default settings: it acts when it must, and stays still when it must (RULES 3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import attrs
import pytest

from actors.messages.addresses import CONNECTION, EXECUTOR, LINK, MARKET_DATA, POSITION, RISK
from supervision import OrderStatus
from supervision.config.sections import StrategyC
from supervision.simulator import Scenario
from tests.faults.crash import crash
from tests.worlds import CONTEXT, SIMULATED, ProofWorld, a_config, buy, prove

pytestmark = pytest.mark.req("STC-10", "STC-1", "STC-5")

DEFAULT: Final = a_config(strategy_c=StrategyC())
HELD: Final = 30.0
IN_SESSION: Final = datetime(2025, 11, 19, 16, 0, tzinfo=UTC)
BEFORE_THE_CLOSE: Final = datetime(2025, 11, 19, 20, 58, tzinfo=UTC)
AFTER_THE_CLOSE_S: Final = 180.0
"""16:01 in New York."""
HOURS: Final = attrs.evolve(SIMULATED, scenario=Scenario(hours="0930-1600"))

Scene = Callable[[ProofWorld], Awaitable[None]]


def live(scene: Scene, *, acts: str | None, epoch: datetime = IN_SESSION, **world: Any) -> None:
    """Hold a position, go through the scene, and see whether it acted, with which word in its reason."""

    async def scenario(world: ProofWorld) -> None:
        bought = await world.gateway.submit_order(buy(HELD), CONTEXT)
        assert bought.status is OrderStatus.FILLED, bought
        await scene(world)
        status = await world.gateway.status()
        assert status.latched is (acts is not None), status.latch_reason
        assert (acts or "") in (status.latch_reason or "")
        if acts is None:
            assert sum(each.quantity for each in world.simulator.positions().values()) == HELD
            await world.until(lambda: world.gateway.is_connected)

    prove(scenario, config=DEFAULT, epoch=epoch, **world)


async def connected(world: ProofWorld) -> None:
    """Wait for the next session."""
    await asyncio.sleep(0.5)
    await world.until(lambda: world.gateway.is_connected)


def test_a_socket_that_the_other_side_closes_acts_at_once() -> None:
    async def scene(world: ProofWorld) -> None:
        world.simulator.faults.drop_connections()
        await asyncio.sleep(0.1)

    live(scene, acts="disconnect (socket_closed)")


@pytest.mark.parametrize("name", [LINK, CONNECTION, EXECUTOR, POSITION, RISK, MARKET_DATA])
def test_one_failure_of_an_actor_of_ours_sells_nothing(name: str) -> None:
    async def scene(world: ProofWorld) -> None:
        crash(world.process, name)
        await connected(world)
        await asyncio.sleep(120.0)

    live(scene, acts=None)


def test_two_failures_of_the_link_within_a_minute_sell_nothing() -> None:
    async def scene(world: ProofWorld) -> None:
        for _ in range(2):
            crash(world.process, LINK)
            await connected(world)
        await asyncio.sleep(120.0)

    live(scene, acts=None)


def test_the_third_within_a_minute_acts() -> None:
    async def scene(world: ProofWorld) -> None:
        for _ in range(3):
            crash(world.process, LINK)
            await connected(world)

    live(scene, acts="disconnect (link_failed)")


def test_failures_that_are_minutes_apart_are_incidents_of_their_own() -> None:
    async def scene(world: ProofWorld) -> None:
        for _ in range(6):
            crash(world.process, LINK)
            await connected(world)
            await asyncio.sleep(90.0)

    live(scene, acts=None)


def test_a_refused_connect_after_a_failure_of_ours_is_the_brokers_side() -> None:
    async def scene(world: ProofWorld) -> None:
        world.simulator.faults.refuse_connections()
        crash(world.process, LINK)
        await asyncio.sleep(3.0)

    live(scene, acts="then refused")


def test_a_gateway_that_is_silent_after_a_failure_of_ours_acts_when_the_budget_is_used_up() -> None:
    async def scene(world: ProofWorld) -> None:
        world.simulator.faults.silence()
        crash(world.process, LINK)
        await asyncio.sleep(14.0)
        assert not (await world.gateway.status()).latched
        await asyncio.sleep(2.0)

    live(scene, acts="a new session was not there in time")


@pytest.mark.parametrize(("held_s", "acts"), [(20.0, None), (70.0, "the client id was still held")])
def test_a_client_id_that_is_still_held_acts_after_a_minute(
    held_s: float, acts: str | None
) -> None:
    async def scene(world: ProofWorld) -> None:
        world.simulator.faults.client_id_taken(None, times=10_000)
        crash(world.process, LINK)
        await asyncio.sleep(held_s)
        world.simulator.faults.clear()
        await asyncio.sleep(60.0)

    live(scene, acts=acts)


def test_an_outage_at_night_sells_nothing() -> None:
    async def scene(world: ProofWorld) -> None:
        await asyncio.sleep(AFTER_THE_CLOSE_S)
        world.simulator.faults.nightly_reset(3600.0)
        await asyncio.sleep(1.1 * 3600.0)

    live(scene, acts=None, simulated=HOURS, epoch=BEFORE_THE_CLOSE)


def test_one_that_goes_on_until_a_quarter_of_an_hour_before_the_open_acts() -> None:
    async def scene(world: ProofWorld) -> None:
        await asyncio.sleep(AFTER_THE_CLOSE_S)
        world.simulator.faults.nightly_reset(20 * 3600.0)
        open_s = 17.5 * 3600.0 - 60.0
        await asyncio.sleep(open_s - 901.0)
        assert not (await world.gateway.status()).latched
        await asyncio.sleep(2.0)

    live(scene, acts="before the session of what is held", simulated=HOURS, epoch=BEFORE_THE_CLOSE)
