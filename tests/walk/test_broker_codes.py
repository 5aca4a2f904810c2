"""Broker codes through the whole tree: what the caller is told, and what becomes of the order (ORD-8)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.errors import GatewayError
from actors.messages.connection import RequestReconciliation
from actors.model.orders import OrderStatus, RejectionKind
from supervision.config.sections import Orders
from tests.walk.watching import ending, tapped
from tests.worlds import CONTEXT, LENIENT, ProofWorld, a_config, buy, prove

pytestmark = pytest.mark.req("ORD-8")

QUANTITY = 10.0
BELOW = 580.0
TIMEOUT_S = 5.0
QUICK = a_config(risk=LENIENT, orders=Orders(max_working=1000))


async def resting(world: ProofWorld) -> Any:
    """Leave an order at the broker, below the market."""
    signal = buy(QUANTITY, order_type="LMT", limit_price=BELOW)
    order = await world.gateway.submit_order(signal, CONTEXT, wait_for="ack")
    assert order.status is OrderStatus.PENDING
    return order


async def status_of(world: ProofWorld, order_id: str) -> OrderStatus | None:
    """How an order stands among the open ones; None when it is not among them."""
    for order in await world.gateway.get_open_orders():
        if order.order_id == order_id:
            return order.status
    return None


def say(world: ProofWorld, order: Any, code: int, text: str = "says the scenario") -> None:
    """Let the broker send a code under the order's id."""
    world.simulator.faults.send_error(code, text, request_id=order.ibkr_order_id)


@pytest.mark.parametrize("code", [104, 105, 110, 201, 321, 329, 434, 435, 436])
def test_an_order_whose_change_is_refused_lives_on_with_its_old_terms(code: int) -> None:
    async def scenario(world: ProofWorld) -> None:
        order = await resting(world)
        world.simulator.faults.reject_next_order(code, f"no, by {code}")

        ended = await ending(
            world, world.gateway.modify_order(order.order_id, limit_price=BELOW + 1)
        )

        assert isinstance(ended.error, GatewayError)
        assert f"no, by {code}" in str(ended.error)
        assert ended.after_s < 1.0
        assert await status_of(world, order.order_id) is OrderStatus.PENDING
        (theirs,) = world.simulator.open_orders()
        assert (theirs.limit_price, theirs.quantity) == (BELOW, QUANTITY)
        changed = await world.gateway.modify_order(order.order_id, limit_price=BELOW + 2)
        assert changed.status is OrderStatus.PENDING
        world.simulator.faults.fill(theirs.perm_id)
        await asyncio.sleep(0.1)
        assert await status_of(world, order.order_id) is None

    prove(scenario)


@pytest.mark.parametrize("inactive", [False, True], ids=["error alone", "with Inactive"])
@pytest.mark.parametrize("code", [110, 200, 201, 321, 434, 436, 10243])
def test_a_new_order_that_is_refused_has_failed_with_the_brokers_reason(
    code: int, inactive: bool
) -> None:
    async def scenario(world: ProofWorld) -> None:
        world.simulator.faults.reject_next_order(code, f"no, by {code}", inactive=inactive)

        ended = await ending(world, world.gateway.submit_order(buy(), CONTEXT, TIMEOUT_S))

        assert ended.result.status is OrderStatus.FAILED
        assert f"{code}: no, by {code}" in ended.result.rejection_reason
        said = (ended.result.rejection_kind, ended.result.rejection_code)
        assert said == (RejectionKind.BROKER, code)
        assert ended.after_s < 1.0
        assert world.simulator.positions() == {}
        assert len(world.simulator.ledger) == 1, "it is never sent again"

    prove(scenario)


@pytest.mark.parametrize("code", [399, 10349, 2109, 2102])
def test_an_advisory_leaves_the_order_to_work_and_to_fill(code: int) -> None:
    async def scenario(world: ProofWorld) -> None:
        order = await resting(world)
        asked = tapped(world.process, RequestReconciliation)

        say(world, order, code)
        await asyncio.sleep(1.0)

        assert asked == [], "there is nothing to ask about"
        assert await status_of(world, order.order_id) is OrderStatus.PENDING
        world.simulator.faults.fill(world.simulator.open_orders()[0].perm_id)
        await asyncio.sleep(0.1)
        assert await status_of(world, order.order_id) is None
        assert world.simulator.positions() != {}

    prove(scenario)


