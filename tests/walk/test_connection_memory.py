"""What a restarted connection actor still knows: whether anybody wants a connection, and under which id it has one."""

from __future__ import annotations

import asyncio

import pytest

from actors.errors import GatewayAuthenticationError
from actors.messages.addresses import CONNECTION
from actors.messages.connection import Disconnect
from actors.model.connection import ConnectionState
from actors.model.orders import OrderStatus
from tests.faults.crash import crash
from tests.walk.link_records import CALM, Lines, Seen, ask_to_connect, link_status
from tests.worlds import CONTEXT, ProofWorld, buy, prove

S = ConnectionState
HOUR_S = 3600.0


def _ask_to_disconnect(world: ProofWorld) -> None:
    world.process.tell(
        CONNECTION,
        Disconnect(
            correlation_id=world.process.entropy.uuid4(),
            deadline=world.process.clock.monotonic() + 10.0,
            reply_to="gateway",
        ),
    )


@pytest.mark.req("CON-1", "SUP-6")
def test_one_that_fails_before_anybody_asked_to_connect_does_not_connect_by_itself() -> None:
    async def scenario(world: ProofWorld) -> None:
        await world.gateway.status()
        seen = Seen(world)
        crash(world.process, CONNECTION)
        await asyncio.sleep(HOUR_S)

        assert (seen.states, seen.attempts) == ([], [])
        assert (await link_status(world)).state is S.DISCONNECTED
        await world.gateway.connect()
        assert world.gateway.is_connected

    prove(scenario, connect=False)


@pytest.mark.req("CON-13", "SUP-6")
@pytest.mark.parametrize("pause_s", [0.0, 0.001, 0.01, 1.0])
def test_one_that_fails_after_a_disconnect_was_asked_for_stays_away(pause_s: float) -> None:
    async def scenario(world: ProofWorld) -> None:
        seen = Seen(world)
        _ask_to_disconnect(world)
        await asyncio.sleep(pause_s)
        crash(world.process, CONNECTION)
        await asyncio.sleep(HOUR_S)

        assert seen.attempts == []
        assert world.simulator.client_ids() == ()
        assert (await link_status(world)).state is S.DISCONNECTED

    prove(scenario, config=CALM)


@pytest.mark.req("CON-1", "SUP-6")
@pytest.mark.parametrize("seed", range(10))
def test_one_that_fails_while_it_connects_goes_on(seed: int) -> None:
    async def scenario(world: ProofWorld) -> None:
        await world.gateway.status()
        seen = Seen(world)
        world.simulator.faults.latency(0.01)
        ask_to_connect(world)
        await asyncio.sleep(0.01 * seed)
        crash(world.process, CONNECTION)
        await seen.connected_again()

        assert len(world.simulator.client_ids()) == 1

    prove(scenario, seed=seed, connect=False)


@pytest.mark.req("CON-5", "SUP-6")
def test_one_that_fails_while_it_waits_for_the_operator_goes_on_waiting() -> None:
    async def scenario(world: ProofWorld) -> None:
        world.simulator.faults.authentication_failure()
        with pytest.raises(GatewayAuthenticationError):
            await world.gateway.connect()
        seen = Seen(world)
        crash(world.process, CONNECTION)
        await asyncio.sleep(HOUR_S)

        assert seen.attempts == []
        assert "disclaimer" in str((await link_status(world)).last_error)
        world.simulator.faults.clear()
        await world.gateway.connect()

    prove(scenario, connect=False)


@pytest.mark.req("CON-8", "SUP-6")
def test_one_that_fails_under_a_fallback_id_still_opens_nothing() -> None:
    async def scenario(world: ProofWorld) -> None:
        seen = Seen(world)
        crash(world.process, CONNECTION)
        await seen.connected_again()
        await asyncio.sleep(1.0)
        result = await world.gateway.submit_order(buy(), CONTEXT)

        assert world.simulator.client_ids() == (2,)
        assert result.status is OrderStatus.REJECTED
        assert "fallback id 2" in (result.rejection_reason or "")

    async def taken(world: ProofWorld) -> None:
        world.simulator.faults.client_id_taken(1, times=4)
        await world.gateway.connect()
        await scenario(world)

    prove(taken, config=CALM, connect=False)


@pytest.mark.req("CON-8")
def test_the_wanted_id_is_taken_again_at_the_first_reconnect_that_finds_it_free() -> None:
    async def scenario(world: ProofWorld) -> None:
        world.simulator.faults.client_id_taken(1, times=8)
        await world.gateway.connect()
        seen = Seen(world)
        ids = [world.simulator.client_ids()]
        for count in (1, 2):
            world.simulator.faults.drop_connections()
            await seen.connected_again(count)
            ids.append(world.simulator.client_ids())
        await asyncio.sleep(1.0)
        opened = await world.gateway.submit_order(buy(), CONTEXT)

        assert ids == [(2,), (2,), (1,)]
        assert opened.status is OrderStatus.FILLED

    prove(scenario, config=CALM, connect=False)


@pytest.mark.req("CON-8")
def test_when_every_id_is_taken_the_attempt_fails_and_the_next_one_begins_with_the_wanted_id() -> (
    None
):
    lines = Lines()

    async def scenario(world: ProofWorld) -> None:
        await world.gateway.status()
        seen = Seen(world)
        world.simulator.faults.client_id_taken(times=13)
        await world.gateway.connect()

        wanted, tried = 1, [attempt.client_id for attempt in seen.attempts]
        assert tried == [wanted] * 4 + list(range(2, 11)) + [wanted]
        assert world.simulator.client_ids() == (wanted,)

    prove(scenario, connect=False, log=lines)

    assert [line["error_type"] for line in lines.of("connection_failure")] == ["ClientIDInUseError"]


@pytest.mark.req("CON-2", "OBS-2", "SUP-6")
def test_the_session_that_a_failed_incarnation_left_is_closed_in_the_log() -> None:
    lines = Lines()

    async def scenario(world: ProofWorld) -> None:
        seen = Seen(world)
        await asyncio.sleep(10.0)
        crash(world.process, CONNECTION)
        await seen.connected_again()

    prove(scenario, config=CALM, log=lines)

    first, second = lines.of("connection_success")
    left, last = lines.of("disconnection")
    assert (left["session_id"], left["error_type"]) == (first["session_id"], "actor_failed")
    assert left["duration"] >= 10.0
    assert last["session_id"] == second["session_id"] != first["session_id"]
