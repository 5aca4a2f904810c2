"""The connection's log lines, with names and fields exactly as OBS-2 has them, under one correlation id."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Final

import pytest

from actors.errors import GatewayTimeoutError
from actors.kernel.stories import root_id
from actors.messages.connection import Connect, OpenSession, ReadBrokerState
from supervision.config.sections import Connection
from supervision.observe.lines import Event, json_line
from supervision.observe.masking import Masker
from tests.walk.link_records import STEADY, Line, Lines, Seen
from tests.walk.watching import tapped, until
from tests.worlds import ProofWorld, a_config, prove, real_world

WHERE: Final = {"host", "port", "client_id"}
STATES: Final = {"old_state", "new_state", "reason"}
FIELDS: Final = {
    "connection_attempt": ("INFO", WHERE | {"retry_count"}),
    "connection_success": ("INFO", WHERE | STATES | {"session_id", "duration", "retry_count"}),
    "connection_failure": (
        "ERROR",
        WHERE | {"duration", "error_type", "error_message", "retry_count"},
    ),
    "client_id_conflict": ("WARNING", WHERE | {"error_type", "error_message", "retry_count"}),
    "circuit_breaker_state_change": ("ERROR", WHERE | STATES),
    "disconnection": ("INFO", WHERE | STATES | {"session_id", "duration", "error_type"}),
    "connection_retry": ("INFO", WHERE | {"error_type", "delay_s", "retry_count"}),
    "heartbeat": ("DEBUG", {"latency_ms", "memory_mb"}),
}
REFUSED_S = 20.0
TAKEN = 5


def _a_hard_life() -> Lines:
    """Let everything happen that has a line: refusals, the breaker, taken ids, a session, its loss."""
    lines = Lines()

    async def scenario(world: ProofWorld) -> None:
        world.simulator.faults.client_id_taken(times=TAKEN)
        world.simulator.faults.refuse_connections(REFUSED_S)
        with pytest.raises(GatewayTimeoutError):
            await world.gateway.connect(1.0)
        await world.until(lambda: world.gateway.is_connected, 120.0)
        await asyncio.sleep(100.0)
        seen = Seen(world)
        world.simulator.faults.drop_connections()
        await seen.connected_again()

    prove(scenario, connect=False, config=STEADY, log=lines)
    return lines


@pytest.mark.req("OBS-2")
def test_every_line_has_its_level_and_its_fields() -> None:
    lines = _a_hard_life()

    for event, (level, fields) in FIELDS.items():
        found = lines.of(event)
        assert found, event
        for line in found:
            assert line.level == level
            assert set(line.fields) == fields, event


@pytest.mark.req("OBS-2")
def test_the_values_say_what_happened() -> None:
    lines = _a_hard_life()

    first, second = lines.of("connection_success")
    lost, ended = lines.of("disconnection")
    assert [line["retry_count"] for line in lines.of("connection_failure")] == [0, 1, 2, 3, 4]
    assert [line["delay_s"] for line in lines.of("connection_retry")] == [1.0, 2.0, 4.0, 8.0, 30.0]
    assert [line["retry_count"] for line in lines.of("connection_retry")] == [1, 2, 3, 4, 5]
    assert {line["error_type"] for line in lines.of("connection_failure", "connection_retry")} == {
        "GatewayConnectionError"
    }
    assert len(lines.of("client_id_conflict")) == TAKEN
    assert (first["retry_count"], first["client_id"]) == (5, 3)
    assert first["duration"] == pytest.approx(3.0, abs=0.5), "the waits for the taken id count"
    assert second["duration"] < 1.0
    assert lost["session_id"] == first["session_id"] != second["session_id"]
    assert lost["duration"] == pytest.approx(100.0, abs=0.1)
    assert (lost["error_type"], ended["error_type"]) == ("socket_closed", "asked")
    assert (lost["old_state"], lost["new_state"]) == ("CONNECTED", "RECONNECTING")
    assert lost["client_id"] == 3
    assert [
        (line["old_state"], line["new_state"]) for line in lines.of("circuit_breaker_state_change")
    ] == [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]


@pytest.mark.req("OBS-2")
def test_one_id_of_the_callers_runs_through_the_request_the_lines_and_the_links_work() -> None:
    lines = Lines()

    async def scenario(world: ProofWorld) -> None:
        await world.gateway.status()
        asked = tapped(world.process, Connect, OpenSession, ReadBrokerState)
        world.simulator.faults.refuse_connections(5.0)
        with pytest.raises(GatewayTimeoutError):
            await world.gateway.connect(1.0)
        await world.until(lambda: world.gateway.is_connected)

        callers = asked[0].correlation_id
        assert isinstance(asked[0], Connect)
        assert uuid.UUID(callers).version == 4
        assert {root_id(message.correlation_id) for message in asked} == {callers}
        assert {line.correlation_id for line in _about_links(lines)} == {callers}

    prove(scenario, connect=False, config=STEADY, log=lines)


@pytest.mark.req("OBS-2")
def test_a_loss_begins_an_id_of_its_own_that_runs_to_the_next_session() -> None:
    lines = Lines()

    async def scenario(world: ProofWorld) -> None:
        seen = Seen(world)
        await asyncio.sleep(61.0)
        before = len(lines.kept)
        world.simulator.faults.nightly_reset(5.0)
        await seen.connected_again()

        after = [line for line in _about_links(lines) if line in lines.kept[before:]]
        ids = {line.correlation_id for line in after}
        assert after[0].event == "disconnection"
        assert after[-1].event == "connection_success"
        assert len(ids) == 1
        assert uuid.UUID(ids.pop()).version == 4
        assert after[0].correlation_id != lines.of("connection_success")[0].correlation_id

    prove(scenario, config=STEADY, log=lines)


def _about_links(lines: Lines) -> list[Line]:
    return lines.of(*(set(FIELDS) - {"heartbeat"}), "connection_state")


@pytest.mark.req("OBS-2")
def test_the_written_line_has_a_timestamp_in_utc() -> None:
    lines = _a_hard_life()
    line = lines.of("connection_success")[0]

    async def moment(world: ProofWorld) -> str:
        event = Event(
            world.process.clock.now(), line.level, line.event, line.correlation_id, line.fields
        )
        return json_line(event, Masker())

    written = prove(moment)

    assert '"timestamp":"2025-11-21T15:00:00.000+00:00"' in written
    assert f'"correlation_id":"{line.correlation_id}"' in written


@pytest.mark.req("OBS-2")
def test_the_heartbeat_tells_the_memory_of_the_process(tmp_path: Path) -> None:
    lines = Lines()
    busy = a_config(connection=Connection(heartbeat_s=0.05))

    async def scenario() -> None:
        async with real_world(tmp_path, config=busy, log=lines):
            await until(lambda: bool(lines.of("heartbeat")))

    asyncio.run(scenario())

    assert 10.0 < lines.last("heartbeat")["memory_mb"] < 10_000.0
    assert 0.0 < lines.last("heartbeat")["latency_ms"] < 1000.0
