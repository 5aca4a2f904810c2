"""One thread that calls back later.

Guarantees order of due times, and of calls for the same time. A callback that raises ends the thread: the tree is told
through ``on_died`` and starts another over the same heap, so that no timer is lost except the one that raised.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from itertools import count

from actors.kernel.clock import Clock


class _Entry:
    """One callback in the heap; cancelled entries are dropped when they come up."""

    __slots__ = ("callback", "due", "number")

    def __init__(self, due: float, number: int, callback: Callable[[], None]) -> None:
        self.due = due
        self.number = number
        self.callback: Callable[[], None] | None = callback

    def __lt__(self, other: _Entry) -> bool:
        return (self.due, self.number) < (other.due, other.number)

    def cancel(self) -> None:
        """Forget the callback."""
        self.callback = None


class ThreadTimer:
    """The timer of reality mode. Callbacks run in its thread and must return at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[_Entry] = []
        self._numbers = count()
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None
        self.on_died: Callable[[BaseException], None] = lambda _error: None

    def start(self) -> None:
        """Start the thread, or another one after it died."""
        self._thread = threading.Thread(target=self._run, name="timer", daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        """Tell whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> _Entry:
        """Call ``callback`` once after ``delay_s`` seconds of the clock; a negative delay means now."""
        with self._changed:
            due = self._clock.monotonic() + delay_s
            entry = _Entry(due, next(self._numbers), callback)
            heapq.heappush(self._heap, entry)
            if self._heap[0] is entry:
                self._changed.notify()
        return entry

    def close(self) -> None:
        """End the thread and drop what waits."""
        with self._changed:
            self._closed = True
            self._heap.clear()
            self._changed.notify()

    def _run(self) -> None:
        try:
            while (callback := self._next()) is not None:
                callback()
        except BaseException as error:  # noqa: BLE001 - reported, and replaced
            self.on_died(error)

    def _next(self) -> Callable[[], None] | None:
        """Wait for the next due callback; None once closed."""
        with self._changed:
            while not self._closed:
                if not self._heap:
                    self._changed.wait()
                    continue
                wait_s = self._heap[0].due - self._clock.monotonic()
                if wait_s > 0:
                    self._changed.wait(wait_s)
                    continue
                callback = heapq.heappop(self._heap).callback
                if callback is not None:
                    return callback
        return None
