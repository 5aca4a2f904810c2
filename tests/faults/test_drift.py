"""What a healthy link loses without a word is found on a timer, and orders do not suffer from the looking (POS-4)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.messages.addresses import CONNECTION, EXECUTOR
from actors.messages.connection import RequestReconciliation
from actors.model.orders import OrderStatus
from supervision.config.sections import Orders, Positions, StrategyC
from tests.worlds import CONTEXT, ProofWorld, a_config, buy, prove

INTERVAL_S = 30.0
CONFIG = a_config(
    positions=Positions(reconcile_interval_s=INTERVAL_S), strategy_c=StrategyC(grace_seconds=60.0)
)
SLOW_S = 0.1
"""So long the gateway takes for each answer: the broker's state takes several."""


@pytest.mark.req("POS-4")
def test_a_position_that_changed_without_a_word_is_taken_over_and_the_drift_is_reported() -> None:
    drifts: list[str] = []

    def log(event: str, **fields: Any) -> None:
        if event == "reconciled" and fields["level"] == "WARNING":
            drifts.append(f"{fields['actor']}: {fields['difference']}")

    async def scenario(world: ProofWorld) -> None:
        await world.gateway.submit_order(buy(10), CONTEXT)
        world.simulator.faults.silence()
        world.simulator.faults.trade_elsewhere("SPY", 5)
        world.simulator.faults.speak()
        (before,) = await world.gateway.get_positions()
        await asyncio.sleep(INTERVAL_S + 1.0)
        (after,) = await world.gateway.get_positions()

        assert (before.quantity, after.quantity) == (10, 15)
        assert world.gateway.is_connected

    prove(scenario, config=CONFIG, log=log)

    assert any("ledger 10, broker 15" in drift for drift in drifts)


@pytest.mark.req("POS-4", "CON-11")
def test_an_order_that_comes_while_a_healthy_session_is_reconciled_waits_instead_of_being_refused() -> (
    None
):
    async def scenario(world: ProofWorld) -> None:
        await world.gateway.submit_order(buy(1), CONTEXT)
        world.simulator.faults.latency(SLOW_S)
        results = []
        for pause_s in (0.0, 0.01, SLOW_S, 3 * SLOW_S):
            world.process.tell(CONNECTION, RequestReconciliation(sender=EXECUTOR))
            await asyncio.sleep(pause_s)
            results.append(await world.gateway.submit_order(buy(1), CONTEXT))

        assert [result.status for result in results] == [OrderStatus.FILLED] * 4
        assert len(world.simulator.ledger) == 5

    prove(scenario, config=a_config(orders=Orders(permit_ttl_s=5.0)))


@pytest.mark.req("CON-11", "ORD-3")
def test_an_order_that_waits_for_the_gate_is_not_sent_when_the_link_is_lost_meanwhile() -> None:
    async def scenario(world: ProofWorld) -> None:
        await world.gateway.submit_order(buy(1), CONTEXT)
        world.simulator.faults.ignore_requests("reqPositions")
        world.process.tell(CONNECTION, RequestReconciliation(sender=EXECUTOR))
        await asyncio.sleep(0.1)
        waiting = asyncio.create_task(world.gateway.submit_order(buy(1), CONTEXT))
        await asyncio.sleep(0.1)
        world.simulator.faults.answer_requests("reqPositions")
        world.simulator.faults.drop_connections()

        result = await waiting

        assert result.status is OrderStatus.REJECTED
        assert len([entry for entry in world.simulator.ledger if entry.kind == "place"]) == 1

    prove(scenario, config=CONFIG)
