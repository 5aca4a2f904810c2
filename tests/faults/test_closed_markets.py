"""Strategy C while the market is closed: the close waits for the open, says so, and ends flat after it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import attrs
import pytest

from actors.errors import MarketClosedError
from actors.messages.addresses import EXECUTOR, LINK, RISK, STRATEGY_C
from actors.messages.liquidation import LiquidationReport
from actors.model.orders import OrderStatus
from supervision import IBKRGateway
from supervision.config.sections import Connection, Positions, StrategyC
from supervision.proof.loop import Proof, run_proof
from supervision.simulator import Scenario, Simulator
from tests.faults.crash import crash
from tests.restarts import processes_of
from tests.worlds import CONTEXT, SIMULATED, ProofWorld, a_config, buy, prove

HELD = 30.0
BOLD = attrs.evolve(CONTEXT, risk_per_trade=1.0)
NEW_YORK = ZoneInfo("America/New_York")
HOUR_S = 3600.0
WEEKDAYS = "0930-1600"
THANKSGIVING = "0930-1600;20251127:CLOSED;20251128:0930-1300"
MATCHED_S = 15.0
PATIENT = attrs.evolve(SIMULATED, match_interval_s=MATCHED_S, account_interval_s=3600.0)
CLOSED = attrs.evolve(PATIENT, scenario=Scenario(hours=WEEKDAYS))
CALM = a_config(
    connection=Connection(heartbeat_s=1800.0),
    positions=Positions(check_interval_s=3600.0),
    strategy_c=StrategyC(data_quarantine_after_s=0.0),
)
"""Nobody looks at link, prices, data and queue each minute of a weekend."""

AFTERNOON = datetime(2025, 11, 20, 15, 50, tzinfo=NEW_YORK).astimezone(UTC)
EVENING = AFTERNOON + timedelta(minutes=15)
NEXT_OPEN = datetime(2025, 11, 21, 9, 30, tzinfo=NEW_YORK).astimezone(UTC)
SAID = "SELL 30 SPY queued for the open at 2025-11-21 14:30 UTC"


async def until(world: ProofWorld, when: datetime) -> None:
    """Let virtual time pass until a moment."""
    await asyncio.sleep((when - world.proof.clock.now()).total_seconds())


async def hold(world: ProofWorld, quantity: float = HELD, symbol: str = "SPY") -> None:
    """Hold a position, bought while the market is open."""
    bought = await world.gateway.submit_order(buy(quantity, symbol), BOLD)
    assert bought.status is OrderStatus.FILLED, bought.rejection_reason


def is_spoken_for(world: ProofWorld) -> bool:
    """Whether what works at the broker closes exactly what is held."""
    held = sum(each.quantity for each in world.simulator.positions().values())
    orders = world.simulator.open_orders()
    return held + sum(order.remaining * order.sign for order in orders) == 0


async def queued(world: ProofWorld, number: int = 1) -> tuple[str, ...]:
    """Wait until Strategy C says that closes are queued."""
    for _ in range(1000):
        status = await world.gateway.status()
        if len(status.liquidation_queue) == number and is_spoken_for(world):
            return status.liquidation_queue
        await asyncio.sleep(0.1)
    raise AssertionError("nothing was queued")


def reports(world: ProofWorld) -> list[LiquidationReport]:
    """The reports that have come."""
    return list(world.gateway.liquidation_reports)


def sales(world: ProofWorld) -> list[tuple[datetime, float]]:
    """When how much was sold."""
    return [
        (item.time, item.quantity) for item in world.simulator.executions() if item.side == "SLD"
    ]


def placed(world: ProofWorld) -> int:
    """How many closing orders reached the broker."""
    return sum(
        entry.kind == "place" and ":CLOSE_" in entry.order_ref for entry in world.simulator.ledger
    )


def assert_flat(world: ProofWorld) -> None:
    """Check the only report against the simulator."""
    (report,) = reports(world)
    assert report.flat
    assert world.simulator.positions() == {}
    assert world.simulator.open_orders() == ()


@pytest.mark.req("STC-7", "STC-2")
@pytest.mark.parametrize(
    ("hours", "bought_at", "latched_at", "opens_at"),
    [
        (WEEKDAYS, "2025-11-21 15:50", "2025-11-21 16:05", "2025-11-24 09:30"),
        (THANKSGIVING, "2025-11-26 15:50", "2025-11-26 16:30", "2025-11-28 09:30"),
        (THANKSGIVING, "2025-11-28 12:50", "2025-11-28 13:01", "2025-12-01 09:30"),
        ("0930-1600", "2026-03-06 15:50", "2026-03-07 12:00", "2026-03-09 09:30"),
    ],
    ids=["weekend", "holiday", "half day", "summer time begins"],
)
def test_the_close_is_queued_for_the_open_and_says_so(
    hours: str, bought_at: str, latched_at: str, opens_at: str
) -> None:
    bought, latched, opens = (
        datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).astimezone(UTC)
        for text in (bought_at, latched_at, opens_at)
    )

    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        await until(world, latched)

        await world.gateway.liquidate("a drill")
        said = await queued(world)
        status = await world.gateway.status()
        await until(world, opens - timedelta(seconds=1))

        assert said == (f"SELL 30 SPY queued for the open at {opens:%Y-%m-%d %H:%M} UTC",)
        assert (status.liquidation_step, status.latched) == ("QUEUED", True)
        assert (sales(world), placed(world), reports(world)) == ([], 1, [])

        await until(world, opens + timedelta(seconds=20))

        ((sold_at, quantity),) = sales(world)
        assert timedelta() <= sold_at - opens <= timedelta(seconds=MATCHED_S)
        assert quantity == HELD
        assert placed(world) == 1
        assert_flat(world)
        assert said[0] in reports(world)[0].closed

    prove(
        scenario,
        config=CALM,
        simulated=attrs.evolve(PATIENT, scenario=Scenario(hours=hours)),
        epoch=bought,
    )


@pytest.mark.req("STC-7", "STC-3")
def test_a_link_that_is_lost_over_night_changes_nothing_of_it() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        await until(world, EVENING)
        await world.gateway.liquidate("a drill")

        for _ in range(3):
            world.simulator.faults.nightly_reset(60.0)
            await asyncio.sleep(5 * HOUR_S)
            assert await queued(world) == (SAID,)
        await until(world, NEXT_OPEN + timedelta(seconds=20))

        assert sum(quantity for _, quantity in sales(world)) == HELD
        assert_flat(world)

    prove(scenario, config=CALM, simulated=CLOSED, epoch=AFTERNOON)


@pytest.mark.req("STC-7", "STC-6", "RSK-4")
@pytest.mark.parametrize(
    ("traded", "says"),
    [
        (-10.0, "SELL 20 SPY queued for the open at 2025-11-21 14:30 UTC"),
        (+5.0, "SELL 35 SPY queued for the open at 2025-11-21 14:30 UTC"),
        (-50.0, "BUY 20 SPY queued for the open at 2025-11-21 14:30 UTC"),
    ],
)
def test_a_queued_close_is_sized_anew_when_the_position_changes(traded: float, says: str) -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        await until(world, EVENING)
        await world.gateway.liquidate("a drill")
        await queued(world)

        world.simulator.faults.trade_elsewhere("SPY", traded)
        await asyncio.sleep(2000.0)

        assert await queued(world) == (says,)
        await until(world, NEXT_OPEN + timedelta(seconds=20))
        assert_flat(world)

    prove(scenario, config=CALM, simulated=CLOSED, epoch=AFTERNOON)


@pytest.mark.req("STC-7", "STC-6")
def test_a_close_of_what_was_sold_by_hand_is_taken_back_before_the_open() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        await until(world, EVENING)
        await world.gateway.liquidate("a drill")
        await queued(world)
        await until(world, NEXT_OPEN - timedelta(seconds=10))

        world.simulator.faults.trade_elsewhere("SPY", -HELD)
        await until(world, NEXT_OPEN + timedelta(seconds=20))

        assert_flat(world)

    prove(scenario, config=CALM, simulated=CLOSED, epoch=AFTERNOON)


@pytest.mark.req("STC-7")
def test_what_the_broker_will_not_keep_waits_here_and_nobody_is_alarmed() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        await until(world, EVENING)
        world.simulator.faults.reject_next_order(201, "Order rejected - reason: market is closed")

        await world.gateway.liquidate("a drill")
        await until(world, NEXT_OPEN - timedelta(seconds=1))

        assert (placed(world), reports(world)) == (1, [])
        assert (await world.gateway.status()).liquidation_queue == (SAID,)
        await until(world, NEXT_OPEN + timedelta(seconds=20))
        assert placed(world) == 2
        assert_flat(world)

    prove(scenario, config=CALM, simulated=CLOSED, epoch=AFTERNOON)


@pytest.mark.req("STC-7", "STC-8")
def test_a_queued_close_that_the_open_does_not_fill_rests_until_it_does() -> None:
    """It is accepted and not filled, as in a halt at the open: that is no refusal, and nothing is sent beside it."""

    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        await until(world, EVENING)
        await world.gateway.liquidate("a drill")
        await queued(world)
        world.simulator.faults.hold_orders()
        await until(world, NEXT_OPEN + timedelta(minutes=10))

        world.simulator.faults.release_orders()
        await asyncio.sleep(20.0)

        assert placed(world) == 1
        assert sum(quantity for _, quantity in sales(world)) == HELD
        assert_flat(world)

    prove(scenario, config=CALM, simulated=CLOSED, epoch=AFTERNOON)


@pytest.mark.req("STC-7")
def test_what_trades_now_is_closed_now_while_the_rest_waits() -> None:
    """QQQ's hours are not known: it is closed at once, and waits at the broker if it has to."""

    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        await hold(world, 7.0, "QQQ")
        await until(world, EVENING)

        await world.gateway.liquidate("a drill")
        said = await queued(world, 2)

        assert said == (
            SAID.replace("30 SPY", "7 QQQ"),
            SAID,
        ) or said == (SAID, SAID.replace("30 SPY", "7 QQQ"))
        await until(world, NEXT_OPEN + timedelta(seconds=20))
        assert sum(quantity for _, quantity in sales(world)) == HELD + 7.0
        assert_flat(world)

    prove(scenario, config=CALM, simulated=CLOSED, epoch=AFTERNOON)


