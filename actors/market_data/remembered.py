"""A memory with a bound."""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Remembered(dict[K, V]):
    """At most ``most`` values by key; ``keep`` a new one, and the key that came first is forgotten."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def keep(self, key: K, value: V) -> None:
        """Remember a value, within the bound."""
        if key not in self and len(self) >= self._most:
            del self[next(iter(self))]
        self[key] = value
