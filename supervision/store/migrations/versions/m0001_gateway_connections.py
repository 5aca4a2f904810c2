"""Create ``gateway_connections``: one row for each session with the gateway (DB-1)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TABLE = "gateway_connections"


def upgrade() -> None:
    """Create the table and its indexes."""
    op.create_table(
        TABLE,
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Integer(), nullable=False),
        sa.Column("host", sa.String(253), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("server_version", sa.Integer(), nullable=False),
        sa.Column("connection_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disconnection_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("readonly", sa.Boolean(), nullable=False),
        sa.Column("final_state", sa.String(20), nullable=True),
        sa.Column("error_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.CheckConstraint("port BETWEEN 1 AND 65535", name="ck_gateway_connections_port"),
        sa.PrimaryKeyConstraint("session_id", name="pk_gateway_connections"),
    )
    op.create_index("ix_gateway_connections_client_id", TABLE, ["client_id"])
    op.create_index("ix_gateway_connections_created_at", TABLE, ["created_at"])
    op.create_index(
        "ix_gateway_connections_active",
        TABLE,
        ["final_state"],
        sqlite_where=sa.text("final_state IS NULL"),
        postgresql_where=sa.text("final_state IS NULL"),
    )


def downgrade() -> None:
    """Drop the table, and with it every record."""
    op.drop_table(TABLE)
