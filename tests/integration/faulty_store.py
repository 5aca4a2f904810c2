"""A cache and sink that fail on command: a fake at the port `QuoteStore`, for proofs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import Enum

from actors.errors import PublishError
from actors.kernel.clock import Clock
from supervision.publish.memory import MemoryStore
from supervision.publish.schema import Entry

SLOW_S = 1.0
"""Within the time that a write has."""


class Fault(Enum):
    """What is wrong with the store."""

    NONE = "none"
    DOWN = "down"
    SLOW = "slow"
    HANGING = "hanging"
    UNSURE = "unsure"
    """It writes, and its answer gets lost."""


class FaultyStore:
    """A store in memory of which ``fault`` says what is wrong now."""

    def __init__(self, clock: Clock) -> None:
        self.memory = MemoryStore(clock, expiry_s=600.0, length=1_000_000, max_symbols=1000)
        self.fault = Fault.NONE
        self.calls = 0

    @property
    def sequences(self) -> list[int]:
        """The numbers of all updates that came."""
        return [entry.sequence for entry in self.memory.updates]

    async def put(self, newest: Sequence[Entry], updates: Sequence[Entry]) -> None:
        """Do as the fault says, then keep them."""
        self.calls += 1
        if self.fault is Fault.DOWN:
            raise PublishError("the server is down")
        if self.fault is Fault.SLOW:
            await asyncio.sleep(SLOW_S)
        while self.fault is Fault.HANGING:
            await asyncio.sleep(60.0)
        await self.memory.put(newest, updates)
        if self.fault is Fault.UNSURE:
            raise PublishError("the connection broke after the write")

    async def close(self) -> None:
        """Nothing to let go of."""
