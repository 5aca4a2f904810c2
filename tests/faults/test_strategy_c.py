"""Strategy C: whatever triggers it and whatever fails meanwhile, it ends flat, and each close is sent once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import attrs
import pytest

from actors.errors import GatewayError, GatewayStoppedError, OrderValidationError
from actors.kernel.addresses import TapRecord
from actors.messages.addresses import CONNECTION, FACADE, STRATEGY_C
from actors.messages.connection import ConnectionStateChanged, Disconnect
from actors.messages.journal import RecordLatch, RecordStep
from actors.messages.liquidation import DataQuarantined, LiquidationReport
from actors.messages.orders import (
    CancelOrder,
    OrderSent,
    SendOrder,
    SubmitOrder,
)
from actors.messages.risk import LatchChanged
from actors.model.connection import ConnectionState
from actors.model.orders import CloseReason, OrderStatus, Purpose
from supervision.config.sections import Config, StrategyC, Supervision
from supervision.simulator import LedgerEntry
from tests.faults.crash import POISON, crash
from tests.unit.logic.values import SPY
from tests.walk.link_records import Lines
from tests.worlds import CONTEXT, LENIENT, SIMULATED, ProofWorld, a_config, buy, prove, sell

HELD = 30.0
MUCH = 100.0
CASH = 100_000.0
BOLD = attrs.evolve(CONTEXT, risk_per_trade=1.0)
QUICK = Supervision(first_delay_s=0.001, max_delay_s=0.001, max_restarts=1_000_000)
WIDE = attrs.evolve(LENIENT, price_band_ratio=10.0)
STRICT_DAY = attrs.evolve(LENIENT, daily_loss_ratio=0.01)
STRICT_WEEK = attrs.evolve(LENIENT, weekly_drawdown_ratio=0.01)


def wide(**sections: Any) -> Config:
    """Configure without a price band, so that orders may rest far from the market."""
    return a_config(risk=WIDE, **sections)


async def hold(world: ProofWorld, quantity: float = HELD, symbol: str = "SPY") -> None:
    """Hold a position."""
    bought = await world.gateway.submit_order(buy(quantity, symbol), BOLD)
    assert bought.status is OrderStatus.FILLED, bought.rejection_reason


async def report_of(
    world: ProofWorld, count: int = 1, within_s: float = 120.0
) -> LiquidationReport:
    """Wait for the report of liquidation number ``count``."""
    await world.until(lambda: len(world.gateway.liquidation_reports) >= count, within_s)
    return world.gateway.liquidation_reports[count - 1]


def closes(world: ProofWorld) -> list[LedgerEntry]:
    """List the closing orders in the simulator's ledger."""
    return [
        entry
        for entry in world.simulator.ledger
        if entry.kind == "place" and ":CLOSE_" in entry.order_ref
    ]


def sold(world: ProofWorld) -> float:
    """Count what was sold; a position that is closed once sells what was bought."""
    return sum(item.quantity for item in world.simulator.executions() if item.side == "SLD")


def assert_flat(world: ProofWorld, report: LiquidationReport) -> None:
    """Check the report against the simulator."""
    assert report.flat
    assert not report.simulated
    assert report.remaining == ()
    assert world.simulator.positions() == {}
    assert world.simulator.open_orders() == ()


async def assert_latched(world: ProofWorld, why: str) -> None:
    """Check that nothing can be opened, and that the reason is told."""
    assert (await world.gateway.status()).latched
    placed = len(world.simulator.ledger)
    refused = await world.gateway.submit_order(buy(), CONTEXT)
    assert refused.status is OrderStatus.REJECTED
    assert why in (refused.rejection_reason or "")
    assert len(world.simulator.ledger) == placed


@pytest.mark.req("STC-2", "STC-4")
@pytest.mark.parametrize("restarts", [False, True])
def test_a_fill_that_comes_after_flat_was_said_is_closed_too_while_the_latch_is_on(
    restarts: bool,
) -> None:
    async def scenario(world: ProofWorld) -> None:
        resting = buy(HELD, order_type="LMT", limit_price=400.0)
        await world.gateway.submit_order(resting, BOLD, wait_for="ack")
        (order,) = world.simulator.open_orders()
        await world.gateway.liquidate("a test")
        assert_flat(world, await report_of(world))
        await asyncio.sleep(60.0)
        if restarts:
            crash(world.process, STRATEGY_C)
            await asyncio.sleep(1.0)

        world.simulator.faults.fill(order.perm_id)

        again = await report_of(world, 2)
        assert_flat(world, again)
        assert sold(world) == HELD
        await assert_latched(world, "operator: a test")

    prove(scenario, config=wide(supervision=QUICK))


