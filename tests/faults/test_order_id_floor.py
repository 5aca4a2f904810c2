"""No order id is used twice, whatever the gateway says its next one is: after a kill, a restart, a rollback (D15)."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from actors.kernel.addresses import TapRecord
from actors.messages.addresses import LINK
from actors.messages.orders import OrderSent
from actors.model.orders import ExecutionMode, OrderStatus
from supervision import IBKRGateway
from supervision.config.sections import Config, GatewayConfig, StrategyC
from supervision.process import build_proof_process
from supervision.process.handle import Process
from supervision.proof.loop import Proof, run_proof
from supervision.simulator import Simulator, SimulatorConfig
from supervision.store.volatile_journal import VolatileJournalActor
from supervision.store.volatile_store import VolatileStore
from tests.faults.crash import crash
from tests.worlds import CONTEXT, a_config, buy

CALM = a_config(strategy_c=StrategyC(grace_seconds=3600.0))
LIMIT = 560.0
"""Below the market: the order works and never fills."""


@asynccontextmanager
async def _gateway(
    proof: Proof, simulator: Simulator, store: VolatileStore, config: Config = CALM
) -> AsyncIterator[IBKRGateway]:
    def make(config: Config, mode: ExecutionMode, operator_id: str, consults: bool) -> Process:
        return build_proof_process(
            config,
            loop=proof.loop,
            seed=proof.seed + simulator.port,
            simulator=simulator,
            mode=mode,
            operator_id=operator_id,
            has_risk_manager=consults,
            journal=lambda context: VolatileJournalActor(context, store),
        )

    gateway = IBKRGateway(config, mode="paper", process=make)
    try:
        await gateway.connect()
        yield gateway
    finally:
        await gateway.disconnect()


@asynccontextmanager
async def _fresh_gateway_program(proof: Proof, port: int = 0) -> AsyncIterator[Simulator]:
    """Start a gateway that remembers nothing, so that it says 1 is the next order id."""
    simulator = Simulator(SimulatorConfig(seed=7, port=port), now=proof.clock.now)
    await simulator.start()
    try:
        yield simulator
    finally:
        await simulator.stop()


async def _order(gateway: IBKRGateway) -> None:
    told = await gateway.submit_order(
        buy(1.0, order_type="LMT", limit_price=LIMIT), CONTEXT, wait_for="ack"
    )
    assert told.status is OrderStatus.PENDING, told.rejection_reason


class _Disk:
    """What a kill -9 at the moment when an order's bytes are written leaves of the journal."""

    def __init__(self, store: VolatileStore) -> None:
        self.store = store
        self.left: list[tuple[int, VolatileStore]] = []

    def __call__(self, record: TapRecord) -> None:
        """The gate's answer is under way: the bytes are written, and nothing of it is in the journal."""
        if type(record.message) is OrderSent:
            self.left.append((record.message.broker_order_id, copy.deepcopy(self.store)))


@pytest.mark.req("ORD-9")
@pytest.mark.parametrize("client_id", [1, 7])
def test_a_kill_between_the_bytes_and_their_note_uses_no_id_again(client_id: int) -> None:
    config = a_config(
        strategy_c=StrategyC(grace_seconds=3600.0), gateway=GatewayConfig(client_id=client_id)
    )

    async def scenario(proof: Proof) -> list[tuple[int, int]]:
        store, found = VolatileStore(), []
        disk = _Disk(store)
        async with (
            _fresh_gateway_program(proof) as simulator,
            _gateway(proof, simulator, store, config) as gateway,
        ):
            gateway.process.tap(disk)
            for _ in range(4):
                await _order(gateway)
        for used, left in disk.left:
            async with (
                _fresh_gateway_program(proof) as simulator,
                _gateway(proof, simulator, left, config) as gateway,
            ):
                await asyncio.sleep(120.0)  # what became of the order is given up as LOST
                await _order(gateway)
                found.append((used, simulator.ledger[-1].order_id))
        return found

    found = run_proof(scenario, seed=1)

    assert [used for used, _ in found] == [1, 2, 3, 4]
    assert all(after > used for used, after in found), found


@pytest.mark.req("ORD-9")
def test_a_floor_that_was_reckoned_after_a_kill_is_kept_after_the_next_one() -> None:
    async def scenario(proof: Proof) -> tuple[int, int]:
        store = VolatileStore()
        disk = _Disk(store)
        async with (
            _fresh_gateway_program(proof) as simulator,
            _gateway(proof, simulator, store) as gateway,
        ):
            gateway.process.tap(disk)
            await _order(gateway)
        used, left = disk.left[0]
        for _ in range(
            2
        ):  # the first one gives the order up, so that only the floor speaks of its id
            async with (
                _fresh_gateway_program(proof) as simulator,
                _gateway(proof, simulator, left) as gateway,
            ):
                await asyncio.sleep(120.0)
        async with (
            _fresh_gateway_program(proof) as simulator,
            _gateway(proof, simulator, left) as gateway,
        ):
            await _order(gateway)
            return used, simulator.ledger[-1].order_id

    used, after = run_proof(scenario, seed=1)

    assert after > used


@pytest.mark.req("ORD-9")
@pytest.mark.parametrize("failing", [LINK, None])
def test_a_gateway_that_was_rolled_back_under_us_gets_no_id_twice(failing: str | None) -> None:
    """The gateway program is replaced by one that says 1; with it the link may be a new one, too."""

    async def scenario(proof: Proof) -> tuple[list[int], list[int]]:
        store = VolatileStore()
        async with (
            _fresh_gateway_program(proof) as simulator,
            _gateway(proof, simulator, store) as gateway,
        ):
            for _ in range(3):
                await _order(gateway)
            before = [entry.order_id for entry in simulator.ledger]
            if failing is not None:
                crash(gateway.process, failing)
            await simulator.stop()
            async with _fresh_gateway_program(proof, simulator.port) as rolled_back:
                await _connected(gateway)
                await asyncio.sleep(120.0)
                await _order(gateway)
                return before, [entry.order_id for entry in rolled_back.ledger]

    before, after = run_proof(scenario, seed=1)

    assert before == [1, 2, 3]
    assert min(after) > max(before)


async def _connected(gateway: Any) -> None:
    for _ in range(600):
        await asyncio.sleep(0.1)
        if gateway.is_connected:
            return
    raise AssertionError("the link did not come back")
