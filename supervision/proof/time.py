"""Virtual time and seeded randomness: what a proof hands to the parts in place of `supervision.tree.system`."""

from __future__ import annotations

import asyncio
import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(2025, 11, 21, 15, 0, tzinfo=UTC)
"""When virtual time begins unless a proof says otherwise: Friday, 10:00 in New York, half an hour into the session."""


class VirtualClock:
    """A clock (`actors.kernel.clock.Clock`) that shows the time of a loop: the loop's origin is the ``epoch``."""

    def __init__(self, loop: asyncio.AbstractEventLoop, epoch: datetime = EPOCH) -> None:
        """Refuse an epoch without a zone: facts are dated in UTC."""
        if epoch.tzinfo is None:
            raise ValueError(f"epoch must have a time zone (was {epoch.isoformat()})")
        self._loop = loop
        self._epoch = epoch.astimezone(UTC)

    def step(self, seconds: float) -> None:
        """Set the time of day forward, or back, as a time server does; monotonic time goes on."""
        self._epoch += timedelta(seconds=seconds)

    def now(self) -> datetime:
        """Tell the virtual time of day in UTC."""
        return self._epoch + timedelta(seconds=self._loop.time())

    def monotonic(self) -> float:
        """Tell virtual seconds since the loop's origin."""
        return self._loop.time()


class SeededEntropy:
    """Randomness and ids (`actors.kernel.clock.Entropy`) that one seed fixes. Draws are for one thread."""

    def __init__(self, seed: int) -> None:
        """Start the sequence that belongs to ``seed``."""
        self._random = random.Random(seed)  # noqa: S311 - replayable on purpose; guards nothing

    def uniform(self, low: float, high: float) -> float:
        """Draw from [low, high]."""
        return self._random.uniform(low, high)

    def uuid4(self) -> str:
        """Make a well-formed version-4 UUID from the seeded sequence."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))
