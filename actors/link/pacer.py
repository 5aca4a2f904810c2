"""Turns at the wire: the token bucket of `logic.pacing` with the queues of those who wait (D9)."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from actors.errors import GatewayError, MailboxFullError
from actors.kernel.clock import Clock
from actors.link.pacing import NOTHING_SENT, PacingLane, PacingLimits, record, wait_s

_SHORTEST_WAIT_S: Final = 0.0005
"""Clock and loop may disagree by less than this."""


class Pacer:
    """Hands out the right to write one message. One pacer serves one session: IB counts per connection."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        limits: PacingLimits,
        max_waiting: int,
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._limits = limits
        self._max_waiting = max_waiting
        self._slow_until = float("-inf")
        self._sent = NOTHING_SENT
        self._waiting: dict[PacingLane, deque[asyncio.Future[None]]] = {
            lane: deque() for lane in PacingLane
        }
        self._timer: asyncio.TimerHandle | None = None

    def try_now(self, lane: PacingLane) -> bool:
        """Take a turn if one is free and nobody waits who comes first."""
        now = self._clock.monotonic()
        if any(self._waiting[other] for other in PacingLane if other <= lane):
            return False
        limits = self._limits_at(now)
        if wait_s(self._sent, now, lane, limits) > 0:
            return False
        self._sent = record(self._sent, now, limits)
        return True

    def slow_down(self, for_s: float) -> None:
        """Hand out half as many turns for a while."""
        self._slow_until = self._clock.monotonic() + for_s

    def _limits_at(self, now: float) -> PacingLimits:
        return self._limits.halved() if now < self._slow_until else self._limits

    async def turn(self, lane: PacingLane) -> None:
        """Wait for a turn. Raises `MailboxFullError` when too many wait, and whatever `fail` is given."""
        if self.try_now(lane):
            return
        queue = self._waiting[lane]
        if len(queue) >= self._max_waiting:
            self._forget_cancelled(queue)
        if len(queue) >= self._max_waiting:
            raise MailboxFullError(
                f"{self._max_waiting} requests wait for their turn at the gateway, which is the bound"
            )
        mine: asyncio.Future[None] = self._loop.create_future()
        queue.append(mine)
        self._release()
        await mine

    def fail(self, error: GatewayError) -> None:
        """Tell everybody who waits that it is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for queue in self._waiting.values():
            for future in queue:
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # seen, even when nobody waits for it any more
            queue.clear()

    def _release(self) -> None:
        """Let those go whose turn it is, the first lane first, and come back for the rest."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock.monotonic()
        limits = self._limits_at(now)
        for lane, queue in self._waiting.items():
            while queue:
                if queue[0].done():
                    queue.popleft()
                    continue
                delay_s = wait_s(self._sent, now, lane, limits)
                if delay_s > 0:
                    delay_s = max(delay_s, _SHORTEST_WAIT_S)
                    self._timer = self._loop.call_later(delay_s, self._release)
                    return
                self._sent = record(self._sent, now, limits)
                queue.popleft().set_result(None)

    @staticmethod
    def _forget_cancelled(queue: deque[asyncio.Future[None]]) -> None:
        alive = [future for future in queue if not future.done()]
        queue.clear()
        queue.extend(alive)
