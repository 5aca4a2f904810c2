"""The six invariants of CON-2, checked after every step of a whole tree that is treated badly.

Hypothesis deals out faults of the simulator, commands, failures of actors and pauses; the tree and the gateway run on
one seeded loop. What is checked comes from three witnesses: the messages that pass, the log, and the simulator.
"""

from __future__ import annotations

import asyncio
import uuid
from contextlib import ExitStack, suppress
from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actors.connection.states import TRANSITIONS
from actors.errors import GatewayError
from actors.kernel.addresses import TapRecord
from actors.kernel.messages import ActorFailed
from actors.messages.addresses import CONNECTION, FACADE, LINK
from actors.messages.connection import ConnectionStateChanged, ConnectionStatus, Disconnect
from actors.messages.orders import OrderSent
from actors.model.connection import ConnectionState
from actors.model.orders import OrderStatus
from supervision.config.sections import Connection, GatewayConfig, StrategyC, Supervision
from supervision.proof.loop import open_proof
from tests.faults.crash import crash
from tests.walk.link_records import Lines, ask_to_connect, link_status
from tests.worlds import CONTEXT, ProofWorld, a_config, buy, proof_world

C = ConnectionState
RETRIES: Final = 3
HEARTBEAT_S: Final = 10.0
HURRIED = a_config(
    gateway=GatewayConfig(timeout_s=5.0),
    connection=Connection(
        retries=RETRIES,
        max_delay_s=8.0,
        heartbeat_s=HEARTBEAT_S,
        heartbeat_timeout_s=2.0,
        lasting_s=20.0,
        breaker_open_s=15.0,
        upstream_patience_s=20.0,
        same_id_retries=1,
        client_id_tries=2,
    ),
    supervision=Supervision(first_delay_s=0.001, max_delay_s=0.001, max_restarts=10_000),
    strategy_c=StrategyC(grace_seconds=3600.0),
)
"""Short waits, so that few steps meet all of them; the numbers of the invariants do not depend on them."""

SETTLING_S: Final = 0.05
"""The other end of a socket learns within this time that it was closed."""

ATTEMPT_ENDS_WITHIN_S: Final = 20.0
BACK_WITHIN_S: Final = 120.0
LINES_OF_TRANSITIONS: Final = ("connection_success", "disconnection", "connection_state")


