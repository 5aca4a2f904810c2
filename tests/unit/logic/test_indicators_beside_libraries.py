"""Indicators equal those of TA-Lib and talipp, asked in the way in which their definitions are ours.

=========  ========================================================================================================
EMA        both seed with the plain mean of n closes: led in by n − 1 copies of the first close, that mean is this close
RSI        both smooth, but begin with plain means: so they are given the last 14 changes and no more
VWAP       talipp's is of all bars that it was given
Bollinger  both have the population's standard deviation
=========  ========================================================================================================
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from actors.market_data.indicator_table import IndicatorColumns, IndicatorTable, indicators_of_many

talib = pytest.importorskip("talib", reason="the benchmark extra is not installed")
talipp = pytest.importorskip("talipp.indicators", reason="the benchmark extra is not installed")

EXACT = 1e-9
SYMBOLS, BARS = 40, 60
CLOSES_OF_RSI = 15


def market(seed: int) -> tuple[Any, ...]:
    """Highs, lows, closes and volumes of many symbols."""
    random = np.random.default_rng(seed)
    closes = 600.0 + np.cumsum(random.normal(0.0, 0.4, (SYMBOLS, BARS)), axis=1)
    spread = random.uniform(0.0, 0.5, (2, SYMBOLS, BARS))
    volumes = random.integers(0, 50_000, (SYMBOLS, BARS)).astype(float)
    return closes + spread[0], closes - spread[1], closes, volumes


def in_a_batch(parts: tuple[Any, ...]) -> IndicatorColumns:
    return indicators_of_many(*parts)


def bar_by_bar(parts: tuple[Any, ...]) -> IndicatorColumns:
    """The same after other bars, which have left the window."""
    table = IndicatorTable(SYMBOLS)
    table.put(*market(seed=99))
    for bar in range(BARS):
        table.append(*(part[:, bar] for part in parts))
    return table.read()


WAYS = pytest.mark.parametrize("computed", [in_a_batch, bar_by_bar])


@pytest.mark.req("MKT-2")
@WAYS
@pytest.mark.parametrize(("name", "periods"), [("ema_fast", 8), ("ema_slow", 21)])
def test_averages_are_those_of_ta_lib_and_talipp(computed: Any, name: str, periods: int) -> None:
    parts = market(seed=1)

    found = computed(parts)

    for row, closes in enumerate(parts[2]):
        led_in = np.concatenate((np.full(periods - 1, closes[0]), closes))
        actual = getattr(found.of(row), name)
        assert actual == pytest.approx(talib.EMA(led_in, periods)[-1], abs=EXACT, rel=0)
        assert actual == pytest.approx(talipp.EMA(periods, led_in.tolist())[-1], abs=EXACT, rel=0)


@pytest.mark.req("MKT-2")
@WAYS
def test_rsi_is_that_of_ta_lib_and_talipp(computed: Any) -> None:
    parts = market(seed=2)

    found = computed(parts)

    for row, closes in enumerate(parts[2]):
        recent = closes[-CLOSES_OF_RSI:].copy()
        assert found.of(row).rsi == pytest.approx(talib.RSI(recent, 14)[-1], abs=EXACT, rel=0)
        assert found.of(row).rsi == pytest.approx(
            talipp.RSI(14, recent.tolist())[-1], abs=EXACT, rel=0
        )


@pytest.mark.req("MKT-2")
@WAYS
def test_bands_are_those_of_ta_lib_and_talipp(computed: Any) -> None:
    parts = market(seed=3)

    found = computed(parts)

    for row, closes in enumerate(parts[2]):
        one = found.of(row)
        bands = (one.bollinger_upper, one.bollinger_middle, one.bollinger_lower)
        by_talipp = talipp.BB(20, 2.0, closes.tolist())[-1]
        assert bands == pytest.approx((by_talipp.ub, by_talipp.cb, by_talipp.lb), abs=EXACT, rel=0)
        by_talib = tuple(band[-1] for band in talib.BBANDS(closes.copy(), 20, 2.0, 2.0))
        # TA-Lib takes the difference of two large sums, which costs it three digits.
        assert bands == pytest.approx(by_talib, abs=1e3 * EXACT, rel=0)


@pytest.mark.req("MKT-2")
@WAYS
def test_vwap_is_that_of_talipp(computed: Any) -> None:
    from talipp.ohlcv import OHLCV

    parts = market(seed=4)

    found = computed(parts)

    for row in range(SYMBOLS):
        highs, lows, closes, volumes = (part[row].tolist() for part in parts)
        bars = [
            OHLCV(close, high, low, close, volume)
            for high, low, close, volume in zip(highs, lows, closes, volumes, strict=True)
        ]
        assert found.of(row).vwap == pytest.approx(talipp.VWAP(bars)[-1], abs=EXACT, rel=0)
