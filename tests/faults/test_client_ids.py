"""A client id that somebody else holds (CON-8)."""

from __future__ import annotations

import asyncio

import pytest

from supervision import OrderStatus
from supervision.config.sections import StrategyC
from tests.worlds import CONTEXT, ProofWorld, a_config, buy, prove

SAME_ID_RETRIES = 3
RESTING_PRICE = 590.0


@pytest.mark.req("CON-8")
def test_an_id_that_becomes_free_in_time_is_kept() -> None:
    async def scenario(world: ProofWorld) -> None:
        world.simulator.faults.client_id_taken(1, times=SAME_ID_RETRIES)

        await world.gateway.connect()

        assert tuple(world.simulator.client_ids()) == (1,)
        assert OrderStatus.FILLED is (await world.gateway.submit_order(buy(), CONTEXT)).status

    prove(scenario, connect=False)


@pytest.mark.req("CON-8")
def test_under_a_fallback_id_nothing_is_opened_and_everything_can_be_closed() -> None:
    async def scenario(world: ProofWorld) -> None:
        bought = await world.gateway.submit_order(buy(), CONTEXT)
        world.simulator.faults.client_id_taken(1, times=100)
        world.simulator.faults.drop_connections()
        await world.until(lambda: bool(world.gateway.liquidation_reports))
        await world.gateway.rearm("a test", "the liquidation is over")
        opening = await world.gateway.submit_order(buy(), CONTEXT)

        assert OrderStatus.FILLED is bought.status
        assert tuple(world.simulator.client_ids()) == (2,)
        assert world.gateway.liquidation_reports[0].flat
        assert not world.simulator.positions()
        assert "global_cancel" not in [
            entry.kind for entry in world.simulator.ledger
        ]  # nothing worked
        assert OrderStatus.REJECTED is opening.status
        assert "fallback id 2" in str(opening.rejection_reason)

    prove(scenario)


@pytest.mark.req("CON-8", "STC-2", "STC-6")
def test_under_a_fallback_id_working_orders_of_the_first_id_do_not_hold_up_the_liquidation() -> (
    None
):
    async def scenario(world: ProofWorld) -> None:
        await world.gateway.submit_order(buy(), CONTEXT)
        resting = buy(order_type="LMT", limit_price=RESTING_PRICE)
        await world.gateway.submit_order(resting, CONTEXT, wait_for="ack")
        world.simulator.faults.client_id_taken(1, times=100)
        world.simulator.faults.drop_connections()

        await world.until(lambda: bool(world.gateway.liquidation_reports))

        assert tuple(world.simulator.client_ids()) == (2,)
        assert world.gateway.liquidation_reports[0].flat
        assert world.simulator.positions() == {}
        assert world.simulator.open_orders() == ()

    prove(scenario)


@pytest.mark.req("CON-8", "ORD-8")
def test_under_a_fallback_id_an_error_is_never_taken_for_one_of_an_order_of_the_first_id() -> None:
    async def scenario(world: ProofWorld) -> None:
        resting = buy(order_type="LMT", limit_price=RESTING_PRICE)
        working = await world.gateway.submit_order(resting, CONTEXT, wait_for="ack")
        world.simulator.faults.client_id_taken(1, times=100)
        world.simulator.faults.drop_connections()
        await world.until(lambda: tuple(world.simulator.client_ids()) == (2,))
        await world.until(lambda: world.gateway.is_connected)

        world.simulator.faults.send_error(201, "Order rejected", working.ibkr_order_id or 0)
        await asyncio.sleep(1.0)

        assert [order.status for order in await world.gateway.get_open_orders()] == [
            OrderStatus.PENDING
        ]

    prove(scenario, config=a_config(strategy_c=StrategyC(grace_seconds=60.0)))
