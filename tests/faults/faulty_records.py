"""A database for records that fails on command: a fake at the port `ConnectionRecords`, for proofs."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from enum import Enum

from actors.errors import RecordsError
from actors.kernel.clock import Clock
from supervision.store.records_memory import MemoryRecords
from supervision.store.records_values import (
    ConnectionRecord,
    Endpoint,
    RefusedRecord,
    SessionRecord,
)

SLOW_S = 2.0
"""Within the time that a transaction has."""


class Fault(Enum):
    """What is wrong with the database."""

    NONE = "none"
    DOWN = "down"
    SLOW = "slow"
    HANGING = "hanging"
    DEAF = "deaf"
    """It hangs, cannot be called off, and does what it was asked for when it wakes up."""
    UNSURE = "unsure"
    """It commits, and its answer gets lost."""


class FaultyRecords:
    """Records in memory behind a database of which ``fault`` says what is wrong now."""

    def __init__(self, clock: Clock) -> None:
        self.memory = MemoryRecords(clock, 1_000_000)
        self.fault = Fault.NONE
        self.calls = 0

    @property
    def rows(self) -> dict[str, ConnectionRecord]:
        """What is committed."""
        return self.memory.rows

    async def prepare(self) -> None:
        """Do as the fault says."""
        await self._suffer()

    async def save(self, records: Sequence[SessionRecord]) -> tuple[RefusedRecord, ...]:
        """Do as the fault says, then save."""
        await self._suffer()
        refused = await self.memory.save(records)
        if self.fault is Fault.UNSURE:
            raise RecordsError("the connection broke after the commit")
        return refused

    async def cleanup_stale_connections(
        self,
        max_age_seconds: float,
        *,
        endpoint: Endpoint | None = None,
        spare: Collection[str] = (),
    ) -> int:
        """Do as the fault says, then sweep."""
        await self._suffer()
        return await self.memory.cleanup_stale_connections(
            max_age_seconds, endpoint=endpoint, spare=spare
        )

    async def close(self) -> None:
        """Nothing to let go of."""

    async def _suffer(self) -> None:
        self.calls += 1
        if self.fault is Fault.DOWN:
            raise RecordsError("the database is down")
        if self.fault is Fault.SLOW:
            await asyncio.sleep(SLOW_S)
        while self.fault is Fault.HANGING:
            await asyncio.sleep(1.0)
        while self.fault is Fault.DEAF:
            try:
                await asyncio.sleep(1.0)
            except asyncio.CancelledError:
                continue
