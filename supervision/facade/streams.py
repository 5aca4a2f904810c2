"""Event streams from the tree to a caller's asyncio loop.

Messages come from actors' threads; what a caller iterates over lives on the caller's loop. A stream is bounded: one
that keeps every event fails loudly when its reader falls behind, one that conflates keeps the newest value per key.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable
from typing import Any, Generic, Self, TypeVar

from actors.errors import GatewayError

T = TypeVar("T")


class _Stream(AsyncIterator[T]):
    """What both kinds of stream share: waiting, waking, ending."""

    def __init__(self, on_close: Callable[[Any], object]) -> None:
        self.loop = asyncio.get_running_loop()
        self._on_close = on_close
        self._ready = asyncio.Event()
        self._ended: BaseException | None = None
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while True:
            if self._has_next():
                return self._take()
            if self._ended is not None:
                raise self._ended
            if self._closed:
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()

    def end(self, error: BaseException | None = None) -> None:
        """End the stream, once; what was received before is still handed out, then ``error`` is raised."""
        if self._closed:
            return
        self._ended = error
        self._closed = True
        self._ready.set()
        self._on_close(self)

    async def aclose(self) -> None:
        """Stop receiving; a stream that has ended stays as it is."""
        self.end()

    def _has_next(self) -> bool:
        raise NotImplementedError

    def _take(self) -> T:
        raise NotImplementedError


class EventStream(_Stream[T], Generic[T]):
    """Every event in order; a reader that falls ``bound`` events behind gets a `GatewayError`."""

    def __init__(self, on_close: Callable[[Any], object], bound: int) -> None:
        super().__init__(on_close)
        self._bound = bound
        self._events: deque[T] = deque()

    def push(self, event: T) -> None:
        """Add an event; on the stream's loop only."""
        if self._closed:
            return
        if len(self._events) >= self._bound:
            self.end(GatewayError(f"the reader of this stream fell {self._bound} events behind"))
            return
        self._events.append(event)
        self._ready.set()

    def _has_next(self) -> bool:
        return bool(self._events)

    def _take(self) -> T:
        return self._events.popleft()


class ConflatedStream(_Stream[T], Generic[T]):
    """The newest value per key; a slow reader skips values and never holds up anybody (MKT-7)."""

    def __init__(self, on_close: Callable[[Any], object], key: Callable[[T], Hashable]) -> None:
        super().__init__(on_close)
        self._key = key
        self._newest: dict[Hashable, T] = {}

    def push(self, event: T) -> None:
        """Replace the value of the event's key; on the stream's loop only."""
        if self._closed:
            return
        key = self._key(event)
        self._newest.pop(key, None)
        self._newest[key] = event
        self._ready.set()

    def _has_next(self) -> bool:
        return bool(self._newest)

    def _take(self) -> T:
        return self._newest.pop(next(iter(self._newest)))
