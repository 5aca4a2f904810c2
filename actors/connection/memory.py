"""What one incarnation of the connection actor leaves to the next: the operator's wish, above all.

It belongs to the process, not to an actor, so that it outlives restarts and a rebuilt tree. An incarnation that was
replaced cannot write to it any more.
"""

from __future__ import annotations

import threading
from typing import Any

import attrs

from actors.connection.data_health import DataHealth
from actors.connection.gateway_ports import GatewayPorts


@attrs.frozen(kw_only=True)
class Remembered:
    """``wanted``: somebody asked for a connection, and neither `Disconnect` nor a failure for good ended that wish.

    ``session_id`` names the session that is established, until its end was recorded.
    """

    ports: GatewayPorts
    wanted: bool = False
    session_id: str | None = None
    session_began_at: float = 0.0
    session_errors: int = 0
    last_error: str | None = None
    data: DataHealth = attrs.field(factory=DataHealth)


class ConnectionMemory:
    """The values, and who may write them. Safe to share between threads."""

    def __init__(self, values: Remembered) -> None:
        """Begin with ``values``; the first incarnation has to `enter`."""
        self._lock = threading.Lock()
        self._values = values
        self._incarnation = 0

    @property
    def values(self) -> Remembered:
        """What is remembered now."""
        return self._values

    def enter(self, incarnation: int) -> None:
        """Refuse from now on what earlier incarnations write."""
        with self._lock:
            self._incarnation = max(self._incarnation, incarnation)

    def keep(self, incarnation: int, **changes: Any) -> None:
        """Replace some values, unless ``incarnation`` was replaced itself."""
        with self._lock:
            if incarnation >= self._incarnation:
                self._values = attrs.evolve(self._values, **changes)
