"""Real one-minute bars from a CSV file, moved to the present.

Columns are found by header name, in any order and case. The bars are taken one after the other,
gaps between days included, so that the newest bar is always the current minute. When they are used
up, the last price stays.
"""

from __future__ import annotations

import csv
import datetime as dt
import math
from pathlib import Path

import attrs

from .prices import MINUTE_S, Bar

_COLUMNS = ("open", "high", "low", "close", "volume")
_DATES = ("date", "datetime", "time", "timestamp")
_FORMATS = ("%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%Y-%m-%d", "%Y%m%d %H:%M:%S")


class ReplayError(ValueError):
    """A replay file cannot be used; says which file, line and column."""


def read_bars(path: Path) -> tuple[Bar, ...]:
    """Read the bars of `path`; raises `ReplayError`."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ReplayError(f"{path}: cannot be read: {error}") from error
    if not rows:
        raise ReplayError(f"{path}: line 1: the file is empty")
    columns = _find_columns(path, rows[0])
    bars = [
        _read_row(path, number, row, columns)
        for number, row in enumerate(rows[1:], start=2)
        if any(cell.strip() for cell in row)
    ]
    if len(bars) < 2:
        raise ReplayError(f"{path}: at least 2 bars are needed (found {len(bars)})")
    return tuple(attrs.evolve(bar, minute=index) for index, bar in enumerate(bars))


def _find_columns(path: Path, header: list[str]) -> dict[str, int]:
    names = [cell.strip().lower() for cell in header]
    columns = {name: names.index(name) for name in _COLUMNS if name in names}
    missing = [name for name in _COLUMNS if name not in columns]
    if missing:
        raise ReplayError(f"{path}: line 1: no column named {', '.join(missing)} (found {names})")
    for name in _DATES:
        if name in names:
            columns["date"] = names.index(name)
            return columns
    raise ReplayError(f"{path}: line 1: no column named {' or '.join(_DATES)} (found {names})")


def _read_row(path: Path, number: int, row: list[str], columns: dict[str, int]) -> Bar:
    values: dict[str, float] = {}
    for name, index in columns.items():
        place = f"{path}: line {number}, column {name}"
        if index >= len(row):
            raise ReplayError(f"{place}: missing")
        text = row[index].strip()
        if name == "date":
            _check_date(place, text)
            continue
        try:
            value = float(text)
        except ValueError:
            raise ReplayError(f"{place}: not a number: {text!r}") from None
        if not math.isfinite(value) or value < 0 or (value == 0 and name != "volume"):
            raise ReplayError(f"{place}: out of range: {text!r}")
        values[name] = value
    if not values["low"] <= min(values["open"], values["close"]):
        raise ReplayError(f"{path}: line {number}, column low: above open or close")
    if not values["high"] >= max(values["open"], values["close"]):
        raise ReplayError(f"{path}: line {number}, column high: below open or close")
    volume = int(values["volume"])
    return Bar(
        0, values["open"], values["high"], values["low"], values["close"], volume, volume // 120
    )


def _check_date(place: str, text: str) -> None:
    for form in _FORMATS:
        try:
            dt.datetime.strptime(text, form)  # noqa: DTZ007 - only the shape is checked
        except ValueError:
            continue
        return
    try:
        dt.datetime.fromisoformat(text)
    except ValueError:
        raise ReplayError(f"{place}: not a date: {text!r}") from None


class ReplayPrices:
    """Plays bars, `offset` of which are history when the gateway starts."""

    def __init__(self, bars: tuple[Bar, ...], offset: int, speed: float) -> None:
        self._bars = bars
        self._offset = min(max(offset, 1), len(bars) - 1)
        self._speed = speed

    def price(self, at_s: float) -> float:
        """The last traded price at a time in seconds since the anchor."""
        return self._forming(at_s).close

    def bars(self, at_s: float, count: int) -> list[Bar]:
        """The newest `count` bars, labelled with the minutes that end now."""
        cursor, _ = self._position(at_s)
        now_minute = math.floor(at_s / MINUTE_S)
        first = max(0, cursor - count + 1)
        found = [
            attrs.evolve(self._bars[index], minute=now_minute - (cursor - index))
            for index in range(first, cursor)
        ]
        found.append(attrs.evolve(self._forming(at_s), minute=now_minute))
        return found

    def _position(self, at_s: float) -> tuple[int, float]:
        progress = at_s * self._speed / MINUTE_S
        if self._offset + progress >= len(self._bars):
            return len(self._bars) - 1, 1.0
        whole = math.floor(progress)
        return max(0, self._offset + whole), progress - whole

    def _forming(self, at_s: float) -> Bar:
        cursor, part = self._position(at_s)
        bar = self._bars[cursor]
        middle = (bar.low, bar.high) if bar.close >= bar.open else (bar.high, bar.low)
        path = (bar.open, *middle, bar.close)[: min(3, int(part * 4)) + 1]
        volume = int(bar.volume * part)
        return Bar(cursor, bar.open, max(path), min(path), path[-1], volume, volume // 120)