@pytest.mark.req("STC-4")
def test_what_is_bought_after_the_latch_was_taken_back_is_left_alone() -> None:
    async def scenario(world: ProofWorld) -> None:
        await world.gateway.liquidate("a test")
        await report_of(world)
        await world.gateway.rearm("a test", "it is over")
        await hold(world)
        await asyncio.sleep(600.0)

        assert closes(world) == []

    prove(scenario)


@pytest.mark.req("STC-6", "GW-9")
def test_a_liquidation_that_is_taken_up_again_keeps_its_reason() -> None:
    reasons: list[CloseReason | None] = []

    def watch(record: TapRecord) -> None:
        if type(record.message) is SubmitOrder and record.message.purpose is Purpose.CLOSE:
            reasons.append(record.message.close_reason)

    async def scenario(world: ProofWorld) -> None:
        world.process.tap(watch)
        await hold(world)
        world.simulator.faults.hold_orders()
        await world.gateway.liquidate("a test")
        await world.until(lambda: bool(closes(world)))
        crash(world.process, STRATEGY_C)
        await asyncio.sleep(1.0)
        world.simulator.faults.release_orders()
        assert_flat(world, await report_of(world))

    prove(scenario, config=wide(supervision=QUICK, strategy_c=StrategyC(close_timeout_s=2.0)))

    assert set(reasons) == {CloseReason.MANUAL}
    assert len(reasons) >= 1


# --- triggers ---------------------------------------------------------------------------------------------------------


async def _lose_the_link(world: ProofWorld) -> None:
    world.simulator.faults.drop_connections()


async def _be_asked(world: ProofWorld) -> None:
    await world.gateway.liquidate("a drill")


async def _lose_money(world: ProofWorld) -> None:
    world.simulator.faults.move_price("SPY", 0.05)
    await world.gateway.submit_order(sell(1.0), CONTEXT)


async def _distrust_data(world: ProofWorld) -> None:
    world.process.tell(STRATEGY_C, DataQuarantined(contract=SPY, age_s=301.0))


@pytest.mark.req("STC-1", "STC-2", "STC-3", "STC-4")
@pytest.mark.parametrize(
    ("trigger", "risk", "why"),
    [
        (_lose_the_link, LENIENT, "disconnect"),
        (_be_asked, LENIENT, "operator: a drill"),
        (_lose_money, STRICT_DAY, "DAILY_LOSS_LIMIT"),
        (_lose_money, STRICT_WEEK, "WEEKLY_DRAWDOWN"),
        (_distrust_data, LENIENT, "data of SPY"),
    ],
)
def test_every_trigger_latches_and_closes_what_is_held(
    trigger: Callable[[ProofWorld], Any], risk: Any, why: str
) -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world, MUCH)

        await trigger(world)
        report = await report_of(world)

        assert why in report.trigger
        assert_flat(world, report)
        assert len(closes(world)) == 1
        await assert_latched(world, why)

    prove(scenario, config=a_config(risk=risk), simulated=attrs.evolve(SIMULATED, cash=CASH))


@pytest.mark.req("STC-1")
def test_a_disconnect_that_was_asked_for_triggers_nothing() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        process = world.process

        process.tell(CONNECTION, Disconnect(correlation_id="asked", deadline=1e9, reply_to=FACADE))
        await asyncio.sleep(10.0)

        assert not (await world.gateway.status()).latched
        assert closes(world) == []

    prove(scenario)


@pytest.mark.req("STC-5")
@pytest.mark.parametrize(("away_s", "triggers"), [(5.0, False), (30.0, True)])
def test_a_link_that_is_back_within_the_grace_triggers_nothing(
    away_s: float, triggers: bool
) -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)

        world.simulator.faults.nightly_reset(away_s)
        await world.until(lambda: not world.gateway.is_connected)
        await world.until(lambda: world.gateway.is_connected, 120.0)
        await asyncio.sleep(30.0)

        assert triggers is (await world.gateway.status()).latched
        assert triggers is (world.simulator.positions() == {})

    prove(scenario, config=wide(strategy_c=StrategyC(grace_seconds=20.0)))


