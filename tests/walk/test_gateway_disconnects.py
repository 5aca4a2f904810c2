"""A disconnect in the middle: reads wait for the link within their deadline, orders are never sent twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.errors import (
    GatewayConnectionError,
    GatewayError,
    GatewayNotConnectedError,
    GatewayTimeoutError,
    OrderValidationError,
)
from actors.model.orders import OrderStatus
from supervision.config.sections import Connection, StrategyC
from tests.walk.watching import ending
from tests.worlds import CONTEXT, ProofWorld, a_config, buy, prove

AWAY_S = 3.0
PATIENT_S = 20.0
IMPATIENT_S = 2.0
LATE_S = 0.05
LONG_S = 120.0
HELD = 10

GRACEFUL = a_config(strategy_c=StrategyC(grace_seconds=60.0))
"""A disconnect of this length triggers no liquidation, which is not what these tests are about."""


def _leave(world: ProofWorld, away_s: float = AWAY_S) -> None:
    """Drop every connection and refuse new ones for a while."""
    world.simulator.faults.nightly_reset(away_s)


@pytest.mark.req("GW-12")
@pytest.mark.parametrize("lost_first", [True, False], ids=["link is down", "link goes down"])
def test_a_read_waits_for_the_reconnect_within_its_deadline(lost_first: bool) -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway, faults = world.gateway, world.simulator.faults
        if lost_first:
            _leave(world)
            await world.until(lambda: not gateway.is_connected)
            return await ending(world, gateway.get_market_data("SPY", PATIENT_S))
        faults.ignore_requests("reqMktData")
        reading = asyncio.create_task(ending(world, gateway.get_market_data("SPY", PATIENT_S)))
        await asyncio.sleep(1.0)
        faults.answer_requests()
        _leave(world)
        return await reading

    ended = prove(scenario, config=GRACEFUL)

    assert ended.error is None
    assert ended.result.last_price is not None
    assert AWAY_S <= ended.after_s <= PATIENT_S


@pytest.mark.req("GW-12", "GW-8")
@pytest.mark.parametrize(
    "name", ["get_market_data", "get_historical_data", "get_option_chain", "get_account"]
)
def test_a_read_ends_in_a_connection_error_when_the_link_stays_down(name: str) -> None:
    async def scenario(world: ProofWorld) -> Any:
        _leave(world, LONG_S)
        await world.until(lambda: not world.gateway.is_connected)
        arguments = () if name == "get_account" else ("SPY",)
        call = getattr(world.gateway, name)(*arguments, timeout=IMPATIENT_S)
        return await ending(world, call)

    ended = prove(scenario, config=GRACEFUL)

    assert isinstance(ended.error, GatewayConnectionError)
    assert isinstance(ended.error, ConnectionError)
    assert abs(ended.after_s - IMPATIENT_S) <= LATE_S


@pytest.mark.req("GW-12")
def test_a_read_that_loses_its_link_and_does_not_get_it_back_ends_by_its_deadline() -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.ignore_requests("reqMktData")
        reading = asyncio.create_task(
            ending(world, world.gateway.get_market_data("SPY", IMPATIENT_S))
        )
        await asyncio.sleep(1.0)
        _leave(world, LONG_S)
        return await reading

    ended = prove(scenario, config=GRACEFUL)

    assert isinstance(ended.error, GatewayConnectionError)
    assert abs(ended.after_s - IMPATIENT_S) <= LATE_S


@pytest.mark.req("GW-12")
def test_an_order_while_the_link_is_down_is_refused_at_once_and_never_sent() -> None:
    async def scenario(world: ProofWorld) -> Any:
        _leave(world)
        await world.until(lambda: not world.gateway.is_connected)
        ended = await ending(world, world.gateway.submit_order(buy(), CONTEXT, PATIENT_S))
        await world.until(lambda: world.gateway.is_connected)
        await asyncio.sleep(LONG_S)
        return ended, world.simulator.ledger

    ended, ledger = prove(scenario, config=GRACEFUL)

    assert isinstance(ended.error, GatewayNotConnectedError)
    assert (ended.after_s, ledger) == (0.0, ())


@pytest.mark.req("GW-12")
@pytest.mark.parametrize(
    ("mode", "outcome"), [("drop_after", OrderStatus.FILLED), ("drop_before", OrderStatus.LOST)]
)
def test_an_order_that_loses_its_link_is_not_resent_and_its_truth_is_found(
    mode: str, outcome: OrderStatus
) -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.lose_acknowledgement(mode)
        stream = world.gateway.orders()
        told: list[OrderStatus] = []

        async def listen() -> None:
            async for change in stream:
                told.append(change.status)

        listening = asyncio.create_task(listen())
        result = await world.gateway.submit_order(buy(), CONTEXT, PATIENT_S)
        await world.until(lambda: outcome in told, within_s=300.0)
        listening.cancel()
        placed = [entry for entry in world.simulator.ledger if entry.kind == "place"]
        return result, placed, world.simulator.positions()

    result, placed, positions = prove(scenario, config=GRACEFUL)

    assert len(placed) == 1
    assert result.status in (outcome, OrderStatus.UNKNOWN, OrderStatus.TIMEOUT)
    held = [position.quantity for position in positions.values()]
    assert held == ([10] if outcome is OrderStatus.FILLED else [])


@pytest.mark.req("GW-12")
def test_a_connect_that_times_out_leaves_the_retrying_running() -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.refuse_connections(10.0)
        ended = await ending(world, world.gateway.connect(IMPATIENT_S))
        assert not world.gateway.is_connected
        await world.until(lambda: world.gateway.is_connected)
        return ended, await world.gateway.submit_order(buy(), CONTEXT)

    ended, result = prove(scenario, connect=False)

    assert isinstance(ended.error, GatewayTimeoutError)
    assert "refused the connection" in str(ended.error), "the last error says why"
    assert abs(ended.after_s - IMPATIENT_S) <= LATE_S
    assert result.status is OrderStatus.FILLED


@pytest.mark.req("GW-12")
def test_connecting_goes_on_beyond_the_last_retry() -> None:
    async def scenario(world: ProofWorld) -> bool:
        world.simulator.faults.refuse_connections(LONG_S)
        await ending(world, world.gateway.connect(IMPATIENT_S))
        await world.until(lambda: world.gateway.is_connected, within_s=2 * LONG_S)
        return world.gateway.is_connected

    assert prove(scenario, connect=False, config=a_config(connection=Connection(retries=1)))


# --- usable while disconnected ----------------------------------------------------------------------------------------


@pytest.mark.req("GW-5")
def test_status_liquidate_and_rearm_work_while_the_link_is_down() -> None:
    async def scenario(world: ProofWorld) -> list[Any]:
        gateway = world.gateway
        _leave(world, LONG_S)
        await world.until(lambda: not gateway.is_connected)
        before = await gateway.status()
        await gateway.liquidate("the operator wants it")
        latched = await gateway.status()
        answer = await gateway.rearm("an operator", "it was a drill")
        recorded = await gateway.status()
        await world.until(lambda: gateway.is_connected, 2 * LONG_S)
        await asyncio.sleep(5.0)
        after = await gateway.status()
        return [before.connection, latched, answer, recorded, after]

    connection, latched, answer, recorded, after = prove(scenario, config=GRACEFUL)

    assert connection == "RECONNECTING"
    assert (latched.latched, latched.liquidation_step) == (True, "WAITING_FOR_LINK")
    assert "the operator wants it" in latched.latch_reason
    assert not answer.carried_out
    assert (recorded.latched, recorded.liquidation_step) == (True, "REARM_RECORDED")
    assert (after.latched, after.liquidation_step) == (False, "IDLE")


@pytest.mark.req("GW-5", "STC-4")
def test_status_liquidate_and_rearm_work_before_the_first_connect() -> None:
    async def scenario(world: ProofWorld) -> list[Any]:
        gateway = world.gateway
        status = await gateway.status()
        await gateway.liquidate("the operator wants it")
        await gateway.connect()
        refused = await gateway.submit_order(buy(), CONTEXT)
        await world.until(lambda: bool(gateway.liquidation_reports))
        await gateway.rearm("an operator", "it was a drill")
        return [status, refused, await gateway.submit_order(buy(), CONTEXT)]

    status, refused, allowed = prove(scenario, connect=False)

    assert (status.connection, status.latched) == ("DISCONNECTED", False)
    assert refused.status is OrderStatus.REJECTED
    assert "the operator wants it" in refused.rejection_reason
    assert allowed.status is OrderStatus.FILLED


@pytest.mark.req("GW-5", "STC-4")
@pytest.mark.parametrize(("who", "why"), [("", "because"), ("me", ""), ("  ", "\t")])
def test_rearming_needs_a_name_and_a_reason(who: str, why: str) -> None:
    async def scenario(world: ProofWorld) -> bool:
        await world.gateway.liquidate("the operator wants it")
        with pytest.raises(OrderValidationError, match="who and why"):
            await world.gateway.rearm(who, why)
        return (await world.gateway.status()).latched

    assert prove(scenario)


@pytest.mark.req("GW-5")
def test_a_disconnect_latches_and_the_reconnect_closes_what_is_held() -> None:
    async def scenario(world: ProofWorld) -> list[Any]:
        gateway = world.gateway
        await gateway.submit_order(buy(HELD), CONTEXT)
        _leave(world)
        await world.until(lambda: not gateway.is_connected)
        latched = (await gateway.status()).latched
        await world.until(lambda: bool(gateway.liquidation_reports))
        refused = await gateway.submit_order(buy(), CONTEXT)
        sells = [entry.quantity for entry in world.simulator.ledger if entry.action == "SELL"]
        return [latched, gateway.liquidation_reports[0].flat, sells, refused.status]

    latched, flat, sells, refused = prove(scenario)

    assert (latched, flat) == (True, True)
    assert sells == [HELD]
    assert refused is OrderStatus.REJECTED


@pytest.mark.req("POS-5")
def test_positions_while_the_link_is_down_are_the_last_known_ones_and_say_so() -> None:
    async def scenario(world: ProofWorld) -> list[Any]:
        gateway = world.gateway
        await gateway.submit_order(buy(HELD), CONTEXT)
        await world.until(lambda: bool(world.simulator.positions()))
        live = await gateway.get_positions()
        _leave(world)
        await world.until(lambda: not gateway.is_connected)
        cached = await ending(world, gateway.get_positions())
        await world.until(lambda: gateway.is_connected)
        return [live, cached, await gateway.get_positions()]

    live, cached, again = prove(scenario, config=GRACEFUL)

    assert [(each.quantity, each.is_cached) for each in live] == [(HELD, False)]
    assert [(each.quantity, each.is_cached) for each in cached.result] == [(HELD, True)]
    assert cached.after_s == 0.0
    assert [(each.quantity, each.is_cached) for each in again] == [(HELD, False)]


@pytest.mark.req("POS-5")
@pytest.mark.parametrize(
    "call", ["get_positions", "close_all_positions", "check_strategy_c_closures"]
)
def test_positions_that_were_never_known_raise_instead_of_looking_empty(call: str) -> None:
    async def scenario(world: ProofWorld) -> None:
        world.simulator.faults.refuse_connections()
        await ending(world, world.gateway.connect(IMPATIENT_S))
        with pytest.raises(GatewayError, match="not known"):
            await getattr(world.gateway, call)()

    prove(scenario, connect=False)
