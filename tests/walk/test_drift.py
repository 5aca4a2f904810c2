"""Somebody else trades on the account: positions are compared with the broker, and the broker wins (POS-4)."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from actors.messages.connection import RequestReconciliation
from actors.model.orders import OrderStatus
from supervision.config.sections import Positions
from tests.walk.watching import tapped
from tests.worlds import CONTEXT, LENIENT, ProofWorld, a_config, buy, prove, sell

HELD = 10.0
BY_HAND = -4.0
SPY_ID = "SPY_756733"
NO_SHORTS = a_config(risk=attrs.evolve(LENIENT, allow_short=False))


async def hold(world: ProofWorld) -> None:
    """Hold a position, long enough ago that its own news have settled."""
    assert (await world.gateway.submit_order(buy(HELD), CONTEXT)).status is OrderStatus.FILLED
    await asyncio.sleep(10.0)


@pytest.mark.req("POS-4", "RSK-4")
def test_a_trade_by_hand_is_noticed_and_closes_are_sized_by_it() -> None:
    async def scenario(world: ProofWorld) -> Any:
        await hold(world)
        world.simulator.faults.trade_elsewhere("SPY", BY_HAND)
        await asyncio.sleep(5.0)

        refused = await world.gateway.submit_order(sell(HELD), CONTEXT)
        closed = await world.gateway.close_position(SPY_ID, "MANUAL")
        return refused, closed, world.simulator.positions()

    refused, closed, left = prove(scenario, config=NO_SHORTS)

    assert refused.status is OrderStatus.REJECTED
    assert "short selling" in (refused.rejection_reason or "")
    assert (closed.status, closed.fill_quantity) == (OrderStatus.FILLED, HELD + BY_HAND)
    assert left == {}


@pytest.mark.req("POS-4")
def test_trades_of_our_own_ask_for_no_reconciliation() -> None:
    async def scenario(world: ProofWorld) -> list[Any]:
        await asyncio.sleep(10.0)
        asked = tapped(world.process, RequestReconciliation)
        for _ in range(5):
            await world.gateway.submit_order(buy(HELD), CONTEXT)
        await world.gateway.close_all_positions("MANUAL")
        await asyncio.sleep(10.0)
        return asked

    assert prove(scenario) == []


@pytest.mark.req("POS-4")
def test_positions_are_compared_on_a_timer_too() -> None:
    async def scenario(world: ProofWorld) -> int:
        await hold(world)
        asked = tapped(world.process, RequestReconciliation)
        await asyncio.sleep(100.0)
        return len(asked)

    every = a_config(positions=Positions(reconcile_interval_s=30.0))

    assert prove(scenario, config=every) == 3
