"""What the publisher needs of a cache and a sink."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from supervision.publish.schema import Entry


class QuoteStore(Protocol):
    """A cache of newest quotes and a sink of updates, written together.

    Raises `PublishError` when that cannot be done now; it may then be repeated, since what was written is the same.
    """

    async def put(self, newest: Sequence[Entry], updates: Sequence[Entry]) -> None:
        """Replace the newest quotes of their contracts, and append the updates in their order."""
        ...

    async def close(self) -> None:
        """Let go of everything; raises nothing."""
        ...
