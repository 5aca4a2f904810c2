"""Indicators of one-minute bars (MKT-2, MKT-3), by these definitions:

=========  ==========================================================================================================
EMA(n)     seeded with the first close, e' = e + (close − e) · 2/(n+1)
RSI(14)    100 − 100/(1 + G/L), plain means of the gains and losses of the last 14 changes; 100 without a loss
VWAP       Σ typical · volume / Σ volume over at most the last 60 bars, typical = (H+L+C)/3; last close without volume
Bollinger  mean of the last 20 closes ± 2 population standard deviations
=========  ==========================================================================================================

Units: the RSI is 0 to 100, everything else a price in the currency of the bars; volumes may have any unit. Sources: the
RSI in Cutler's form, where Wilder (New Concepts in Technical Trading Systems, 1978) smooths; the bands as by Bollinger.
TA-Lib and talipp differ where they seed the EMA with a plain mean and smooth the RSI as Wilder does.

An indicator that is NaN, infinite or out of its range is None; fewer than 21 bars raise `InsufficientDataError`. The
functions keep nothing and may be used by themselves, one symbol at a time; for many symbols, and to go on bar by bar,
there is `indicator_table`.

An EMA is linear in the closes, so it is one dot product with weights that depend on the number of bars only; they are
kept per length. That makes a whole set of indicators cost about as much as one loop over the bars.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from actors.errors import InsufficientDataError
from actors.model.market import Bar, Indicators

EMA_FAST: Final = 8
EMA_SLOW: Final = 21
RSI_CHANGES: Final = 14
BOLLINGER_BARS: Final = 20
BOLLINGER_DEVIATIONS: Final = 2.0
VWAP_BARS: Final = 60
MINIMUM_BARS: Final = 21

Floats = NDArray[np.float64]


def indicators(bars: Sequence[Bar]) -> Indicators:
    """Compute all indicators of bars in ascending order of time; raises `InsufficientDataError` below 21."""
    return indicators_of(
        np.array([bar.high for bar in bars], dtype=np.float64),
        np.array([bar.low for bar in bars], dtype=np.float64),
        np.array([bar.close for bar in bars], dtype=np.float64),
        np.array([bar.volume for bar in bars], dtype=np.float64),
    )


def indicators_of(highs: Floats, lows: Floats, closes: Floats, volumes: Floats) -> Indicators:
    """Compute all indicators of four columns of equal length (shape: bars), the newest bar last.

    Raises `InsufficientDataError` below 21 bars.
    """
    if len(closes) < MINIMUM_BARS:
        raise InsufficientDataError(
            f"indicators need at least {MINIMUM_BARS} bars (had {len(closes)}); wait for more"
        )
    fast, slow = ema_weights(len(closes)).dot(closes).tolist()
    middle, width = _bollinger(closes)
    return Indicators(
        ema_fast=_finite(fast),
        ema_slow=_finite(slow),
        rsi=rsi(closes),
        vwap=vwap(highs, lows, closes, volumes),
        bollinger_upper=_finite(middle + width),
        bollinger_middle=_finite(middle),
        bollinger_lower=_finite(middle - width),
    )


def ema(closes: Floats, periods: int) -> float | None:
    """The exponential moving average of n periods after the last close, seeded with the first one; NaN gives None."""
    return _finite(float(_weights(len(closes), periods).dot(closes)))


def rsi(closes: Floats) -> float | None:
    """The relative strength index of the last 14 changes, from plain means; 100 when there is no loss."""
    gains = losses = 0.0
    window = closes[-RSI_CHANGES - 1 :].tolist()
    for before, after in pairwise(window):
        change = after - before
        if change < 0.0:
            losses -= change
        else:
            gains += change  # NaN ends up here as well, and makes the whole NaN.
    if math.isnan(gains) or math.isinf(gains) or math.isinf(losses):
        return None
    value = 100.0 if losses == 0.0 else 100.0 - 100.0 / (1.0 + gains / losses)
    return value if 0.0 <= value <= 100.0 else None


def vwap(highs: Floats, lows: Floats, closes: Floats, volumes: Floats) -> float | None:
    """The volume-weighted average of the typical price; the last close when nothing was traded.

    A negative volume (IB's mark for "none") counts as 0.
    """
    held = len(closes[-VWAP_BARS:])
    weights = np.maximum(volumes[-held:], 0.0)
    total = float(_ones(held).dot(weights))
    if total == 0.0:
        return _finite(float(closes[-1]))
    # Three dot products are faster than adding the columns up first.
    weighted = highs[-held:].dot(weights) + lows[-held:].dot(weights) + closes[-held:].dot(weights)
    return _finite(float(weighted) / (3.0 * total))


def bollinger(closes: Floats) -> tuple[float | None, float | None, float | None]:
    """Upper, middle and lower band: the mean of the last 20 closes and 2 population standard deviations around it."""
    middle, width = _bollinger(closes)
    return _finite(middle + width), _finite(middle), _finite(middle - width)


def _bollinger(closes: Floats) -> tuple[float, float]:
    """The middle band and the distance of the outer ones from it."""
    window = closes[-BOLLINGER_BARS:].tolist()
    middle = math.fsum(window) / len(window) if math.isfinite(sum(window)) else math.nan
    # The distance from the mean is √Σ(close − mean)², so that over √n it is the population's standard deviation.
    deviation = math.dist(window, [middle] * len(window)) / math.sqrt(len(window))
    return middle, BOLLINGER_DEVIATIONS * deviation


@lru_cache(maxsize=64)
def _weights(length: int, periods: int) -> Floats:
    """The weight of each close in an EMA: k·(1−k)^age, and (1−k)^(length−1) for the seed; they sum to 1."""
    smoothing = 2.0 / (periods + 1)
    weights = (1.0 - smoothing) ** np.arange(length - 1, -1, -1, dtype=np.float64)
    weights[1:] *= smoothing
    weights.setflags(write=False)
    return weights


@lru_cache(maxsize=64)
def _ones(length: int) -> Floats:
    return np.ones(length)


@lru_cache(maxsize=64)
def ema_weights(length: int) -> Floats:
    """The weights of ``length`` closes in both EMAs, 2 × length: the fast one first."""
    weights = np.vstack((_weights(length, EMA_FAST), _weights(length, EMA_SLOW)))
    weights.setflags(write=False)
    return weights


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
