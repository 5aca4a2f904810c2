"""Indicators of 60 bars beside TA-Lib, and of a new bar beside talipp, which are told the same.

TA-Lib is asked for EMA 8, EMA 21, RSI 14, Bollinger bands 20; talipp, which updates bar by bar, for its VWAP, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import cycle
from random import Random
from time import perf_counter_ns

import numpy as np
import talib
from talipp.indicators import BB, EMA, RSI, VWAP
from talipp.ohlcv import OHLCV

from actors.market_data.indicator_table import IndicatorColumns, IndicatorTable, indicators_of_many
from actors.market_data.indicators import Floats, indicators, indicators_of
from actors.model.market import Bar
from tests.benchmarks.table import Row

ROUNDS = 40
CALLS = 100
MANY_ROUNDS, MANY_CALLS = 10, 50
"""Of what computes for 500 symbols; so many calls in a row that both find their data in the processor's cache."""

BARS = 60
SYMBOLS = 500
AIM = 2.0
BATCH_AIM = 0.2
NEW_BAR_AIM = 0.01
BEGAN = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


def measure() -> list[Row]:
    """Measure one symbol, a batch, and a new bar; the best round counts, since nothing but noise makes one slower."""
    bars = _bars()
    closes = np.array([bar.close for bar in bars])
    highs, lows = np.array([bar.high for bar in bars]), np.array([bar.low for bar in bars])
    volumes = np.array([bar.volume for bar in bars])
    market = _market(BARS)
    above, below = market + 0.2, market - 0.2
    one_by_one = [row.copy() for row in market]
    return [
        _row(
            "indicators of 60 bars, in columns",
            lambda: _talib(closes),
            lambda: indicators_of(highs, lows, closes, volumes),
        ),
        _row(
            "indicators of 60 bars, from Bar objects",
            lambda: _talib(np.array([bar.close for bar in bars], dtype=np.float64)),
            lambda: indicators(bars),
        ),
        _row(
            f"indicators of {SYMBOLS} x {BARS} bars, one batch",
            lambda: [_talib(row) for row in one_by_one],
            lambda: indicators_of_many(above, below, market, market),
            aim=BATCH_AIM,
            rounds=MANY_ROUNDS,
            calls=MANY_CALLS,
        ),
        _row(
            f"one new bar for {SYMBOLS} symbols",
            _Talipp(market).step,
            _Table(market).step,
            aim=NEW_BAR_AIM,
            rounds=MANY_ROUNDS,
            calls=MANY_CALLS,
            note="the floor is talipp, VWAP and all",
        ),
    ]


class _Table:
    """Ours, in the form that the market-data actor holds."""

    def __init__(self, market: Floats) -> None:
        self._table = IndicatorTable(len(market))
        self._table.put(market + 0.2, market - 0.2, market, market)
        self._coming = cycle([(row + 0.2, row - 0.2, row) for row in _coming()])

    def step(self) -> IndicatorColumns:
        """Take one bar of every symbol and compute."""
        highs, lows, closes = next(self._coming)
        self._table.append(highs, lows, closes, closes)
        return self._table.read()


class _Talipp:
    """One set of indicators per symbol, as talipp wants it."""

    def __init__(self, market: Floats) -> None:
        self._sets = []
        for row in market.tolist():
            bars = [OHLCV(price, price + 0.2, price - 0.2, price, price) for price in row]
            averages = EMA(8, row), EMA(21, row)
            self._sets.append((*averages, RSI(14, row), BB(20, 2.0, row), VWAP(bars)))
        self._coming = self._bars()

    def _bars(self) -> Iterator[list[tuple[float, OHLCV]]]:
        rows = [
            [(price, OHLCV(price, price + 0.2, price - 0.2, price, price)) for price in row]
            for row in _coming().tolist()
        ]
        return cycle(rows)

    def step(self) -> list[tuple[object, ...]]:
        """Take one bar of every symbol and look at what came of it."""
        found: list[tuple[object, ...]] = []
        for (fast, slow, rsi, bands, vwap), (price, bar) in zip(
            self._sets, next(self._coming), strict=True
        ):
            for each in (fast, slow, rsi, bands):
                each.add(price)
            vwap.add(bar)
            found.append((fast[-1], slow[-1], rsi[-1], bands[-1], vwap[-1]))
        return found


def _market(bars: int) -> Floats:
    return 600.0 + np.cumsum(np.random.default_rng(7).normal(0.0, 0.3, (SYMBOLS, bars)), axis=1)


def _coming() -> Floats:
    """Bars to come, bars x symbols."""
    return np.ascontiguousarray(_market(BARS + 50)[:, BARS:].T)


def _row(
    what: str,
    floor: Callable[[], object],
    ours: Callable[[], object],
    *,
    aim: float = AIM,
    rounds: int = ROUNDS,
    calls: int = CALLS,
    note: str = "TA-Lib computes no VWAP; ours does",
) -> Row:
    floors, taken = [], []
    for _ in range(rounds):
        floors.append(_time_us(floor, calls))
        taken.append(_time_us(ours, calls))
    return Row(
        what=what,
        unit="µs",
        floor=min(floors),
        ours=min(taken),
        aim=aim,
        note=note,
    )


def _time_us(call: Callable[[], object], calls: int) -> float:
    began = perf_counter_ns()
    for _ in range(calls):
        call()
    return (perf_counter_ns() - began) / 1e3 / calls


def _talib(closes: Floats) -> tuple[object, ...]:
    return (
        talib.EMA(closes, 8)[-1],
        talib.EMA(closes, 21)[-1],
        talib.RSI(closes, 14)[-1],
        *(band[-1] for band in talib.BBANDS(closes, 20)),
    )


def _bars() -> list[Bar]:
    random = Random(7)
    price, bars = 500.0, []
    for minute in range(BARS):
        price += random.uniform(-0.5, 0.5)
        bars.append(
            Bar(
                start=BEGAN + timedelta(minutes=minute),
                open=price,
                high=price + 0.2,
                low=price - 0.2,
                close=price,
                volume=random.randrange(1000, 5000),
            )
        )
    return bars
