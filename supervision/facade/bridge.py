"""The bridge between the tree's threads and a caller's asyncio loop (D2).

A request goes out with a correlation id of its own and one deadline; its answer comes back in the thread of whoever
sent it and is handed to the loop with `call_soon_threadsafe`. Nothing here blocks either side: a pykka future would.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sized
from types import MappingProxyType
from typing import Any, Final, TypeVar

import attrs

from actors.errors import GatewayError, GatewayStoppedError, GatewayTimeoutError, restore
from actors.kernel.clock import Clock, Entropy
from actors.kernel.messages import Message, Reply, Request, RequestFailed
from actors.kernel.stories import child_id
from supervision.facade.correlation import current_correlation

R = TypeVar("R", bound=Reply)

_SOMEBODY: Final = ("somebody",)


@attrs.frozen
class _Waiting:
    future: asyncio.Future[Reply]
    timer: asyncio.TimerHandle


class Bridge:
    """Requests from one asyncio loop into the tree, and what the tree tells that loop.

    ``routes`` says what happens on the loop to messages that are not replies; one whose ``listeners`` are none does not
    wake the loop, which would cost the sender more than anything else it does. ``inlets`` take what comes too often for
    a turn of the loop each, in the sender's thread. ``mask`` is applied to the text of every
    error that is raised (OBS-4). Must be made on the loop.
    """

    def __init__(
        self,
        address: str,
        tell: Callable[[str, Message], None],
        clock: Clock,
        entropy: Entropy,
        routes: Mapping[type[Message], Callable[[Any], None]],
        listeners: Mapping[type[Message], Sized] = MappingProxyType({}),
        inlets: Mapping[type[Message], Callable[[Message], None]] = MappingProxyType({}),
        mask: Callable[[str], str] = str,
    ) -> None:
        self._address = address
        self._tell = tell
        self._clock = clock
        self._entropy = entropy
        self._routes = routes
        self._listeners = listeners
        self._inlets = inlets
        self._mask = mask
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, _Waiting] = {}
        self._children = 0

    async def ask(
        self,
        recipient: str,
        kind: Callable[..., Request],
        expected: type[R],
        timeout_s: float,
        *,
        grace_s: float = 0.0,
        **fields: Any,
    ) -> R:
        """Tell a request of ``kind`` and wait for its reply.

        Raises what the reply's error says, and `GatewayTimeoutError` at ``timeout_s + grace_s`` when no reply came.
        """
        if not timeout_s > 0:
            raise GatewayTimeoutError(f"timeout must be > 0 s (was {timeout_s})")
        correlation_id = self._new_correlation_id()
        future: asyncio.Future[Reply] = self._loop.create_future()
        timer = self._loop.call_later(timeout_s + grace_s, self._expire, future, kind, timeout_s)
        self._waiting[correlation_id] = _Waiting(future, timer)
        try:
            deadline = self._clock.monotonic() + timeout_s
            self._tell(
                recipient,
                kind(
                    correlation_id=correlation_id,
                    deadline=deadline,
                    reply_to=self._address,
                    **fields,
                ),
            )
            reply = await future
        finally:
            timer.cancel()
            self._waiting.pop(correlation_id, None)
        if isinstance(reply, RequestFailed):
            raise restore(attrs.evolve(reply.error, text=self._mask(reply.error.text)))
        if not isinstance(reply, expected):
            raise GatewayError(f"{recipient} answered {type(reply).__name__} to {kind}")
        return reply

    def _new_correlation_id(self) -> str:
        """An id of its own, under the caller's root where there is one."""
        root = current_correlation()
        if root is None:
            return self._entropy.uuid4()
        self._children += 1
        return child_id(root, str(self._children))

    def receive(self, message: Message) -> None:
        """Take a message in its sender's thread and hand it to the loop, if anybody there wants it."""
        inlet = self._inlets.get(type(message))
        if inlet is not None:
            inlet(message)
        elif self._listeners.get(type(message), _SOMEBODY):
            self.call_soon(self._dispatch, message)

    def call_soon(self, function: Callable[..., None], *arguments: object) -> None:
        """Run a function on the loop soon, from any thread; nothing happens once the loop is closed."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    def fail_all(self, text: str) -> None:
        """Fail every request that waits, since the tree has stopped."""
        for waiting in self._waiting.values():
            if not waiting.future.done():
                waiting.future.set_exception(GatewayStoppedError(text))

    def _dispatch(self, message: Message) -> None:
        if isinstance(message, Reply):
            waiting = self._waiting.get(message.correlation_id)
            if waiting is not None and not waiting.future.done():
                waiting.future.set_result(message)
            return
        route = self._routes.get(type(message))
        if route is not None:
            route(message)

    @staticmethod
    def _expire(
        future: asyncio.Future[Reply], kind: Callable[..., Request], timeout_s: float
    ) -> None:
        if not future.done():
            what = getattr(kind, "__name__", "the request")
            future.set_exception(
                GatewayTimeoutError(f"{what} was not answered within {timeout_s:g} s")
            )
