"""How many links this process has open: ten at most (CON-12)."""

from __future__ import annotations

import threading
from typing import Final

from actors.errors import TooManyLinksError

MAX_LINKS: Final = 10


class LinkRegistry:
    """Counts the links that are open. Safe to call from any thread."""

    def __init__(self, limit: int = MAX_LINKS) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._holders: set[int] = set()

    def claim(self, holder: object) -> None:
        """Take a place; raises `TooManyLinksError` when none is left. A second claim changes nothing."""
        with self._lock:
            if id(holder) in self._holders:
                return
            if len(self._holders) >= self._limit:
                raise TooManyLinksError(
                    f"this process has {self._limit} links open, which is the limit: disconnect one first"
                )
            self._holders.add(id(holder))

    def release(self, holder: object) -> None:
        """Give the place back; a second release changes nothing."""
        with self._lock:
            self._holders.discard(id(holder))


PROCESS_LINKS: Final = LinkRegistry()
"""The links of this process."""
