"""From the loss of the link to flat, on a busy day and on a quiet one, in one run (STC-12).

Ten positions at the simulated gateway, over its socket, in paper mode with the durable journal and the limits as
shipped. Busy: a hundred symbols stream by snapshots, and 6,500 executions of the day are listed. From the drop of every
connection to the arrival of the last close lie the reconnection, one read of the broker's state, and what Strategy C
does.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from statistics import median
from time import perf_counter_ns

import attrs

from supervision import IBKRGateway
from supervision.config.sections import Journal
from tests.benchmarks.server import Server
from tests.benchmarks.table import Row
from tests.worlds import a_config

ROUNDS = 3
HELD = 10
STREAMED = 100
OF_THE_DAY = 6_500
AIM = 2.0
WAIT_S = 60.0
WARM_S = 8.0
"""A hundred symbols have had their first quote by then, and take turns."""


async def measure(core: int | None, state_dir: Path) -> list[Row]:
    """Take turns, so that what else the machine does hits both."""
    took: dict[bool, list[float]] = {False: [], True: []}
    for number in range(ROUNDS):
        for is_busy, kept in took.items():
            folder = state_dir / f"{number}-{is_busy}"
            kept.append(await _drop_to_flat_ms(core, folder, is_busy=is_busy))
    quiet, busy = median(took[False]), median(took[True])
    return [
        Row(
            what=f"link dropped → {HELD} positions flat, {STREAMED} streams and {OF_THE_DAY} executions",
            unit="ms",
            ours=busy,
            floor=quiet,
            aim=AIM,
            note=f"medians of {ROUNDS}; the floor is the quiet case",
        )
    ]


async def _drop_to_flat_ms(core: int | None, folder: Path, *, is_busy: bool) -> float:
    with Server(core, extra_symbols=STREAMED) as server:
        await asyncio.to_thread(server.trade, OF_THE_DAY if is_busy else 0, HELD)
        async with _gateway(server.port, folder) as gateway:
            streaming = asyncio.create_task(_stream(gateway)) if is_busy else None
            await asyncio.sleep(WARM_S)
            server.arrivals()
            began_ns = perf_counter_ns()
            await asyncio.to_thread(server.drop)
            closes: dict[str, int] = {}
            async with asyncio.timeout(WAIT_S):
                while len(closes) < HELD:
                    await asyncio.sleep(0.05)
                    closes |= await asyncio.to_thread(server.arrivals)
            if streaming is not None:
                streaming.cancel()
    assert all(":CLOSE_" in reference for reference in closes), closes
    return (max(closes.values()) - began_ns) / 1e6


async def _stream(gateway: IBKRGateway) -> None:
    symbols = [f"SYM{number:03d}" for number in range(1, STREAMED + 1)]
    async for _ in await gateway.subscribe_quotes(symbols):
        pass


def _gateway(port: int, state_dir: Path) -> IBKRGateway:
    config = a_config(journal=Journal(enabled=True))
    return IBKRGateway(
        attrs.evolve(
            config,
            general=attrs.evolve(config.general, state_dir=str(state_dir)),
            gateway=attrs.evolve(config.gateway, endpoint="external", port=port),
        ),
        mode="paper",
    )
