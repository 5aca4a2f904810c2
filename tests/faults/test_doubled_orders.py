"""More than one live order under one reference: an alarm, and the extra one is cancelled (PEERS 10)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.messages.addresses import CONNECTION, EXECUTOR
from actors.messages.connection import RequestReconciliation
from supervision import OrderStatus
from tests.worlds import CONTEXT, ProofWorld, buy, prove


class Alarms(list[str]):
    """The log, of which only what needs a person is kept."""

    def __call__(self, event: str, *, level: str = "INFO", **_: Any) -> None:
        """Take note of one line."""
        if level == "CRITICAL":
            self.append(event)


RESTING = buy(10, order_type="LMT", limit_price=590.0)
ANOTHER_CLIENT = 77


async def a_working_order(world: ProofWorld) -> tuple[str, int]:
    """Let an order rest; returns its id and its permId."""
    working = await world.gateway.submit_order(RESTING, CONTEXT, wait_for="ack")
    (order,) = world.simulator.open_orders()
    return working.order_id, order.perm_id


@pytest.mark.req("ORD-9")
def test_the_extra_order_is_cancelled_as_soon_as_it_is_heard_of_and_the_first_works_on() -> None:
    async def scenario(world: ProofWorld) -> None:
        order_id, perm_id = await a_working_order(world)

        double = world.simulator.faults.double_order(perm_id)
        await world.until(lambda: len(world.simulator.open_orders()) == 1)
        await asyncio.sleep(1.0)

        (left,) = world.simulator.open_orders()
        (known,) = await world.gateway.get_open_orders()
        assert left.perm_id == perm_id != double
        assert (known.order_id, known.status) == (order_id, OrderStatus.PENDING)
        cancelled = await world.gateway.cancel_order(order_id)
        assert cancelled.status is OrderStatus.CANCELLED
        assert world.simulator.open_orders() == ()

    prove(scenario)


@pytest.mark.req("ORD-9", "CON-11")
def test_an_extra_order_that_appears_while_we_are_away_is_found_at_the_reconciliation() -> None:
    alarms = Alarms()

    async def scenario(world: ProofWorld) -> None:
        _, perm_id = await a_working_order(world)
        world.simulator.faults.silence()
        world.simulator.faults.double_order(perm_id)
        world.simulator.faults.speak()

        world.process.tell(CONNECTION, RequestReconciliation(sender=EXECUTOR))
        await world.until(lambda: len(world.simulator.open_orders()) == 1)

        assert [order.perm_id for order in world.simulator.open_orders()] == [perm_id]

    prove(scenario, log=alarms)

    assert alarms == ["order_doubled"]


@pytest.mark.req("ORD-9")
def test_the_extra_order_of_another_client_is_an_alarm_and_its_id_is_not_taken_for_ours() -> None:
    alarms = Alarms()

    async def scenario(world: ProofWorld) -> None:
        _, perm_id = await a_working_order(world)
        world.simulator.faults.double_order(perm_id, ANOTHER_CLIENT)

        world.process.tell(CONNECTION, RequestReconciliation(sender=EXECUTOR))
        await asyncio.sleep(1.0)

        kinds = [entry.kind for entry in world.simulator.ledger]
        assert "cancel" not in kinds
        assert len(world.simulator.open_orders()) == 2
        assert alarms == ["order_doubled"]

    prove(scenario, log=alarms)
