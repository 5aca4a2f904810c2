"""From ``DATABASE_URL``, as users write it, to an engine; and from a driver's error to one that helps.

No connection is kept between two transactions: a few rows a day do not need a pool, and what is not held can neither
go stale nor hang.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import asyncpg
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from actors.errors import ConfigurationError, RecordsError

HOW_TO_WRITE_IT: Final = (
    "write postgresql://USER:PASSWORD@HOST:5432/DATABASE or sqlite:////ABSOLUTE/PATH.sqlite3"
)
DRIVERS: Final = {
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
}
PARAMETERS: Final = ("host", "port", "sslmode", "ssl")
SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
BEGIN: Final = "begin_with"
"""The name of the execution option that replaces SQLite's ``BEGIN``."""

_LEAST_PASSWORD: Final = 3
_BUSY_S: Final = 0.5
"""So long SQLite waits for another writer. It cannot be called off, so that a stop would have to wait for it."""

_DRIVER_ERRORS: Final = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    sqlite3.Error,
    OSError,  # TimeoutError too
)


def sqlite_url(path: Path) -> URL:
    """Give the URL of a file."""
    return URL.create("sqlite+aiosqlite", database=str(path))


def normalised(text: str) -> URL:
    """Read ``DATABASE_URL``; raises `ConfigurationError`, which never shows the password."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise _unusable("it is no database URL") from None
    driver = DRIVERS.get(url.drivername.lower())
    if driver is None:
        raise _unusable(f"{url.drivername!r:.40} is no supported database")
    url = url.set(drivername=driver)
    return _checked_sqlite(url) if driver.startswith("sqlite") else _checked_postgresql(url)


def _checked_sqlite(url: URL) -> URL:
    if not url.database or url.database == ":memory:" or url.query or url.host:
        raise _unusable("an SQLite URL names a file, with three slashes before the path")
    return url


def _checked_postgresql(url: URL) -> URL:
    unknown = sorted(set(url.query) - set(PARAMETERS))
    if unknown:
        raise _unusable(
            f"the parameter {unknown[0]!r:.40} is not supported; take it out"
            f" (supported: {', '.join(PARAMETERS)})"
        )
    if "@" in (url.host or ""):
        raise _unusable("a special character in the password has to be percent-encoded (@ is %40)")
    if not url.host and "host" not in url.query:
        raise _unusable("it names no host")
    if not url.database:
        raise _unusable("it names no database")
    mode = url.query.get("ssl", url.query.get("sslmode"))
    if mode is None:
        return url
    if mode not in SSL_MODES:
        raise _unusable(f"sslmode must be one of {', '.join(SSL_MODES)}")
    return url.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})


def _unusable(why: str) -> ConfigurationError:
    return ConfigurationError(f"DATABASE_URL (environment): {why}; {HOW_TO_WRITE_IT}")


def make_engine(url: URL, *, timeout_s: float) -> AsyncEngine:
    """Make an engine for a `normalised` URL; nothing is opened yet. ``timeout_s`` bounds a connect and a statement."""
    if url.get_backend_name() == "sqlite":
        return _make_sqlite_engine(url, timeout_s)
    settings = {
        "timeout": timeout_s,
        "command_timeout": timeout_s,
        "server_settings": {"application_name": "ibkr-actors"},
    }
    return create_async_engine(url, poolclass=NullPool, connect_args=settings)


def _make_sqlite_engine(url: URL, timeout_s: float) -> AsyncEngine:
    engine = create_async_engine(
        url, poolclass=NullPool, connect_args={"timeout": min(_BUSY_S, timeout_s / 2)}
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        # Python's driver would begin by itself, and not before DDL: a migration could then stop halfway.
        connection.exec_driver_sql(connection.get_execution_options().get(BEGIN, "BEGIN"))

    return engine


def create_private(path: Path) -> None:
    """Create the file and its directory, readable for the owner only; raises `RecordsError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise RecordsError(f"{path}: cannot be written: {error.strerror or error}") from error


@contextlib.contextmanager
def explained(url: URL, let_through: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn what a driver raises into a `RecordsError` that says where and why, without the password."""
    try:
        yield
    except let_through:
        raise
    except _DRIVER_ERRORS as error:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
        first = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        raise RecordsError(_without_password(f"{where(url)}: {first}", url)) from None


def where(url: URL) -> str:
    """Name a database without user and password."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    host = url.host or url.query.get("host")
    return f"PostgreSQL {host}:{url.port or 5432}/{url.database}"


def _without_password(text: str, url: URL) -> str:
    password = url.password or ""
    return text.replace(password, "***") if len(password) >= _LEAST_PASSWORD else text
