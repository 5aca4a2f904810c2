"""Indicators equal an independent calculation (pandas) with the same definitions."""

from __future__ import annotations

import csv
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from actors.errors import InsufficientDataError
from actors.market_data.indicators import bollinger, ema, indicators
from actors.model.market import Bar, Indicators

MARKET = Path(__file__).parents[4] / "shared" / "market" / "sp500_1min_2019-11.csv"
START = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
EXACT = 1e-9


def bars_of(closes: list[float], volume: float = 100.0) -> list[Bar]:
    return [
        Bar(
            start=START + timedelta(minutes=number),
            open=close,
            high=close + 0.5,
            low=close - 0.25,
            close=close,
            volume=volume + number if volume else 0.0,
        )
        for number, close in enumerate(closes)
    ]


def random_bars(seed: int, length: int) -> list[Bar]:
    steps = np.random.default_rng(seed).normal(0.0, 0.3, length)
    return bars_of((600.0 + np.cumsum(steps)).tolist())


def by_pandas(bars: list[Bar]) -> dict[str, float]:
    frame = pd.DataFrame(
        {name: [getattr(bar, name) for bar in bars] for name in ("high", "low", "close", "volume")}
    )
    close = frame["close"]
    change = close.diff().tail(14)
    gain, loss = change.clip(lower=0).mean(), (-change.clip(upper=0)).mean()
    held = frame.tail(60)
    typical = (held["high"] + held["low"] + held["close"]) / 3
    volume = held["volume"].sum()
    middle, width = close.tail(20).mean(), 2 * close.tail(20).std(ddof=0)
    return {
        "ema_fast": float(close.ewm(span=8, adjust=False).mean().iloc[-1]),
        "ema_slow": float(close.ewm(span=21, adjust=False).mean().iloc[-1]),
        "rsi": 100.0 if loss == 0 else float(100 - 100 / (1 + gain / loss)),
        "vwap": (
            float((typical * held["volume"]).sum() / volume) if volume else float(close.iloc[-1])
        ),
        "bollinger_upper": float(middle + width),
        "bollinger_middle": float(middle),
        "bollinger_lower": float(middle - width),
    }


def assert_equal(expected: dict[str, float], actual: Indicators) -> None:
    for name, value in expected.items():
        assert value == pytest.approx(getattr(actual, name), abs=EXACT, rel=0), name


@pytest.mark.req("MKT-2")
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("length", [21, 22, 59, 60, 61, 200])
def test_indicators_equal_those_of_pandas(seed: int, length: int) -> None:
    bars = random_bars(seed, length)

    assert_equal(by_pandas(bars), indicators(bars))


@pytest.mark.req("MKT-2")
def test_indicators_of_real_bars_equal_those_of_pandas() -> None:
    if not MARKET.exists():
        pytest.skip(f"the market data is not there: {MARKET}")
    with MARKET.open(newline="") as file:
        rows = list(csv.DictReader(file))
    bars = [
        Bar(
            start=START + timedelta(minutes=number),
            open=float(row["Open"]),
            high=float(row["High"]),
            low=float(row["Low"]),
            close=float(row["Close"]),
            volume=float(row["Volume"]),
        )
        for number, row in enumerate(rows)
    ]

    for end in range(60, len(bars), 37):
        window = bars[end - 60 : end]
        assert_equal(by_pandas(window), indicators(window))


@pytest.mark.req("MKT-2")
def test_a_small_case_is_right_by_hand() -> None:
    assert ema(np.array([1.0, 2.0, 3.0]), 3) == 2.25
    assert bollinger(np.array([1.0, 3.0] * 10)) == (4.0, 2.0, 0.0)


@pytest.mark.req("MKT-2")
@pytest.mark.parametrize(("step", "expected"), [(1.0, 100.0), (0.0, 100.0), (-1.0, 0.0)])
def test_the_rsi_of_a_one_sided_market(step: float, expected: float) -> None:
    closes = [600.0 + step * number for number in range(30)]

    assert expected == indicators(bars_of(closes)).rsi


@pytest.mark.req("MKT-2")
def test_the_vwap_without_volume_is_the_last_close() -> None:
    closes = [600.0 + number for number in range(30)]

    assert closes[-1] == indicators(bars_of(closes, volume=0.0)).vwap


@pytest.mark.req("MKT-3")
@pytest.mark.parametrize("length", [0, 1, 20])
def test_too_few_bars_are_refused(length: int) -> None:
    with pytest.raises(InsufficientDataError, match="21"):
        indicators(random_bars(1, length))


@pytest.mark.req("MKT-3")
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_none(bad: float) -> None:
    bars = bars_of([600.0] * 29 + [bad])

    found = indicators(bars)

    assert found == Indicators(
        ema_fast=None,
        ema_slow=None,
        rsi=None,
        vwap=None,
        bollinger_upper=None,
        bollinger_middle=None,
        bollinger_lower=None,
    )


@pytest.mark.req("MKT-3")
def test_an_old_nan_spoils_only_what_reaches_back_to_it() -> None:
    found = indicators(bars_of([math.nan] + [600.0 + n for n in range(30)]))

    assert found.ema_fast is None
    assert found.rsi == 100.0
    assert found.bollinger_middle is not None
