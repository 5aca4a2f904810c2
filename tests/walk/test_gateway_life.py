"""The facade's own life: construction, connect and disconnect, what needs a connection, what it exports."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

import supervision
from actors import errors
from actors.errors import (
    GatewayNotConnectedError,
    GatewayStoppedError,
    GatewayTimeoutError,
    OrderValidationError,
)
from actors.kernel.messages import StopTree
from actors.messages.addresses import SUPERVISOR
from actors.model.orders import CloseReason, ExecutionMode, OrderStatus
from supervision import (
    Config,
    ConfigurationError,
    GatewayConfig,
    IBKRGateway,
    StrategyContext,
    TradeRequest,
    TradingSignal,
)
from tests.walk.watching import ending
from tests.worlds import CONTEXT, ProofWorld, a_config, buy, prove, real_world

PAPER_PORT = 4002
LIVE_PORT = 4001
OPERATOR = "DESK-7"
LONG_S = 60.0

Call = Callable[[IBKRGateway], Awaitable[Any]]

NEEDS_CONNECTION: dict[str, Call] = {
    "get_market_data": lambda gateway: gateway.get_market_data("SPY"),
    "get_historical_data": lambda gateway: gateway.get_historical_data("SPY"),
    "get_option_chain": lambda gateway: gateway.get_option_chain("SPY"),
    "get_option_quote": lambda gateway: gateway.get_option_quote("SPY", "20991231", 600, "C"),
    "subscribe_quotes": lambda gateway: gateway.subscribe_quotes(["SPY"]),
    "submit_order": lambda gateway: gateway.submit_order(buy(), CONTEXT),
    "modify_order": lambda gateway: gateway.modify_order("ORD", quantity=1),
    "cancel_order": lambda gateway: gateway.cancel_order("ORD"),
    "get_open_orders": lambda gateway: gateway.get_open_orders(),
    "get_positions": lambda gateway: gateway.get_positions(),
    "close_position": lambda gateway: gateway.close_position("SPY_756733"),
    "close_all_positions": lambda gateway: gateway.close_all_positions(),
    "check_strategy_c_closures": lambda gateway: gateway.check_strategy_c_closures(),
    "get_account": lambda gateway: gateway.get_account(),
}


# --- construction -----------------------------------------------------------------------------------------------------


@pytest.mark.req("GW-1", "ORD-4")
@pytest.mark.parametrize("operator_id", ["", "   "])
def test_an_empty_operator_id_is_refused_at_construction(operator_id: str) -> None:
    with pytest.raises(OrderValidationError, match="operator_id must not be empty"):
        IBKRGateway(Config(), operator_id=operator_id)


@pytest.mark.req("GW-1", "ORD-4")
@pytest.mark.parametrize("operator_id", ["a:b", "two words", "x" * 21, "new\nline"])
def test_an_operator_id_that_could_not_stand_on_an_order_is_refused_at_construction(
    operator_id: str,
) -> None:
    with pytest.raises(OrderValidationError, match="operator_id must be"):
        IBKRGateway(Config(), operator_id=operator_id)


@pytest.mark.req("GW-1")
def test_construction_has_the_documented_defaults() -> None:
    gateway = IBKRGateway(Config())

    assert gateway.operator_id == "CSATSPRIM"
    assert gateway.execution_mode is ExecutionMode.DRY_RUN
    assert not gateway.is_connected


@pytest.mark.req("GW-1")
@pytest.mark.parametrize("mode", ["paper", ExecutionMode.PAPER])
def test_the_mode_may_be_text_or_enum(mode: Any) -> None:
    assert IBKRGateway(Config(), mode=mode).execution_mode is ExecutionMode.PAPER


@pytest.mark.req("GW-1", "CFG-1")
def test_a_configuration_may_be_a_path_and_its_faults_are_told_at_construction(
    tmp_path: Path,
) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text('[general]\noperator_id = "DESK-7"\n')
    bad.write_text("[general]\nnonsense = 1\n")

    assert not IBKRGateway(good).is_connected
    with pytest.raises(ConfigurationError, match="nonsense"):
        IBKRGateway(str(bad))


@pytest.mark.req("GW-10", "CFG-2")
def test_the_two_usual_gateways_have_constructors() -> None:
    paper, live = GatewayConfig.paper_trading(), GatewayConfig.live_trading()

    assert (paper.endpoint, paper.port) == ("external", PAPER_PORT)
    assert (live.endpoint, live.port) == ("external", LIVE_PORT)


# --- connect and disconnect -------------------------------------------------------------------------------------------


@pytest.mark.req("GW-2")
def test_the_gateway_is_connected_within_its_block_and_not_after() -> None:
    async def scenario(world: ProofWorld) -> list[Any]:
        async with world.gateway as gateway:
            inside = gateway.is_connected, world.simulator.client_ids()
        return [inside, gateway.is_connected, world.simulator.client_ids()]

    inside, connected, clients = prove(scenario, connect=False)

    assert inside == (True, (1,))
    assert (connected, clients) == (False, ())


@pytest.mark.req("GW-2")
def test_connecting_twice_keeps_one_session() -> None:
    async def scenario(world: ProofWorld) -> list[Any]:
        first = (await world.gateway.status()).session_id
        await world.gateway.connect()
        second = (await world.gateway.status()).session_id
        return [first, second, world.simulator.client_ids()]

    first, second, clients = prove(scenario)

    assert first == second
    assert clients == (1,)


@pytest.mark.req("GW-2")
def test_the_gateway_can_be_connected_again_after_a_disconnect() -> None:
    async def scenario(world: ProofWorld) -> list[Any]:
        gateway = world.gateway
        before = await gateway.submit_order(buy(), CONTEXT)
        await gateway.disconnect()
        with pytest.raises(GatewayNotConnectedError):
            await gateway.get_positions()
        await gateway.connect()
        after = await gateway.submit_order(buy(), CONTEXT)
        positions = await gateway.get_positions()
        return [before.status, after.status, positions[0].quantity]

    statuses = prove(scenario)

    assert statuses == [OrderStatus.FILLED, OrderStatus.FILLED, 20]


@pytest.mark.req("GW-2")
def test_disconnecting_twice_or_before_connecting_does_nothing() -> None:
    async def scenario(world: ProofWorld) -> None:
        await world.gateway.disconnect()
        await world.gateway.connect()
        await world.gateway.disconnect()
        await world.gateway.disconnect()

    prove(scenario, connect=False)


async def _connect_in_reality(state_dir: Path) -> list[bool]:
    connected = []
    async with real_world(state_dir) as world:
        connected.append(world.gateway.is_connected)
        await world.gateway.disconnect()
        connected.append(world.gateway.is_connected)
        await world.gateway.connect()
        connected.append(world.gateway.is_connected)
    return connected


@pytest.mark.req("GW-2")
def test_connect_disconnect_connect_works_in_reality_too(tmp_path: Path) -> None:
    assert asyncio.run(_connect_in_reality(tmp_path)) == [True, False, True]


@pytest.mark.req("GW-11")
def test_verify_connection_says_whether_a_round_trip_works() -> None:
    async def scenario(world: ProofWorld) -> list[Any]:
        works = await world.gateway.verify_connection()
        world.simulator.faults.ignore_requests("reqCurrentTime")
        broken = await ending(world, world.gateway.verify_connection(2.0))
        await world.gateway.disconnect()
        return [works, broken.result, broken.after_s, await world.gateway.verify_connection()]

    works, broken, after_s, disconnected = prove(scenario)

    assert (works, broken, disconnected) == (True, False, False)
    assert 2.0 <= after_s <= 2.05


# --- what needs a connection ------------------------------------------------------------------------------------------


@pytest.mark.req("GW-8")
@pytest.mark.parametrize("call", NEEDS_CONNECTION.values(), ids=NEEDS_CONNECTION)
def test_a_call_before_connect_raises_not_connected(call: Call) -> None:
    async def scenario(world: ProofWorld) -> float:
        with pytest.raises(GatewayNotConnectedError, match="connect"):
            await call(world.gateway)
        return world.proof.loop.time()

    assert prove(scenario, connect=False) == 0.0


@pytest.mark.req("GW-8")
@pytest.mark.parametrize("call", NEEDS_CONNECTION.values(), ids=NEEDS_CONNECTION)
def test_a_call_after_the_tree_stopped_raises_stopped(call: Call) -> None:
    async def scenario(world: ProofWorld) -> None:
        world.process.tell(SUPERVISOR, StopTree(reason="the test wants it"))
        await world.until(lambda: not world.process.is_running)
        with pytest.raises(GatewayStoppedError, match="the test wants it"):
            await call(world.gateway)

    prove(scenario)


@pytest.mark.req("GW-8")
def test_calls_under_way_and_streams_end_when_the_tree_stops() -> None:
    async def scenario(world: ProofWorld) -> None:
        world.simulator.faults.silence()
        stream = world.gateway.orders()
        reading = asyncio.create_task(world.gateway.get_option_chain("SPY", 20.0))
        listening = asyncio.create_task(anext(stream))
        await asyncio.sleep(1.0)
        world.process.tell(SUPERVISOR, StopTree(reason="the test wants it"))
        for task in (reading, listening):
            with pytest.raises(GatewayStoppedError, match="the test wants it"):
                await task
        with pytest.raises(GatewayStoppedError):
            await world.gateway.status()
        assert world.proof.loop.time() < 20.0

    prove(scenario)


@pytest.mark.req("GW-2", "GW-8")
def test_a_gateway_whose_tree_stopped_can_be_disconnected_and_connected_again() -> None:
    async def scenario(world: ProofWorld) -> bool:
        world.process.tell(SUPERVISOR, StopTree(reason="the test wants it"))
        await world.until(lambda: not world.process.is_running)
        await world.gateway.disconnect()
        await world.gateway.connect()
        return world.gateway.is_connected

    assert prove(scenario)


@pytest.mark.req("GW-8")
@pytest.mark.parametrize("timeout", [0.0, -1.0])
def test_a_timeout_that_is_not_positive_ends_at_once(timeout: float) -> None:
    async def scenario(world: ProofWorld) -> Any:
        return await ending(world, world.gateway.get_option_chain("SPY", timeout))

    ended = prove(scenario)

    assert isinstance(ended.error, (GatewayTimeoutError, ConnectionError))
    assert ended.after_s == 0.0


# --- names and types --------------------------------------------------------------------------------------------------

SIGNAL_FIELDS = {
    "symbol",
    "action",
    "quantity",
    "order_type",
    "limit_price",
    "stop_price",
    "expiry",
    "strike",
    "right",
    "signal_strength",
    "strategy_id",
    "timestamp",
}
CONTEXT_FIELDS = {
    "strategy_id",
    "strategy_name",
    "risk_per_trade",
    "take_profit_pct",
    "stop_loss_pct",
}
EXPORTS = {
    "IBKRGateway",
    "ExecutionMode",
    "OrderStatus",
    "TradingSignal",
    "StrategyContext",
    "TradeRequest",
    "GatewayConfig",
    "MarketData",
    "DataQuality",
    "OrderResult",
    "ValidationResult",
    "Position",
    "Account",
    "CloseReason",
    "GatewayError",
}
CLOSE_REASONS = {
    "3_DTE_RULE",
    "EMERGENCY_STOP",
    "DAILY_LOSS_LIMIT",
    "WEEKLY_DRAWDOWN",
    "DATA_QUARANTINE",
    "DISCONNECT",
    "MANUAL",
    "STRATEGY_EXIT",
}


def _fields(kind: type) -> set[str]:
    return {field.name for field in attrs.fields(kind)}


@pytest.mark.req("GW-10")
def test_the_types_are_exported_with_their_fields() -> None:
    assert not {name for name in EXPORTS if not hasattr(supervision, name)}
    assert _fields(TradingSignal) >= SIGNAL_FIELDS
    assert _fields(StrategyContext) >= CONTEXT_FIELDS
    order_fields = SIGNAL_FIELDS | CONTEXT_FIELDS | {"operator_id"}
    assert _fields(TradeRequest) >= order_fields


@pytest.mark.req("GW-10")
def test_every_error_of_the_product_is_exported() -> None:
    raised_to_callers = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.GatewayError)
    }

    assert not {name for name in raised_to_callers if not hasattr(supervision, name)}


@pytest.mark.req("GW-9")
def test_close_reasons_are_an_enum_and_others_are_refused() -> None:
    async def scenario(world: ProofWorld) -> None:
        with pytest.raises(OrderValidationError, match="reason must be one of 3_DTE_RULE"):
            await world.gateway.close_position("SPY_756733", "BECAUSE")
        with pytest.raises(OrderValidationError, match="reason must be one of 3_DTE_RULE"):
            await world.gateway.close_all_positions("BECAUSE")

    prove(scenario)

    assert {reason.value for reason in CloseReason} == CLOSE_REASONS


@pytest.mark.req("GW-1", "ORD-4")
def test_the_facades_operator_stands_on_its_orders() -> None:
    async def scenario(world: ProofWorld) -> Any:
        await world.gateway.submit_order(buy(), CONTEXT)
        return world.simulator.ledger[0]

    entry = prove(scenario, operator_id=OPERATOR, config=a_config())

    assert entry.ext_operator == OPERATOR
    assert entry.order_ref.startswith(f"{OPERATOR}:ORD_")


@pytest.mark.req("GW-2")
def test_a_block_that_cannot_connect_leaves_no_tree_behind() -> None:
    async def scenario(world: ProofWorld) -> int:
        world.simulator.faults.authentication_failure()
        with pytest.raises(supervision.GatewayAuthenticationError):
            async with world.gateway:
                pytest.fail("the block was entered")
        with pytest.raises(GatewayNotConnectedError):
            _ = world.gateway.process
        world.simulator.faults.clear()
        await asyncio.sleep(LONG_S)
        return len(world.simulator.client_ids())

    assert prove(scenario, connect=False) == 0
