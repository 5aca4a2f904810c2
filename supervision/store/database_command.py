"""``python -m supervision database``: look at the schema of the records and move it, while no process writes.

The process itself brings the schema up when it starts; by hand that is needed before a rollback only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sqlalchemy.ext.asyncio import AsyncEngine

from actors.errors import ConfigurationError
from supervision.config.sections import Config
from supervision.store.engine import make_engine, where
from supervision.store.journal_lock import JOURNAL_FILE, JournalLock
from supervision.store.migrating import current, downgrade, newest, upgrade
from supervision.store.records_database import prepare_file
from supervision.store.records_opening import database_url


def show_schema(config: Config) -> str:
    """Say in a line which schema the database has."""
    return _run(config, _describe)


def upgrade_schema(config: Config) -> str:
    """Bring the schema up and say where it stands; raises `RecordsError`."""

    async def act(engine: AsyncEngine) -> str:
        await upgrade(engine)
        return await _describe(engine)

    return _run(config, act)


def downgrade_schema(config: Config, revision: str) -> str:
    """Take the schema down and say where it stands.

    A running process would bring it up again: raises `JournalLockedError` while one holds the journal's lock.
    """

    async def act(engine: AsyncEngine) -> str:
        await downgrade(engine, revision)
        return await _describe(engine)

    with JournalLock(config.state_dir / JOURNAL_FILE):
        return _run(config, act)


def _run(config: Config, act: Callable[[AsyncEngine], Awaitable[str]]) -> str:
    if not config.database.enabled:
        raise ConfigurationError("database.enabled is false: there is no database to look at")
    engine = make_engine(database_url(config), timeout_s=config.database.statement_timeout_s)

    async def work() -> str:
        try:
            await prepare_file(engine)
            return await act(engine)
        finally:
            await engine.dispose()

    return asyncio.run(work())


async def _describe(engine: AsyncEngine) -> str:
    found = await current(engine)
    return f"{where(engine.url)}: schema {found or 'none'} (this program's: {newest()})"
