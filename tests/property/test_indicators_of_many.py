"""However indicators are computed they are the same: of one symbol, in a batch, bar by bar, and by the definitions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.errors import InsufficientDataError
from actors.market_data.indicator_table import IndicatorColumns, IndicatorTable, indicators_of_many
from actors.market_data.indicators import indicators
from actors.model.market import Bar, Indicators
from tests.walk.independent import independent_indicators

EXACT = 1e-9
LEAST, WINDOW = 21, 60
BEGAN = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
NAMES = (
    "ema_fast",
    "ema_slow",
    "rsi",
    "vwap",
    "bollinger_upper",
    "bollinger_middle",
    "bollinger_lower",
)

Change = Callable[[IndicatorTable, list[list[Bar]]], None]


@st.composite
def markets(draw: st.DrawFn, least: int = 1, most: int = 80) -> list[Bar]:
    """Bars of one symbol: walking, constant, jumping or tiny prices, and minutes without volume."""
    scale = draw(st.sampled_from([1e-4, 1.0, 600.0, 1e6]))
    unit = draw(st.sampled_from([0.0, 1e-6, 1e-3, 0.5]))
    count = draw(st.integers(least, most))
    ticks = st.lists(st.integers(-10, 10), min_size=count, max_size=count)
    volumes = st.lists(
        st.sampled_from([0.0, -1.0, 1.0, 100.0, 12345.0, 3e7]), min_size=count, max_size=count
    )
    closes = scale * (1.0 + unit * np.abs(np.cumsum(draw(ticks))))
    jump = draw(st.sampled_from([1.0, 1.0, 20.0]))
    closes[draw(st.integers(0, count)) :] *= jump
    return [
        _bar(close, scale * unit, volume)
        for close, volume in zip(closes.tolist(), draw(volumes), strict=True)
    ]


def _bar(close: float, spread: float, volume: float) -> Bar:
    return Bar(
        start=BEGAN,
        open=close,
        high=close + spread,
        low=close - spread / 2,
        close=close,
        volume=volume,
    )


def by_definition(bars: Sequence[Bar]) -> dict[str, float]:
    """Compute what MKT-2 defines over the last 60 bars, in exact fractions."""
    bars = bars[-WINDOW:]
    closes = [Fraction(bar.close) for bar in bars]
    changes = [after - before for before, after in zip(closes[-15:], closes[-14:], strict=False)]
    gains = sum((change for change in changes if change > 0), Fraction())
    losses = -sum((change for change in changes if change < 0), Fraction())
    traded = [
        ((Fraction(bar.high) + Fraction(bar.low) + Fraction(bar.close)) / 3, Fraction(bar.volume))
        for bar in bars
        if bar.volume > 0
    ]
    volume = sum((weight for _, weight in traded), Fraction())
    flow = sum((typical * weight for typical, weight in traded), Fraction())
    recent = closes[-20:]
    middle = sum(recent, Fraction()) / len(recent)
    variance = sum(((close - middle) ** 2 for close in recent), Fraction()) / len(recent)
    width = 2 * math.sqrt(variance)
    return {
        "ema_fast": _ema(closes, 8),
        "ema_slow": _ema(closes, 21),
        "rsi": 100.0 if losses == 0 else float(100 - 100 / (1 + gains / losses)),
        "vwap": float(flow / volume if volume else closes[-1]),
        "bollinger_upper": float(middle) + width,
        "bollinger_middle": float(middle),
        "bollinger_lower": float(middle) - width,
    }


def _ema(closes: Sequence[Fraction], periods: int) -> float:
    found, smoothing = closes[0], Fraction(2, periods + 1)
    for close in closes[1:]:
        found += smoothing * (close - found)
    return float(found)


def assert_defined(bars: Sequence[Bar], found: Indicators) -> None:
    """Compare with the definition, to 1e-9 of the largest price that counts."""
    scale = max(1.0, *(bar.high for bar in bars[-WINDOW:]))
    for name, expected in by_definition(bars).items():
        tolerance = EXACT if name == "rsi" else EXACT * scale
        assert getattr(found, name) == pytest.approx(expected, abs=tolerance, rel=0), name


def assert_all_defined(histories: Sequence[Sequence[Bar]], found: IndicatorColumns) -> None:
    for row, bars in enumerate(histories):
        if len(bars) >= LEAST:
            assert_defined(bars, found.of(row))
        else:
            assert np.isnan(found.values[:, row]).all()
            with pytest.raises(InsufficientDataError, match=f"had {len(bars)}"):
                found.of(row)


def columns(histories: Sequence[Sequence[Bar]]) -> tuple[Any, ...]:
    """Highs, lows, closes, volumes of histories that end together, and their lengths; before them stands nonsense."""
    width = max(map(len, histories))
    parts = np.full((4, len(histories), width), math.nan)
    for row, bars in enumerate(histories):
        parts[:, row, width - len(bars) :] = bar_columns(bars)
    return (*parts, [len(bars) for bars in histories])


def bar_columns(bars: Sequence[Bar]) -> Any:
    return np.array([(bar.high, bar.low, bar.close, bar.volume) for bar in bars]).T


@pytest.mark.req("MKT-2", "MKT-3")
@settings(max_examples=40, deadline=None)
@given(bars=markets(least=LEAST, most=WINDOW))
def test_indicators_of_one_symbol_are_those_of_the_definition(bars: list[Bar]) -> None:
    assert_defined(bars, indicators(bars))


@pytest.mark.req("MKT-2", "MKT-3")
@settings(max_examples=40, deadline=None)
@given(histories=st.lists(markets(), min_size=1, max_size=6))
def test_a_batch_of_differing_histories_is_that_of_the_definition(
    histories: list[list[Bar]],
) -> None:
    assert_all_defined(histories, indicators_of_many(*columns(histories)))


@pytest.mark.req("MKT-2")
@settings(max_examples=40, deadline=None)
@given(
    histories=st.lists(markets(most=70), min_size=1, max_size=5),
    coming=markets(least=130, most=130),
    seed=st.integers(0, 1_000_000),
)
def test_bar_by_bar_is_that_of_the_definition(
    histories: list[list[Bar]], coming: list[Bar], seed: int
) -> None:
    """Bars come for some symbols or all, and the newest ones are corrected, over more than two windows."""
    random = Random(seed)
    held = [list(bars) for bars in histories]
    table = IndicatorTable(len(held))
    table.put(*columns(held))
    for bar in coming:
        rows = sorted(random.sample(range(len(held)), random.randint(1, len(held))))
        numbers = np.array(rows)
        corrects = random.random() < 0.2 and all(len(held[row]) > 1 for row in rows)
        chosen = None if len(rows) == len(held) and random.random() < 0.5 else numbers
        high, low, close, volume = (
            np.full(len(numbers), value) for value in bar_columns([bar])[:, 0]
        )
        (table.revise if corrects else table.append)(high, low, close, volume, rows=chosen)
        for row in rows:
            held[row] = [*held[row][:-1], bar] if corrects else [*held[row], bar]

    assert_all_defined(held, table.read())


@pytest.mark.req("MKT-2")
@settings(max_examples=10, deadline=None)
@given(bars=markets(least=200, most=200), bad=st.sampled_from([math.nan, math.inf, -math.inf]))
def test_what_is_not_finite_spoils_nothing_once_it_left_the_window(
    bars: list[Bar], bad: float
) -> None:
    table = IndicatorTable(1)
    table.put(*columns([bars[:WINDOW]]))
    broken = [*bars[:70], _bar(bad, 0.0, 100.0), *bars[71:]]
    for number, bar in enumerate(broken[WINDOW:], start=WINDOW):
        table.append(*bar_columns([bar]))
        found = table.read().of(0)
        reaches_back = number - 70
        if 0 <= reaches_back < WINDOW:
            assert found.ema_fast is None
            assert found.ema_slow is None
            assert (found.rsi is None) == (reaches_back <= 14)
            assert (found.bollinger_middle is None) == (reaches_back < 20)
        else:
            assert_defined(broken[: number + 1], found)


@pytest.mark.req("MKT-2")
def test_a_day_of_bars_adds_up_no_error() -> None:
    """A window of huge prices and volumes leaves no trace in the small ones that follow."""
    random = np.random.default_rng(11)
    closes = np.concatenate((1e9 + random.normal(0, 1e6, 150), 1e-3 + random.normal(0, 1e-6, 240)))
    bars = [_bar(close, close / 1e4, 1e9 if close > 1 else 1.0) for close in closes.tolist()]
    table = IndicatorTable(1)
    table.put(*columns([bars[:WINDOW]]))
    for bar in bars[WINDOW:]:
        table.append(*bar_columns([bar]))

    found = table.read().of(0)

    for name, expected in by_definition(bars).items():
        assert getattr(found, name) == pytest.approx(expected, rel=EXACT), name


@pytest.mark.req("MKT-2")
def test_five_hundred_symbols_are_those_of_pandas() -> None:
    random = np.random.default_rng(3)
    histories = []
    for row in range(500):
        walk = 100.0 + row + np.cumsum(random.normal(0.0, 0.2, LEAST + row % 40))
        histories.append([_bar(close, 0.3, float(random.integers(0, 9000))) for close in walk])

    found = indicators_of_many(*columns(histories))

    for row, bars in enumerate(histories):
        expected, one = independent_indicators(bars), found.of(row)
        for name in NAMES:
            assert getattr(one, name) == pytest.approx(expected[name], abs=EXACT, rel=0), name


@pytest.mark.req("MKT-2")
@pytest.mark.parametrize("periods", [8, 21])
def test_the_library_of_another_hand_has_the_same_averages(periods: int) -> None:
    """pandas' ewm is written in C by others, with the same seed and multiplier."""
    closes = 600.0 + np.cumsum(np.random.default_rng(5).normal(0.0, 0.3, (40, WINDOW)), axis=1)
    found = indicators_of_many(closes, closes, closes, np.ones_like(closes))

    expected = pd.DataFrame(closes.T).ewm(span=periods, adjust=False).mean().iloc[-1].to_numpy()

    assert np.abs(found.values[0 if periods == 8 else 1] - expected).max() <= EXACT


