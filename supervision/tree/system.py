"""The system's time and randomness, in the form that the actors take them (`actors.kernel.clock`)."""

from __future__ import annotations

import os
import random
import time
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
        """Make a random UUID, for a quarter of what the standard library takes (RFC 9562, version 4)."""
        octets = bytearray(os.urandom(16))
        octets[6] = octets[6] & 0x0F | 0x40
        octets[8] = octets[8] & 0x3F | 0x80
        text = octets.hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
