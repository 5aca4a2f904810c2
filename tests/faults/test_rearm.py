"""Re-arming is honoured or refused with the reason, never undone; and a latch answers where it is kept."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import attrs
import pytest

from actors.errors import GatewayError
from actors.kernel.addresses import TapRecord
from actors.messages.addresses import STRATEGY_C
from actors.messages.liquidation import DataQuarantined, Rearmed, RestartLimitExceeded
from actors.messages.orders import SubmitOrder
from actors.model.orders import OrderStatus
from supervision.commands.explain_liquidation import explain_liquidation
from supervision.config.sections import StrategyC
from supervision.observe.masking import Masker
from supervision.process.status import status_lines
from supervision.proof.loop import Proof, run_proof
from supervision.simulator import Simulator
from supervision.simulator.instruments import ContractQuery
from supervision.store.journal_lock import JOURNAL_FILE
from supervision.store.latch_marker import MARKER_FILE, LatchMarker
from tests.faults.crash import crash
from tests.faults.test_latch_survives import Day, Witness
from tests.faults.test_strategy_c import HELD, closes, hold, report_of
from tests.troubled_disk import FULL, READ_ONLY
from tests.unit.logic.values import SPY
from tests.worlds import CONTEXT, SIMULATED, ProofWorld, a_config, buy, prove

pytestmark = pytest.mark.req("STC-11")

WHO, WHY = "Ada", "a glitch"
HELD_SPY = "30 SPY_756733"


async def lose_the_link(world: ProofWorld) -> None:
    """The gateway goes away and stays away."""
    world.simulator.faults.refuse_connections()
    world.simulator.faults.drop_connections()
    await world.until(lambda: not world.gateway.is_connected)
    await asyncio.sleep(1.0)


async def restore_the_link(world: ProofWorld) -> None:
    """The gateway comes back."""
    world.simulator.faults.accept_connections()
    await world.until(lambda: world.gateway.is_connected, 120.0)
    await asyncio.sleep(3.0)


async def rearm(world: ProofWorld, **options: Any) -> Rearmed:
    """Take the latch back."""
    return await world.gateway.rearm(WHO, WHY, **options)


# --- the link is down -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_with_the_link_down_it_is_recorded_and_nothing_is_sold_at_the_reconnect(
    keeps: bool, fails: bool
) -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        await lose_the_link(world)

        answer = await rearm(world, keep_positions=keeps)
        status = await world.gateway.status()
        if fails:
            crash(world.process, STRATEGY_C)
        await restore_the_link(world)
        await asyncio.sleep(120.0)

        assert (answer.was_latched, answer.carried_out) == (True, False)
        assert answer.kept == (HELD_SPY,)
        assert (status.latched, status.liquidation_step) == (True, "REARM_RECORDED")
        said = "\n".join(status_lines(attrs.asdict(status)))
        assert "first of all when the link is back" in said
        assert not (await world.gateway.status()).latched
        assert closes(world) == []
        again = await world.gateway.submit_order(buy(), CONTEXT)
        assert again.status is OrderStatus.FILLED

    prove(scenario)


def test_a_close_that_rests_over_the_outage_is_ended_before_the_latch_comes_off() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        world.simulator.faults.hold_orders()
        await world.gateway.liquidate("a drill")
        await world.until(lambda: len(closes(world)) == 1)
        await asyncio.sleep(1.0)
        await lose_the_link(world)

        answer = await rearm(world)
        await restore_the_link(world)
        await world.until(lambda: world.simulator.open_orders() == (), 30.0)
        await asyncio.sleep(5.0)
        world.simulator.faults.release_orders()
        await asyncio.sleep(120.0)

        assert not answer.carried_out
        assert not (await world.gateway.status()).latched
        assert len(closes(world)) == 1
        assert [held.quantity for held in world.simulator.positions().values()] == [HELD]

    prove(scenario)


def test_asking_again_says_the_same_and_changes_nothing() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        await lose_the_link(world)

        answers = [await rearm(world) for _ in range(3)]
        await restore_the_link(world)
        late = await rearm(world)

        assert {(each.was_latched, each.carried_out) for each in answers} == {(True, False)}
        assert not late.was_latched
        assert late.kept == (HELD_SPY,)

    prove(scenario)


# --- the outage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fails", [False, True])
def test_a_second_loss_in_the_same_outage_latches_nothing_anew(fails: bool) -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        await lose_the_link(world)
        await rearm(world)
        for _ in range(3):
            await restore_the_link(world)
            if fails:
                crash(world.process, STRATEGY_C)
                await asyncio.sleep(1.0)
            await asyncio.sleep(30.0)
            await lose_the_link(world)
            assert not (await world.gateway.status()).latched
        await restore_the_link(world)

        assert closes(world) == []

    prove(scenario)


def test_a_loss_after_a_minute_of_a_sound_link_is_a_new_one() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        await lose_the_link(world)
        await rearm(world)
        await restore_the_link(world)
        await asyncio.sleep(StrategyC().outage_over_after_s)

        world.simulator.faults.drop_connections()
        report = await report_of(world)

        assert "disconnect" in report.trigger
        assert world.simulator.positions() == {}

    prove(scenario)


@pytest.mark.parametrize("link_up", [False, True])
def test_who_liquidates_after_re_arming_is_obeyed(link_up: bool) -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        await lose_the_link(world)
        await rearm(world)
        if link_up:
            await restore_the_link(world)
        await world.gateway.liquidate("in earnest")
        if not link_up:
            await restore_the_link(world)
        report = await report_of(world)

        assert "in earnest" in report.trigger
        assert world.simulator.positions() == {}
        assert (await world.gateway.status()).latched

    prove(scenario)


def test_another_trigger_than_the_loss_is_none_of_the_outage() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        await lose_the_link(world)
        await rearm(world)
        await restore_the_link(world)

        world.process.tell(STRATEGY_C, DataQuarantined(contract=SPY, age_s=301.0))

        assert "data of SPY" in (await report_of(world)).trigger

    prove(scenario)


# --- the link is up ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("filled", "ended"), [(0.0, "CANCELLED"), (12.0, "PARTIAL")])
def test_a_resting_close_is_ended_and_its_fills_are_told(filled: float, ended: str) -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        world.simulator.faults.hold_orders()
        await world.gateway.liquidate("a drill")
        await world.until(lambda: len(closes(world)) == 1)
        await asyncio.sleep(1.0)
        if filled:
            world.simulator.faults.fill(world.simulator.open_orders()[0].perm_id, filled)

        answer = await rearm(world)

        assert answer.carried_out
        assert answer.ended == (f"SELL 30 SPY: {ended}, {filled:g} filled",)
        assert answer.kept == (f"{HELD - filled:g} SPY_756733",)
        assert world.simulator.open_orders() == ()
        world.simulator.faults.release_orders()
        await asyncio.sleep(120.0)
        assert len(closes(world)) == 1

    prove(scenario)


def test_a_close_on_its_way_is_waited_for_and_then_ended() -> None:
    """Whatever step the close has reached between Strategy C and the broker."""

    async def scenario(world: ProofWorld, steps: int) -> None:
        await hold(world)
        world.simulator.faults.hold_orders()
        seen = asyncio.Event()
        count = 0

        def watch(record: TapRecord) -> None:
            nonlocal count
            is_begun = count or type(record.message) is SubmitOrder
            count += bool(is_begun)
            if count > steps:
                seen.set()

        world.process.tap(watch)
        await world.gateway.liquidate("a drill")
        await seen.wait()

        answer = await rearm(world, keep_positions=True)

        assert answer.carried_out
        assert world.simulator.open_orders() == ()
        placed = len(closes(world))
        world.simulator.faults.release_orders()
        await asyncio.sleep(60.0)
        assert len(closes(world)) == placed
        assert [held.quantity for held in world.simulator.positions().values()] == [HELD]

    for steps in range(0, 20, 2):

        async def run(world: ProofWorld, steps: int = steps) -> None:
            await scenario(world, steps)

        prove(run, seed=steps)


def test_keeping_the_positions_stops_a_liquidation_at_any_step() -> None:
    async def scenario(world: ProofWorld, delay_s: float) -> None:
        await hold(world)
        await hold(world, 20.0, "AAPL")
        world.simulator.order_faults.delay_fills(0.5)
        await world.gateway.liquidate("a drill")
        await asyncio.sleep(delay_s)

        answer = await rearm(world, keep_positions=True)
        held = {
            item.contract.symbol: item.quantity for item in world.simulator.positions().values()
        }
        placed = len(closes(world))
        await asyncio.sleep(120.0)

        assert answer.carried_out
        assert world.simulator.open_orders() == ()
        assert len(closes(world)) == placed
        assert {text.split("_")[0]: 0 for text in answer.kept}.keys() == {
            f"{quantity:g} {symbol}" for symbol, quantity in held.items()
        }

    for step in range(8):
        delay_s = step * 0.09

        async def run(world: ProofWorld, delay_s: float = delay_s) -> None:
            await scenario(world, delay_s)

        prove(run, seed=step)


def test_what_does_not_end_in_time_is_refused_with_its_name_and_the_liquidation_goes_on() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        world.simulator.faults.hold_orders()
        await world.gateway.liquidate("a drill")
        await world.until(lambda: len(closes(world)) == 1)
        await asyncio.sleep(1.0)
        world.simulator.order_faults.hold_cancels()

        with pytest.raises(GatewayError, match=r"still latched: not confirmed ended: CLOSE_SPY"):
            await rearm(world)

        assert (await world.gateway.status()).latched
        world.simulator.order_faults.release_cancels()
        world.simulator.faults.release_orders()
        await report_of(world)
        assert world.simulator.positions() == {}

    prove(scenario)


def test_a_close_that_was_begun_and_not_asked_for_yet_is_not_sent_any_more() -> None:
    """An option's hours and price are asked for first, and re-arming may come in between."""

    async def scenario(world: ProofWorld, steps: int) -> None:
        call = ContractQuery(symbol="SPY", sec_type="OPT", strike=600.0, right="C")
        option = world.simulator.universe.find(call, world.simulator.market.today)[-1]
        world.simulator.faults.trade_elsewhere("SPY", 2.0, con_id=option.con_id)
        await asyncio.sleep(5.0)
        seen, count = asyncio.Event(), 0

        def watch(record: TapRecord) -> None:
            nonlocal count
            count += record.sender == STRATEGY_C or record.recipient == STRATEGY_C
            if count > steps:
                seen.set()

        tap = world.process.tap(watch)
        await world.gateway.liquidate("a drill")
        await seen.wait()
        tap.cancel()

        answer = await rearm(world, keep_positions=True)
        placed = len(closes(world))
        await asyncio.sleep(60.0)

        assert answer.carried_out
        assert len(closes(world)) == placed

    for steps in range(4, 26, 2):

        async def run(world: ProofWorld, steps: int = steps) -> None:
            await scenario(world, steps)

        prove(run, seed=steps)


