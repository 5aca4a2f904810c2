"""With threads, sockets and a real journal: a disk that is full or takes 6 s for a commit keeps no position open."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import attrs
import pytest

from actors.errors import GatewayError
from actors.model.orders import ExecutionMode, OrderStatus
from supervision import IBKRGateway
from supervision.config.sections import Config, Journal
from supervision.process import build_process
from supervision.process.handle import Process
from supervision.simulator import Simulator, ThreadedSimulator
from supervision.store.journal_lock import JOURNAL_FILE
from tests.troubled_disk import FULL, Disk
from tests.worlds import CONTEXT, SIMULATED, a_config, buy

FLAT_WITHIN_S = 20.0
WRITTEN_WITHIN_S = 15.0


@asynccontextmanager
async def on_disk(path: Path, disk: Disk) -> AsyncIterator[tuple[IBKRGateway, ThreadedSimulator]]:
    """Run a gateway whose journal lies on a disk that can be troubled."""

    def make(config: Config, mode: ExecutionMode, operator_id: str, consults: bool) -> Process:
        return build_process(
            config,
            mode=mode,
            operator_id=operator_id,
            has_risk_manager=consults,
            open_journal=disk.open_file,
        )

    simulator = ThreadedSimulator(SIMULATED)
    port = simulator.start()
    base = a_config(journal=Journal())
    config = attrs.evolve(
        base,
        general=attrs.evolve(base.general, state_dir=str(path)),
        gateway=attrs.evolve(base.gateway, endpoint="external", port=port),
    )
    gateway = IBKRGateway(config, mode="paper", process=make)
    try:
        await gateway.connect()
        yield gateway, simulator
    finally:
        disk.heal()
        await gateway.disconnect()
        simulator.stop()


def held(simulator: ThreadedSimulator) -> dict[int, float]:
    """What the broker holds."""

    def read(inner: Simulator) -> dict[int, float]:
        positions = inner.positions().items()
        return {con_id: item.quantity for con_id, item in positions if item.quantity}

    return simulator.call(read)


def states(path: Path) -> set[str]:
    """The newest state of each order of the journal."""
    with sqlite3.connect(path / JOURNAL_FILE) as reader:
        rows = reader.execute(
            "SELECT i.order_ref, (SELECT state FROM transitions t WHERE t.order_ref = i.order_ref"
            " ORDER BY seq DESC LIMIT 1) FROM intents i WHERE i.purpose = 'close'"
        )
        return {str(state) for _, state in rows}


@pytest.mark.req("STC-2", "DB-4")
@pytest.mark.parametrize("how", ["full", "6 s"])
def test_a_liquidation_gets_flat_and_is_written_down_when_the_disk_is_well(
    tmp_path: Path, how: str
) -> None:
    asyncio.run(_gets_flat(tmp_path, how))


async def _gets_flat(tmp_path: Path, how: str) -> None:
    disk = Disk()
    async with on_disk(tmp_path, disk) as (gateway, simulator):
        bought = await gateway.submit_order(buy(10.0), CONTEXT)
        assert bought.status is OrderStatus.FILLED, bought
        if how == "full":
            disk.refuses = FULL
        else:
            disk.slow_s = 6.0

        with suppress(GatewayError):
            await gateway.liquidate("a test", timeout=0.5)
        async with asyncio.timeout(FLAT_WITHIN_S):
            while held(simulator):
                await asyncio.sleep(0.05)

        disk.heal()
        async with asyncio.timeout(WRITTEN_WITHIN_S):
            while "FILLED" not in states(tmp_path):
                await asyncio.sleep(0.1)
        assert states(tmp_path) <= {"FILLED", "FAILED"}
        restarts = {actor.name: actor.restarts for actor in gateway.process.tree.status()}
        assert not any(restarts.values()), restarts
