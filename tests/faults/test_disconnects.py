"""Every way in which a link is lost, refused or interrupted: it comes back, and nothing is sent before (CON)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import datetime
from functools import partial
from itertools import pairwise
from typing import Any

import attrs
import pytest

from actors.connection.states import TRANSITIONS
from actors.errors import (
    GatewayAuthenticationError,
    GatewayError,
    GatewayTimeoutError,
    IncompatibleVersionError,
)
from actors.kernel.addresses import TapRecord
from actors.messages.addresses import FACADE, POSITION, RECORDS, RISK
from actors.messages.connection import (
    BrokerStateRead,
    ConnectionStateChanged,
    OpenSession,
    Probe,
    Probed,
    Reconcile,
)
from actors.messages.orders import InstallPermitKey, OrderSent, OrderUpdated
from actors.messages.records import SessionFinished
from actors.model.connection import ConnectionState, DisconnectCause
from actors.model.orders import Execution, OrderStatus
from supervision.config.sections import Connection, GatewayConfig, StrategyC
from supervision.simulator import Simulator
from tests.faults.crash import crash
from tests.worlds import CONTEXT, ProofWorld, a_config, buy, prove

S = ConnectionState
NO_LIQUIDATION = StrategyC(grace_seconds=3600.0)
CALM = a_config(strategy_c=NO_LIQUIDATION)
"""These tests are about the link; what Strategy C does about its loss has tests of its own."""


@attrs.define
class Watch:
    """What the connection said, and what reached the wire while it was not CONNECTED."""

    transitions: list[ConnectionStateChanged] = attrs.field(factory=list)
    attempts: list[datetime] = attrs.field(factory=list)
    sent: dict[str, ConnectionState] = attrs.field(factory=dict)

    def __call__(self, record: TapRecord) -> None:
        """Take note of one message."""
        message = record.message
        if type(message) is ConnectionStateChanged and record.recipient == FACADE:
            self.transitions.append(message)
        elif type(message) is OpenSession:
            self.attempts.append(record.at)
        elif type(message) is OrderSent:
            self.sent[message.order_ref] = self.states[-1] if self.states else S.CONNECTED

    @property
    def states(self) -> list[ConnectionState]:
        """The states in their order."""
        return [event.state for event in self.transitions]

    def count(self, state: ConnectionState) -> int:
        """Count how often a state was entered."""
        return self.states.count(state)

    def assert_legal(self) -> None:
        """Check every transition against the table, and the session ids (CON-1, CON-2)."""
        for before, after in pairwise(self.transitions):
            assert before.state is after.previous
        for event in self.transitions:
            assert event.state in TRANSITIONS[event.previous]
            assert (event.session_id is not None) is (event.state is S.CONNECTED)
        sessions = [event.session_id for event in self.transitions if event.session_id]
        assert len(sessions) == len(set(sessions))

    def assert_nothing_sent_while_away(self, simulator: Simulator) -> None:
        """Check of each order in the simulator's ledger that it left while CONNECTED, and only once (CON-2).

        When it arrived says less: what a gateway leaves in its socket, it may read after the link is lost.
        """
        placed = [entry.order_ref for entry in simulator.ledger if entry.kind == "place"]
        assert len(placed) == len(set(placed))
        assert set(placed) <= set(self.sent)
        assert set(self.sent.values()) <= {S.CONNECTED}


def watching(world: ProofWorld) -> Watch:
    """Begin to watch; the connection is CONNECTED already."""
    watch = Watch()
    world.process.tap(watch)
    return watch


async def comes_back(
    world: ProofWorld, watch: Watch, times: int = 1, within_s: float = 300.0
) -> None:
    """Wait until the link was CONNECTED once more, with everything reconciled, and an order fills."""
    await world.until(lambda: watch.count(S.CONNECTED) >= times, within_s)
    assert await world.gateway.verify_connection()
    await asyncio.sleep(1.0)
    filled = await world.gateway.submit_order(buy(1.0), CONTEXT)
    assert filled.status is OrderStatus.FILLED, filled.rejection_reason
    watch.assert_legal()


# --- the ways to lose it ----------------------------------------------------------------------------------------------


def _drop(world: ProofWorld) -> None:
    world.simulator.faults.drop_connections()


def _close(world: ProofWorld) -> None:
    world.simulator.faults.drop_connections(reset=False)


def _half_a_message(world: ProofWorld) -> None:
    world.simulator.faults.drop_mid_message()


def _port_reset(world: ProofWorld) -> None:
    world.simulator.faults.send_error(1300, "TWS socket port has been reset to 4002")


@pytest.mark.req("CON-1", "CON-2", "CON-11")
@pytest.mark.parametrize("lose", [_drop, _close, _half_a_message, _port_reset])
def test_a_link_that_is_lost_comes_back_by_itself(lose: Callable[[ProofWorld], None]) -> None:
    async def scenario(world: ProofWorld) -> None:
        watch = watching(world)

        lose(world)
        await comes_back(world, watch)

        assert watch.states == [S.RECONNECTING, S.CONNECTED]
        assert watch.transitions[0].cause is not None
        watch.assert_nothing_sent_while_away(world.simulator)

    prove(scenario, config=CALM)


@pytest.mark.req("CON-9")
@pytest.mark.parametrize("stop_reading", [False, True])
def test_a_silent_link_counts_as_lost_within_forty_seconds(stop_reading: bool) -> None:
    limit_s = 40.0 + 0.1

    async def scenario(world: ProofWorld) -> None:
        watch = watching(world)
        silent_at = world.process.clock.now()

        world.simulator.faults.silence(stop_reading)
        await world.until(lambda: watch.count(S.RECONNECTING) == 1, limit_s)
        lost = watch.transitions[0]
        world.simulator.faults.speak()
        await comes_back(world, watch)

        assert DisconnectCause.SILENCE is lost.cause
        assert 0.0 < (lost.at - silent_at).total_seconds() <= limit_s

    prove(scenario, config=CALM)


@pytest.mark.req("CON-9")
def test_the_heartbeat_measures_its_round_trip() -> None:
    async def scenario(world: ProofWorld) -> None:
        world.simulator.faults.latency(0.25)
        seen: list[TapRecord] = []
        world.process.tap(seen.append)

        await asyncio.sleep(95.0)

        beats = [item.at for item in seen if type(item.message) is Probe]
        latencies = [item.message.latency_ms for item in seen if type(item.message) is Probed]
        assert len(beats) == 3
        assert latencies == pytest.approx([250.0] * 3, abs=1.0)

    prove(scenario, config=CALM)


@pytest.mark.req("CON-10", "CON-11")
@pytest.mark.parametrize("data_lost", [False, True])
def test_a_lost_upstream_keeps_the_socket_and_begins_a_new_session_when_restored(
    data_lost: bool,
) -> None:
    async def scenario(world: ProofWorld) -> None:
        watch = watching(world)
        before = (await world.gateway.status()).session_id

        world.simulator.faults.connectivity_lost()
        await world.until(lambda: not world.gateway.is_connected)
        await asyncio.sleep(100.0)
        world.simulator.faults.connectivity_restored(data_lost)
        await comes_back(world, watch)

        assert watch.states == [S.RECONNECTING, S.CONNECTED]
        assert DisconnectCause.UPSTREAM_LOST is watch.transitions[0].cause
        assert watch.attempts == []
        assert before != watch.transitions[-1].session_id

    prove(scenario, config=CALM)


@pytest.mark.req("CON-10")
@pytest.mark.parametrize("victim", ["risk", "executor", "position"])
def test_an_actor_that_fails_while_the_upstream_is_lost_does_not_make_it_look_restored(
    victim: str,
) -> None:
    async def scenario(world: ProofWorld) -> None:
        watch = watching(world)
        world.simulator.faults.connectivity_lost()
        await world.until(lambda: not world.gateway.is_connected)

        crash(world.process, victim)
        await asyncio.sleep(60.0)
        assert watch.states == [S.RECONNECTING]
        world.simulator.faults.connectivity_restored()
        await comes_back(world, watch)

        watch.assert_nothing_sent_while_away(world.simulator)

    prove(scenario, config=CALM)


@pytest.mark.req("CON-10", "CON-11")
def test_a_gateway_without_upstream_is_not_connected_until_it_has_one() -> None:
    async def scenario(world: ProofWorld) -> None:
        watch = watching(world)
        world.simulator.faults.connectivity_lost()
        world.simulator.faults.drop_connections()

        await asyncio.sleep(300.0)
        assert S.CONNECTED not in watch.states
        assert len(world.simulator.client_ids()) == 1
        world.simulator.faults.connectivity_restored()
        await comes_back(world, watch)

    prove(scenario, config=CALM)


@pytest.mark.req("CON-9", "CON-10")
def test_a_gateway_without_upstream_that_falls_silent_is_left() -> None:
    async def scenario(world: ProofWorld) -> None:
        watch = watching(world)
        world.simulator.faults.connectivity_lost()
        world.simulator.faults.drop_connections()
        await asyncio.sleep(30.0)
        attempts = len(watch.attempts)

        world.simulator.faults.silence()
        await world.until(lambda: len(watch.attempts) > attempts, 60.0)
        world.simulator.faults.clear()

        await comes_back(world, watch)

    prove(scenario, config=CALM)


@pytest.mark.req("CON-11", "CON-2")
@pytest.mark.parametrize("pause_s", [0.0, 0.02, 0.05, 0.1])
def test_a_link_that_is_lost_during_reconciliation_is_reconciled_again(pause_s: float) -> None:
    async def scenario(world: ProofWorld) -> None:
        watch = watching(world)
        world.simulator.faults.latency(0.02)

        world.simulator.faults.drop_connections()
        await world.until(lambda: len(world.simulator.client_ids()) == 1)
        await asyncio.sleep(pause_s)
        world.simulator.faults.drop_connections()
        await comes_back(world, watch)

        watch.assert_nothing_sent_while_away(world.simulator)

    prove(scenario, config=CALM)


@pytest.mark.req("CON-11")
def test_what_was_filled_while_away_is_found_at_the_reconnect() -> None:
    async def scenario(world: ProofWorld) -> None:
        fills: list[Execution] = []
        world.process.tap(
            lambda record: (
                fills.append(record.message.execution)
                if type(record.message) is OrderUpdated
                and record.recipient == FACADE
                and record.message.execution is not None
                else None
            )
        )
        world.simulator.faults.hold_orders()
        order = asyncio.create_task(world.gateway.submit_order(buy(5.0), CONTEXT, 60.0))
        await world.until(lambda: len(world.simulator.open_orders()) == 1)

        world.simulator.faults.nightly_reset(10.0)
        world.simulator.faults.release_orders()
        result = await order

        assert result.status is OrderStatus.FILLED
        assert [fill.quantity for fill in fills] == [5.0]
        assert [item.quantity for item in await world.gateway.get_positions()] == [5.0]

    prove(scenario, config=CALM)


# --- attempts ---------------------------------------------------------------------------------------------------------


@pytest.mark.req("CON-5", "CON-6", "CON-1")
def test_attempts_back_off_then_go_on_at_the_cap_for_as_long_as_it_takes() -> None:
    breaker_open_s = 30.0  # longer than the backoff of 16 s that would come after the fifth failure
    delays_s = (0.0, 1.0, 2.0, 4.0, 8.0, breaker_open_s, 32.0, 32.0, 32.0, 32.0)
    jitter_ratio = 0.2

    async def scenario(world: ProofWorld) -> None:
        await asyncio.sleep(61.0)  # a connection that lasted starts the count from 0
        watch = watching(world)
        lost_at = world.process.clock.now()
        world.simulator.faults.refuse_connections()
        world.simulator.faults.drop_connections()

        await world.until(lambda: len(watch.attempts) == len(delays_s), 600.0)
        world.simulator.faults.accept_connections()
        await comes_back(world, watch)

        waits = [
            (after - before).total_seconds()
            for before, after in pairwise([lost_at, *watch.attempts[: len(delays_s)]])
        ]
        for expected, wait in zip(delays_s, waits, strict=True):
            assert wait == pytest.approx(expected, rel=jitter_ratio + 0.01, abs=0.05)
        assert watch.count(S.FAILED) >= 2
        assert S.CONNECTING in watch.states

    prove(scenario, config=CALM)


@pytest.mark.req("CON-5", "CON-7")
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (lambda world: world.simulator.faults.version_too_old(), IncompatibleVersionError),
        (
            lambda world: world.simulator.faults.authentication_failure("disclaimer"),
            GatewayAuthenticationError,
        ),
    ],
)
def test_an_error_that_is_not_worth_a_retry_waits_for_the_operator(
    fault: Callable[[ProofWorld], None], error: type[GatewayError]
) -> None:
    async def scenario(world: ProofWorld) -> None:
        fault(world)
        with pytest.raises(error) as raised:
            await world.gateway.connect()
        watch = watching(world)

        await asyncio.sleep(3600.0)
        assert watch.attempts == []
        assert (await world.gateway.status()).connection == S.FAILED
        world.simulator.faults.clear()
        await world.gateway.connect()

        assert not raised.value.retryable
        assert watch.states == [S.CONNECTING, S.CONNECTED]

    prove(scenario, connect=False, config=CALM)


@pytest.mark.req("CON-5", "CON-7", "GW-12")
@pytest.mark.parametrize("mode", ["close", "silence"])
def test_a_gateway_that_lets_nobody_in_is_tried_again(mode: str) -> None:
    async def scenario(world: ProofWorld) -> None:
        world.simulator.faults.authentication_failure(mode)
        with pytest.raises(GatewayTimeoutError):
            await world.gateway.connect(20.0)

        world.simulator.faults.clear()
        await world.until(lambda: world.gateway.is_connected, 300.0)

    prove(
        scenario,
        connect=False,
        config=a_config(gateway=GatewayConfig(timeout_s=5.0), strategy_c=NO_LIQUIDATION),
    )


@pytest.mark.req("CON-5")
def test_a_link_that_flaps_backs_off() -> None:
    flaps = 6

    async def scenario(world: ProofWorld) -> None:
        watch = watching(world)
        for number in range(flaps):
            world.simulator.faults.drop_connections()
            await world.until(lambda number=number: watch.count(S.CONNECTED) > number, 300.0)  # type: ignore[misc]

        watch.assert_legal()
        waits = [
            (after.at - before.at).total_seconds()
            for before, after in pairwise(watch.transitions)
            if after.state is S.CONNECTED
        ]
        assert len(waits) == flaps
        assert all(wait < 60.0 for wait in waits)

    prove(scenario, config=CALM)


# --- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.req("CON-13")
def test_a_disconnect_in_order_closes_the_session_and_its_record() -> None:
    async def scenario(world: ProofWorld) -> None:
        seen: list[TapRecord] = []
        world.process.tap(seen.append)
        session_id = (await world.gateway.status()).session_id
        stream = await world.gateway.subscribe_quotes(["SPY"])

        await world.gateway.disconnect()
        requests = len(world.simulator.client_ids())

        closed = [
            item.message
            for item in seen
            if type(item.message) is SessionFinished and item.recipient == RECORDS
        ]
        assert [(session_id, S.DISCONNECTED)] == [
            (row.session_id, row.final_state) for row in closed
        ]
        assert requests == 0
        async for _ in stream:  # what came before; then it ends
            pass

    prove(scenario, config=CALM)


@pytest.mark.req("CON-13", "STC-1")
def test_a_disconnect_that_was_asked_for_while_reconciling_is_no_loss() -> None:
    async def scenario(world: ProofWorld) -> None:
        watch = watching(world)
        world.simulator.faults.latency(0.05)
        crash(world.process, "risk")
        await asyncio.sleep(0.3)

        await world.gateway.disconnect()

        assert [event.cause for event in watch.transitions] == [DisconnectCause.ASKED]

    prove(scenario)


@pytest.mark.req("CON-11", "SUP-6")
@pytest.mark.parametrize("victim", ["risk", "executor", "position", "strategy_c"])
def test_an_actor_that_fails_while_reconciling_does_not_stall_it(victim: str) -> None:
    """The broker's answers take a while here, so that the failures meet every stage of it."""

    async def scenario(world: ProofWorld) -> None:
        watch = watching(world)
        seen: list[TapRecord] = []
        world.process.tap(seen.append)
        world.simulator.faults.latency(0.01)

        for step in range(30):
            crash(world.process, "risk")
            await asyncio.sleep(0.005 * step)
            crash(world.process, victim)
            await asyncio.sleep(0.1)
        await asyncio.sleep(20.0)

        assert watch.transitions == []
        assert any(type(item.message) is BrokerStateRead for item in seen)
        assert any(type(item.message) is Reconcile for item in seen)
        filled = await world.gateway.submit_order(buy(1.0), CONTEXT)
        assert filled.status is OrderStatus.FILLED, filled.rejection_reason

    prove(
        scenario,
        config=a_config(
            supervision=attrs.evolve(
                a_config().supervision, first_delay_s=0.001, max_delay_s=0.001, max_restarts=10_000
            )
        ),
    )


