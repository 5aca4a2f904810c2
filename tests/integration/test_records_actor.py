"""The writer behind the trading, alone on virtual time, against a database that fails in every way (DB-4)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import attrs
import pytest

from actors.kernel.context import ActorContext
from actors.kernel.messages import StopActor
from actors.messages.addresses import RECORDS
from actors.messages.records import (
    GetRecordsStatus,
    RecordsStatus,
    SessionFinished,
    SessionStarted,
)
from actors.model.connection import ConnectionState
from supervision.config.sections import Database
from supervision.proof.driver import ProofDriver
from supervision.proof.loop import Proof, run_proof
from supervision.store.records import SETTLE_S, RecordsActor
from supervision.store.records_backlog import Backlog
from supervision.store.records_port import ConnectionRecords
from supervision.store.records_values import STALE, ConnectionRecord, Endpoint
from supervision.tree.child_spec import ChildSpec
from supervision.tree.restart_policy import RestartPolicy
from supervision.tree.tree import Tree
from tests.faults.crash import POISON, hollow
from tests.faults.faulty_records import Fault, FaultyRecords

S = ConnectionState
OURS = Endpoint(client_id=1, host="gateway.example", port=4002)
SETTINGS = Database(jitter_ratio=0.0)
BOUND = 1000
LONG_S = 300.0
STOP_S = 10.0
ENDS = (S.RECONNECTING, S.DISCONNECTED)
FAULTS = tuple(Fault)


@attrs.define
class Writer:
    """A records actor in a tree of its own, and what is told to it."""

    proof: Proof
    database: FaultyRecords
    tree: Tree
    driver: ProofDriver
    backlog: Backlog
    logged: list[tuple[str, dict[str, object]]]
    expected: dict[str, str | None] = attrs.field(factory=dict)

    def start(self) -> str:
        """Tell that a session was opened."""
        session_id = self.proof.entropy.uuid4()
        self.tree.tell(
            RECORDS,
            SessionStarted(
                session_id=session_id,
                client_id=OURS.client_id,
                host=OURS.host,
                port=OURS.port,
                server_version=176,
                readonly=False,
                at=self.proof.clock.now(),
            ),
        )
        self.expected[session_id] = None
        return session_id

    def finish(self, session_id: str, state: ConnectionState = S.RECONNECTING) -> None:
        """Tell how it ended."""
        self.tree.tell(
            RECORDS,
            SessionFinished(
                session_id=session_id, final_state=state, error_count=2, at=self.proof.clock.now()
            ),
        )
        self.expected[session_id] = state.value

    async def status(self) -> RecordsStatus:
        """Ask how the writing goes; the answer must come in no time."""
        before = self.proof.loop.time()
        reply = await self.tree.ask_async(
            RECORDS,
            lambda id_, deadline, to: GetRecordsStatus(
                correlation_id=id_, deadline=deadline, reply_to=to
            ),
            1.0,
        )
        assert isinstance(reply, RecordsStatus)
        assert self.proof.loop.time() - before < 0.01
        return reply

    async def crash(self) -> None:
        """Make the actor fail, and wait for its successor."""
        (before,) = self.tree.status()
        self.tree.tell(RECORDS, hollow(POISON[RECORDS]))
        while (now := self.tree.status()[0]).incarnation == before.incarnation or now.state != "up":
            await asyncio.sleep(0.1)

    def states(self) -> dict[str, str | None]:
        """The final states that are committed."""
        return {row.session_id: row.final_state for row in self.database.rows.values()}

    def events(self) -> list[str]:
        """The names of what was logged."""
        return [event for event, _ in self.logged]


def prove(
    scenario: Callable[[Writer], Coroutine[Any, Any, None]],
    *,
    seed: int = 1,
    bound: int = BOUND,
    is_private: bool = False,
    left: Callable[[FaultyRecords], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Run one scenario; ``left`` puts into the database what an earlier process left there."""

    async def within(proof: Proof) -> None:
        database, backlog = FaultyRecords(proof.clock), Backlog(bound)
        if left is not None:
            await left(database)
        logged: list[tuple[str, dict[str, object]]] = []

        def log(event: str, **fields: object) -> None:
            logged.append((event, fields))

        async def open_records() -> ConnectionRecords:
            return database

        def make(context: ActorContext) -> RecordsActor:
            return RecordsActor(
                context,
                settings=SETTINGS,
                endpoint=OURS,
                backlog=backlog,
                open_records=open_records,
                is_private=is_private,
                log=log,
            )

        driver = ProofDriver(proof.loop, random.Random(seed))
        spec = ChildSpec(name=RECORDS, factory=make, shutdown_s=STOP_S)
        tree = Tree((spec,), driver, proof.clock, proof.entropy, RestartPolicy(max_restarts=10_000))
        await tree.start_async()
        writer = Writer(proof, database, tree, driver, backlog, logged)
        try:
            await scenario(writer)
        finally:
            database.fault = Fault.NONE
            await tree.stop_async(timeout_s=STOP_S)

    run_proof(within, seed=seed)