@pytest.mark.req("STC-7", "STC-4")
def test_re_arming_takes_back_what_is_queued() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        await until(world, EVENING)
        await world.gateway.liquidate("a drill")
        await queued(world)
        changes = world.gateway.orders()

        await world.gateway.rearm("an operator", "a false alarm")

        told = await anext(changes)
        while told.status is not OrderStatus.CANCELLED:
            told = await anext(changes)
        assert told.rejection_reason == "an operator takes Strategy C's latch back"
        status = await world.gateway.status()
        assert (status.latched, status.liquidation_queue) == (False, ())
        assert world.simulator.open_orders() == ()
        await until(world, NEXT_OPEN + timedelta(seconds=60))
        assert sales(world) == []

    prove(scenario, config=CALM, simulated=CLOSED, epoch=AFTERNOON)


@pytest.mark.req("STC-7", "STC-6", "SUP-6")
@pytest.mark.parametrize("victim", [STRATEGY_C, EXECUTOR, RISK, LINK])
def test_a_queue_survives_an_actor_that_fails_meanwhile(victim: str) -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        await until(world, EVENING)
        await world.gateway.liquidate("a drill")
        await queued(world)

        crash(world.process, victim)
        await asyncio.sleep(HOUR_S)

        assert await queued(world) == (SAID,)
        await until(world, NEXT_OPEN + timedelta(seconds=20))
        assert sum(quantity for _, quantity in sales(world)) == HELD
        assert_flat(world)

    prove(scenario, config=CALM, simulated=CLOSED, epoch=AFTERNOON)