@pytest.mark.req("STC-6")
def test_it_runs_once_however_many_triggers_arrive() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)

        first = asyncio.create_task(world.gateway.liquidate("one"))
        second = asyncio.create_task(world.gateway.liquidate("two"))
        await _distrust_data(world)
        await world.gateway.liquidate("three")
        report = await report_of(world)
        await asyncio.sleep(30.0)

        assert (await first).liquidation_id == report.liquidation_id
        assert (await second).liquidation_id == report.liquidation_id
        assert len(world.gateway.liquidation_reports) == 1
        assert len(closes(world)) == 1
        assert_flat(world, report)

    prove(scenario)


# --- the steps --------------------------------------------------------------------------------------------------------


@pytest.mark.req("STC-2")
def test_the_steps_come_in_their_order() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        await world.gateway.submit_order(
            sell(HELD, order_type="LMT", limit_price=2000.0), CONTEXT, wait_for="ack"
        )
        await asyncio.sleep(1.0)
        trace: list[TapRecord] = []
        world.process.tap(trace.append)

        await world.gateway.liquidate("a drill")
        assert_flat(world, await report_of(world))

        def first(kind: type, test: Callable[[Any], bool] = lambda _: True) -> int:
            return next(
                place
                for place, record in enumerate(trace)
                if type(record.message) is kind and test(record.message)
            )

        gate = first(LatchChanged, lambda message: message.latched)
        durable = first(RecordLatch)
        steps = [record.message.step for record in trace if type(record.message) is RecordStep]
        cancelled = first(CancelOrder)
        sized = first(SubmitOrder)
        reported = first(LiquidationReport)
        assert steps == ["CANCELLING", "READING", "CLOSING", "VERIFYING", "DONE"]
        assert [gate, durable, cancelled, sized, reported] == sorted(
            [gate, durable, cancelled, sized, reported]
        )

    prove(scenario, config=wide())


@pytest.mark.req("STC-2")
def test_no_opening_order_that_was_in_flight_reaches_the_wire_after_the_latch() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        trace: list[TapRecord] = []
        world.process.tap(trace.append)

        orders = [
            asyncio.create_task(world.gateway.submit_order(buy(float(n)), CONTEXT, 5.0))
            for n in range(1, 30)
        ]
        await world.gateway.liquidate("a drill")
        results = await asyncio.gather(*orders)
        report = await report_of(world)

        latched = next(
            place
            for place, record in enumerate(trace)
            if type(record.message) is LatchChanged and record.recipient == "link"
        )
        opened = {
            record.message.order.order_ref
            for record in trace
            if type(record.message) is SendOrder and record.message.order.purpose is Purpose.OPEN
        }
        sent_after = [
            record.message.order_ref
            for record in trace[latched:]
            if type(record.message) is OrderSent and record.message.order_ref in opened
        ]
        # The message is told before it is handled: what the gate had let pass by then may still be reported.
        assert len(sent_after) <= 1
        assert OrderStatus.REJECTED in {result.status for result in results}
        assert_flat(world, report)

    for seed in range(5):
        prove(scenario, seed=seed)


@pytest.mark.req("STC-2")
def test_working_orders_of_all_clients_are_cancelled_too() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        world.simulator.faults.order_by_hand("SPY", 5.0, 1.0)
        await world.gateway.submit_order(sell(HELD, order_type="STP", stop_price=1.0), CONTEXT)
        await world.gateway.submit_order(
            buy(1.0, order_type="LMT", limit_price=1.0), CONTEXT, wait_for="ack"
        )
        assert len(world.simulator.open_orders()) == 3

        await world.gateway.liquidate("a drill")

        assert_flat(world, await report_of(world))

    prove(scenario, config=wide())


# --- never too much ---------------------------------------------------------------------------------------------------


@pytest.mark.req("STC-6", "RSK-4")
def test_a_resting_stop_that_fills_meanwhile_is_not_sold_twice() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        await world.gateway.submit_order(sell(HELD, order_type="STP", stop_price=1.0), CONTEXT)
        stop = world.simulator.open_orders()[0]
        world.simulator.faults.late_fill(0.0)

        await world.gateway.liquidate("a drill")
        report = await report_of(world)

        assert stop.perm_id in {item.perm_id for item in world.simulator.executions()}
        assert_flat(world, report)
        assert closes(world) == []

    prove(scenario, config=wide())


