"""A cancel that the broker does not obey: the order must not stay behind unnoticed (ORD-6)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.model.orders import OrderStatus
from supervision.config.sections import Orders
from tests.worlds import CONTEXT, ProofWorld, a_config, buy, prove

AGAIN_S = 2.0
CONFIG = a_config(orders=Orders(cancel_again_after_s=AGAIN_S))
RESTING = buy(10, order_type="LMT", limit_price=590.0)


@pytest.mark.req("ORD-6", "ORD-8")
def test_the_cancel_of_a_remainder_that_the_broker_refuses_is_repeated_until_it_is_obeyed() -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.refuse_cancel(count=2)
        result = await world.gateway.submit_order(RESTING, CONTEXT, 3.0)
        await world.until(lambda: not world.simulator.open_orders(), 3 * AGAIN_S)
        kinds = [entry.kind for entry in world.simulator.ledger]
        return result, kinds, await world.gateway.get_open_orders()

    result, kinds, open_orders = prove(scenario, config=CONFIG)

    assert (result.status, result.cancel_confirmed) == (OrderStatus.TIMEOUT, False)
    assert kinds == ["place", "cancel", "cancel", "cancel"]
    assert open_orders == []


@pytest.mark.req("ORD-6")
def test_an_order_that_ends_by_itself_after_a_refused_cancel_is_not_cancelled_again() -> None:
    async def scenario(world: ProofWorld) -> list[str]:
        world.simulator.faults.refuse_cancel()
        await world.gateway.submit_order(RESTING, CONTEXT, 3.0)
        (order,) = world.simulator.open_orders()
        world.simulator.faults.fill(order.perm_id)
        await asyncio.sleep(3 * AGAIN_S)
        return [entry.kind for entry in world.simulator.ledger]

    assert prove(scenario, config=CONFIG) == ["place", "cancel"]
