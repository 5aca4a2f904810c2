"""Bring the records' schema up or down, one transaction for all steps, on either database (DB-1).

Migrations run over the same asynchronous connection as everything else, so a database that hangs blocks nobody.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from actors.errors import RecordsError
from supervision.store.engine import BEGIN, explained

HEAD: Final = "head"
BASE: Final = "base"
SCRIPTS: Final = Path(__file__).with_name("migrations")

_LOCK_KEY: Final = 0x49424B52
"""Names our advisory lock in PostgreSQL, which makes two starting processes migrate one after the other."""

_operations = threading.Lock()
"""Alembic's ``op`` is one for the whole interpreter, which may run several gateways."""

_POLL_S: Final = 0.01


async def upgrade(engine: AsyncEngine, revision: str = HEAD) -> None:
    """Go up to ``revision``; does nothing when it is there. Raises `RecordsError`, also for a newer schema."""
    if revision == HEAD and await current(engine) == newest():
        return
    await _migrate(engine, revision, up=True)


async def downgrade(engine: AsyncEngine, revision: str) -> None:
    """Go down to ``revision`` (``base``: no table at all, and no record). Raises `RecordsError`."""
    await _migrate(engine, revision, up=False)


async def current(engine: AsyncEngine) -> str | None:
    """Tell the revision that the database has; None: no schema."""
    with explained(engine.url):
        async with engine.connect() as connection:
            return await connection.run_sync(_current)


def newest() -> str:
    """Tell the revision that this program needs."""
    revision = ScriptDirectory(str(SCRIPTS)).get_current_head()
    assert revision is not None  # noqa: S101 - there is at least one
    return revision


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


async def _migrate(engine: AsyncEngine, revision: str, *, up: bool) -> None:
    # An event would not do: the holder may be on another loop.
    while not _operations.acquire(blocking=False):  # noqa: ASYNC110
        await asyncio.sleep(_POLL_S)
    try:
        with explained(engine.url):
            async with engine.execution_options(**{BEGIN: "BEGIN IMMEDIATE"}).begin() as connection:
                await wait_for_others(connection)
                await connection.run_sync(_walk, revision, up)
    except CommandError as error:
        raise RecordsError(
            f"the schema cannot go to {revision!r}: {error}; this program knows schemas up to"
            f" {newest()!r}: run the program that wrote it, or go down with that one first"
        ) from None
    finally:
        _operations.release()


async def wait_for_others(connection: AsyncConnection) -> None:
    """Hold back other processes until this transaction ends; SQLite's own lock does that by itself."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})


def _walk(connection: Connection, revision: str, up: bool) -> None:
    script = ScriptDirectory(str(SCRIPTS))

    def steps(heads: Any, _context: MigrationContext) -> Iterable[Any]:
        return (script._upgrade_revs if up else script._downgrade_revs)(revision, heads)

    context = MigrationContext.configure(connection, opts={"fn": steps})
    with Operations.context(context):
        context.run_migrations()
