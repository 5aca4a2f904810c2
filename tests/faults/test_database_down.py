"""The database fails in the middle of a storm: trading goes on, health says so, and at last every row is there (DB-4).

First the whole tree on virtual time with a database that fails on command, then real databases: PostgreSQL killed and
started again, an SQLite file that another process has locked, a place where nothing can be written, a full disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from sqlalchemy import text

from actors.kernel.addresses import TapRecord
from actors.kernel.messages import Escalated
from actors.messages.addresses import CONNECTION, FACADE, RECORDS
from actors.messages.connection import ConnectionStateChanged
from actors.model.connection import ConnectionState
from actors.model.orders import OrderStatus
from supervision.config.sections import Connection, Database, Secrets, StrategyC, Supervision
from supervision.process.status import status_lines
from supervision.store.engine import make_engine, normalised, sqlite_url
from supervision.store.migrating import upgrade
from supervision.store.records_opening import RECORDS_FILE
from supervision.store.records_values import STALE
from supervision.store.tables import gateway_connections
from tests.databases import PostgresServer
from tests.faults.crash import crash
from tests.faults.faulty_records import Fault, FaultyRecords
from tests.worlds import CONTEXT, ProofWorld, RealWorld, a_config, buy, prove, real_world

S = ConnectionState
PATIENT = StrategyC(grace_seconds=3600.0)
"""These tests are about the database; what Strategy C does about a lost link has tests of its own."""

QUICK = Database(
    first_delay_s=0.02, max_delay_s=0.1, statement_timeout_s=2.0, alive_every_s=0.2, drain_s=5.0
)
FLAPPING = Connection(first_delay_s=0.01, max_delay_s=0.05, lasting_s=0.0, breaker_failures=1000)
ORDERS: Final = 10
SLOWER_AT_MOST: Final = 3.0
"""An order during the outage takes at most so many times what it took before (in medians of one run)."""

NOISE_S: Final = 0.05


@attrs.define
class Sessions:
    """A tap: which sessions there were, and the state that followed each."""

    changes: list[ConnectionStateChanged] = attrs.field(factory=list)

    def __call__(self, record: TapRecord) -> None:
        """Take note of one message."""
        message = record.message
        if type(message) is ConnectionStateChanged and record.recipient == FACADE:
            self.changes.append(message)

    @property
    def ends(self) -> dict[str, str | None]:
        """The final state of each session; None: it is open."""
        following = [change.state.value for change in self.changes[1:]]
        return {
            change.session_id: state
            for change, state in zip(self.changes, [*following, None], strict=True)
            if change.session_id is not None
        }


# --- on virtual time --------------------------------------------------------------------------------------------------


def prove_with(
    scenario: Callable[[ProofWorld, FaultyRecords, Sessions], Coroutine[Any, Any, None]],
    *,
    seed: int = 1,
    supervision: Supervision | None = None,
) -> None:
    """Prove a scenario in which the database can be made to fail; the link is not connected at first."""
    made: list[FaultyRecords] = []

    def records(clock: Any) -> FaultyRecords:
        made.append(FaultyRecords(clock))
        return made[-1]

    async def within(world: ProofWorld) -> None:
        sessions = Sessions()
        await world.gateway.status()  # starts the tree
        world.process.tap(sessions)
        await world.gateway.connect()
        await scenario(world, made[0], sessions)

    config = a_config(strategy_c=PATIENT, supervision=supervision or Supervision())
    prove(within, seed=seed, config=config, records=records, connect=False)


async def lose_the_link(world: ProofWorld) -> None:
    """Drop the connection and wait until it is back."""
    world.simulator.faults.drop_connections()
    await asyncio.sleep(0.1)
    await world.until(lambda: world.gateway.is_connected, 300.0)


async def timed_order(world: ProofWorld) -> float:
    """Tell how long an order takes, in virtual seconds."""
    before = world.proof.loop.time()
    result = await world.gateway.submit_order(buy(1.0), CONTEXT)
    assert result.status is OrderStatus.FILLED, result.rejection_reason
    return world.proof.loop.time() - before


@pytest.mark.req("DB-4", "CON-13")
@pytest.mark.parametrize("fault", list(Fault))
def test_trading_takes_its_normal_time_whatever_the_database_does(fault: Fault) -> None:
    async def scenario(world: ProofWorld, database: FaultyRecords, sessions: Sessions) -> None:
        normal = await timed_order(world)
        database.fault = fault
        for _ in range(5):
            await lose_the_link(world)
            await asyncio.sleep(2.0)
            assert await timed_order(world) == pytest.approx(normal, abs=0.01)

        database.fault = Fault.NONE
        await asyncio.sleep(300.0)

        found = {row.session_id: row.final_state for row in database.rows.values()}
        assert len(found) == 6
        assert found == sessions.ends
        assert (await world.gateway.status()).degraded == ()

    prove_with(scenario)


@pytest.mark.req("DB-4", "CON-13", "SUP-6")
@pytest.mark.parametrize("seed", range(10))
def test_rows_are_complete_after_a_storm_of_sessions_faults_and_crashes(seed: int) -> None:
    async def scenario(world: ProofWorld, database: FaultyRecords, sessions: Sessions) -> None:
        dice = world.proof.entropy
        for _ in range(12):
            database.fault = list(Fault)[int(dice.uniform(0.0, 5.999))]
            if dice.uniform(0.0, 1.0) < 0.3:
                crash(world.process, RECORDS)
            if dice.uniform(0.0, 1.0) < 0.2:
                crash(world.process, CONNECTION)
                await asyncio.sleep(10.0)
            await lose_the_link(world)
            await asyncio.sleep(dice.uniform(0.0, 40.0))
        database.fault = Fault.NONE
        await world.gateway.disconnect()

        found = {row.session_id: row.final_state for row in database.rows.values()}
        assert len(found) >= 12
        assert found == sessions.ends
        assert None not in found.values()

    prove_with(scenario, seed=seed)


@pytest.mark.req("DB-4", "SUP-2")
def test_a_records_actor_that_keeps_failing_escalates_nothing() -> None:
    async def scenario(world: ProofWorld, database: FaultyRecords, sessions: Sessions) -> None:
        seen: list[Any] = []
        world.process.tap(lambda record: seen.append(record.message))
        for _ in range(30):
            crash(world.process, RECORDS)
            await asyncio.sleep(0.5)

        assert not any(isinstance(message, Escalated) for message in seen)
        assert await timed_order(world) < 1.0
        await asyncio.sleep(60.0)
        assert list(database.rows) == list(sessions.ends)

    prove_with(scenario)


@pytest.mark.req("DB-4", "SUP-6")
def test_a_records_actor_that_is_down_does_not_hold_up_the_connections_restart() -> None:
    async def scenario(world: ProofWorld, database: FaultyRecords, sessions: Sessions) -> None:
        for _ in range(9):  # until its next start is many seconds away
            crash(world.process, RECORDS)
            await world.until(lambda: state_of(world, RECORDS) == "down")
            await world.until(lambda: state_of(world, RECORDS) == "up", 60.0)
        crash(world.process, RECORDS)
        await world.until(lambda: state_of(world, RECORDS) == "down")

        crash(world.process, CONNECTION)
        await world.until(lambda: len(sessions.ends) == 2, 5.0)

        assert state_of(world, RECORDS) == "down"
        await asyncio.sleep(60.0)
        assert list(database.rows) == list(sessions.ends)

    prove_with(scenario)


def state_of(world: ProofWorld, name: str) -> str:
    """Tell where an actor stands."""
    return next(child.state for child in world.process.tree.status() if child.name == name)


@pytest.mark.req("DB-4", "SUP-9")
def test_an_unfriendly_stop_closes_the_row_too() -> None:
    async def scenario(world: ProofWorld, database: FaultyRecords, sessions: Sessions) -> None:
        assert await world.process.stop("no disconnect before")

        (row,) = database.rows.values()
        assert row.final_state == S.DISCONNECTED.value

    prove_with(scenario)


@pytest.mark.req("DB-4")
def test_the_status_says_what_is_wrong_with_the_database_and_how_much_waits() -> None:
    async def scenario(world: ProofWorld, database: FaultyRecords, sessions: Sessions) -> None:
        database.fault = Fault.DOWN
        await lose_the_link(world)
        await asyncio.sleep(1.0)

        status = await world.gateway.status()

        assert status.degraded == ("database: the database is down (2 rows wait, 0 were lost)",)
        lines = list(status_lines(attrs.asdict(status)))
        assert f"degraded    {status.degraded[0]}" in lines
        assert "records     2 wait, 0 were lost" in lines

    prove_with(scenario)


@pytest.mark.req("DB-4")
def test_a_status_does_not_depend_on_the_records_actor() -> None:
    async def scenario(world: ProofWorld, database: FaultyRecords, sessions: Sessions) -> None:
        for _ in range(6):  # until its next start is some seconds away
            crash(world.process, RECORDS)
            await asyncio.sleep(1.0)
        crash(world.process, RECORDS)
        await asyncio.sleep(0.0)

        status = await world.gateway.status()

        assert status.connection == S.CONNECTED.value
        assert len(status.degraded) == 1

    prove_with(scenario)


# --- real databases ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def storm(
    state_dir: Path, database: Database = QUICK, url: str = ""
) -> AsyncIterator[tuple[RealWorld, Sessions]]:
    """A real world whose sessions go to a real database."""
    config = a_config(
        database=database,
        connection=FLAPPING,
        strategy_c=PATIENT,
        secrets=Secrets(database_url=url),
    )
    sessions = Sessions()
    async with real_world(state_dir, config=config, connect=False) as world:
        await world.gateway.status()
        world.process.tap(sessions)
        await world.gateway.connect()
        yield world, sessions


async def flap(world: RealWorld, sessions: Sessions, times: int) -> None:
    """Lose the link so often, and wait each time until it is back; at last until orders may be opened."""
    for _ in range(times):
        known = len(sessions.ends)
        world.simulator.faults.drop_connections()
        await world.until(lambda known=known: len(sessions.ends) > known)  # type: ignore[misc]
        await world.until(lambda: world.gateway.is_connected)
    async with asyncio.timeout(20.0):
        while (await world.gateway.status()).opening_blocked_by is not None:
            await asyncio.sleep(0.01)


async def order_s(world: RealWorld, orders: int = ORDERS) -> float:
    """Tell the median time of an order."""
    took = []
    for _ in range(orders):
        before = time.perf_counter()
        result = await world.gateway.submit_order(buy(1.0), CONTEXT)
        took.append(time.perf_counter() - before)
        assert result.status is OrderStatus.FILLED, result.rejection_reason
    return statistics.median(took)


async def degraded(world: RealWorld) -> str:
    """Wait until health says that the database does not serve, and what it says."""
    async with asyncio.timeout(20.0):
        while not (found := (await world.gateway.status()).degraded):
            await asyncio.sleep(0.01)
    return found[0]


async def healthy(world: RealWorld) -> None:
    """Wait until health has nothing to say, and nothing waits."""
    async with asyncio.timeout(30.0):
        while (status := await world.gateway.status()).degraded or status.records_waiting:
            await asyncio.sleep(0.01)
    assert status.records_dropped == 0


async def trades_on(world: RealWorld, sessions: Sessions, normal_s: float) -> None:
    """Check that sessions come and go and orders take their normal time."""
    await flap(world, sessions, 3)
    assert await order_s(world) < SLOWER_AT_MOST * normal_s + NOISE_S


async def final_states(url: str) -> dict[str, str | None]:
    """Read what is in the database; a session twice would fail."""
    engine = make_engine(normalised(url), timeout_s=5.0)
    columns = gateway_connections.c
    async with engine.connect() as connection:
        rows = (
            await connection.execute(
                gateway_connections.select().with_only_columns(
                    columns.session_id, columns.final_state
                )
            )
        ).all()
    await engine.dispose()
    assert len(rows) == len({row.session_id for row in rows})
    return {row.session_id: row.final_state for row in rows}


def url_of(state_dir: Path) -> str:
    """Give the URL of the file that is used by default."""
    return f"sqlite:///{(state_dir / RECORDS_FILE).as_posix()}"


@pytest.mark.req("DB-3", "DB-4", "CON-13")
def test_postgresql_is_killed_in_a_storm_and_every_row_is_there_when_it_is_back(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    async def scenario() -> None:
        url = await postgres_server.empty_database()
        async with storm(tmp_path, url=url) as (world, sessions):
            await flap(world, sessions, 3)
            await healthy(world)
            normal_s = await order_s(world)

            killing = asyncio.create_task(asyncio.to_thread(postgres_server.kill))
            await flap(world, sessions, 3)
            await killing
            try:
                await trades_on(world, sessions, normal_s)
                said = await degraded(world)
            finally:
                starting = asyncio.create_task(asyncio.to_thread(postgres_server.start))
                await flap(world, sessions, 3)
                await starting
            await healthy(world)
        assert "database: PostgreSQL" in said
        assert await final_states(url) == sessions.ends
        assert len(sessions.ends) == 13
        assert not (tmp_path / RECORDS_FILE).exists()

    asyncio.run(scenario())


@pytest.mark.req("DB-4")
def test_a_postgresql_that_is_down_at_the_start_delays_nothing(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    async def scenario() -> None:
        url = await postgres_server.empty_database()
        await asyncio.to_thread(postgres_server.kill)
        try:
            async with storm(tmp_path, url=url) as (world, sessions):
                assert "database: PostgreSQL" in await degraded(world)
                await order_s(world)
                await asyncio.to_thread(postgres_server.start)
                await healthy(world)
        finally:
            await asyncio.to_thread(postgres_server.start)
        assert await final_states(url) == sessions.ends

    asyncio.run(scenario())


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Have another process hold a lock on an SQLite file."""
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN EXCLUSIVE'); print('locked', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == b"locked"
        yield
    finally:
        holder.communicate(b"")


