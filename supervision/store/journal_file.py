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

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from actors.errors import JournalError, WriterReplacedError
from supervision.store.journal_batch import Batch
from supervision.store.journal_lock import JournalLock
from supervision.store.journal_retention import forgetting
from supervision.store.journal_rows import Query, Statement, as_text
from supervision.store.journal_schema import explain, open_database
from supervision.store.journal_values import Writer

OWN_NAME: Final = "journal"
"""The name under which the journal's own incarnations are counted."""

BATCH: Final = "journal batch"
"""Under this name stands the number of the last numbered batch that was committed."""

PATIENCE_S: Final = 1.0
"""So long `abandon` waits for a transaction that it has interrupted."""

OWNER: Final = "SELECT token, (SELECT incarnation FROM writers WHERE name = ?) FROM process"
"""Read in every transaction, so in one go."""


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
        return Batch(
            refuse_superseded=self.refuse_superseded, knows=self.knows, commit=self._commit
        )

    def begin_incarnation(self, name: str, incarnation: int) -> None:
        """Announce, durably, that ``incarnation`` of an actor writes from now on; earlier ones are refused."""
        self._commit([self.shut_out(name, incarnation)])

    def shut_out(self, name: str, incarnation: int) -> Statement:
        """Refuse earlier incarnations of an actor from now on; returns what makes that durable with the next batch."""
        self.refuse_superseded(Writer(name=name, incarnation=incarnation))
        self._floors[name] = incarnation
        return _set_writer(name, incarnation)

    @property
    def last_batch(self) -> int:
        """The number of the last numbered batch in the file, when it was opened; 0 where this process wrote none."""
        return self._floors.get(BATCH, 0)

    def each_alone(self, entries: Iterable[Iterable[Statement]]) -> list[bool]:
        """Commit entry by entry, and tell which went through: one that contradicts the file keeps no other out."""
        return [self._goes_through(list(statements)) for statements in entries]

    def _goes_through(self, statements: list[Statement]) -> bool:
        try:
            self._commit(statements)
        except WriterReplacedError:
            raise
        except JournalError:
            return False
        return True

    def refuse_superseded(self, writer: Writer) -> None:
        """Raise `WriterReplacedError` when a later incarnation of the writer has begun."""
        newest = self._floors.get(writer.name, 0)
        if writer.incarnation < newest:
            raise WriterReplacedError(
                f"incarnation {writer.incarnation} of {writer.name} was replaced by {newest}"
            )

    # Reading

    def read(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read rows; the kinds of entries know what to ask for."""
        with self._busy, self._explained():
            return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def reading(self) -> Iterator[Query]:
        """Read within one transaction, so that all that is read agrees."""
        with self._transaction("DEFERRED"):
            yield self.read

    def knows(self, order_ref: str) -> bool:
        """Tell whether there is an intent for the order."""
        return bool(self.read("SELECT 1 FROM intents WHERE order_ref = ?", order_ref))

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
            (token,) = self.read("SELECT token FROM process")[0]
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
        return dict(self.read("SELECT name, incarnation FROM writers"))

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


def contradicts(error: BaseException) -> bool:
    """Whether an entry was refused for what it says, and not by the disk."""
    return isinstance(error.__cause__, sqlite3.IntegrityError)


def numbered(batch: int) -> Statement:
    """Write the number of a batch, with it."""
    return _set_writer(BATCH, batch)


def _set_writer(name: str, incarnation: int) -> Statement:
    return (
        "INSERT OR REPLACE INTO writers (name, incarnation) VALUES (:name, :incarnation)",
        {"name": name, "incarnation": incarnation},
    )
