"""Reading the journal for the audit trail, beside the process that writes it or after its end (ORD-9).

The connection is read-only and asks for no lock that a writer needs (WAL). Everything is read in one transaction, so
that the parts of an order agree. A journal of an earlier version is read in a copy that is brought forward in memory:
the file stays as it is, and what that version did not record is None or missing.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import attrs

from actors.errors import ConfigurationError, GatewayError
from supervision.store.entries.liquidations import RECORDED
from supervision.store.journal_rows import as_text, decode
from supervision.store.journal_schema import (
    BUSY_S,
    MIGRATIONS,
    bring_forward,
    explain,
    version_of,
)

NO_INTENT: Final = "NO INTENT"
"""The state of an order that nothing but executions are known of."""

INTENT: Final = "INTENT"
"""The state of an order that was intended, and of which nothing more is known."""

_BY_TEXT: Final = """
    SELECT order_ref FROM intents WHERE order_ref = :id OR order_id = :id OR correlation_id = :id
    UNION SELECT order_ref FROM transitions WHERE order_ref = :id
    UNION SELECT order_ref FROM executions WHERE order_ref = :id OR exec_id = :id"""
_BY_NUMBER: Final = """
    UNION SELECT order_ref FROM transitions
        WHERE json_extract(detail, '$.broker_order_id') = :number OR json_extract(detail, '$.perm_id') = :number
    UNION SELECT order_ref FROM executions
        WHERE json_extract(content, '$.order_id') = :number OR json_extract(content, '$.perm_id') = :number"""

DONE: Final = "DONE"
"""The last step of a liquidation."""

_NEVER: Final = "9999"
"""Later than every time in the journal."""

_NUMBER: Final = re.compile("[1-9][0-9]{0,17}")
"""IB's ids, within what SQLite can hold."""

_ORDER: Final = """
    SELECT i.order_ref, i.order_id, i.correlation_id, i.created_at AS at, i.content, t.state, t.detail
    FROM intents i LEFT JOIN transitions t
    ON t.seq = (SELECT max(seq) FROM transitions WHERE order_ref = i.order_ref)"""
_NOT_SENT: Final = "SELECT * FROM not_sent"


@attrs.frozen(kw_only=True)
class Entry:
    """An order in a list. ``seq`` is set for one that was not sent, which may have no id of its own."""

    order_ref: str
    order_id: str
    correlation_id: str
    at: datetime | None
    state: str
    request: dict[str, Any]
    reason: str = ""
    seq: int | None = None


@attrs.frozen(kw_only=True)
class OrderAudit:
    """All that the journal has of an order; rows as dictionaries, with their JSON read and their times parsed.

    ``intent`` is None for an order that was adopted. ``latches`` is the latch that stood when the order began, and
    what became of it until the order's last row.
    """

    entry: Entry
    intent: dict[str, Any] | None
    modifications: tuple[dict[str, Any], ...]
    transitions: tuple[dict[str, Any], ...]
    notes: tuple[dict[str, Any], ...]
    executions: tuple[dict[str, Any], ...]
    latches: tuple[dict[str, Any], ...]


@attrs.frozen(kw_only=True)
class LiquidationAudit:
    """All that the journal has of a liquidation: the latch that began it, its steps, and the orders meanwhile.

    ``rearmed`` is the entry that took the latch back, ``recorded`` are those of taking it back later.
    ``until`` is when the last step was recorded, or the next latch; None while it goes on. ``orders`` are all of which
    something became known until then.
    """

    latch: dict[str, Any]
    recorded: tuple[dict[str, Any], ...]
    rearmed: dict[str, Any] | None
    steps: tuple[dict[str, Any], ...]
    orders: tuple[OrderAudit, ...]
    until: datetime | None


