"""What the connection does about planned maintenance: opening stops before it, and resumes after it by itself (CON-15).

A loss within a window is published with the window's end, so that Strategy C waits for it; attempts go on as always,
and nothing alarms.
"""

from __future__ import annotations

from typing import Final

import attrs

from actors.connection.data_proof import ConnectionData
from actors.kernel.handlers import handles
from actors.kernel.messages import Message
from actors.logic.maintenance import Window
from actors.model.connection import ConnectionState

LONGEST_SLEEP_S: Final = 3600.0
"""The calendar is looked at once more after so long: the clock may have been set, or the machine have slept."""

SHORTEST_SLEEP_S: Final = 0.001


@attrs.frozen(kw_only=True)
class MaintenanceDue(Message):
    """It is time to look at the calendar of maintenance."""


class ConnectionMaintenance(ConnectionData):
    """Follows the calendar of maintenance; ``window`` is the one that was on at the last look."""

    window: Window | None = None
    stopped: bool = False
    """Whether nothing could be opened at the last look, because a window was on or near."""

    def watch_maintenance(self) -> None:
        """Begin to follow the calendar."""
        self._look()
        self._look_later()

    @handles(MaintenanceDue)
    def on_maintenance_due(self, _: MaintenanceDue) -> None:
        """Follow the calendar; a window that is over has to be followed by a fresh tick before anything is opened."""
        window, stopped = self.window, self.stopped
        self._look()
        if self.window is not None and self.window != window:
            self.log("maintenance_began", window=str(self.window))
        if window is not None and self.window is None:
            self.log("maintenance_ended", window=window.name)
            if self.machine.state is ConnectionState.CONNECTED:
                self.demand_a_tick()
        if (self.window, self.stopped) != (window, stopped):
            self.tell_readiness()
        self._look_later()

    def _look(self) -> None:
        self.window = self.planned
        self.stopped = self.settings.maintenance.obstacle(self.clock.now()) is not None

    def _look_later(self) -> None:
        now = self.clock.now()
        change = self.settings.maintenance.next_change(now)
        if change is not None:
            delay_s = max((change - now).total_seconds(), SHORTEST_SLEEP_S)
            self.schedule(min(delay_s, LONGEST_SLEEP_S), MaintenanceDue())
