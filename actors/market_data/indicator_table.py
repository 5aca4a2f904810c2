"""Indicators of many symbols at once, kept up to date bar by bar: the definitions of `indicators`, a column per symbol.

=========  ======================================================================================================
EMA(n)     e' = (1−k)·e + k·close + (1−k)⁶⁰·(new seed − old seed), k = 2/(n+1): one step, and the window moved on
RSI(14)    sums of the last 14 gains and losses
VWAP       what is left of the sums of earlier bars + the sums of the bars since; never a difference of two sums
Bollinger  mean and deviation of the last 20 closes
=========  ======================================================================================================

No error adds up over a day: sums are only ever added to, and begin anew with every 60 bars; the error of an EMA shrinks
by (1−k) with each bar. A history of fewer than 60 bars is led in by its first close at volume 0, which changes none of
the indicators. Prices may be up to 1e150; the squares of larger ones overflow, and the Bollinger bands are missing.
"""

from __future__ import annotations

from math import isfinite, isnan
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from actors.errors import InsufficientDataError
from actors.market_data.indicators import (
    BOLLINGER_BARS,
    BOLLINGER_DEVIATIONS,
    EMA_FAST,
    EMA_SLOW,
    MINIMUM_BARS,
    RSI_CHANGES,
    VWAP_BARS,
    Floats,
    ema_weights,
)
from actors.model.market import Indicators

WINDOW: Final = VWAP_BARS
"""So many bars of a symbol count; none is asked for more (MKT-6)."""

NAMES: Final = tuple(field.name for field in attrs.fields(Indicators))
"""The rows of `IndicatorColumns.values`."""

_SMOOTHING: Final = np.array([[2.0 / (EMA_FAST + 1)], [2.0 / (EMA_SLOW + 1)]])
_KEPT: Final = 1.0 - _SMOOTHING
_SEED: Final = _KEPT**WINDOW
_PLANES: Final = 5
_WIDTH: Final = BOLLINGER_DEVIATIONS**2 / BOLLINGER_BARS
_CLOSE, _FLOW, _VOLUME, _GAIN, _LOSS = range(_PLANES)
"""What is kept of a bar: close, typical·volume, volume, and what the close gained or lost."""

_SIGNS: Final = np.array([[1.0], [-1.0]])
_TRADED: Final = slice(_FLOW, _VOLUME + 1)
_ALL: Final = slice(None)
_MIDDLE: Final = WINDOW
"""Of the buffer; see `IndicatorTable`."""

Rows = NDArray[np.intp]


@attrs.frozen(eq=False)
class IndicatorColumns:
    """Indicators of many symbols: ``values`` is 7 × symbols in the order of `NAMES`, NaN where there is none.

    ``bars`` says how many bars each symbol has; below 21 all its indicators are NaN.
    """

    values: Floats
    bars: NDArray[np.int64]

    def of(self, row: int) -> Indicators:
        """The indicators of one symbol; raises `InsufficientDataError` below 21 bars (MKT-3)."""
        if self.bars[row] < MINIMUM_BARS:
            raise InsufficientDataError(
                f"indicators need at least {MINIMUM_BARS} bars (had {self.bars[row]}); wait for more"
            )
        found = zip(NAMES, self.values[:, row].tolist(), strict=True)
        return Indicators(**{name: None if isnan(value) else value for name, value in found})


def indicators_of_many(
    highs: Floats,
    lows: Floats,
    closes: Floats,
    volumes: Floats,
    lengths: ArrayLike | None = None,
) -> IndicatorColumns:
    """Compute the indicators of many symbols in one batch.

    The arrays are symbols × bars, ascending in time with the newest bar last; of more than 60 bars the last 60 count.
    ``lengths`` says how many bars each symbol really has, which then stand at the end of its row; what stands before
    them is ignored. Raises ValueError for shapes that do not agree and lengths that are not 1 to the number of bars.
    """
    held = _checked_lengths(highs, lows, closes, volumes, lengths)
    with np.errstate(all="ignore"):
        planes = _planes(highs, lows, closes, volumes, held)
        emas = ema_weights(planes.shape[1]) @ planes[_CLOSE]
        traded = planes[_TRADED].sum(axis=1)
        values = _values(emas, planes, traded)
        _settle(values, planes, traded, held)
    return IndicatorColumns(values, held)