class AuditTrail:
    """The journal, as `open_audit` opened it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def find(self, order_id: str) -> tuple[Entry, ...]:
        """Find orders by our order id, orderRef, IB's order id, permId, an execution's id or a correlation id."""
        sql = _BY_TEXT
        values: dict[str, Any] = {"id": order_id}
        if _NUMBER.fullmatch(order_id):
            sql, values["number"] = sql + _BY_NUMBER, int(order_id)
        references = [row["order_ref"] for row in self._rows(sql, values) if row["order_ref"]]
        unsent = self._rows(
            _NOT_SENT + " WHERE order_id = :id OR order_ref = :id OR correlation_id = :id", values
        )
        found = [self._entry(reference) for reference in references]
        return tuple(sorted([*found, *map(_unsent, unsent)], key=_age))

    def newest(self, most: int) -> tuple[Entry, ...]:
        """List the newest orders, oldest first, with those that were not sent."""
        limit = {"most": most}
        sent = self._rows(_ORDER + " ORDER BY i.created_at DESC LIMIT :most", limit)
        unsent = self._rows(_NOT_SENT + " ORDER BY seq DESC LIMIT :most", limit)
        return tuple(sorted([*map(_sent, sent), *map(_unsent, unsent)], key=_age))[-most:]

    def order(self, entry: Entry) -> OrderAudit:
        """Read all that is known of an order that reached the journal's intents, or was adopted."""
        key = {"ref": entry.order_ref}
        intents = self._rows("SELECT * FROM intents WHERE order_ref = :ref", key)
        return OrderAudit(
            entry=entry,
            intent=intents[0] if intents else None,
            modifications=self._rows(
                "SELECT * FROM modifications WHERE order_ref = :ref ORDER BY seq", key
            ),
            transitions=self._rows(
                "SELECT * FROM transitions WHERE order_ref = :ref ORDER BY seq", key
            ),
            notes=self._rows("SELECT * FROM notes WHERE order_ref = :ref ORDER BY seq", key),
            executions=self._rows(
                "SELECT * FROM executions WHERE order_ref = :ref ORDER BY at, rowid", key
            ),
            latches=self._latches(entry.order_ref),
        )

    def liquidations(self, liquidation_id: str = "") -> tuple[dict[str, Any], ...]:
        """Find the latches that began liquidations whose id begins so, oldest first; each once."""
        return self._rows(
            "SELECT * FROM latch AS one WHERE latched AND substr(liquidation_id, 1, length(:id)) = :id AND seq ="
            " (SELECT min(seq) FROM latch WHERE latched AND liquidation_id = one.liquidation_id) ORDER BY seq",
            {"id": liquidation_id},
        )

    def liquidation(self, latch: dict[str, Any]) -> LiquidationAudit:
        """Read all that is known of a liquidation that `liquidations` found."""
        key = {"seq": latch["seq"], "run": latch["liquidation_id"]}
        following = self._rows(
            "SELECT * FROM latch WHERE seq > :seq AND (NOT latched OR liquidation_id <> :run) ORDER BY seq LIMIT 1",
            key,
        )
        recorded = self._rows(
            "SELECT * FROM latch WHERE latched = :recorded AND liquidation_id = :run ORDER BY seq",
            key | {"recorded": RECORDED},
        )
        steps = self._rows("SELECT * FROM steps WHERE run_id = :run ORDER BY seq", key)
        ended_at = steps[-1]["at"] if steps and steps[-1]["step"] == DONE else None
        until = ended_at or (following[0]["at"] if following else None)
        window = {"since": as_text(latch["at"]), "until": as_text(until) if until else _NEVER}
        references = self._rows(
            "SELECT order_ref, min(seq) AS first FROM transitions WHERE at >= :since AND at <= :until"
            " GROUP BY order_ref ORDER BY first",
            window,
        )
        return LiquidationAudit(
            latch=latch,
            recorded=recorded,
            rearmed=next((row for row in following if not row["latched"]), None),
            steps=steps,
            orders=tuple(self.order(self._entry(row["order_ref"])) for row in references),
            until=until,
        )

    def graces(self, most: int) -> tuple[dict[str, Any], ...]:
        """Give what Strategy C tolerated, the oldest first; a row without ``until`` ends what was before it."""
        sql = "SELECT reason, until, at FROM graces ORDER BY seq DESC LIMIT :most"
        return tuple(reversed(self._rows(sql, {"most": most})))

    def not_sent(self, entry: Entry) -> dict[str, Any]:
        """Read all that is known of an order that was not sent."""
        return self._rows(_NOT_SENT + " WHERE seq = :seq", {"seq": entry.seq})[0]

    def _latches(self, order_ref: str) -> tuple[dict[str, Any], ...]:
        """Read the latch while the order lived, and the entry that stood before."""
        return self._rows(
            """
            WITH life AS (
                SELECT min(at) AS began, max(at) AS ended FROM (
                    SELECT created_at AS at FROM intents WHERE order_ref = :ref
                    UNION ALL SELECT at FROM transitions WHERE order_ref = :ref
                    UNION ALL SELECT at FROM notes WHERE order_ref = :ref))
            SELECT latch.* FROM latch, life WHERE at <= ended AND (at >= began OR
                (latched AND seq = (SELECT max(seq) FROM latch WHERE at < began)))
            ORDER BY seq""",
            {"ref": order_ref},
        )

    def _entry(self, order_ref: str) -> Entry:
        rows = self._rows(_ORDER + " WHERE i.order_ref = :ref", {"ref": order_ref})
        return _sent(rows[0]) if rows else self._adopted(order_ref)

    def _adopted(self, order_ref: str) -> Entry:
        rows = self._rows(
            "SELECT (SELECT min(at) FROM transitions WHERE order_ref = :ref) AS at,"
            " (SELECT state FROM transitions WHERE order_ref = :ref ORDER BY seq DESC LIMIT 1) AS state",
            {"ref": order_ref},
        )
        return Entry(
            order_ref=order_ref,
            order_id="",
            correlation_id="",
            at=rows[0]["at"],
            state=rows[0]["state"] or NO_INTENT,
            request={},
        )

    def pinned(self, endpoint: str) -> str | None:
        """The account that is traded at a kind of endpoint."""
        sql = "SELECT account FROM pinned_accounts WHERE endpoint = :endpoint"
        return next((row["account"] for row in self._rows(sql, {"endpoint": endpoint})), None)

    def _rows(self, sql: str, values: dict[str, Any]) -> tuple[dict[str, Any], ...]:
        return tuple(_read(row) for row in self._connection.execute(sql, values))


