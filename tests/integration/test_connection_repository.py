"""The repository of connection records, on SQLite files and on a real PostgreSQL (DB-2, DB-3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from itertools import permutations
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from actors.errors import InvalidRecordError, RecordNotFoundError, RecordsError
from supervision.store.connection_repository import ConnectionRepository
from supervision.store.records_memory import MemoryRecords
from supervision.store.records_values import STALE, ConnectionRecord, Endpoint, SessionRecord
from supervision.store.tables import gateway_connections
from tests.databases import START_OF_TIME, Place, SetClock, Store, store

HOUR_S = 3600.0
ID = "6f1c3a52-7a1e-4b0e-9a55-3d1a5b7c9e01"
OTHER_ID = "6f1c3a52-7a1e-4b0e-9a55-3d1a5b7c9e02"
UNKNOWN_ID = "6f1c3a52-7a1e-4b0e-9a55-3d1a5b7c9eff"
OPEN: dict[str, Any] = {
    "client_id": 7,
    "host": "gateway.example",
    "port": 4002,
    "server_version": 176,
}
OPENED = SessionRecord(session_id=ID, readonly=False, connection_time=START_OF_TIME, **OPEN)
ENDED = attrs.evolve(
    OPENED,
    final_state="RECONNECTING",
    disconnection_time=START_OF_TIME + timedelta(seconds=90),
    error_count=3,
)

Scenario = Callable[[Store], Awaitable[None]]


def run(place: Place, scenario: Scenario, url: str | None = None) -> None:
    """Run a scenario on a database of its own, or on that of ``url``."""

    async def within() -> None:
        async with store(place, url) as made:
            await scenario(made)

    asyncio.run(within())


# --- creating and reading ---------------------------------------------------------------------------------------------


@pytest.mark.req("DB-2", "DB-3")
def test_a_created_connection_is_read_back_as_a_frozen_value(place: Place) -> None:
    async def scenario(made: Store) -> None:
        session_id = await made.repository.create_connection(readonly=True, **OPEN)

        found = await made.repository.get_connection(session_id)

        assert found == ConnectionRecord(
            session_id=session_id,
            readonly=True,
            connection_time=START_OF_TIME,
            created_at=START_OF_TIME,
            updated_at=START_OF_TIME,
            **OPEN,
        )
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            found.port = 1  # type: ignore[misc]

    run(place, scenario)


@pytest.mark.req("DB-1", "DB-3")
def test_times_come_back_aware_and_in_utc_whatever_zone_they_came_in(place: Place) -> None:
    zone = timezone(timedelta(hours=5, minutes=45))
    opened_at = datetime(2026, 7, 1, 3, 0, 0, 123456, tzinfo=zone)

    async def scenario(made: Store) -> None:
        session_id = await made.repository.create_connection(connection_time=opened_at, **OPEN)

        found = await made.repository.get_connection(session_id)

        assert found is not None
        assert found.connection_time == opened_at
        assert {found.connection_time.tzinfo, found.created_at.tzinfo} == {UTC}

    run(place, scenario)


@pytest.mark.req("DB-2")
def test_an_unknown_connection_is_none(place: Place) -> None:
    async def scenario(made: Store) -> None:
        assert await made.repository.get_connection(UNKNOWN_ID) is None

    run(place, scenario)


@pytest.mark.req("DB-2")
def test_the_same_id_is_not_created_twice(place: Place) -> None:
    async def scenario(made: Store) -> None:
        await made.repository.create_connection(session_id=ID, **OPEN)

        with pytest.raises(InvalidRecordError, match="recorded already"):
            await made.repository.create_connection(session_id=ID.upper(), **OPEN)

    run(place, scenario)


# --- updating ---------------------------------------------------------------------------------------------------------


@pytest.mark.req("DB-1", "DB-2")
def test_an_update_changes_what_it_names_and_the_time_of_update(place: Place) -> None:
    async def scenario(made: Store) -> None:
        session_id = await made.repository.create_connection(**OPEN)
        before = await made.repository.get_connection(session_id)
        made.clock.forward(HOUR_S)

        await made.repository.update_connection(
            session_id, final_state="DISCONNECTED", disconnection_time=made.clock.now()
        )

        assert before is not None
        assert await made.repository.get_connection(session_id) == attrs.evolve(
            before,
            final_state="DISCONNECTED",
            disconnection_time=made.clock.now(),
            updated_at=made.clock.now(),
        )

    run(place, scenario)


@pytest.mark.req("DB-1")
def test_an_update_past_the_repository_renews_the_time_of_update_too(place: Place) -> None:
    async def scenario(made: Store) -> None:
        session_id = await made.repository.create_connection(**OPEN)

        async with made.engine.begin() as connection:
            await connection.execute(gateway_connections.update().values(error_count=1))

        found = await made.repository.get_connection(session_id)
        assert found is not None
        assert found.updated_at > found.created_at

    run(place, scenario)


@pytest.mark.req("DB-2")
def test_an_update_of_an_unknown_connection_is_an_error_that_names_it(place: Place) -> None:
    async def scenario(made: Store) -> None:
        with pytest.raises(RecordNotFoundError, match=UNKNOWN_ID):
            await made.repository.update_connection(UNKNOWN_ID, error_count=1)

    run(place, scenario)


# --- what is refused before SQL ---------------------------------------------------------------------------------------


class _NoDatabase:
    """Any use of it is an error of its own."""


@pytest.mark.req("DB-1", "DB-2")
@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("port", 0, "port must be a whole number from 1 to 65535"),
        ("port", 65_536, "port must be a whole number from 1 to 65535"),
        ("port", True, "port"),
        ("host", "", "host must be text of 1 to 253 characters"),
        ("host", "h" * 254, "host must be text of 1 to 253 characters"),
        ("host", "a\0b", "host"),
        ("client_id", 2**31, "client_id"),
        ("server_version", -1, "server_version"),
        ("readonly", 1, "readonly must be True or False"),
        ("connection_time", START_OF_TIME.replace(tzinfo=None), "aware"),
        ("session_id", "1; DROP TABLE gateway_connections", "session_id must be a UUID"),
    ],
)
def test_a_field_out_of_its_bounds_is_refused_before_any_sql(
    field: str, value: object, words: str
) -> None:
    nothing: Any = _NoDatabase()
    repository = ConnectionRepository(nothing, SetClock(), nothing)

    with pytest.raises(InvalidRecordError, match=words) as raised:
        asyncio.run(repository.create_connection(**{"session_id": ID, **OPEN, field: value}))

    assert isinstance(raised.value, ValueError)
    assert not raised.value.retryable


@pytest.mark.req("DB-2")
@pytest.mark.parametrize(
    "changes",
    [
        {"final_state": "S" * 21},
        {"error_count": -1},
        {"disconnection_time": START_OF_TIME.replace(tzinfo=None)},
        {"host": "elsewhere"},
        {"updated_at": START_OF_TIME},
    ],
)
def test_an_update_that_does_not_fit_is_refused_before_any_sql(changes: dict[str, Any]) -> None:
    nothing: Any = _NoDatabase()
    repository = ConnectionRepository(nothing, SetClock(), nothing)

    with pytest.raises(InvalidRecordError):
        asyncio.run(repository.update_connection(ID, **changes))


@pytest.mark.req("DB-1")
@pytest.mark.parametrize("port", [0, 65_536])
def test_the_database_itself_refuses_a_port_out_of_range(place: Place, port: int) -> None:
    row = attrs.asdict(OPENED) | {"port": port}

    async def scenario(made: Store) -> None:
        with pytest.raises(IntegrityError):
            async with made.engine.begin() as connection:
                await connection.execute(gateway_connections.insert(), [row])

    run(place, scenario)


# --- saving again and again -------------------------------------------------------------------------------------------


@pytest.mark.req("DB-4")
def test_a_save_may_be_repeated_and_changes_nothing_then(place: Place) -> None:
    async def scenario(made: Store) -> None:
        await made.repository.save([OPENED])
        await made.repository.save([ENDED])
        first = await made.rows()
        made.clock.forward(1.0)

        await made.repository.save([ENDED])

        assert await made.rows() == first

    run(place, scenario)


@pytest.mark.req("DB-4")
def test_reports_of_one_session_end_the_same_in_whatever_order_they_come(place: Place) -> None:
    swept = attrs.evolve(OPENED, final_state=STALE)

    async def scenario(made: Store) -> None:
        for number, order in enumerate(permutations([OPENED, swept, ENDED])):
            mine = ID[:-2] + f"{number:02d}"
            for told in order:
                await made.repository.save([attrs.evolve(told, session_id=mine)])

            found = await made.repository.get_connection(mine)

            assert found is not None
            assert (found.final_state, found.error_count) == ("RECONNECTING", 3)
            assert found.disconnection_time == ENDED.disconnection_time

    run(place, scenario)


@pytest.mark.req("DB-4")
def test_a_record_that_the_database_refuses_does_not_hold_up_the_others(place: Place) -> None:
    good = attrs.evolve(OPENED, session_id=OTHER_ID)
    bad = attrs.evolve(OPENED)
    object.__setattr__(bad, "port", 0)  # past our own checks, as an older database's rules would be

    async def scenario(made: Store) -> None:
        refused = await made.repository.save([bad, good])

        assert [each.session_id for each in refused] == [ID]
        assert [row.session_id for row in await made.rows()] == [OTHER_ID]

    run(place, scenario)


# --- open sessions ----------------------------------------------------------------------------------------------------


@pytest.mark.req("DB-2")
def test_the_active_connections_are_those_without_a_final_state_newest_first(place: Place) -> None:
    async def scenario(made: Store) -> None:
        older = await made.repository.create_connection(**OPEN)
        made.clock.forward(1.0)
        newer = await made.repository.create_connection(**OPEN)
        gone = await made.repository.create_connection(**OPEN)
        await made.repository.update_connection(gone, final_state="FAILED")

        active = await made.repository.list_active_connections()

        assert [newer, older] == [each.session_id for each in active]

    run(place, scenario)


@pytest.mark.req("DB-2")
def test_a_session_without_a_sign_of_life_is_closed_as_stale_and_counted(place: Place) -> None:
    async def scenario(made: Store) -> None:
        left = await made.repository.create_connection(**OPEN)
        made.clock.forward(HOUR_S)
        fresh = await made.repository.create_connection(**OPEN)

        closed = await made.repository.cleanup_stale_connections(HOUR_S)

        found = await made.repository.get_connection(left)
        assert closed == 1
        assert found is not None
        assert (found.final_state, found.disconnection_time) == (STALE, START_OF_TIME)
        active = await made.repository.list_active_connections()
        assert [fresh] == [each.session_id for each in active]

    run(place, scenario)


@pytest.mark.req("DB-2")
def test_a_session_that_gives_signs_of_life_is_not_swept_however_old_it_is(place: Place) -> None:
    async def scenario(made: Store) -> None:
        living = await made.repository.create_connection(**OPEN)
        for _ in range(48):
            made.clock.forward(HOUR_S)
            await made.repository.update_connection(living)

        assert await made.repository.cleanup_stale_connections(HOUR_S + 1.0) == 0

    run(place, scenario)


@pytest.mark.req("DB-2")
def test_a_sweep_keeps_to_its_endpoint_and_spares_who_is_known_to_live(place: Place) -> None:
    ours = Endpoint(client_id=7, host="gateway.example", port=4002)
    others: list[dict[str, Any]] = [{"client_id": 8}, {"host": "elsewhere"}, {"port": 4001}]

    async def scenario(made: Store) -> None:
        alive = await made.repository.create_connection(**OPEN)
        dead = await made.repository.create_connection(**OPEN)
        for other in others:
            await made.repository.create_connection(**{**OPEN, **other})

        closed = await made.repository.cleanup_stale_connections(0, endpoint=ours, spare=[alive])

        active = {each.session_id for each in await made.repository.list_active_connections()}
        assert closed == 1
        assert dead not in active
        assert len(active) == 1 + len(others)

    run(place, scenario)


@pytest.mark.req("DB-2")
def test_a_session_of_a_clock_that_was_ahead_is_swept_by_age_zero(place: Place) -> None:
    async def scenario(made: Store) -> None:
        made.clock.forward(HOUR_S)
        await made.repository.create_connection(**OPEN)
        made.clock.forward(-HOUR_S)

        assert await made.repository.cleanup_stale_connections(HOUR_S) == 0
        assert await made.repository.cleanup_stale_connections(0) == 1

    run(place, scenario)


@pytest.mark.req("DB-2")
@pytest.mark.parametrize("age", [-1.0, float("nan"), float("inf")])
def test_an_age_that_is_none_is_refused(place: Place, age: float) -> None:
    async def scenario(made: Store) -> None:
        with pytest.raises(InvalidRecordError, match="max_age_seconds"):
            await made.repository.cleanup_stale_connections(age)

    run(place, scenario)


@pytest.mark.req("DB-4")
def test_without_its_table_every_call_says_so_in_one_plain_line(place: Place) -> None:
    async def scenario(made: Store) -> None:
        async with made.engine.begin() as connection:
            await connection.run_sync(gateway_connections.drop)

        for call in (
            made.repository.save([OPENED]),
            made.repository.get_connection(ID),
            made.repository.list_active_connections(),
            made.repository.cleanup_stale_connections(0),
            made.repository.create_connection(**OPEN),
        ):
            with pytest.raises(RecordsError, match="gateway_connections") as raised:
                await call
            assert raised.value.retryable
            assert "\n" not in str(raised.value)

    run(place, scenario)


# --- the same rules in memory and in SQL ------------------------------------------------------------------------------

_IDS = st.sampled_from([ID, OTHER_ID])
_STATES = st.sampled_from([None, STALE, "RECONNECTING", "DISCONNECTED"])
_SAVE = st.tuples(st.just("save"), _IDS, _STATES)
_SWEEP = st.tuples(st.just("sweep"), st.sampled_from([0.0, 2.0, 5.0]), st.sets(_IDS, max_size=1))
_WAIT = st.tuples(st.just("wait"), st.integers(1, 4), st.none())


@pytest.mark.req("DB-2", "DB-3")
def test_sql_keeps_the_same_rules_as_the_records_in_memory(place: Place) -> None:
    url = asyncio.run(place.new_url())

    @settings(max_examples=30, deadline=None)
    @given(steps=st.lists(st.one_of(_SAVE, _SWEEP, _WAIT), max_size=12))
    def keeps_the_same_rules(steps: list[Any]) -> None:
        run(place, lambda made: _compare(made, steps), url)

    keeps_the_same_rules()


async def _compare(made: Store, steps: list[Any]) -> None:
    async with made.engine.begin() as connection:
        await connection.execute(gateway_connections.delete())
    memory = MemoryRecords(made.clock, 100)

    for kind, first, second in steps:
        if kind == "wait":
            made.clock.forward(first)
        elif kind == "sweep":
            closed = await made.repository.cleanup_stale_connections(first, spare=second)
            assert closed == await memory.cleanup_stale_connections(first, spare=second)
        else:
            told = attrs.evolve(OPENED, session_id=first, final_state=second)
            await made.repository.save([told])
            await memory.save([told])

    for session_id in (ID, OTHER_ID):
        found = await made.repository.get_connection(session_id)
        assert memory.rows.get(session_id) == found
