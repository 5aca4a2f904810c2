"""A process that loses its link again and again, and says how much memory that took.

Run as ``python -m tests.faults.reconnections WARM_UP COUNT``; it prints one line of JSON. Journal, records and threads
are the product's; the simulated gateway lives in the same process, so its memory counts as well.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
from pathlib import Path

import psutil

from actors.kernel.addresses import TapRecord
from actors.messages.addresses import FACADE
from actors.messages.connection import ConnectionStateChanged
from supervision.config.sections import Connection, Database, Journal, Positions, StrategyC
from tests.worlds import RealWorld, a_config, real_world

CONFIG = a_config(
    connection=Connection(first_delay_s=0.001, max_delay_s=0.01, lasting_s=0.0),
    strategy_c=StrategyC(grace_seconds=3600.0, data_watch_every_s=60.0),
    positions=Positions(check_interval_s=3600.0),
    journal=Journal(),
    database=Database(),
)
BYTES_PER_MB = 1_000_000


def resident_mb() -> float:
    """Measure after the garbage is gone."""
    gc.collect()
    return psutil.Process().memory_info().rss / BYTES_PER_MB


async def reconnect(world: RealWorld, times: int) -> None:
    """Lose the link and win it back, so many times."""
    sessions = 0

    def count(record: TapRecord) -> None:
        nonlocal sessions
        message = record.message
        if type(message) is ConnectionStateChanged and record.recipient == FACADE:
            sessions += message.session_id is not None

    tap = world.process.tap(count)
    for number in range(times):
        world.simulator.faults.drop_connections()
        await world.until(lambda number=number: sessions > number, 30.0)  # type: ignore[misc]
    tap.cancel()


async def measure(warm_up: int, count: int) -> dict[str, float]:
    """Reconnect to warm up, then so many times more; tell the memory at either end."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as state_dir:
        async with real_world(Path(state_dir), config=CONFIG) as world:
            await reconnect(world, warm_up)
            before_mb = resident_mb()
            await reconnect(world, count)
            return {"before_mb": before_mb, "after_mb": resident_mb()}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(int(sys.argv[1]), int(sys.argv[2])))))
