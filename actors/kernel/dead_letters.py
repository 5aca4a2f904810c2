"""Where messages end that nobody handled.

Guarantees a bound: the ring keeps the newest letters and counts all of them.
"""

from __future__ import annotations

import threading
from collections import deque
from datetime import datetime
from typing import Any

import attrs

from actors.kernel.clock import Clock


@attrs.frozen(kw_only=True)
class DeadLetter:
    """A message that was refused, came too late, or whose handler failed. ``sender`` is an address's name."""

    message: Any
    address: str
    reason: str
    at: datetime
    sender: str = ""


class DeadLetters:
    """A ring of the newest ``capacity`` dead letters; safe to use from every thread."""

    def __init__(self, clock: Clock, capacity: int = 1_000) -> None:
        self._clock = clock
        self._ring: deque[DeadLetter] = deque(maxlen=capacity)
        self._lock = threading.Lock()
        self._total = 0

    @property
    def total(self) -> int:
        """Count every letter since the start, also those that the ring has dropped."""
        return self._total

    def add(self, message: object, address: str, reason: str, sender: str = "") -> None:
        """Keep one letter; the oldest goes when the ring is full."""
        letter = DeadLetter(
            message=message, address=address, reason=reason, at=self._clock.now(), sender=sender
        )
        with self._lock:
            self._ring.append(letter)
            self._total += 1

    def snapshot(self) -> tuple[DeadLetter, ...]:
        """List what the ring holds, oldest first."""
        with self._lock:
            return tuple(self._ring)
