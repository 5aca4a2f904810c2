"""A disconnect is more than one thing (D10): what each of IB's notices does to the link, and what it must not do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from actors.messages.addresses import CONNECTION, MARKET_DATA
from actors.messages.connection import ProveMarketData, ReadBrokerState
from actors.messages.market_data import QuoteRead
from actors.model.connection import ConnectionState, DisconnectCause
from actors.model.orders import OrderStatus
from tests.faults.crash import crash
from tests.walk.link_records import CALM, STEADY, Lines, Seen, link_status
from tests.walk.watching import tapped
from tests.worlds import CONTEXT, ProofWorld, a_config, buy, prove

S = ConnectionState
PROOF_RETRY_S = 5.0
PATIENCE_S = 900.0
FARMS = [
    (2103, 2104, "usfarm"),
    (2103, 2108, "usfarm.nj"),
    (2105, 2106, "ushmds"),
    (2105, 2107, "ushmds"),
    (2157, 2158, "secdefil"),
]


async def _opening(world: ProofWorld) -> tuple[OrderStatus, str]:
    """Try to open a position."""
    result = await world.gateway.submit_order(buy(1.0), CONTEXT)
    return result.status, result.rejection_reason or ""


# --- farms --------------------------------------------------------------------------------------------------------


@pytest.mark.req("CON-10")
@pytest.mark.parametrize(("down", "up", "farm"), FARMS)
def test_a_broken_farm_blocks_opening_by_name_until_a_tick_came_and_touches_nothing_else(
    down: int, up: int, farm: str
) -> None:
    async def scenario(world: ProofWorld) -> Any:
        seen = Seen(world)
        await world.gateway.submit_order(buy(3.0), CONTEXT)
        world.simulator.faults.farm(down, farm)
        await asyncio.sleep(60.0)
        blocked = await _opening(world)
        closed = await world.gateway.close_all_positions()
        world.simulator.faults.farm(up, farm)
        await asyncio.sleep(1.0)
        allowed = await _opening(world)
        status = await world.gateway.status()
        untouched = (seen.states, len(seen.attempts), status.latched)
        return blocked, closed, allowed, untouched

    blocked, closed, allowed, untouched = prove(scenario, config=a_config())

    assert blocked[0] is OrderStatus.REJECTED
    assert farm in blocked[1]
    assert [result.status for result in closed] == [OrderStatus.FILLED]
    assert allowed == (OrderStatus.FILLED, "")
    assert untouched == ([], 0, False)


@pytest.mark.req("CON-10")
def test_a_farm_that_is_back_without_data_stays_blocked() -> None:
    async def scenario(world: ProofWorld) -> None:
        world.simulator.faults.farm(2103)
        world.simulator.faults.missing_data(mode="minus_one")
        world.simulator.faults.farm(2104)
        await asyncio.sleep(60.0)
        assert "has no price" in (await _opening(world))[1]

        world.simulator.faults.missing_data(mode=None)
        await asyncio.sleep(PROOF_RETRY_S + 1.0)
        assert (await _opening(world))[0] is OrderStatus.FILLED

    prove(scenario, config=CALM)


@pytest.mark.req("CON-10")
def test_a_farm_that_flaps_a_hundred_times_ends_no_session_and_leaves_no_questions_behind() -> None:
    async def scenario(world: ProofWorld) -> None:
        seen = Seen(world)
        asked = tapped(world.process, ProveMarketData)
        for _ in range(100):
            world.simulator.faults.farm(2103)
            await asyncio.sleep(0.3)
            world.simulator.faults.farm(2104)
            await asyncio.sleep(0.3)
        await asyncio.sleep(10.0)
        before = len(asked)
        await asyncio.sleep(60.0)

        assert len(asked) == before, "nobody asks any more once a tick has come"
        assert before <= 100
        assert (seen.changes, seen.attempts) == ([], [])
        assert (await _opening(world))[0] is OrderStatus.FILLED

    prove(scenario, config=CALM)


@pytest.mark.req("CON-10")
def test_farms_that_broke_in_an_earlier_session_are_forgotten() -> None:
    async def scenario(world: ProofWorld) -> None:
        seen = Seen(world)
        world.simulator.faults.farm(2103, "a farm that the next session does not speak of")
        await asyncio.sleep(1.0)
        world.simulator.faults.drop_connections()
        await seen.connected_again()
        await asyncio.sleep(1.0)

        assert (await _opening(world))[0] is OrderStatus.FILLED

    prove(scenario, config=CALM)


# --- a competing session ------------------------------------------------------------------------------------------


@pytest.mark.req("CON-10", "CON-4")
def test_a_competing_session_blocks_opening_until_a_tick_comes_and_is_no_disconnect() -> None:
    async def scenario(world: ProofWorld) -> None:
        seen = Seen(world)
        await world.gateway.submit_order(buy(3.0), CONTEXT)
        world.simulator.faults.competing_session()
        with pytest.raises(Exception, match="competing"):
            await world.gateway.get_market_data("SPY")
        await asyncio.sleep(60.0)
        status, reason = await _opening(world)
        closed = await world.gateway.close_all_positions()

        assert status is OrderStatus.REJECTED
        assert "another session of the same user" in reason
        assert [result.status for result in closed] == [OrderStatus.FILLED]
        assert "10197" in str((await link_status(world)).opening_blocked_by)
        world.simulator.faults.competing_session(active=False)
        await asyncio.sleep(PROOF_RETRY_S + 1.0)
        assert (await _opening(world))[0] is OrderStatus.FILLED
        assert (seen.changes, seen.attempts) == ([], [])

    prove(scenario, config=a_config())


@pytest.mark.req("CON-10", "GW-2")
def test_connecting_while_another_session_holds_the_data_ends_in_a_blocked_connection() -> None:
    async def scenario(world: ProofWorld) -> None:
        world.simulator.faults.competing_session()
        await world.gateway.connect(5.0)

        assert world.gateway.is_connected
        assert "10197" in str((await link_status(world)).opening_blocked_by)

    prove(scenario, connect=False)


# --- upstream -----------------------------------------------------------------------------------------------------


def _lose_by_2110(world: ProofWorld) -> None:
    world.simulator.faults.connectivity_lost()
    world.simulator.faults.farm(2110)


@pytest.mark.req("CON-10")
def test_2110_is_a_companion_of_1100_and_changes_nothing_more() -> None:
    async def scenario(world: ProofWorld) -> None:
        seen = Seen(world)
        _lose_by_2110(world)
        await asyncio.sleep(100.0)
        world.simulator.faults.connectivity_restored()
        await seen.connected_again()

        assert seen.states == [S.RECONNECTING, S.CONNECTED]
        assert seen.attempts == []

    prove(scenario, config=CALM)


@pytest.mark.req("CON-10", "SUP-6")
@pytest.mark.parametrize("again", [False, True], ids=["crash", "crash twice"])
def test_a_connection_actor_that_fails_while_the_upstream_is_lost_does_not_forget_it(
    again: bool,
) -> None:
    async def scenario(world: ProofWorld) -> None:
        world.simulator.faults.connectivity_lost()
        await world.until(lambda: not world.gateway.is_connected)
        seen = Seen(world)
        crash(world.process, CONNECTION)
        await asyncio.sleep(10.0)
        if again:
            crash(world.process, CONNECTION)
        await asyncio.sleep(100.0)

        assert S.CONNECTED not in seen.states
        assert len(world.simulator.client_ids()) == 1
        assert seen.attempts == [], "the socket is kept"
        world.simulator.faults.connectivity_restored()
        await seen.connected_again()

    prove(scenario, config=CALM)


@pytest.mark.req("CON-10", "SUP-6")
@pytest.mark.parametrize("seed", range(20))
def test_a_notice_that_comes_while_the_connection_actor_is_down_is_not_lost(seed: int) -> None:
    """The gate counts a loss that no transition told of, and Strategy C answers for it (decision 0003)."""

    async def scenario(world: ProofWorld) -> None:
        seen = Seen(world)
        crash(world.process, CONNECTION)
        await asyncio.sleep(0.02 * seed % 0.2)
        world.simulator.faults.connectivity_lost()
        await asyncio.sleep(60.0)
        assert not seen.states or seen.states[-1] is not S.CONNECTED

        crash(world.process, CONNECTION)
        await asyncio.sleep(0.02 * seed % 0.2)
        world.simulator.faults.connectivity_restored()
        await world.until(lambda: seen.states[-1] is S.CONNECTED)
        await asyncio.sleep(1.0)
        status, _ = await _opening(world)
        was_a_loss = (await world.gateway.status()).latched
        assert status is (OrderStatus.REJECTED if was_a_loss else OrderStatus.FILLED)

    prove(scenario, seed=seed, config=CALM)


@pytest.mark.req("CON-10", "CON-11")
@pytest.mark.parametrize("data_lost", [False, True])
def test_a_restoration_of_what_was_never_told_lost_is_reconciled_in_place(data_lost: bool) -> None:
    async def scenario(world: ProofWorld) -> None:
        seen = Seen(world)
        reads = tapped(world.process, ReadBrokerState)
        proofs = tapped(world.process, ProveMarketData)
        world.simulator.faults.connectivity_restored(data_lost)
        await asyncio.sleep(5.0)

        assert seen.changes == []
        assert (len(reads), len(proofs)) == (1, 1)
        assert (await _opening(world))[0] is OrderStatus.FILLED

    prove(scenario, config=a_config())


@pytest.mark.req("CON-10", "CON-5")
def test_a_gateway_that_never_says_that_it_is_back_is_asked_anew() -> None:
    async def scenario(world: ProofWorld) -> None:
        world.simulator.faults.connectivity_lost()
        await world.until(lambda: not world.gateway.is_connected)
        seen = Seen(world)
        world.simulator.faults.state.disconnected = (
            False  # it is back, and the notice 1102 was lost
        )
        await asyncio.sleep(PATIENCE_S - 1.0)
        assert seen.attempts == []
        await seen.connected_again(within_s=10.0)

        assert len(seen.attempts) == 1

    prove(scenario, config=CALM)


@pytest.mark.req("GW-11", "CON-10")
def test_a_link_that_is_down_or_cut_off_is_not_verified() -> None:
    async def scenario(world: ProofWorld) -> list[bool]:
        faults, seen = world.simulator.faults, Seen(world)
        verified = [await world.gateway.verify_connection()]
        faults.connectivity_lost()
        await world.until(lambda: not world.gateway.is_connected)
        verified.append(await world.gateway.verify_connection())
        faults.connectivity_restored()
        await seen.connected_again()
        verified.append(await world.gateway.verify_connection())
        faults.nightly_reset()
        await asyncio.sleep(1.0)
        began_at = world.proof.loop.time()
        verified.append(await world.gateway.verify_connection())
        assert world.proof.loop.time() == began_at, "there is nothing to wait for"
        return verified

    assert prove(scenario, config=CALM) == [True, False, True, False]


# --- the port -----------------------------------------------------------------------------------------------------


def _reset(text: str, world: ProofWorld) -> None:
    world.simulator.faults.send_error(1300, text)


@pytest.mark.req("CON-10")
def test_a_gateway_that_moves_is_followed_and_stays_found() -> None:
    async def scenario(world: ProofWorld) -> None:
        seen = Seen(world)
        old = world.simulator.port
        world.simulator.faults.reset_port(moves=True)
        await seen.connected_again()
        world.simulator.faults.drop_connections()
        await seen.connected_again(2)
        crash(world.process, CONNECTION)
        await seen.connected_again(3)
        world.simulator.faults.drop_connections()
        await seen.connected_again(4)

        assert world.simulator.port != old
        assert {attempt.port for attempt in seen.attempts} == {world.simulator.port}
        assert seen.changes[0].cause is DisconnectCause.PORT_RESET

    prove(scenario, config=CALM)


@pytest.mark.req("CON-10")
@pytest.mark.parametrize(
    ("text", "tried"),
    [
        ("TWS socket port has been reset. Please reconnect on the new port - 9", [9, None]),
        ("TWS socket port has been reset", [None]),
        ("TWS socket port has been reset. Please reconnect on the new port - 70000", [None]),
    ],
    ids=["nobody listens at the new port", "no port in the text", "no such port"],
)
def test_the_configured_port_is_tried_where_the_announced_one_is_of_no_use(
    text: str, tried: list[int | None]
) -> None:
    async def scenario(world: ProofWorld) -> list[int | None]:
        seen = Seen(world)
        _reset(text, world)
        await seen.connected_again()
        configured = world.simulator.port
        return [None if each.port == configured else each.port for each in seen.attempts]

    assert prove(scenario, config=CALM) == tried


@pytest.mark.req("CON-10")
def test_a_gateway_that_takes_long_to_move_is_found_at_its_new_port_after_all() -> None:
    async def scenario(world: ProofWorld) -> None:
        seen = Seen(world)
        world.simulator.faults.reset_port(moves=True)
        world.simulator.faults.refuse_connections(20.0)
        await seen.connected_again()

        assert seen.attempts[-1].port == world.simulator.port
        assert len({attempt.port for attempt in seen.attempts}) == 2

    prove(scenario, config=STEADY)


# --- recovered means that a tick came -----------------------------------------------------------------------------


def _drop(world: ProofWorld) -> None:
    world.simulator.faults.drop_connections()


def _away_and_back(world: ProofWorld) -> None:
    world.simulator.faults.connectivity_lost()
    world.simulator.loop.call_later(5.0, world.simulator.faults.connectivity_restored)


@pytest.mark.req("CON-4", "CON-10")
@pytest.mark.parametrize(
    "lose",
    [_drop, _away_and_back, partial(_reset, "socket port has been reset")],
    ids=["socket", "1100", "1300"],
)
@pytest.mark.parametrize("mode", ["minus_one", "zero", "silent", "end_only"])
def test_after_every_loss_opening_waits_for_a_tick_and_closing_does_not(
    lose: Callable[[ProofWorld], None], mode: str
) -> None:
    async def scenario(world: ProofWorld) -> None:
        await world.gateway.submit_order(buy(3.0), CONTEXT)
        seen = Seen(world)
        world.simulator.faults.missing_data(mode=mode)
        lose(world)
        await seen.connected_again()
        await asyncio.sleep(40.0)
        blocked = str((await link_status(world)).opening_blocked_by)
        closed = await world.gateway.close_all_positions()
        world.simulator.faults.missing_data(mode=None)
        await asyncio.sleep(20.0)

        assert "price" in blocked or "market data" in blocked
        assert [result.status for result in closed] == [OrderStatus.FILLED]
        assert (await link_status(world)).opening_blocked_by is None

    prove(scenario, config=CALM)


@pytest.mark.req("CON-4")
def test_a_quote_from_before_the_recovery_proves_nothing() -> None:
    """What market data answers from memory would look like this; here it is told in its name."""
    lines = Lines()

    async def scenario(world: ProofWorld) -> None:
        quotes = tapped(world.process, QuoteRead)
        await world.gateway.connect()
        old = quotes[-1].quote
        world.simulator.faults.missing_data(mode="silent")
        asked = tapped(world.process, ProveMarketData)
        world.simulator.faults.farm(2103)
        await asyncio.sleep(1.0)
        world.simulator.faults.farm(2104)
        await world.until(lambda: bool(asked))
        world.process.tell(
            CONNECTION, QuoteRead(correlation_id=asked[-1].correlation_id, quote=old)
        )
        await asyncio.sleep(0.1)

        assert "older than the recovery" in str((await link_status(world)).opening_blocked_by)

    async def started(world: ProofWorld) -> None:
        await world.gateway.status()
        await scenario(world)

    prove(started, config=CALM, log=lines, connect=False)

    assert "older" in lines.last("opening_blocked")["reason"]


@pytest.mark.req("CON-4")
def test_market_data_is_asked_for_again_until_it_answers_and_not_after() -> None:
    async def scenario(world: ProofWorld) -> None:
        world.simulator.faults.no_subscription()
        await world.gateway.status()
        asked = tapped(world.process, ProveMarketData)
        await world.gateway.connect()
        await asyncio.sleep(10 * PROOF_RETRY_S + 1.0)
        while_blocked = len(asked)
        world.simulator.faults.no_subscription(code=None)
        await asyncio.sleep(100.0)

        assert 8 <= while_blocked <= 12
        assert len(asked) == while_blocked + 1

    prove(scenario, config=CALM, connect=False)


@pytest.mark.req("CON-4", "SUP-6")
def test_a_market_data_actor_that_fails_with_the_question_in_its_hands_is_asked_again() -> None:
    async def scenario(world: ProofWorld) -> None:
        seen = Seen(world)
        world.simulator.faults.latency(0.2)
        world.simulator.faults.farm(2103)
        await asyncio.sleep(1.0)
        world.simulator.faults.farm(2104)
        await asyncio.sleep(0.3)
        crash(world.process, MARKET_DATA)
        await asyncio.sleep(30.0)

        assert (await link_status(world)).opening_blocked_by is None
        assert seen.changes == []

    prove(scenario, config=CALM)
