"""The steps at which our process is killed, and a journal that kills it at one of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

import attrs

from supervision.store.journal_file import JournalFile


class Kind(StrEnum):
    """What is counted, and on which side of it the process dies."""

    WRITING = "journal write, before its commit"
    WRITTEN = "journal write, after its commit"
    SENDING = "message sent, not delivered"
    SENT = "message sent, delivered"
    RECEIVING = "message received, not delivered"

    @property
    def is_write(self) -> bool:
        """Whether the journal counts it; the socket counts the others."""
        return self in (Kind.WRITING, Kind.WRITTEN)


class Day(StrEnum):
    """What our process does until it dies; see `tests.crash_points.days`."""

    TRADING = "trading day"
    OVER_NIGHT = "over night"


@attrs.frozen
class Point:
    """The ``number``-th step of a kind, from 1, of a day; and perhaps where the next process dies ``then``."""

    day: Day
    kind: Kind
    number: int
    then: Point | None = None

    def __str__(self) -> str:
        return f"{self.day}: {self.kind} {self.number}" + (
            f", then {self.then}" if self.then else ""
        )


def die() -> None:
    """``kill -9`` of this process, by itself: nothing is flushed, closed or said."""
    os.kill(os.getpid(), signal.SIGKILL)


class WatchedJournal(JournalFile):
    """Counts its writes, the one that takes the file over included, and tells where each stands."""

    def __init__(self, *args: Any, on_step: Callable[[Kind], None], **options: Any) -> None:
        self._on_step = on_step
        super().__init__(*args, **options)

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[None]:
        writes = kind == "IMMEDIATE"
        with super()._transaction(kind):
            yield
            if writes:
                self._on_step(Kind.WRITING)
        if writes:
            self._on_step(Kind.WRITTEN)


class Countdown:
    """Counts the steps of each kind, and dies at one point."""

    def __init__(self, point: Point | None) -> None:
        self._point = point
        self.counts = dict.fromkeys(Kind, 0)

    def __call__(self, kind: Kind) -> None:
        """Count a step; the one that is meant is the last."""
        self.counts[kind] += 1
        if is_at(self._point, kind, self.counts[kind]):
            die()


def is_at(point: Point | None, kind: Kind, number: int) -> bool:
    """Whether this step of the day that runs is the point."""
    return point is not None and (point.kind, point.number) == (kind, number)
