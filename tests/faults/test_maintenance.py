"""Planned maintenance: the gateway vanishes at 00:15 in New York; nobody is alarmed unless it stays away (CON-15)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import attrs
import pytest

from actors.messages.addresses import CONNECTION, STRATEGY_C
from actors.model.connection import ConnectionState
from actors.model.orders import ExecutionMode, OrderResult, OrderStatus
from actors.sections.maintenance import Maintenance
from supervision import Config, IBKRGateway
from supervision.config.sections import Connection, Positions, StrategyC
from supervision.process import build_proof_process
from supervision.process.handle import Process
from supervision.proof.loop import Proof, run_proof
from supervision.simulator import Simulator
from supervision.store.volatile_journal import VolatileJournalActor
from supervision.store.volatile_store import VolatileStore
from tests.faults.crash import crash
from tests.faults.witness import Witness
from tests.worlds import CONTEXT, SIMULATED, ProofWorld, a_config, buy, prove

pytestmark = pytest.mark.req("CON-15", "STC-5")

S = ConnectionState
MIDNIGHT: Final = datetime(2025, 11, 19, 5, 0, tzinfo=UTC)
"""A Wednesday begins in New York."""
MINUTE_S: Final = 60.0
BEGINS_S: Final = 15 * MINUTE_S
ENDS_S: Final = 105 * MINUTE_S
STOPS_S: Final = BEGINS_S - 120.0
HELD: Final = 30.0


def planned(strategy_c: StrategyC | None = None, **fields: Any) -> Config:
    """Configure a gateway that is maintained at IB's hours."""
    maintenance = Maintenance(**({"enabled": True} | fields))
    return a_config(
        connection=Connection(maintenance=maintenance),
        strategy_c=strategy_c or StrategyC(data_watch_every_s=60.0),
        positions=Positions(check_interval_s=600.0),
    )


PLANNED: Final = planned()


@attrs.frozen
class Night:
    """A world whose night has begun, and what was heard in it."""

    world: ProofWorld
    witness: Witness

    @property
    def gateway(self) -> IBKRGateway:
        """The gateway of this world."""
        return self.world.gateway

    async def until(self, second: float) -> None:
        """Let the night go on until so many seconds after midnight."""
        await asyncio.sleep(max(0.0, second - self.world.proof.loop.time()))

    async def vanishes(self, begin_s: float, end_s: float) -> None:
        """Let the gateway be away from one moment to the other."""
        await self.until(begin_s)
        self.world.simulator.faults.nightly_reset(end_s - begin_s)
        await asyncio.sleep(1.0)
        assert not self.gateway.is_connected

    async def buys(self, quantity: float = HELD) -> OrderResult:
        """Try to buy."""
        return await self.gateway.submit_order(buy(quantity), CONTEXT)

    async def is_latched(self) -> bool:
        """Whether Strategy C is latched."""
        return (await self.gateway.status()).latched

    @property
    def held(self) -> float:
        """What is held at the broker."""
        return sum(item.quantity for item in self.world.simulator.positions().values())

    @property
    def latched_at_s(self) -> float:
        """When the latch was told, in seconds after midnight."""
        at = next(at for at, latched in self.witness.latch if latched)
        return (at - MIDNIGHT).total_seconds()


def live_through(scenario: Any, config: Config = PLANNED, **world: Any) -> None:
    """Run a scenario in a night of its own; it holds a position at midnight."""
    witness = Witness()

    async def begin(world: ProofWorld) -> None:
        world.process.tap(witness.watch)
        night = Night(world, witness)
        assert (await night.buys()).status is OrderStatus.FILLED
        await scenario(night)

    prove(begin, epoch=MIDNIGHT, config=config, log=witness.log, **world)


# --- opening ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_s", [STOPS_S + 1.0, BEGINS_S + 1.0, ENDS_S - 1.0])
def test_nothing_is_opened_shortly_before_and_during_a_window_but_closes_go(at_s: float) -> None:
    async def scenario(night: Night) -> None:
        await night.until(at_s)

        refused = await night.buys()
        closed = await night.gateway.close_position("SPY_756733")

        assert refused.status is OrderStatus.REJECTED
        assert "planned maintenance (Sun-Fri 00:15-01:45) until 2025-11-19 06:45:00 UTC" in (
            refused.rejection_reason or ""
        )
        assert closed.status is OrderStatus.FILLED
        assert night.held == 0.0

    live_through(scenario)