def _values(emas: Floats, planes: Floats, traded: Floats) -> Floats:
    """Put the indicators together from what is kept of the bars, and the sums over them of what was traded.

    Where they are not finite, `_settle` has to see what that means.
    """
    gains, losses = np.add.reduce(planes[_GAIN:, -RSI_CHANGES:], axis=1)
    values = np.empty((len(NAMES), emas.shape[1]))
    _, _, rsi, vwap, upper, middle, lower = values
    values[0:2] = emas
    np.divide(losses, gains + losses, out=rsi)
    np.subtract(100.0, 100.0 * rsi, out=rsi)
    np.divide(traded[0], traded[1], out=vwap)
    recent = planes[_CLOSE, -BOLLINGER_BARS:]
    np.divide(np.add.reduce(recent, axis=0), BOLLINGER_BARS, out=middle)
    apart = recent - middle
    # 2·√(Σ/20) = √(Σ·4/20), with a step less.
    width = np.sqrt(np.einsum("bs,bs->s", apart, apart) * _WIDTH)
    np.add(middle, width, out=upper)
    np.subtract(middle, width, out=lower)
    return values


def _settle(values: Floats, planes: Floats, traded: Floats, bars: NDArray[np.int64]) -> None:
    """Give markets without a change or a trade what is defined for them, and NaN to what cannot be had."""
    closes = planes[_CLOSE, -RSI_CHANGES - 1 :]
    is_unchanged = (closes[1:] == closes[:-1]).all(axis=0)
    values[2, is_unchanged] = 100.0
    values[2, ~np.isfinite(closes).all(axis=0)] = np.nan
    np.copyto(values[3], closes[-1], where=traded[1] == 0.0)
    values[~np.isfinite(values)] = np.nan
    values[:, bars < MINIMUM_BARS] = np.nan


