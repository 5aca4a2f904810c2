"""How long a disconnect is tolerated before it latches Strategy C: a configured grace, or planned maintenance (STC-5).

The longer of the two counts. A grace is written into the journal, so that neither a crash of this actor nor one of the
process forgets a disconnect that has still to be answered: whoever finds one takes it up, and latches at once when its
time is over. It ends with the next connection, or with an operator who asks to disconnect.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from actors import messages as m
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part
from actors.kernel.stories import Story
from actors.messages.addresses import JOURNAL
from actors.ports import EventLog
from actors.sections.strategy_c import StrategyC


class Grace(Part):
    """Owns whether a loss of the link is tolerated now. ``over`` is called with the trigger when that has an end."""

    def __init__(
        self,
        actor: SupervisedActor,
        settings: StrategyC,
        log: EventLog,
        over: Callable[[str], None],
    ) -> None:
        self._actor = actor
        self._settings = settings
        self._log = log
        self._over = over
        self._waiting: Story | None = None

    @property
    def is_running(self) -> bool:
        """The link is lost, and that has not triggered anything yet."""
        return self._waiting is not None

    def tolerates(self, event: m.ConnectionStateChanged, trigger: str) -> bool:
        """Begin a grace for a loss of the link; False where it has to trigger now."""
        until = event.at + timedelta(seconds=self._settings.grace_seconds)
        if event.planned_until is not None and event.planned_until > until:
            until, trigger = event.planned_until, f"{trigger}; it outlived the planned maintenance"
        if until <= event.at:
            return False
        self._log("disconnect_tolerated", trigger=trigger, until=until.isoformat())
        self._record(trigger, until)
        self._begin(trigger, until)
        return True

    def end(self) -> None:
        """Forget the disconnect: the link is back, somebody asked to disconnect, or the latch has taken over."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._actor.end_story(waiting)
            self._record("", None)

    def resume(self, journal: m.JournalRead) -> None:
        """Take up a grace that an earlier incarnation or process left."""
        if journal.grace is not None:
            trigger, until = journal.grace
            self._log("grace_found", level="WARNING", trigger=trigger, until=until.isoformat())
            self._begin(trigger, until)
            if journal.latched:
                self.end()

    def _begin(self, trigger: str, until: datetime) -> None:
        left_s = max(0.0, (until - self._actor.clock.now()).total_seconds())
        self._waiting = self._actor.begin_story(self._wait(trigger, left_s))

    async def _wait(self, trigger: str, left_s: float) -> None:
        """The link did not come back within the grace (STC-5)."""
        await self._actor.sleep(left_s)
        self._over(trigger)
        self.end()

    def _record(self, trigger: str, until: datetime | None) -> None:
        self._actor.tell(
            JOURNAL, m.RecordGrace(trigger=trigger, until=until, at=self._actor.clock.now())
        )
