"""The indicators of every contract whose bars were read, computed for all that changed at once.

A read that only goes on where the last one ended (its newest bar replaced, one bar added) is one step of the
`IndicatorTable`. Anything else replaces the contract's history there: older bars that were corrected, several new ones.
Nothing is computed before somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from math import nan

import attrs
import numpy as np

from actors.errors import InsufficientDataError
from actors.market_data.indicator_table import NAMES, WINDOW, IndicatorColumns, IndicatorTable
from actors.market_data.indicators import MINIMUM_BARS, Floats
from actors.model.market import Bar, Indicators

LEAST_ROWS = 16


@attrs.frozen
class Step:
    """How a history went on: its newest bar as it is now, or None when that is unchanged, and a bar after it."""

    revised: Bar | None
    added: Bar | None


class IndicatorBook:
    """Bars and indicators by key; of more than ``most`` keys the ones that were taken first are forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._table = IndicatorTable()
        self._columns = IndicatorColumns(np.empty((len(NAMES), 0)), np.empty(0, dtype=np.int64))
        self._rows: dict[Hashable, int] = {}
        self._free: list[int] = []
        self._held: dict[int, tuple[Bar, ...]] = {}
        self._steps: dict[int, Step] = {}
        self._replaced: set[int] = set()

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, key: Hashable, bars: tuple[Bar, ...]) -> None:
        """Take over the newest bars of a key, at least one and ascending in time; of more than 60 the last 60 count."""
        bars = bars[-WINDOW:]
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = self._new_row()
        held = self._held.get(row)
        if held == bars:
            return
        self._held[row] = bars
        step = None if held is None else step_between(held, bars)
        if step is None or row in self._steps or row in self._replaced:
            self._steps.pop(row, None)
            self._replaced.add(row)
        else:
            self._steps[row] = step

    def indicators(self, key: Hashable, bars: tuple[Bar, ...]) -> Indicators:
        """The indicators of a key's newest bars; raises `InsufficientDataError` below 21."""
        if not bars:
            raise InsufficientDataError(
                f"indicators need at least {MINIMUM_BARS} bars (had 0); wait for more"
            )
        self.take(key, bars)
        self._compute()
        return self._columns.of(self._rows[key])

    def _new_row(self) -> int:
        if len(self._rows) >= self._most:
            oldest = self._rows.pop(next(iter(self._rows)))
            self._held.pop(oldest, None)
            self._steps.pop(oldest, None)
            self._replaced.discard(oldest)
            return oldest
        if not self._free:
            had = len(self._table)
            room = min(self._most, max(LEAST_ROWS, 2 * had)) - had
            self._table.grow(room)
            self._columns = IndicatorColumns(
                np.pad(self._columns.values, ((0, 0), (0, room)), constant_values=nan),
                np.pad(self._columns.bars, (0, room)),
            )
            self._free = list(range(had + room - 1, had - 1, -1))
        return self._free.pop()

    # --- computing --------------------------------------------------------------------------------------------------

    def _compute(self) -> None:
        """Bring the table up to date with all that was taken since, in one go each."""
        changed = sorted(self._replaced | set(self._steps))
        if not changed:
            return
        self._replace(sorted(self._replaced))
        steps = sorted(self._steps.items())
        self._step(self._table.revise, [(row, step.revised) for row, step in steps])
        self._step(self._table.append, [(row, step.added) for row, step in steps])
        self._steps.clear()
        self._replaced.clear()
        rows = np.array(changed)
        found = self._table.read(rows)
        self._columns.values[:, rows] = found.values
        self._columns.bars[rows] = found.bars

    def _replace(self, rows: list[int]) -> None:
        if not rows:
            return
        histories = [self._held[row] for row in rows]
        width = max(map(len, histories))
        parts = np.full((4, len(rows), width), nan)
        for part, bars in zip(parts.swapaxes(0, 1), histories, strict=True):
            part[:, width - len(bars) :] = _columns_of(bars)
        lengths = [len(bars) for bars in histories]
        highs, lows, closes, volumes = parts
        self._table.put(highs, lows, closes, volumes, lengths, rows=np.array(rows))

    def _step(self, change: Callable[..., None], news: list[tuple[int, Bar | None]]) -> None:
        concerned = [(row, bar) for row, bar in news if bar is not None]
        if concerned:
            columns = _columns_of([bar for _, bar in concerned])
            change(*columns, rows=np.array([row for row, _ in concerned]))


def step_between(held: Sequence[Bar], read: Sequence[Bar]) -> Step | None:
    """Tell how ``read`` goes on where ``held`` ended, by at most one bar; None when it is another history."""
    if len(held) < 2 or len(read) < 2:
        return None
    newest = held[-1]
    if read[-1].start == newest.start and read[:-1] == held[:-1]:
        return Step(read[-1], None)
    leaving = len(held) + 1 - len(read)
    goes_on = leaving == (1 if len(held) == WINDOW else 0)
    if goes_on and read[-2].start == newest.start and read[:-2] == held[leaving:-1]:
        return Step(read[-2] if read[-2] != newest else None, read[-1])
    return None


def _columns_of(bars: Sequence[Bar]) -> Floats:
    """Highs, lows, closes, volumes, 4 × bars."""
    return np.array(
        [
            [bar.high for bar in bars],
            [bar.low for bar in bars],
            [bar.close for bar in bars],
            [bar.volume for bar in bars],
        ]
    )