@contextmanager
def open_audit(path: Path) -> Iterator[AuditTrail]:
    """Open the journal at ``path`` for reading.

    Raises `ConfigurationError` when there is none, `JournalError` for one that cannot be read.
    """
    if not path.is_file():
        raise ConfigurationError(
            f"there is no journal at {path}: no process has run with this general.state_dir yet, "
            "or journal.enabled is false; name the configuration of the process with --config"
        )
    try:
        with closing(_connect(path)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN")
            yield AuditTrail(connection)
    except sqlite3.Error as error:
        raise explain(path, error) from error


def knows_order(path: Path, order_id: str) -> bool:
    """Whether the journal at ``path`` has such an order; one that cannot be read has none."""
    try:
        with open_audit(path) as trail:
            return bool(trail.find(order_id))
    except GatewayError:
        return False


def pinned_account(path: Path, endpoint: str) -> str | None:
    """The account that is traded at a kind of endpoint, by the journal at ``path``; None where it cannot be told."""
    try:
        with open_audit(path) as trail:
            return trail.pinned(endpoint)
    except GatewayError:
        return None


def _connect(path: Path) -> sqlite3.Connection:
    connection = _open_read_only(path)
    try:
        version = version_of(connection, path)
        if version == len(MIGRATIONS):
            return connection
        copy = sqlite3.connect(":memory:", isolation_level=None)
        connection.backup(copy)
        bring_forward(copy, version)
    except BaseException:
        connection.close()
        raise
    connection.close()
    return copy


def _open_read_only(path: Path) -> sqlite3.Connection:
    """Open without the right to write; a copy in a directory that cannot be written is read as what cannot change."""
    uri = path.absolute().as_uri()
    connection = sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=BUSY_S, isolation_level=None)
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    except sqlite3.OperationalError:
        connection.close()
        if path.with_name(path.name + "-wal").exists():
            raise
        connection = sqlite3.connect(f"{uri}?immutable=1", uri=True, isolation_level=None)
    return connection


def _read(row: sqlite3.Row) -> dict[str, Any]:
    names = row.keys()
    return {name: decode(name, row[name]) for name in names}


def _sent(row: dict[str, Any]) -> Entry:
    detail = row["detail"] or {}
    return Entry(
        order_ref=row["order_ref"],
        order_id=row["order_id"],
        correlation_id=row["correlation_id"],
        at=row["at"],
        state=row["state"] or INTENT,
        request=row["content"]["request"],
        reason=detail.get("text", ""),
    )


def _unsent(row: dict[str, Any]) -> Entry:
    return Entry(
        order_ref=row["order_ref"],
        order_id=row["order_id"],
        correlation_id=row["correlation_id"],
        at=row["at"],
        state=row["status"],
        request=row["content"]["request"],
        reason=row["reason"],
        seq=row["seq"],
    )


def _age(entry: Entry) -> datetime:
    return entry.at or datetime.min.replace(tzinfo=UTC)