@pytest.mark.req("DB-4")
def test_an_sqlite_file_that_another_process_has_locked_is_written_when_it_lets_go(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with storm(tmp_path) as (world, sessions):
            await healthy(world)
            normal_s = await order_s(world)

            with locked(tmp_path / RECORDS_FILE):
                await trades_on(world, sessions, normal_s)
                said = await degraded(world)
            await healthy(world)
        assert "database is locked" in said
        assert await final_states(url_of(tmp_path)) == sessions.ends

    asyncio.run(scenario())


@pytest.mark.req("DB-4", "SUP-9")
def test_a_stop_while_the_file_is_locked_is_in_time(tmp_path: Path) -> None:
    async def scenario() -> float:
        async with storm(tmp_path, attrs.evolve(QUICK, drain_s=0.3)) as (world, _):
            await healthy(world)
            with locked(tmp_path / RECORDS_FILE):
                before = time.perf_counter()
                await world.gateway.disconnect()
                return time.perf_counter() - before

    assert asyncio.run(scenario()) < 3.0


@pytest.mark.req("DB-4")
def test_a_place_where_nothing_can_be_written_degrades_until_somebody_mends_it(
    tmp_path: Path,
) -> None:
    in_the_way = tmp_path / RECORDS_FILE
    in_the_way.mkdir(parents=True)

    async def scenario() -> None:
        async with storm(tmp_path) as (world, sessions):
            await flap(world, sessions, 3)
            await order_s(world)
            assert "cannot be written" in await degraded(world)
            in_the_way.rmdir()
            await healthy(world)
        assert await final_states(url_of(tmp_path)) == sessions.ends

    asyncio.run(scenario())


@pytest.mark.req("DB-4")
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX resource limits")
def test_a_full_disk_degrades_until_there_is_room(tmp_path: Path) -> None:
    import resource

    async def scenario() -> None:
        async with storm(tmp_path) as (world, sessions):
            await healthy(world)
            normal_s = await order_s(world)
            limits = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))  # no file may grow
            try:
                await trades_on(world, sessions, normal_s)
                said = await degraded(world)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            await healthy(world)
        assert RECORDS_FILE in said
        assert await final_states(url_of(tmp_path)) == sessions.ends

    asyncio.run(scenario())


