"""A gateway whose pages are served, and what its log said: for the tests of metrics and health over HTTP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx

from actors.model.orders import ExecutionMode
from supervision import Config, IBKRGateway
from supervision.config.sections import Observability
from supervision.process import build_process
from supervision.process.handle import Process
from supervision.simulator import ThreadedSimulator
from tests.worlds import SIMULATED, a_config

PATIENCE_S = 20.0


class Events(list[tuple[str, dict[str, object]]]):
    """An event log that keeps everything."""

    def __call__(
        self,
        event: str,
        *,
        level: str = "INFO",
        correlation_id: str | None = None,
        **fields: object,
    ) -> None:
        self.append((event, {"level": level, "correlation_id": correlation_id, **fields}))

    def of(self, event: str) -> list[dict[str, object]]:
        """The fields of each event of this name."""
        return [fields for name, fields in self if name == event]


@attrs.frozen
class Observed:
    """A gateway, the gateway of the broker behind it, its events, and a client of its pages."""

    gateway: IBKRGateway
    simulator: ThreadedSimulator
    events: Events
    client: httpx.AsyncClient

    @property
    def process(self) -> Process:
        """The handle of the tree."""
        return self.gateway.process

    def url(self, page: str) -> str:
        """Where a page is, from what the log said."""
        (pages,) = self.events.of("pages_served")
        name, tail = ("metrics", "/metrics") if page == "/metrics" else ("health", "/health/ready")
        return str(pages[name]).removesuffix(tail) + page

    async def get(self, page: str) -> httpx.Response:
        """Read a page."""
        return await self.client.get(self.url(page))

    async def metric(self, series: str) -> float:
        """Read one series of the metrics, as it is written there."""
        lines = (await self.get("/metrics")).text.splitlines()
        (found,) = (line for line in lines if line.startswith(series + " "))
        return float(found.rpartition(" ")[2])

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0.005)

    async def until_ready(self, status: str) -> dict[str, Any]:
        """Wait until readiness says ``status``; give all that it says."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = await self.get("/health/ready")
                body: dict[str, Any] = answer.json()
                assert answer.status_code == (200 if body["status"] == "ready" else 503)
                if body["status"] == status:
                    return body
                await asyncio.sleep(0.02)


@asynccontextmanager
async def observed(
    state_dir: Path, *, connect: bool = True, pages: Observability | None = None, **sections: Any
) -> AsyncIterator[Observed]:
    """Set up a real world whose pages are served on free ports."""
    simulator = ThreadedSimulator(SIMULATED)
    port = simulator.start()
    events = Events()
    served = pages or Observability(embedded=True, metrics_port=0, health_port=0)
    config = a_config(observability=served, **sections)
    config = attrs.evolve(
        config,
        general=attrs.evolve(config.general, state_dir=str(state_dir)),
        gateway=attrs.evolve(config.gateway, endpoint="external", port=port),
    )

    def make(config: Config, mode: ExecutionMode, operator_id: str, consults: bool) -> Process:
        return build_process(
            config, mode=mode, operator_id=operator_id, has_risk_manager=consults, log=events
        )

    gateway = IBKRGateway(config, mode="paper", process=make)
    try:
        async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as client:
            world = Observed(gateway, simulator, events, client)
            if connect:
                await gateway.connect()
            yield world
    finally:
        await gateway.disconnect()
        simulator.stop()


def taken_port() -> tuple[socket.socket, int]:
    """Take a port, so that nobody else can."""
    sock = socket.create_server(("127.0.0.1", 0))
    return sock, sock.getsockname()[1]