class IndicatorTable:
    """The last 60 bars of many symbols, which are named by their row, and the indicators of them.

    ``rows`` of a call are distinct row numbers, or None for all rows in their order; prices are one per row. A row has
    to be `put` before anything is appended to it. Not for two threads at once.

    The bars stand in a buffer of twice their number, and beside them the sums of what was traded::

        1 ...... oldest ........... 59 │ 60 ........... newest ...... 118
                   └─ from here to 59 ─┘ └─ from 60 to here ─┘

    The window moves on when most rows get a bar, and the others are moved along; at the end it begins anew. So the bars
    of all symbols are one piece of memory, and a VWAP needs two sums.
    """

    def __init__(self, symbols: int = 0) -> None:
        self._planes = np.zeros((_PLANES, 2 * WINDOW, symbols))
        self._sums = np.zeros((2, 2 * WINDOW, symbols))
        self._bars = np.zeros(symbols, dtype=np.int64)
        self._emas = np.zeros((2, symbols))
        self._fewest_bars = 0
        self._oldest = 1

    def __len__(self) -> int:
        return len(self._bars)

    def grow(self, symbols: int) -> None:
        """Add so many rows behind the others."""

        def grown(held: Any) -> Any:
            return np.pad(held, (*[(0, 0)] * (held.ndim - 1), (0, symbols)))

        self._planes, self._sums = grown(self._planes), grown(self._sums)
        self._emas, self._bars = grown(self._emas), grown(self._bars)
        self._fewest_bars = 0

    def put(
        self,
        highs: Floats,
        lows: Floats,
        closes: Floats,
        volumes: Floats,
        lengths: ArrayLike | None = None,
        rows: Rows | None = None,
    ) -> None:
        """Replace whole histories; arguments as for `indicators_of_many`."""
        at = _ALL if rows is None else rows
        held = _checked_lengths(highs, lows, closes, volumes, lengths)
        if held.shape != self._bars[at].shape:
            raise ValueError(f"there must be one history per row (were {len(held)})")
        with np.errstate(all="ignore"):
            self._window[:, :, at] = _planes(highs, lows, closes, volumes, held, WINDOW)
            self._renew_sums(at)
            self._renew_emas(at)
        self._bars[at] = held
        self._fewest_bars = int(self._bars.min(initial=WINDOW))

    def append(
        self,
        highs: Floats,
        lows: Floats,
        closes: Floats,
        volumes: Floats,
        rows: Rows | None = None,
    ) -> None:
        """Add one new bar to each row; the oldest of 60 leaves."""
        at = _ALL if rows is None else rows
        with np.errstate(all="ignore"):
            self._step_emas(at, closes)
            self._make_room(rows)
            self._write(at, highs, lows, closes, volumes)
        if self._fewest_bars < WINDOW:
            self._bars[at] = np.minimum(self._bars[at] + 1, WINDOW)
            self._fewest_bars = int(self._bars.min())

    def revise(
        self,
        highs: Floats,
        lows: Floats,
        closes: Floats,
        volumes: Floats,
        rows: Rows | None = None,
    ) -> None:
        """Replace the newest bar of each row, which was forming or is corrected; each must have two bars."""
        at = _ALL if rows is None else rows
        if (self._bars[at] < 2).any():
            raise ValueError("the only bar of a row cannot be revised: put it")
        with np.errstate(all="ignore"):
            self._write(at, highs, lows, closes, volumes)
            self._renew_emas(at)

    def read(self, rows: Rows | None = None) -> IndicatorColumns:
        """Compute the indicators of these rows."""
        at = _ALL if rows is None else rows
        bars, planes = self._bars[at].copy(), self._window[:, :, at]
        with np.errstate(all="ignore"):
            traded = self._sums[:, self._oldest, at] + self._sums[:, self._newest, at]
            values = _values(self._emas[:, at], planes, traded)
            if self._fewest_bars < MINIMUM_BARS or not _are_finite(values):
                values[0:2] = self._mended_emas(at)
                _settle(values, planes, traded, bars)
        return IndicatorColumns(values, bars)

    # --- the window -------------------------------------------------------------------------------------------------

    @property
    def _newest(self) -> int:
        return self._oldest + WINDOW - 1

    @property
    def _window(self) -> Floats:
        return self._planes[:, self._oldest : self._oldest + WINDOW]

    def _make_room(self, rows: Rows | None) -> None:
        """Let the windows of these rows move on, with room for a bar at their end."""
        if rows is None:
            self._move_on()
        elif 2 * len(rows) > len(self):
            others = np.setdiff1d(np.arange(len(self)), rows, assume_unique=True)
            held = self._window[:, :, others]
            self._move_on()
            self._window[:, :, others] = held
            self._renew_sums(others)
        else:
            self._window[:, :-1, rows] = self._window[:, 1:, rows]
            self._renew_sums(rows)

    def _move_on(self) -> None:
        self._oldest += 1
        if self._oldest == _MIDDLE:
            self._planes[:, 1:_MIDDLE] = self._planes[:, _MIDDLE : 2 * WINDOW - 1]
            self._oldest = 1
            self._renew_sums(_ALL)

    def _write(
        self, at: slice | Rows, highs: Floats, lows: Floats, closes: Floats, volumes: Floats
    ) -> None:
        """Write the newest bar, from what stands before it."""
        index = self._newest
        bar, sums = self._planes[:, index], self._sums[:, index]
        weights = np.maximum(volumes, 0.0)
        flows = (highs + lows + closes) * (weights / 3.0)
        change = closes - self._planes[_CLOSE, index - 1, at]
        bar[_CLOSE, at] = closes
        bar[_FLOW, at] = flows
        bar[_VOLUME, at] = weights
        bar[_GAIN:, at] = np.maximum(_SIGNS * change, 0.0)
        before = self._sums[:, index - 1, at] if index > _MIDDLE else 0.0
        sums[:, at] = before + bar[_TRADED, at]

    def _renew_sums(self, at: slice | Rows) -> None:
        """Take the sums of whole windows."""
        earlier, later = slice(self._oldest, _MIDDLE), slice(_MIDDLE, self._newest + 1)
        backwards = self._planes[_TRADED, earlier, at][:, ::-1]
        self._sums[:, earlier, at] = backwards.cumsum(axis=1)[:, ::-1]
        self._sums[:, later, at] = self._planes[_TRADED, later, at].cumsum(axis=1)

    # --- the averages -----------------------------------------------------------------------------------------------

    def _step_emas(self, at: slice | Rows, closes: Floats) -> None:
        """Take the step to new closes, before the window moves on."""
        window = self._planes[_CLOSE][self._oldest : self._oldest + 2, at]
        moved = window[1] - window[0]
        self._emas[:, at] = _KEPT * self._emas[:, at] + _SEED * moved + _SMOOTHING * closes

    def _renew_emas(self, at: slice | Rows) -> None:
        """Take EMAs from whole windows of closes."""
        self._emas[:, at] = ema_weights(WINDOW) @ self._window[_CLOSE][:, at]

    def _mended_emas(self, at: slice | Rows) -> Floats:
        """The EMAs of these rows, anew where a step came from what was not finite and leads nowhere."""
        is_spoiled = ~np.isfinite(self._emas).all(axis=0)
        if is_spoiled.any():
            self._renew_emas(np.flatnonzero(is_spoiled))
        return self._emas[:, at]