# --- where the latch is kept ------------------------------------------------------------------------------------------


async def a_day_on(proof: Proof, simulator: Simulator, path: Path) -> Day:
    """Run a process with a journal and a marker in real files, and hold something."""
    day = Day(proof, simulator, path, random.Random(1), Witness(proof))
    await day.start()
    await asyncio.sleep(1.0)
    bought = await day.running.submit_order(buy(HELD), attrs.evolve(CONTEXT, risk_per_trade=1.0))
    assert bought.status is OrderStatus.FILLED
    return day


def prove_day(path: Path, scenario: Any) -> None:
    """Run a scenario on a day."""

    async def within(proof: Proof) -> None:
        simulator = Simulator(SIMULATED, now=proof.clock.now)
        await simulator.start()
        try:
            day = await a_day_on(proof, simulator, path)
            await scenario(day)
            await day.end()
        finally:
            await simulator.stop()

    run_proof(within, seed=1)


@pytest.mark.parametrize(("trouble", "durable"), [(None, True), (FULL, True), (READ_ONLY, False)])
def test_liquidate_says_whether_the_latch_is_durable_and_a_failed_write_is_repeated(
    tmp_path: Path, trouble: Any, durable: bool
) -> None:
    async def scenario(day: Day) -> None:
        day.disk.refuses = trouble

        accepted = await day.running.liquidate("a drill")

        marked = LatchMarker(tmp_path / MARKER_FILE).read().mark
        assert accepted.durable is durable
        assert (marked is not None and marked.latched) is durable
        day.disk.heal()
        await asyncio.sleep(10.0)
        marked = LatchMarker(tmp_path / MARKER_FILE).read().mark
        assert marked is not None
        assert marked.latched
        assert marked.account
        assert (await day.running.liquidate("again")).durable

    prove_day(tmp_path, scenario)


