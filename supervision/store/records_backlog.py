"""What is not written yet. It belongs to the process, so that a restarted records actor loses nothing.

One row a session: what is told later of a session that still waits takes the place of what was told before. Rows leave
only once they are committed, and only if nothing newer was told meanwhile. All of it may be called from any thread,
since an incarnation that hung may wake up; fencing is not needed, because written rows merge (`records_values`).
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from datetime import datetime

import attrs

from supervision.store.records_values import STALE, SessionRecord


class Backlog:
    """The rows that wait, ``bound`` at most; beyond it the oldest is dropped and counted.

    ``degraded_by`` says why nothing can be written now, ``is_swept`` whether sessions that earlier processes left
    open were closed.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._lock = threading.Lock()
        self._waiting: dict[str, SessionRecord] = {}
        self._open: SessionRecord | None = None
        self._dropped = 0
        self.degraded_by: str | None = None
        self.is_swept = False

    def start(self, record: SessionRecord) -> None:
        """Add a session that was opened. One that is still open is over: a connection has one session at a time."""
        with self._lock:
            earlier = self._open
            if earlier is not None and earlier.session_id != record.session_id:
                # Its end got lost with an incarnation of the connection actor.
                ended = attrs.evolve(
                    earlier, final_state=STALE, disconnection_time=record.connection_time
                )
                self._put(ended)
            self._open = record
            self._put(record)

    def finish(self, session_id: str, final_state: str, error_count: int, at: datetime) -> bool:
        """Add how a session ended; False when nothing is known of it, so that no row can be made."""
        with self._lock:
            known = self._waiting.get(session_id)
            if self._open is not None and self._open.session_id == session_id:
                known, self._open = self._open, None
            if known is None:
                self._dropped += 1
                return False
            ended = attrs.evolve(
                known, final_state=final_state, error_count=error_count, disconnection_time=at
            )
            self._put(ended)
            return True

    def give_sign_of_life(self) -> bool:
        """Have the open session written again, which renews its time of update; False when none is open."""
        with self._lock:
            if self._open is None:
                return False
            self._put(self._open)
            return True

    def _put(self, record: SessionRecord) -> None:
        self._waiting[record.session_id] = record
        if len(self._waiting) > self._bound:
            del self._waiting[next(iter(self._waiting))]
            self._dropped += 1

    def next_rows(self, most: int) -> tuple[SessionRecord, ...]:
        """Look at the rows that have waited longest; they stay."""
        with self._lock:
            rows = iter(self._waiting.values())
            return tuple(record for record, _ in zip(rows, range(most), strict=False))

    def forget(self, written: Iterable[SessionRecord]) -> None:
        """Let rows go that are committed, except where something newer waits."""
        with self._lock:
            for record in written:
                if self._waiting.get(record.session_id) is record:
                    del self._waiting[record.session_id]

    def refuse(self, count: int) -> None:
        """Count rows that the database never takes."""
        with self._lock:
            self._dropped += count

    @property
    def alive(self) -> Collection[str]:
        """The sessions that are known to live now."""
        with self._lock:
            return () if self._open is None else (self._open.session_id,)

    @property
    def waiting(self) -> int:
        """How many rows are not written yet."""
        return len(self._waiting)

    @property
    def dropped(self) -> int:
        """How many were lost since the start of the process."""
        return self._dropped