# --- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.req("DB-4", "CON-13")
def test_a_session_is_one_row_that_begins_and_ends() -> None:
    async def scenario(writer: Writer) -> None:
        session_id = writer.start()
        await asyncio.sleep(1.0)
        assert writer.states() == {session_id: None}

        writer.finish(session_id, S.DISCONNECTED)
        await asyncio.sleep(1.0)

        row = writer.database.rows[session_id]
        assert (row.final_state, row.error_count) == ("DISCONNECTED", 2)
        assert row.disconnection_time == row.connection_time + timedelta(seconds=1)
        status = await writer.status()
        assert (status.degraded_by, status.waiting, status.dropped) == (None, 0, 0)

    prove(scenario)


@pytest.mark.req("DB-4")
def test_start_and_end_of_a_session_that_waits_are_one_row_to_write() -> None:
    async def scenario(writer: Writer) -> None:
        writer.database.fault = Fault.DOWN
        for _ in range(5):
            writer.finish(writer.start())
        await asyncio.sleep(1.0)

        assert (await writer.status()).waiting == 5

    prove(scenario)


@pytest.mark.req("DB-4")
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault is not Fault.NONE])
def test_whatever_the_database_does_nobody_waits_and_every_row_is_there_in_the_end(
    fault: Fault,
) -> None:
    async def scenario(writer: Writer) -> None:
        earlier = writer.start()
        await asyncio.sleep(1.0)
        writer.database.fault = fault
        writer.finish(earlier)
        for _ in range(20):
            writer.finish(writer.start())
            await writer.status()  # asserts that it is answered in no time
            await asyncio.sleep(1.0)

        degraded = (await writer.status()).degraded_by
        writer.database.fault = Fault.NONE
        await asyncio.sleep(2 * SETTINGS.max_delay_s)

        assert (degraded is None) is (fault is Fault.SLOW)
        assert writer.states() == writer.expected
        status = await writer.status()
        assert (status.degraded_by, status.waiting, status.dropped) == (None, 0, 0)

    prove(scenario)


@pytest.mark.req("DB-4")
@pytest.mark.parametrize("seed", range(60))
def test_after_any_storm_every_row_is_there_once_with_the_right_end(seed: int) -> None:
    dice = random.Random(seed)

    async def scenario(writer: Writer) -> None:
        session_id: str | None = None
        for _ in range(120):
            what = dice.random()
            if what < 0.15:
                writer.database.fault = dice.choice(FAULTS)
            elif what < 0.20:
                await writer.crash()
            elif session_id is None:
                session_id = writer.start()
            else:
                writer.finish(session_id, dice.choice(ENDS))
                session_id = None
            await writer.status()
            await asyncio.sleep(dice.choice((0.0, 0.0, 0.5, 4.0, 30.0)))
        writer.database.fault = Fault.NONE
        await asyncio.sleep(LONG_S)

        assert writer.states() == writer.expected
        status = await writer.status()
        assert (status.degraded_by, status.waiting, status.dropped) == (None, 0, 0)

    prove(scenario, seed=seed)


@pytest.mark.req("DB-4", "SUP-4")
def test_a_hung_records_actor_is_replaced_and_its_successor_writes_what_waited() -> None:
    async def scenario(writer: Writer) -> None:
        writer.database.fault = Fault.DOWN
        writer.finish(writer.start())
        await asyncio.sleep(1.0)
        writer.driver.hang(RECORDS)
        writer.tree.tell(  # what it has in its hands when it hangs
            RECORDS, GetRecordsStatus(correlation_id="in hand", deadline=1e9, reply_to="nobody")
        )
        writer.finish(writer.start())
        await asyncio.sleep(10.0)
        assert writer.tree.status()[0].restarts == 1
        writer.driver.wake(RECORDS)

        writer.database.fault = Fault.NONE
        await asyncio.sleep(LONG_S)

        assert len(writer.expected) == 2
        assert writer.states() == writer.expected

    prove(scenario)


