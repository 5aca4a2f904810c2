"""Connection records without a database: for proofs, and for ``[database] enabled = false``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import attrs

from actors.kernel.clock import Clock
from supervision.store.records_values import (
    STALE,
    ConnectionRecord,
    Endpoint,
    RefusedRecord,
    SessionRecord,
    merged,
)


class MemoryRecords:
    """Holds the newest ``bound`` sessions; answers at once, by the same rules as `ConnectionRepository`."""

    def __init__(self, clock: Clock, bound: int) -> None:
        self._clock = clock
        self._bound = bound
        self.rows: dict[str, ConnectionRecord] = {}

    async def prepare(self) -> None:
        """Nothing to prepare."""

    async def save(self, records: Sequence[SessionRecord]) -> tuple[RefusedRecord, ...]:
        """Hold all of them, merged with what is there."""
        for record in records:
            self._save(record)
        return ()

    def _save(self, told: SessionRecord) -> None:
        known = self.rows.get(told.session_id)
        if merged(known, told) is known:
            return
        now = self._clock.now()
        if known is None:
            self.rows[told.session_id] = ConnectionRecord(
                **attrs.asdict(told), created_at=now, updated_at=now
            )
        else:
            self.rows[told.session_id] = attrs.evolve(
                known,
                disconnection_time=told.disconnection_time,
                final_state=told.final_state,
                error_count=told.error_count,
                updated_at=now,
            )
        if len(self.rows) > self._bound:
            del self.rows[next(iter(self.rows))]

    async def cleanup_stale_connections(
        self,
        max_age_seconds: float,
        *,
        endpoint: Endpoint | None = None,
        spare: Collection[str] = (),
    ) -> int:
        """Close open sessions without a sign of life."""
        now = self._clock.now()
        before = now - timedelta(seconds=max_age_seconds)
        stale = [
            row
            for row in self.rows.values()
            if row.final_state is None
            and (max_age_seconds == 0 or row.updated_at <= before)
            and row.session_id not in spare
            and (endpoint is None or _is_of(row, endpoint))
        ]
        for row in stale:
            self.rows[row.session_id] = _as_stale(row, now)
        return len(stale)

    async def close(self) -> None:
        """Nothing to let go of."""


def _is_of(row: ConnectionRecord, endpoint: Endpoint) -> bool:
    return Endpoint(client_id=row.client_id, host=row.host, port=row.port) == endpoint


def _as_stale(row: ConnectionRecord, now: datetime) -> ConnectionRecord:
    return attrs.evolve(row, final_state=STALE, disconnection_time=row.updated_at, updated_at=now)
