"""A simulated gateway with a link connected to nothing yet, in one loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from actors.link.settings import LinkSettings
from supervision.proof.loop import Proof, run_proof
from supervision.simulator import Limits, Simulator, SimulatorConfig

from .driver import LinkDriver


def run(scenario: Callable[[], Coroutine[Any, Any, None]], timeout_s: float = 60.0) -> None:
    """Run a scenario on a loop with virtual time: what the machine does besides matters to nothing."""

    async def bounded(_: Proof) -> None:
        await asyncio.wait_for(scenario(), timeout_s)

    run_proof(bounded, seed=1)


@asynccontextmanager
async def world(
    settings: LinkSettings | None = None, **config: Any
) -> AsyncIterator[tuple[LinkDriver, Simulator]]:
    """Start a gateway and a link; both end with the test."""
    simulator = Simulator(SimulatorConfig(**({"margin_check": False} | config)))
    await simulator.start()
    driver = LinkDriver(settings)
    try:
        yield driver, simulator
        failures = [report for report in driver.reports if type(report).__name__ == "ActorFailed"]
        assert not failures, failures
    finally:
        driver.actor.abandoned()
        await simulator.stop()
        await asyncio.sleep(0.01)


UNLIMITED = Limits(messages_per_second=0)
"""A gateway that does not mind how many messages come."""