@pytest.mark.req("STC-7", "STC-3", "STC-6")
@pytest.mark.parametrize("away_h", [1.0, 20.0], ids=["back before the open", "back after it"])
def test_a_queue_survives_the_process(away_h: float) -> None:
    """The broker keeps the close while nobody is there, and the next process takes it over."""

    async def scenario(proof: Proof) -> None:
        simulator = Simulator(CLOSED, now=proof.clock.now)
        await simulator.start()
        make = processes_of(proof, simulator)

        async with IBKRGateway(CALM, mode="paper", process=make) as gateway:
            world = ProofWorld(proof, gateway, simulator)
            await hold(world)
            await until(world, EVENING)
            await gateway.liquidate("a drill")
            assert await queued(world) == (SAID,)
        assert len(simulator.open_orders()) == 1
        await asyncio.sleep(away_h * HOUR_S)

        async with IBKRGateway(CALM, mode="paper", process=make) as gateway:
            world = ProofWorld(proof, gateway, simulator)
            if proof.clock.now() < NEXT_OPEN:
                assert await queued(world) == (SAID,)
                await until(world, NEXT_OPEN + timedelta(seconds=20))
            await asyncio.sleep(20.0)

            assert (await gateway.status()).latched
            assert sum(quantity for _, quantity in sales(world)) == HELD
            assert_flat(world)
        await simulator.stop()

    run_proof(scenario, seed=1, epoch=AFTERNOON)


