"""How long a disconnect is tolerated before it latches Strategy C: a configured grace, or planned maintenance (STC-5).

The longer of the two counts. A grace is written into the journal, so that neither a crash of this actor nor one of the
process forgets a disconnect that has still to be answered: whoever finds one takes it up, and latches at once when its
time is over. It ends with the next connection, or with an operator who asks to disconnect.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import attrs

from actors import messages as m
from actors.kernel.addresses import Cancellable
from actors.kernel.messages import Message
from actors.messages.addresses import JOURNAL
from supervision.strategy_c.effects import LiquidationDesk


@attrs.frozen(kw_only=True)
class GraceOver(Message):
    """The grace after disconnect ``number`` is over."""

    number: int
    trigger: str


class GraceDesk(LiquidationDesk):
    """``in_grace``: the link is lost, and that has not triggered anything yet."""

    grace_timer: Cancellable | None = None

    def tolerates(self, event: m.ConnectionStateChanged, trigger: str) -> bool:
        """Begin a grace for a loss of the link; False where it has to trigger now."""
        until = event.at + timedelta(seconds=self.settings.grace_seconds)
        if event.planned_until is not None and event.planned_until > until:
            until, trigger = event.planned_until, f"{trigger}; it outlived the planned maintenance"
        if until <= event.at or self.latched is not None:
            return False
        self.log("disconnect_tolerated", trigger=trigger, until=until.isoformat())
        self.tell(JOURNAL, m.RecordGrace(trigger=trigger, until=until, at=self.clock.now()))
        self._wait(trigger, until)
        return True

    def end_grace(self) -> None:
        """Forget the disconnect: the link is back, somebody asked to disconnect, or the latch has taken over."""
        if self.grace_timer is not None:
            self.grace_timer.cancel()
            self.grace_timer = None
        if self.in_grace:
            self.in_grace = False
            self.tell(JOURNAL, m.RecordGrace(trigger="", until=None, at=self.clock.now()))

    def resume_grace(self, journal: m.JournalRead) -> None:
        """Take up a grace that an earlier incarnation or process left."""
        if journal.grace is not None:
            trigger, until = journal.grace
            self.log("grace_found", level="WARNING", trigger=trigger, until=until.isoformat())
            self._wait(trigger, until)
            if journal.latched:
                self.end_grace()

    def _wait(self, trigger: str, until: datetime) -> None:
        self.in_grace = True
        left_s = max(0.0, (until - self.clock.now()).total_seconds())
        over = GraceOver(number=self.disconnects, trigger=trigger)
        self.grace_timer = self.schedule(left_s, over)
