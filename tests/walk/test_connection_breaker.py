"""The breaker before the gateway, seen through the facade: it refuses at once, and never ends the retrying (CON-6)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.errors import (
    CircuitBreakerOpenError,
    GatewayAuthenticationError,
    GatewayTimeoutError,
)
from actors.messages.addresses import CONNECTION
from actors.model.connection import ConnectionState
from supervision.config.sections import Connection, StrategyC
from tests.faults.crash import crash
from tests.walk.link_records import CALM, STEADY, Lines, Seen, ask_to_connect, link_status
from tests.walk.watching import ending
from tests.worlds import ProofWorld, a_config, prove

FAILURES = 5
OPEN_S = 30.0
FIVE_FAILURES_TAKE_S = 1.0 + 2.0 + 4.0 + 8.0
BEAT_S = 30.0
HOURS_S = 3 * 3600.0
S = ConnectionState


async def _break(world: ProofWorld) -> None:
    """Let the gateway refuse until the breaker opens."""
    world.simulator.faults.refuse_connections()
    with pytest.raises(GatewayTimeoutError):
        await world.gateway.connect(FIVE_FAILURES_TAKE_S + 1.0)


def _states(lines: Lines) -> list[tuple[str, str]]:
    return [
        (line["old_state"], line["new_state"]) for line in lines.of("circuit_breaker_state_change")
    ]


@pytest.mark.req("CON-6", "GW-12")
def test_while_it_is_open_a_connect_is_refused_at_once_and_the_retrying_goes_on() -> None:
    lines = Lines()

    async def scenario(world: ProofWorld) -> Any:
        await _break(world)
        refused = await ending(world, world.gateway.connect())
        world.simulator.faults.accept_connections()
        await world.until(lambda: world.gateway.is_connected, OPEN_S)
        return refused

    refused = prove(scenario, connect=False, config=STEADY, log=lines)

    assert isinstance(refused.error, CircuitBreakerOpenError)
    assert "in 29.0 s" in str(refused.error)
    assert "refused the connection" in str(refused.error)
    assert refused.after_s == 0.0
    assert len(lines.of("connection_failure")) == FAILURES
    assert _states(lines) == [("closed", "open"), ("open", "half_open")]


@pytest.mark.req("CON-6")
def test_a_connection_that_lasts_until_its_first_heartbeat_closes_it() -> None:
    lines = Lines()

    async def scenario(world: ProofWorld) -> None:
        await _break(world)
        world.simulator.faults.accept_connections()
        await world.until(lambda: world.gateway.is_connected, OPEN_S)
        await asyncio.sleep(BEAT_S - 1.0)
        assert _states(lines)[-1] == ("open", "half_open")
        await asyncio.sleep(2.0)
        assert _states(lines)[-1] == ("half_open", "closed")

    prove(scenario, connect=False, config=STEADY, log=lines)


@pytest.mark.req("CON-6")
def test_two_connections_that_do_not_last_close_it_too() -> None:
    lines = Lines()

    async def scenario(world: ProofWorld) -> None:
        await _break(world)
        world.simulator.faults.accept_connections()
        seen = Seen(world)
        await seen.connected_again()
        world.simulator.faults.drop_connections()
        await seen.connected_again(2)

    prove(scenario, connect=False, config=CALM, log=lines)

    assert _states(lines)[-1] == ("half_open", "closed")


@pytest.mark.req("CON-5", "CON-6")
def test_retries_wait_for_the_longer_of_backoff_and_breaker_and_never_end() -> None:
    async def scenario(world: ProofWorld) -> Seen:
        world.simulator.faults.refuse_connections()
        await world.gateway.status()  # starts the tree, so that the first attempt is seen
        seen = Seen(world)
        ask_to_connect(world)
        await asyncio.sleep(HOURS_S)
        world.simulator.faults.accept_connections()
        await seen.connected_again()
        return seen

    seen = prove(scenario, connect=False, config=STEADY)

    waits = [
        round(after - before, 2)
        for before, after in zip(seen.attempted_at, seen.attempted_at[1:], strict=False)
    ]
    assert waits[:6] == [1.0, 2.0, 4.0, 8.0, OPEN_S, 32.0]
    assert set(waits[6:]) == {32.0}
    assert len(waits) > HOURS_S / 33


@pytest.mark.req("CON-5", "CON-6")
def test_a_breaker_that_rests_longer_than_the_cap_is_waited_for_in_failed_as_well() -> None:
    patient = a_config(
        connection=Connection(breaker_open_s=100.0, jitter_ratio=0.0),
        strategy_c=StrategyC(grace_seconds=3600.0),
    )

    async def scenario(world: ProofWorld) -> Seen:
        await _break(world)
        seen = Seen(world)
        await world.until(lambda: len(seen.attempts) == 4, 500.0)
        return seen

    seen = prove(scenario, connect=False, config=patient)

    assert S.FAILED in seen.states
    assert [
        round(b - a) for a, b in zip(seen.attempted_at, seen.attempted_at[1:], strict=False)
    ] == [100] * 3


@pytest.mark.req("CON-5", "CON-6")
def test_an_operator_who_asks_while_it_rests_is_heard_when_it_has_rested() -> None:
    async def scenario(world: ProofWorld) -> None:
        faults = world.simulator.faults
        faults.authentication_failure()
        for _ in range(FAILURES):
            with pytest.raises(GatewayAuthenticationError):
                await world.gateway.connect()
        faults.authentication_failure(None)
        seen = Seen(world)
        await asyncio.sleep(10.0)
        assert seen.attempts == []

        with pytest.raises(CircuitBreakerOpenError, match=r"in 20\.0 s"):
            await world.gateway.connect()
        await asyncio.sleep(OPEN_S - 10.0 - 0.1)
        assert seen.attempts == []
        await seen.connected_again(within_s=1.0)

    prove(scenario, connect=False, config=STEADY)


@pytest.mark.req("CON-6", "SUP-6")
def test_it_outlives_the_actor_that_feeds_it() -> None:
    async def scenario(world: ProofWorld) -> None:
        await _break(world)
        seen = Seen(world)
        crash(world.process, CONNECTION)
        await asyncio.sleep(OPEN_S - 2.0)

        assert seen.attempts == []
        assert (await link_status(world)).state is S.RECONNECTING
        world.simulator.faults.accept_connections()
        await seen.connected_again(within_s=2.0)

    prove(scenario, connect=False, config=STEADY)


@pytest.mark.req("CON-8", "CON-6")
def test_ids_that_are_taken_are_tried_within_one_attempt() -> None:
    lines = Lines()

    async def scenario(world: ProofWorld) -> None:
        world.simulator.faults.client_id_taken(times=6)
        await world.gateway.connect()

    prove(scenario, connect=False, log=lines)

    assert len(lines.of("client_id_conflict")) == 6
    assert lines.of("connection_failure", "circuit_breaker_state_change") == []