# --- saying so --------------------------------------------------------------------------------------------------------


@pytest.mark.req("DB-4")
def test_trouble_is_said_once_with_its_reason_and_so_is_its_end() -> None:
    async def scenario(writer: Writer) -> None:
        writer.database.fault = Fault.DOWN
        writer.start()
        await asyncio.sleep(LONG_S)
        assert (await writer.status()).degraded_by == "the database is down"
        writer.database.fault = Fault.NONE
        await asyncio.sleep(LONG_S)

        assert writer.events() == ["records_degraded", "records_recovered"]
        assert writer.logged[0][1]["reason"] == "the database is down"

    prove(scenario)


@pytest.mark.req("DB-4")
def test_a_database_that_hangs_is_cut_off_and_named() -> None:
    async def scenario(writer: Writer) -> None:
        writer.database.fault = Fault.HANGING
        writer.start()
        await asyncio.sleep(SETTINGS.statement_timeout_s + 1.0)

        assert (await writer.status()).degraded_by == "the database did not answer within 5 s"

    prove(scenario)


@pytest.mark.req("DB-4")
def test_calls_that_cannot_be_called_off_are_few() -> None:
    async def scenario(writer: Writer) -> None:
        writer.database.fault = Fault.DEAF
        writer.start()
        await asyncio.sleep(10 * LONG_S)

        assert writer.database.calls <= 5
        assert "3 calls have not come back" in str((await writer.status()).degraded_by)

    prove(scenario)


@pytest.mark.req("DB-4")
def test_retries_wait_longer_each_time_up_to_the_maximum() -> None:
    async def scenario(writer: Writer) -> None:
        writer.database.fault = Fault.DOWN
        writer.start()
        await asyncio.sleep(10 * SETTINGS.max_delay_s)

        # 0.5 s, doubling to 30 s: six retries in the first 31.5 s, then one in 30 s.
        assert 14 <= writer.database.calls <= 18

    prove(scenario)


@pytest.mark.req("DB-4")
def test_beyond_the_bound_the_oldest_rows_are_dropped_and_counted() -> None:
    async def scenario(writer: Writer) -> None:
        writer.database.fault = Fault.DOWN
        for _ in range(8):
            writer.finish(writer.start())
            await asyncio.sleep(0.1)
        status = await writer.status()
        writer.database.fault = Fault.NONE
        await asyncio.sleep(LONG_S)

        assert (status.waiting, status.dropped) == (5, 3)
        assert list(writer.states()) == list(writer.expected)[3:]

    prove(scenario, bound=5)


@pytest.mark.req("DB-4")
def test_a_row_that_makes_no_sense_is_refused_and_the_others_are_written() -> None:
    async def scenario(writer: Writer) -> None:
        writer.finish("not a session")
        writer.tree.tell(
            RECORDS,
            SessionStarted(
                session_id="nor this",
                client_id=1,
                host="h",
                port=4002,
                server_version=176,
                readonly=False,
                at=writer.proof.clock.now(),
            ),
        )
        good = writer.start()
        await asyncio.sleep(1.0)

        assert writer.states() == {good: None}
        assert (await writer.status()).dropped == 2
        assert writer.events() == ["records_refused", "records_refused"]

    prove(scenario)


# --- what others left open --------------------------------------------------------------------------------------------


def _left(session_id: str, **fields: Any) -> Callable[[FaultyRecords], Coroutine[Any, Any, None]]:
    async def put(database: FaultyRecords) -> None:
        now = database.memory._clock.now()
        values: dict[str, Any] = {
            "session_id": session_id,
            "client_id": OURS.client_id,
            "host": OURS.host,
            "port": OURS.port,
            "server_version": 176,
            "readonly": False,
            "connection_time": now,
            "created_at": now,
            "updated_at": now,
        }
        database.memory.rows[session_id] = ConnectionRecord(**(values | fields))

    return put


LEFT_ID = "6f1c3a52-7a1e-4b0e-9a55-3d1a5b7c9e01"


@pytest.mark.req("DB-2", "DB-4")
@pytest.mark.parametrize(
    ("fields", "is_private", "state"),
    [
        ({}, False, STALE),
        ({"client_id": 2}, False, None),
        ({"client_id": 2}, True, STALE),
        ({"final_state": "DISCONNECTED"}, True, "DISCONNECTED"),
    ],
)
def test_a_start_closes_what_an_earlier_process_left_open(
    fields: dict[str, Any], is_private: bool, state: str | None
) -> None:
    async def scenario(writer: Writer) -> None:
        mine = writer.start()
        await asyncio.sleep(1.0)

        assert writer.states() == {LEFT_ID: state, mine: None}

    prove(scenario, left=_left(LEFT_ID, **fields), is_private=is_private)


