"""The board as a table on a terminal. The only home of rich."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, TextIO

import attrs
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from supervision.commands.quotes.board import Row, State
from supervision.commands.quotes.lines import (
    age_text,
    notes,
    number_text,
    price_text,
    source_text,
    spread_text,
)

_STYLES: Final = {
    State.LIVE: "green",
    State.WAITING: "dim",
    State.CLOSED: "dim",
    State.FROZEN: "yellow",
    State.DELAYED: "yellow",
    State.PARTIAL: "yellow",
    State.NO_PRICE: "red",
    State.SECOND_SOURCE: "yellow",
    State.HALTED: "magenta",
    State.STALE: "bold red",
    State.INTERRUPTED: "bold red",
    State.NO_SUBSCRIPTION: "red",
    State.COMPETING_SESSION: "red",
}
_AROUND: Final = 4
"""Lines that are neither rows nor notes: the first one, the head with its rule, and the one that stays free."""

_MOST_NOTES: Final = 5
_MOST_NAMES: Final = 5
_BETWEEN: Final = 2
"""Blanks between two columns."""


@attrs.frozen
class _Column:
    """A column, the width that its values usually need, and how a row fills it."""

    title: str
    width: int
    text: Callable[[Row], str]
    is_left: bool = False


def _quoted(name: str) -> Callable[[Row], str]:
    return lambda row: price_text(None if row.quote is None else getattr(row.quote, name))


def _indicator(name: str, show: Callable[[float | None], str] = price_text) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        found = row.reading.indicators if row.reading is not None else None
        return show(None if found is None else getattr(found, name))

    return text


_COLUMNS: Final = (
    _Column("symbol", 6, lambda row: row.symbol, True),
    _Column("bid", 8, _quoted("bid")),
    _Column("ask", 8, _quoted("ask")),
    _Column("last", 8, _quoted("last")),
    _Column("spread", 6, spread_text),
    _Column("bp", 5, lambda row: number_text(row.spread_bp)),
    _Column("age", 6, lambda row: age_text(row.age_s)),
    _Column("source", 6, source_text, True),
    _Column("state", 11, lambda row: row.state.value, True),
    _Column("EMA8", 8, _indicator("ema_fast")),
    _Column("EMA21", 8, _indicator("ema_slow")),
    _Column("RSI", 5, _indicator("rsi", number_text)),
    _Column("VWAP", 8, _indicator("vwap")),
    _Column("low band", 8, _indicator("bollinger_lower")),
    _Column("high band", 9, _indicator("bollinger_upper")),
)

_LEFT_OUT: Final = (
    "high band",
    "low band",
    "bp",
    "VWAP",
    "EMA21",
    "EMA8",
    "source",
    "RSI",
    "spread",
)
"""What a narrow terminal does without, in this order."""


def columns_within(width: int, rows: Sequence[Row]) -> tuple[str, ...]:
    """Choose the columns that there is room for: the nine of `_LEFT_OUT` give way, the others stay."""
    costs = {column.title: _cost(column, rows) for column in _COLUMNS}
    for title in _LEFT_OUT:
        if sum(costs.values()) <= width + _BETWEEN:
            break
        del costs[title]
    return tuple(costs)


def _cost(column: _Column, rows: Sequence[Row]) -> int:
    texts = [column.text(row) for row in rows]
    return max(column.width, len(column.title), *map(len, texts)) + _BETWEEN


def quotes_table(
    rows: Sequence[Row], now: datetime, where: str, *, width: int, height: int | None = None
) -> RenderableType:
    """Lay the rows out; ``height`` bounds the lines, and then the last one says how many symbols are not shown."""
    said = _said(rows, now)
    below = said[:_MOST_NOTES]
    if len(said) > _MOST_NOTES:
        below.append(f"… and {len(said) - _MOST_NOTES} more notes")
    shown = rows
    if height is not None and _AROUND + len(rows) + len(below) > height:
        below = below[:1]
        shown = rows[: max(1, height - _AROUND - len(below) - 1)]
        below.append(f"… and {len(rows) - len(shown)} more symbols: make the window higher")
    return Group(
        _line(f"{now:%H:%M:%S} UTC  {where}", "bold"),
        _table(shown, width),
        *(_line(line, "dim") for line in below),
    )


def _said(rows: Sequence[Row], now: datetime) -> list[str]:
    """Every note once, with the symbols that it is about."""
    about: dict[str, list[str]] = {}
    for row in rows:
        for note in notes(row, now):
            about.setdefault(note, []).append(row.symbol)
    return [f"{_names(symbols)}: {note}" for note, symbols in about.items()]


def _names(symbols: Sequence[str]) -> str:
    more = f" and {len(symbols) - _MOST_NAMES} more" if len(symbols) > _MOST_NAMES else ""
    return ", ".join(symbols[:_MOST_NAMES]) + more


def _line(text: str, style: str) -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _table(rows: Sequence[Row], width: int) -> Table:
    titles = columns_within(width, rows)
    columns = [column for column in _COLUMNS if column.title in titles]
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(
            column.title,
            justify="left" if column.is_left else "right",
            min_width=column.width,
            no_wrap=True,
        )
    for row in rows:
        table.add_row(
            *(
                Text(column.text(row), style=_STYLES[row.state] if column.title == "state" else "")
                for column in columns
            )
        )
    return table


class Screen:
    """A terminal, or a file that gets the table as text."""

    def __init__(self, out: TextIO, where: str) -> None:
        self._console = Console(file=out)
        self._where = where
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )

    def __enter__(self) -> Screen:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, rows: Sequence[Row], now: datetime) -> None:
        """Draw the table in the place of the last one."""
        width, height = self._console.size
        table = quotes_table(rows, now, self._where, width=width, height=height)
        self._live.update(table, refresh=True)

    def print(self, rows: Sequence[Row], now: datetime) -> None:
        """Print the table once, however long it is."""
        self._console.print(quotes_table(rows, now, self._where, width=self._console.width))
