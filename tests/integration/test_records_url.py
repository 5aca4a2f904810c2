"""``DATABASE_URL`` as users write it, and what is said when it cannot be used (DB-3, CFG-1, OBS-4)."""

from __future__ import annotations

import asyncio
import gc
import sys
from pathlib import Path

import pytest

from actors.errors import ConfigurationError, RecordsError
from actors.model.orders import ExecutionMode
from supervision.config.sections import Config, Database, General, Logging, Secrets
from supervision.process import build_process
from supervision.store.engine import explained, make_engine, normalised, sqlite_url
from supervision.store.migrating import current
from supervision.store.records_database import prepare_file

PASSWORD = "hunter2-hunter2"  # noqa: S105 - of nobody


@pytest.mark.req("DB-3")
@pytest.mark.parametrize(
    ("written", "driver"),
    [
        ("postgresql://u:p@host/db", "postgresql+asyncpg"),
        ("postgres://u:p@host:6543/db", "postgresql+asyncpg"),
        ("postgresql+asyncpg://u:p@host/db", "postgresql+asyncpg"),
        ("postgresql:///db?host=/run/postgresql", "postgresql+asyncpg"),
        ("sqlite:////var/lib/records.sqlite3", "sqlite+aiosqlite"),
        ("sqlite:///records.sqlite3", "sqlite+aiosqlite"),
    ],
)
def test_a_url_as_users_write_it_gets_the_driver_that_we_bring(written: str, driver: str) -> None:
    assert normalised(written).drivername == driver


@pytest.mark.req("DB-3")
def test_the_password_may_hold_what_is_percent_encoded() -> None:
    assert normalised("postgresql://u:p%40s%2Fs@host/db").password == "p@" + "s/s"


@pytest.mark.req("DB-3")
def test_sslmode_is_handed_on_under_the_name_that_the_driver_has_for_it() -> None:
    url = normalised("postgresql://u:p@host/db?sslmode=verify-full")

    assert dict(url.query) == {"ssl": "verify-full"}


@pytest.mark.req("DB-3", "CFG-1", "OBS-4")
@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        (f"mysql://u:{PASSWORD}@host/db", "postgresql://USER:PASSWORD@HOST:5432/DATABASE"),
        (f"postgresql://u:{PASSWORD}@host:port/db", "is no database URL"),
        (f"u:{PASSWORD}@host", "is no database URL"),
        (f"postgresql://u:{PASSWORD}@host", "names no database"),
        (f"postgresql://u:{PASSWORD}@/db", "names no host"),
        (f"postgresql://u:x@{PASSWORD}@host/db", "percent-encoded"),
        (f"postgresql://u:{PASSWORD}@host/db?sslmode=yes", "sslmode must be one of disable"),
        (f"postgresql://u:{PASSWORD}@host/db?channel_binding=require", "take it out"),
        ("sqlite://", "names a file"),
        ("sqlite:///:memory:", "names a file"),
        ("sqlite:///a.db?mode=ro", "names a file"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_at_once_with_the_fix_and_no_password(
    written: str, remedy: str, tmp_path: Path
) -> None:
    config = Config(general=General(state_dir=str(tmp_path)), secrets=Secrets(database_url=written))

    with pytest.raises(ConfigurationError) as raised:
        build_process(config, mode=ExecutionMode.DRY_RUN, operator_id="test")

    said = str(raised.value)
    assert said.startswith("DATABASE_URL (environment): ")
    assert remedy in said
    assert PASSWORD not in said


def test_a_url_is_not_looked_at_while_the_database_is_switched_off(tmp_path: Path) -> None:
    config = Config(
        general=General(state_dir=str(tmp_path)),
        database=Database(enabled=False),
        logging=Logging(console=False, file=""),
        secrets=Secrets(database_url="mysql://nowhere"),
    )

    build_process(config, mode=ExecutionMode.DRY_RUN, operator_id="test")


@pytest.mark.req("DB-4", "OBS-4")
@pytest.mark.parametrize("port", [1])
def test_a_server_that_does_not_listen_is_named_without_the_password(port: int) -> None:
    engine = make_engine(normalised(f"postgresql://u:{PASSWORD}@127.0.0.1:{port}/db"), timeout_s=1)

    with pytest.raises(RecordsError, match=f"PostgreSQL 127.0.0.1:{port}/db") as raised:
        asyncio.run(current(engine))

    assert PASSWORD not in str(raised.value)


@pytest.mark.req("OBS-4")
def test_a_password_in_what_the_driver_says_is_taken_out() -> None:
    url = normalised(f"postgresql://u:{PASSWORD}@host/db")

    with pytest.raises(RecordsError) as raised, explained(url):
        raise OSError(f"cannot log in with {PASSWORD}\nand more")

    assert str(raised.value) == "PostgreSQL host:5432/db: cannot log in with ***"
    assert raised.value.__cause__ is None


@pytest.mark.req("DB-4")
def test_a_file_in_a_place_that_is_no_directory_is_a_records_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    engine = make_engine(sqlite_url(tmp_path / "file" / "records.sqlite3"), timeout_s=1)

    with pytest.raises(RecordsError, match="cannot be written"):
        asyncio.run(prepare_file(engine))


@pytest.mark.req("DB-3", "OBS-4")
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "records.sqlite3"

    asyncio.run(prepare_file(make_engine(sqlite_url(path), timeout_s=1)))

    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.req("DB-4")
@pytest.mark.filterwarnings("error::ResourceWarning")
def test_a_file_that_is_no_database_is_a_records_error(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite3"
    path.write_text("this is no database" * 100)
    engine = make_engine(sqlite_url(path), timeout_s=1)

    async def scenario() -> None:
        for _ in range(5):
            with pytest.raises(RecordsError, match="not a database"):
                await current(engine)
        gc.collect()  # a connection that is left to it warns

    asyncio.run(scenario())
