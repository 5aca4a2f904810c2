"""The circuit breaker before the gateway (CON-6): the library `pybreaker`, fed outcomes, on the time that it is given.

The library asks the computer's clock in one place, when it decides whether an open breaker has rested long enough. Our
storage answers that question: it dates the opening into the distant past once the rest is over by the caller's clock,
and into the distant future before. So nothing depends on the computer's clock, and a proof replays.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from pybreaker import CircuitBreaker, CircuitBreakerError, CircuitMemoryStorage

from actors.model.connection import BreakerState

LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
FAR_AHEAD: Final = datetime(9000, 1, 1, tzinfo=UTC)

SLACK_S: Final = 0.001
"""A rest counts as over so much earlier: a timer that was set for its end may be a rounding error early."""

_STATES: Final = {
    "closed": BreakerState.CLOSED,
    "open": BreakerState.OPEN,
    "half-open": BreakerState.HALF_OPEN,
}


class _AttemptFailedError(Exception):
    """What the library is shown in place of the real failure, which it does not need."""


class ConnectionBreaker:
    """A `actors.ports.Breaker`. Times in monotonic seconds; made once per process, so that restarts do not reset it."""

    def __init__(self, *, failures: int, open_s: float, successes: int) -> None:
        """Start closed.

        It opens after ``failures`` in a row, rests ``open_s``, then closes after ``successes`` and opens at a failure.
        """
        self._storage = _GivenTimeStorage(open_s)
        self._breaker = CircuitBreaker(
            fail_max=failures,
            reset_timeout=open_s,
            success_threshold=successes,
            state_storage=self._storage,
            throw_new_error_on_trip=False,
        )

    @property
    def state(self) -> BreakerState:
        """Where it stands; an open one whose rest is over stays open until an attempt begins."""
        return _STATES[self._breaker.current_state]

    def rest_s(self, now: float) -> float:
        """Tell the seconds until an attempt may begin; 0 when one may."""
        return self._storage.rest_s(now) if self.state is BreakerState.OPEN else 0.0

    def begin(self, now: float) -> None:
        """Take note that an attempt begins: an open breaker that has rested becomes half-open."""
        if self.state is BreakerState.OPEN and self.rest_s(now) == 0.0:
            self._breaker.half_open()

    def succeeded(self, now: float) -> None:
        """Count a success; while it rests, nothing is counted."""
        self._feed(now, failed=False)

    def failed(self, now: float) -> None:
        """Count a failure; while it rests, nothing is counted."""
        self._feed(now, failed=True)

    def _feed(self, now: float, *, failed: bool) -> None:
        def outcome() -> None:
            if failed:
                raise _AttemptFailedError

        self._storage.now = now
        try:
            self._breaker.call(outcome)
        except (_AttemptFailedError, CircuitBreakerError):
            return


class _GivenTimeStorage(CircuitMemoryStorage):
    """Remembers by the caller's clock when the breaker opened; the library's own date is not used."""

    def __init__(self, open_s: float) -> None:
        super().__init__("closed")
        self.now = 0.0
        self._open_s = open_s
        self._opened_at_s: float | None = None

    def rest_s(self, now: float) -> float:
        """Tell how long the rest still takes at ``now``."""
        if self._opened_at_s is None:
            return 0.0
        left_s = self._opened_at_s + self._open_s - now
        return left_s if left_s > SLACK_S else 0.0

    @property
    def opened_at(self) -> datetime | None:
        """Say in the library's terms whether the rest is over."""
        if self._opened_at_s is None:
            return None
        return FAR_AHEAD if self.rest_s(self.now) > 0.0 else LONG_AGO

    @opened_at.setter
    def opened_at(self, datetime: datetime) -> None:
        del datetime  # the computer's clock
        self._opened_at_s = self.now
