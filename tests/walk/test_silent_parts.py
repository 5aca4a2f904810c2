"""A gateway that does not end an answer: the session comes up for closing, says so, and heals (D23, CON-16)."""

from __future__ import annotations

import asyncio

import pytest

from actors.messages.addresses import CONNECTION, RISK
from actors.messages.connection import (
    ConnectionStateChanged,
    ConnectionStatus,
    GetConnectionStatus,
    ReadBrokerState,
    Reconcile,
    RequestReconciliation,
)
from actors.messages.risk import LatchChanged
from actors.model.connection import HealthLayer, LayerHealth, StatePart
from actors.model.orders import OrderStatus
from supervision.config.sections import Connection, Positions
from tests.walk.watching import tapped
from tests.worlds import CONTEXT, ProofWorld, a_config, buy, prove

DEFAULTS = Connection()
SILENT = {
    "reqExecutions": StatePart.EXECUTIONS,
    "reqCompletedOrders": StatePart.COMPLETED_ORDERS,
    "reqAccountUpdates": StatePart.ACCOUNT,
}
BUYS = 140


async def _broken_layers(world: ProofWorld) -> list[LayerHealth]:
    status = await world.gateway.ask(CONNECTION, GetConnectionStatus, ConnectionStatus, 5.0)
    return [layer for layer in status.layers if not layer.ok]


@pytest.mark.req("CON-16")
@pytest.mark.parametrize("ignored", SILENT)
def test_the_session_comes_up_for_closing_and_opens_when_the_silence_ends(ignored: str) -> None:
    part = SILENT[ignored]

    async def scenario(world: ProofWorld) -> None:
        faults, gateway = world.simulator.faults, world.gateway
        faults.trade_elsewhere("SPY", 10)
        faults.ignore_requests(ignored)
        await gateway.connect(60.0)
        status = await gateway.status()
        refused = await gateway.submit_order(buy(1.0), CONTEXT)
        (layer,) = await _broken_layers(world)

        assert status.connection == "CONNECTED"
        assert part in (status.last_error or "")
        assert (layer.layer, part in layer.detail) == (HealthLayer.RECONCILED, True)
        assert refused.status is OrderStatus.REJECTED
        assert part in (refused.rejection_reason or "")

        (position,) = await gateway.get_positions()
        closed = await gateway.close_position(position.position_id)
        assert closed.status is OrderStatus.FILLED, closed.rejection_reason

        faults.answer_requests()
        await asyncio.sleep(2 * DEFAULTS.read_again_s)
        healed = await gateway.status()
        bought = await gateway.submit_order(buy(1.0), CONTEXT)

        assert healed.last_error is None
        assert await _broken_layers(world) == []
        assert bought.status is OrderStatus.FILLED, bought.rejection_reason

    prove(scenario, config=a_config(), connect=False)


@pytest.mark.req("CON-16")
def test_all_three_may_be_silent_and_what_is_held_is_liquidated() -> None:
    async def scenario(world: ProofWorld) -> None:
        world.simulator.faults.trade_elsewhere("SPY", 10)
        world.simulator.faults.ignore_requests(*SILENT)
        await world.gateway.connect(60.0)
        await world.gateway.liquidate("a test")
        await world.until(lambda: not world.simulator.positions(), within_s=120.0)

    prove(scenario, config=a_config(), connect=False)


@pytest.mark.req("CON-16")
def test_a_busy_account_is_neither_a_fault_nor_a_disconnect() -> None:
    """Somebody buys all the time on a slow line, while positions are compared; when it rests, all agree again."""

    async def scenario(world: ProofWorld) -> None:
        seen = tapped(world.process, ConnectionStateChanged, LatchChanged)
        told = tapped(world.process, Reconcile)
        world.simulator.faults.latency(0.1)
        for _ in range(BUYS):
            world.simulator.faults.trade_elsewhere("SPY", 1)
            await asyncio.sleep(0.25)
        assert any(message.state.moving for message in told)

        await asyncio.sleep(60.0)
        (position,) = await world.gateway.get_positions()
        closed = await world.gateway.close_position(position.position_id)

        assert [each for each in seen if getattr(each, "latched", True)] == []
        assert position.quantity == BUYS
        assert told[-1].state.moving == ()
        assert closed.status is OrderStatus.FILLED, closed.rejection_reason

    prove(scenario, config=a_config(positions=Positions(reconcile_interval_s=5.0)))


@pytest.mark.req("CON-16", "STC-12")
def test_a_reconnection_asks_for_recent_executions_only_and_a_restarted_actor_for_all() -> None:
    async def scenario(world: ProofWorld) -> None:
        reads = tapped(world.process, ReadBrokerState)
        world.simulator.faults.trade_elsewhere("SPY", 1)
        await asyncio.sleep(1.5 * a_config().positions.reconcile_interval_s)
        before = len(reads)
        world.simulator.faults.drop_connections()
        await world.until(lambda: len(reads) > before)

        await asyncio.sleep(60.0)
        assert all(read.executions_since is not None for read in reads[before:])

        reads.clear()
        world.process.tell(CONNECTION, RequestReconciliation(sender=RISK, from_the_beginning=True))
        world.process.tell(CONNECTION, RequestReconciliation(sender=RISK))
        await world.until(lambda: len(reads) == 2)
        assert [read.executions_since is None for read in reads] == [True, False]

    prove(scenario)
