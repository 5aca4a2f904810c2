"""What the actors need from outside, as protocols; the runtime hands in what fulfils them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from actors.model.connection import BreakerState


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


MemoryReading = Callable[[], float | None]
"""Tells the memory that the process occupies, in MB (10^6 bytes); None where that cannot be known."""


def no_memory_reading() -> float | None:
    """Know nothing of memory: for an actor that runs without such a reading, as in a proof."""
    return None


class Breaker(Protocol):
    """A circuit breaker that is fed outcomes (CON-6). Times in monotonic seconds, given by the caller."""

    @property
    def state(self) -> BreakerState:
        """Where it stands; an open one whose rest is over stays open until an attempt begins."""
        ...

    def rest_s(self, now: float) -> float:
        """Tell the seconds until an attempt may begin; 0 when one may."""
        ...

    def begin(self, now: float) -> None:
        """Take note that an attempt begins: an open breaker that has rested becomes half-open."""
        ...

    def succeeded(self, now: float) -> None:
        """Count a success; a breaker that rests ignores it."""
        ...

    def failed(self, now: float) -> None:
        """Count a failure; a breaker that rests ignores it."""
        ...
