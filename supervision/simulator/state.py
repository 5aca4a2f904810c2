"""The state file: what survives the gateway's own death.

One JSON object per line, each a set of changes that belong together, handed to the operating system
before any answer leaves. So it outlives `kill -9` of the process (not a power cut). A torn last line
is dropped; damage anywhere else raises `StateError`.
"""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from .ledger import LedgerEntry, settled

Change = tuple[str, Any]
"""What kind of thing changed ("order", "execution", "ledger", "outcome", "anchor"), and its record."""


class Recordable(Protocol):
    """Something that can be written as plain data."""

    def record(self) -> Any:
        """The plain data."""
        ...


class StateError(ValueError):
    """The state file is damaged; says where."""


class Anchor:
    """The moment from which the gateway counts its market's time."""

    def __init__(self, moment: dt.datetime) -> None:
        self._moment = moment

    def record(self) -> str:
        """The moment as text."""
        return self._moment.isoformat()


class StateFile:
    """An append-only file of changes; with no path it forgets everything."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: io.FileIO | None = None

    def open(self) -> list[Change]:
        """Read all earlier changes and make the file ready for more."""
        if self._path is None:
            return []
        self._path.parent.mkdir(parents=True, exist_ok=True)
        changes, intact_bytes = _read(self._path) if self._path.exists() else ([], 0)
        self._file = io.FileIO(self._path, "a+")
        self._file.truncate(intact_bytes)
        return changes

    def write(self, *changes: tuple[str, Recordable]) -> None:
        """Append changes that belong together."""
        if self._file is None:
            return
        records = [(kind, change.record()) for kind, change in changes]
        line = json.dumps(records, separators=(",", ":"), allow_nan=False) + "\n"
        data = memoryview(line.encode())
        while data:
            data = data[self._file.write(data) or 0 :]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _lines(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    start = 0
    for number, line in enumerate(data.splitlines(keepends=True), start=1):
        start += len(line)
        yield number, start, line


def _read(path: Path) -> tuple[list[Change], int]:
    data = path.read_bytes()
    changes: list[Change] = []
    intact_bytes = 0
    for number, end, line in _lines(data):
        try:
            if not line.endswith(b"\n"):
                break
            changes += [(str(kind), record) for kind, record in json.loads(line)]
        except (ValueError, TypeError) as error:
            if end == len(data):
                break
            raise StateError(f"{path}: line {number} is damaged: {error}") from error
        intact_bytes = end
    return changes, intact_bytes


def read_ledger(path: Path | str) -> list[LedgerEntry]:
    """Read the ledger out of a state file, also while its gateway is running or after it died."""
    entries: list[LedgerEntry] = []
    for kind, record in _read(Path(path))[0]:
        if kind == "ledger":
            entries.append(LedgerEntry.restore(record))
        elif kind == "outcome":
            settled(entries, record)
    return entries
