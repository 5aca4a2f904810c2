"""What the actors need from outside, as protocols; the runtime hands in what fulfils them."""

from __future__ import annotations

from typing import Protocol


class EventLog(Protocol):
    """Where an actor says what happened. A call must be cheap and may never block (D19)."""

    def __call__(
        self,
        event: str,
        *,
        level: str = "INFO",
        correlation_id: str | None = None,
        **fields: object,
    ) -> None:
        """Record ``event`` (a snake_case name) with its fields."""
        ...


def no_log(
    event: str,
    *,
    level: str = "INFO",
    correlation_id: str | None = None,
    **fields: object,
) -> None:
    """Discard the event: for an actor that runs without a log."""
