"""A cache and a sink in memory, bounded: the default, and what proofs look at (MKT-9)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import attrs

from actors.kernel.clock import Clock
from actors.model.market import Quote
from supervision.publish.schema import Entry


@attrs.frozen
class _Kept:
    entry: Entry
    expires_at: float


class MemoryStore:
    """Keeps the newest quote of ``max_symbols`` contracts for ``expiry_s``, and the last ``length`` updates."""

    def __init__(self, clock: Clock, *, expiry_s: float, length: int, max_symbols: int) -> None:
        self._clock = clock
        self._expiry_s = expiry_s
        self._max_symbols = max_symbols
        self._newest: dict[str, _Kept] = {}
        self.updates: deque[Entry] = deque(maxlen=length)

    async def put(self, newest: Sequence[Entry], updates: Sequence[Entry]) -> None:
        """Keep them."""
        expires_at = self._clock.monotonic() + self._expiry_s
        for entry in newest:
            self._newest.pop(entry.name, None)
            self._newest[entry.name] = _Kept(entry, expires_at)
            if len(self._newest) > self._max_symbols:
                del self._newest[next(iter(self._newest))]
        self.updates.extend(updates)

    def newest(self, name: str) -> Quote | None:
        """Give the newest quote of a contract by its name; None when there is none, or it has expired."""
        kept = self._newest.get(name)
        if kept is None or self._clock.monotonic() >= kept.expires_at:
            return None
        return kept.entry.quote

    async def close(self) -> None:
        """Nothing to let go of."""
