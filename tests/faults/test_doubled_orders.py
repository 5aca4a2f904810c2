"""More than one live order under one reference: an alarm, and the extra one is cancelled (PEERS 10)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.messages.addresses import CONNECTION, EXECUTOR
from actors.messages.connection import RequestReconciliation
from supervision import IBKRGateway, OrderStatus
from supervision.proof.loop import Proof, run_proof
from supervision.simulator import Simulator
from tests.restarts import processes_of
from tests.worlds import CONTEXT, SIMULATED, ProofWorld, a_config, buy, prove


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


@pytest.mark.req("ORD-9", "CON-11")
@pytest.mark.parametrize("is_journaled", [True, False], ids=["known", "adopted"])
def test_the_next_process_cancels_an_extra_order_that_appeared_before_it_was_there(
    is_journaled: bool,
) -> None:
    alarms = Alarms()

    async def scenario(proof: Proof) -> None:
        simulator = Simulator(SIMULATED, now=proof.clock.now)
        await simulator.start()
        first, second = (processes_of(proof, simulator, alarms) for _ in range(2))
        async with IBKRGateway(a_config(), mode="paper", process=first) as gateway:
            order_id, perm_id = await a_working_order(ProofWorld(proof, gateway, simulator))
        simulator.faults.double_order(perm_id)

        after = first if is_journaled else second
        async with IBKRGateway(a_config(), mode="paper", process=after) as gateway:
            await asyncio.sleep(1.0)

            assert [order.perm_id for order in simulator.open_orders()] == [perm_id]
            (known,) = await gateway.get_open_orders()
            assert (known.order_id, known.status) == (order_id, OrderStatus.PENDING)
        await simulator.stop()

    run_proof(scenario, seed=1)

    assert alarms == ["order_doubled"]
