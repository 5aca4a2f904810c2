"""Hostile text is data: no value ever becomes part of an SQL statement (DB-3)."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest
from sqlalchemy import event

from actors.errors import InvalidRecordError
from supervision.store.records_values import Endpoint
from tests.databases import Place, Store, store

HOSTILE: Final = (
    "'; DROP TABLE gateway_connections; --",
    "' OR '1'='1",
    '"; DELETE FROM gateway_connections; --',
    "') ON CONFLICT DO NOTHING; --",
    "$1; SELECT pg_sleep(10); --",
    ":host %s %(host)s ? {host} \\' \\",
    "$$; DROP SCHEMA public CASCADE; $$",
    "/* */ UNION SELECT 1,2,3 --",
    "\u202e'\ufeff\u02bc\uff07; DROP TABLE gateway_connections",
)
GOOD: Final[dict[str, Any]] = {"client_id": 1, "port": 4002, "server_version": 176}


@pytest.mark.req("DB-3")
def test_a_hostile_host_is_stored_as_it_is_and_changes_nothing_else(place: Place) -> None:
    async def scenario(made: Store) -> None:
        bystander = await made.repository.create_connection(host="innocent", **GOOD)
        for host in HOSTILE:
            session_id = await made.repository.create_connection(host=host, **GOOD)
            found = await made.repository.get_connection(session_id)
            assert found is not None
            assert found.host == host
            swept = await made.repository.cleanup_stale_connections(
                0, endpoint=Endpoint(client_id=1, host=host, port=4002)
            )
            assert swept == 1  # this one and no other

        active = await made.repository.list_active_connections()
        assert [each.session_id for each in active] == [bystander]

    _run(place, scenario)


@pytest.mark.req("DB-3")
@pytest.mark.parametrize("hostile", [text[:20] for text in HOSTILE])
def test_a_hostile_final_state_is_stored_as_it_is(place: Place, hostile: str) -> None:
    async def scenario(made: Store) -> None:
        mine = await made.repository.create_connection(host="h", **GOOD)
        other = await made.repository.create_connection(host="h", **GOOD)

        await made.repository.update_connection(mine, final_state=hostile)

        found = await made.repository.get_connection(mine)
        assert found is not None
        assert found.final_state == hostile
        active = await made.repository.list_active_connections()
        assert [each.session_id for each in active] == [other]

    _run(place, scenario)


@pytest.mark.req("DB-3")
@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_session_id_never_reaches_the_database(place: Place, hostile: str) -> None:
    async def scenario(made: Store) -> None:
        statements: list[str] = []
        event.listen(
            made.engine.sync_engine,
            "before_cursor_execute",
            lambda *args: statements.append(args[2]),
        )

        for call in (
            made.repository.get_connection(hostile),
            made.repository.update_connection(hostile, error_count=1),
            made.repository.cleanup_stale_connections(0, spare=[hostile]),
            made.repository.create_connection(session_id=hostile, host="h", **GOOD),
        ):
            with pytest.raises(InvalidRecordError, match="session_id must be a UUID"):
                await call

        assert statements == []

    _run(place, scenario)


@pytest.mark.req("DB-3")
def test_no_statement_contains_a_value(place: Place) -> None:
    unusual = "x7q9"

    async def scenario(made: Store) -> None:
        statements: list[str] = []
        event.listen(
            made.engine.sync_engine,
            "before_cursor_execute",
            lambda *args: statements.append(args[2]),
        )

        session_id = await made.repository.create_connection(host=unusual, **GOOD)
        await made.repository.update_connection(session_id, final_state=unusual)
        await made.repository.get_connection(session_id)
        await made.repository.cleanup_stale_connections(
            0, endpoint=Endpoint(client_id=1, host=unusual, port=4002), spare=[session_id]
        )

        assert len(statements) >= 4
        for statement in statements:
            assert unusual not in statement
            assert session_id.split("-")[0] not in statement

    _run(place, scenario)


def _run(place: Place, scenario: Any) -> None:
    async def within() -> None:
        async with store(place) as made:
            await scenario(made)

    asyncio.run(within())
