"""How long a loss of the link is tolerated before it latches Strategy C; `triggers` says it (STC-5, RULES 3).

What is tolerated is written into the journal, so that neither a crash of this actor nor one of the process forgets a
disconnect that has still to be answered: whoever finds one takes it up, and latches at once when its time is over. It
ends with the next connection, or with an operator who asks to disconnect.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import attrs

from actors import messages as m
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.kernel.stories import Story
from actors.messages.addresses import JOURNAL
from actors.model.connection import OUR_OWN
from actors.ports import EventLog
from actors.sections.strategy_c import StrategyC
from supervision.strategy_c import triggers
from supervision.strategy_c.triggers import TABLE, Incident, Loss, Row, Tolerance


@attrs.frozen(kw_only=True)
class _Running:
    """A loss that is tolerated now; ``began_at`` in monotonic seconds."""

    loss: Loss
    tolerance: Tolerance
    began_at: float
    trigger: str


class Grace(Part):
    """Owns whether a loss of the link is tolerated now, and the budget of our own defects.

    ``over`` is called with the trigger when the tolerance has an end; ``session_at`` tells the first session of what is
    held, None while one is on; ``is_covered`` whether stops at the broker cover all of it.
    """

    def __init__(
        self,
        actor: SupervisedActor,
        settings: StrategyC,
        log: EventLog,
        *,
        over: Callable[[str], None],
        session_at: Callable[[], datetime | None],
        is_covered: Callable[[], bool],
    ) -> None:
        self._actor = actor
        self._settings = settings
        self._log = log
        self._over = over
        self._session_at = session_at
        self._is_covered = is_covered
        self._incident = Incident()
        self._running: _Running | None = None
        self._waiting: Story | None = None

    @property
    def is_running(self) -> bool:
        """The link is lost, and that has not triggered anything yet."""
        return self._waiting is not None

    def tolerates(self, event: m.ConnectionStateChanged, trigger: str) -> bool:
        """Begin to tolerate a loss of the link; False where it has to trigger now."""
        if event.cause is None:
            return False
        now = self._actor.clock.monotonic()
        if event.cause in OUR_OWN:
            self._incident = self._incident.lost(now, self._settings)
        loss = Loss(
            at=event.at,
            cause=event.cause,
            planned_until=event.planned_until,
            session_at=self._session_at(),
            is_covered=self._is_covered(),
        )
        found = triggers.tolerance(loss, self._incident, self._settings)
        running = _Running(loss=loss, tolerance=found, began_at=now, trigger=trigger)
        return self._tolerate(running)

    @handles(m.AttemptFailed)
    def on_attempt_failed(self, event: m.AttemptFailed) -> None:
        """A broker that refuses after a defect of ours is the broker's side from then on."""
        running = self._running
        if running is None:
            return
        found = triggers.after_attempt(
            event.attempt, running.loss, running.tolerance, self._settings
        )
        if found == running.tolerance:
            return
        trigger = f"{running.trigger}; then {event.attempt}: {event.reason}"
        if not self._tolerate(attrs.evolve(running, tolerance=found, trigger=trigger)):
            self._stop()
            self._over(trigger)
            self._record("", None)

    def end(self, because: str = "") -> None:
        """Forget the disconnect: the link is back, somebody asked to disconnect, or the latch has taken over."""
        running, self._running = self._running, None
        self._incident = self._incident.restored(self._actor.clock.monotonic())
        if not self._stop():
            return
        self._record("", None)
        if because and running is not None:
            away_s = self._actor.clock.monotonic() - running.began_at
            self._log(
                "strategy_c_not_triggered",
                row=running.tolerance.row.value,
                trigger=running.trigger,
                because=f"{because} after {away_s:.1f} s",
            )

    def resume(self, journal: m.JournalRead) -> None:
        """Take up what an earlier incarnation or process tolerated."""
        if journal.grace is not None:
            trigger, until = journal.grace
            self._log("grace_found", level="WARNING", trigger=trigger, until=until.isoformat())
            self._wait_until(trigger, until)
            if journal.latched:
                self.end()

    def _tolerate(self, running: _Running) -> bool:
        """Wait as long as the table says; False where that is over already."""
        tolerance = running.tolerance
        until = running.loss.at + timedelta(seconds=tolerance.for_s)
        left_s = running.began_at + tolerance.for_s - self._actor.clock.monotonic()
        if left_s <= 0.0:
            return False
        self._running = running
        rule = TABLE[tolerance.row]
        trigger = f"{running.trigger}; {_WORDS[tolerance.row]}"
        self._log(
            "disconnect_tolerated",
            row=tolerance.row.value,
            trigger=running.trigger,
            acts_when=rule.evidence,
            until=until.isoformat(),
        )
        self._record(trigger, until)
        self._stop()
        self._waiting = self._actor.begin_story(self._wait(trigger, left_s))
        return True

    def _wait_until(self, trigger: str, until: datetime) -> None:
        left_s = max(0.0, (until - self._actor.clock.now()).total_seconds())
        self._waiting = self._actor.begin_story(self._wait(trigger, left_s))

    async def _wait(self, trigger: str, left_s: float) -> None:
        """The link did not come back in time (STC-5)."""
        await self._actor.sleep(left_s)
        self._over(trigger)
        self.end()

    def _stop(self) -> bool:
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return False
        self._actor.end_story(waiting)
        return True

    def _record(self, trigger: str, until: datetime | None) -> None:
        self._actor.tell(
            JOURNAL, m.RecordGrace(trigger=trigger, until=until, at=self._actor.clock.now())
        )


_WORDS = {
    Row.PLANNED_WINDOW: "it outlived the planned maintenance",
    Row.OUT_OF_SESSION: "it was not back before the session of what is held",
    Row.LINK_LOST: "it was not back within the grace",
    Row.OWN_DEFECT: "a new session was not there in time",
    Row.CLIENT_ID_HELD: "the client id was still held",
}
"""What is added to the trigger where a tolerance has come to its end."""
