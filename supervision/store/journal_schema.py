"""The tables of the order journal, their versions, and how a file is opened so that a commit is durable.

A journal of an older version is brought forward when it is opened; one of a newer version is refused. Append-only
tables count with ``seq``. Times are ISO 8601 in UTC; payloads are JSON text.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from actors.errors import JournalError

APPLICATION_ID: Final = 0x1B4A0001
"""Marks a SQLite file as an order journal of this product."""

BUSY_S: Final = 2.0
"""So long a write waits for another one, which can only be that of an incarnation that is being replaced."""

MIGRATIONS: Final = (
    """
    CREATE TABLE process (token TEXT NOT NULL);
    INSERT INTO process VALUES ('');
    CREATE TABLE writers (name TEXT PRIMARY KEY, incarnation INTEGER NOT NULL);
    CREATE TABLE intents (
        order_ref TEXT PRIMARY KEY, order_id TEXT NOT NULL, correlation_id TEXT NOT NULL,
        purpose TEXT NOT NULL CHECK (purpose IN ('open', 'close')), content TEXT NOT NULL,
        created_at TEXT NOT NULL, is_open INTEGER NOT NULL DEFAULT 1,
        writer TEXT NOT NULL, incarnation INTEGER NOT NULL);
    CREATE INDEX open_intents ON intents (created_at) WHERE is_open;
    CREATE TABLE modifications (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, order_ref TEXT NOT NULL, replaced TEXT NOT NULL, at TEXT NOT NULL,
        writer TEXT NOT NULL, incarnation INTEGER NOT NULL);
    CREATE TABLE transitions (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, order_ref TEXT NOT NULL, at TEXT NOT NULL, state TEXT NOT NULL,
        is_final INTEGER NOT NULL, detail TEXT NOT NULL, source TEXT NOT NULL,
        writer TEXT NOT NULL, incarnation INTEGER NOT NULL);
    CREATE INDEX transitions_of_order ON transitions (order_ref, seq);
    CREATE TABLE executions (
        exec_id TEXT PRIMARY KEY, order_ref TEXT NOT NULL, content TEXT NOT NULL, at TEXT NOT NULL,
        writer TEXT NOT NULL, incarnation INTEGER NOT NULL);
    CREATE INDEX executions_by_time ON executions (at);
    CREATE INDEX executions_of_order ON executions (order_ref);
    CREATE TABLE latch (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, latched INTEGER NOT NULL, liquidation_id TEXT NOT NULL,
        reason TEXT NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL, at TEXT NOT NULL,
        writer TEXT NOT NULL, incarnation INTEGER NOT NULL);
    CREATE TABLE steps (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, step TEXT NOT NULL, detail TEXT NOT NULL,
        at TEXT NOT NULL, writer TEXT NOT NULL, incarnation INTEGER NOT NULL);
    CREATE INDEX steps_of_run ON steps (run_id, seq);
    CREATE TABLE baselines (
        kind TEXT NOT NULL, key TEXT NOT NULL, value REAL NOT NULL, at TEXT NOT NULL,
        writer TEXT NOT NULL, incarnation INTEGER NOT NULL, PRIMARY KEY (kind, key));
    CREATE TABLE floors (client_id INTEGER PRIMARY KEY, highest INTEGER NOT NULL);
    CREATE TABLE sessions (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, state TEXT NOT NULL,
        detail TEXT NOT NULL, at TEXT NOT NULL, writer TEXT NOT NULL, incarnation INTEGER NOT NULL);
    CREATE TABLE audit (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, kind TEXT NOT NULL, who TEXT NOT NULL,
        why TEXT NOT NULL, detail TEXT NOT NULL, writer TEXT NOT NULL, incarnation INTEGER NOT NULL);
    """,
    """
    CREATE TABLE graces (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, reason TEXT NOT NULL, until TEXT, at TEXT NOT NULL,
        writer TEXT NOT NULL, incarnation INTEGER NOT NULL);
    """,
    """
    ALTER TABLE latch ADD COLUMN close_reason TEXT NOT NULL DEFAULT 'DISCONNECT';
    CREATE INDEX ended_intents ON intents (created_at) WHERE NOT is_open;
    CREATE TABLE traded (operator TEXT NOT NULL, con_id INTEGER NOT NULL, PRIMARY KEY (operator, con_id)) WITHOUT ROWID;
    INSERT INTO traded
        SELECT DISTINCT substr(order_ref, 1, instr(order_ref, ':') - 1), json_extract(content, '$.contract.con_id')
        FROM executions WHERE instr(order_ref, ':') > 1 AND json_extract(content, '$.contract.con_id') IS NOT NULL;
    """,
    """
    ALTER TABLE intents ADD COLUMN approval TEXT;
    ALTER TABLE modifications ADD COLUMN approval TEXT;
    ALTER TABLE executions ADD COLUMN received_at TEXT;
    CREATE TABLE notes (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, order_ref TEXT NOT NULL, at TEXT NOT NULL, kind TEXT NOT NULL,
        content TEXT NOT NULL, writer TEXT NOT NULL, incarnation INTEGER NOT NULL);
    CREATE INDEX notes_of_order ON notes (order_ref, seq);
    CREATE TABLE not_sent (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, order_ref TEXT NOT NULL, order_id TEXT NOT NULL,
        correlation_id TEXT NOT NULL, at TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL,
        content TEXT NOT NULL, writer TEXT NOT NULL, incarnation INTEGER NOT NULL);
    """,
    """
    ALTER TABLE intents ADD COLUMN account TEXT;
    ALTER TABLE intents ADD COLUMN commit_seq INTEGER;
    ALTER TABLE modifications ADD COLUMN account TEXT;
    ALTER TABLE modifications ADD COLUMN commit_seq INTEGER;
    ALTER TABLE transitions ADD COLUMN account TEXT;
    ALTER TABLE transitions ADD COLUMN commit_seq INTEGER;
    ALTER TABLE executions ADD COLUMN account TEXT;
    ALTER TABLE executions ADD COLUMN commit_seq INTEGER;
    ALTER TABLE notes ADD COLUMN account TEXT;
    ALTER TABLE notes ADD COLUMN commit_seq INTEGER;
    ALTER TABLE not_sent ADD COLUMN account TEXT;
    ALTER TABLE not_sent ADD COLUMN commit_seq INTEGER;
    ALTER TABLE latch ADD COLUMN account TEXT;
    ALTER TABLE latch ADD COLUMN commit_seq INTEGER;
    ALTER TABLE steps ADD COLUMN account TEXT;
    ALTER TABLE steps ADD COLUMN commit_seq INTEGER;
    ALTER TABLE graces ADD COLUMN account TEXT;
    ALTER TABLE graces ADD COLUMN commit_seq INTEGER;
    ALTER TABLE audit ADD COLUMN account TEXT;
    ALTER TABLE audit ADD COLUMN commit_seq INTEGER;
    CREATE TABLE commits (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, hash_before TEXT NOT NULL, hash TEXT NOT NULL);
    CREATE TABLE baselines_of_accounts (
        account TEXT NOT NULL DEFAULT '', kind TEXT NOT NULL, key TEXT NOT NULL, value REAL NOT NULL, at TEXT NOT NULL,
        writer TEXT NOT NULL, incarnation INTEGER NOT NULL, commit_seq INTEGER, PRIMARY KEY (account, kind, key));
    INSERT INTO baselines_of_accounts (kind, key, value, at, writer, incarnation)
        SELECT kind, key, value, at, writer, incarnation FROM baselines;
    DROP TABLE baselines;
    ALTER TABLE baselines_of_accounts RENAME TO baselines;
    CREATE TABLE traded_of_accounts (
        account TEXT NOT NULL DEFAULT '', operator TEXT NOT NULL, con_id INTEGER NOT NULL,
        PRIMARY KEY (account, operator, con_id)) WITHOUT ROWID;
    INSERT INTO traded_of_accounts (operator, con_id) SELECT operator, con_id FROM traded;
    DROP TABLE traded;
    ALTER TABLE traded_of_accounts RENAME TO traded;
    CREATE TABLE ended_orders (
        order_ref TEXT PRIMARY KEY, order_id TEXT NOT NULL, account TEXT, created_at TEXT NOT NULL,
        ended_at TEXT NOT NULL, state TEXT NOT NULL, filled REAL NOT NULL, content TEXT NOT NULL,
        commit_seq INTEGER) WITHOUT ROWID;
    CREATE INDEX ended_orders_by_time ON ended_orders (created_at);
    """,
    """
    CREATE TABLE pinned_accounts (
        endpoint TEXT PRIMARY KEY, account TEXT NOT NULL, at TEXT NOT NULL,
        writer TEXT NOT NULL, incarnation INTEGER NOT NULL);
    ALTER TABLE baselines ADD COLUMN content TEXT;
    """,
)
"""Step n brings a journal from version n to n + 1. Steps are appended, never changed.

