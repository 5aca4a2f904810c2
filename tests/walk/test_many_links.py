"""Ten links in one process, and no more (CON-12)."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import attrs
import pytest

from actors.errors import TooManyLinksError
from actors.model.orders import ExecutionMode
from supervision import Config, IBKRGateway
from supervision.process import build_proof_process
from supervision.process.handle import Process
from supervision.proof.loop import Proof, run_proof
from supervision.simulator import Simulator, SimulatorConfig
from tests.worlds import a_config

MOST = 10


def _gateway(proof: Proof, simulator: Simulator, client_id: int) -> IBKRGateway:
    def make(config: Config, mode: ExecutionMode, operator_id: str, consults: bool) -> Process:
        return build_proof_process(
            config,
            loop=proof.loop,
            seed=proof.seed + client_id,
            simulator=simulator,
            mode=mode,
            operator_id=operator_id,
            has_risk_manager=consults,
        )

    config = a_config()
    section = attrs.evolve(config.gateway, client_id=client_id)
    return IBKRGateway(attrs.evolve(config, gateway=section), mode="paper", process=make)


@pytest.mark.req("CON-12")
def test_the_eleventh_link_of_a_process_is_refused_until_another_one_leaves() -> None:
    async def scenario(proof: Proof) -> None:
        simulator = Simulator(SimulatorConfig(seed=7), now=proof.clock.now)
        await simulator.start()
        async with AsyncExitStack() as open_ones:
            links = [_gateway(proof, simulator, number + 1) for number in range(MOST + 1)]
            for link in links:
                open_ones.push_async_callback(link.disconnect)
            await asyncio.gather(*(link.connect() for link in links[:MOST]))
            assert len(simulator.client_ids()) == MOST

            with pytest.raises(TooManyLinksError, match=r"10 links open.*disconnect one first"):
                await links[MOST].connect()
            assert len(simulator.client_ids()) == MOST
            assert all(link.is_connected for link in links[:MOST])

            await links[0].disconnect()
            await links[MOST].connect()
            assert await links[MOST].verify_connection()
            assert len(simulator.client_ids()) == MOST
        await simulator.stop()

    run_proof(scenario, seed=1)