def test_an_order_that_waits_for_a_locate_is_not_at_its_end() -> None:
    async def scenario(world: ProofWorld) -> None:
        order = await resting(world)
        (theirs,) = world.simulator.broker.store.working()

        say(world, order, 404, "Order held while securities are located")
        theirs.why_held = "locate"
        world.simulator.reports.order_changed(theirs)
        await asyncio.sleep(1.0)
        held = await status_of(world, order.order_id)
        world.simulator.faults.fill(theirs.perm_id)
        await asyncio.sleep(0.1)
        (position,) = await world.gateway.get_positions()

        assert held is OrderStatus.PENDING
        assert position.quantity == QUANTITY

    prove(scenario)


@pytest.mark.parametrize("code", [135, 161, 10147, 10148])
def test_a_cancel_that_the_broker_cannot_make_asks_what_became_of_the_order(code: int) -> None:
    """It had filled, and the word of it was lost: the answer is filled, not cancelled."""

    async def scenario(world: ProofWorld) -> None:
        order = await resting(world)
        (theirs,) = world.simulator.broker.store.working()
        asked = tapped(world.process, RequestReconciliation)
        theirs.silent = True
        world.simulator.faults.fill(theirs.perm_id)
        await asyncio.sleep(1.0)
        assert await status_of(world, order.order_id) is OrderStatus.PENDING
        assert asked == []

        theirs.silent = False
        say(world, order, code)
        await asyncio.sleep(1.0)
        (position,) = await world.gateway.get_positions()

        assert asked
        assert await status_of(world, order.order_id) is None
        assert position.quantity == QUANTITY

    prove(scenario)


def test_a_cancelled_order_that_had_filled_is_told_as_filled() -> None:
    async def scenario(world: ProofWorld) -> None:
        order = await resting(world)
        (theirs,) = world.simulator.broker.store.working()
        theirs.silent = True
        world.simulator.faults.fill(theirs.perm_id)
        theirs.silent = False

        ended = await ending(world, world.gateway.cancel_order(order.order_id, TIMEOUT_S))

        assert ended.result.status is OrderStatus.FILLED
        assert ended.result.fill_quantity == QUANTITY

    prove(scenario)


def test_a_code_that_nobody_knows_is_asked_about_and_the_order_lives_on() -> None:
    async def scenario(world: ProofWorld) -> None:
        order = await resting(world)
        asked = tapped(world.process, RequestReconciliation)

        say(world, order, 98_765)
        await asyncio.sleep(1.0)

        assert asked
        assert await status_of(world, order.order_id) is OrderStatus.PENDING
        assert len(world.simulator.open_orders()) == 1
        assert [entry.kind for entry in world.simulator.ledger] == ["place"]

    prove(scenario)


@pytest.mark.req("ORD-8", "ORD-9")
def test_an_order_whose_id_was_used_before_is_asked_about_and_never_sent_again() -> None:
    async def scenario(world: ProofWorld) -> None:
        changes = world.gateway.orders()
        seen: list[OrderStatus] = []

        async def watch() -> None:
            async for change in changes:
                seen.append(change.status)

        watching = asyncio.create_task(watch())
        world.simulator.faults.reject_next_order(103, "Duplicate order id")
        await ending(world, world.gateway.submit_order(buy(), CONTEXT, TIMEOUT_S))
        await asyncio.sleep(30.0)
        watching.cancel()

        assert OrderStatus.UNKNOWN in seen
        assert seen[-1] in (OrderStatus.LOST, OrderStatus.FAILED)
        assert world.simulator.positions() == {}
        assert len([e for e in world.simulator.ledger if e.kind == "place"]) == 1
        after = await world.gateway.submit_order(buy(3), CONTEXT)
        assert after.status is OrderStatus.FILLED

    prove(scenario, config=QUICK)
