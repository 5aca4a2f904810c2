"""What tests of the connection look at: the lines of its log, its transitions, and who has a socket to the gateway."""

from __future__ import annotations

import uuid
from typing import Any

import attrs

from actors.kernel.addresses import TapRecord
from actors.messages.addresses import CONNECTION, FACADE
from actors.messages.connection import (
    Connect,
    ConnectionStateChanged,
    ConnectionStatus,
    GetConnectionStatus,
    OpenSession,
)
from actors.model.connection import ConnectionState, LayerHealth
from supervision.config.sections import Connection, StrategyC
from tests.worlds import ProofWorld, a_config

CALM = a_config(strategy_c=StrategyC(grace_seconds=3600.0))
"""These tests are about the link; what Strategy C does about its loss has tests of its own."""

STEADY = a_config(
    strategy_c=StrategyC(grace_seconds=3600.0), connection=Connection(jitter_ratio=0.0)
)
"""The same, with waits that can be told in advance."""


@attrs.frozen
class Line:
    """One event as it was logged."""

    event: str
    level: str
    correlation_id: str | None
    fields: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        """Read a field."""
        return self.fields[name]


@attrs.define
class Lines:
    """An event log that keeps what it is told."""

    kept: list[Line] = attrs.field(factory=list)

    def __call__(
        self, event: str, *, level: str = "INFO", correlation_id: str | None = None, **fields: Any
    ) -> None:
        """Keep one event."""
        self.kept.append(Line(event, level, correlation_id, fields))

    def of(self, *events: str) -> list[Line]:
        """List the lines of these events."""
        return [line for line in self.kept if line.event in events]

    def last(self, event: str) -> Line:
        """Find the newest line of an event."""
        return self.of(event)[-1]


@attrs.define
class Seen:
    """Transitions as they were published to the facade, and attempts with their virtual time."""

    world: ProofWorld
    changes: list[ConnectionStateChanged] = attrs.field(factory=list)
    attempts: list[OpenSession] = attrs.field(factory=list)
    attempted_at: list[float] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.world.process.tap(self._take)

    def _take(self, record: TapRecord) -> None:
        message = record.message
        if type(message) is ConnectionStateChanged and record.recipient == FACADE:
            self.changes.append(message)
        elif type(message) is OpenSession:
            self.attempts.append(message)
            self.attempted_at.append(self.world.proof.loop.time())

    @property
    def states(self) -> list[ConnectionState]:
        """The states in their order."""
        return [event.state for event in self.changes]

    async def connected_again(self, times: int = 1, within_s: float = 300.0) -> None:
        """Wait until the link was CONNECTED so many times."""
        await self.world.until(
            lambda: self.states.count(ConnectionState.CONNECTED) >= times, within_s
        )


async def link_status(world: ProofWorld) -> ConnectionStatus:
    """Ask the connection how it stands."""
    return await world.gateway.ask(CONNECTION, GetConnectionStatus, ConnectionStatus, 5.0)


async def broken_layer(world: ProofWorld) -> LayerHealth:
    """Tell the layer that does not hold."""
    layers = (await link_status(world)).layers
    assert all(each.ok for each in layers[:-1])
    assert not layers[-1].ok, layers
    return layers[-1]


def ask_to_connect(world: ProofWorld) -> str:
    """Ask to connect without waiting; returns the correlation id."""
    correlation_id = world.process.entropy.uuid4()
    assert uuid.UUID(correlation_id).version == 4
    world.process.tell(
        CONNECTION,
        Connect(
            correlation_id=correlation_id,
            deadline=world.process.clock.monotonic() + 30.0,
            reply_to=FACADE,
        ),
    )
    return correlation_id
