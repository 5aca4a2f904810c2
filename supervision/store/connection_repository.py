"""The repository of connection records: SQL on ``gateway_connections``, values in and values out (DB-2).

Guarantees: parameters are always bound, never spliced into SQL; what no database could hold is refused before any SQL
(`InvalidRecordError`); one call is one transaction; `save` may be repeated, whatever became of its first try.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import attrs
from sqlalchemy import Row, Update, null, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.errors import InvalidRecordError, RecordNotFoundError
from actors.kernel.clock import Clock, Entropy
from supervision.store.engine import explained
from supervision.store.records_values import (
    STALE,
    ConnectionRecord,
    Endpoint,
    RefusedRecord,
    SessionRecord,
    canonical_id,
    checked,
)
from supervision.store.tables import gateway_connections

MOST_ACTIVE: Final = 10_000
"""`list_active_connections` returns so many at most, the newest."""

MOST_AGE_S: Final = 100 * 365 * 86_400.0

_table = gateway_connections
_columns = gateway_connections.c
_CHANGES: Final = ("disconnection_time", "final_state", "error_count", "updated_at")
"""What a later report of the same session may change."""


class ConnectionRepository:
    """Reads and writes connection records. ``clock`` dates them, ``entropy`` makes the ids of those that come without.

    Every method raises `RecordsError` when the database cannot be reached or does not answer.
    """

    def __init__(self, engine: AsyncEngine, clock: Clock, entropy: Entropy) -> None:
        self._engine = engine
        self._clock = clock
        self._entropy = entropy

    # --- writing --------------------------------------------------------------------------------------------------

    async def create_connection(
        self,
        *,
        client_id: int,
        host: str,
        port: int,
        server_version: int,
        readonly: bool = False,
        connection_time: datetime | None = None,
        session_id: str | None = None,
    ) -> str:
        """Record that a session was opened, now unless ``connection_time`` says when; return its id.

        Raises `InvalidRecordError` for a value out of its bounds, and for an id that is recorded already.
        """
        record = SessionRecord(
            session_id=self._entropy.uuid4() if session_id is None else session_id,
            client_id=client_id,
            host=host,
            port=port,
            server_version=server_version,
            readonly=readonly,
            connection_time=self._clock.now() if connection_time is None else connection_time,
        )
        with explained(self._engine.url):
            try:
                async with self._engine.begin() as connection:
                    await connection.execute(_table.insert(), [self._values(record)])
            except IntegrityError:
                raise InvalidRecordError(
                    f"session {record.session_id} is recorded already"
                ) from None
        return record.session_id

    async def update_connection(self, session_id: str, **changes: Any) -> None:
        """Change ``disconnection_time``, ``final_state`` or ``error_count``; without any, give a sign of life.

        Raises `RecordNotFoundError` for an unknown id, `InvalidRecordError` for anything that does not fit.
        """
        unknown = sorted(set(changes) - set(_CHANGES[:-1]))
        if unknown:
            raise InvalidRecordError(f"{unknown[0]!r:.40} cannot be changed")
        values = {name: checked(name, value) for name, value in changes.items()}
        key = canonical_id(session_id)
        statement = update(_table).where(_columns.session_id == key)
        if await self._change(statement.values(**values, updated_at=self._clock.now())) == 0:
            raise RecordNotFoundError(f"no session {key} is recorded")

    async def save(self, records: Sequence[SessionRecord]) -> tuple[RefusedRecord, ...]:
        """Write all of them in one transaction, as `records_values.merged` says.

        Where the database refuses one for what it holds, the others are written one by one, and it is returned.
        """
        try:
            await self._upsert(records)
        except (IntegrityError, DataError):
            return await self._save_one_by_one(records)
        return ()

    async def _save_one_by_one(self, records: Sequence[SessionRecord]) -> tuple[RefusedRecord, ...]:
        refused = []
        for record in records:
            try:
                await self._upsert([record])
            except (IntegrityError, DataError) as error:
                reason = str(error.orig).splitlines()[0]
                refused.append(RefusedRecord(session_id=record.session_id, reason=reason))
        return tuple(refused)

    async def _upsert(self, records: Sequence[SessionRecord]) -> None:
        on_sqlite = self._engine.dialect.name == "sqlite"
        insert = sqlite.insert(_table) if on_sqlite else postgresql.insert(_table)
        told = insert.excluded
        statement = insert.on_conflict_do_update(
            index_elements=[_columns.session_id],
            set_={name: told[name] for name in _CHANGES},
            where=or_(_columns.final_state.is_(null()), _columns.final_state == STALE),
        )
        with explained(self._engine.url, let_through=(IntegrityError, DataError)):
            async with self._engine.begin() as connection:
                await connection.execute(statement, [self._values(record) for record in records])

    def _values(self, record: SessionRecord) -> dict[str, Any]:
        now = self._clock.now()
        return {**attrs.asdict(record), "created_at": now, "updated_at": now}

    async def cleanup_stale_connections(
        self,
        max_age_seconds: float,
        *,
        endpoint: Endpoint | None = None,
        spare: Collection[str] = (),
    ) -> int:
        """Close as `STALE` the open sessions without a sign of life for ``max_age_seconds``; return how many.

        A session that is alive gives signs of life (``updated_at``) however old it is, so its age does not matter.
        It is taken to have ended with the last of them. 0 closes every one, whatever its clock said. ``endpoint``
        limits the sweep; ``spare`` names sessions that are known to live.
        """
        if not 0 <= max_age_seconds <= MOST_AGE_S:
            raise InvalidRecordError(
                f"max_age_seconds must be from 0 to {MOST_AGE_S:g} (was {max_age_seconds!r:.40})"
            )
        now = self._clock.now()
        statement = (
            update(_table)
            .where(
                _columns.final_state.is_(null()),
                _columns.session_id.not_in([canonical_id(each) for each in spare]),
            )
            .values(final_state=STALE, disconnection_time=_columns.updated_at, updated_at=now)
        )
        if max_age_seconds > 0:
            before = now - timedelta(seconds=max_age_seconds)
            statement = statement.where(_columns.updated_at <= before)
        if endpoint is not None:
            statement = statement.where(
                _columns.client_id == endpoint.client_id,
                _columns.host == endpoint.host,
                _columns.port == endpoint.port,
            )
        return await self._change(statement)

    async def _change(self, statement: Update) -> int:
        with explained(self._engine.url):
            async with self._engine.begin() as connection:
                return (await connection.execute(statement)).rowcount

    # --- reading --------------------------------------------------------------------------------------------------

    async def get_connection(self, session_id: str) -> ConnectionRecord | None:
        """Find one; None when there is none."""
        statement = select(_table).where(_columns.session_id == canonical_id(session_id))
        with explained(self._engine.url):
            async with self._engine.connect() as connection:
                row = (await connection.execute(statement)).one_or_none()
        return None if row is None else _record(row)

    async def list_active_connections(self) -> tuple[ConnectionRecord, ...]:
        """List the sessions that have not ended, newest first, `MOST_ACTIVE` at most."""
        statement = (
            select(_table)
            .where(_columns.final_state.is_(null()))
            .order_by(_columns.connection_time.desc(), _columns.session_id)
            .limit(MOST_ACTIVE)
        )
        with explained(self._engine.url):
            async with self._engine.connect() as connection:
                rows = (await connection.execute(statement)).all()
        return tuple(_record(row) for row in rows)


def _record(row: Row[Any]) -> ConnectionRecord:
    return ConnectionRecord(**row._asdict())
