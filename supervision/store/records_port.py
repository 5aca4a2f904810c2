"""What the writer behind the trading needs of a database (DB-4)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from supervision.store.records_values import Endpoint, RefusedRecord, SessionRecord


class ConnectionRecords(Protocol):
    """Somewhere to write sessions. Every call raises `RecordsError` when it cannot be done now, and may be repeated."""

    async def prepare(self) -> None:
        """Bring the tables to the state that this program needs."""
        ...

    async def save(self, records: Sequence[SessionRecord]) -> tuple[RefusedRecord, ...]:
        """Write all of them, merged with what is there (`records_values.merged`); return those it can never take."""
        ...

    async def cleanup_stale_connections(
        self,
        max_age_seconds: float,
        *,
        endpoint: Endpoint | None = None,
        spare: Collection[str] = (),
    ) -> int:
        """Close open sessions without a sign of life for ``max_age_seconds``; return how many."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...
