"""The latch of Strategy C: while it is on, nothing is opened; it survives everything (STC-2, STC-4).

It is told in memory first, to the gate, to risk and to the executor, and only then written: refusing must not wait for
a disk. A write that failed is repeated until it is durable, or until an operator takes the latch back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from actors import messages as m
from actors.errors import GatewayError
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part
from actors.kernel.stories import Story
from actors.messages.addresses import EXECUTOR, JOURNAL, LINK, RISK
from actors.model.orders import CloseReason
from actors.ports import EventLog

REFUSERS: Final = (LINK, RISK, EXECUTOR)
"""Who refuses opening orders while the latch is on; the gate first."""

PATIENCE_S: Final = 1.0
"""Liquidating waits so long for the latch to be durable; after that it goes on, and the write is repeated."""

REPEATED_AFTER_S: Final = 5.0
WRITE_TIMEOUT_S: Final = 60.0


class Latch(Part):
    """Owns whether the latch is on, why, and whether that is durable."""

    def __init__(self, actor: SupervisedActor, log: EventLog, alarm: Callable[[str], None]) -> None:
        self._actor = actor
        self._log = log
        self._alarm = alarm
        self.reason: str | None = None
        self.liquidation_id = ""
        self.close_reason = CloseReason.DISCONNECT
        self.answered_disconnects = 0
        self.is_durable = False
        self._writing: Story | None = None

    @property
    def is_on(self) -> bool:
        """Whether opening orders are refused."""
        return self.reason is not None

    def put_on(self, reason: str, close_reason: CloseReason, tried: Callable[[bool], None]) -> None:
        """Refuse opening orders from now on; ``tried`` is called once, when the first write was answered or late."""
        self.reason = reason
        self.liquidation_id = self._actor.entropy.uuid4()
        self.close_reason = close_reason
        self.is_durable = False
        self.tell()
        self._writing = self._actor.begin_story(self._make_durable(tried))

    def found(self, journal: m.JournalRead) -> None:
        """Take over the latch that an earlier incarnation or process left."""
        self.reason = journal.latch_reason or "latched by an earlier process"
        self.liquidation_id = journal.liquidation_id or self._actor.entropy.uuid4()
        self.close_reason = journal.close_reason or CloseReason.DISCONNECT
        self.is_durable = True
        self._log("latch_found", level="WARNING", reason=self.reason)
        self.tell()

    def answer_disconnects(self, seen: int) -> None:
        """Note that so many disconnects are dealt with."""
        self.answered_disconnects = max(self.answered_disconnects, seen)

    def tell(self) -> None:
        """Tell those who refuse opening orders whether the latch is on."""
        change = m.LatchChanged(
            latched=self.is_on,
            reason=self.reason or "",
            at=self._actor.clock.now(),
            answered_disconnects=self.answered_disconnects,
        )
        for address in REFUSERS:
            self._actor.tell(address, change)

    def taken_off(self) -> None:
        """Allow opening orders again; whoever calls has made that durable."""
        self.reason = None
        if self._writing is not None:
            self._actor.end_story(self._writing)
            self._writing = None
        self.tell()

    async def _make_durable(self, tried: Callable[[bool], None]) -> None:
        """Write the latch; Strategy C waits for the first try only."""
        self.is_durable = await self._write(PATIENCE_S)
        if not self.is_durable:
            self._alarm("the latch could not be made durable; the gate stays closed in memory")
        tried(self.is_durable)
        while not self.is_durable:
            self.is_durable = await self._write(WRITE_TIMEOUT_S)
            if not self.is_durable:
                await self._actor.sleep(REPEATED_AFTER_S)

    async def _write(self, timeout_s: float) -> bool:
        record = m.RecordLatch(
            **self._actor.of_our_own("latch", timeout_s),
            latched=True,
            liquidation_id=self.liquidation_id,
            reason=self.reason or "",
            who="strategy_c",
            why="",
            at=self._actor.clock.now(),
            close_reason=self.close_reason,
        )
        try:
            await self._actor.asked(JOURNAL, record, m.LatchDurable)
        except GatewayError:
            return False
        return True
