"""How fast and how often the whole tree connects over loopback, with threads, sockets and real time (CON-3)."""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path

import attrs
import pytest

from actors.messages.addresses import CONNECTION
from actors.messages.connection import Connect, Connected, Disconnect
from supervision import IBKRGateway
from tests.benchmarks.server import Server
from tests.worlds import a_config

P95_MS = 250.0
LEAST_PER_MINUTE = 60.0
LIMIT_S = 30.0
"""What one connection may take (CON-3)."""


@attrs.frozen
class Connections:
    """What was measured: the milliseconds of each connection, and the seconds of all, with the leaving in between."""

    taken_ms: list[float]
    took_s: float

    def percentile(self, percent: float) -> float:
        """Give the time within which so many of a hundred connected (nearest rank)."""
        ordered = sorted(self.taken_ms)
        return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]

    @property
    def per_minute(self) -> float:
        """How many connections a minute were made."""
        return 60.0 * len(self.taken_ms) / self.took_s

    def __str__(self) -> str:
        """Say everything in one line."""
        p50, p95, p99 = (self.percentile(percent) for percent in (50, 95, 99))
        return (
            f"{len(self.taken_ms)} connections: p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms, "
            f"{self.per_minute:.0f} a minute"
        )


async def _connect_again_and_again(gateway: IBKRGateway, count: int) -> Connections:
    """Connect until everything is reconciled and market data is proved, then leave in order."""
    tree, taken_ms = gateway.process.tree, []
    began_at = time.perf_counter()
    for _ in range(count):
        await tree.ask_async(
            CONNECTION,
            lambda id_, deadline, reply_to: Disconnect(
                correlation_id=id_, deadline=deadline, reply_to=reply_to
            ),
            LIMIT_S,
        )
        asked_at = time.perf_counter()
        reply = await tree.ask_async(
            CONNECTION,
            lambda id_, deadline, reply_to: Connect(
                correlation_id=id_, deadline=deadline, reply_to=reply_to
            ),
            LIMIT_S,
        )
        assert isinstance(reply, Connected), reply
        taken_ms.append((time.perf_counter() - asked_at) * 1000)
    return Connections(taken_ms, time.perf_counter() - began_at)


@pytest.mark.req("CON-3")
@pytest.mark.timeout(600)
def test_connecting_is_fast_and_often(tmp_path: Path, connections: int) -> None:
    """The gateway is a process of its own; each connection is a new socket, a new session, a whole reconciliation."""

    async def scenario(port: int) -> Connections:
        config = a_config()
        config = attrs.evolve(
            config,
            general=attrs.evolve(config.general, state_dir=str(tmp_path)),
            gateway=attrs.evolve(config.gateway, endpoint="external", port=port),
        )
        async with IBKRGateway(config, mode="paper") as gateway:
            return await _connect_again_and_again(gateway, connections)

    with Server(None, busy=False) as server:
        found = asyncio.run(scenario(server.port))

    print(f"\n{found}")
    assert found.percentile(95) < P95_MS, found
    assert found.per_minute >= LEAST_PER_MINUTE, found
