"""Risk through the facade: what it rejects and why, what it counts, and what never blocks a close."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest

from actors.model.orders import OrderStatus, StrategyContext
from supervision.config.sections import Config, GatewayConfig, Orders, Risk, StrategyC
from supervision.simulator import SimulatorConfig
from tests.worlds import CONTEXT, LENIENT, ProofWorld, a_config, buy, prove, sell

BOLD = StrategyContext(strategy_id="test", risk_per_trade=1.0)
CASH = 100_000.0
PDT_EQUITY = 25_000.0
HELD = 100
FEW = 10
SPY_ID = "SPY_756733"
RICH = SimulatorConfig(seed=7, cash=10_000_000.0)
POOR = SimulatorConfig(seed=7, cash=20_000.0)
MODEST = SimulatorConfig(seed=7, cash=CASH)


def limits(**changed: Any) -> Config:
    """Make a configuration with lenient limits except for those given."""
    return a_config(risk=attrs.evolve(LENIENT, **changed))


Prepare = Callable[[ProofWorld], Awaitable[Any]]


async def nothing(world: ProofWorld) -> None:
    """Prepare nothing."""


async def one_order(world: ProofWorld) -> None:
    """Have one order filled."""
    await world.gateway.submit_order(buy(1), CONTEXT)


async def three_day_trades(world: ProofWorld) -> None:
    """Open and close three times on one day."""
    for _ in range(3):
        await world.gateway.submit_order(buy(1), CONTEXT)
        await world.gateway.close_all_positions("MANUAL")


async def halted(world: ProofWorld) -> None:
    """Halt trading in SPY, and let the quote from before grow old."""
    world.simulator.faults.halt("SPY")
    await asyncio.sleep(10.0)


async def other_position(world: ProofWorld) -> None:
    """Hold something else already."""
    await world.gateway.submit_order(buy(1, symbol="QQQ"), CONTEXT)


RULES: dict[str, tuple[Config, SimulatorConfig, Prepare, Any, str]] = {
    "position size": (
        limits(max_position_quantity=5),
        RICH,
        nothing,
        buy(6),
        r"position quantity \(6\) exceeds limit \(5\)",
    ),
    "position value": (
        limits(max_position_value=1000.0),
        RICH,
        nothing,
        buy(2),
        r"position value \(1,19\d.*exceeds limit \(1,000\)",
    ),
    "total exposure": (
        limits(max_total_exposure_value=700.0),
        RICH,
        other_position,
        buy(1),
        r"total exposure \(1,1\d\d.*exceeds limit \(700\)",
    ),
    "risk per trade": (
        limits(risk_per_trade_ratio=0.0001),
        MODEST,
        nothing,
        buy(10),
        r"risk of the trade \(29.*exceeds limit \(10\)",
    ),
    "affordability": (
        limits(),
        POOR,
        nothing,
        buy(100),
        r"cost in view of available funds \(59,5.*exceeds limit \(20,000\)",
    ),
    "day trades": (
        limits(day_trades="pdt"),
        POOR,
        three_day_trades,
        buy(1),
        r"day trades \(4\) exceeds limit \(3\)",
    ),
    "open positions": (
        limits(max_open_positions=1),
        RICH,
        other_position,
        buy(1),
        r"open positions \(2\) exceeds limit \(1\)",
    ),
    "order rate": (
        limits(max_orders_per_minute=1),
        RICH,
        one_order,
        buy(2),
        r"orders per minute \(2\) exceeds limit \(1\)",
    ),
    "price sanity": (
        limits(price_band_ratio=0.1),
        RICH,
        nothing,
        buy(1, order_type="LMT", limit_price=300.0),
        r"deviation of the price 300.*exceeds limit \(0\.1\)",
    ),
    "duplicate": (
        limits(duplicate_window_s=5.0),
        RICH,
        one_order,
        buy(1),
        r"duplicate of CSATSPRIM:ORD_",
    ),
    "short selling": (limits(allow_short=False), RICH, nothing, sell(1), "short selling"),
    "halted": (limits(), RICH, halted, buy(1), "trading in SPY is halted"),
}


@pytest.mark.req("RSK-1", "RSK-2")
@pytest.mark.parametrize(
    ("config", "simulated", "prepare", "signal", "reason"), RULES.values(), ids=RULES
)
def test_each_rule_rejects_with_its_number_and_limit(
    config: Config, simulated: SimulatorConfig, prepare: Prepare, signal: Any, reason: str
) -> None:
    async def scenario(world: ProofWorld) -> Any:
        await prepare(world)
        sent = len(world.simulator.ledger)
        result = await world.gateway.submit_order(signal, CONTEXT)
        return result, len(world.simulator.ledger) - sent

    result, sent = prove(scenario, config=config, simulated=simulated)

    assert (result.status, sent) == (OrderStatus.REJECTED, 0)
    assert re.search(reason, result.rejection_reason), result.rejection_reason
    assert not result.risk_validation.approved
    assert result.fill_quantity == 0


@pytest.mark.req("RSK-1")
@pytest.mark.parametrize(
    ("config", "simulated", "prepare", "signal", "reason"),
    [rule for name, rule in RULES.items() if name not in ("halted", "affordability")],
    ids=[name for name in RULES if name not in ("halted", "affordability")],
)
def test_the_same_order_passes_within_lenient_limits(
    config: Config, simulated: SimulatorConfig, prepare: Prepare, signal: Any, reason: str
) -> None:
    del config, reason

    async def scenario(world: ProofWorld) -> Any:
        await prepare(world)
        return await world.gateway.submit_order(signal, CONTEXT, 3.0)

    result = prove(scenario, config=limits(price_band_ratio=1.0), simulated=simulated)

    assert result.status in (OrderStatus.FILLED, OrderStatus.TIMEOUT), result.rejection_reason


@pytest.mark.req("RSK-2")
def test_every_reason_that_applies_is_told_with_the_numbers() -> None:
    async def scenario(world: ProofWorld) -> Any:
        return await world.gateway.submit_order(buy(100), CONTEXT)

    strict = limits(max_position_quantity=5, max_position_value=10.0, max_open_positions=0)
    result = prove(scenario, config=strict, simulated=POOR)

    validation = result.risk_validation
    assert len(validation.rejection_reasons) >= 5
    assert validation.risk_metrics["position_quantity"] == 100
    assert validation.risk_metrics["position_quantity_limit"] == 5
    assert all(reason in result.rejection_reason for reason in validation.rejection_reasons)


@pytest.mark.req("RSK-1", "RSK-9")
def test_the_strategys_own_share_bounds_the_risk_of_a_trade_and_a_stop_that_is_only_named_buys_nothing() -> (
    None
):
    async def scenario(world: ProofWorld) -> Any:
        bold = StrategyContext(strategy_id="test", risk_per_trade=0.02)
        meek = StrategyContext(strategy_id="test", risk_per_trade=0.001)
        named = StrategyContext(strategy_id="test", risk_per_trade=0.001, stop_loss_pct=0.0001)
        return [await world.gateway.submit_order(buy(50), each) for each in (bold, meek, named)]

    bold, meek, named = prove(scenario, simulated=MODEST, config=limits(duplicate_window_s=0.0))

    assert bold.status is OrderStatus.FILLED
    assert [meek.status, named.status] == [OrderStatus.REJECTED] * 2
    assert "risk of the trade" in named.rejection_reason
    assert meek.rejection_reason == named.rejection_reason


@pytest.mark.req("RSK-8")
def test_an_option_that_would_be_closed_by_itself_is_not_opened() -> None:
    async def scenario(world: ProofWorld) -> Any:
        chain = await world.gateway.get_option_chain("SPY")
        today = world.proof.clock.now().date()
        near = next(each for each in chain.expiries if 0 <= (each - today).days <= 3)
        strike = min(chain.strikes, key=lambda each: abs(each - 570.0))
        call = buy(1, expiry=f"{near:%Y%m%d}", strike=strike, right="C")
        return (near - today).days, await world.gateway.submit_order(call, BOLD)

    days, refused = prove(scenario)

    assert refused.status is OrderStatus.REJECTED
    reason = f"it expires in ({days}) days, and what has (3) or fewer is closed by itself"
    assert reason in refused.rejection_reason


@pytest.mark.req("RSK-1")
@pytest.mark.parametrize(
    ("limit", "reason"),
    [("daily_loss_ratio", "DAILY_LOSS_LIMIT"), ("weekly_drawdown_ratio", "WEEKLY_DRAWDOWN")],
)
def test_a_passed_loss_limit_latches_closes_and_refuses_openings(limit: str, reason: str) -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway = world.gateway
        await gateway.submit_order(buy(HELD), BOLD)
        world.simulator.faults.move_price("SPY", 0.9)
        await gateway.submit_order(buy(1, symbol="QQQ"), CONTEXT)
        await world.until(lambda: bool(gateway.liquidation_reports))
        refused = await gateway.submit_order(buy(1), CONTEXT)
        return gateway.liquidation_reports[0], refused, world.simulator.positions()

    config = limits(**{limit: 0.05})
    report, refused, positions = prove(scenario, config=config, simulated=MODEST)

    assert reason in report.trigger
    assert (report.flat, positions) == (True, {})
    assert refused.status is OrderStatus.REJECTED
    assert reason in refused.rejection_reason


# --- fails closed -----------------------------------------------------------------------------------------------------


@pytest.mark.req("RSK-3")
def test_stale_data_opens_nothing() -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.no_subscription("SPY", 10167)
        await asyncio.sleep(10.0)
        return await world.gateway.submit_order(buy(), CONTEXT), world.simulator.ledger

    result, ledger = prove(scenario)

    assert (result.status, ledger) == (OrderStatus.REJECTED, ())
    assert "quote age" in result.rejection_reason


@pytest.mark.req("RSK-3")
def test_without_any_quote_nothing_is_opened() -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.missing_data("SPY", "end_only")
        await asyncio.sleep(10.0)
        return await world.gateway.submit_order(buy(), CONTEXT), world.simulator.ledger

    result, ledger = prove(scenario)

    assert (result.status, ledger) == (OrderStatus.REJECTED, ())
    assert "quote" in result.rejection_reason


@pytest.mark.req("RSK-3")
def test_a_gateway_whose_market_data_does_not_answer_opens_nothing_but_closes() -> None:
    async def scenario(world: ProofWorld) -> Any:
        faults = world.simulator.faults
        faults.trade_elsewhere("SPY", HELD)
        faults.no_subscription()
        await world.gateway.connect()
        opened = await world.gateway.submit_order(buy(), CONTEXT)
        closed = await world.gateway.close_position(SPY_ID, "MANUAL")
        return opened, closed, world.simulator.positions()

    opened, closed, positions = prove(scenario, connect=False)

    assert opened.status is OrderStatus.REJECTED
    assert "market data does not answer" in opened.rejection_reason
    assert (closed.status, positions) == (OrderStatus.FILLED, {})


# --- reduce only ------------------------------------------------------------------------------------------------------


@pytest.mark.req("RSK-4")
def test_many_closes_at_once_never_flip_the_position() -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway = world.gateway
        await gateway.submit_order(buy(HELD), CONTEXT)
        lots: list[Any] = [gateway.close_position(SPY_ID, "MANUAL", 10.0) for _ in range(8)]
        lots += [gateway.close_all_positions("MANUAL", 10.0) for _ in range(4)]
        results = await asyncio.gather(*lots, return_exceptions=True)
        await asyncio.sleep(5.0)
        sells = [entry for entry in world.simulator.ledger if entry.action == "SELL"]
        return results, sells, world.simulator.positions()

    slow = SimulatorConfig(seed=7, fill_delay_s=0.5)
    _, sells, positions = prove(scenario, simulated=slow)

    assert positions == {}
    assert sum(sell.quantity for sell in sells if sell.outcome == "accepted") == HELD


@pytest.mark.req("RSK-4")
def test_a_short_position_is_closed_by_buying_exactly_it() -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.trade_elsewhere("SPY", -HELD)
        await world.gateway.connect()
        result = await world.gateway.close_position(SPY_ID, "MANUAL")
        return result, world.simulator.ledger, world.simulator.positions()

    result, ledger, positions = prove(scenario, connect=False)

    assert result.status is OrderStatus.FILLED
    assert [(entry.action, entry.quantity) for entry in ledger] == [("BUY", HELD)]
    assert positions == {}


# --- in flight --------------------------------------------------------------------------------------------------------


@pytest.mark.req("RSK-6")
def test_two_orders_at_once_do_not_pass_what_one_after_the_other_could_not() -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway = world.gateway
        both = [gateway.submit_order(buy(FEW), CONTEXT) for _ in range(2)]
        results = await asyncio.gather(*both)
        return sorted(result.status for result in results), world.simulator.positions()

    slow = SimulatorConfig(seed=7, fill_delay_s=0.5)
    strict = limits(max_position_quantity=FEW)
    statuses, positions = prove(scenario, simulated=slow, config=strict)

    assert statuses == [OrderStatus.FILLED, OrderStatus.REJECTED]
    assert [position.quantity for position in positions.values()] == [FEW]


@pytest.mark.req("RSK-6")
def test_a_working_order_counts_until_it_is_cancelled() -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway = world.gateway
        working = await gateway.submit_order(
            buy(FEW, order_type="LMT", limit_price=590.0), CONTEXT, wait_for="ack"
        )
        during = await gateway.submit_order(buy(FEW), CONTEXT)
        await gateway.cancel_order(working.order_id)
        after = await gateway.submit_order(buy(FEW), CONTEXT)
        return during.status, after.status

    during, after = prove(scenario, config=limits(max_position_quantity=FEW))

    assert (during, after) == (OrderStatus.REJECTED, OrderStatus.FILLED)


@pytest.mark.req("RSK-6")
def test_an_order_that_the_broker_rejected_counts_no_more() -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.reject_next_order()
        first = await world.gateway.submit_order(buy(FEW), CONTEXT)
        second = await world.gateway.submit_order(buy(FEW), CONTEXT)
        return first.status, second.status

    first, second = prove(scenario, config=limits(max_position_quantity=FEW))

    assert (first, second) == (OrderStatus.FAILED, OrderStatus.FILLED)


# --- nothing else blocks a close --------------------------------------------------------------------------------------

HARD: Risk = Risk(
    max_position_value=0.0,
    max_position_quantity=0.0,
    max_total_exposure_value=0.0,
    risk_per_trade_ratio=0.0,
    max_open_positions=0,
    max_orders_per_minute=0,
    duplicate_window_s=3600.0,
    daily_loss_ratio=1.0,
    weekly_drawdown_ratio=1.0,
)


@pytest.mark.req("RSK-7")
def test_no_limit_stands_in_the_way_of_a_liquidation() -> None:
    async def scenario(world: ProofWorld) -> Any:
        faults = world.simulator.faults
        faults.trade_elsewhere("SPY", HELD)
        faults.trade_elsewhere("QQQ", HELD)
        await world.gateway.connect()
        faults.missing_data(None, "end_only")
        opened = await world.gateway.submit_order(buy(1), CONTEXT)
        await world.gateway.liquidate("everything has to go")
        await world.until(lambda: not world.simulator.positions())
        return opened

    opened = prove(scenario, connect=False, config=a_config(risk=HARD), simulated=POOR)

    assert opened.status is OrderStatus.REJECTED


@pytest.mark.req("RSK-7")
def test_a_close_passes_while_limits_and_quotes_reject_every_opening() -> None:
    async def scenario(world: ProofWorld) -> Any:
        faults = world.simulator.faults
        faults.trade_elsewhere("SPY", HELD)
        await world.gateway.connect()
        faults.missing_data(None, "end_only")
        await asyncio.sleep(120.0)
        opened = await world.gateway.submit_order(buy(1), CONTEXT)
        return opened, await world.gateway.close_position(SPY_ID, "MANUAL")

    hard = a_config(risk=HARD, strategy_c=StrategyC(grace_seconds=600.0))
    opened, closed = prove(scenario, connect=False, config=hard)

    assert opened.status is OrderStatus.REJECTED
    assert closed.status is OrderStatus.FILLED
    notes = closed.risk_validation.notes
    assert any("orders per minute" in note for note in notes)
    assert any("quote" in note for note in notes)


@pytest.mark.req("RSK-7", "ORD-6")
def test_too_many_working_orders_do_not_stand_in_the_way_of_a_close() -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway = world.gateway
        world.simulator.faults.trade_elsewhere("SPY", HELD)
        await gateway.connect()
        resting = buy(1, symbol="QQQ", order_type="LMT", limit_price=500.0)
        working = await gateway.submit_order(resting, CONTEXT, wait_for="ack")
        closed = await gateway.close_position(SPY_ID, "MANUAL")
        return working.status, closed.status

    full = a_config(orders=Orders(max_working=1), gateway=GatewayConfig())

    assert prove(scenario, connect=False, config=full) == (
        OrderStatus.PENDING,
        OrderStatus.FILLED,
    )