@pytest.mark.req("DB-2", "DB-4")
def test_what_others_left_is_closed_once_it_gave_no_sign_of_life_for_long_enough() -> None:
    async def left(database: FaultyRecords) -> None:
        old = database.memory._clock.now() - timedelta(seconds=SETTINGS.stale_after_s + 1.0)
        await _left(LEFT_ID, client_id=2, updated_at=old)(database)

    async def scenario(writer: Writer) -> None:
        await asyncio.sleep(1.0)

        assert writer.states() == {LEFT_ID: STALE}
        assert writer.events() == ["records_closed_stale"]

    prove(scenario, left=left)


@pytest.mark.req("DB-2", "DB-4")
def test_our_own_session_is_not_swept_when_the_first_sweep_comes_late() -> None:
    async def scenario(writer: Writer) -> None:
        writer.database.fault = Fault.DOWN
        await asyncio.sleep(1.0)
        mine = writer.start()
        await _left(mine)(writer.database)  # an attempt whose outcome was unknown had committed it
        writer.database.fault = Fault.NONE
        await asyncio.sleep(LONG_S)

        assert writer.states() == {mine: None}

    prove(scenario)


@pytest.mark.req("DB-2", "DB-4")
def test_a_living_session_gives_signs_of_life_and_takes_back_a_sweep_by_somebody_else() -> None:
    async def scenario(writer: Writer) -> None:
        mine = writer.start()
        await asyncio.sleep(10 * SETTINGS.alive_every_s)
        assert await writer.database.cleanup_stale_connections(2 * SETTINGS.alive_every_s) == 0

        assert await writer.database.cleanup_stale_connections(0) == 1
        await asyncio.sleep(SETTINGS.alive_every_s + 1.0)

        assert writer.states() == {mine: None}

    prove(scenario)


@pytest.mark.req("DB-4", "CON-13")
def test_a_session_whose_end_was_never_told_is_closed_by_the_next_one() -> None:
    async def scenario(writer: Writer) -> None:
        lost = writer.start()
        await asyncio.sleep(1.0)
        following = writer.start()
        await asyncio.sleep(1.0)

        assert writer.states() == {lost: STALE, following: None}

    prove(scenario)


# --- the stop ---------------------------------------------------------------------------------------------------------


@pytest.mark.req("DB-4", "SUP-9")
def test_a_stop_writes_what_waits_and_what_was_told_just_before() -> None:
    async def scenario(writer: Writer) -> None:
        writer.database.fault = Fault.SLOW
        writer.finish(writer.start(), S.DISCONNECTED)
        writer.database.fault = Fault.NONE
        assert await writer.tree.stop_async(timeout_s=STOP_S)

        assert writer.states() == writer.expected
        assert writer.events() == []

    prove(scenario)


@pytest.mark.req("DB-4", "SUP-9")
@pytest.mark.parametrize("fault", [Fault.DOWN, Fault.HANGING, Fault.DEAF])
def test_a_stop_without_a_database_is_in_time_and_names_what_was_not_written(fault: Fault) -> None:
    async def scenario(writer: Writer) -> None:
        writer.database.fault = fault
        session_id = writer.start()
        writer.finish(session_id, S.DISCONNECTED)
        await asyncio.sleep(1.0)
        before = writer.proof.loop.time()

        assert await writer.tree.stop_async(timeout_s=STOP_S)

        assert writer.proof.loop.time() - before < SETTINGS.drain_s + SETTLE_S + 0.1
        event, fields = writer.logged[-1]
        assert event == "records_unwritten"
        assert fields["sessions"] == (f"{session_id} DISCONNECTED",)

    prove(scenario)


@pytest.mark.req("DB-4")
def test_a_second_stop_does_not_wait_for_the_database() -> None:
    async def scenario(writer: Writer) -> None:
        writer.database.fault = Fault.HANGING
        writer.start()
        await asyncio.sleep(1.0)
        before = writer.proof.loop.time()

        stop = asyncio.ensure_future(writer.tree.stop_async(timeout_s=STOP_S))
        await asyncio.sleep(0.1)
        writer.tree.tell(RECORDS, StopActor())
        await stop

        assert writer.proof.loop.time() - before < 0.5

    prove(scenario)
