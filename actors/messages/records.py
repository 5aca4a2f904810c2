"""Messages for the records: what is written for reports, behind the trading and never in its way (DB-1, DB-4)."""

from __future__ import annotations

from datetime import datetime

import attrs

from actors.kernel.messages import Message, Reply, Request
from actors.model.connection import ConnectionState


@attrs.frozen(kw_only=True)
class SessionStarted(Message):
    """A session was established: the row of ``gateway_connections`` begins."""

    session_id: str
    client_id: int
    host: str
    port: int
    server_version: int
    readonly: bool
    at: datetime


@attrs.frozen(kw_only=True)
class SessionFinished(Message):
    """The session is over: its row ends with the state that the connection went to."""

    session_id: str
    final_state: ConnectionState
    error_count: int
    at: datetime


@attrs.frozen(kw_only=True)
class GetRecordsStatus(Request):
    """Answered by `RecordsStatus`."""


@attrs.frozen(kw_only=True)
class RecordsStatus(Reply):
    """How the writing goes. ``degraded_by`` says why it does not; None while it does.

    ``waiting`` rows are not written yet; ``dropped`` were lost since the start because the bound was reached.
    """

    degraded_by: str | None
    waiting: int
    dropped: int

    @property
    def problem(self) -> str | None:
        """Say in words that the writing does not go; None while it does."""
        if self.degraded_by is None:
            return None
        return f"database: {self.degraded_by} ({self.waiting} rows wait, {self.dropped} were lost)"
