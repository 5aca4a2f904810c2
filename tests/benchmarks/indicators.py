"""Indicators of 60 bars beside TA-Lib, which is told the same: EMA 8, EMA 21, RSI 14, Bollinger bands 20."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from time import perf_counter_ns

import numpy as np
import talib

from actors.logic.indicators import Floats, indicators, indicators_of
from actors.model.market import Bar
from tests.benchmarks.table import Row

ROUNDS = 40
CALLS = 100
BARS = 60
AIM = 2.0
BEGAN = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


def measure() -> list[Row]:
    """Measure from columns and from bars; the best round counts, since nothing but noise makes one slower."""
    bars = _bars()
    closes = np.array([bar.close for bar in bars])
    highs, lows = np.array([bar.high for bar in bars]), np.array([bar.low for bar in bars])
    volumes = np.array([bar.volume for bar in bars])
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
    ]


def _row(what: str, floor: Callable[[], object], ours: Callable[[], object]) -> Row:
    floors, taken = [], []
    for _ in range(ROUNDS):
        floors.append(_time_us(floor))
        taken.append(_time_us(ours))
    return Row(
        what=what,
        unit="µs",
        floor=min(floors),
        ours=min(taken),
        aim=AIM,
        note="TA-Lib computes no VWAP; ours does",
    )


def _time_us(call: Callable[[], object]) -> float:
    began = perf_counter_ns()
    for _ in range(CALLS):
        call()
    return (perf_counter_ns() - began) / 1e3 / CALLS


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
