"""The table of connection records, the same on SQLite and PostgreSQL (DB-1). `migrations` creates it.

Times are aware and UTC on both sides, although SQLite knows no zones; a naive one is refused.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    TypeDecorator,
    Uuid,
    func,
    text,
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC. SQLite stores it without its zone, and gets the zone back when it is read."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a naive time: whose it is would be a guess."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"the time must be aware (was {value!r})")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give it back aware."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


metadata: Final = MetaData()

gateway_connections: Final = Table(
    "gateway_connections",
    metadata,
    Column("session_id", Uuid(as_uuid=False), nullable=False),
    Column("client_id", Integer, nullable=False),
    Column("host", String(253), nullable=False),
    Column("port", Integer, nullable=False),
    Column("server_version", Integer, nullable=False),
    Column("connection_time", UtcDateTime, nullable=False),
    Column("disconnection_time", UtcDateTime),
    Column("readonly", Boolean, nullable=False),
    Column("final_state", String(20)),
    Column("error_count", Integer, nullable=False, server_default=text("0")),
    Column("created_at", UtcDateTime, nullable=False, server_default=func.now()),
    Column(
        "updated_at", UtcDateTime, nullable=False, server_default=func.now(), onupdate=func.now()
    ),
    CheckConstraint("port BETWEEN 1 AND 65535", name="ck_gateway_connections_port"),
    PrimaryKeyConstraint("session_id", name="pk_gateway_connections"),
    Index("ix_gateway_connections_client_id", "client_id"),
    Index("ix_gateway_connections_created_at", "created_at"),
    Index(
        "ix_gateway_connections_active",
        "final_state",
        sqlite_where=text("final_state IS NULL"),
        postgresql_where=text("final_state IS NULL"),
    ),
)