@pytest.mark.req("DB-1", "DB-4")
def test_a_database_of_a_newer_program_degrades_and_is_left_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        engine = make_engine(sqlite_url(tmp_path / RECORDS_FILE), timeout_s=5.0)
        await upgrade(engine)
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

        async with storm(tmp_path, attrs.evolve(QUICK, drain_s=0.1)) as (world, _):
            said = await degraded(world)
            await order_s(world)

        assert "run the program that wrote it" in said
        assert await final_states(url_of(tmp_path)) == {}

    asyncio.run(scenario())


@pytest.mark.req("DB-2", "DB-4")
def test_the_next_process_closes_what_a_killed_one_left_open(tmp_path: Path) -> None:
    left = "6f1c3a527a1e4b0e9a553d1a5b7c9e01"

    async def scenario() -> None:
        async with storm(tmp_path) as (world, _):
            await healthy(world)
        with sqlite3.connect(tmp_path / RECORDS_FILE) as connection:
            connection.execute(
                "INSERT INTO gateway_connections"
                " (session_id, client_id, host, port, server_version, connection_time, readonly)"
                " VALUES (?, 9, 'h', 1, 176, CURRENT_TIMESTAMP, 0)",
                (left,),
            )
        connection.close()

        async with storm(tmp_path) as (world, sessions):
            await healthy(world)
            (mine,) = sessions.ends
            found = await final_states(url_of(tmp_path))

        assert (found.pop("6f1c3a52-7a1e-4b0e-9a55-3d1a5b7c9e01"), found[mine]) == (STALE, None)

    asyncio.run(scenario())
