"""The schema of connection records: up, down, and up again, on both databases, and in the wheel (DB-1)."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, Final

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.errors import RecordsError
from supervision.store.engine import make_engine, normalised
from supervision.store.migrating import (
    BASE,
    SCRIPTS,
    current,
    downgrade,
    newest,
    upgrade,
    wait_for_others,
)
from supervision.store.tables import metadata
from tests.databases import TIMEOUT_S, Place, PostgresServer, store

ROOT: Final = Path(__file__).parents[2]
TABLE: Final = "gateway_connections"
NEWER: Final = "9999"


async def tables(engine: AsyncEngine) -> set[str]:
    """Name the tables that are there."""
    async with engine.connect() as connection:
        return set(await connection.run_sync(lambda found: inspect(found).get_table_names()))


async def bare(place: Place) -> AsyncEngine:
    """Give an engine for a database without a schema."""
    return make_engine(normalised(await place.new_url()), timeout_s=TIMEOUT_S)


@pytest.mark.req("DB-1", "DB-3")
def test_the_schema_goes_up_and_down_and_up_again(place: Place) -> None:
    async def scenario() -> None:
        engine = await bare(place)
        assert await current(engine) is None

        await upgrade(engine)
        assert TABLE in await tables(engine)
        assert await current(engine) == newest()
        await downgrade(engine, BASE)
        assert TABLE not in await tables(engine)
        assert await current(engine) is None
        await upgrade(engine)
        await upgrade(engine)

        assert TABLE in await tables(engine)
        await engine.dispose()

    asyncio.run(scenario())


@pytest.mark.req("DB-1")
def test_the_migrations_make_exactly_the_tables_that_the_code_uses(place: Place) -> None:
    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        return list(compare_metadata(context, metadata))

    async def scenario() -> None:
        async with store(place) as made, made.engine.connect() as connection:
            assert await connection.run_sync(differences) == []

    asyncio.run(scenario())


@pytest.mark.req("DB-1")
def test_the_table_is_as_it_was_agreed(place: Place) -> None:
    def looked_at(connection: Connection) -> tuple[dict[str, bool], list[str], dict[str, str]]:
        found = inspect(connection)
        columns = {each["name"]: each["nullable"] for each in found.get_columns(TABLE)}
        indexes = {
            str(each["column_names"][0]): str(
                each.get("dialect_options", {}).get(f"{place.backend}_where", "")
            )
            for each in found.get_indexes(TABLE)
        }
        return columns, found.get_pk_constraint(TABLE)["constrained_columns"], indexes

    async def scenario() -> None:
        async with store(place) as made, made.engine.connect() as connection:
            columns, key, indexes = await connection.run_sync(looked_at)

        assert [name for name, nullable in columns.items() if nullable] == [
            "disconnection_time",
            "final_state",
        ]
        assert key == ["session_id"]
        assert set(indexes) == {"client_id", "created_at", "final_state"}
        assert "IS NULL" in indexes["final_state"]

    asyncio.run(scenario())


@pytest.mark.req("DB-1")
def test_the_database_fills_in_the_error_count_and_both_timestamps(place: Place) -> None:
    insert = text(
        "INSERT INTO gateway_connections"
        " (session_id, client_id, host, port, server_version, connection_time, readonly)"
        " VALUES ('6f1c3a527a1e4b0e9a553d1a5b7c9e01', 1, 'h', 4002, 176, CURRENT_TIMESTAMP, FALSE)"
    )

    async def scenario() -> None:
        async with store(place) as made:
            async with made.engine.begin() as connection:
                await connection.execute(insert)

            (found,) = await made.repository.list_active_connections()

            assert found.error_count == 0
            assert found.created_at == found.updated_at
            assert found.created_at.tzinfo is not None

    asyncio.run(scenario())


@pytest.mark.req("DB-1", "DB-4")
def test_a_database_that_is_newer_than_the_program_is_left_alone(place: Place) -> None:
    async def scenario() -> None:
        async with store(place) as made:
            async with made.engine.begin() as connection:
                await connection.execute(
                    text("UPDATE alembic_version SET version_num = :newer"), {"newer": NEWER}
                )

            with pytest.raises(RecordsError, match=f"{NEWER}.*knows schemas up to '{newest()}'"):
                await upgrade(made.engine)

            assert await current(made.engine) == NEWER

    asyncio.run(scenario())


@pytest.mark.req("DB-1")
def test_a_migration_that_fails_halfway_leaves_nothing_behind(place: Place) -> None:
    async def scenario() -> None:
        engine = await bare(place)
        async with engine.begin() as connection:
            # In the way of the last step, after the table was made.
            await connection.execute(text("CREATE TABLE elsewhere (final_state VARCHAR)"))
            await connection.execute(
                text("CREATE INDEX ix_gateway_connections_active ON elsewhere (final_state)")
            )

        with pytest.raises(RecordsError, match="ix_gateway_connections_active"):
            await upgrade(engine)
        assert TABLE not in await tables(engine)

        async with engine.begin() as connection:
            await connection.execute(text("DROP TABLE elsewhere"))
        await upgrade(engine)
        assert TABLE in await tables(engine)
        await engine.dispose()

    asyncio.run(scenario())


@pytest.mark.req("DB-1")
def test_processes_that_start_at_once_bring_the_schema_up_one_after_the_other(place: Place) -> None:
    async def scenario() -> None:
        url = normalised(await place.new_url())
        engines = [make_engine(url, timeout_s=TIMEOUT_S) for _ in range(4)]

        await asyncio.gather(*(upgrade(engine) for engine in engines))

        assert await current(engines[0]) == newest()
        for engine in engines:
            await engine.dispose()

    asyncio.run(scenario())


@pytest.mark.req("DB-1")
def test_a_process_waits_for_another_one_that_is_bringing_the_schema_up(
    postgres_server: PostgresServer,
) -> None:
    async def scenario() -> None:
        url = normalised(await postgres_server.empty_database())
        ours, other = (make_engine(url, timeout_s=TIMEOUT_S) for _ in range(2))

        async with other.begin() as connection:
            await wait_for_others(connection)
            waiting = asyncio.create_task(upgrade(ours))
            await asyncio.sleep(0.3)
            assert await current(other) is None
        await waiting

        assert await current(ours) == newest()
        await ours.dispose()
        await other.dispose()

    asyncio.run(scenario())


@pytest.mark.req("DB-1", "DEP-1")
def test_the_wheel_carries_the_migrations_and_they_run_from_it(tmp_path: Path) -> None:
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation"]
    source = _copy(tmp_path / "source")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", tmp_path, source],
        check=True,
        timeout=100,
    )
    installed = tmp_path / "installed"
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(installed)
    code = (
        "import asyncio, supervision.store.migrating as m;"
        "from supervision.store.engine import make_engine, sqlite_url;"
        "from pathlib import Path;"
        "e = make_engine(sqlite_url(Path('records.sqlite3')), timeout_s=5.0);"
        "asyncio.run(m.upgrade(e)); print(m.__file__, asyncio.run(m.current(e)))"
    )

    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    assert Path(said[0]).is_relative_to(installed)
    assert said[1] == newest()


def _copy(target: Path) -> Path:
    """Copy what a wheel is made from: building in place would leave its traces there."""
    leave = shutil.ignore_patterns("__pycache__")
    for name in ("actors", "supervision"):
        shutil.copytree(ROOT / name, target / name, ignore=leave)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, target / name)
    return target


def test_each_migration_names_itself_as_its_file_does() -> None:
    files = sorted((SCRIPTS / "versions").glob("m*.py"))

    for file in files:
        revision = re.search(r'^revision = "(\d{4})"$', file.read_text(encoding="utf-8"), re.M)
        assert revision is not None
        assert file.name.startswith(f"m{revision.group(1)}_")
