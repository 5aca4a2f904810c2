"""The data of what is held or traded goes stale: 300 s of an open session later Strategy C begins (STC-1, MKT-12).

On virtual time, so that every bound is exact: from the last fresh stamp to the latch, in seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import attrs
import pytest

from actors.kernel.addresses import TapRecord
from actors.messages.addresses import DATA_WATCH, MARKET_DATA, POSITION, RISK, STRATEGY_C
from actors.messages.liquidation import DataQuarantined, LiquidationReport
from actors.messages.orders import SubmitOrder
from actors.messages.risk import LatchChanged
from actors.model.orders import CloseReason, OrderStatus, Purpose
from supervision.config.sections import Config, Connection, StrategyC, Supervision
from supervision.simulator import Scenario, SimulatorConfig
from tests.faults.crash import crash
from tests.integration.second_source import FakeSource
from tests.unit.logic.values import SPY
from tests.worlds import CONTEXT, SIMULATED, ProofWorld, a_config, buy, prove

LIMIT_S: Final = 300.0
READ_EVERY_S: Final = 3.0
"""So long before the fault the last fresh stamp may be: a read every two seconds, of a quote a second old at most."""

WITHIN_S: Final = 1.0
LIVELY_AFTER_S: Final = 120.0
"""By then it is known how often data changes: before, nothing is called frozen."""

WARNED_AFTER_S: Final = 60.0
HELD: Final = 10.0
NEW_YORK: Final = ZoneInfo("America/New_York")
WEEKDAYS: Final = "0930-1600"
HALF_DAY: Final = "0930-1600;20251127:CLOSED;20251128:0930-1300"
QUICK: Final = Supervision(first_delay_s=0.01, max_delay_s=0.02, max_restarts=10_000)
"""Actors that fail again and again escalate nothing in these tests."""

Scene = Callable[[ProofWorld], Coroutine[Any, Any, None]]
BLIND: Final = ("silent", "end_only", "minus_one", "zero", "not subscribed", "competing")
"""The ways in which IB can have nothing fresh to say of a symbol."""


def blind(world: ProofWorld, how: str, symbol: str | None = "SPY") -> None:
    """Let IB have nothing fresh of a symbol from now on."""
    faults = world.simulator.faults
    if how == "not subscribed":
        faults.no_subscription(symbol, 354)
    elif how == "competing":
        faults.competing_session()
    else:
        faults.missing_data(symbol, how)


async def hold(world: ProofWorld, symbol: str = "SPY") -> None:
    """Hold a position, and let the watch find it."""
    bought = await world.gateway.submit_order(buy(HELD, symbol), CONTEXT)
    assert bought.status is OrderStatus.FILLED, bought.rejection_reason
    await asyncio.sleep(LIVELY_AFTER_S)


async def rest(world: ProofWorld, symbol: str = "SPY") -> None:
    """Have an order work that does not fill, and let the watch find it."""
    order = buy(HELD, symbol, order_type="LMT", limit_price=560.0)
    resting = await world.gateway.submit_order(order, CONTEXT, wait_for="ack")
    assert resting.status is OrderStatus.PENDING, resting.rejection_reason
    await asyncio.sleep(LIVELY_AFTER_S)


async def latched_after(world: ProofWorld, within_s: float) -> float | None:
    """Tell after how many seconds from now Strategy C is latched; None when it is not."""
    loop, latched_at = world.proof.loop, []

    def watch(record: TapRecord) -> None:
        if type(record.message) is LatchChanged and record.message.latched:
            latched_at.append(loop.time())

    tap = world.process.tap(watch)
    began = loop.time()
    while not latched_at and loop.time() - began < within_s:
        await asyncio.sleep(1.0)
    tap.cancel()
    return latched_at[0] - began if latched_at else None


def assert_on_time(after_s: float | None) -> None:
    """Check the bound: from the last fresh stamp more than the limit, and at most a second."""
    assert after_s is not None
    assert LIMIT_S - READ_EVERY_S <= after_s <= LIMIT_S + WITHIN_S


async def report_of(world: ProofWorld) -> LiquidationReport:
    """Wait for the report."""
    await world.until(lambda: bool(world.gateway.liquidation_reports), 120.0)
    return world.gateway.liquidation_reports[0]


def close_reasons(world: ProofWorld) -> list[CloseReason | None]:
    """Collect the reasons of all closing orders from now on."""
    reasons: list[CloseReason | None] = []

    def watch(record: TapRecord) -> None:
        if type(record.message) is SubmitOrder and record.message.purpose is Purpose.CLOSE:
            reasons.append(record.message.close_reason)

    world.process.tap(watch)
    return reasons


def quick(**sections: Any) -> Config:
    """Let actors that fail be back at once."""
    return a_config(**({"supervision": QUICK} | sections))


# --- what is held or traded -----------------------------------------------------------------------------------------


@pytest.mark.req("STC-1", "MKT-12", "SIM-4", "GW-9")
@pytest.mark.parametrize("how", BLIND)
def test_a_held_symbol_without_fresh_data_is_closed_after_300_s_with_its_reason(how: str) -> None:
    async def scenario(world: ProofWorld) -> None:
        reasons = close_reasons(world)
        await hold(world)
        blind(world, how)

        assert_on_time(await latched_after(world, LIMIT_S + 60.0))
        report = await report_of(world)

        assert report.flat
        assert "data of SPY is stale for 300 s: frozen" in report.trigger
        assert set(reasons) == {CloseReason.DATA_QUARANTINE}
        assert world.simulator.positions() == {}

    prove(scenario)


@pytest.mark.req("STC-1", "STC-2")
def test_an_order_that_works_on_stale_data_is_cancelled_though_nothing_is_held() -> None:
    async def scenario(world: ProofWorld) -> None:
        await rest(world)
        blind(world, "silent")

        assert_on_time(await latched_after(world, LIMIT_S + 60.0))
        report = await report_of(world)

        assert report.flat
        assert len(report.cancelled) == 1
        assert world.simulator.open_orders() == ()

    prove(scenario)


@pytest.mark.req("STC-1")
def test_stale_data_of_what_is_neither_held_nor_traded_triggers_nothing() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world, "AAPL")
        blind(world, "silent", "SPY")

        assert await latched_after(world, 3 * LIMIT_S) is None

    prove(scenario)


@pytest.mark.req("STC-1", "OBS-2")
def test_people_are_warned_after_a_minute_each_time_that_data_goes_stale() -> None:
    warnings: list[dict[str, Any]] = []

    def log(event: str, **fields: Any) -> None:
        if event == "data_stale":
            warnings.append(fields)

    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        for count in (1, 2):
            blind(world, "not subscribed")
            await asyncio.sleep(WARNED_AFTER_S - READ_EVERY_S)
            assert len(warnings) == count - 1
            await asyncio.sleep(60.0)
            assert len(warnings) == count
            world.simulator.faults.no_subscription("SPY", None)
            await asyncio.sleep(10.0)

    prove(scenario, log=log)
    told = warnings[0]
    assert told["symbol"].startswith("SPY")
    assert told["stale_s"] > WARNED_AFTER_S
    assert told["stale_s"] + told["strategy_c_in_s"] == pytest.approx(LIMIT_S, abs=1.0)
    assert "subscri" in told["why"]


@pytest.mark.req("STC-1")
def test_data_that_comes_back_at_the_last_moment_triggers_nothing_and_counts_from_then() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        blind(world, "end_only")
        assert await latched_after(world, LIMIT_S - 2 * READ_EVERY_S) is None
        world.simulator.faults.missing_data("SPY", None)
        await asyncio.sleep(2 * READ_EVERY_S)
        blind(world, "end_only")

        assert_on_time(await latched_after(world, LIMIT_S + 60.0))

    prove(scenario)


@pytest.mark.req("STC-1", "SIM-4")
def test_a_halted_symbol_is_no_fault_of_the_data() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        world.simulator.faults.halt("SPY")
        blind(world, "minus_one")

        assert await latched_after(world, 3 * LIMIT_S) is None

        blind(world, "silent")
        assert_on_time(await latched_after(world, LIMIT_S + 60.0))

    prove(scenario)


@pytest.mark.req("STC-1", "MKT-10")
def test_failing_over_does_not_stop_the_clock() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        blind(world, "silent")

        after_s = await latched_after(world, LIMIT_S + 60.0)

        assert_on_time(after_s)
        assert "SPY" in (await world.gateway.status()).failed_over

    prove(scenario, source=FakeSource)


@pytest.mark.req("STC-1", "MODE-6")
def test_in_dry_run_it_says_what_it_would_close() -> None:
    async def scenario(world: ProofWorld) -> None:
        world.simulator.faults.trade_elsewhere("SPY", HELD)
        await asyncio.sleep(LIVELY_AFTER_S)
        blind(world, "silent")

        assert_on_time(await latched_after(world, LIMIT_S + 60.0))
        report = await report_of(world)

        assert report.simulated
        assert not report.flat
        assert any("would" in text and "SPY" in text for text in report.closed)
        assert len(world.simulator.positions()) == 1

    prove(scenario, mode="dry_run")


@pytest.mark.req("STC-1", "STC-4")
def test_whoever_rearms_has_300_s_again() -> None:
    async def scenario(world: ProofWorld) -> None:
        world.simulator.faults.trade_elsewhere("SPY", HELD)
        await asyncio.sleep(LIVELY_AFTER_S)
        blind(world, "silent")
        await latched_after(world, LIMIT_S + 60.0)
        await report_of(world)
        await asyncio.sleep(LIMIT_S)
        await world.gateway.rearm("a test", "the data comes soon")

        assert_on_time(await latched_after(world, LIMIT_S + 60.0))

    prove(scenario, mode="dry_run")


@pytest.mark.req("STC-1", "STC-6")
@pytest.mark.parametrize(("scope", "triggers"), [("account", True), ("managed", False)])
def test_what_others_hold_counts_only_where_the_whole_account_is_in_scope(
    scope: str, triggers: bool
) -> None:
    async def scenario(world: ProofWorld) -> None:
        world.simulator.faults.trade_elsewhere("AAPL", HELD)
        await asyncio.sleep(LIVELY_AFTER_S)
        blind(world, "silent", "AAPL")

        after_s = await latched_after(world, LIMIT_S + 60.0)

        if triggers:
            assert_on_time(after_s)
        else:
            assert after_s is None

    prove(scenario, config=a_config(strategy_c=StrategyC(scope=scope)))


@pytest.mark.req("STC-1", "STC-6")
@pytest.mark.parametrize("arrange", [hold, rest])
def test_what_this_process_holds_or_trades_counts_in_the_managed_scope(arrange: Scene) -> None:
    async def scenario(world: ProofWorld) -> None:
        await arrange(world)
        blind(world, "silent")

        assert_on_time(await latched_after(world, LIMIT_S + 60.0))

    prove(scenario, config=a_config(strategy_c=StrategyC(scope="managed")))


@pytest.mark.req("STC-1", "CFG-1")
@pytest.mark.parametrize(("limit_s", "expected_s"), [(0.0, None), (200.0, 200.0)])
def test_the_limit_is_configured_and_nought_is_never(
    limit_s: float, expected_s: float | None
) -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        blind(world, "end_only")

        after_s = await latched_after(world, 2 * LIMIT_S)

        if expected_s is None:
            assert after_s is None
        else:
            assert after_s is not None
            assert expected_s - READ_EVERY_S <= after_s <= expected_s + WITHIN_S

    prove(scenario, config=a_config(strategy_c=StrategyC(data_quarantine_after_s=limit_s)))


# --- restarts and lost messages -------------------------------------------------------------------------------------


@pytest.mark.req("STC-1", "SUP-6")
@pytest.mark.parametrize("address", [MARKET_DATA, DATA_WATCH, RISK, POSITION, STRATEGY_C])
@pytest.mark.parametrize("every_s", [7.0, 61.0])
def test_actors_that_fail_again_and_again_do_not_turn_the_clock_back(
    address: str, every_s: float
) -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        blind(world, "silent")
        ends_at = world.proof.loop.time() + LIMIT_S + 60.0

        async def fail() -> None:
            while world.proof.loop.time() < ends_at:
                await asyncio.sleep(every_s)
                crash(world.process, address)

        failing = asyncio.create_task(fail())
        after_s = await latched_after(world, LIMIT_S + 60.0)
        failing.cancel()

        assert_on_time(after_s)

    prove(scenario, config=quick())


@pytest.mark.req("STC-1")
def test_a_call_that_is_lost_with_an_actor_that_fails_is_repeated() -> None:
    calls: list[float] = []

    async def scenario(world: ProofWorld) -> None:
        def watch(record: TapRecord) -> None:
            if type(record.message) is DataQuarantined:
                if not calls:  # it fails at the message before, and takes this one to its grave
                    crash(world.process, STRATEGY_C)
                calls.append(world.proof.loop.time())

        await hold(world)
        world.process.tap(watch)
        blind(world, "silent")

        after_s = await latched_after(world, LIMIT_S + 60.0)

        assert after_s is not None
        assert after_s <= LIMIT_S + 10.0

    prove(scenario, config=quick())

    assert calls


# --- the link is lost -----------------------------------------------------------------------------------------------


@pytest.mark.req("STC-1", "STC-5")
def test_a_lost_link_is_answered_by_its_own_rules_and_its_time_does_not_count() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        blind(world, "silent")
        assert await latched_after(world, 100.0) is None
        world.simulator.faults.nightly_reset(600.0)
        await world.until(lambda: not world.gateway.is_connected)
        await world.until(lambda: world.gateway.is_connected, 900.0)

        assert_on_time_after_the_rest(await latched_after(world, LIMIT_S + 60.0))

    def assert_on_time_after_the_rest(after_s: float | None) -> None:
        assert after_s is not None
        assert LIMIT_S - 100.0 - 10.0 <= after_s <= LIMIT_S - 100.0 + 20.0

    tolerant = StrategyC(grace_seconds=3600.0)
    prove(scenario, config=a_config(strategy_c=tolerant, connection=Connection(retries=100)))


@pytest.mark.req("STC-1", "STC-5")
def test_a_call_that_comes_while_a_disconnect_is_tolerated_triggers_nothing() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        world.simulator.faults.nightly_reset(60.0)
        await world.until(lambda: not world.gateway.is_connected)
        world.process.tell(STRATEGY_C, DataQuarantined(contract=SPY, age_s=LIMIT_S + 1.0))

        assert await latched_after(world, 120.0) is None

    prove(scenario, config=a_config(strategy_c=StrategyC(grace_seconds=3600.0)))


@pytest.mark.req("STC-1", "STC-6")
def test_a_disconnect_with_stale_data_triggers_once_and_by_the_disconnect() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        blind(world, "silent")
        await asyncio.sleep(LIMIT_S - 5.0)
        world.simulator.faults.nightly_reset(30.0)
        await world.until(lambda: bool(world.gateway.liquidation_reports), 300.0)
        await asyncio.sleep(2 * LIMIT_S)

        assert len(world.gateway.liquidation_reports) == 1
        assert "disconnect" in world.gateway.liquidation_reports[0].trigger

    prove(scenario)


# --- sessions -------------------------------------------------------------------------------------------------------


def at(year: int, month: int, day: int, hour: int, minute: int) -> datetime:
    """Make a moment of the clock in New York."""
    return datetime(year, month, day, hour, minute, tzinfo=NEW_YORK).astimezone(UTC)


def trading(hours: str) -> SimulatorConfig:
    """Make a gateway whose market keeps these hours."""
    return attrs.evolve(SIMULATED, scenario=Scenario(hours=hours))


@pytest.mark.req("STC-1", "MKT-12", "STC-7")
@pytest.mark.parametrize(
    ("hours", "begin"),
    [
        (WEEKDAYS, at(2025, 11, 20, 15, 57)),
        (HALF_DAY, at(2025, 11, 28, 12, 57)),
        (WEEKDAYS, at(2025, 11, 3, 15, 57)),  # the clock went back the day before
        (WEEKDAYS, at(2026, 3, 9, 15, 57)),  # and forward
    ],
)
def test_data_that_is_stale_when_the_market_closes_triggers_nothing(
    hours: str, begin: datetime
) -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        blind(world, "end_only")

        assert await latched_after(world, 4 * LIMIT_S) is None

    prove(scenario, epoch=begin, simulated=trading(hours))


@pytest.mark.req("STC-1", "MKT-12")
@pytest.mark.parametrize("day", [(2025, 11, 21), (2025, 11, 28), (2025, 11, 3), (2026, 3, 9)])
def test_what_never_quoted_since_the_open_is_told_and_sells_nothing(
    day: tuple[int, int, int],
) -> None:
    warnings: list[str] = []

    def log(event: str, **fields: Any) -> None:
        if event == "data_stale":
            warnings.append(fields["symbol"])

    async def scenario(world: ProofWorld) -> None:
        world.simulator.faults.trade_elsewhere("SPY", HELD)
        blind(world, "end_only")
        await asyncio.sleep((at(*day, 9, 30) - world.proof.clock.now()).total_seconds())

        assert await latched_after(world, 3 * LIMIT_S) is None
        assert len(warnings) == 1

    prove(scenario, epoch=at(*day, 9, 13), simulated=trading(HALF_DAY), mode="dry_run", log=log)


@pytest.mark.req("STC-1")
def test_the_watch_asks_for_many_positions_without_filling_the_wire() -> None:
    symbols = ("SPY", "AAPL", "MSFT", "QQQ", "TSLA", "NVDA")

    async def scenario(world: ProofWorld) -> None:
        for symbol in symbols:
            world.simulator.faults.trade_elsewhere(symbol, HELD)
        await asyncio.sleep(30.0)
        asked = 0

        def count(record: TapRecord) -> None:
            nonlocal asked
            if record.sender == DATA_WATCH and record.recipient == MARKET_DATA:
                asked += 1

        world.process.tap(count)
        await asyncio.sleep(60.0)

        assert len(symbols) * 25 <= asked <= len(symbols) * 31

    prove(scenario, mode="dry_run")
