"""Every call of the facade ends by its deadline, whatever the gateway does; the caller's loop is never blocked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from actors.errors import GatewayTimeoutError
from actors.kernel.messages import Message
from actors.messages.addresses import EXECUTOR, POSITION
from actors.messages.orders import BrokerOrderReported
from actors.messages.positions import HoldingReported
from actors.model.orders import OrderStatus
from supervision import IBKRGateway
from supervision.config.sections import Supervision
from tests.walk.watching import ending
from tests.worlds import CONTEXT, ProofWorld, RealWorld, a_config, buy, prove, real_world

DEADLINES_S = (0.5, 5.0)
LATE_S = 0.05
"""GW-8: no call ends later than this after its deadline."""

LIMIT = 590.0
HELD = 10
MOST_BLOCKED_S = 0.25
SILENT_S = 1.0
"""A loop that were blocked by waiting would show a gap of this size."""

SPY_ID = "SPY_756733"

Call = Callable[[IBKRGateway, float], Awaitable[Any]]

READS: dict[str, Call] = {
    "get_market_data": lambda gateway, s: gateway.get_market_data("SPY", s),
    "get_historical_data": lambda gateway, s: gateway.get_historical_data("QQQ", timeout=s),
    "get_option_chain": lambda gateway, s: gateway.get_option_chain("SPY", s),
    "get_option_quote": lambda gateway, s: gateway.get_option_quote(
        "SPY", "20991231", 600.0, "C", timeout=s
    ),
}
FROM_MEMORY: dict[str, Call] = {
    "get_positions": lambda gateway, s: gateway.get_positions(s),
    "get_account": lambda gateway, s: gateway.get_account(s),
    "get_open_orders": lambda gateway, s: gateway.get_open_orders(s),
    "check_strategy_c_closures": lambda gateway, s: gateway.check_strategy_c_closures(s),
    "status": lambda gateway, s: gateway.status(s),
}
SUBMITS: dict[str, Call] = {
    "submit_order, nothing known": lambda gateway, s: gateway.submit_order(
        buy(symbol="QQQ"), CONTEXT, s
    ),
    "submit_order, contract known": lambda gateway, s: gateway.submit_order(buy(), CONTEXT, s),
    "submit_order, ack": lambda gateway, s: gateway.submit_order(
        buy(order_type="LMT", limit_price=LIMIT), CONTEXT, s, wait_for="ack"
    ),
}


@attrs.frozen
class Silenced:
    """What was set up before the gateway fell silent."""

    order_id: str


async def _fall_silent(world: ProofWorld) -> Silenced:
    """Hold a position, leave an order working, then hear no more."""
    gateway = world.gateway
    await gateway.submit_order(buy(HELD), CONTEXT)
    working = await gateway.submit_order(
        buy(order_type="LMT", limit_price=LIMIT), CONTEXT, wait_for="ack"
    )
    await gateway.get_market_data("SPY")
    world.simulator.faults.silence()
    return Silenced(working.order_id)


def _in_time(after_s: float, timeout_s: float) -> bool:
    return timeout_s - LATE_S <= after_s <= timeout_s + LATE_S


@pytest.mark.req("GW-8")
@pytest.mark.parametrize("timeout_s", DEADLINES_S)
@pytest.mark.parametrize("call", READS.values(), ids=READS)
def test_a_read_from_a_silent_gateway_times_out_at_its_deadline(
    call: Call, timeout_s: float
) -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.silence()
        return await ending(world, call(world.gateway, timeout_s))

    ended = prove(scenario)

    assert isinstance(ended.error, TimeoutError), ended
    assert isinstance(ended.error, GatewayTimeoutError)
    assert _in_time(ended.after_s, timeout_s)


@pytest.mark.req("GW-8")
@pytest.mark.parametrize("call", FROM_MEMORY.values(), ids=FROM_MEMORY)
def test_what_is_pushed_or_known_needs_no_answer_of_the_gateway(call: Call) -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.silence()
        return await ending(world, call(world.gateway, 5.0))

    ended = prove(scenario)

    assert (ended.error, ended.after_s) == (None, 0.0)


@pytest.mark.req("GW-8", "ORD-6")
@pytest.mark.parametrize("timeout_s", DEADLINES_S)
@pytest.mark.parametrize("call", SUBMITS.values(), ids=SUBMITS)
def test_submit_order_answers_timeout_at_its_deadline(call: Call, timeout_s: float) -> None:
    async def scenario(world: ProofWorld) -> Any:
        await _fall_silent(world)
        return await ending(world, call(world.gateway, timeout_s))

    ended = prove(scenario)

    assert ended.error is None
    assert ended.result.status is OrderStatus.TIMEOUT
    assert ended.result.fill_quantity == 0
    assert _in_time(ended.after_s, timeout_s)


@pytest.mark.req("GW-8", "ORD-6")
def test_an_order_that_timed_out_before_it_was_sent_is_not_sent_afterwards() -> None:
    async def scenario(world: ProofWorld) -> int:
        world.simulator.faults.ignore_requests("reqContractDetails")
        result = await world.gateway.submit_order(buy(symbol="QQQ"), CONTEXT, 2.0)
        assert result.status is OrderStatus.TIMEOUT
        world.simulator.faults.answer_requests()
        await asyncio.sleep(60.0)
        return len(world.simulator.ledger)

    assert prove(scenario) == 0


@pytest.mark.req("GW-8")
@pytest.mark.parametrize("timeout_s", DEADLINES_S)
@pytest.mark.parametrize("name", ["modify_order", "cancel_order"])
def test_changing_an_order_at_a_silent_gateway_times_out(name: str, timeout_s: float) -> None:
    async def scenario(world: ProofWorld) -> Any:
        silenced = await _fall_silent(world)
        gateway = world.gateway
        if name == "cancel_order":
            return await ending(world, gateway.cancel_order(silenced.order_id, timeout_s))
        change = gateway.modify_order(silenced.order_id, limit_price=LIMIT + 1, timeout=timeout_s)
        return await ending(world, change)

    ended = prove(scenario)

    assert isinstance(ended.error, TimeoutError)
    assert _in_time(ended.after_s, timeout_s)


@pytest.mark.req("GW-8", "POS-6", "POS-7")
@pytest.mark.parametrize("timeout_s", DEADLINES_S)
@pytest.mark.parametrize("every", [False, True], ids=["one", "all"])
def test_a_close_at_a_silent_gateway_answers_by_its_deadline_and_is_sent_once(
    every: bool, timeout_s: float
) -> None:
    async def scenario(world: ProofWorld) -> Any:
        await _fall_silent(world)
        gateway = world.gateway
        if every:
            ended = await ending(world, gateway.close_all_positions("MANUAL", timeout_s))
            result = ended.result[0]
        else:
            ended = await ending(world, gateway.close_position(SPY_ID, "MANUAL", timeout_s))
            result = ended.result
        sells = [entry for entry in world.simulator.ledger if entry.action == "SELL"]
        return ended, result, sells

    ended, result, sells = prove(scenario)

    assert _in_time(ended.after_s, timeout_s)
    assert (result.status, result.cancel_confirmed) == (OrderStatus.TIMEOUT, False)
    assert [sell.quantity for sell in sells] == [HELD]


@pytest.mark.req("GW-8", "GW-12")
def test_connecting_to_a_silent_gateway_times_out_at_the_deadline() -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.silence()
        return await ending(world, world.gateway.connect(5.0))

    ended = prove(scenario, connect=False)

    assert isinstance(ended.error, TimeoutError)
    assert _in_time(ended.after_s, 5.0)


# --- in reality -------------------------------------------------------------------------------------------------------


async def _largest_gap_s(until: asyncio.Task[Any]) -> float:
    """Tick on the caller's loop as often as it lets us; give the longest pause between two ticks."""
    largest, last = 0.0, time.perf_counter()
    while not until.done():
        await asyncio.sleep(0)
        now = time.perf_counter()
        largest, last = max(largest, now - last), now
    return largest


