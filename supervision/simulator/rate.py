"""How many messages a client sends per second."""

from __future__ import annotations

from collections import deque


class Rate:
    """Counts the messages of the last second."""

    def __init__(self) -> None:
        self._times_s: deque[float] = deque()

    def count(self, now_s: float, limit: int) -> int:
        """Count a message; returns how many there were when that exceeds `limit`, else 0.

        A limit of 0 is none. Messages beyond the limit do not extend the excess.
        """
        if not limit:
            return 0
        while self._times_s and now_s - self._times_s[0] >= 1.0:
            self._times_s.popleft()
        if len(self._times_s) >= limit:
            return len(self._times_s) + 1
        self._times_s.append(now_s)
        return 0
