"""What risk remembers of earlier days and processes: losses and day trades."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import pytest

from actors.kernel.addresses import TapRecord
from actors.messages.addresses import RISK
from actors.messages.connection import NothingToReconcile
from actors.messages.journal import ReadJournal
from actors.model.orders import OrderStatus
from supervision import Config, IBKRGateway
from supervision.proof.loop import Proof, run_proof
from supervision.simulator import Simulator, SimulatorConfig
from tests.faults.crash import crash
from tests.restarts import processes_of
from tests.worlds import CONTEXT, LENIENT, ProofWorld, a_config, buy, prove

BOLD = attrs.evolve(CONTEXT, risk_per_trade=1.0)
POOR = SimulatorConfig(seed=7, cash=20_000.0)
MODEST = SimulatorConfig(seed=7, cash=100_000.0)
PDT = a_config(risk=attrs.evolve(LENIENT, day_trades="pdt"))
STRICT = a_config(risk=attrs.evolve(LENIENT, daily_loss_ratio=0.05))
HELD = 100.0

Part = Callable[[ProofWorld], Awaitable[None]]


def two_processes(first: Part, second: Part, config: Config, simulated: SimulatorConfig) -> None:
    """Run one part in a process, and the other in the next on the same journal and the same broker."""

    async def scenario(proof: Proof) -> None:
        simulator = Simulator(simulated, now=proof.clock.now)
        await simulator.start()
        make = processes_of(proof, simulator)
        for part in (first, second):
            async with IBKRGateway(config, mode="paper", process=make) as gateway:
                await part(ProofWorld(proof, gateway, simulator))
        await simulator.stop()

    run_proof(scenario, seed=1)


async def trade_three_times(world: ProofWorld) -> None:
    """Open and close three times on one day, which the broker lists no more afterwards."""
    for _ in range(3):
        await world.gateway.submit_order(buy(1), CONTEXT)
        await world.gateway.close_all_positions("MANUAL")
    world.simulator.faults.unlist_executions()


async def refused_as_fourth(world: ProofWorld) -> None:
    """Nothing is opened that could become the fourth day trade."""
    refused = await world.gateway.submit_order(buy(1), CONTEXT)

    assert refused.status is OrderStatus.REJECTED
    assert "day trades (4) exceeds limit (3)" in (refused.rejection_reason or "")


@pytest.mark.req("RSK-1", "RSK-5", "SUP-6")
def test_day_trades_of_an_earlier_process_count() -> None:
    two_processes(trade_three_times, refused_as_fourth, PDT, POOR)


@pytest.mark.req("RSK-1", "SUP-6")
def test_day_trades_count_when_risk_was_restarted() -> None:
    async def scenario(world: ProofWorld) -> None:
        await trade_three_times(world)

        crash(world.process, RISK)

        await refused_as_fourth(world)

    prove(scenario, config=PDT, simulated=POOR)


@pytest.mark.req("SUP-6")
def test_an_answer_to_its_predecessor_does_not_let_it_judge_before_it_knows_its_past() -> None:
    async def scenario(world: ProofWorld) -> None:
        await trade_three_times(world)

        def answer_the_predecessor(passed: TapRecord) -> None:
            if type(passed.message) is ReadJournal:
                world.process.tell(RISK, NothingToReconcile())

        world.process.tap(answer_the_predecessor)
        crash(world.process, RISK)

        await refused_as_fourth(world)

    prove(scenario, config=PDT, simulated=POOR)


@pytest.mark.req("RSK-5")
def test_a_loss_before_a_restart_is_a_loss_after_it() -> None:
    async def lose(world: ProofWorld) -> None:
        bought = await world.gateway.submit_order(buy(HELD), BOLD)
        assert bought.status is OrderStatus.FILLED
        world.simulator.faults.move_price("SPY", 0.95)

    async def lose_more(world: ProofWorld) -> None:
        """Three hundredths before the restart, three after it: neither alone is a breach."""
        world.simulator.faults.move_price("SPY", 0.95)
        await world.gateway.submit_order(buy(1), CONTEXT)
        await world.until(lambda: bool(world.gateway.liquidation_reports))

        assert "DAILY_LOSS_LIMIT" in world.gateway.liquidation_reports[0].trigger

    two_processes(lose, lose_more, STRICT, MODEST)
