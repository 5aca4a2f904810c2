"""What is known of each symbol that is watched, and the state that follows from it. Pure: `now` is given.

=================  =============================================================================================
interrupted        the feed stands still; the reason is told
no subscription    the account has no right to the data (IB's 354, 10089, 10090, 10168)
competing session  another session of the same user owns the data (10197)
waiting            no quote has come yet
second source      from the other source, never fresh
halted             IB says that trading is halted
delayed, frozen    IB's data types 3 and 4, and 2: never fresh
closed             the instrument does not trade now
no price           IB answers, without any price
stale              older than ``market_data.stale_after_s``
partial            a part of the data is not subscribed to (10090)
live               none of these
=================  =============================================================================================
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import attrs

from actors.logic.broker_codes import Meaning, RequestKind, meaning
from actors.logic.quality import quote_age_s
from actors.logic.sessions import is_session_open
from actors.model.market import DataCondition, DataSource, IndicatorReading, Quote

BASIS_POINTS: Final = 10_000.0
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


class State(StrEnum):
    """See the module's docstring."""

    WAITING = "waiting"
    LIVE = "live"
    DELAYED = "delayed"
    FROZEN = "frozen"
    SECOND_SOURCE = "second source"
    HALTED = "halted"
    STALE = "stale"
    CLOSED = "closed"
    NO_PRICE = "no price"
    PARTIAL = "partial"
    NO_SUBSCRIPTION = "no subscription"
    COMPETING_SESSION = "competing session"
    INTERRUPTED = "interrupted"


@attrs.frozen(kw_only=True)
class Row:
    """One symbol at one moment; ``why`` is the reason of an interruption.

    ``age_s`` is None without a quote, and for one that cannot be fresh.
    """

    symbol: str
    state: State
    why: str | None = None
    quote: Quote | None = None
    age_s: float | None = None
    reading: IndicatorReading | None = None

    @property
    def spread(self) -> float | None:
        """Ask less bid, in the contract's currency."""
        quote = self.quote
        if quote is None or quote.bid is None or quote.ask is None:
            return None
        return quote.ask - quote.bid

    @property
    def spread_bp(self) -> float | None:
        """The spread in basis points of the midpoint."""
        middle = self.quote.midpoint if self.quote is not None else None
        if self.spread is None or not middle:
            return None
        return self.spread / middle * BASIS_POINTS


class Board:
    """The newest of everything for a fixed list of symbols."""

    def __init__(self, symbols: tuple[str, ...], stale_after_s: float) -> None:
        self.symbols = symbols
        self._stale_after_s = stale_after_s
        self._quotes: dict[str, Quote] = {}
        self._interrupted: dict[str, str] = {}
        self._readings: dict[str, IndicatorReading] = {}

    def quoted(self, quote: Quote) -> None:
        """Take a newer quote, which ends an interruption."""
        self._quotes[quote.symbol] = quote
        self._interrupted.pop(quote.symbol, None)

    def interrupted(self, symbols: Iterable[str], reason: str) -> None:
        """Take note that quotes stand still; the last ones stay on the board."""
        self._interrupted.update(dict.fromkeys(symbols, reason))

    def resumed(self, symbols: Iterable[str]) -> None:
        """Take note that quotes go on."""
        for symbol in symbols:
            self._interrupted.pop(symbol, None)

    def read(self, readings: Mapping[str, IndicatorReading]) -> None:
        """Take newer indicators; a reading without any leaves the last ones on the board, with its reason."""
        for symbol, reading in readings.items():
            held = self._readings.get(symbol)
            if reading.indicators is None and held is not None:
                reading = attrs.evolve(held, why_not=reading.why_not)
            self._readings[symbol] = reading

    def oldest_indicators(self, most: int) -> tuple[str, ...]:
        """Name the symbols whose indicators are the oldest, those without any first."""

        def as_of(symbol: str) -> datetime:
            reading = self._readings.get(symbol)
            return reading.as_of if reading is not None and reading.as_of is not None else _NEVER

        return tuple(sorted(self.symbols, key=as_of)[:most])

    @property
    def is_complete(self) -> bool:
        """Whether there is something to say of every symbol: a quote or why not, indicators or why not."""
        return all(
            (symbol in self._quotes or symbol in self._interrupted) and symbol in self._readings
            for symbol in self.symbols
        )

    def rows(self, now: datetime, monotonic: float) -> tuple[Row, ...]:
        """One row per symbol, in the order that was asked for."""
        return tuple(self.row(symbol, now, monotonic) for symbol in self.symbols)

    def row(self, symbol: str, now: datetime, monotonic: float) -> Row:
        """The row of one symbol; ages count on the monotonic clock, and sessions on the other one."""
        quote, why = self._quotes.get(symbol), self._interrupted.get(symbol)
        age_s = math.inf if quote is None else quote_age_s(quote, monotonic)
        return Row(
            symbol=symbol,
            state=self._state(quote, why, now, age_s),
            why=why,
            quote=quote,
            age_s=age_s if math.isfinite(age_s) else None,
            reading=self._readings.get(symbol),
        )

    def _state(self, quote: Quote | None, why: str | None, now: datetime, age_s: float) -> State:
        if why is not None:
            return _interruption(why)
        if quote is None:
            return State.WAITING
        if quote.source is not DataSource.IB:
            return State.SECOND_SOURCE
        if quote.condition in _ALWAYS_TOLD:
            return _ALWAYS_TOLD[quote.condition]
        if is_session_open(quote.contract, now) is False:
            return State.CLOSED
        if quote.condition is DataCondition.NO_PRICE:
            return State.NO_PRICE
        if age_s > self._stale_after_s:
            return State.STALE
        return State.PARTIAL if quote.condition is DataCondition.PARTIAL else State.LIVE


_ALWAYS_TOLD: Final = {
    DataCondition.HALTED: State.HALTED,
    DataCondition.DELAYED: State.DELAYED,
    DataCondition.FROZEN: State.FROZEN,
}
"""What is the matter with a quote whether its market is open or not."""

_CODE: Final = re.compile(r"\(code (\d+)\)")
_INTERRUPTIONS: Final = {
    Meaning.NOT_SUBSCRIBED: State.NO_SUBSCRIPTION,
    Meaning.DELAYED: State.NO_SUBSCRIPTION,
    Meaning.COMPETING_SESSION: State.COMPETING_SESSION,
}


def _interruption(why: str) -> State:
    """Tell interruptions apart by the broker's code, which only the text has."""
    found = _CODE.search(why)
    if found is None:
        return State.INTERRUPTED
    return _INTERRUPTIONS.get(meaning(int(found[1]), RequestKind.DATA), State.INTERRUPTED)