@pytest.mark.req("STC-6", "RSK-4")
@pytest.mark.parametrize(("delay_s", "lowest"), [(0.0, 0.0), (0.01, -HELD / 2), (0.2, -HELD / 2)])
def test_a_fill_after_its_cancel_was_confirmed_is_seen_before_flat_is_said(
    delay_s: float, lowest: float
) -> None:
    """One that the broker tells before the closes are sized never turns the position round."""

    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        await world.gateway.submit_order(sell(HELD / 2, order_type="STP", stop_price=1.0), CONTEXT)
        world.simulator.faults.late_fill(delay_s)

        await world.gateway.liquidate("a drill")
        report = await report_of(world)
        await asyncio.sleep(10.0)

        changes = [item.signed_quantity for item in world.simulator.executions()]
        assert min(accumulate(changes)) >= lowest
        assert_flat(world, report)

    prove(scenario, config=wide())


@pytest.mark.req("STC-6", "RSK-4")
def test_an_earlier_close_that_fills_is_not_repeated() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        world.simulator.faults.hold_orders()
        position = (await world.gateway.get_positions())[0]
        close = asyncio.create_task(
            world.gateway.close_position(position.position_id, timeout=20.0)
        )
        await world.until(lambda: len(closes(world)) == 1)

        await world.gateway.liquidate("a drill")
        world.simulator.faults.release_orders()
        report = await report_of(world)
        await close

        assert sold(world) == HELD
        assert_flat(world, report)

    prove(scenario)


@pytest.mark.req("STC-2", "STC-6", "POS-6")
@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_close_that_somebody_asked_for_and_that_fits_goes_on_and_its_caller_is_told(
    is_restarted: bool,
) -> None:
    """So is one that is asked for while a restarted Strategy C still waits for the broker's state."""

    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        (position,) = await world.gateway.get_positions()
        if is_restarted:
            await world.gateway.liquidate("a drill")
            crash(world.process, STRATEGY_C)
        close = asyncio.create_task(world.gateway.close_position(position.position_id))
        await world.until(lambda: len(closes(world)) == 1)
        if not is_restarted:
            await world.gateway.liquidate("a drill")
        report = await report_of(world)

        told = await close
        assert told.status is OrderStatus.FILLED
        assert len(closes(world)) == 1
        assert sold(world) == HELD
        assert_flat(world, report)

    prove(scenario, simulated=attrs.evolve(SIMULATED, fill_delay_s=1.0))


@pytest.mark.req("STC-2", "POS-6")
def test_a_close_that_fills_in_parts_is_waited_for() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)

        await world.gateway.liquidate("a drill")
        report = await report_of(world)

        assert_flat(world, report)
        assert len(closes(world)) == 1

    prove(scenario, simulated=attrs.evolve(SIMULATED, max_fill_quantity=7.0, slice_delay_s=0.5))


@pytest.mark.req("STC-2")
def test_a_rejected_close_is_tried_again_until_flat() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        world.simulator.faults.reject_next_order(count=2)

        await world.gateway.liquidate("a drill")

        assert_flat(world, await report_of(world))
        assert len(closes(world)) == 3

    prove(scenario)


@pytest.mark.req("STC-2", "STC-8")
def test_closes_that_stay_rejected_call_a_person_and_go_on_until_flat() -> None:
    """An hour of refusals, with the default settings: it never gives up, and never claims flat."""
    lines = Lines()

    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        world.simulator.faults.reject_next_order(count=100_000)

        await world.gateway.liquidate("a drill")
        await asyncio.sleep(3600.0)

        assert world.gateway.liquidation_reports == ()
        assert sold(world) == 0.0
        assert 300 < len(closes(world)) < 400, "1, 2, 4, 8 s, then every 10 s"
        alarms = lines.of("strategy_c_alarm")
        assert 4 <= len(alarms) <= 5, "at the fifth refusal, then every quarter of an hour"
        assert "refused 5 times" in str(alarms[0].fields["text"])
        await assert_latched(world, "a drill")

        world.simulator.faults.clear()
        refused_until = world.process.clock.monotonic()
        await world.until(lambda: world.simulator.positions() == {}, 15.0)
        assert_flat(world, await report_of(world))
        assert world.process.clock.monotonic() - refused_until < 30.0

    prove(scenario, config=wide(), log=lines)


