"""The order journal's file (D14): what is acknowledged is on the disk, and survives process and power.

SQLite in WAL mode with ``synchronous=FULL``: one commit is one fsync, shared by all records of a batch. All methods are
synchronous and meant for the one thread that owns the journal; `abandon` alone may be called from another.

Fencing, in this order::

    lock.token      a process that has given the lock away is refused
    incarnation     a JournalFile that has a successor in the same process is refused
    writer          a record of an actor's superseded incarnation is refused, alone

The first two are checked inside each transaction. A transaction is opened, filled and closed without other code
in between, so that a hung thread holds none.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from actors.errors import JournalError, WriterReplacedError
from supervision.store.journal_batch import Batch, Statement, as_text
from supervision.store.journal_lock import JournalLock
from supervision.store.journal_retention import forgetting
from supervision.store.journal_schema import explain, open_database
from supervision.store.journal_values import (
    JournalState,
    StoredAudit,
    StoredBaseline,
    StoredExecution,
    StoredGrace,
    StoredLatch,
    StoredOrder,
    StoredStep,
    StoredTransition,
    Writer,
)

OWN_NAME: Final = "journal"
"""The name under which the journal's own incarnations are counted."""

PATIENCE_S: Final = 1.0
"""So long `abandon` waits for a transaction that it has interrupted."""

ORDERS: Final = (
    "SELECT i.order_ref, i.order_id, i.correlation_id, i.purpose, i.content, i.created_at,"
    " t.order_ref, t.at, t.state, t.is_final, t.detail, t.source FROM intents i"
    " LEFT JOIN transitions t ON t.seq ="
    " (SELECT max(seq) FROM transitions WHERE order_ref = i.order_ref)"
)
OWNER: Final = "SELECT token, (SELECT incarnation FROM writers WHERE name = ?) FROM process"
"""Read in every transaction, so in one go."""

MOST_ENDED: Final = 1000
"""So many orders that have ended are read back at most."""

OPEN_ORDERS: Final = ORDERS + " WHERE i.is_open ORDER BY i.created_at, i.rowid"
ONE_ORDER: Final = ORDERS + " WHERE i.order_ref = ?"

ENDED_ORDERS: Final = (
    ORDERS + " WHERE NOT i.is_open AND i.created_at >= ? ORDER BY i.created_at DESC LIMIT ?"
)