def _checked_lengths(
    highs: Floats, lows: Floats, closes: Floats, volumes: Floats, lengths: ArrayLike | None
) -> NDArray[np.int64]:
    """The number of bars of each symbol that count."""
    if closes.ndim != 2 or len({highs.shape, lows.shape, closes.shape, volumes.shape}) > 1:
        raise ValueError("highs, lows, closes and volumes must be symbols x bars alike")
    symbols, bars = closes.shape
    if bars == 0:
        raise ValueError("there must be at least one bar (were 0)")
    held = np.full(symbols, bars) if lengths is None else np.array(lengths, dtype=np.int64)
    if held.shape != (symbols,):
        raise ValueError(f"lengths must be one per symbol (had the shape {held.shape})")
    if symbols and not 1 <= held.min() <= held.max() <= bars:
        raise ValueError(f"lengths must be 1 to {bars} (were {held.min()} to {held.max()})")
    counted: NDArray[np.int64] = np.minimum(held, WINDOW)
    return counted


def _planes(
    highs: Floats,
    lows: Floats,
    closes: Floats,
    volumes: Floats,
    held: NDArray[np.int64],
    least: int = 0,
) -> Floats:
    """What is kept of the last 60 bars, 5 × bars × symbols; at least so many, of which the first may be leads."""
    symbols, bars = closes.shape
    size = max(least, min(bars, WINDOW))
    planes = np.zeros((_PLANES, size, symbols))
    begins = max(0, size - bars)
    high, low, close, volume = (part[:, -WINDOW:].T for part in (highs, lows, closes, volumes))
    planes[_CLOSE, begins:] = close
    np.maximum(volume, 0.0, out=planes[_VOLUME, begins:])
    planes[_FLOW, begins:] = (high + low + close) * (planes[_VOLUME, begins:] / 3.0)
    if held.size and held.min() < size:
        is_lead = np.arange(size)[:, None] < size - held
        first = planes[_CLOSE, size - held, np.arange(symbols)]
        np.copyto(planes[_CLOSE], first, where=is_lead)
        planes[_FLOW : _VOLUME + 1, is_lead] = 0.0
    changes = np.diff(planes[_CLOSE], axis=0)
    np.maximum(changes, 0.0, out=planes[_GAIN, 1:])
    np.maximum(-changes, 0.0, out=planes[_LOSS, 1:])
    return planes


def _are_finite(values: Floats) -> bool:
    """Whether all are; False also for sums that overflow."""
    return isfinite(values.sum())