def test_without_a_journal_the_latch_says_that_it_is_in_memory_only() -> None:
    async def scenario(world: ProofWorld) -> bool:
        return (await world.gateway.liquidate("a drill")).durable

    assert prove(scenario, config=a_config()) is False


@pytest.mark.parametrize("trouble", [FULL, READ_ONLY])
@pytest.mark.parametrize("link_up", [False, True])
def test_re_arming_is_refused_while_the_disk_does_not_take_it(
    tmp_path: Path, trouble: Any, link_up: bool
) -> None:
    async def scenario(day: Day) -> None:
        await day.running.liquidate("a drill")
        await asyncio.sleep(10.0)
        if not link_up:
            await day.lose_the_link()
            await asyncio.sleep(2.0)
        day.disk.refuses = trouble

        with pytest.raises(GatewayError, match=r"still latched: .*(full|permissions)"):
            await day.running.rearm(WHO, WHY)
        assert (await day.running.status()).latched
        await day.end()
        await day.start()

        assert (await day.running.status()).latched
        assert (await day.running.rearm(WHO, WHY)).was_latched

    prove_day(tmp_path, scenario)


def test_a_write_that_was_still_to_be_repeated_does_not_undo_a_re_arm(tmp_path: Path) -> None:
    async def scenario(day: Day) -> None:
        day.disk.refuses = FULL
        await day.running.liquidate("a drill")
        await asyncio.sleep(7.0)
        day.disk.heal()

        assert (await day.running.rearm(WHO, WHY)).carried_out
        await asyncio.sleep(30.0)
        await _restart_without(day)

        assert not (await day.running.status()).latched

    prove_day(tmp_path, scenario)