async def _work_hard(world: RealWorld) -> None:
    gateway = world.gateway
    for _ in range(5):
        await asyncio.gather(
            gateway.get_market_data("SPY"),
            gateway.get_option_chain("SPY"),
            gateway.submit_order(buy(), CONTEXT, 10.0),
            gateway.get_positions(),
            gateway.status(),
        )
    await gateway.close_all_positions("MANUAL", 10.0)
    world.simulator.faults.silence()
    with pytest.raises(TimeoutError):
        await gateway.get_option_chain("QQQ", SILENT_S)


@pytest.mark.req("GW-8")
def test_the_callers_loop_is_never_blocked(tmp_path: Path) -> None:
    async def scenario() -> float:
        async with real_world(tmp_path) as world:
            work = asyncio.create_task(_work_hard(world))
            largest_s = await _largest_gap_s(work)
            await work
            return largest_s

    assert asyncio.run(scenario()) < MOST_BLOCKED_S


@pytest.mark.req("GW-8")
def test_deadlines_hold_in_reality_too(tmp_path: Path) -> None:
    async def scenario() -> list[float]:
        late = []
        async with real_world(tmp_path) as world:
            world.simulator.faults.silence()
            for call in READS.values():
                began_at = time.perf_counter()
                with pytest.raises(TimeoutError):
                    await call(world.gateway, 0.3)
                late.append(time.perf_counter() - began_at - 0.3)
        return late

    late = asyncio.run(scenario())

    assert all(-LATE_S <= seconds <= LATE_S for seconds in late), late


