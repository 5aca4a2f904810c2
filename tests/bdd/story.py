"""A story in proof mode: what is given and what happens is collected, told once, and then looked at.

The whole tree and the simulated gateway run on one seeded loop with virtual time, so that "600 seconds pass" costs
nothing. The first `Then` tells the story.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs

from actors.kernel.addresses import TapRecord
from actors.messages.connection import ConnectionStateChanged, Reconcile
from actors.model.connection import ConnectionState
from supervision import GatewayError
from supervision.process.status import ProcessStatus
from supervision.simulator import SimulatorConfig
from tests.walk.watching import tapped
from tests.worlds import ProofWorld, prove

SEED: Final = 1

Deed = Callable[[ProofWorld, "Outcome"], Awaitable[None]]


@attrs.define
class Outcome:
    """What can be looked at once the story is told. Times in virtual seconds."""

    errors: list[GatewayError] = attrs.field(factory=list)
    took_s: list[float] = attrs.field(factory=list)
    states: list[ConnectionState] = attrs.field(factory=list)
    log: list[tuple[str, dict[str, Any]]] = attrs.field(factory=list)
    log_times: list[tuple[str, float]] = attrs.field(factory=list)
    orders: list[Any] = attrs.field(factory=list)
    quote_error: GatewayError | None = None
    status: ProcessStatus | None = None
    client_ids: tuple[int, ...] = ()
    orders_received: int = 0
    was_read_first: bool = False
    is_over: bool = False

    def times(self, event: str) -> list[float]:
        """When every event of this name was logged."""
        return [at for name, at in self.log_times if name == event]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The fields of every event of this name."""
        return [fields for name, fields in self.log if name == event]


@attrs.define
class Story:
    """Collects deeds; `outcome` tells them once."""

    simulated: SimulatorConfig = attrs.field(factory=SimulatorConfig)
    deeds: list[Deed] = attrs.field(factory=list)
    _told: Outcome | None = None

    def then(self, deed: Deed) -> None:
        """Add something that happens."""
        assert self._told is None, "the story was told already"
        self.deeds.append(deed)

    @property
    def outcome(self) -> Outcome:
        """Tell the story, and what came of it."""
        if self._told is None:
            self._told = self._tell()
        return self._told

    def _tell(self) -> Outcome:
        outcome = Outcome()

        def log(event: str, **fields: Any) -> None:
            if not outcome.is_over:
                outcome.log.append((event, fields))
                outcome.log_times.append((event, asyncio.get_running_loop().time()))

        async def scenario(world: ProofWorld) -> None:
            for deed in self.deeds:
                await deed(world, outcome)
            outcome.is_over = True  # what follows is the end of the world, not of the story
            outcome.client_ids = tuple(world.simulator.client_ids())
            outcome.orders_received = len(world.simulator.ledger)
            outcome.status = outcome.status or await world.gateway.status()

        prove(scenario, seed=SEED, simulated=self.simulated, connect=False, log=log)
        return outcome


async def connect(world: ProofWorld, outcome: Outcome, timeout_s: float = 30.0) -> None:
    """Connect as an orchestrator does, and keep what comes of it."""
    began = world.proof.loop.time()
    if not outcome.states:
        await _watch(world, outcome)
    try:
        await world.gateway.connect(timeout_s)
    except GatewayError as error:
        outcome.errors.append(error)
    outcome.took_s.append(world.proof.loop.time() - began)


async def _watch(world: ProofWorld, outcome: Outcome) -> None:
    """Keep every state from now on, and whether the broker's state was read before the first CONNECTED."""
    await world.gateway.status()  # starts the tree, so that it can be tapped
    outcome.states.append(ConnectionState.DISCONNECTED)
    read = tapped(world.process, Reconcile)

    def note(record: TapRecord) -> None:
        message = record.message
        if outcome.is_over:
            return
        if isinstance(message, ConnectionStateChanged) and message.state is not outcome.states[-1]:
            outcome.states.append(message.state)
            if message.state is ConnectionState.CONNECTED:
                outcome.was_read_first = bool(read)

    world.process.tap(note)
