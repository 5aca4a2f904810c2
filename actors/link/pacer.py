"""Turns at the wire: the lanes of `actors.link.pacing` with the queues of those who wait (D9).

While a liquidation runs, reads of the broker's state go with the closes, and data pauses, for a bounded time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from actors.errors import GatewayError, MailboxFullError
from actors.kernel.clock import Clock
from actors.link.pacing import (
    DATA_LANES,
    NOTHING_SENT,
    PacingLane,
    PacingLimits,
    record,
    wait_s,
)

_SHORTEST_WAIT_S: Final = 0.0005
"""Clock and loop may disagree by less than this."""

_IN_A_LIQUIDATION: Final = (
    PacingLane.CLOSE,
    PacingLane.STATE,
    PacingLane.OPENING,
    PacingLane.DATA,
    PacingLane.FEED,
)


class Pacer:
    """Hands out the right to write one message. One pacer serves one session: IB counts per connection."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        limits: PacingLimits,
        max_waiting: int,
        data_pause_s: float,
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._limits = limits
        self._max_waiting = max_waiting
        self._data_pause_s = data_pause_s
        self._flattening = False
        self._data_pauses_until = float("-inf")
        self._slow_until = float("-inf")
        self._sent = NOTHING_SENT
        self._waiting: dict[PacingLane, deque[asyncio.Future[None]]] = {
            lane: deque() for lane in PacingLane
        }
        self._timer: asyncio.TimerHandle | None = None

    def try_now(self, lane: PacingLane) -> bool:
        """Take a turn if one is free and nobody waits who comes first."""
        now = self._clock.monotonic()
        order = self._order
        if any(self._waiting[other] for other in order[: order.index(lane) + 1]):
            return False
        if self._wait_s(lane, now) > 0:
            return False
        self._count(lane, now)
        return True

    def set_flattening(self, running: bool) -> None:
        """Know whether something is being closed: data pauses from the first word of it, but not for ever."""
        now = self._clock.monotonic()
        if not running:
            self._data_pauses_until = float("-inf")
        elif not self._flattening:
            self._data_pauses_until = now + self._data_pause_s
        self._flattening = running
        self._release()

    def slow_down(self, for_s: float) -> None:
        """Hand out half as many turns for a while."""
        self._slow_until = self._clock.monotonic() + for_s

    def _limits_at(self, now: float) -> PacingLimits:
        return self._limits.halved() if now < self._slow_until else self._limits

    @property
    def _order(self) -> tuple[PacingLane, ...]:
        return _IN_A_LIQUIDATION if self._flattening else tuple(PacingLane)

    def _wait_s(self, lane: PacingLane, now: float) -> float:
        """How long ``lane`` has to wait at least."""
        if lane in DATA_LANES and now < self._data_pauses_until:
            return self._data_pauses_until - now
        with_closes = self._flattening and lane is PacingLane.STATE
        counts_as = PacingLane.CLOSE if with_closes else lane
        return wait_s(self._sent, now, counts_as, self._limits_at(now))

    def _count(self, lane: PacingLane, now: float) -> None:
        self._sent = record(self._sent, now, lane, self._limits_at(now))

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
        for lane in self._order:
            queue = self._waiting[lane]
            while queue:
                if queue[0].done():
                    queue.popleft()
                    continue
                delay_s = self._wait_s(lane, now)
                if delay_s > 0:
                    delay_s = max(delay_s, _SHORTEST_WAIT_S)
                    self._timer = self._loop.call_later(delay_s, self._release)
                    return
                self._count(lane, now)
                queue.popleft().set_result(None)

    @staticmethod
    def _forget_cancelled(queue: deque[asyncio.Future[None]]) -> None:
        alive = [future for future in queue if not future.done()]
        queue.clear()
        queue.extend(alive)