@pytest.mark.req("CON-11", "SUP-6")
@pytest.mark.parametrize("seed", range(30))
def test_a_risk_actor_that_fails_with_the_brokers_state_in_its_hands_gets_it_again(
    seed: int,
) -> None:
    """It waits for the executor's working orders then, and forgets what it was told."""

    async def scenario(world: ProofWorld) -> None:
        watch = watching(world)
        failed = False

        def fail(record: TapRecord) -> None:
            nonlocal failed
            if not failed and type(record.message) is InstallPermitKey:  # it has the state now
                failed = True
                crash(world.process, RISK)

        world.process.tap(fail)
        crash(world.process, POSITION)
        await asyncio.sleep(5.0)
        filled = await world.gateway.submit_order(buy(1.0), CONTEXT)

        assert failed
        assert filled.status is OrderStatus.FILLED, filled.rejection_reason
        assert watch.transitions == []

    prove(scenario, seed=seed)


# --- everything at random ---------------------------------------------------------------------------------------------


def _take_id(world: ProofWorld) -> None:
    world.simulator.faults.client_id_taken(1, 2)
    world.simulator.faults.drop_connections()


def _random_fault(world: ProofWorld, rng: random.Random) -> str:
    faults = world.simulator.faults
    choices: list[tuple[str, Callable[[], object]]] = [
        ("drop", faults.drop_connections),
        ("close", lambda: faults.drop_connections(reset=False)),
        ("half a message", faults.drop_mid_message),
        ("drop at", lambda: faults.drop_at(rng.randrange(1, 40))),
        ("drop at receipt", lambda: faults.drop_at(rng.randrange(1, 40), side="received")),
        ("silence", faults.silence),
        ("deaf", lambda: faults.silence(stop_reading=True)),
        ("1100", faults.connectivity_lost),
        ("slow", lambda: faults.latency(rng.uniform(0.01, 2.0))),
        ("refuse", lambda: faults.nightly_reset(rng.uniform(1.0, 200.0))),
        ("326", partial(_take_id, world)),
        ("unanswered", lambda: faults.ignore_requests("reqPositions", "reqCurrentTime")),
        ("port", partial(_port_reset, world)),
    ]
    name, act = rng.choice(choices)
    act()
    return name


