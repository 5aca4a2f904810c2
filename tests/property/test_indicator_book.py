"""The book tells the indicators of the bars that were read last, however they follow on those before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.errors import InsufficientDataError
from actors.market_data.indicator_book import IndicatorBook, Step, step_between
from actors.market_data.indicators import indicators
from actors.model.market import Bar, Indicators

EXACT = 1e-9
LEAST, WINDOW = 21, 60
MINUTE = timedelta(minutes=1)
BEGAN = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
NAMES = tuple(field.name for field in attrs.fields(Indicators))


class Market:
    """One symbol's bars as a broker tells them: they grow, the newest one forms, and others are corrected at times."""

    def __init__(self, random: Random, bars: int) -> None:
        self._random = random
        self._price = random.choice((0.5, 600.0, 70_000.0))
        self._flat = random.random() < 0.2
        self.bars: list[Bar] = []
        for _ in range(bars):
            self.grow()

    def grow(self, minutes: int = 1) -> None:
        """Let the forming bar close, and another one begin after some minutes."""
        start = self.bars[-1].start + MINUTE * minutes if self.bars else BEGAN
        if self.bars:
            self.bars[-1] = attrs.evolve(self.bars[-1], is_forming=False)
        self.bars.append(self._bar(start))

    def form(self, at: int = -1) -> None:
        """Change a bar: the forming one by default."""
        changed = self._bar(self.bars[at].start)
        self.bars[at] = attrs.evolve(changed, is_forming=self.bars[at].is_forming)

    def _bar(self, start: datetime) -> Bar:
        if not self._flat:
            self._price *= 1.0 + self._random.uniform(-1e-3, 1e-3)
        return Bar(
            start=start,
            open=self._price,
            high=self._price * 1.001,
            low=self._price * 0.999,
            close=self._price,
            volume=self._random.choice((0.0, 100.0, 9e6)),
            is_forming=True,
        )

    def read(self) -> tuple[Bar, ...]:
        """What a request of history answers."""
        return tuple(self.bars[-WINDOW:])

    def live(self) -> None:
        """Let some time pass."""
        happens = self._random.random()
        if happens < 0.5:
            self.grow()
        elif happens < 0.7:
            self.form()
            self.grow()
        elif happens < 0.8:
            self.form()
        elif happens < 0.85:
            self.form(self._random.randrange(-min(30, len(self.bars)), 0))
        elif happens < 0.9:
            self.grow(minutes=self._random.randint(2, 900))
        else:
            for _ in range(self._random.randint(2, 70)):
                self.grow()


def assert_close(expected: Indicators, actual: Indicators, scale: float) -> None:
    for name in NAMES:
        tolerance = EXACT if name == "rsi" else EXACT * max(1.0, scale)
        assert getattr(actual, name) == pytest.approx(
            getattr(expected, name), abs=tolerance, rel=0
        ), name


@pytest.mark.req("MKT-2", "MKT-3")
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1_000_000), symbols=st.integers(1, 40), rounds=st.integers(1, 60))
def test_the_book_tells_what_the_bars_of_the_last_read_say(
    seed: int, symbols: int, rounds: int
) -> None:
    random = Random(seed)
    markets = [Market(random, random.randint(1, 70)) for _ in range(symbols)]
    book = IndicatorBook(most=symbols)
    for _ in range(rounds):
        for key in random.sample(range(symbols), random.randint(1, symbols)):
            markets[key].live()
            book.take(key, markets[key].read())
            if random.random() < 0.1:
                book.take(key, markets[key].read())

    for key, market in enumerate(markets):
        bars = market.read()
        if len(bars) < LEAST:
            with pytest.raises(InsufficientDataError, match=f"had {len(bars)}"):
                book.indicators(key, bars)
        else:
            assert_close(indicators(bars), book.indicators(key, bars), bars[-1].high)


@pytest.mark.req("MKT-2")
def test_a_read_that_goes_on_by_a_bar_is_a_step() -> None:
    market = Market(Random(3), WINDOW)
    held = market.read()
    market.form()
    market.grow()
    read = market.read()

    assert step_between(held, read) == Step(revised=read[-2], added=read[-1])


@pytest.mark.req("MKT-2")
def test_a_newest_bar_that_changed_is_a_step_without_another_one() -> None:
    market = Market(Random(3), 30)
    held = market.read()
    market.form()
    read = market.read()

    assert step_between(held, read) == Step(revised=read[-1], added=None)


@pytest.mark.req("MKT-2")
@pytest.mark.parametrize("happened", ["an older bar was corrected", "two bars came", "all is new"])
def test_anything_else_is_another_history(happened: str) -> None:
    market = Market(Random(3), 30)
    held = market.read()
    if happened == "an older bar was corrected":
        market.form(-5)
    elif happened == "two bars came":
        market.grow()
    else:
        market.grow(minutes=1000)
        held = held[:-5]
    market.grow()

    assert step_between(held, market.read()) is None


def test_of_too_many_keys_the_oldest_are_forgotten() -> None:
    random = Random(5)
    markets = [Market(random, 40) for _ in range(50)]
    book = IndicatorBook(most=20)
    for key, market in enumerate(markets):
        book.take(key, market.read())

    assert len(book) == 20
    for key in (0, 25, 49):
        bars = markets[key].read()
        assert_close(indicators(bars), book.indicators(key, bars), bars[-1].high)
    assert len(book) == 20


@pytest.mark.req("MKT-3")
def test_no_bar_at_all_is_too_few() -> None:
    with pytest.raises(InsufficientDataError, match="had 0"):
        IndicatorBook(most=1).indicators("SPY", ())