def test_rows_that_are_added_disturb_no_others() -> None:
    first = [_bar(600.0 + number, 0.2, 10.0) for number in range(40)]
    second = [_bar(50.0 - number / 9, 0.2, 10.0) for number in range(30)]
    table = IndicatorTable(1)
    table.put(*columns([first]))
    table.append(*bar_columns(first[-1:]))
    table.grow(1)
    highs, lows, closes, volumes, lengths = columns([second])
    table.put(highs, lows, closes, volumes, lengths, rows=np.array([1]))

    assert_all_defined([[*first, first[-1]], second], table.read())


@pytest.mark.parametrize(
    ("lengths", "says"),
    [([0], "lengths must be 1 to 30"), ([31], "lengths must be 1 to 30"), ([5, 5], "one per")],
)
def test_lengths_that_cannot_be_are_refused(lengths: list[int], says: str) -> None:
    closes = np.ones((1, 30))

    with pytest.raises(ValueError, match=says):
        indicators_of_many(closes, closes, closes, closes, lengths)


def test_arrays_of_different_shapes_are_refused() -> None:
    closes = np.ones((2, 30))

    with pytest.raises(ValueError, match="symbols x bars alike"):
        indicators_of_many(closes, closes, closes, closes[:, 1:])
    with pytest.raises(ValueError, match="at least one bar"):
        indicators_of_many(*(closes[:, :0],) * 4)
    with pytest.raises(ValueError, match="one history per row"):
        IndicatorTable(3).put(closes, closes, closes, closes)


def test_the_only_bar_of_a_row_is_not_revised() -> None:
    one = np.ones((1, 1))
    table = IndicatorTable(1)
    table.put(one, one, one, one)

    with pytest.raises(ValueError, match="only bar"):
        table.revise(one[0], one[0], one[0], one[0])


def test_nothing_is_a_batch_too() -> None:
    empty = np.ones((0, 30))

    assert indicators_of_many(empty, empty, empty, empty).values.shape == (len(NAMES), 0)


@pytest.mark.req("MKT-2")
def test_duplicates_and_gaps_in_time_are_no_concern_of_the_formulas() -> None:
    """They count bars; which bars there are is decided where they are read."""
    bars = [_bar(600.0 + number % 7, 0.2, 10.0) for number in range(30)]
    late = [
        Bar(
            start=BEGAN + timedelta(hours=number),
            open=bar.open,
            high=bar.high,
            low=bar.low,
            close=bar.close,
            volume=bar.volume,
        )
        for number, bar in enumerate(bars)
    ]

    assert indicators(bars) == indicators(late)
