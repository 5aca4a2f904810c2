"""A value that comes once, waited for from outside of the actors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any


class Waiter:
    """A value that comes once, from any thread; how to wait for it depends on who waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], object]] = []
        self._is_set = False
        self._value: Any = None

    @property
    def is_set(self) -> bool:
        """Whether the value is there."""
        return self._is_set

    @property
    def value(self) -> Any:
        """The value; None before it is there."""
        return self._value

    def set(self, value: Any = None) -> None:
        """Give the value; later ones are ignored."""
        with self._lock:
            if self._is_set:
                return
            self._value = value
            self._is_set = True
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def then(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` when the value is there, in the thread that sets it; at once when it is there."""
        with self._lock:
            if not self._is_set:
                self._callbacks.append(callback)
                return
        callback()

    def block(self, timeout_s: float | None) -> bool:
        """Block this thread until the value is there; False after ``timeout_s``."""
        event = threading.Event()
        self.then(event.set)
        return event.wait(timeout_s)

    async def arrive(self, timeout_s: float | None) -> bool:
        """Wait on the running loop, whichever thread it has; False after ``timeout_s`` of the loop's time."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def wake() -> None:
            if not future.done():
                future.set_result(None)

        self.then(lambda: loop.call_soon_threadsafe(wake))
        await asyncio.wait((future,), timeout=timeout_s)
        return self._is_set
