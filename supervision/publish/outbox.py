"""What is not published yet. It belongs to the process, so that a restarted publisher loses nothing.

The newest quote of each contract waits for the cache, and every update for the sink, each within a bound: beyond it the
contract that was quoted longest ago, and the oldest update, are dropped; updates are counted. All of it may be called
from any thread, since an incarnation that hung may wake up.
"""

from __future__ import annotations

import threading
from collections import deque

import attrs

from actors.model.market import Quote
from supervision.publish.schema import Entry, name_of


@attrs.frozen
class Batch:
    """What is written together."""

    newest: tuple[Entry, ...]
    updates: tuple[Entry, ...]

    def __bool__(self) -> bool:
        return bool(self.newest or self.updates)


class Outbox:
    """See the module's docstring. ``degraded_by`` says why nothing can be published now."""

    def __init__(self, publisher: str, *, bound: int, max_symbols: int) -> None:
        self.publisher = publisher
        self.degraded_by: str | None = None
        self._bound = bound
        self._max_symbols = max_symbols
        self._lock = threading.Lock()
        self._newest: dict[str, Entry] = {}
        self._updates: deque[Entry] = deque()
        self._sequence = 0
        self._dropped = 0
        self._published = 0

    def put(self, quote: Quote) -> None:
        """Add a quote."""
        name = name_of(quote.contract)
        with self._lock:
            self._sequence += 1
            entry = Entry(sequence=self._sequence, name=name, quote=quote)
            self._newest.pop(name, None)
            self._newest[name] = entry
            if len(self._newest) > self._max_symbols:
                del self._newest[next(iter(self._newest))]
            self._updates.append(entry)
            if len(self._updates) > self._bound:
                self._updates.popleft()
                self._dropped += 1

    def batch(self, most: int) -> Batch:
        """Look at what has waited longest; it stays."""
        with self._lock:
            newest = zip(self._newest.values(), range(most), strict=False)
            updates = zip(self._updates, range(most), strict=False)
            return Batch(tuple(entry for entry, _ in newest), tuple(entry for entry, _ in updates))

    def written(self, batch: Batch) -> None:
        """Let go of what is published, except where something newer waits."""
        with self._lock:
            for entry in batch.newest:
                if self._newest.get(entry.name) is entry:
                    del self._newest[entry.name]
            if not batch.updates:
                return
            last = batch.updates[-1].sequence
            while self._updates and self._updates[0].sequence <= last:
                self._updates.popleft()
            self._published += len(batch.updates)

    @property
    def waiting(self) -> int:
        """How many updates wait."""
        return len(self._updates)

    @property
    def dropped(self) -> int:
        """How many updates were lost because the bound was reached."""
        return self._dropped

    @property
    def published(self) -> int:
        """How many updates were written."""
        return self._published
