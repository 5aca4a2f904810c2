"""Positions through the facade: what they are worth, when they are due, how they are closed."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from actors.errors import PositionNotFoundError
from actors.logic.flattening import FIRST_REST_S
from actors.model.orders import CloseReason, OrderStatus
from supervision import Position
from supervision.config.sections import Positions, StrategyC
from supervision.simulator import SimulatorConfig
from supervision.simulator.instruments import ContractQuery
from tests.walk.watching import ending
from tests.worlds import ProofWorld, a_config, prove

HELD = 100
SPY_ID = "SPY_756733"
SPY_CON_ID = 756733
MULTIPLIER = 100
DEEP_STRIKE = 550.0
NEAR_DAYS = 3
LOOK_S = 5.0
TWO_LOOKS_S = 10.0
"""A loss is looked at twice, at least 5 s apart, before it stops."""
LONG_S = 60.0
JUST_ABOVE = 0.62
JUST_BELOW = 0.58
"""Of the price paid: a loss of 38 % and of 42 %, around the emergency stop at 40 %."""

CLOSED_BY_HAND = a_config(
    positions=Positions(check_interval_s=1.0), strategy_c=StrategyC(grace_seconds=600.0)
)


def hold(world: ProofWorld, symbol: str = "SPY", quantity: float = HELD, con_id: int = 0) -> None:
    """Let the account hold a position before the gateway connects."""
    world.simulator.faults.trade_elsewhere(symbol, quantity, con_id=con_id)


def option_of(world: ProofWorld, days: int, strike: float = 600.0, right: str = "C") -> Any:
    """Find a listed option that expires in so many days at the exchange, or soon after when it is far away."""
    universe = world.simulator.universe
    spy = universe.stock("SPY")
    assert spy is not None
    today = world.simulator.market.today
    first = (today + timedelta(days=days)).strftime("%Y%m%d")
    expiry = next(listed for listed in universe.expiries(spy, today) if listed >= first)
    assert expiry == first or days > NEAR_DAYS + 1, f"nothing expires on {first}"
    query = ContractQuery(symbol="SPY", sec_type="OPT", expiry=expiry, strike=strike, right=right)
    (option,) = universe.find(query, today)
    return option


async def only_position(world: ProofWorld) -> Position:
    """Read the one position there is."""
    (position,) = await world.gateway.get_positions()
    return position


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.req("POS-1", "POS-2")
@pytest.mark.parametrize("quantity", [HELD, -HELD], ids=["long", "short"])
@pytest.mark.parametrize("factor", [1.05, 0.95], ids=["up", "down"])
def test_profit_and_loss_have_the_right_sign_and_size(quantity: float, factor: float) -> None:
    async def scenario(world: ProofWorld) -> Any:
        hold(world, quantity=quantity)
        await world.gateway.connect()
        world.simulator.faults.move_price("SPY", factor)
        await asyncio.sleep(LOOK_S)
        return await only_position(world), world.simulator.positions()[SPY_CON_ID]

    position, held = prove(scenario, connect=False)

    assert position.current_price is not None
    profit = quantity * (position.current_price - held.avg_cost)
    assert (position.position_id, position.symbol, position.quantity) == (SPY_ID, "SPY", quantity)
    assert position.entry_price == pytest.approx(held.avg_cost)
    assert position.unrealized_pnl == pytest.approx(profit)
    assert position.unrealized_pnl_pct == pytest.approx(profit / abs(quantity * held.avg_cost))
    assert (position.unrealized_pnl > 0) == ((quantity > 0) == (factor > 1))
    assert position.days_to_expiry is None
    assert position.contract.con_id == SPY_CON_ID


@pytest.mark.req("POS-2", "POS-1")
@pytest.mark.parametrize("quantity", [3, -3], ids=["long", "short"])
def test_an_options_profit_counts_the_multiplier(quantity: float) -> None:
    async def scenario(world: ProofWorld) -> Any:
        option = option_of(world, 32)
        hold(world, quantity=quantity, con_id=option.con_id)
        await world.gateway.connect()
        world.simulator.faults.move_price("SPY", 1.01)
        await asyncio.sleep(LOOK_S)
        return await only_position(world), world.simulator.positions()[option.con_id]

    position, held = prove(scenario, connect=False, config=CLOSED_BY_HAND)

    assert position.contract.multiplier == MULTIPLIER
    assert position.entry_price == pytest.approx(held.avg_cost / MULTIPLIER)
    profit = quantity * MULTIPLIER * (position.current_price - position.entry_price)
    assert position.unrealized_pnl == pytest.approx(profit)
    assert abs(position.unrealized_pnl) > MULTIPLIER
    assert (position.unrealized_pnl > 0) == (quantity > 0), "a call gains when its stock does"


@pytest.mark.req("POS-2")
def test_an_unknown_price_is_none_and_closes_nothing() -> None:
    async def scenario(world: ProofWorld) -> Any:
        hold(world)
        world.simulator.faults.missing_data("SPY")
        await world.gateway.connect()
        await asyncio.sleep(LONG_S)
        due = await world.gateway.check_strategy_c_closures()
        return await only_position(world), due, world.simulator.ledger

    position, due, ledger = prove(scenario, connect=False)

    assert position.current_price is None
    assert (position.unrealized_pnl, position.unrealized_pnl_pct) == (None, None)
    assert (position.should_close_emergency, due, ledger) == (False, [], ())


# --- what is due ------------------------------------------------------------------------------------------------------


@pytest.mark.req("POS-3")
@pytest.mark.parametrize(
    ("factor", "closes"), [(JUST_ABOVE, False), (JUST_BELOW, True)], ids=["38 %", "42 %"]
)
def test_a_loss_of_forty_percent_is_an_emergency_stop(factor: float, closes: bool) -> None:
    async def scenario(world: ProofWorld) -> Any:
        hold(world)
        await world.gateway.connect()
        world.simulator.faults.move_price("SPY", factor)
        await asyncio.sleep(LONG_S)
        return [(entry.action, entry.quantity) for entry in world.simulator.ledger]

    assert prove(scenario, connect=False) == ([("SELL", HELD)] if closes else [])


@pytest.mark.req("POS-3", "GW-5", "GW-9")
def test_what_is_due_is_told_with_its_trigger_before_it_is_closed() -> None:
    async def scenario(world: ProofWorld) -> Any:
        option = option_of(world, NEAR_DAYS, right="P")
        hold(world)
        hold(world, quantity=-2, con_id=option.con_id)  # a short put loses with the fall
        world.simulator.faults.hold_orders()
        await world.gateway.connect()
        world.simulator.faults.move_price("SPY", JUST_BELOW)
        await asyncio.sleep(TWO_LOOKS_S)
        return await world.gateway.check_strategy_c_closures()

    due = prove(scenario, connect=False)

    triggers = {position.contract.security_type.value: position.closure_trigger for position in due}
    assert triggers["STK"] is CloseReason.EMERGENCY_STOP
    assert triggers["OPT"] is CloseReason.EMERGENCY_STOP, "it takes precedence over the expiry"
    assert all(position.should_close_emergency for position in due)


@pytest.mark.req("POS-3")
@pytest.mark.parametrize(("days", "closes"), [(0, True), (3, True), (4, False)])
def test_an_option_closes_at_three_days_to_expiry(days: int, closes: bool) -> None:
    async def scenario(world: ProofWorld) -> Any:
        option = option_of(world, days)
        hold(world, quantity=2, con_id=option.con_id)
        await world.gateway.connect()
        position = await only_position(world)
        await asyncio.sleep(LOOK_S)
        return position, [(entry.action, entry.quantity) for entry in world.simulator.ledger]

    position, sent = prove(scenario, connect=False)

    assert (position.days_to_expiry, position.should_close_3_dte) == (days, closes)
    assert sent == ([("SELL", 2)] if closes else [])


@pytest.mark.req("POS-3")
def test_days_to_expiry_are_counted_in_the_exchanges_time_zone() -> None:
    """15:00 UTC plus ten hours is the next day in UTC, and still the same day in New York."""

    async def scenario(world: ProofWorld) -> Any:
        option = option_of(world, NEAR_DAYS + 1, strike=DEEP_STRIKE)
        hold(world, quantity=2, con_id=option.con_id)
        await world.gateway.connect()
        start = world.proof.clock.now().date()
        await asyncio.sleep(10 * 3600.0)
        position = await only_position(world)
        return start, world.proof.clock.now().date(), position.days_to_expiry

    seldom = a_config(
        positions=Positions(check_interval_s=600.0), strategy_c=StrategyC(data_quarantine_after_s=0)
    )
    start, later, days = prove(scenario, connect=False, config=seldom)

    assert later == start + timedelta(days=1)
    assert days == NEAR_DAYS + 1


# --- closing ----------------------------------------------------------------------------------------------------------


@pytest.mark.req("POS-6", "GW-9")
def test_closing_an_unknown_position_raises() -> None:
    async def scenario(world: ProofWorld) -> Any:
        with pytest.raises(PositionNotFoundError, match="SPY_1"):
            await world.gateway.close_position("SPY_1", "MANUAL")
        return world.simulator.ledger

    assert prove(scenario) == ()


@pytest.mark.req("POS-6", "GW-5")
def test_a_close_sells_the_whole_position_once_under_its_own_name() -> None:
    async def scenario(world: ProofWorld) -> Any:
        hold(world)
        await world.gateway.connect()
        result = await world.gateway.close_position(SPY_ID, CloseReason.STRATEGY_EXIT)
        await world.until(lambda: not world.simulator.positions())
        await asyncio.sleep(1.0)
        return result, await world.gateway.get_positions(), world.simulator.ledger

    result, positions, ledger = prove(scenario, connect=False)

    assert (result.status, result.fill_quantity) == (OrderStatus.FILLED, HELD)
    assert result.order_id.startswith(f"CLOSE_{SPY_ID}")
    assert positions == []
    assert [(entry.action, entry.quantity, entry.order_type) for entry in ledger] == [
        ("SELL", HELD, "MKT")
    ]


@pytest.mark.req("POS-6", "ORD-6")
def test_a_partly_filled_close_stays_tracked_until_it_is_flat() -> None:
    async def scenario(world: ProofWorld) -> Any:
        hold(world)
        await world.gateway.connect()
        first = await world.gateway.close_position(SPY_ID, "MANUAL", 4.0)
        await asyncio.sleep(1.0)
        left = (await only_position(world)).quantity
        second = await world.gateway.close_position(SPY_ID, "MANUAL", LONG_S)
        return first, left, second, world.simulator.positions()

    slices = SimulatorConfig(seed=7, max_fill_quantity=30, slice_delay_s=2.0)
    first, left, second, positions = prove(scenario, connect=False, simulated=slices)

    assert first.status is OrderStatus.PARTIAL
    assert 0 < first.fill_quantity < HELD
    assert left == HELD - first.fill_quantity
    assert (second.status, second.fill_quantity) == (OrderStatus.FILLED, left)
    assert positions == {}


@pytest.mark.req("POS-7")
def test_close_all_closes_everything_side_by_side() -> None:
    async def scenario(world: ProofWorld) -> Any:
        option = option_of(world, 32)
        for symbol, quantity in (("SPY", HELD), ("QQQ", -HELD), ("AAPL", 7)):
            hold(world, symbol, quantity)
        hold(world, quantity=2, con_id=option.con_id)
        await world.gateway.connect()
        ended = await ending(world, world.gateway.close_all_positions("MANUAL"))
        return ended, world.simulator.ledger, world.simulator.positions()

    slow = SimulatorConfig(seed=7, fill_delay_s=2.0)
    ended, ledger, positions = prove(scenario, connect=False, simulated=slow)

    assert [result.status for result in ended.result] == [OrderStatus.FILLED] * 4
    assert (len(ledger), positions) == (4, {})
    assert ended.after_s < 2 * 2.0, "one after the other would take four times two seconds"


@pytest.mark.req("POS-7")
def test_close_all_keeps_going_past_failures_and_retries_what_is_not_flat() -> None:
    async def scenario(world: ProofWorld) -> Any:
        for symbol in ("SPY", "QQQ", "AAPL"):
            hold(world, symbol)
        await world.gateway.connect()
        world.simulator.faults.reject_next_order(count=2)
        results = await world.gateway.close_all_positions("MANUAL")
        closes = [entry for entry in world.simulator.ledger if ":CLOSE_" in entry.order_ref]
        gap_s = closes[-1].received_s - closes[0].received_s
        return results, world.simulator.positions(), gap_s

    results, positions, gap_s = prove(scenario, connect=False)

    statuses = sorted(result.status for result in results)
    assert statuses == [OrderStatus.FAILED] * 2 + [OrderStatus.FILLED] * 3
    assert positions == {}
    assert gap_s >= FIRST_REST_S, "a broker that refuses is not asked again at once"


@pytest.mark.req("POS-7")
def test_close_all_tells_of_what_it_could_not_close() -> None:
    async def scenario(world: ProofWorld) -> Any:
        for symbol in ("SPY", "QQQ"):
            hold(world, symbol)
        await world.gateway.connect()
        world.simulator.faults.halt("QQQ")
        ended = await ending(world, world.gateway.close_all_positions("MANUAL", 6.0))
        return ended, world.simulator.positions()

    ended, positions = prove(scenario, connect=False)

    by_symbol = {result.symbol: result.status for result in ended.result}
    assert by_symbol["SPY"] is OrderStatus.FILLED
    assert by_symbol["QQQ"] in (OrderStatus.TIMEOUT, OrderStatus.REJECTED)
    assert [held.contract.symbol for held in positions.values()] == ["QQQ"]
    assert ended.after_s <= 6.0


@pytest.mark.req("POS-7")
def test_close_all_with_nothing_held_has_nothing_to_tell() -> None:
    async def scenario(world: ProofWorld) -> Any:
        return await world.gateway.close_all_positions("MANUAL"), world.simulator.ledger

    assert prove(scenario) == ([], ())


@pytest.mark.req("POS-7", "GW-12")
def test_close_all_while_the_link_is_down_tells_that_nothing_was_closed() -> None:
    async def scenario(world: ProofWorld) -> Any:
        hold(world)
        await world.gateway.connect()
        world.simulator.faults.nightly_reset(LONG_S)
        await world.until(lambda: not world.gateway.is_connected)
        return await world.gateway.close_all_positions("MANUAL")

    (result,) = prove(scenario, connect=False, config=CLOSED_BY_HAND)

    assert (result.status, result.fill_quantity) == (OrderStatus.FAILED, 0)
    assert "link is down" in result.rejection_reason
