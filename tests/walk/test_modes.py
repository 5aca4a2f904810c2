"""What each execution mode and each feature flag lets through: the simulator's ledger is the witness."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from actors.errors import (
    ConfigurationError,
    GatewayConnectionError,
    GatewayError,
    LiveTradingBlockedError,
    ModeError,
    NotPaperAccountError,
    OrderNotFoundError,
    ReadOnlyError,
)
from actors.messages.market_data import GetMarketData, GetQuote
from actors.messages.orders import SubmitOrder
from actors.messages.risk import RequestApproval
from actors.model.orders import ExecutionMode, OrderStatus
from supervision import Config, IBKRGateway
from supervision.config.sections import Features, GatewayConfig, General
from supervision.process.settings import sends_orders
from supervision.simulator import SimulatorConfig
from tests.walk.watching import ending, tapped, until
from tests.walk.wiretap import ORDER_MESSAGES, tapped_world
from tests.worlds import CONTEXT, ProofWorld, a_config, buy, prove

HELD = 100
SPY_ID = "SPY_756733"
LIMIT = 590.0
CRASH = 0.5
LONG_S = 30.0

PAPER_OFF = Features(paper_execution=False)
DIRECT = Features(integration_layer=False, fallback_to_direct_broker=True)
NOT_INTEGRATED = Features(integration_layer=False)

UNSENT_WORLDS: dict[str, dict[str, Any]] = {
    "dry_run": {"mode": "dry_run"},
    "paper_execution off": {"mode": "paper", "config": a_config(features=PAPER_OFF)},
}
"""Modes in which an approved order ends before the wire."""


async def _try_everything(world: ProofWorld) -> dict[str, Any]:
    """Do all that could send an order, a change or a cancel, with a position held and a foreign order working."""
    gateway, faults = world.gateway, world.simulator.faults
    faults.trade_elsewhere("SPY", HELD)
    faults.order_by_hand("SPY", 1, LIMIT)
    await gateway.connect()
    results: dict[str, Any] = {
        "market": await gateway.submit_order(buy(), CONTEXT),
        "limit": await gateway.submit_order(
            buy(order_type="LMT", limit_price=LIMIT), CONTEXT, wait_for="ack"
        ),
        "close": await gateway.close_position(SPY_ID, "MANUAL"),
        "close all": (await gateway.close_all_positions("STRATEGY_EXIT"))[0],
    }
    with pytest.raises(OrderNotFoundError):
        await gateway.modify_order(results["limit"].order_id, limit_price=LIMIT - 1)
    await gateway.cancel_order(results["limit"].order_id)
    await gateway.liquidate("the operator wants it")
    await world.until(lambda: bool(gateway.liquidation_reports))
    results["report"] = gateway.liquidation_reports[0]
    results["held"] = (await gateway.get_positions())[0].quantity
    return results


@pytest.mark.req("MODE-1", "MODE-4", "MODE-6")
@pytest.mark.parametrize("world", UNSENT_WORLDS.values(), ids=UNSENT_WORLDS)
def test_nothing_reaches_the_wire_where_orders_cannot_be_sent(world: dict[str, Any]) -> None:
    async def scenario(world: ProofWorld) -> tuple[dict[str, Any], tuple[Any, ...]]:
        results = await _try_everything(world)
        return results, world.simulator.ledger

    results, ledger = prove(scenario, connect=False, **world)

    assert ledger == ()
    orders = [results[name] for name in ("market", "limit", "close", "close all")]
    assert [order.status for order in orders] == [OrderStatus.SIMULATED] * 4
    assert results["held"] == HELD


@pytest.mark.req("MODE-6")
@pytest.mark.parametrize("world", UNSENT_WORLDS.values(), ids=UNSENT_WORLDS)
def test_a_simulated_result_says_what_would_have_filled_and_at_what_price(
    world: dict[str, Any],
) -> None:
    async def scenario(world: ProofWorld) -> tuple[Any, Any, float | None]:
        market = await world.gateway.submit_order(buy(7), CONTEXT)
        limit = await world.gateway.submit_order(
            buy(8, order_type="LMT", limit_price=LIMIT), CONTEXT
        )
        data = await world.gateway.get_market_data("SPY")
        return market, limit, data.last_price

    market, limit, last = prove(scenario, **world)

    assert (7, last) == (market.fill_quantity, market.fill_price)
    assert (limit.fill_quantity, limit.fill_price) == (8, LIMIT)
    assert market.ibkr_order_id is None


@pytest.mark.req("MODE-6")
@pytest.mark.parametrize(
    "world",
    [*UNSENT_WORLDS.values(), {"config": a_config(gateway=GatewayConfig(readonly=True))}],
    ids=[*UNSENT_WORLDS, "readonly"],
)
def test_strategy_c_reports_what_it_would_close_and_never_claims_flat(
    world: dict[str, Any],
) -> None:
    async def scenario(world: ProofWorld) -> tuple[Any, Any, tuple[Any, ...]]:
        world.simulator.faults.trade_elsewhere("SPY", HELD)
        await world.gateway.connect()
        await world.gateway.liquidate("the operator wants it")
        await world.until(lambda: bool(world.gateway.liquidation_reports))
        status = await world.gateway.status()
        return world.gateway.liquidation_reports[0], status, world.simulator.ledger

    report, status, ledger = prove(scenario, connect=False, **world)

    assert ledger == ()
    assert (report.flat, report.simulated) == (False, True)
    assert (f"would close: SELL {HELD} SPY",) == report.closed
    assert (f"{HELD} {SPY_ID}",) == report.remaining
    assert (status.latched, status.liquidation_flat) == (True, False)


@pytest.mark.req("MODE-1", "MODE-4")
def test_paper_mode_sends_the_same_orders() -> None:
    """The worlds above differ from this one in the mode alone: their empty ledger is no accident."""

    async def scenario(world: ProofWorld) -> tuple[Any, tuple[Any, ...]]:
        result = await world.gateway.submit_order(buy(), CONTEXT)
        return result, world.simulator.ledger

    result, ledger = prove(scenario, mode="paper")

    assert OrderStatus.FILLED is result.status
    assert [entry.kind for entry in ledger] == ["place"]


@pytest.mark.req("MODE-1")
def test_dry_run_is_the_default_mode() -> None:
    assert ExecutionMode.DRY_RUN is IBKRGateway(Config()).execution_mode
    assert Config().general.mode == "dry_run"


# --- MODE-2 -----------------------------------------------------------------------------------------------------------


@pytest.mark.req("MODE-2")
@pytest.mark.parametrize(
    "accounts",
    [("U7654321",), ("DU1234567", "U7654321"), ("F7654321", "DU1234567"), ("u1234567",)],
    ids=" ".join,
)
def test_paper_mode_refuses_a_login_with_any_account_that_is_not_paper(
    accounts: tuple[str, ...],
) -> None:
    async def scenario(world: ProofWorld) -> tuple[str, tuple[Any, ...]]:
        with pytest.raises(NotPaperAccountError, match="log the gateway in to the paper") as error:
            await world.gateway.connect()
        with pytest.raises(GatewayConnectionError):
            await world.gateway.submit_order(buy(), CONTEXT)
        return str(error.value), world.simulator.ledger

    text, ledger = prove(
        scenario,
        connect=False,
        config=a_config(general=General(account=accounts[0])),
        simulated=SimulatorConfig(accounts=accounts),
    )

    assert ledger == ()
    assert not any(account in text for account in accounts), "account numbers are masked"


@pytest.mark.req("MODE-2")
@pytest.mark.parametrize("account", ["DU1234567", "DF1234567"])
def test_paper_mode_trades_a_login_with_paper_accounts_only(account: str) -> None:
    async def scenario(world: ProofWorld) -> tuple[Any, str]:
        result = await world.gateway.submit_order(buy(), CONTEXT)
        return result, world.simulator.ledger[0].account

    result, sent_to = prove(scenario, simulated=SimulatorConfig(account=account))

    assert (OrderStatus.FILLED, account) == (result.status, sent_to)


@pytest.mark.req("MODE-2")
def test_dry_run_may_read_from_a_live_account_and_sends_nothing() -> None:
    async def scenario(world: ProofWorld) -> tuple[Any, tuple[Any, ...]]:
        result = await world.gateway.submit_order(buy(), CONTEXT)
        return result, world.simulator.ledger

    result, ledger = prove(scenario, mode="dry_run", simulated=SimulatorConfig(account="U7654321"))

    assert (result.status, ledger) == (OrderStatus.SIMULATED, ())


# --- MODE-3 -----------------------------------------------------------------------------------------------------------


@pytest.mark.req("MODE-3")
@pytest.mark.parametrize("mode", ["live", ExecutionMode.LIVE])
def test_live_is_refused_at_construction_with_why_and_what_to_use(mode: Any) -> None:
    with pytest.raises(GatewayError, match=r"blocked by construction.*dry_run.*paper") as error:
        IBKRGateway(Config(), mode=mode)

    assert isinstance(error.value, LiveTradingBlockedError)


@pytest.mark.req("MODE-3")
def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ModeError, match="dry_run or paper"):
        IBKRGateway(Config(), mode="real")


@pytest.mark.req("MODE-3", "MODE-4")
def test_no_setting_turns_live_trading_on() -> None:
    for attempt in (
        lambda: General(mode="live"),
        lambda: attrs.evolve(Config().general, mode="live"),
        lambda: Features(live_execution=True),
        lambda: attrs.evolve(Config().features, live_execution=True),
    ):
        with pytest.raises(ConfigurationError, match="live trading is blocked"):
            attempt()

    assert not Features(live_execution=False).live_execution
    assert not sends_orders(Config(), ExecutionMode.LIVE)


@pytest.mark.req("MODE-3")
def test_the_live_port_can_be_read_but_its_mode_stays_dry() -> None:
    gateway = IBKRGateway(GatewayConfig.live_trading())

    assert ExecutionMode.DRY_RUN is gateway.execution_mode
    with pytest.raises(LiveTradingBlockedError):
        IBKRGateway(GatewayConfig.live_trading(), mode="live")


# --- MODE-4 -----------------------------------------------------------------------------------------------------------


@pytest.mark.req("MODE-4", "MODE-6")
def test_without_the_integration_layer_connect_refuses_and_says_why() -> None:
    async def scenario(world: ProofWorld) -> tuple[int, ...]:
        with pytest.raises(ModeError, match=r"integration_layer.*fallback_to_direct_broker"):
            await world.gateway.connect()
        return world.simulator.client_ids()

    clients = prove(scenario, connect=False, config=a_config(features=NOT_INTEGRATED))

    assert clients == ()


@pytest.mark.req("MODE-4")
def test_the_fallback_alone_changes_nothing_while_the_integration_layer_is_on() -> None:
    async def scenario(world: ProofWorld) -> Any:
        data = await world.gateway.get_market_data("SPY")
        return data.rsi, await world.gateway.submit_order(buy(), CONTEXT)

    rsi, result = prove(
        scenario, config=a_config(features=Features(fallback_to_direct_broker=True))
    )

    assert rsi is not None
    assert OrderStatus.FILLED is result.status


DIRECT_WORLD: dict[str, Any] = {"connect": False, "config": a_config(features=DIRECT)}


@pytest.mark.req("MODE-4")
def test_the_direct_broker_reads_quotes_and_positions_without_history_and_risk() -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway, faults = world.gateway, world.simulator.faults
        faults.trade_elsewhere("SPY", HELD)
        faults.ignore_requests("reqHistoricalData")
        await gateway.connect()
        asked = tapped(world.process, GetMarketData, GetQuote, RequestApproval)
        data = await gateway.get_market_data("SPY", 5.0)
        expiry = (world.simulator.market.today + timedelta(days=28)).strftime("%Y%m%d")
        option = await gateway.get_option_quote("SPY", expiry, 600.0, "C")
        (position,) = await gateway.get_positions()
        return data, option, position, asked, world.simulator.ledger

    data, option, position, asked, ledger = prove(scenario, mode="paper", **DIRECT_WORLD)

    assert data.bid <= data.last_price <= data.ask
    assert (data.rsi, data.vwap) == (None, None)
    assert {"rsi", "vwap", "ema_fast"} <= set(data.missing_fields)
    assert option.bid <= option.ask
    assert (position.position_id, position.quantity) == (SPY_ID, HELD)
    assert (position.current_price, position.unrealized_pnl) == (None, None)
    assert [message for message in asked if not _of_a_check(message)] == []
    assert ledger == ()


def _of_a_check(message: Any) -> bool:
    """The position actor looks at prices by itself."""
    return isinstance(message, GetQuote) and message.reply_to == "position"


ORDERS: dict[str, Callable[[IBKRGateway], Awaitable[Any]]] = {
    "submit_order": lambda gateway: gateway.submit_order(buy(), CONTEXT),
    "modify_order": lambda gateway: gateway.modify_order("ORD", quantity=1),
    "cancel_order": lambda gateway: gateway.cancel_order("ORD"),
    "close_position": lambda gateway: gateway.close_position(SPY_ID),
    "close_all_positions": lambda gateway: gateway.close_all_positions(),
    "get_open_orders": lambda gateway: gateway.get_open_orders(),
    "get_historical_data": lambda gateway: gateway.get_historical_data("SPY"),
    "get_option_chain": lambda gateway: gateway.get_option_chain("SPY"),
    "get_account": lambda gateway: gateway.get_account(),
    "subscribe_quotes": lambda gateway: gateway.subscribe_quotes(["SPY"]),
}


@pytest.mark.req("MODE-4")
@pytest.mark.parametrize("call", ORDERS.values(), ids=ORDERS)
def test_the_direct_broker_refuses_everything_else(
    call: Callable[[IBKRGateway], Awaitable[Any]],
) -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.trade_elsewhere("SPY", HELD)
        await world.gateway.connect()
        with pytest.raises(ModeError, match="reads quotes and positions only"):
            await call(world.gateway)
        return world.simulator.ledger

    assert prove(scenario, mode="paper", **DIRECT_WORLD) == ()


@pytest.mark.req("MODE-4", "GW-8")
@pytest.mark.parametrize("name", ["get_market_data", "get_positions"])
def test_the_direct_broker_keeps_deadlines(name: str) -> None:
    async def scenario(world: ProofWorld) -> Any:
        await world.gateway.connect()
        world.simulator.faults.silence()
        arguments = ("SPY",) if name == "get_market_data" else ()
        return await ending(world, getattr(world.gateway, name)(*arguments, timeout=5.0))

    ended = prove(scenario, mode="paper", **DIRECT_WORLD)

    assert isinstance(ended.error, (TimeoutError, ConnectionError))
    assert ended.after_s <= 5.05


@pytest.mark.req("MODE-4", "MODE-6")
def test_the_direct_broker_has_strategy_c_report_only() -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.trade_elsewhere("SPY", HELD)
        await world.gateway.connect()
        await world.gateway.liquidate("the operator wants it")
        await world.until(lambda: bool(world.gateway.liquidation_reports))
        return world.gateway.liquidation_reports[0], world.simulator.ledger

    report, ledger = prove(scenario, mode="paper", **DIRECT_WORLD)

    assert (report.simulated, report.flat, ledger) == (True, False, ())


# --- MODE-5 -----------------------------------------------------------------------------------------------------------


@pytest.mark.req("MODE-5")
@pytest.mark.parametrize("mode", ["dry_run", "paper"])
def test_a_readonly_connection_reads_and_refuses_every_order(mode: str) -> None:
    async def scenario(world: ProofWorld) -> tuple[Any, ...]:
        gateway = world.gateway
        world.simulator.faults.trade_elsewhere("SPY", HELD)
        await gateway.connect()
        with pytest.raises(ReadOnlyError, match=r"gateway\.readonly is true"):
            await gateway.submit_order(buy(), CONTEXT)
        with pytest.raises(ReadOnlyError, match=r"gateway\.readonly is true"):
            await gateway.close_position(SPY_ID, "MANUAL")
        results = await gateway.close_all_positions("MANUAL")
        positions = await gateway.get_positions()
        data = await gateway.get_market_data("SPY")
        return results, positions, data, world.simulator.ledger

    readonly = a_config(gateway=GatewayConfig(readonly=True))
    results, positions, data, ledger = prove(scenario, mode=mode, connect=False, config=readonly)

    assert ledger == ()
    assert positions[0].quantity == HELD
    assert data.last_price is not None
    assert [result.status for result in results] == [OrderStatus.FAILED]
    assert "readonly" in results[0].rejection_reason


@pytest.mark.req("MODE-5")
def test_a_connection_that_may_write_does_send() -> None:
    async def scenario(world: ProofWorld) -> int:
        await world.gateway.submit_order(buy(), CONTEXT)
        return len(world.simulator.ledger)

    writable = a_config(gateway=GatewayConfig(readonly=False))

    assert prove(scenario, config=writable) == 1


@pytest.mark.req("MODE-5", "MODE-6")
def test_a_due_close_on_a_readonly_connection_is_told_once_and_not_tried_for_ever() -> None:
    async def scenario(world: ProofWorld) -> tuple[int, tuple[Any, ...]]:
        world.simulator.faults.trade_elsewhere("SPY", HELD)
        await world.gateway.connect()
        asked = tapped(world.process, SubmitOrder)
        world.simulator.faults.move_price("SPY", CRASH)
        await asyncio.sleep(LONG_S)
        due = await world.gateway.check_strategy_c_closures()
        return len(asked), tuple(due)

    readonly = a_config(gateway=GatewayConfig(readonly=True))
    asked, due = prove(scenario, connect=False, config=readonly)

    assert len(due) == 1
    assert asked == 0


# --- at the socket ----------------------------------------------------------------------------------------------------


async def _everything_on_the_wire(state_dir: Path, mode: str) -> tuple[int, list[str], int]:
    """Do all that could send something; count what the wire carried and what the simulator's ledger has."""
    async with tapped_world(state_dir, mode=mode) as world:
        gateway = world.gateway
        world.simulator.faults.trade_elsewhere("SPY", HELD)
        world.simulator.faults.order_by_hand("SPY", 1, LIMIT)
        await gateway.connect()
        await gateway.get_market_data("SPY")
        await gateway.submit_order(buy(), CONTEXT, 10.0)
        resting = await gateway.submit_order(
            buy(order_type="LMT", limit_price=LIMIT), CONTEXT, 10.0, wait_for="ack"
        )
        await gateway.cancel_order(resting.order_id)
        await gateway.close_position(SPY_ID, "MANUAL", 10.0)
        await gateway.close_all_positions("MANUAL", 10.0)
        await gateway.liquidate("the operator wants it")
        await until(lambda: bool(gateway.liquidation_reports))
        await gateway.disconnect()
        kinds = sorted({message[0] for message in world.wire.of_kind(*ORDER_MESSAGES)})
        return len(world.wire.messages()), kinds, len(world.simulator.ledger)


@pytest.mark.req("MODE-1")
def test_in_dry_run_no_order_message_is_on_the_wire(tmp_path: Path) -> None:
    messages, orders, ledger = asyncio.run(_everything_on_the_wire(tmp_path, "dry_run"))

    assert messages > 10, "the session itself is on the wire"
    assert (orders, ledger) == ([], 0)


@pytest.mark.req("MODE-1")
def test_in_paper_mode_the_same_calls_put_orders_on_the_wire(tmp_path: Path) -> None:
    _, orders, ledger = asyncio.run(_everything_on_the_wire(tmp_path, "paper"))

    assert orders == sorted(ORDER_MESSAGES)
    assert ledger > 0
