"""Who goes first at the wire, and how a liquidation changes that (D9)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from actors.link.pacer import Pacer
from actors.link.pacing import PacingLane, PacingLimits
from supervision.proof.loop import Proof, run_proof

from .driver import LoopClock

L = PacingLane
PAUSE_S = 60.0
BUSY = 200
"""So many messages of a lane keep it busy for seconds."""


class Wire:
    """A pacer on virtual time, and what went when and in which lane."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.pacer = Pacer(self.loop, LoopClock(), PacingLimits(), 1000, PAUSE_S)
        self.went: list[tuple[PacingLane, float]] = []
        self._began_at = self.loop.time()

    def queue(self, lane: PacingLane, count: int = 1) -> list[asyncio.Task[None]]:
        """Have so many messages wait for their turn."""
        return [self.loop.create_task(self._go(lane)) for _ in range(count)]

    async def _go(self, lane: PacingLane) -> None:
        await self.pacer.turn(lane)
        self.went.append((lane, self.loop.time() - self._began_at))

    def times_of(self, lane: PacingLane) -> list[float]:
        """When messages of a lane went, in seconds since the beginning."""
        return [at for which, at in self.went if which is lane]


def _on_virtual_time(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded(_: Proof) -> None:
        await asyncio.wait_for(scenario(), 300.0)

    run_proof(bounded, seed=1)


@pytest.mark.req("CON-14")
def test_lanes_go_in_their_order_however_much_of_a_worse_one_waits() -> None:
    async def scenario() -> None:
        wire = Wire()
        wire.queue(L.OPENING, 35)
        await asyncio.sleep(0.01)
        for lane in reversed(L):
            wire.queue(lane, 10)
        await asyncio.sleep(3.0)

        begun = [lane for lane, _ in wire.went]
        order = [begun.index(lane) for lane in (L.CLOSE, L.STATE, L.DATA, L.FEED)]
        assert order == sorted(order)
        assert len(begun) == 35 + 10 * len(L)

    _on_virtual_time(scenario)


@pytest.mark.req("CON-14", "STC-12")
def test_data_pauses_while_something_is_closed_and_reads_go_with_the_closes() -> None:
    async def scenario() -> None:
        wire = Wire()
        wire.queue(L.OPENING, 35)
        wire.queue(L.FEED, BUSY)
        wire.queue(L.DATA, BUSY)
        await asyncio.sleep(0.5)
        wire.pacer.set_flattening(running=True)
        wire.queue(L.STATE, 5)
        wire.queue(L.CLOSE, 5)
        await asyncio.sleep(20.0)

        assert max(wire.times_of(L.CLOSE) + wire.times_of(L.STATE)) == pytest.approx(0.5, abs=0.01)
        assert not wire.times_of(L.DATA)
        assert not wire.times_of(L.FEED)

        wire.pacer.set_flattening(running=False)
        await asyncio.sleep(60.0)
        assert len(wire.times_of(L.DATA) + wire.times_of(L.FEED)) == 2 * BUSY

    _on_virtual_time(scenario)


@pytest.mark.req("CON-14")
def test_a_liquidation_that_does_not_end_pauses_data_for_a_bounded_time_only() -> None:
    async def scenario() -> None:
        wire = Wire()
        wire.pacer.set_flattening(running=True)
        wire.queue(L.FEED)
        await asyncio.sleep(PAUSE_S / 2)
        wire.pacer.set_flattening(running=True)
        await asyncio.sleep(PAUSE_S)

        assert wire.times_of(L.FEED) == [pytest.approx(PAUSE_S, abs=0.01)]

    _on_virtual_time(scenario)
