"""Orders that the broker does not show, through the whole tree: settled by evidence and in time (ORD-9, ORD-11)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.messages.addresses import CONNECTION, EXECUTOR
from actors.messages.connection import ConnectionStateChanged, RequestReconciliation
from actors.model.connection import ConnectionState, DisconnectCause
from actors.model.orders import OrderStatus, RejectionKind
from supervision.config.sections import StrategyC
from tests.walk.watching import tapped
from tests.worlds import CONTEXT, ProofWorld, a_config, buy, prove, sell

pytestmark = pytest.mark.req("ORD-9", "ORD-11")

GRACEFUL = a_config(strategy_c=StrategyC(grace_seconds=600.0))
"""Default settings, but a link that is back in ten minutes triggers no liquidation: these tests are not about that."""


@pytest.mark.parametrize("side", ["open", "exit"])
def test_an_order_that_is_lost_with_the_socket_is_settled_eight_seconds_after_the_reconnect(
    side: str,
) -> None:
    async def scenario(world: ProofWorld) -> Any:
        await world.gateway.submit_order(buy(30), CONTEXT)
        world.simulator.faults.lose_acknowledgement("drop_before")
        signal = buy(10) if side == "open" else sell(30)
        moves = tapped(world.process, ConnectionStateChanged)
        submitted = asyncio.create_task(world.gateway.submit_order(signal, CONTEXT, 60.0))
        await world.until(lambda: bool(moves) and moves[-1].state is ConnectionState.CONNECTED)
        began_at = world.proof.loop.time()
        lost = await submitted
        took_s = world.proof.loop.time() - began_at
        again = await world.gateway.submit_order(sell(30), CONTEXT)
        placed = [entry for entry in world.simulator.ledger if entry.kind == "place"]
        return lost.status, took_s, again.status, len(placed), world.simulator.positions()

    status, took_s, again, placed, held = prove(scenario, config=GRACEFUL)

    assert status is OrderStatus.LOST
    assert 7.9 <= took_s <= 9.0
    assert again is OrderStatus.FILLED, "nothing is reserved for it any more"
    assert (placed, held) == (3, {}), "the lost one was not sent again"


def test_an_order_that_filled_while_the_link_was_down_is_told_at_the_first_read() -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.lose_acknowledgement("drop_after")
        result = await world.gateway.submit_order(buy(10), CONTEXT, 60.0)
        return result.status, world.proof.loop.time()

    status, took_s = prove(scenario, config=GRACEFUL)

    assert status is OrderStatus.FILLED
    assert took_s < 5.0


@pytest.mark.parametrize("code", [451, 460, 10289])
def test_an_unlisted_refusal_is_answered_within_five_seconds_with_code_and_words(code: int) -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.reject_next_order(code, "no such thing", inactive=False)
        began_at = world.proof.loop.time()
        refused = await world.gateway.submit_order(buy(10), CONTEXT, 60.0)
        took_s = world.proof.loop.time() - began_at
        again = await world.gateway.submit_order(buy(10), CONTEXT, 60.0)
        return refused, took_s, again.status

    refused, took_s, again = prove(scenario)

    assert (refused.status, refused.rejection_kind) == (OrderStatus.FAILED, RejectionKind.BROKER)
    assert (refused.rejection_code, refused.rejection_reason) == (code, f"{code}: no such thing")
    assert took_s <= 5.0
    assert again is OrderStatus.FILLED


def test_an_order_that_the_gateway_swallows_is_settled_in_the_session_that_lives_on() -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.ignore_requests("placeOrder")
        moves = tapped(world.process, ConnectionStateChanged)
        began_at = world.proof.loop.time()
        swallowed = await world.gateway.submit_order(buy(10), CONTEXT, 60.0)
        took_s = world.proof.loop.time() - began_at
        return swallowed.status, took_s, list(moves)

    status, took_s, moves = prove(scenario)

    assert status is OrderStatus.LOST
    assert 14.0 <= took_s <= 17.0
    assert moves == []


def test_a_gateway_that_swallows_even_the_cancel_gets_one_new_session_and_no_liquidation() -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.ignore_requests("placeOrder")
        world.simulator.faults.ignore_requests("cancelOrder")
        moves = tapped(world.process, ConnectionStateChanged)
        swallowed = await world.gateway.submit_order(buy(10), CONTEXT, 120.0)
        status = await world.gateway.status()
        told = list(dict.fromkeys((move.at, move.state, move.cause) for move in moves))
        return swallowed.status, [move[1:] for move in told], status.latched

    status, moves, latched = prove(scenario)

    assert status is OrderStatus.LOST
    assert moves[0] == (ConnectionState.RECONNECTING, DisconnectCause.ASKED)
    assert [state for state, _ in moves].count(ConnectionState.CONNECTED) == 1
    assert not latched, "a planned new session is no loss of the link"


# --- the client id ------------------------------------------------------------------------------------------------


async def lose(world: ProofWorld, taken: int) -> Any:
    """Lose an order with its socket, and have the client id taken for so many tries; gives its result to come."""
    world.simulator.faults.client_id_taken(1, times=taken)
    world.simulator.faults.lose_acknowledgement("drop_before")
    submitted = asyncio.create_task(world.gateway.submit_order(buy(10), CONTEXT, 600.0))
    await world.until(lambda: not world.gateway.is_connected)
    return submitted


@pytest.mark.req("CON-8")
def test_while_a_fate_is_unknown_the_first_client_id_is_tried_for_a_minute() -> None:
    async def scenario(world: ProofWorld) -> Any:
        submitted = await lose(world, taken=40)
        began_at = world.proof.loop.time()
        await world.until(lambda: world.gateway.is_connected, within_s=120.0)
        took_s = world.proof.loop.time() - began_at
        return took_s, tuple(world.simulator.client_ids()), (await submitted).status

    took_s, client_ids, status = prove(scenario, config=GRACEFUL)

    assert 35.0 <= took_s <= 60.0
    assert client_ids == (1,)
    assert status is OrderStatus.LOST


@pytest.mark.req("CON-8")
def test_without_an_unknown_fate_a_fallback_id_is_taken_at_once() -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.client_id_taken(1, times=40)
        world.simulator.faults.drop_connections()
        began_at = world.proof.loop.time()
        await world.until(lambda: tuple(world.simulator.client_ids()) == (2,))
        return world.proof.loop.time() - began_at

    assert prove(scenario, config=GRACEFUL) <= 5.0


@pytest.mark.req("CON-8")
def test_a_fallback_id_proves_nothing_and_the_first_one_is_tried_again_until_it_does() -> None:
    async def scenario(world: ProofWorld) -> Any:
        submitted = await lose(world, taken=62)
        moves = tapped(world.process, ConnectionStateChanged)
        await world.until(lambda: tuple(world.simulator.client_ids()) == (2,), within_s=120.0)
        await asyncio.sleep(50.0)
        (unknown,) = await world.gateway.get_open_orders()
        fallback = tuple(world.simulator.client_ids())
        settled = await submitted
        latched = (await world.gateway.status()).latched
        causes = {move.cause for move in moves if move.previous is ConnectionState.CONNECTED}
        return unknown.status, fallback, settled.status, latched, causes, world.simulator

    unknown, fallback, settled, latched, causes, simulator = prove(scenario, config=GRACEFUL)

    assert (unknown, fallback) == (OrderStatus.UNKNOWN, (2,))
    assert settled is OrderStatus.LOST
    assert tuple(simulator.client_ids()) in ((), (1,))
    assert not latched
    assert causes <= {DisconnectCause.ASKED}


@pytest.mark.req("CON-8", "STC-1")
def test_a_planned_new_session_that_does_not_come_is_a_loss_of_the_link_after_all() -> None:
    async def scenario(world: ProofWorld) -> Any:
        await world.gateway.submit_order(buy(10), CONTEXT)
        world.simulator.faults.ignore_requests("placeOrder", "cancelOrder")
        swallowed = asyncio.create_task(world.gateway.submit_order(buy(5), CONTEXT, 60.0))
        moves = tapped(world.process, ConnectionStateChanged)
        await asyncio.sleep(5.0)
        world.simulator.faults.refuse_connections(60.0)
        await world.until(lambda: bool(moves))
        await world.until(lambda: len({move.cause for move in moves}) > 1)
        status = await world.gateway.status()
        await swallowed
        return next(move.cause for move in moves), status.latched

    cause, latched = prove(scenario)

    assert cause is DisconnectCause.ASKED
    assert latched


# --- being wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["MKT", "LMT"])
def test_an_order_that_lives_although_it_was_declared_dead_alarms_and_is_cancelled_or_counted(
    kind: str,
) -> None:
    alarms: list[str] = []

    def log(event: str, **_: Any) -> None:
        if event.startswith("dead_order"):
            alarms.append(event)

    async def scenario(world: ProofWorld) -> Any:
        world.simulator.order_faults.refuse_orders(manner="late", appears_after_s=40.0)
        limit = 580.0 if kind == "LMT" else None
        signal = buy(10, order_type=kind, limit_price=limit)
        lost = await world.gateway.submit_order(signal, CONTEXT, 60.0)
        world.simulator.order_faults.accept_orders()
        await asyncio.sleep(60.0)
        held = [item.quantity for item in await world.gateway.get_positions()]
        return lost.status, held, world.simulator.open_orders()

    status, held, left = prove(scenario, log=log)

    assert status is OrderStatus.LOST
    assert left == ()
    if kind == "LMT":
        assert (alarms, held) == (["dead_order_lives"], [])
    else:
        assert held == [10]
        assert alarms[-1] == "dead_order_filled"


def test_a_second_order_that_fills_after_it_was_declared_dead_stops_automation_there() -> None:
    async def scenario(world: ProofWorld) -> Any:
        statuses = []
        for _ in range(2):
            world.simulator.order_faults.refuse_orders(manner="late", appears_after_s=100.0)
            swallowed = await world.gateway.submit_order(buy(10), CONTEXT, 120.0)
            world.simulator.order_faults.accept_orders()
            statuses.append(swallowed.status)
            await asyncio.sleep(120.0)
        refused = await world.gateway.submit_order(buy(10), CONTEXT)
        elsewhere = await world.gateway.submit_order(buy(10, "QQQ"), CONTEXT)
        return statuses, refused, elsewhere.status

    statuses, refused, elsewhere = prove(scenario)

    assert statuses == [OrderStatus.LOST, OrderStatus.LOST]
    assert refused.status is OrderStatus.REJECTED
    assert "declared dead" in refused.rejection_reason
    assert elsewhere is OrderStatus.FILLED


def test_what_is_sent_after_an_order_was_declared_dead_is_not_declared_so_for_a_minute() -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.order_faults.refuse_orders(manner="silence")
        took_s = []
        for _ in range(2):
            began_at = world.proof.loop.time()
            await world.gateway.submit_order(buy(10), CONTEXT, 120.0)
            took_s.append(world.proof.loop.time() - began_at)
        return took_s

    first, second = prove(scenario)

    assert first <= 17.0
    assert 60.0 <= second <= 70.0


# --- did it fill? --------------------------------------------------------------------------------------------------


def test_a_position_that_moved_by_exactly_the_remainder_says_that_it_filled() -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.lose_acknowledgement("drop_after")
        world.simulator.order_faults.hide_orders("executions")
        world.simulator.order_faults.hide_orders("completed_orders")
        began_at = world.proof.loop.time()
        filled = await world.gateway.submit_order(buy(10), CONTEXT, 60.0)
        took_s = world.proof.loop.time() - began_at
        sold = await world.gateway.submit_order(sell(10), CONTEXT)
        return filled, took_s, sold.status, world.simulator.positions()

    filled, took_s, sold, held = prove(scenario, config=GRACEFUL)

    assert (filled.status, filled.fill_quantity) == (OrderStatus.FILLED, 10)
    assert took_s <= 6.0
    assert (sold, held) == (OrderStatus.FILLED, {})


# --- a gateway that shows less than there is ----------------------------------------------------------------------


@pytest.mark.parametrize("silent", ["reqCompletedOrders", "reqExecutions"])
def test_where_a_read_stays_incomplete_a_probe_and_a_position_at_rest_settle_a_lost_order(
    silent: str,
) -> None:
    async def scenario(world: ProofWorld) -> Any:
        await world.gateway.submit_order(buy(30), CONTEXT)
        world.simulator.order_faults.withhold_ends(silent)
        world.simulator.faults.lose_acknowledgement("drop_before")
        began_at = world.proof.loop.time()
        lost = await world.gateway.submit_order(sell(30), CONTEXT, 300.0)
        return lost.status, world.proof.loop.time() - began_at

    status, took_s = prove(scenario, config=GRACEFUL)

    assert status is OrderStatus.LOST
    assert 30.0 <= took_s <= 40.0


@pytest.mark.parametrize("drops", [True, False], ids=["after a reconnect", "in a session"])
def test_an_order_that_the_gateway_shows_late_is_neither_called_dead_nor_cancelled(
    drops: bool,
) -> None:
    async def scenario(world: ProofWorld) -> Any:
        signal = buy(10, order_type="LMT", limit_price=580.0)
        order = await world.gateway.submit_order(signal, CONTEXT, wait_for="ack")
        await asyncio.sleep(60.0)
        world.simulator.order_faults.hide_orders("open_orders", duration_s=4.0)
        if drops:
            world.simulator.faults.drop_connections()
        else:
            world.process.tell(CONNECTION, RequestReconciliation(sender=EXECUTOR))
        await asyncio.sleep(60.0)
        (known,) = await world.gateway.get_open_orders()
        kinds = [entry.kind for entry in world.simulator.ledger]
        return known.order_id == order.order_id, known.status, kinds

    same, status, kinds = prove(scenario, config=GRACEFUL)

    assert (same, status, kinds) == (True, OrderStatus.PENDING, ["place"])
