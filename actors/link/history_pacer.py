"""Turns for requests of history: `logic.history_pacing` with those who wait.

It belongs to the process: IB counts on over reconnections, so sessions and incarnations of the link share it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from actors.errors import HistoryPacingError, MailboxFullError
from actors.kernel.clock import Clock
from actors.link.answers import Pending
from actors.link.history_pacing import (
    NOTHING_ASKED,
    HistoryQuestion,
    history_wait,
    record_history,
)
from actors.sections.pacing import Pacing


class HistoryPacer:
    """Holds requests of history back until IB's rules allow them."""

    def __init__(self, limits: Pacing | None = None) -> None:
        self._limits = limits or Pacing()
        self._asked = NOTHING_ASKED
        self._waiting = 0

    async def turn(
        self,
        question: HistoryQuestion,
        pending: Pending,
        clock: Clock,
        deadline: float,
        message_turn: Callable[[], Awaitable[None]],
    ) -> None:
        """Wait until the request may go, and count it; it has to be written at once then.

        ``message_turn`` waits for a turn at the wire. It is asked for before the request is counted: one that was
        counted and then waited would reach the gateway later than the rules think, and too close to those behind it.

        Raises `HistoryPacingError` at once when that is after the ``deadline``, and what ``pending`` fails with when
        the session ends meanwhile.
        """
        while True:
            await self._allowed(question, pending, clock, deadline)
            await message_turn()
            now = clock.monotonic()
            if history_wait(self._asked, question, now, self._limits) is None:
                self._asked = record_history(self._asked, question, now, self._limits)
                return

    async def _allowed(
        self, question: HistoryQuestion, pending: Pending, clock: Clock, deadline: float
    ) -> None:
        """Wait until no rule holds the request back."""
        while True:
            now = clock.monotonic()
            held = history_wait(self._asked, question, now, self._limits)
            if held is None:
                return
            if now + held.wait_s >= deadline:
                raise HistoryPacingError(
                    f"{pending.what}: IB allows {held.rule}, so this one would wait for {held.wait_s:.1f} s and its "
                    f"deadline is in {max(0.0, deadline - now):.1f} s: ask again later"
                )
            await self._wait(pending, held.wait_s)

    async def _wait(self, pending: Pending, wait_s: float) -> None:
        if self._waiting >= self._limits.history_max_waiting:
            raise MailboxFullError(
                f"{self._limits.history_max_waiting} requests of history wait for their turn, which is the bound"
            )
        self._waiting += 1
        try:
            await asyncio.wait((pending.done,), timeout=wait_s)
        finally:
            self._waiting -= 1
        if pending.done.done():
            await pending.done
