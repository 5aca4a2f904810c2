"""What a restarted executor makes of the orders that its predecessor left at the broker."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from actors.messages.addresses import EXECUTOR
from supervision import OrderStatus
from tests.faults.crash import crash
from tests.worlds import CONTEXT, SIMULATED, ProofWorld, buy, prove

FAR_BELOW = 560.0
"""A limit that the market does not reach, within the price band of risk."""


@pytest.mark.req("ORD-6", "SUP-6")
def test_the_remainder_of_an_order_whose_caller_was_answered_does_not_stay_behind() -> None:
    async def scenario(world: ProofWorld) -> None:
        resting = asyncio.create_task(
            world.gateway.submit_order(
                buy(order_type="LMT", limit_price=FAR_BELOW), CONTEXT, wait_for="fill"
            )
        )
        await world.until(lambda: bool(world.simulator.open_orders()))

        crash(world.process, EXECUTOR)

        assert OrderStatus.UNKNOWN is (await resting).status
        await world.until(lambda: not world.simulator.open_orders())
        assert [entry.kind for entry in world.simulator.ledger] == ["place", "cancel"]

    prove(scenario)


@pytest.mark.req("ORD-6", "SUP-6")
def test_an_order_that_was_only_to_be_acknowledged_works_on() -> None:
    async def scenario(world: ProofWorld) -> None:
        acknowledged = await world.gateway.submit_order(
            buy(order_type="LMT", limit_price=FAR_BELOW), CONTEXT, wait_for="ack"
        )

        crash(world.process, EXECUTOR)
        await asyncio.sleep(5.0)

        assert OrderStatus.PENDING is acknowledged.status
        assert len(world.simulator.open_orders()) == 1
        open_orders = await world.gateway.get_open_orders()
        assert [acknowledged.order_id] == [order.order_id for order in open_orders]

    prove(scenario)


@pytest.mark.req("ORD-7", "SUP-6")
def test_what_was_paid_for_the_part_that_filled_before_the_restart_is_known_again() -> None:
    in_slices = attrs.evolve(SIMULATED, max_fill_quantity=4.0, slice_delay_s=1000.0)

    async def scenario(world: ProofWorld) -> None:
        await world.gateway.submit_order(buy(10), CONTEXT, wait_for="ack")
        await asyncio.sleep(5.0)
        (before,) = await world.gateway.get_open_orders()

        crash(world.process, EXECUTOR)
        await asyncio.sleep(5.0)

        (after,) = await world.gateway.get_open_orders()
        assert before.commission
        assert (after.fill_quantity, after.commission) == (4.0, before.commission)

    prove(scenario, simulated=in_slices)


@pytest.mark.req("ORD-7", "SUP-6")
def test_a_fill_that_comes_late_finds_an_order_that_had_ended_before_the_restart() -> None:
    async def scenario(world: ProofWorld) -> None:
        resting = buy(order_type="LMT", limit_price=FAR_BELOW)
        working = await world.gateway.submit_order(resting, CONTEXT, wait_for="ack")
        cancelled = await world.gateway.cancel_order(working.order_id)
        (order,) = world.simulator.orders()
        crash(world.process, EXECUTOR)
        await asyncio.sleep(1.0)
        stream = world.gateway.orders()

        world.simulator.faults.fill(order.perm_id)
        told = await anext(stream)

        assert OrderStatus.CANCELLED is cancelled.status
        assert told.order_id == working.order_id
        assert (told.status, told.fill_quantity) == (OrderStatus.FILLED, resting.quantity)

    prove(scenario)
