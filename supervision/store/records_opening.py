"""Which database the records go to: `DATABASE_URL`, or a file beside the journal. Drivers are loaded when needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from actors.kernel.clock import Clock, Entropy
from supervision.config.sections import Config
from supervision.store.records_memory import MemoryRecords
from supervision.store.records_port import ConnectionRecords

if TYPE_CHECKING:
    from sqlalchemy import URL

RECORDS_FILE: Final = "records.sqlite3"
"""In ``[general] state_dir``, where `DATABASE_URL` is not set."""

OpenRecords = Callable[[], Awaitable[ConnectionRecords]]


def is_private(config: Config) -> bool:
    """Whether no other process writes there: the journal's lock guards the directory."""
    return not config.secrets.database_url


def database_url(config: Config) -> URL:
    """Choose the database; raises `ConfigurationError` for a `DATABASE_URL` that cannot be used."""
    from supervision.store.engine import normalised, sqlite_url

    if is_private(config):
        return sqlite_url(config.state_dir / RECORDS_FILE)
    return normalised(config.secrets.database_url)


def records_opener(config: Config, clock: Clock, entropy: Entropy) -> OpenRecords:
    """Make what opens the records, once for each incarnation of their actor.

    Raises `ConfigurationError` now for a `DATABASE_URL` that cannot be used.
    """
    section = config.database
    if not section.enabled:
        memory = MemoryRecords(clock, section.queue_bound)

        async def open_memory() -> ConnectionRecords:
            return memory

        return open_memory
    if not is_private(config):
        database_url(config)

    def open_now() -> ConnectionRecords:
        from supervision.store.records_database import DatabaseRecords

        return DatabaseRecords(
            database_url(config),
            timeout_s=section.statement_timeout_s,
            clock=clock,
            entropy=entropy,
        )

    async def open_database() -> ConnectionRecords:
        # In a thread, since it loads a library for a second or two.
        return await asyncio.to_thread(open_now)

    return open_database