@pytest.mark.req("STC-6")
def test_a_trade_by_hand_meanwhile_is_found_and_closed_too() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        world.simulator.faults.hold_orders()
        await world.gateway.liquidate("a drill")
        await world.until(lambda: len(closes(world)) == 1)

        world.simulator.faults.trade_elsewhere("AAPL", 4.0)
        world.simulator.faults.release_orders()

        assert_flat(world, await report_of(world))

    prove(scenario)


# --- scope ------------------------------------------------------------------------------------------------------------


@pytest.mark.req("STC-6")
def test_the_whole_account_is_closed_by_default() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        world.simulator.faults.trade_elsewhere("AAPL", 4.0)
        world.simulator.faults.order_by_hand("AAPL", 5.0, 1.0)

        await world.gateway.liquidate("a drill")

        assert_flat(world, await report_of(world))
        assert {"SPY", "AAPL"} == {entry.symbol for entry in closes(world)}

    prove(scenario, config=wide())


@pytest.mark.req("STC-6")
def test_managed_scope_closes_what_we_bought_and_leaves_the_rest() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        world.simulator.faults.trade_elsewhere("AAPL", 4.0)
        by_hand = world.simulator.faults.order_by_hand("AAPL", 5.0, 1.0)

        await world.gateway.liquidate("a drill")
        report = await report_of(world)

        assert report.flat
        assert [entry.symbol for entry in closes(world)] == ["SPY"]
        held = {
            item.contract.symbol: item.quantity for item in world.simulator.positions().values()
        }
        assert held == {"AAPL": 4.0}
        assert [by_hand] == [order.perm_id for order in world.simulator.open_orders()]

    prove(scenario, config=wide(strategy_c=StrategyC(scope="managed")))


@pytest.mark.req("STC-2", "ORD-7")
@pytest.mark.parametrize("still_works", [True, False])
def test_a_fill_whose_execution_is_not_listed_any_more_does_not_hold_up_the_liquidation(
    still_works: bool,
) -> None:
    async def scenario(world: ProofWorld) -> None:
        resting = buy(HELD, order_type="LMT", limit_price=1.0)
        await world.gateway.submit_order(resting, CONTEXT, wait_for="ack")
        await world.gateway.disconnect()
        order = world.simulator.open_orders()[0]
        world.simulator.faults.fill(order.perm_id, 1.0 if still_works else None)
        world.simulator.faults.unlist_executions()
        await world.gateway.connect()

        await world.gateway.liquidate("a drill")

        assert_flat(world, await report_of(world))

    prove(scenario, config=wide())


# --- failures in the middle -------------------------------------------------------------------------------------------


@pytest.mark.req("STC-6", "SUP-6")
@pytest.mark.parametrize("victim", sorted(POISON))
def test_an_actor_that_fails_during_a_liquidation_does_not_keep_it_from_getting_flat(
    victim: str,
) -> None:
    async def scenario(world: ProofWorld, delay_s: float) -> None:
        await hold(world)
        await world.gateway.submit_order(sell(HELD, order_type="STP", stop_price=1.0), CONTEXT)

        await world.gateway.liquidate("a drill")
        await asyncio.sleep(delay_s)
        crash(world.process, victim)
        report = await report_of(world)
        await asyncio.sleep(30.0)

        assert_flat(world, report)
        assert sold(world) == HELD
        await assert_latched(world, "a drill")

    for step in range(12):
        delay_s = step * 0.012

        async def run(world: ProofWorld, delay_s: float = delay_s) -> None:
            await scenario(world, delay_s)

        prove(
            run,
            seed=step,
            config=wide(supervision=QUICK),
            simulated=attrs.evolve(SIMULATED, fill_delay_s=0.03),
        )


