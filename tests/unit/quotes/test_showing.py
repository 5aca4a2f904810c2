"""Rows as lines, as JSON, and as a table that fits its terminal."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from rich.console import Console

from actors.model.market import DataType, IndicatorReading, Quote
from supervision.commands.quotes.board import Board, Row
from supervision.commands.quotes.lines import age_text, json_line, notes, plain_line, price_text
from supervision.commands.quotes.table import columns_within, quotes_table
from tests.unit.quotes.values import MONOTONIC, NOW, a_gap, a_quote, a_reading

WHERE = "SIMULATED GATEWAY 127.0.0.1:4002"
ESSENTIAL = ("symbol", "bid", "ask", "last", "age", "state")


def a_row(
    quote: Quote | None, reading: IndicatorReading | None = None, why: str | None = None
) -> Row:
    symbol = quote.symbol if quote is not None else "SPY"
    board = Board((symbol,), 300.0)
    if quote is not None:
        board.quoted(quote)
    if reading is not None:
        board.read({symbol: reading})
    if why is not None:
        board.interrupted((symbol,), why)
    return board.row(symbol, NOW, MONOTONIC)


def rendered(rows: Sequence[Row], width: int, height: int | None = None) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, height=height or 50)
    console.print(quotes_table(rows, NOW, WHERE, width=width, height=height))
    return out.getvalue().splitlines()


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "expected"),
    [(None, "-"), (612345.678, "612,345.68"), (1.0, "1.00"), (0.99994, "0.9999"), (5e-4, "0.0005")],
)
def test_prices_have_the_decimals_that_matter(price: float | None, expected: str) -> None:
    assert price_text(price) == expected


@pytest.mark.parametrize(
    ("age_s", "expected"),
    [(None, "-"), (0.04, "0.0 s"), (9.94, "9.9 s"), (59.6, "60 s"), (300, "5 min"), (9e4, "25 h")],
)
def test_ages_have_the_unit_that_reads_best(age_s: float | None, expected: str) -> None:
    assert age_text(age_s) == expected


def test_a_row_is_one_line_with_everything_in_it() -> None:
    line = plain_line(a_row(a_quote(age_s=2.0), a_reading()), NOW)

    assert line == (
        "15:00:00  SPY     live               bid 600.00  ask 600.02  last 600.01  spread 0.02 (0.3 bp)"
        "  age 2.0 s  source ib  EMA8 600.25  EMA21 599.75  RSI 57.3  VWAP 600.01  bands 598.50 to 601.50"
    )


def test_a_row_of_which_nothing_is_known_is_a_line_too() -> None:
    line = plain_line(a_row(None), NOW)

    assert line == (
        "15:00:00  SPY     waiting            bid -  ask -  last -  spread - (- bp)  age -  source -"
    )


@pytest.mark.req("MKT-6", "MKT-11")
def test_what_a_row_has_to_say_beyond_its_numbers() -> None:
    reading = a_reading(bar_gaps=(a_gap(40, 3), a_gap(20, 1)))

    assert notes(a_row(a_quote(), reading, why="no data (code 354)"), NOW) == (
        "no data (code 354)",
        "no bars from 14:20 to 14:23, 14:40 to 14:41 UTC",
    )
    without = a_reading(indicators=None, why_not="ask again later")
    assert notes(a_row(a_quote(), without), NOW) == ("no indicators: ask again later",)
    assert notes(a_row(a_quote()), NOW) == ()


@pytest.mark.parametrize(
    ("quote", "minutes", "said"),
    [
        pytest.param(a_quote(), 3, (), id="new enough"),
        pytest.param(a_quote(), 4, ("indicators as of 14:56 UTC",), id="old"),
        pytest.param(a_quote(hours="20260306:CLOSED"), 400, (), id="the market is closed"),
    ],
)
def test_old_indicators_are_told_with_their_time(
    quote: Quote, minutes: int, said: tuple[str, ...]
) -> None:
    reading = a_reading(as_of=NOW - timedelta(minutes=minutes))

    assert notes(a_row(quote, reading), NOW) == said


def test_many_gaps_are_told_in_short() -> None:
    reading = a_reading(bar_gaps=tuple(a_gap(50 - 5 * number, 1) for number in range(5)))

    (said,) = notes(a_row(a_quote(), reading), NOW)

    assert said == "no bars from 14:10 to 14:11, 14:15 to 14:16, 14:20 to 14:21 and 2 more UTC"


# --- JSON -------------------------------------------------------------------------------------------------------------


def test_json_has_one_object_per_row_with_every_field() -> None:
    shown = json.loads(
        json_line(a_row(a_quote(age_s=2.0), a_reading(bar_gaps=(a_gap(9, 2),))), NOW)
    )

    assert shown == {
        "symbol": "SPY",
        "time": "2026-03-06T15:00:00+00:00",
        "state": "live",
        "why": None,
        "bid": 600.0,
        "ask": 600.02,
        "last": 600.01,
        "volume": 1e6,
        "spread": 0.02,
        "spread_bp": pytest.approx(0.333328),
        "age_s": 2.0,
        "received_at": "2026-03-06T14:59:58+00:00",
        "traded_at": None,
        "source": "ib",
        "ema_fast": 600.25,
        "ema_slow": 599.75,
        "rsi": 57.26,
        "vwap": 600.01,
        "bollinger_upper": 601.5,
        "bollinger_middle": 600.0,
        "bollinger_lower": 598.5,
        "indicators_as_of": "2026-03-06T15:00:00+00:00",
        "no_indicators_because": None,
        "bar_gaps": [
            {"begins_at": "2026-03-06T14:51:00+00:00", "ends_at": "2026-03-06T14:53:00+00:00"}
        ],
    }


@pytest.mark.parametrize(
    "row", [a_row(None), a_row(a_quote(data_type=DataType.DELAYED))], ids=["nothing", "delayed"]
)
def test_json_says_null_for_what_is_unknown_and_always_has_the_same_keys(row: Row) -> None:
    shown = json.loads(json_line(row, NOW), parse_constant=pytest.fail)

    assert shown["age_s"] is None
    assert shown["rsi"] is None
    assert shown.keys() == json.loads(json_line(a_row(a_quote(), a_reading()), NOW)).keys()


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [70, 80, 100, 120, 160, 300])
def test_a_table_fits_its_terminal(width: int) -> None:
    rows = [
        a_row(a_quote(), a_reading()),
        a_row(a_quote("BRK A", bid=612345.0, ask=612999.0, last=612500.0), a_reading("BRK A")),
        a_row(a_quote("QQQ"), why="quote of QQQ: " + "not subscribed " * 30 + "(code 354)"),
    ]

    lines = rendered(rows, width)

    assert max(map(len, lines)) <= width
    assert "612,345.00" in "\n".join(lines)
    assert "no subscription" in "\n".join(lines)
    assert not any("…" in line for line in lines[1:6]), "no cell is cut"


def test_a_wider_terminal_shows_more() -> None:
    rows = [a_row(a_quote(), a_reading())]
    shown = [set(columns_within(width, rows)) for width in range(40, 200)]

    assert all(narrow <= wide for narrow, wide in pairwise(shown))
    assert set(ESSENTIAL) == shown[0]
    assert {"spread", "RSI", "source"} <= set(columns_within(80, rows))
    assert len(shown[-1]) == 15


def test_the_first_line_says_when_and_where() -> None:
    lines = rendered([a_row(a_quote())], 80)

    assert lines[0].rstrip() == f"15:00:00 UTC  {WHERE}"


@pytest.mark.parametrize("height", [8, 12, 20, 39])
def test_a_long_table_is_cut_to_the_window_and_says_so(height: int) -> None:
    rows = [a_row(a_quote(f"S{number}"), why=f"trouble {number}") for number in range(30)]

    lines = rendered(rows, 100, height)

    assert len(lines) < height
    said = [line for line in lines if "more symbols" in line]
    assert len(said) == 1
    shown = sum(line.startswith("S") for line in lines[2:] if ":" not in line)
    assert f"… and {30 - shown} more symbols" in said[0]


def test_a_table_without_a_window_shows_every_symbol() -> None:
    rows = [a_row(a_quote(f"S{number}")) for number in range(200)]

    assert sum("live" in line for line in rendered(rows, 100)) == 200


def test_too_many_notes_are_counted() -> None:
    rows = [a_row(a_quote(f"S{number}"), why=f"trouble {number}") for number in range(9)]

    assert "… and 4 more notes" in "\n".join(rendered(rows, 100))


def test_what_is_to_be_said_of_many_symbols_is_said_once() -> None:
    rows = [a_row(a_quote(f"S{number}"), why="the link is down") for number in range(9)]

    said = [line for line in rendered(rows, 100) if "the link is down" in line]

    assert said == ["S0, S1, S2, S3, S4 and 4 more: the link is down"]


@pytest.mark.parametrize("colours", [True, False])
def test_states_are_coloured_only_where_colours_are_wanted(colours: bool) -> None:
    out = io.StringIO()
    options: dict[str, Any] = {"force_terminal": True, "color_system": "standard"}
    console = Console(file=out, width=100, no_color=not colours, **options)
    console.print(quotes_table([a_row(a_quote())], NOW, WHERE, width=100))

    assert ("\x1b[32mlive" in out.getvalue()) is colours