``sessions`` is written no more: sessions have their home in the records (`supervision.store.records`). The table stays,
with what earlier versions wrote into it.

The fifth step reserves room that nothing fills or reads yet, so that journals migrate once: ``account``, the account
of an entry (NULL or empty: the one account of the process); ``commits``, a chain of hashes over the commits, to which
``commit_seq`` ties each entry (no hash is computed yet); and ``ended_orders``, a row for each order that ended, in the
place of its many.
"""

MOVE_AWAY: Final = (
    "keep a copy, restore a backup or move the file away, and leave latch.marker where it is: it keeps the latch; "
    "a new journal starts from what the broker reports"
)


def open_database(path: Path, *, synchronous: str, check: bool) -> sqlite3.Connection:
    """Open or create the journal's database; `JournalError` says what is wrong with it and what to do.

    The connection may be used from any thread, one at a time. ``check`` reads the whole file for damage.
    """
    try:
        _create_private(path)
        connection = sqlite3.connect(
            path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
    except (OSError, sqlite3.Error) as error:
        raise explain(path, error) from error
    try:
        _prepare(connection, path, synchronous, check=check)
    except sqlite3.Error as error:
        connection.close()
        raise explain(path, error) from error
    except JournalError:
        connection.close()
        raise
    return connection


def explain(path: Path, error: Exception) -> JournalError:
    """Turn an error of SQLite or the system into one that names the file and a remedy."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    remedies = {
        sqlite3.SQLITE_FULL: "the disk is full: free space; nothing that was acknowledged is lost",
        sqlite3.SQLITE_READONLY: "it cannot be written: check the permissions of file and directory",
        sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check the permissions of file and directory",
        sqlite3.SQLITE_PERM: "it cannot be opened: check the permissions of file and directory",
        sqlite3.SQLITE_CORRUPT: f"it is damaged: {MOVE_AWAY}",
        sqlite3.SQLITE_NOTADB: f"it is no journal: {MOVE_AWAY}",
        sqlite3.SQLITE_IOERR: "the disk does not read or write it: check the disk",
        sqlite3.SQLITE_BUSY: "another connection holds it: the disk hangs, or another program has it open",
    }
    remedy = remedies.get(code, "check that the directory of the journal is writable")
    return JournalError(f"{path}: {remedy} ({error})")