@pytest.mark.req("STC-3", "STC-6")
@pytest.mark.parametrize("seed", range(8))
def test_a_link_that_breaks_again_during_a_liquidation_is_waited_for(seed: int) -> None:
    breaks = 3

    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        connections = 0

        def count(record: TapRecord) -> None:
            nonlocal connections
            message = record.message
            if record.recipient == FACADE and type(message) is ConnectionStateChanged:
                connections += message.state is ConnectionState.CONNECTED

        world.process.tap(count)
        world.simulator.faults.drop_connections()
        for number in range(breaks):
            await world.until(lambda number=number: connections > number, 120.0)  # type: ignore[misc]
            await asyncio.sleep(0.01 * (number + 1) * (1 + seed / 4))
            world.simulator.faults.drop_connections()
        await world.until(lambda: connections > breaks, 120.0)
        report = await report_of(world, within_s=300.0)

        assert_flat(world, report)
        assert sold(world) == HELD

    prove(scenario, seed=seed, simulated=attrs.evolve(SIMULATED, fill_delay_s=0.03))


@pytest.mark.req("STC-1", "SUP-2")
@pytest.mark.parametrize("fill_delay_s", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(6))
def test_an_actor_beyond_its_restart_limit_gets_flat_then_stops_the_tree(
    seed: int, fill_delay_s: float
) -> None:
    """Strategy C itself is rebuilt on the way, before its closes fill or after."""

    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        process = world.process

        while process.is_running and (process.tree.status()[5].restarts < 6):
            crash(process, "market_data")
            await asyncio.sleep(0.5)
        await world.until(lambda: not process.is_running, 300.0)

        assert world.simulator.positions() == {}
        assert sold(world) == HELD
        assert "market_data" in (process.stop_reason or "")
        with pytest.raises(GatewayStoppedError):
            await world.gateway.get_positions()

    prove(
        scenario,
        seed=seed,
        config=wide(supervision=Supervision(max_delay_s=0.2)),
        simulated=attrs.evolve(SIMULATED, fill_delay_s=fill_delay_s),
    )


# --- the latch --------------------------------------------------------------------------------------------------------


@pytest.mark.req("STC-4")
def test_only_a_person_with_a_reason_takes_the_latch_back_and_it_is_recorded() -> None:
    async def scenario(world: ProofWorld) -> None:
        trace: list[TapRecord] = []
        world.process.tap(trace.append)
        await world.gateway.liquidate("a drill")
        await report_of(world)

        for who, why in (("", "why"), ("who", " ")):
            with pytest.raises(OrderValidationError):
                await world.gateway.rearm(who, why)
        await assert_latched(world, "a drill")
        await world.gateway.rearm("Ada", "it was a drill")

        record = next(
            item.message
            for item in trace
            if type(item.message) is RecordLatch and not item.message.latched
        )
        assert (record.who, record.why) == ("Ada", "it was a drill")
        await hold(world)

    prove(scenario)


@pytest.mark.req("STC-4", "STC-6")
@pytest.mark.parametrize("seed", range(8))
def test_a_liquidation_that_is_asked_for_while_the_latch_is_taken_back_keeps_it(seed: int) -> None:
    async def scenario(world: ProofWorld) -> None:
        await world.gateway.liquidate("a drill")
        await report_of(world)

        await asyncio.gather(
            world.gateway.rearm("a test", "the drill is over"),
            world.gateway.liquidate("in earnest"),
            return_exceptions=True,
        )
        await report_of(world, count=2)

        await assert_latched(world, "in earnest")

    prove(scenario, seed=seed, config=wide())


@pytest.mark.req("STC-4", "STC-6")
def test_the_latch_stays_while_a_close_is_being_written() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        world.simulator.faults.hold_orders()
        world.simulator.faults.lose_acknowledgement()
        await world.gateway.liquidate("a drill")
        await world.until(lambda: len(closes(world)) == 1)

        with pytest.raises(GatewayError, match="under way"):
            await world.gateway.rearm("Ada", "too early", 2.0)
        world.simulator.faults.release_orders()

        assert_flat(world, await report_of(world))

    prove(scenario)


@pytest.mark.req("MODE-6", "STC-2")
def test_a_dry_run_says_what_it_would_close_and_never_that_it_is_flat() -> None:
    async def scenario(world: ProofWorld) -> None:
        world.simulator.faults.trade_elsewhere("SPY", HELD)
        await asyncio.sleep(1.0)

        await world.gateway.liquidate("a drill")
        report = await report_of(world)

        assert report.simulated
        assert not report.flat
        assert any("would close" in text and "30" in text for text in report.closed)
        assert world.simulator.ledger == ()
        await assert_latched(world, "a drill")

    prove(scenario, mode="dry_run")
