"""Timers that end with the gateway that set them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class Timers:
    """Delayed and repeated calls in one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handles: dict[int, asyncio.TimerHandle] = {}
        self._count = 0
        self._ended = False

    def later(self, delay_s: float, act: Callable[..., object], *args: Any) -> Callable[[], None]:
        """Call `act` after a delay; returns what takes it back."""
        if self._ended:
            return lambda: None
        self._count += 1
        key = self._count

        def fire() -> None:
            self._handles.pop(key, None)
            act(*args)

        def cancel() -> None:
            handle = self._handles.pop(key, None)
            if handle is not None:
                handle.cancel()

        self._handles[key] = self._loop.call_later(delay_s, fire)
        return cancel

    def every(self, interval_s: float, act: Callable[[], None]) -> Callable[[], None]:
        """Call `act` again and again; returns what ends it."""
        active = [True]

        def fire() -> None:
            if active[0]:
                act()
            if active[0]:
                cancel_next[0] = self.later(interval_s, fire)

        def cancel() -> None:
            active[0] = False
            cancel_next[0]()

        cancel_next = [self.later(interval_s, fire)]
        return cancel

    def end(self) -> None:
        """Take everything back and set no more."""
        self._ended = True
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()
