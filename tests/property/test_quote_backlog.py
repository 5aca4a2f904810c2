"""The backlog of a reader of quotes, against a model that forgets nothing (MKT-7)."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from actors.messages.market_data import QuotesInterrupted, QuotesResumed
from actors.model.contracts import Contract, SecurityType
from actors.model.market import Quote
from supervision.facade.quote_backlog import QuoteBacklog

SYMBOLS = ("AAPL", "QQQ", "SPY")
MOST_PER_SYMBOL = 3
"""A quote, an interruption, a resumption."""

symbols = st.sampled_from(SYMBOLS)
some_symbols = st.lists(symbols, min_size=1, unique=True).map(tuple)


def _quote(symbol: str, number: int) -> Quote:
    contract = Contract(
        con_id=SYMBOLS.index(symbol) + 1, symbol=symbol, security_type=SecurityType.STOCK
    )
    return Quote(contract=contract, received_at=datetime(2025, 1, 2, tzinfo=UTC), bid=float(number))


@attrs.frozen
class Put:
    """One thing that was put about one symbol; ``what`` is quote, interrupted or resumed."""

    number: int
    what: str


class Backlog(RuleBasedStateMachine):
    """Puts and reads in any order; the model keeps everything that was ever put and read, by symbol."""

    def __init__(self) -> None:
        super().__init__()
        self.backlog = QuoteBacklog()
        self.put: dict[str, list[Put]] = {symbol: [] for symbol in SYMBOLS}
        self.read: dict[str, list[Put]] = {symbol: [] for symbol in SYMBOLS}
        self.line: list[str] = []
        """The symbols whose quote waits unread, the longest first."""
        self.count = 0

    def _put(self, symbol: str, what: str) -> None:
        self.count += 1
        self.put[symbol].append(Put(self.count, what))

    @rule(symbol=symbols)
    def quote(self, symbol: str) -> None:
        announced = self._unread(symbol, "interrupted", "resumed")
        self._put(symbol, "quote")
        self.backlog.put(_quote(symbol, self.count))
        if symbol in self.line and announced:
            self.line.remove(symbol)
        if symbol not in self.line:
            self.line.append(symbol)

    @rule(several=some_symbols, reason=st.sampled_from(["lost", "refused"]))
    def interrupt(self, several: tuple[str, ...], reason: str) -> None:
        for symbol in several:
            self._put(symbol, "interrupted")
        self.backlog.interrupted(several, reason)

    @rule(several=some_symbols)
    def resume(self, several: tuple[str, ...]) -> None:
        for symbol in several:
            self._put(symbol, "resumed")
        self.backlog.resumed(several)

    @precondition(lambda self: len(self.backlog) > 0)
    @rule()
    def take(self) -> None:
        self._take()

    def _take(self) -> None:
        event = self.backlog.take()
        if isinstance(event, Quote):
            assert event.symbol == self.line.pop(0), "a symbol keeps its place in line"
            assert event.bid == self._newest(event.symbol, "quote").number, "nothing but the newest"
            self._read(event.symbol, "quote")
            return
        assert isinstance(event, QuotesInterrupted | QuotesResumed)
        what = "interrupted" if isinstance(event, QuotesInterrupted) else "resumed"
        for symbol in event.symbols:
            self._read(symbol, what)

    def _read(self, symbol: str, what: str) -> None:
        assert self._unread(symbol, what), f"{symbol}: {what} was read before, or never put"
        self.read[symbol].append(self._newest(symbol, what))

    def _newest(self, symbol: str, what: str) -> Put:
        return [each for each in self.put[symbol] if each.what == what][-1]

    def _unread(self, symbol: str, *whats: str) -> bool:
        """Whether something of these kinds was put since the last one that was read, and not taken back."""
        seen = self.read[symbol]
        for what in whats:
            put = [each.number for each in self.put[symbol] if each.what == what]
            done = [each.number for each in seen if each.what == what]
            if what == "resumed":  # an interruption after it takes its place
                cut = [each.number for each in self.put[symbol] if each.what == "interrupted"]
                put = [number for number in put if not cut or number > cut[-1]]
            if put and (not done or put[-1] > done[-1]):
                return True
        return False

    @invariant()
    def what_waits_is_bounded_by_the_symbols(self) -> None:
        assert len(self.backlog) <= MOST_PER_SYMBOL * len(SYMBOLS)

    @invariant()
    def what_is_read_of_a_symbol_is_in_order(self) -> None:
        for each in self.read.values():
            assert all(before.number < after.number for before, after in pairwise(each))

    def teardown(self) -> None:
        """Whoever reads to the end knows the newest quote, where the feed stands, and of every gap that is over."""
        while len(self.backlog):
            self._take()
        for symbol in SYMBOLS:
            for kinds in (("quote",), ("interrupted", "resumed")):
                put = [each for each in self.put[symbol] if each.what in kinds]
                read = [each for each in self.read[symbol] if each.what in kinds]
                assert put[-1:] == read[-1:]
            self._every_gap_at_the_end_was_told(symbol)

    def _every_gap_at_the_end_was_told(self, symbol: str) -> None:
        cuts = [each for each in self.put[symbol] if each.what == "interrupted"]
        if cuts:
            assert cuts[-1] in self.read[symbol]


@pytest.mark.req("MKT-7")
def test_a_reader_of_any_speed_gets_the_newest_in_order_and_what_waits_is_bounded() -> None:
    run_state_machine_as_test(
        Backlog, settings=settings(max_examples=150, stateful_step_count=40, deadline=None)
    )