@pytest.mark.req("CON-1", "CON-2", "CON-5", "CON-9", "CON-11")
@pytest.mark.parametrize("seed", range(2))
def test_fifty_random_faults_end_connected(seed: int) -> None:
    count = 50

    async def scenario(world: ProofWorld) -> None:
        rng = random.Random(seed)
        watch = watching(world)
        orders: list[asyncio.Task[Any]] = []

        async def order() -> Any:
            try:
                return await world.gateway.submit_order(buy(1.0), CONTEXT, 10.0)
            except GatewayError as error:
                return error

        for _ in range(count):
            _random_fault(world, rng)
            for _ in range(3):
                await asyncio.sleep(rng.uniform(0.0, 60.0))
                orders.append(asyncio.create_task(order()))
            if rng.random() < 0.7:
                world.simulator.faults.clear()
        world.simulator.faults.clear()
        await asyncio.gather(*orders)
        await world.until(lambda: world.gateway.is_connected, 300.0)
        await asyncio.sleep(300.0)

        assert world.gateway.is_connected
        watch.assert_legal()
        watch.assert_nothing_sent_while_away(world.simulator)
        held = {item.contract.con_id: item.quantity for item in await world.gateway.get_positions()}
        truth = {key: item.quantity for key, item in world.simulator.positions().items()}
        assert truth == held
        assert await world.gateway.get_open_orders() == []

    prove(scenario, seed=seed, config=a_config(strategy_c=NO_LIQUIDATION, connection=Connection()))