def test_a_re_arm_that_only_the_journal_took_is_refused_and_taken_back(tmp_path: Path) -> None:
    async def scenario(day: Day) -> None:
        await day.running.liquidate("a drill")
        await asyncio.sleep(10.0)
        assert day.marker is not None
        day.marker.refuses = True

        with pytest.raises(GatewayError, match="still latched: the disk is read-only"):
            await day.running.rearm(WHO, WHY)
        day.marker.refuses = False
        await asyncio.sleep(30.0)
        await _restart_without(day)

        assert (await day.running.status()).latch_reason == "operator: a drill"

    prove_day(tmp_path, scenario)


@pytest.mark.parametrize("heals", [True, False])
def test_a_process_that_stops_by_itself_has_its_latch_on_the_disk_or_says_that_it_has_not(
    tmp_path: Path, heals: bool
) -> None:
    async def scenario(day: Day) -> None:
        process = day.running.process
        said: list[str] = []
        day.witness.listener = said.append
        day.disk.refuses = READ_ONLY
        process.tell(STRATEGY_C, RestartLimitExceeded(actor="market_data", reason="a test"))
        await asyncio.sleep(30.0)
        assert day.simulator.positions() == {}
        was_running = process.is_running

        if heals:
            day.disk.heal()
        await asyncio.sleep(10.0 if heals else 60.0)

        assert (was_running, process.is_running) == (True, False)
        marked = LatchMarker(tmp_path / MARKER_FILE).read().mark
        assert (marked is not None and marked.latched) is heals
        assert ("stops_without_durable_latch" in said) is not heals

    prove_day(tmp_path, scenario)


