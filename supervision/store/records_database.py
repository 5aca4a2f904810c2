"""Connection records in SQLite or PostgreSQL, as the writer behind the trading uses them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.kernel.clock import Clock, Entropy
from supervision.store.connection_repository import ConnectionRepository
from supervision.store.engine import create_private, make_engine
from supervision.store.migrating import upgrade
from supervision.store.records_values import Endpoint, RefusedRecord, SessionRecord


class DatabaseRecords:
    """A database with its schema and its repository. Nothing is opened before the first call."""

    def __init__(self, url: URL, *, timeout_s: float, clock: Clock, entropy: Entropy) -> None:
        self.engine: AsyncEngine = make_engine(url, timeout_s=timeout_s)
        self.repository = ConnectionRepository(self.engine, clock, entropy)

    async def prepare(self) -> None:
        """Create an SQLite file that is not there, and bring the schema up."""
        await prepare_file(self.engine)
        await upgrade(self.engine)

    async def save(self, records: Sequence[SessionRecord]) -> tuple[RefusedRecord, ...]:
        """Write all of them in one transaction."""
        return await self.repository.save(records)

    async def cleanup_stale_connections(
        self,
        max_age_seconds: float,
        *,
        endpoint: Endpoint | None = None,
        spare: Collection[str] = (),
    ) -> int:
        """Close open sessions without a sign of life."""
        return await self.repository.cleanup_stale_connections(
            max_age_seconds, endpoint=endpoint, spare=spare
        )

    async def close(self) -> None:
        """Let go of the engine; no connection is held between two calls."""
        await self.engine.dispose()


async def prepare_file(engine: AsyncEngine) -> None:
    """Create the file of an SQLite database, for its owner only; elsewhere there is nothing to do."""
    if engine.dialect.name == "sqlite":
        # In a thread: a disk may hang.
        await asyncio.to_thread(create_private, Path(str(engine.url.database)))
