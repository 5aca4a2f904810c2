"""The event log: cheap for whoever speaks, written by one thread for two readers (D19).

::

    caller ──(tuple)──▶ bounded queue ──▶ writer thread ──▶ JSON lines, a rotating file (loguru)
                          full: counted                └──▶ one coloured line per event on stdout

A call formats nothing and waits for nobody. A blocked stdout holds back lines of its own and nothing else; a blocked
disk fills the queue. What did not fit is counted, and the count is an event of its own as soon as there is room.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TextIO, cast

from loguru._logger import (
    Core,
    Logger,
)  # the only way to a logger that shares nothing with the host program's

from actors.kernel.clock import Clock
from supervision.observe.console import Console, wants_colours
from supervision.observe.lines import Event, human_line, json_line
from supervision.observe.masking import Masker

LEVELS: Final = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
LOUD: Final = LEVELS["WARNING"]
"""What a level that nobody knows counts as."""

LIBRARIES: Final = (
    "aiosqlite",
    "alembic",
    "asyncio",
    "asyncpg",
    "eventkit",
    "ib_insync",
    "pykka",
    "sqlalchemy",
    "tenacity",
    "uvicorn",
)
"""Libraries whose warnings become events."""

EVERYTHING: Final = ("",)
"""Whatever is logged in this interpreter: for a process that is nobody's guest."""

GATHER_S: Final = 0.01
"""After a silence the writer lets so much time pass: formatting at once would take the interpreter away from the very
order that the first event is about."""

RETRY_S: Final = 0.25
"""So often the writer looks after lines that stdout would not take."""

OWNER_ONLY: Final = 0o600