def _create_private(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _prepare(connection: sqlite3.Connection, path: Path, synchronous: str, *, check: bool) -> None:
    version = version_of(connection, path)
    if check:
        _check(connection, path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {'FULL' if synchronous == 'full' else 'NORMAL'}")
    # macOS answers fsync before the disk has the bytes; these two ask for more there and change nothing elsewhere.
    connection.execute("PRAGMA fullfsync = ON")
    connection.execute("PRAGMA checkpoint_fullfsync = ON")
    bring_forward(connection, version)
    _make_name_durable(path)


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """Read which version a journal has; `JournalError` for another program's database, and for a newer version."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (objects or version):
        raise JournalError(f"{path}: is the database of another program: set another state_dir")
    if version > len(MIGRATIONS):
        raise JournalError(
            f"{path}: has version {version}, and this program knows {len(MIGRATIONS)}: "
            f"run the newer program again, or else {MOVE_AWAY}"
        )
    return int(version)


def bring_forward(connection: sqlite3.Connection, version: int) -> None:
    """Take the steps from ``version`` to the newest, each in a transaction."""
    for step in range(version, len(MIGRATIONS)):
        connection.executescript(
            f"BEGIN IMMEDIATE; {MIGRATIONS[step]} PRAGMA application_id = {APPLICATION_ID};"
            f"PRAGMA user_version = {step + 1}; COMMIT;"
        )


def _check(connection: sqlite3.Connection, path: Path) -> None:
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise JournalError(f"{path}: it is damaged: {MOVE_AWAY} ({verdict})")


def _make_name_durable(path: Path) -> None:
    """Make the entry in the directory survive a power cut; Windows does that by itself and cannot open directories."""
    if os.name == "posix":
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
