"""A broker that takes what it is sent and says nothing: it is asked, and nothing is sent twice (PEERS 6, ORD-9)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.model.orders import OrderStatus
from supervision.config.sections import Orders
from tests.worlds import CONTEXT, ProofWorld, buy, prove

UNKNOWN_AFTER_S = Orders().unknown_after_s
RESTING = buy(10, order_type="LMT", limit_price=590.0)


@pytest.mark.req("ORD-9", "ORD-5")
def test_an_order_of_which_nothing_is_heard_is_asked_for_and_its_fill_is_told() -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.lose_acknowledgement("silent")
        began_at = world.proof.loop.time()
        result = await world.gateway.submit_order(buy(10), CONTEXT, 30.0)
        took_s = world.proof.loop.time() - began_at
        return result, took_s, len(world.simulator.ledger)

    result, took_s, sent = prove(scenario)

    assert (result.status, result.fill_quantity) == (OrderStatus.FILLED, 10)
    assert took_s <= UNKNOWN_AFTER_S + 0.5, "asked for then, if no other read came first"
    assert sent == 1


@pytest.mark.req("ORD-6", "ORD-9")
def test_a_cancel_of_which_nothing_is_heard_is_asked_for() -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.lose_acknowledgement("silent")
        submitted = asyncio.create_task(
            world.gateway.submit_order(RESTING, CONTEXT, UNKNOWN_AFTER_S)
        )
        result = await submitted
        await asyncio.sleep(2 * UNKNOWN_AFTER_S)
        kinds = [entry.kind for entry in world.simulator.ledger]
        return result, kinds, await world.gateway.get_open_orders()

    result, kinds, open_orders = prove(scenario)

    assert result.status is OrderStatus.TIMEOUT
    assert kinds == ["place", "cancel"]
    assert open_orders == []


@pytest.mark.req("ORD-6", "ORD-5")
def test_an_order_that_is_not_acknowledged_by_its_deadline_does_not_stay_behind() -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.lose_acknowledgement("silent")
        told: list[OrderStatus] = []

        async def read() -> None:
            async for said in world.gateway.orders():
                told.append(said.status)

        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        result = await world.gateway.submit_order(RESTING, CONTEXT, 1.0, wait_for="ack")
        await asyncio.sleep(3 * UNKNOWN_AFTER_S)
        reading.cancel()
        kinds = [entry.kind for entry in world.simulator.ledger]
        return result, kinds, told[-1], await world.gateway.get_open_orders()

    result, kinds, last_word, open_orders = prove(scenario)

    assert (result.status, result.cancel_confirmed) == (OrderStatus.TIMEOUT, False)
    assert kinds == ["place", "cancel"]
    assert last_word is OrderStatus.TIMEOUT
    assert open_orders == []