class EventLogWriter:
    """The log as the actors see it: call it with an event (`actors.ports.EventLog`).

    Values of fields are read later, in the writer's thread: hand in what does not change.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        level: str = "INFO",
        stream: TextIO | None = None,
        file: Path | None = None,
        rotation_bytes: int = 20_000_000,
        retention_files: int = 10,
        queue_bound: int = 10_000,
        masker: Masker | None = None,
    ) -> None:
        """Prepare a log above ``level``, to ``stream`` and ``file`` where given; `start` begins to write."""
        self.masker = masker or Masker()
        self._clock = clock
        self._threshold = LEVELS[level]
        self._bound = queue_bound
        self._queue: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._dropped = _Drops()
        self._console = Console(stream, queue_bound) if stream is not None else None
        self._colours = stream is not None and wants_colours(stream, os.environ)
        self._file, self._file_problem = _opened(file, rotation_bytes, retention_files)
        self._not_shown_reported = 0
        self._handler = _LibraryHandler(self)
        self._captured: tuple[str, ...] = ()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._stopping = False

    @property
    def dropped(self) -> int:
        """How many events did not fit into the queue, in all."""
        return self._dropped.total

    @property
    def file_problem(self) -> str | None:
        """Why the file takes no lines at present; None while it does."""
        return self._file_problem

    @property
    def not_shown(self) -> int:
        """How many lines the console would not take, in all."""
        return self._console.dropped if self._console else 0

    def __call__(
        self,
        event: str,
        *,
        level: str = "INFO",
        correlation_id: str | None = None,
        **fields: object,
    ) -> None:
        """Say that something happened. Microseconds; never blocks, never raises for want of room."""
        if LEVELS.get(level, LOUD) < self._threshold or self._stopping:
            return
        if self._queue.qsize() >= self._bound:
            self._dropped.add()
            return
        self._queue.put(Event(self._clock.now(), level, event, correlation_id, fields))

    def start(self) -> EventLogWriter:
        """Begin to write."""
        self._thread.start()
        return self

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Write what waits and end; False when that took longer than ``timeout_s``. Later events are ignored."""
        self.release_libraries()
        self._stopping = True
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def capture_libraries(self, names: Sequence[str] = LIBRARIES) -> None:
        """Turn warnings and errors of the libraries we stand on into events."""
        self._captured = tuple(names)
        for name in names:
            logging.getLogger(name).addHandler(self._handler)

    def release_libraries(self) -> None:
        """Undo `capture_libraries`."""
        for name in self._captured:
            logging.getLogger(name).removeHandler(self._handler)

    # The writer's thread

    def _run(self) -> None:
        if self._file_problem is not None:
            self._show(self._own("log_file_failed", level="ERROR", error=self._file_problem))
        while True:
            event = self._next()
            if event is None:
                break
            self._write(event)
            self._report_console()
            self._report_drops(there_is_room=self._queue.qsize() * 2 <= self._bound)
        self._report_drops(there_is_room=True)
        if self._console:
            self._console.flush(RETRY_S)
        if self._file:
            with suppress(OSError):  # a full disk was told already
                self._file.remove()

    def _next(self) -> Event | None:
        with suppress(queue.Empty):
            return self._queue.get_nowait()
        event = self._wait()
        if event is not None:
            time.sleep(GATHER_S)
        return event

    def _wait(self) -> Event | None:
        while self._console and self._console.waiting:
            try:
                return self._queue.get(timeout=RETRY_S)
            except queue.Empty:
                self._console.flush()
                self._report_console()
        return self._queue.get()

    def _write(self, event: Event) -> None:
        try:
            if self._file:
                self._file.info(json_line(event, self.masker))
                self._file_problem = None
        except Exception as error:  # noqa: BLE001  # whatever it is, the log goes on
            self._report_file(error)
        self._show(event)

    def _show(self, event: Event) -> None:
        if self._console is None:
            return
        try:
            line = human_line(event, self.masker, colours=self._colours)
        except Exception as error:  # noqa: BLE001  # whatever it is, the log goes on
            line = human_line(
                self._own("log_failed", about=event.name, error=type(error).__name__),
                self.masker,
                colours=self._colours,
            )
        self._console.show(line)

    def _report_drops(self, *, there_is_room: bool) -> None:
        """Say how many events are missing, once the queue has emptied enough."""
        count = self._dropped.take() if there_is_room else 0
        if count:
            self._write(self._own("log_events_dropped", count=count))

    def _report_console(self) -> None:
        """Say how many lines are missing, once the others are through."""
        count = self.not_shown - self._not_shown_reported
        if self._console and count and not self._console.waiting:
            self._not_shown_reported += count
            self._write(self._own("log_lines_not_shown", count=count))

    def _report_file(self, error: Exception) -> None:
        is_news = self._file_problem is None
        self._file_problem = str(error) or type(error).__name__
        if is_news:
            self._show(self._own("log_file_failed", level="ERROR", error=self._file_problem))

    def _own(self, name: str, level: str = "WARNING", **fields: object) -> Event:
        return Event(self._clock.now(), level, name, None, fields)


class _Drops:
    """Counts from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._unreported = 0
        self.total = 0

    def add(self) -> None:
        with self._lock:
            self._unreported += 1
            self.total += 1

    def take(self) -> int:
        """Give what was not reported yet."""
        with self._lock:
            count, self._unreported = self._unreported, 0
            return count


class _LibraryHandler(logging.Handler):
    """Hands what a library logs to the event log."""

    def __init__(self, log: EventLogWriter) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname if record.levelname in LEVELS else "WARNING"
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f": {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        self._log("library_log", level=level, logger=record.name, message=text)


def _opened(path: Path | None, rotation_bytes: int, retention_files: int) -> tuple[Any, str | None]:
    """Open the file, where one is wanted; a process goes on without it, and says why."""
    if path is None:
        return None, None
    try:
        return _json_file(path, rotation_bytes, retention_files), None
    except OSError as error:
        return None, f"{path}: {error.strerror or error}"


def _json_file(path: Path, rotation_bytes: int, retention_files: int) -> Any:
    """Make a loguru logger with one sink: the rotating file, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    logger: Any = cast("Any", Logger)(
        core=cast("Any", Core)(),
        exception=None,
        depth=0,
        record=False,
        lazy=False,
        colors=False,
        raw=True,
        capture=False,
        patchers=[],
        extra={},
    )
    logger.add(
        path,
        format="{message}",
        rotation=rotation_bytes,
        retention=retention_files,
        encoding="utf-8",
        catch=False,
        opener=lambda name, flags: os.open(name, flags, OWNER_ONLY),
    )
    return logger