@pytest.mark.parametrize("at_s", [STOPS_S - 1.0, ENDS_S + 1.0])
def test_opening_goes_on_until_then_and_resumes_by_itself(at_s: float) -> None:
    async def scenario(night: Night) -> None:
        await night.until(at_s)

        bought = await night.buys()

        assert bought.status is OrderStatus.FILLED, bought.rejection_reason
        assert not night.witness.alarms

    live_through(scenario)


def test_opening_resumes_only_with_a_fresh_tick() -> None:
    async def scenario(night: Night) -> None:
        await night.until(ENDS_S - 10.0)
        night.world.simulator.faults.missing_data(None, "silent")
        await night.until(ENDS_S + 60.0)
        blind = await night.buys()
        night.world.simulator.faults.missing_data(None, None)
        await night.until(ENDS_S + 120.0)
        seeing = await night.buys()

        assert blind.status is OrderStatus.REJECTED
        assert "market data" in (blind.rejection_reason or "")
        assert seeing.status is OrderStatus.FILLED, seeing.rejection_reason

    live_through(scenario)


def test_a_connection_that_is_restarted_within_a_window_knows_it() -> None:
    async def scenario(night: Night) -> None:
        await night.until(BEGINS_S + 10.0)
        crash(night.world.process, CONNECTION)
        await asyncio.sleep(10.0)
        within = await night.buys()
        await night.until(ENDS_S + 10.0)
        after = await night.buys()

        assert within.status is OrderStatus.REJECTED
        assert after.status is OrderStatus.FILLED, after.rejection_reason

    live_through(scenario)


def test_status_says_that_it_is_planned() -> None:
    async def scenario(night: Night) -> None:
        await night.vanishes(BEGINS_S + 1.0, ENDS_S)

        status = await night.gateway.status()

        assert "planned maintenance" in (status.opening_blocked_by or "")

    live_through(scenario)


# --- a disconnect -----------------------------------------------------------------------------------------------------


def test_a_gateway_that_vanishes_for_its_reset_is_reconnected_quietly() -> None:
    async def scenario(night: Night) -> None:
        await night.vanishes(BEGINS_S, ENDS_S - 120.0)
        await night.until(ENDS_S + 60.0)

        assert night.gateway.is_connected
        assert not await night.is_latched()
        assert night.held == HELD
        assert night.witness.alarms == {}
        assert (await night.buys(1.0)).status is OrderStatus.FILLED

    live_through(scenario)


def test_one_that_stays_away_latches_when_the_window_ends_and_liquidates_first_thing() -> None:
    async def scenario(night: Night) -> None:
        back_s = ENDS_S + 30 * MINUTE_S
        await night.vanishes(BEGINS_S, back_s)
        await night.until(ENDS_S - 1.0)
        assert not await night.is_latched()
        await night.until(ENDS_S + 1.0)
        assert await night.is_latched()

        await night.until(back_s + 120.0)

        assert night.held == 0.0
        assert night.latched_at_s == pytest.approx(ENDS_S, abs=0.01)
        report = night.gateway.liquidation_reports[0]
        assert report.flat
        assert "it outlived the planned maintenance" in report.trigger

    live_through(scenario)


def test_a_disconnect_seconds_before_a_window_is_not_planned() -> None:
    async def scenario(night: Night) -> None:
        await night.vanishes(BEGINS_S - 5.0, BEGINS_S + 60.0)

        assert await night.is_latched()
        assert night.latched_at_s == pytest.approx(BEGINS_S - 5.0, abs=0.01)

    live_through(scenario)


