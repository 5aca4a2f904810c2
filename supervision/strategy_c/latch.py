"""The latch of Strategy C: while it is on, nothing is opened; it survives everything (STC-2, STC-4, STC-11).

It is told in memory first, to the gate, to risk and to the executor, and only then written: refusing must not wait for
a disk. A write that failed is repeated until the journal has it, or until an operator takes the latch back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from actors import messages as m
from actors.errors import GatewayError
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part
from actors.kernel.stories import RequestHeader, Story
from actors.logic.order_ids import account_tag
from actors.messages.addresses import EXECUTOR, JOURNAL, LINK, RISK
from actors.model.latch import LatchStanding
from actors.model.orders import CloseReason
from actors.ports import EventLog

REFUSERS: Final = (LINK, RISK, EXECUTOR)
"""Who refuses opening orders while the latch is on; the gate first."""

PATIENCE_S: Final = 1.0
"""Liquidating waits so long for the latch to be durable; after that it goes on, and the write is repeated."""

REPEATED_AFTER_S: Final = 5.0
WRITE_TIMEOUT_S: Final = 60.0
STRATEGY_C: Final = "strategy_c"
"""Who puts the latch on, for the audit trail."""


class Latch(Part):
    """Owns whether the latch is on, why, what it stands for, and whether that is durable."""

    def __init__(self, actor: SupervisedActor, log: EventLog, alarm: Callable[[str], None]) -> None:
        self._actor = actor
        self._log = log
        self._alarm = alarm
        self.reason: str | None = None
        self.liquidation_id = ""
        self.close_reason = CloseReason.DISCONNECT
        self.standing = LatchStanding.ACTING
        self.answered_disconnects = 0
        self.is_durable = False
        """Whether it is on the disk."""
        self._is_settled = True
        """Whether there is nothing more to be written."""
        self._writing: Story | None = None
        self._by = (STRATEGY_C, "")
        self.account = ""

    @property
    def is_on(self) -> bool:
        """Whether opening orders are refused."""
        return self.reason is not None

    @property
    def is_on_hold(self) -> bool:
        """Whether it is on although nobody knows of a trigger: nothing is sold until somebody says so."""
        return self.is_on and self.standing is LatchStanding.ON_HOLD

    @property
    def taken_back_by(self) -> tuple[str, str]:
        """Who has taken it back, and why, where that is recorded."""
        return self._by

    def put_on(self, reason: str, close_reason: CloseReason, tried: Callable[[bool], None]) -> None:
        """Refuse opening orders from now on; ``tried`` is called once, when the first write was answered or late."""
        self._begin(reason, close_reason, LatchStanding.ACTING)
        self._write_until_durable(tried)

    def hold(self, reason: str) -> None:
        """Refuse opening orders, and leave everything else alone."""
        self._begin(reason, CloseReason.DISCONNECT, LatchStanding.ON_HOLD)
        self._log("latch_on_hold", level="CRITICAL", reason=reason)
        self._alarm(f"latched: {reason}")
        self._write_until_durable(lambda _: None)

    def found(self, journal: m.JournalRead) -> None:
        """Take over the latch that an earlier incarnation or process left."""
        self.reason = journal.latch_reason or "latched by an earlier process"
        self.liquidation_id = journal.liquidation_id or self._actor.entropy.uuid4()
        self.close_reason = journal.close_reason or CloseReason.DISCONNECT
        self.standing = journal.latch_standing
        self._by = journal.latch_by
        self.is_durable = True
        self._log("latch_found", level="WARNING", reason=self.reason, standing=self.standing.value)
        if self.is_on_hold:
            self._alarm(f"latched: {self.reason}")
        self.tell()
        if not journal.latch_agrees:
            self._write_until_durable(lambda _: None)

    def answer_disconnects(self, seen: int) -> None:
        """Note that so many disconnects are dealt with."""
        self.answered_disconnects = max(self.answered_disconnects, seen)

    def belongs_to(self, account: str) -> None:
        """Learn which account the latch is about."""
        self.account = account_tag(account)

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

    # --- taking it back -------------------------------------------------------------------------------------------

    async def record_rearm(self, header: RequestHeader, who: str, why: str) -> bool:
        """Write that it is to be taken back at the next connection; tell whether that is on a disk.

        Raises `GatewayError` when it could not be written; `write_again` then.
        """
        self._end_writing()
        record = self._record(header, LatchStanding.REARM_RECORDED, who, why)
        durable = await self._actor.asked(JOURNAL, record, m.LatchDurable)
        if record.liquidation_id == self.liquidation_id:
            self.standing, self._by = LatchStanding.REARM_RECORDED, (who, why)
        return durable.on_disk

    async def take_off(self, header: RequestHeader, who: str, why: str) -> bool:
        """Write that it is off, and allow opening orders again; tell whether that is on a disk.

        Raises `GatewayError` when it could not be written, or a trigger put it on anew; `write_again` then.
        """
        self._end_writing()
        record = self._record(header, LatchStanding.ACTING, who, why, latched=False)
        durable = await self._actor.asked(JOURNAL, record, m.LatchDurable)
        if record.liquidation_id != self.liquidation_id:
            raise GatewayError("another liquidation was begun meanwhile")
        self.reason = None
        self.tell()
        return durable.on_disk

    def write_again(self) -> None:
        """Write that it is on after all: a word to the contrary may have come through and not been answered."""
        self._write_until_durable(lambda _: None)

    def when_settled(self, then: Callable[[bool], None], within_s: float) -> None:
        """Call ``then`` with whether the latch is durable, once that is so or nothing more is to be had."""
        self._actor.begin_story(self._settle(then, within_s))

    # --- writing --------------------------------------------------------------------------------------------------

    def _begin(self, reason: str, close_reason: CloseReason, standing: LatchStanding) -> None:
        self.reason = reason
        self.liquidation_id = self._actor.entropy.uuid4()
        self.close_reason = close_reason
        self.standing = standing
        self._by = (STRATEGY_C, "")
        self.is_durable = False
        self.tell()

    def _write_until_durable(self, tried: Callable[[bool], None]) -> None:
        self._end_writing()
        self._is_settled = False
        self._writing = self._actor.begin_story(self._make_durable(tried))

    def _end_writing(self) -> None:
        if self._writing is not None:
            self._actor.end_story(self._writing)
        self._writing, self._is_settled = None, True

    async def _make_durable(self, tried: Callable[[bool], None]) -> None:
        """Write the latch; Strategy C waits for the first try only."""
        await self._write(PATIENCE_S)
        if not self.is_durable and not self._is_settled:
            self._alarm("the latch could not be made durable; the gate stays closed in memory")
        tried(self.is_durable)
        while not self._is_settled:
            await self._write(WRITE_TIMEOUT_S)
            if not self._is_settled:
                await self._actor.sleep(REPEATED_AFTER_S)

    async def _write(self, timeout_s: float) -> None:
        header = self._actor.of_our_own("latch", timeout_s)
        record = self._record(header, self.standing, *self._by)
        try:
            written = await self._actor.asked(JOURNAL, record, m.LatchDurable)
        except GatewayError:
            return
        self.is_durable |= written.on_disk
        self._is_settled = written.in_journal

    async def _settle(self, then: Callable[[bool], None], within_s: float) -> None:
        ends_at = self._actor.clock.monotonic() + within_s
        while not self._is_settled and not self.is_durable:
            if self._actor.clock.monotonic() >= ends_at:
                break
            await self._actor.sleep(0.1)
        then(self.is_durable)

    def _record(
        self,
        header: RequestHeader,
        standing: LatchStanding,
        who: str,
        why: str,
        *,
        latched: bool = True,
    ) -> m.RecordLatch:
        return m.RecordLatch(
            **header,
            latched=latched,
            liquidation_id=self.liquidation_id,
            reason=(self.reason or "") if latched else "re-armed",
            who=who,
            why=why,
            at=self._actor.clock.now(),
            close_reason=self.close_reason,
            standing=standing,
            account=self.account,
        )
