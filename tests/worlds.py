"""Whole worlds to test in: a gateway of ours, its tree, and the simulated gateway, in proof mode or in reality.

A proof world runs everything on one seeded loop with virtual time. A real world has threads, sockets and the clock of
the machine, with a state directory of its own.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs

from actors.kernel.clock import Clock
from actors.model.orders import ExecutionMode
from actors.ports import EventLog, no_log
from actors.sections.maintenance import AUTO, Maintenance
from supervision import Config, IBKRGateway, StrategyContext, TradingSignal
from supervision.config.sections import Control, Database, Journal, Logging, Orders, Publish, Risk
from supervision.feeds.port import SecondSource
from supervision.process import build_process, build_proof_process
from supervision.process.handle import Process
from supervision.proof.loop import Proof, run_proof
from supervision.proof.time import EPOCH
from supervision.publish.port import QuoteStore
from supervision.simulator import Simulator, SimulatorConfig, ThreadedSimulator
from supervision.store.records_port import ConnectionRecords

CONTEXT = StrategyContext(strategy_id="test", strategy_name="a test")

LENIENT = Risk(
    max_position_quantity=1e6,
    max_position_value=1e9,
    max_total_exposure_value=1e9,
    max_open_positions=1000,
    max_orders_per_minute=10_000,
    risk_per_trade_ratio=1.0,
    duplicate_window_s=0.0,
    daily_loss_ratio=1.0,
    weekly_drawdown_ratio=1.0,
    day_trades="off",
    allow_short=True,
)
"""Limits for tests that are not about limits."""

NEXT_PROCESS = 1_000_003
"""Between the seeds of a process and of the next one in the same world: no two share their random ids."""

SIMULATED = SimulatorConfig(seed=7, cash=1_000_000.0)


def a_config(**sections: Any) -> Config:
    """Make a configuration for tests: no journal on disk, no log, no control, nothing published, lenient limits.

    Maintenance is off unless a test turns it on, so that a test in a thread runs at any time of the night.
    """
    defaults: dict[str, Any] = {
        "risk": LENIENT,
        "orders": Orders(max_working=10_000),
        "journal": Journal(enabled=False),
        "database": Database(enabled=False),
        "publish": Publish(enabled=False),
        "logging": Logging(console=False, file=""),
        "control": Control(enabled=False),
    }
    config = attrs.evolve(Config(), **(defaults | sections))
    if config.connection.maintenance.enabled != AUTO:
        return config
    by_day = attrs.evolve(config.connection, maintenance=Maintenance(enabled=False))
    return attrs.evolve(config, connection=by_day)


def buy(quantity: float = 10, symbol: str = "SPY", **fields: Any) -> TradingSignal:
    """Make a signal to buy at the market."""
    return TradingSignal(symbol=symbol, action="BUY", quantity=quantity, **fields)


def sell(quantity: float = 10, symbol: str = "SPY", **fields: Any) -> TradingSignal:
    """Make a signal to sell at the market."""
    return TradingSignal(symbol=symbol, action="SELL", quantity=quantity, **fields)


@attrs.frozen
class ProofWorld:
    """A gateway and the simulator that it talks to, on one seeded loop."""

    proof: Proof
    gateway: IBKRGateway
    simulator: Simulator

    @property
    def process(self) -> Process:
        """The handle of the tree."""
        return self.gateway.process

    async def until(self, condition: Callable[[], bool], within_s: float = 60.0) -> None:
        """Let virtual time pass until ``condition`` holds; AssertionError after ``within_s``."""
        ends_at = self.proof.loop.time() + within_s
        while not condition():
            assert self.proof.loop.time() < ends_at, "the condition did not come true in time"
            await asyncio.sleep(0.01)


@asynccontextmanager
async def proof_world(
    proof: Proof,
    *,
    mode: ExecutionMode | str = "paper",
    config: Config | None = None,
    simulated: SimulatorConfig = SIMULATED,
    connect: bool = True,
    log: EventLog = no_log,
    records: Callable[[Clock], ConnectionRecords] | None = None,
    source: Callable[[Clock], SecondSource] | None = None,
    store: Callable[[Clock], QuoteStore] | None = None,
    **options: Any,
) -> AsyncIterator[ProofWorld]:
    """Set up a world within a running proof. ``options`` go to `IBKRGateway` (a risk manager, an operator id).

    ``records`` makes what sessions are written to; None: memory. ``source`` makes the second source of market data, and
    ``store`` what quotes are published to, where the configuration wants that.
    """
    simulator = Simulator(simulated, now=proof.clock.now)
    await simulator.start()
    starts = itertools.count()
    sessions = records(proof.clock) if records else None
    second_source = source(proof.clock) if source else None
    quotes = store(proof.clock) if store else None

    def make(config: Config, mode: ExecutionMode, operator_id: str, consults: bool) -> Process:
        return build_proof_process(
            config,
            loop=proof.loop,
            seed=proof.seed + NEXT_PROCESS * next(starts),
            simulator=simulator,
            clock=proof.clock,
            mode=mode,
            operator_id=operator_id,
            has_risk_manager=consults,
            log=log,
            records=sessions,
            source=second_source,
            store=quotes,
        )

    gateway = IBKRGateway(config or a_config(), mode=mode, process=make, **options)
    try:
        if connect:
            await gateway.connect()
        yield ProofWorld(proof, gateway, simulator)
    finally:
        await gateway.disconnect()
        await simulator.stop()


def prove(
    scenario: Callable[[ProofWorld], Coroutine[Any, Any, Any]],
    *,
    seed: int = 1,
    epoch: datetime = EPOCH,
    **world: Any,
) -> Any:
    """Run one scenario in a proof world of its own, which begins at ``epoch``; the seed stands in the failure."""

    async def within(proof: Proof) -> Any:
        async with proof_world(proof, **world) as made:
            return await scenario(made)

    return run_proof(within, seed=seed, epoch=epoch)


@attrs.frozen
class RealWorld:
    """A gateway and a simulator in threads of their own."""

    gateway: IBKRGateway
    simulator: ThreadedSimulator

    @property
    def process(self) -> Process:
        """The handle of the tree."""
        return self.gateway.process

    async def until(self, condition: Callable[[], bool], within_s: float = 20.0) -> None:
        """Wait until ``condition`` holds; AssertionError after ``within_s``."""
        async with asyncio.timeout(within_s):
            while not condition():
                await asyncio.sleep(0.002)


@asynccontextmanager
async def real_world(
    state_dir: Path,
    *,
    mode: ExecutionMode | str = "paper",
    config: Config | None = None,
    simulated: SimulatorConfig = SIMULATED,
    connect: bool = True,
    log: EventLog | None = None,
    **options: Any,
) -> AsyncIterator[RealWorld]:
    """Set up a world of threads and sockets around a simulator in a thread."""

    def make(config: Config, mode: ExecutionMode, operator_id: str, consults: bool) -> Process:
        return build_process(
            config, mode=mode, operator_id=operator_id, has_risk_manager=consults, log=log
        )

    simulator = ThreadedSimulator(simulated)
    port = simulator.start()
    chosen = config or a_config()
    chosen = attrs.evolve(
        chosen,
        general=attrs.evolve(chosen.general, state_dir=str(state_dir)),
        gateway=attrs.evolve(chosen.gateway, endpoint="external", port=port),
    )
    gateway = IBKRGateway(chosen, mode=mode, process=make, **options)
    try:
        if connect:
            await gateway.connect()
        yield RealWorld(gateway, simulator)
    finally:
        await gateway.disconnect()
        simulator.stop()