def test_each_disconnect_within_a_window_is_tolerated_for_itself() -> None:
    async def scenario(night: Night) -> None:
        for number in range(4):
            begin_s = BEGINS_S + 1.0 + number * 20 * MINUTE_S
            await night.vanishes(begin_s, begin_s + 5 * MINUTE_S)
        await night.until(ENDS_S + 60.0)

        assert night.gateway.is_connected
        assert not await night.is_latched()

    live_through(scenario)


def test_a_link_that_is_not_reconciled_when_the_window_ends_has_outlived_it() -> None:
    async def scenario(night: Night) -> None:
        await night.vanishes(BEGINS_S, ENDS_S - 60.0)
        night.world.simulator.faults.ignore_requests("reqPositions")
        await night.until(ENDS_S + 1.0)

        assert await night.is_latched()

    live_through(scenario)


@pytest.mark.parametrize(
    ("at_s", "expected_s"),
    [(BEGINS_S + 1.0, ENDS_S), (ENDS_S - 60.0, ENDS_S - 60.0 + 600.0), (20.0, 620.0)],
)
def test_the_longer_of_grace_and_window_counts(at_s: float, expected_s: float) -> None:
    async def scenario(night: Night) -> None:
        await night.vanishes(at_s, 3 * ENDS_S)

        await night.until(expected_s - 1.0)
        assert not await night.is_latched()
        await night.until(expected_s + 1.0)
        assert await night.is_latched()

    live_through(scenario, planned(StrategyC(grace_seconds=600.0)))


def test_windows_that_meet_are_one_grace() -> None:
    ends_s = ENDS_S + 3600.0

    async def scenario(night: Night) -> None:
        await night.vanishes(BEGINS_S, ends_s + 600.0)

        await night.until(ends_s - 1.0)
        assert not await night.is_latched()
        await night.until(ends_s + 1.0)
        assert await night.is_latched()

    live_through(scenario, planned(gateway_restart="01:30", gateway_restart_s=75 * MINUTE_S))


def test_the_bare_rule_holds_where_maintenance_is_off() -> None:
    async def scenario(night: Night) -> None:
        await night.until(BEGINS_S + 1.0)
        assert (await night.buys(1.0)).status is OrderStatus.FILLED

        await night.vanishes(BEGINS_S + 10.0, BEGINS_S + 60.0)

        assert await night.is_latched()
        assert night.witness.alarms["connection_failure"] > 0

    live_through(scenario, planned(enabled=False))


# --- whoever fails meanwhile ------------------------------------------------------------------------------------------


@pytest.mark.req("SUP-6")
@pytest.mark.parametrize("stays_away", [False, True])
def test_a_strategy_c_that_fails_within_a_window_still_waits_for_its_end(stays_away: bool) -> None:
    async def scenario(night: Night) -> None:
        back_s = ENDS_S + (600.0 if stays_away else -600.0)
        await night.vanishes(BEGINS_S, back_s)
        crash(night.world.process, STRATEGY_C)
        await night.until(ENDS_S - 1.0)
        assert not await night.is_latched()

        await night.until(ENDS_S + 1.0)

        assert await night.is_latched() is stays_away

    live_through(scenario)


@asynccontextmanager
async def processes(proof: Proof) -> AsyncIterator[tuple[Simulator, Any]]:
    """Give a simulator, and a way to make one process after the other on the same journal."""
    simulator = Simulator(SIMULATED, now=proof.clock.now)
    await simulator.start()
    store, number = VolatileStore(), itertools.count(1)

    def make(config: Config, mode: ExecutionMode, operator_id: str, consults: bool) -> Process:
        return build_proof_process(
            config,
            loop=proof.loop,
            seed=next(number),
            simulator=simulator,
            clock=proof.clock,
            mode=mode,
            operator_id=operator_id,
            has_risk_manager=consults,
            journal=lambda context: VolatileJournalActor(context, store),
        )

    yield simulator, partial(IBKRGateway, PLANNED, mode="paper", process=make)
    await simulator.stop()


