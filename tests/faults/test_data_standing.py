"""Frozen and dead data sell everything after 300 s; quiet, halted, refused, delayed data sells nothing (RULES 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import pytest

from actors.model.orders import OrderStatus
from tests.faults.test_data_quarantine import LIMIT_S, assert_on_time, hold, latched_after
from tests.worlds import CONTEXT, ProofWorld, buy, prove

MANY: Final = 100_000
SUSPECT_S: Final = 75.0


def frozen(world: ProofWorld) -> None:
    """The quotes of SPY stand still, and it goes on trading."""
    world.simulator.faults.frozen_quotes("SPY")


def dead(world: ProofWorld) -> None:
    """Nothing is answered, neither quotes nor bars."""
    world.simulator.faults.missing_data(None, "silent")
    world.simulator.faults.silent_history()


def idle(world: ProofWorld) -> None:
    """Nobody quotes or trades SPY any more."""
    world.simulator.faults.stale_data("SPY")


def halted(world: ProofWorld) -> None:
    """Trading in SPY is halted, and IB says so."""
    world.simulator.faults.halt("SPY")
    idle(world)


def refused(world: ProofWorld) -> None:
    """The quotes of SPY stand still, and bars are refused."""
    frozen(world)
    world.simulator.faults.pacing_error(MANY)


def witnessed(world: ProofWorld) -> None:
    """SPY and all bars are not answered, and another symbol lives."""
    world.simulator.faults.missing_data("SPY", "silent")
    world.simulator.faults.silent_history()


def delayed(world: ProofWorld) -> None:
    """The account has delayed data only."""
    world.simulator.faults.no_subscription("SPY", 10167)


Break = Callable[[ProofWorld], None]


@pytest.mark.req("STC-1", "MKT-13", "SIM-8")
@pytest.mark.parametrize("fault", [frozen, dead])
def test_what_is_frozen_or_dead_sells_everything_after_300_s(fault: Break) -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        fault(world)

        assert_on_time(await latched_after(world, LIMIT_S + 60.0))

    prove(scenario)


@pytest.mark.req("STC-1", "MKT-12", "MKT-13", "SIM-8")
@pytest.mark.parametrize("fault", [idle, halted, refused, witnessed, delayed])
def test_what_proves_neither_sells_nothing_and_opens_nothing(fault: Break) -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        fault(world)

        assert await latched_after(world, 3 * LIMIT_S) is None
        refusal = await world.gateway.submit_order(buy(), CONTEXT)
        assert refusal.status is OrderStatus.REJECTED
        assert len(world.simulator.positions()) == 1

    prove(scenario)


@pytest.mark.req("MKT-12", "MKT-13")
def test_nothing_is_opened_on_data_that_is_suspect() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        frozen(world)
        await asyncio.sleep(SUSPECT_S)

        refusal = await world.gateway.submit_order(buy(), CONTEXT)

        assert refusal.status is OrderStatus.REJECTED
        assert "suspect" in (refusal.rejection_reason or "")
        world.simulator.faults.frozen_quotes("SPY", active=False)
        await asyncio.sleep(5.0)
        assert (await world.gateway.submit_order(buy(), CONTEXT)).status is OrderStatus.FILLED

    prove(scenario)


@pytest.mark.req("MKT-12", "STC-1")
@pytest.mark.parametrize("step_s", [-900.0, -30.0, 30.0, 900.0, 3600.0])
def test_a_step_of_the_wall_clock_changes_no_age_and_triggers_nothing(step_s: float) -> None:
    async def scenario(world: ProofWorld) -> None:
        await asyncio.sleep(1000.0)
        await hold(world)
        world.proof.clock.step(step_s)

        assert await latched_after(world, 3 * LIMIT_S) is None
        assert (await world.gateway.get_market_data("SPY")).staleness_seconds < 5.0

    prove(scenario)


@pytest.mark.req("MKT-12", "STC-1")
@pytest.mark.parametrize("step_s", [-900.0, 900.0])
def test_a_step_of_the_wall_clock_hides_no_freeze(step_s: float) -> None:
    async def scenario(world: ProofWorld) -> None:
        await asyncio.sleep(1000.0)
        await hold(world)
        frozen(world)
        latching = asyncio.create_task(latched_after(world, LIMIT_S + 60.0))
        await asyncio.sleep(30.0)
        world.proof.clock.step(step_s)

        assert_on_time(await latching)

    prove(scenario)
