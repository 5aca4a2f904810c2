"""What the connection does about planned maintenance: opening stops before it, and resumes after it by itself (CON-15).

A loss within a window is published with the window's end, so that Strategy C waits for it; attempts go on as always,
and nothing alarms.
"""

from __future__ import annotations

from typing import Final

from actors.connection.data_proof import DataProof
from actors.connection.link_state import LinkState
from actors.connection.readiness import Readiness
from actors.kernel.actor import SupervisedActor
from actors.logic.maintenance import Window
from actors.ports import EventLog

LONGEST_SLEEP_S: Final = 3600.0
"""The calendar is looked at once more after so long: the clock may have been set, or the machine have slept."""

SHORTEST_SLEEP_S: Final = 0.001


class MaintenanceWatch:
    """Follows the calendar of maintenance; ``window`` is the one that was on at the last look."""

    def __init__(
        self,
        actor: SupervisedActor,
        link: LinkState,
        readiness: Readiness,
        proof: DataProof,
        log: EventLog,
    ) -> None:
        self._actor = actor
        self._link = link
        self._readiness = readiness
        self._proof = proof
        self._log = log
        self._window: Window | None = None
        self._stopped = False
        """Whether nothing could be opened at the last look, because a window was on or near."""

    async def follow(self) -> None:
        """Follow the calendar for as long as this incarnation lives."""
        self._look()
        while (delay_s := self._next_look_s()) is not None:
            await self._actor.sleep(delay_s)
            self._follow()

    def _follow(self) -> None:
        """A window that is over has to be followed by a fresh tick before anything is opened."""
        window, stopped = self._window, self._stopped
        self._look()
        if self._window is not None and self._window != window:
            self._log("maintenance_began", window=str(self._window))
        if window is not None and self._window is None:
            self._log("maintenance_ended", window=window.name)
            if self._link.is_connected:
                self._proof.demand_a_tick()
        if (self._window, self._stopped) != (window, stopped):
            self._readiness.announce()

    def _look(self) -> None:
        self._window = self._link.planned
        now = self._actor.clock.now()
        self._stopped = self._link.settings.maintenance.obstacle(now) is not None

    def _next_look_s(self) -> float | None:
        now = self._actor.clock.now()
        change = self._link.settings.maintenance.next_change(now)
        if change is None:
            return None
        return min(max((change - now).total_seconds(), SHORTEST_SLEEP_S), LONGEST_SLEEP_S)