# --- an actor that is not there ---------------------------------------------------------------------------------------

BREAKERS: dict[str, Callable[[Any], Message]] = {
    EXECUTOR: lambda nonsense: BrokerOrderReported(order=nonsense, received_at=nonsense),
    POSITION: lambda nonsense: HoldingReported(holding=nonsense),
}
"""For each actor a message that it cannot handle: its handler raises."""

ABSENT: dict[str, tuple[str, Call]] = {
    "get_open_orders": (EXECUTOR, FROM_MEMORY["get_open_orders"]),
    "cancel_order": (EXECUTOR, lambda gateway, s: gateway.cancel_order("ORD", s)),
    "get_positions": (POSITION, FROM_MEMORY["get_positions"]),
    "get_account": (POSITION, FROM_MEMORY["get_account"]),
    "close_all_positions": (
        POSITION,
        lambda gateway, s: gateway.close_all_positions("MANUAL", s),
    ),
}


async def _take_away(world: ProofWorld, address: str) -> None:
    """Fail an actor whose restart waits long enough for the test."""
    nonsense: Any = None
    world.process.tell(address, BREAKERS[address](nonsense))
    await world.until(lambda: _is_down(world, address))


def _is_down(world: ProofWorld, address: str) -> bool:
    return any(
        child.name == address and child.state != "up" for child in world.process.tree.status()
    )


SLOW_RESTARTS = a_config(supervision=Supervision(first_delay_s=30.0, max_delay_s=30.0))


@pytest.mark.req("GW-8")
@pytest.mark.parametrize("timeout_s", DEADLINES_S)
@pytest.mark.parametrize(("address", "call"), ABSENT.values(), ids=ABSENT)
def test_a_call_to_an_actor_that_is_down_times_out_at_its_deadline(
    address: str, call: Call, timeout_s: float
) -> None:
    async def scenario(world: ProofWorld) -> Any:
        await _take_away(world, address)
        return await ending(world, call(world.gateway, timeout_s))

    ended = prove(scenario, config=SLOW_RESTARTS)

    assert isinstance(ended.error, TimeoutError), ended
    assert _in_time(ended.after_s, timeout_s)


@pytest.mark.req("POS-5", "GW-8")
def test_positions_that_nobody_tells_in_time_are_the_last_known_ones_and_say_so() -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.trade_elsewhere("SPY", 10)
        await world.gateway.connect()
        world.simulator.faults.trade_elsewhere("SPY", 5)
        await asyncio.sleep(1.0)
        await _take_away(world, POSITION)
        return await ending(world, world.gateway.get_positions(2.0))

    ended = prove(scenario, connect=False, config=SLOW_RESTARTS)

    assert [(held.quantity, held.is_cached) for held in ended.result] == [(15, True)]
    assert _in_time(ended.after_s, 2.0)


@pytest.mark.req("GW-8", "ORD-6")
def test_submit_order_answers_for_an_executor_that_is_down_and_nothing_is_sent_later() -> None:
    async def scenario(world: ProofWorld) -> Any:
        await _take_away(world, EXECUTOR)
        ended = await ending(world, world.gateway.submit_order(buy(), CONTEXT, 5.0))
        await asyncio.sleep(120.0)
        return ended, world.simulator.ledger, await world.gateway.get_open_orders()

    ended, ledger, working = prove(scenario, config=SLOW_RESTARTS)

    assert ended.result.status is OrderStatus.TIMEOUT
    assert _in_time(ended.after_s, 5.0)
    assert (ledger, working) == ((), [])
