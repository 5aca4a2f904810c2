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
        self._unsure: dict[int, m.ContractUnsure] = {}
        self.latched: str | None = None

    def blocked_by(self, contract: Contract) -> str | None:
        """Say why this contract may not be opened, apart from the latch; the second source opens nothing (MKT-10)."""
        unsure = self._unsure.get(contract.con_id)
        if unsure is not None:
            return f"{contract} is unsure: {unsure.why}"
        if self._blocked_by or not self._failover.covers(contract.symbol):
            return self._blocked_by
        return f"{contract.symbol} is served by the second source, whose data is delayed"

    def block(self, reason: str) -> None:
        """Let nothing be opened until the connection says that it is ready again."""
        self._blocked_by = reason

    @handles(m.ContractUnsure)
    def on_contract_unsure(self, event: m.ContractUnsure) -> None:
        """Open nothing in a contract of which a message could not be read."""
        self._unsure[event.con_id] = event

    def state_was_read(self, began_at: float) -> None:
        """Be sure again of what a later read of the whole state showed sound."""
        self._unsure = {
            con_id: event for con_id, event in self._unsure.items() if event.at >= began_at
        }

    @handles(m.OpeningReadinessChanged)
    def on_opening_readiness_changed(self, event: m.OpeningReadinessChanged) -> None:
        """Know whether market data answers (CON-4)."""
        self._blocked_by = None if event.ready else event.reason

    @handles(FailoverChanged)
    def on_failover_changed(self, event: FailoverChanged) -> None:
        """Know which symbols the second source serves."""
        self._failover = event