def test_what_is_recorded_for_the_reconnect_is_explained(tmp_path: Path) -> None:
    async def scenario(day: Day) -> None:
        await day.lose_the_link()
        await asyncio.sleep(2.0)
        await day.running.rearm(WHO, WHY)
        await day.restore_the_link()
        await asyncio.sleep(120.0)

    prove_day(tmp_path, scenario)

    told = explain_liquidation(tmp_path / JOURNAL_FILE, None, Masker(), as_json=False).lines
    text = "\n".join(told)
    assert text.count("Strategy C latched") == 1
    assert f"re-arming recorded for when the link is back, by {WHO}: {WHY}" in text
    assert f"re-armed by {WHO}: {WHY}" in text


async def _restart_without(day: Day, *names: str) -> None:
    await day.end()
    for name in names:
        for file in day.path.glob(name):
            if not file.name.endswith((".lock", ".holder")):
                file.unlink()
    await day.start()
    await asyncio.sleep(5.0)


@pytest.mark.parametrize("gone", [(), ("orders.sqlite3*",), (MARKER_FILE,)])
def test_a_latch_outlives_the_loss_of_either_file(tmp_path: Path, gone: tuple[str, ...]) -> None:
    async def scenario(day: Day) -> None:
        await day.running.liquidate("a drill")
        await asyncio.sleep(10.0)

        await _restart_without(day, *gone)
        status = await day.running.status()
        await _restart_without(day)
        again = await day.running.status()

        assert status.latched
        assert again.latched
        assert "operator: a drill" in (status.latch_reason or "")

    prove_day(tmp_path, scenario)


def test_a_recorded_re_arm_outlives_the_loss_of_the_journal(tmp_path: Path) -> None:
    async def scenario(day: Day) -> None:
        await day.lose_the_link()
        await asyncio.sleep(2.0)
        assert not (await day.running.rearm(WHO, WHY)).carried_out

        await _restart_without(day, "orders.sqlite3*")
        waits = await day.running.status()
        await day.restore_the_link()
        await asyncio.sleep(120.0)

        assert waits.liquidation_step == "REARM_RECORDED"
        assert not (await day.running.status()).latched
        assert [held.quantity for held in day.simulator.positions().values()] == [HELD]

    prove_day(tmp_path, scenario)


@pytest.mark.parametrize("damages", [False, True])
def test_where_nobody_knows_of_a_latch_nothing_is_opened_and_nothing_is_sold(
    tmp_path: Path, damages: bool
) -> None:
    """A journal that was lost beside orders of ours; a marker that cannot be read."""

    async def scenario(day: Day) -> None:
        if damages:
            await day.end()
            (tmp_path / MARKER_FILE).write_bytes(b"not a mark")
            await day.start()
            await asyncio.sleep(5.0)
        else:
            await _restart_without(day, "orders.sqlite3*", MARKER_FILE)

        await asyncio.sleep(60.0)
        status = await day.running.status()
        refused = await day.running.submit_order(buy(), CONTEXT)
        held = [position.quantity for position in day.simulator.positions().values()]
        await _restart_without(day)
        again = await day.running.status()
        answer = await day.running.rearm(WHO, WHY)
        await asyncio.sleep(60.0)

        assert status.latched
        assert "nothing is sold until an operator says so" in (status.latch_reason or "")
        assert refused.status is OrderStatus.REJECTED
        assert held == [HELD]
        assert again.latch_reason == status.latch_reason
        assert answer.carried_out
        assert [position.quantity for position in day.simulator.positions().values()] == [HELD]

    prove_day(tmp_path, scenario)


@pytest.mark.parametrize("by", ["operator", "disconnect"])
def test_a_latch_on_hold_still_obeys_a_trigger(tmp_path: Path, by: str) -> None:
    async def scenario(day: Day) -> None:
        await _restart_without(day, "orders.sqlite3*", MARKER_FILE)
        await asyncio.sleep(StrategyC().outage_over_after_s)
        if by == "operator":
            await day.running.liquidate("make it flat")
        else:
            day.simulator.faults.drop_connections()

        await day.wait(60.0)

        assert day.simulator.positions() == {}

    prove_day(tmp_path, scenario)
