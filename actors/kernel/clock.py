"""Time and randomness as protocols.

Nothing in the product reads the system's clock or its random numbers by itself: both are handed in, so that a whole
tree can run on virtual time and be replayed from a seed. The system versions live where the tree is constructed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Two kinds of time that are never mixed: facts are dated by ``now``, deadlines are kept by ``monotonic``."""

    def now(self) -> datetime:
        """Tell the time of day as an aware datetime in UTC."""
        ...

    def monotonic(self) -> float:
        """Tell seconds since an arbitrary origin; never goes back."""
        ...


class Entropy(Protocol):
    """Randomness and unique ids."""

    def uniform(self, low: float, high: float) -> float:
        """Draw from the uniform distribution on [low, high]."""
        ...

    def uuid4(self) -> str:
        """Make a new version-4 UUID in its canonical text form."""
        ...