class JournalFile:
    """The open journal. ``incarnation`` counts the journal's owners in this process, from 1."""

    def __init__(
        self,
        lock: JournalLock,
        *,
        incarnation: int = 1,
        synchronous: str = "full",
        check: bool = True,
    ) -> None:
        """Open the journal that ``lock`` guards, create or migrate it, and supersede earlier owners.

        ``synchronous="normal"`` survives the process but not a power cut. ``check`` reads the whole file for damage.
        Raises `JournalError`, naming file and remedy, and `WriterReplacedError` when a later incarnation has opened it.
        """
        if not lock.is_held:
            raise JournalError(f"{lock.path}: the lock is not held; acquire it first")
        self._path = lock.path
        self._lock = lock  # which would be given back if nobody kept it
        self._token = lock.token
        self._incarnation = incarnation
        self._busy = threading.RLock()
        self._abandoned = False
        self._connection = open_database(self._path, synchronous=synchronous, check=check)
        try:
            self._take_over()
        except BaseException:
            self._connection.close()
            raise

    # Writing

    def batch(self) -> Batch:
        """Gather records that are committed together; see `Batch`."""
        return Batch(self, self._commit)

    def begin_incarnation(self, name: str, incarnation: int) -> None:
        """Announce, durably, that ``incarnation`` of an actor writes from now on; earlier ones are refused."""
        self.refuse_superseded(Writer(name=name, incarnation=incarnation))
        self._commit([_set_writer(name, incarnation)])
        self._floors[name] = incarnation

    def refuse_superseded(self, writer: Writer) -> None:
        """Raise `WriterReplacedError` when a later incarnation of the writer has begun."""
        newest = self._floors.get(writer.name, 0)
        if writer.incarnation < newest:
            raise WriterReplacedError(
                f"incarnation {writer.incarnation} of {writer.name} was replaced by {newest}"
            )

    # Reading

    def load(
        self,
        *,
        executions_since: datetime | None = None,
        ended_since: datetime | None = None,
        most_ended: int = MOST_ENDED,
    ) -> JournalState:
        """Read what a restarted process needs: open orders, executions (all, or those since), latch, limits, floors.

        ``ended_since`` adds the orders made since then that have ended, the newest ``most_ended`` of them.
        """
        with self._transaction("DEFERRED"):
            return JournalState(
                orders=self.open_orders(),
                ended=() if ended_since is None else self.ended_orders(ended_since, most_ended),
                executions=self.executions(since=executions_since),
                latch=self.latch(),
                steps=self.steps(),
                baselines=self.baselines(),
                floors=tuple(self._read("SELECT * FROM floors ORDER BY client_id")),
                traded=tuple(self._read("SELECT operator, con_id FROM traded ORDER BY 1, 2")),
                grace=self.grace(),
            )

    def open_orders(self) -> tuple[StoredOrder, ...]:
        """Read the intents whose newest transition is not final, oldest first."""
        return tuple(_order(row) for row in self._read(OPEN_ORDERS))

    def ended_orders(self, since: datetime, most: int = MOST_ENDED) -> tuple[StoredOrder, ...]:
        """Read the newest orders that ended, of those made since then, oldest first."""
        rows = self._read(ENDED_ORDERS, as_text(since), most)
        return tuple(_order(row) for row in reversed(rows))

    def order(self, order_ref: str) -> StoredOrder | None:
        """Read one order; None when it has no intent."""
        rows = self._read(ONE_ORDER, order_ref)
        return _order(rows[0]) if rows else None

    def knows(self, order_ref: str) -> bool:
        """Tell whether there is an intent for the order."""
        return bool(self._read("SELECT 1 FROM intents WHERE order_ref = ?", order_ref))

    def orders_history(self, order_ref: str) -> tuple[StoredTransition, ...]:
        """Read an order's transitions, oldest first."""
        rows = self._read(
            "SELECT order_ref, at, state, is_final, detail, source FROM transitions"
            " WHERE order_ref = ? ORDER BY seq",
            order_ref,
        )
        return tuple(_transition(row) for row in rows)

    def executions(self, *, since: datetime | None = None) -> tuple[StoredExecution, ...]:
        """Read executions, oldest first; ``since`` keeps those at or after it."""
        sql = "SELECT exec_id, order_ref, content, at FROM executions"
        rows = (
            self._read(sql + " ORDER BY at, rowid")
            if since is None
            else self._read(sql + " WHERE at >= ? ORDER BY at, rowid", as_text(since))
        )
        return tuple(
            StoredExecution(
                exec_id=exec_id, order_ref=order_ref, content=json.loads(content), at=_time(at)
            )
            for exec_id, order_ref, content, at in rows
        )

    def latch(self) -> StoredLatch | None:
        """Read the newest entry of the latch; None when it never latched."""
        rows = self._read(
            "SELECT latched, liquidation_id, reason, who, why, at, close_reason FROM latch"
            " ORDER BY seq DESC LIMIT 1"
        )
        for latched, liquidation_id, reason, who, why, at, close_reason in rows:
            return StoredLatch(
                latched=bool(latched),
                liquidation_id=liquidation_id,
                reason=reason,
                who=who,
                why=why,
                at=_time(at),
                close_reason=close_reason,
            )
        return None

    def steps(self, run_id: str | None = None) -> tuple[StoredStep, ...]:
        """Read the steps of a liquidation, oldest first; of the newest one when none is named."""
        if run_id is None:
            newest = self._read("SELECT run_id FROM steps ORDER BY seq DESC LIMIT 1")
            run_id = newest[0][0] if newest else ""
        rows = self._read(
            "SELECT run_id, step, detail, at FROM steps WHERE run_id = ? ORDER BY seq", run_id
        )
        return tuple(
            StoredStep(run_id=run, step=step, detail=json.loads(detail), at=_time(at))
            for run, step, detail, at in rows
        )

    def grace(self) -> StoredGrace | None:
        """Read the grace that is running; None when none is, or it was ended."""
        for reason, until in self._read(
            "SELECT reason, until FROM graces ORDER BY seq DESC LIMIT 1"
        ):
            return None if until is None else StoredGrace(trigger=reason, until=_time(until))
        return None

    def baselines(self) -> tuple[StoredBaseline, ...]:
        """Read every risk baseline."""
        rows = self._read("SELECT kind, key, value, at FROM baselines ORDER BY kind, key")
        return tuple(
            StoredBaseline(kind=kind, key=key, value=value, at=_time(at))
            for kind, key, value, at in rows
        )

    def floor(self, client_id: int) -> int:
        """Read the highest order id that was used under a client id; 0 when none was."""
        rows = self._read("SELECT highest FROM floors WHERE client_id = ?", client_id)
        return int(rows[0][0]) if rows else 0

    def audit(self, limit: int = 1000) -> tuple[StoredAudit, ...]:
        """Read the newest entries of the audit trail, oldest first."""
        rows = self._read(
            "SELECT at, kind, who, why, detail FROM audit ORDER BY seq DESC LIMIT ?", limit
        )
        return tuple(
            StoredAudit(at=_time(at), kind=kind, who=who, why=why, detail=json.loads(detail))
            for at, kind, who, why, detail in reversed(rows)
        )

    # Forgetting

    def forget(self, before: datetime, most: int) -> int:
        """Delete what ended before then, at most ``most`` orders at a time; returns how many rows went.

        Nothing that recovery needs goes: open orders, the latch and its steps, baselines, floors, the audit trail.
        """
        statements = forgetting(as_text(before), most)
        with self._transaction("IMMEDIATE"):
            self._refuse_if_replaced()
            return sum(self._connection.execute(sql, values).rowcount for sql, values in statements)

    # Ending

    def close(self) -> None:
        """Close the file in order; the lock stays with its owner."""
        with self._busy:
            self._abandoned = True
            self._connection.close()

    def abandon(self, patience_s: float = PATIENCE_S) -> bool:
        """End a hung owner's use of the file, from another thread: interrupt what runs, roll it back, close.

        True when nothing is left that a successor would wait for; False when the system itself does not come back
        from a read or write. Whatever the owner tries later raises `WriterReplacedError`.
        """
        self._abandoned = True
        self._connection.interrupt()
        if not self._busy.acquire(timeout=patience_s):
            return False
        try:
            self._connection.close()
        finally:
            self._busy.release()
        return True

    # Inside

    def _take_over(self) -> None:
        """Write down who owns the journal now. Numbers of an earlier process mean nothing in this one."""
        with self._transaction("IMMEDIATE"):
            (token,) = self._read("SELECT token FROM process")[0]
            if token != self._token:
                self._connection.execute("UPDATE process SET token = ?", (self._token,))
                self._connection.execute("DELETE FROM writers")
            self._floors = self._read_floors()
            self.refuse_superseded(Writer(name=OWN_NAME, incarnation=self._incarnation))
            self._connection.execute(*_set_writer(OWN_NAME, self._incarnation))

    def _commit(self, statements: list[Statement]) -> None:
        with self._transaction("IMMEDIATE"):
            self._refuse_if_replaced()
            for sql, values in statements:
                self._connection.execute(sql, values)

    def _refuse_if_replaced(self) -> None:
        ((token, newest),) = self._connection.execute(OWNER, (OWN_NAME,)).fetchall()
        if token != self._token or (newest or 0) > self._incarnation:
            raise WriterReplacedError(
                f"incarnation {self._incarnation} of the journal was replaced"
            )

    def _read_floors(self) -> dict[str, int]:
        return dict(self._read("SELECT name, incarnation FROM writers"))

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[None]:
        with self._busy, self._explained():
            self._connection.execute(f"BEGIN {kind}")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if (
                    self._connection.in_transaction
                ):  # SQLite has rolled back by itself after some errors
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if self._abandoned:
                raise WriterReplacedError(
                    f"{self._path}: this journal was closed or replaced"
                ) from error
            raise explain(self._path, error) from error

    def _read(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._busy, self._explained():
            return self._connection.execute(sql, values).fetchall()


def _set_writer(name: str, incarnation: int) -> Statement:
    return "INSERT OR REPLACE INTO writers VALUES (?, ?)", (name, incarnation)


def _order(row: tuple[Any, ...]) -> StoredOrder:
    order_ref, order_id, correlation_id, purpose, content, created_at = row[:6]
    return StoredOrder(
        order_ref=order_ref,
        order_id=order_id,
        correlation_id=correlation_id,
        purpose=purpose,
        content=json.loads(content),
        created_at=_time(created_at),
        last=None if row[6] is None else _transition(row[6:]),
    )


def _transition(row: tuple[Any, ...]) -> StoredTransition:
    order_ref, at, state, final, detail, source = row
    return StoredTransition(
        order_ref=order_ref,
        at=_time(at),
        state=state,
        final=bool(final),
        detail=json.loads(detail),
        source=source,
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
