"""What one reader of quotes has not read yet: the newest quote of each symbol, and where its feed stands (MKT-7).

Guarantees, for a reader of any speed: at most one quote, one interruption and one resumption per symbol wait, so what
waits is bounded by the symbols; a symbol keeps its place in line while its quote is replaced, so none starves; what is
read of one symbol is in order, and the last thing read is the last that was put.

=============  ===============================================================================================
put            what waits of the same symbol
=============  ===============================================================================================
quote          replaces a waiting quote, in its place; behind an announcement that waits, it goes to the end
interrupted    takes the place of every waiting announcement
resumed        stands behind a waiting interruption: the gap is told even when it is over
=============  ===============================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum

from actors import messages as m
from actors.model.market import Quote

QuoteEvent = Quote | m.QuotesInterrupted | m.QuotesResumed
"""What a subscriber may read."""


class _Kind(Enum):
    QUOTE = 1
    INTERRUPTED = 2
    RESUMED = 3


_QUOTE, _INTERRUPTED, _RESUMED = _Kind.QUOTE, _Kind.INTERRUPTED, _Kind.RESUMED


class QuoteBacklog:
    """See the module's docstring."""

    __slots__ = ("_announced", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[tuple[_Kind, str], Quote | str] = {}
        self._announced: dict[str, int] = {}
        """How many announcements of a symbol wait."""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, quote: Quote) -> None:
        """Add a newer quote."""
        key = (_QUOTE, quote.contract.symbol)
        if self._announced and key[1] in self._announced:
            self._waiting.pop(key, None)
        self._waiting[key] = quote

    def interrupted(self, symbols: Iterable[str], reason: str) -> None:
        """Announce that the feeds of some symbols stand still."""
        for symbol in symbols:
            self._waiting.pop((_INTERRUPTED, symbol), None)
            self._waiting.pop((_RESUMED, symbol), None)
            self._waiting[_INTERRUPTED, symbol] = reason
            self._announced[symbol] = 1

    def resumed(self, symbols: Iterable[str]) -> None:
        """Announce that the feeds of some symbols go on."""
        for symbol in symbols:
            if self._waiting.pop((_RESUMED, symbol), None) is None:
                self._announced[symbol] = self._announced.get(symbol, 0) + 1
            self._waiting[_RESUMED, symbol] = ""

    def take(self) -> QuoteEvent:
        """Take what has waited longest; an announcement takes those like it along. Raises StopIteration when empty."""
        key = next(iter(self._waiting))
        kind, _ = key
        found = self._waiting[key]
        if isinstance(found, Quote):
            del self._waiting[key]
            return found
        symbols = tuple(self._take_alike(kind, found))
        if kind is _RESUMED:
            return m.QuotesResumed(symbols=symbols)
        return m.QuotesInterrupted(symbols=symbols, reason=found)

    def _take_alike(self, kind: _Kind, reason: str) -> Iterator[str]:
        """Take the symbols out of whom the same is to be said next."""
        while self._waiting:
            key = next(iter(self._waiting))
            if key[0] is not kind or self._waiting[key] != reason:
                return
            self._forget(*key)
            yield key[1]

    def _forget(self, kind: _Kind, symbol: str) -> None:
        del self._waiting[kind, symbol]
        left = self._announced[symbol] - 1
        if left:
            self._announced[symbol] = left
        else:
            del self._announced[symbol]
