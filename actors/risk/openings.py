"""What stands against opening anything at all: the latch, the link, the proof of market data, the second source."""

from __future__ import annotations

from actors import messages as m
from actors.kernel.handlers import Part, handles
from actors.messages.feed import NOT_FAILED_OVER, FailoverChanged
from actors.model.contracts import Contract


class Openings(Part):
    """Owns the reason of the latch, None where it is off, and what else blocks openings."""

    def __init__(self) -> None:
        self._blocked_by: str | None = "market data is not proved yet"
        self._failover = NOT_FAILED_OVER
        self.latched: str | None = None

    def blocked_by(self, contract: Contract) -> str | None:
        """Say why this contract may not be opened, apart from the latch; the second source opens nothing (MKT-10)."""
        if self._blocked_by or not self._failover.covers(contract.symbol):
            return self._blocked_by
        return f"{contract.symbol} is served by the second source, whose data is delayed"

    def block(self, reason: str) -> None:
        """Let nothing be opened until the connection says that it is ready again."""
        self._blocked_by = reason

    @handles(m.OpeningReadinessChanged)
    def on_opening_readiness_changed(self, event: m.OpeningReadinessChanged) -> None:
        """Know whether market data answers (CON-4)."""
        self._blocked_by = None if event.ready else event.reason

    @handles(FailoverChanged)
    def on_failover_changed(self, event: FailoverChanged) -> None:
        """Know which symbols the second source serves."""
        self._failover = event