# --- single closures --------------------------------------------------------------------------------------------------

LOOKS = attrs.evolve(CALM, positions=Positions(check_interval_s=20.0))


@pytest.mark.req("POS-3", "STC-7")
def test_an_option_that_comes_due_at_midnight_is_closed_at_the_open_by_one_order() -> None:
    """On Thursday it has four days left, on Friday three: due from midnight on, while nothing trades."""

    async def scenario(world: ProofWorld) -> None:
        call = buy(2.0, expiry="20251124", strike=595.0, right="C")
        bought = await world.gateway.submit_order(call, BOLD)
        assert bought.status is OrderStatus.FILLED, bought.rejection_reason

        await until(world, NEXT_OPEN - timedelta(seconds=1))
        assert [view.days_to_expiry for view in await world.gateway.get_positions()] == [3]
        assert placed(world) == 0
        await until(world, NEXT_OPEN + timedelta(seconds=40))

        ((sold_at, quantity),) = sales(world)
        assert sold_at >= NEXT_OPEN
        assert (quantity, placed(world)) == (2.0, 1)
        assert world.simulator.positions() == {}

    prove(scenario, config=LOOKS, simulated=CLOSED, epoch=AFTERNOON)


@pytest.mark.req("POS-6", "GW-8")
def test_a_close_that_is_asked_for_outside_the_session_is_refused_at_once_and_says_when_it_opens() -> (
    None
):
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        (held,) = await world.gateway.get_positions()
        await until(world, EVENING)

        with pytest.raises(MarketClosedError, match="opens at 2025-11-21 14:30 UTC"):
            await world.gateway.close_position(held.position_id)

        assert world.proof.clock.now() == EVENING
        assert placed(world) == 0
        await until(world, NEXT_OPEN)
        closed = await world.gateway.close_position(held.position_id)
        assert closed.status is OrderStatus.FILLED

    prove(scenario, config=CALM, simulated=CLOSED, epoch=AFTERNOON)


@pytest.mark.req("POS-7", "GW-8")
def test_closing_all_outside_the_session_tells_of_each_at_once_and_sends_nothing() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        await hold(world, 7.0, "QQQ")
        await until(world, EVENING)

        results = await world.gateway.close_all_positions()

        assert world.proof.clock.now() == EVENING
        assert [result.status for result in results] == [OrderStatus.FAILED] * 2
        assert {result.symbol for result in results} == {"SPY", "QQQ"}
        assert all("14:30 UTC" in (result.rejection_reason or "") for result in results)
        assert (placed(world), len(world.simulator.positions())) == (0, 2)

    prove(scenario, config=CALM, simulated=CLOSED, epoch=AFTERNOON)
