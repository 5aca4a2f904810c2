"""Alpha learning: a timeout of 5 s ends in a TimeoutError at 5 s at every layer, also when the gateway is silent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from actors.kernel.messages import Reply, Request, RequestFailed
from actors.messages.addresses import CONNECTION, EXECUTOR, LINK, MARKET_DATA, POSITION, STRATEGY_C
from actors.messages.connection import Probe, ReadBrokerState, VerifyConnection
from actors.messages.liquidation import Liquidate
from actors.messages.market_data import (
    GetBars,
    GetMarketData,
    GetOptionChain,
    QualifyContract,
    ReadBars,
    ReadOptionChain,
    TakeSnapshot,
)
from actors.messages.orders import CancelAllOrders, CancelOrder, ModifyOrder, OrderConcluded
from actors.messages.positions import (
    AllPositionsClosed,
    CloseAllPositions,
    ClosePosition,
    PositionClosed,
)
from actors.model.contracts import Contract, ContractQuery
from actors.model.orders import CloseReason, OrderResult, OrderStatus
from supervision import IBKRGateway
from tests.walk.watching import ending, tapped
from tests.worlds import CONTEXT, ProofWorld, buy, prove

TIMEOUT_S = 5.0
TOLERANCE_S = 0.05
LIMIT = 590.0
SPY_ID = "SPY_756733"
TIMED_OUT = "GatewayTimeoutError"

FACADE: dict[str, Callable[[IBKRGateway], Awaitable[Any]]] = {
    "get_market_data": lambda gateway: gateway.get_market_data("SPY", TIMEOUT_S),
    "get_historical_data": lambda gateway: gateway.get_historical_data("SPY", timeout=TIMEOUT_S),
    "get_option_chain": lambda gateway: gateway.get_option_chain("SPY", TIMEOUT_S),
    "get_option_quote": lambda gateway: gateway.get_option_quote(
        "SPY", "20991231", 600.0, "C", TIMEOUT_S
    ),
    "connect": lambda gateway: gateway.connect(TIMEOUT_S),
}


@pytest.mark.req("GW-8")
@pytest.mark.parametrize("name", FACADE)
def test_the_facade_raises_timeout_error_at_five_seconds(name: str) -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.silence()
        return await ending(world, FACADE[name](world.gateway))

    ended = prove(scenario, connect=name != "connect")

    assert isinstance(ended.error, TimeoutError), ended
    assert abs(ended.after_s - TIMEOUT_S) <= TOLERANCE_S


@pytest.mark.req("GW-8", "ORD-6")
@pytest.mark.parametrize("wait_for", ["fill", "ack"])
@pytest.mark.parametrize("symbol", ["SPY", "QQQ"], ids=["known", "unknown"])
def test_submit_order_answers_timeout_instead(symbol: str, wait_for: str) -> None:
    async def scenario(world: ProofWorld) -> Any:
        await world.gateway.get_market_data("SPY")
        world.simulator.faults.silence()
        order = world.gateway.submit_order(
            buy(symbol=symbol), CONTEXT, TIMEOUT_S, wait_for=wait_for
        )
        return await ending(world, order)

    ended = prove(scenario)

    assert ended.error is None
    assert ended.result.status is OrderStatus.TIMEOUT
    assert abs(ended.after_s - TIMEOUT_S) <= TOLERANCE_S


Make = Callable[[dict[str, Any], Contract, str], Request]

LAYERS: dict[str, tuple[str, Make]] = {
    "market data: quote": (
        MARKET_DATA,
        lambda header, contract, order_id: GetMarketData(**header, symbol="QQQ"),
    ),
    "market data: bars": (
        MARKET_DATA,
        lambda header, contract, order_id: GetBars(  # bars of SPY are remembered
            **header, symbol="QQQ", duration_minutes=5, bar_size="1 min"
        ),
    ),
    "market data: chain": (
        MARKET_DATA,
        lambda header, contract, order_id: GetOptionChain(**header, symbol="SPY"),
    ),
    "connection": (CONNECTION, lambda header, contract, order_id: VerifyConnection(**header)),
    "executor: modify": (
        EXECUTOR,
        lambda header, contract, order_id: ModifyOrder(
            **header, order_id=order_id, limit_price=LIMIT + 1
        ),
    ),
    "executor: cancel": (
        EXECUTOR,
        lambda header, contract, order_id: CancelOrder(**header, order_id=order_id),
    ),
    "executor: cancel all": (
        EXECUTOR,
        lambda header, contract, order_id: CancelAllOrders(
            **header, whole_account=False, why="a test"
        ),
    ),
    "link: contract": (
        LINK,
        lambda header, contract, order_id: QualifyContract(
            **header, query=ContractQuery(symbol="QQQ")
        ),
    ),
    "link: snapshot": (
        LINK,
        lambda header, contract, order_id: TakeSnapshot(**header, contract=contract),
    ),
    "link: bars": (
        LINK,
        lambda header, contract, order_id: ReadBars(
            **header, contract=contract, duration_minutes=7
        ),
    ),
    "link: chain": (
        LINK,
        lambda header, contract, order_id: ReadOptionChain(**header, underlying=contract),
    ),
    "link: round trip": (LINK, lambda header, contract, order_id: Probe(**header)),
    "link: broker state": (LINK, lambda header, contract, order_id: ReadBrokerState(**header)),
}


async def _inject(world: ProofWorld, address: str, make: Make) -> tuple[Reply, float]:
    """Hold something, let an order work, fall silent, then ask an actor directly; give its answer and the seconds."""
    gateway = world.gateway
    await gateway.submit_order(buy(10), CONTEXT)
    working = await gateway.submit_order(
        buy(order_type="LMT", limit_price=LIMIT), CONTEXT, wait_for="ack"
    )
    contract = (await gateway.get_market_data("SPY")).contract
    assert contract is not None
    world.simulator.faults.silence()
    answers = tapped(world.process, Reply)
    began_at = world.proof.loop.time()
    header = {
        "correlation_id": "injected",
        "deadline": world.process.clock.monotonic() + TIMEOUT_S,
        "reply_to": "nobody",
    }
    world.process.tell(address, make(header, contract, working.order_id))
    mine: list[Reply] = []
    while not mine:
        await asyncio.sleep(0.001)
        mine = [answer for answer in answers if answer.correlation_id == "injected"]
    return mine[0], world.proof.loop.time() - began_at


@pytest.mark.req("GW-8")
@pytest.mark.parametrize(("address", "make"), LAYERS.values(), ids=LAYERS)
def test_each_layer_refuses_at_five_seconds_by_itself(address: str, make: Make) -> None:
    answer, after_s = prove(lambda world: _inject(world, address, make))

    assert isinstance(answer, RequestFailed), answer
    assert answer.error.kind == TIMED_OUT
    assert abs(after_s - TIMEOUT_S) <= TOLERANCE_S


CLOSES: dict[str, Make] = {
    "one": lambda header, contract, order_id: ClosePosition(
        **header, position_id=SPY_ID, reason=CloseReason.MANUAL
    ),
    "all": lambda header, contract, order_id: CloseAllPositions(
        **header, reason=CloseReason.MANUAL
    ),
}


@pytest.mark.req("GW-8", "POS-7")
@pytest.mark.parametrize("make", CLOSES.values(), ids=CLOSES)
def test_the_position_actor_tells_what_came_of_a_close_by_five_seconds(make: Make) -> None:
    answer, after_s = prove(lambda world: _inject(world, POSITION, make))

    assert abs(after_s - TIMEOUT_S) <= TOLERANCE_S
    assert not isinstance(answer, (RequestFailed, OrderConcluded))
    result = answer.result if isinstance(answer, PositionClosed) else _first(answer)
    assert result.status is OrderStatus.TIMEOUT


def _first(answer: Reply) -> OrderResult:
    assert isinstance(answer, AllPositionsClosed)
    return answer.results[0]


@pytest.mark.req("GW-8")
@pytest.mark.parametrize("address", [MARKET_DATA, CONNECTION, EXECUTOR, POSITION, LINK, STRATEGY_C])
def test_a_request_that_comes_after_its_deadline_is_refused_without_being_served(
    address: str,
) -> None:
    async def scenario(world: ProofWorld) -> Any:
        failed = tapped(world.process, RequestFailed)
        received = world.simulator.faults.state.messages_received
        kinds: dict[str, Callable[[dict[str, Any]], Request]] = {
            MARKET_DATA: lambda header: GetMarketData(**header, symbol="SPY"),
            CONNECTION: lambda header: VerifyConnection(**header),
            EXECUTOR: lambda header: CancelAllOrders(**header, whole_account=True, why="a test"),
            POSITION: lambda header: CloseAllPositions(**header, reason=CloseReason.MANUAL),
            LINK: lambda header: Probe(**header),
            STRATEGY_C: lambda header: Liquidate(**header, reason="too late"),
        }
        late = world.process.clock.monotonic() - 0.001
        world.process.tell(
            address,
            kinds[address]({"correlation_id": "late", "deadline": late, "reply_to": "nobody"}),
        )
        await world.until(lambda: bool(failed))
        status = await world.gateway.status()
        sent = world.simulator.faults.state.messages_received - received
        return failed[0].error.kind, sent, status.latched

    assert prove(scenario) == (TIMED_OUT, 0, False)
