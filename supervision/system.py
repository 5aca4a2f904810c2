"""The system's time and randomness, in the form that the actors take them (`actors.clock`)."""

from __future__ import annotations

import random
import time
import uuid
from datetime import UTC, datetime


class SystemClock:
    """The computer's clocks."""

    def now(self) -> datetime:
        """Tell the time of day in UTC; it may be set back or forth while the process runs."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Tell seconds since the system's own origin; never goes back."""
        return time.monotonic()


class SystemEntropy:
    """The operating system's randomness. Safe to share between threads: it has no state."""

    def __init__(self) -> None:
        """Open the operating system's source."""
        self._random = random.SystemRandom()

    def uniform(self, low: float, high: float) -> float:
        """Draw from [low, high]."""
        return self._random.uniform(low, high)

    def uuid4(self) -> str:
        """Make a random UUID."""
        return str(uuid.uuid4())