async def first_process(simulator: Simulator, gateway: IBKRGateway, back_s: float) -> None:
    """Hold a position, and lose the link when the window begins."""
    await gateway.connect()
    assert (await gateway.submit_order(buy(HELD), CONTEXT)).status is OrderStatus.FILLED
    await asyncio.sleep(BEGINS_S)
    simulator.faults.nightly_reset(back_s - BEGINS_S)
    await asyncio.sleep(10 * MINUTE_S)
    assert not (await gateway.status()).latched


@pytest.mark.parametrize("stays_away", [False, True])
def test_a_process_that_dies_within_a_window_leaves_the_disconnect_to_the_next(
    stays_away: bool,
) -> None:
    async def scenario(proof: Proof) -> None:
        async with processes(proof) as (simulator, make):
            first, second = make(), make()
            back_s = ENDS_S + (600.0 if stays_away else -600.0)
            await first_process(simulator, first, back_s)
            await first.process.stop("it dies: nobody disconnects")

            await second.status()  # it starts
            connecting = asyncio.create_task(second.connect(3600.0 * 2))
            await asyncio.sleep(ENDS_S + 1.0 - proof.loop.time())
            assert (await second.status()).latched is stays_away
            await connecting
            await asyncio.sleep(120.0)
            held = sum(item.quantity for item in simulator.positions().values())
            assert held == (0.0 if stays_away else HELD)
            await second.disconnect()

    run_proof(scenario, seed=1, epoch=MIDNIGHT)


def test_a_process_that_dies_within_a_window_and_begins_after_it_latches_at_once() -> None:
    async def scenario(proof: Proof) -> None:
        async with processes(proof) as (simulator, make):
            first, second = make(), make()
            await first_process(simulator, first, ENDS_S)
            await first.process.stop("it dies: nobody disconnects")
            await asyncio.sleep(ENDS_S)

            await second.connect()
            await asyncio.sleep(60.0)

            assert (await second.status()).latched
            assert simulator.positions() == {}
            await second.disconnect()

    run_proof(scenario, seed=1, epoch=MIDNIGHT)


def test_who_disconnects_within_a_window_has_nothing_to_answer_for_later() -> None:
    async def scenario(proof: Proof) -> None:
        async with processes(proof) as (simulator, make):
            first, second = make(), make()
            await first_process(simulator, first, ENDS_S)
            await first.disconnect()
            await asyncio.sleep(ENDS_S)

            await second.connect()
            await asyncio.sleep(60.0)

            assert not (await second.status()).latched
            assert sum(item.quantity for item in simulator.positions().values()) == HELD
            await second.disconnect()

    run_proof(scenario, seed=1, epoch=MIDNIGHT)


def test_a_new_process_that_begins_within_a_window_waits_for_its_gateway_without_a_latch() -> None:
    async def scenario(proof: Proof) -> None:
        async with processes(proof) as (simulator, make):
            gateway = make()
            simulator.faults.nightly_reset(ENDS_S + 600.0)
            await asyncio.sleep(BEGINS_S + 60.0)

            await gateway.connect(3 * 3600.0)

            assert proof.clock.now() > MIDNIGHT + timedelta(seconds=ENDS_S)
            assert not (await gateway.status()).latched
            await gateway.disconnect()

    run_proof(scenario, seed=1, epoch=MIDNIGHT)


# --- the gateway's own restart ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("restart", "says"),
    [("", "which is not planned"), ("11:45 PM", "at another time than planned")],
)
def test_a_gateway_that_goes_outside_every_window_is_named_as_the_likely_cause(
    restart: str, says: str
) -> None:
    async def scenario(night: Night) -> None:
        await night.vanishes(60.0, 120.0)
        await night.until(180.0)

        reason = (await night.gateway.status()).latch_reason or ""

        assert f"(likely the gateway's own restart, {says}: set AUTO_RESTART_TIME)" in reason

    live_through(scenario, planned(gateway_restart=restart))


def test_a_restart_at_its_planned_time_latches_nothing() -> None:
    async def scenario(night: Night) -> None:
        await night.vanishes(601.0, 721.0)
        await night.until(880.0)

        assert night.gateway.is_connected
        assert not await night.is_latched()
        assert night.held == HELD

    live_through(scenario, planned(gateway_restart="12:10 AM"))
