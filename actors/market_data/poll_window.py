"""Whose snapshot is asked for next: in turn, and never more at once than IB has lines for.

Guarantees that a symbol is asked about once at a time, that symbols take turns in the order in which they came due, and
that at most ``most`` answers are owed. It knows no time: who calls says when a symbol is due.
"""

from __future__ import annotations

from collections.abc import Iterator


class PollWindow:
    """The symbols that are due, and those that were asked about."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._due: dict[str, None] = {}
        self._open: set[str] = set()

    def due(self, symbol: str) -> None:
        """Put a symbol in line; one that is in line or asked about already stays where it is."""
        if symbol not in self._open:
            self._due[symbol] = None

    def turns(self) -> Iterator[str]:
        """Hand out the symbols that may be asked about now; each counts as asked about."""
        while self._due and len(self._open) < self._most:
            symbol = next(iter(self._due))
            del self._due[symbol]
            self._open.add(symbol)
            yield symbol

    def ended(self, symbol: str) -> None:
        """The answer about a symbol came, or will not come."""
        self._open.discard(symbol)

    def drop(self, symbol: str) -> None:
        """Nobody wants a symbol any more; an answer that is owed still takes its place."""
        self._due.pop(symbol, None)

    def drop_all(self) -> None:
        """Nobody is asked for now; answers that are owed still take their places."""
        self._due.clear()
