"""The parts of the broker's state without which the session can still close, and their silence (D23, CON-16).

::

    asked ──▶ ends: part of the state
      └─────▶ silent, or refused: named in the state, left out of the reads that follow, and asked for again and again
                                     └──▶ ends at last: whoever listens has the state read whole

What has no request id of its own may end late, after it was asked again: that end is taken for the newer one's, since a
gateway that answers at last tells what is so then (assumed).

Silence is time without any part of the answer, never time since the question: a long answer is none. A part that ended
late is given more time from then on. All times in seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from actors.errors import GatewayError, GatewayTimeoutError
from actors.link.answers import Pending
from actors.link.session import Session
from actors.model.connection import StatePart

T = TypeVar("T")
Ask = Callable[[float], Awaitable[T]]
"""Asks once, and waits for the end as long as the silence is shorter than what it is given."""


async def end_of(pending: Pending, limit_s: float, *beside: Pending) -> None:
    """Wait for the end of an answer; raises `GatewayTimeoutError`, with its name, when nothing comes for so long.

    What comes of those that were asked ``beside`` it counts: the gateway answers one after the other.
    """
    while not pending.done.done():
        heard_at = max(each.heard_at for each in (pending, *beside))
        left_s = heard_at + limit_s - asyncio.get_running_loop().time()
        if left_s <= 0.0:
            raise GatewayTimeoutError(
                f"the gateway does not end its answer to: {pending.what} (silent for {limit_s:g} s)"
            )
        await asyncio.wait((pending.done,), timeout=left_s)
    pending.done.result()


class SilentParts:
    """What one session knows of its silent parts. ``on_answer`` is called with the name of one that ended at last."""

    def __init__(
        self,
        session: Session,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        on_answer: Callable[[StatePart], None],
    ) -> None:
        self._session = session
        self._spawn = spawn
        self._on_answer = on_answer
        self._silent: set[StatePart] = set()
        self._limits: dict[StatePart, float] = {}

    @property
    def names(self) -> tuple[StatePart, ...]:
        """The parts that are silent now."""
        return tuple(sorted(self._silent))

    async def asked(self, part: StatePart, ask: Ask[T], again: Ask[Any] | None = None) -> T | None:
        """Ask for a part; None when it is silent, or was and has not ended since.

        ``again`` asks in its place from then on, where that is not the same.
        """
        if part in self._silent:
            return None
        settings = self._session.settings.connection
        try:
            return await ask(self._limits.get(part, settings.read_silence_s))
        except GatewayError:
            if not self._session.is_ready:
                raise
        self._silent.add(part)
        self._spawn(self._keep_asking(part, again or ask))
        return None

    async def _keep_asking(self, part: StatePart, ask: Ask[Any]) -> None:
        settings, clock = self._session.settings.connection, self._session.clock
        while self._session.is_ready:
            began_at = clock.monotonic()
            try:
                await ask(settings.read_again_s)
            except GatewayError:
                rest_s = began_at + settings.read_again_s - clock.monotonic()
                await asyncio.sleep(max(0.0, rest_s))  # one that refuses is not asked at once again
                continue
            took_s = clock.monotonic() - began_at
            limit_s = max(settings.read_silence_s, 2 * took_s)
            self._limits[part] = min(limit_s, settings.read_again_s)
            self._silent.discard(part)
            self._on_answer(part)
            return