class ConnectionUnderFire(RuleBasedStateMachine):
    """One tree and one gateway. Rules do something; then the invariants are looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.open = ExitStack()
        self.lines = Lines()
        self.changes: list[ConnectionStateChanged] = []
        self.restarts_before: set[int] = set()
        self.sent: dict[str, ConnectionState] = {}
        self.orders: list[asyncio.Task[Any]] = []

    @initialize(seed=st.integers(0, 2**32 - 1))
    def begin(self, seed: int) -> None:
        self.proof = self.open.enter_context(open_proof(seed=seed))
        made = proof_world(self.proof, config=HURRIED, log=self.lines, connect=False)
        self.world: ProofWorld = self.run(made.__aenter__())
        self.open.callback(lambda: self.run(made.__aexit__(None, None, None)))
        self.run(self.world.gateway.status())  # starts the tree
        self.world.process.tap(self._take)
        self.run(self.world.gateway.connect())

    def teardown(self) -> None:
        self.open.close()

    def run(self, work: Any) -> Any:
        return self.proof.loop.run_until_complete(work)

    def _take(self, record: TapRecord) -> None:
        message = record.message
        if type(message) is ConnectionStateChanged and record.recipient == FACADE:
            self.changes.append(message)
        elif type(message) is OrderSent:
            self.sent[message.order_ref] = self.state
        elif type(message) is ActorFailed and message.offender == CONNECTION:
            self.restarts_before.add(len(self.changes))

    @property
    def state(self) -> ConnectionState:
        return self.changes[-1].state if self.changes else C.DISCONNECTED

    @property
    def faults(self) -> Any:
        return self.world.simulator.faults

    # --- what happens to the link -------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.3, 1.0, 3.0, 9.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @rule(reset=st.booleans())
    def the_socket_closes(self, reset: bool) -> None:
        self.faults.drop_connections(reset=reset)

    @rule(count=st.integers(1, 30), side=st.sampled_from(["sent", "received"]), half=st.booleans())
    def the_socket_closes_at_a_message(self, count: int, side: Any, half: bool) -> None:
        self.faults.drop_at(count, side=side, mid_message=half and side == "sent")

    @rule(seconds=st.sampled_from([1.0, 10.0, 60.0]))
    def the_gateway_restarts(self, seconds: float) -> None:
        self.faults.nightly_reset(seconds)

    @rule()
    def the_port_is_reset(self) -> None:
        self.faults.reset_port()

    @rule()
    def the_gateway_moves(self) -> None:
        """Only while somebody hears it: one that moves in secret cannot be found."""
        self.faults.clear()
        self.run(asyncio.sleep(1.0))
        if self.state is C.CONNECTED:
            self.faults.reset_port(moves=True)

    @rule()
    def the_gateway_falls_silent(self) -> None:
        self.faults.silence()

    @rule(seconds=st.sampled_from([0.01, 0.5, 3.0]))
    def the_gateway_is_slow(self, seconds: float) -> None:
        self.faults.latency(seconds)

    @rule(name=st.sampled_from(["reqPositions", "reqCurrentTime", "reqMktData"]))
    def a_request_is_ignored(self, name: str) -> None:
        self.faults.ignore_requests(name)

    @rule(times=st.integers(1, 6))
    def client_ids_are_taken(self, times: int) -> None:
        self.faults.client_id_taken(times=times)

    @rule()
    def nobody_is_let_in(self) -> None:
        self.faults.authentication_failure()

    @rule()
    def the_version_is_too_old(self) -> None:
        self.faults.version_too_old()

    @rule(companion=st.booleans())
    def the_upstream_is_lost(self, companion: bool) -> None:
        self.faults.connectivity_lost()
        if companion:
            self.faults.farm(2110)

    @rule(data_lost=st.booleans())
    def the_upstream_is_restored(self, data_lost: bool) -> None:
        self.faults.connectivity_restored(data_lost)

    @rule(code=st.sampled_from([2103, 2104, 2105, 2106, 2107, 2108, 2119, 2157, 2158]))
    def a_farm_changes(self, code: int) -> None:
        self.faults.farm(code)

    @rule(active=st.booleans())
    def another_session_competes(self, active: bool) -> None:
        self.faults.competing_session(active)

    @rule()
    def everything_is_mended(self) -> None:
        self.faults.clear()

    # --- what is asked of it ------------------------------------------------------------------------------------------

    @rule()
    def ask(self) -> None:
        ask_to_connect(self.world)

    @rule()
    def leave(self) -> None:
        now = self.world.process.clock.monotonic()
        request = Disconnect(
            correlation_id=self.world.process.entropy.uuid4(), deadline=now + 5.0, reply_to=FACADE
        )
        self.world.process.tell(CONNECTION, request)

    @rule(name=st.sampled_from([CONNECTION, LINK]))
    def an_actor_fails(self, name: str) -> None:
        crash(self.world.process, name)

    @rule()
    def order(self) -> None:
        async def submit() -> None:
            with suppress(GatewayError):
                await self.world.gateway.submit_order(buy(1.0), CONTEXT, 5.0)

        self.orders.append(self.proof.loop.create_task(submit()))

    @rule()
    def it_comes_back_when_everything_is_mended_and_it_is_asked_to(self) -> None:
        self.faults.clear()
        self.run(
            asyncio.sleep(ATTEMPT_ENDS_WITHIN_S)
        )  # with an error that waits for whoever asks next, perhaps
        self.ask()
        self.run(self.world.until(lambda: self.state is C.CONNECTED, BACK_WITHIN_S))

    # --- what holds at every moment -----------------------------------------------------------------------------------

    @invariant()
    def each_transition_is_legal_and_follows_the_last(self) -> None:
        state = C.DISCONNECTED
        for number, event in enumerate(self.changes):
            if number in self.restarts_before and event.previous is not state:
                state = C.DISCONNECTED  # where a new incarnation begins
            assert event.previous is state
            assert event.state in TRANSITIONS[state]
            state = event.state

    @invariant()
    def each_transition_is_logged_once(self) -> None:
        logged = [
            (line["old_state"], line["new_state"], line["reason"])
            for line in self.lines.of(*LINES_OF_TRANSITIONS)
        ]

        assert logged == [
            (event.previous.value, event.state.value, event.reason) for event in self.changes
        ]

    @invariant()
    def a_session_id_exists_exactly_while_connected_and_is_never_used_again(self) -> None:
        ids = [event.session_id for event in self.changes if event.session_id is not None]

        assert all(
            (event.session_id is not None) is (event.state is C.CONNECTED) for event in self.changes
        )
        assert all(uuid.UUID(each).version == 4 for each in ids)
        assert len(set(ids)) == len(ids)

    @invariant()
    def the_connection_says_of_itself_what_it_published(self) -> None:
        if not self.changes:
            return
        with suppress(GatewayError):  # it was restarted with the question in its hands
            status: ConnectionStatus = self.run(link_status(self.world))
            highest = 0 if status.state is C.CONNECTED else RETRIES + 1
            assert 0 <= status.attempts <= highest
            assert (status.session_id is not None) is (status.state is C.CONNECTED)
            assert status.session_id in {None, *(event.session_id for event in self.changes)}

    @invariant()
    def orders_leave_only_while_connected_and_once(self) -> None:
        if not self.changes:
            return
        placed = [entry.order_ref for entry in self.world.simulator.ledger if entry.kind == "place"]

        assert len(placed) == len(set(placed))
        assert set(placed) <= set(self.sent)
        assert set(self.sent.values()) <= {C.CONNECTED}

    @invariant()
    def there_are_never_two_live_sockets(self) -> None:
        if not self.changes:
            return
        self.run(asyncio.sleep(SETTLING_S))
        assert self.world.simulator.socket_count() <= 1


ConnectionUnderFire.TestCase.settings = settings(
    max_examples=20,
    stateful_step_count=30,
    deadline=timedelta(seconds=60),
    suppress_health_check=[HealthCheck.too_slow],
    phases=[
        Phase.explicit,
        Phase.reuse,
        Phase.generate,
    ],  # a tree per example: shrinking takes minutes
)


@pytest.mark.req("CON-2", "CON-1", "CON-5", "CON-10")
class TestConnectionUnderFire(ConnectionUnderFire.TestCase):  # type: ignore[misc, valid-type]  # made at run time
    """The stateful test, collected by pytest."""


def test_the_machine_can_trade() -> None:
    """Guard against invariants that hold because nothing ever happens."""
    machine = ConnectionUnderFire()
    try:
        machine.begin(seed=1)
        machine.it_comes_back_when_everything_is_mended_and_it_is_asked_to()
        machine.time_passes(3.0)
        result = machine.run(machine.world.gateway.submit_order(buy(1.0), CONTEXT))

        assert result.status is OrderStatus.FILLED, result.rejection_reason
        assert set(machine.sent.values()) == {C.CONNECTED}
    finally:
        machine.teardown()
