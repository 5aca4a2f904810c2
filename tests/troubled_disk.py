"""A disk under the journal that a test makes full, read-only or slow: the real file, with trouble at its port."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from supervision.store.journal_file import JournalFile

FULL = (sqlite3.SQLITE_FULL, "database or disk is full")
READ_ONLY = (sqlite3.SQLITE_READONLY, "attempt to write a readonly database")


class Disk:
    """What the disk does with each write: ``refuses`` says how, ``slow_s`` how long a commit takes."""

    def __init__(self) -> None:
        self.refuses: tuple[int, str] | None = None
        self.slow_s = 0.0
        self.commits = 0
        self._woken = threading.Event()

    @property
    def open_file(self) -> Callable[..., JournalFile]:
        """Open the journal on this disk, as `JournalFile` does."""
        return partial(TroubledFile, disk=self)

    def heal(self) -> None:
        """Be a good disk again; commits that are under way go on at once."""
        self.refuses, self.slow_s = None, 0.0
        self._woken.set()

    def write(self) -> None:
        """Take a write, or do not."""
        self._woken.clear()
        if self.slow_s:
            self._woken.wait(self.slow_s)
        if self.refuses is not None:
            code, text = self.refuses
            error = sqlite3.OperationalError(text)
            error.sqlite_errorcode = code
            raise error
        self.commits += 1


class TroubledFile(JournalFile):
    """The journal's file on a `Disk`."""

    def __init__(self, *args: Any, disk: Disk, **options: Any) -> None:
        self._disk = disk
        super().__init__(*args, **options)

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[None]:
        with super()._transaction(kind):
            yield
            if kind == "IMMEDIATE":
                self._disk.write()
