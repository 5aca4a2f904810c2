"""Which state a watched symbol is in, and what stays on the board."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from actors.model.market import DataSource, DataType, Quote
from supervision.commands.quotes.board import Board, State
from tests.unit.quotes.values import MONOTONIC, NOW, a_contract, a_quote, a_reading

STALE_AFTER_S = 300.0
NO_PRICES: dict[str, Any] = {"bid": None, "ask": None, "last": None}


def board(*quotes: Quote) -> Board:
    made = Board(("SPY", "QQQ"), STALE_AFTER_S)
    for quote in quotes:
        made.quoted(quote)
    return made


@pytest.mark.req("MKT-11", "MKT-12")
@pytest.mark.parametrize(
    ("quote", "expected"),
    [
        pytest.param({}, State.LIVE, id="live"),
        pytest.param({"age_s": STALE_AFTER_S}, State.LIVE, id="as old as it may be"),
        pytest.param({"age_s": STALE_AFTER_S + 1}, State.STALE, id="older"),
        pytest.param(
            {"age_s": 9000.0, "hours": "20260306:CLOSED"}, State.CLOSED, id="old, market closed"
        ),
        pytest.param({"hours": "20260306:CLOSED"}, State.CLOSED, id="market closed"),
        pytest.param({"age_s": 9000.0, "hours": ""}, State.STALE, id="old, hours unknown"),
        pytest.param({"halted": True}, State.HALTED, id="halted"),
        pytest.param({"data_type": DataType.DELAYED}, State.DELAYED, id="delayed"),
        pytest.param({"data_type": DataType.DELAYED_FROZEN}, State.DELAYED, id="delayed, frozen"),
        pytest.param({"data_type": DataType.FROZEN}, State.FROZEN, id="frozen"),
        pytest.param({"is_partial": True}, State.PARTIAL, id="partial"),
        pytest.param({"is_partial": True, "age_s": 9000.0}, State.STALE, id="partial and old"),
        pytest.param(NO_PRICES, State.NO_PRICE, id="no price"),
        pytest.param(
            NO_PRICES | {"hours": "20260306:CLOSED"}, State.CLOSED, id="no price, market closed"
        ),
        pytest.param(
            {"data_type": DataType.DELAYED, "source": DataSource.ALPHA_VANTAGE},
            State.SECOND_SOURCE,
            id="second source",
        ),
    ],
)
def test_a_quote_tells_its_state(quote: dict[str, Any], expected: State) -> None:
    assert board(a_quote(**quote)).row("SPY", NOW, MONOTONIC).state is expected


@pytest.mark.req("MKT-11")
@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("quote of SPY: not subscribed (code 354)", State.NO_SUBSCRIPTION),
        ("quote of SPY: needs a subscription (code 10089)", State.NO_SUBSCRIPTION),
        ("quote of SPY: part of it is not subscribed (code 10090)", State.NO_SUBSCRIPTION),
        ("quote of SPY: delayed data is not enabled (code 10168)", State.NO_SUBSCRIPTION),
        ("quote of SPY: another session has the data (code 10197)", State.COMPETING_SESSION),
        ("the link is down", State.INTERRUPTED),
        ("quote of SPY: something new (code 99999)", State.INTERRUPTED),
    ],
)
def test_an_interruption_tells_why(reason: str, expected: State) -> None:
    watched = board(a_quote())
    watched.interrupted(("SPY",), reason)

    row = watched.row("SPY", NOW, MONOTONIC)

    assert (row.state, row.why) == (expected, reason)
    assert row.quote == a_quote(), "the last quote stays on the board"


@pytest.mark.req("MKT-7")
@pytest.mark.parametrize("how", ["a quote", "the announcement"])
def test_an_interruption_ends_with(how: str) -> None:
    watched = board(a_quote())
    watched.interrupted(("SPY", "QQQ"), "the link is down")

    if how == "a quote":
        watched.quoted(a_quote())
    else:
        watched.resumed(("SPY",))

    assert watched.row("SPY", NOW, MONOTONIC).state is State.LIVE
    assert watched.row("QQQ", NOW, MONOTONIC).state is State.INTERRUPTED


def test_before_the_first_quote_it_waits() -> None:
    row = board().row("SPY", NOW, MONOTONIC)

    assert (row.state, row.quote, row.age_s, row.spread) == (State.WAITING, None, None, None)


@pytest.mark.req("MKT-12")
def test_the_age_grows_with_time_and_delayed_data_has_none() -> None:
    assert board(a_quote(age_s=3.0)).row("SPY", NOW, MONOTONIC + 7.0).age_s == 10.0
    assert board(a_quote(data_type=DataType.DELAYED)).row("SPY", NOW, MONOTONIC + 7.0).age_s is None


def test_the_spread_is_told_in_money_and_in_basis_points() -> None:
    row = board(a_quote(bid=99.95, ask=100.05)).row("SPY", NOW, MONOTONIC)

    assert row.spread == pytest.approx(0.10)
    assert row.spread_bp == pytest.approx(10.0)


@pytest.mark.parametrize("missing", ["bid", "ask"])
def test_there_is_no_spread_without_both_sides(missing: str) -> None:
    one_sided: dict[str, Any] = {missing: None}
    row = board(a_quote(**one_sided)).row("SPY", NOW, MONOTONIC)

    assert (row.spread, row.spread_bp) == (None, None)


@pytest.mark.req("MKT-2")
def test_a_reading_without_indicators_leaves_the_last_ones_with_the_reason() -> None:
    watched = board()
    watched.read({"SPY": a_reading()})
    watched.read({"SPY": a_reading(indicators=None, as_of=None, why_not="ask again later")})

    reading = watched.row("SPY", NOW, MONOTONIC).reading

    assert reading == a_reading(why_not="ask again later")


def test_it_is_complete_when_there_is_something_to_say_of_every_symbol() -> None:
    watched = board(a_quote())
    assert not watched.is_complete
    watched.read({"SPY": a_reading(), "QQQ": a_reading("QQQ", indicators=None, why_not="no bars")})
    assert not watched.is_complete
    watched.interrupted(("QQQ",), "not subscribed (code 354)")
    assert watched.is_complete


@pytest.mark.req("CON-14")
def test_the_oldest_indicators_are_those_to_read_next() -> None:
    watched = Board(("A", "B", "C", "D"), STALE_AFTER_S)
    minute = timedelta(minutes=1)
    watched.read(
        {
            "A": a_reading("A", as_of=NOW - minute),
            "B": a_reading("B", as_of=NOW - 3 * minute),
            "D": a_reading("D", as_of=NOW - 2 * minute),
        }
    )

    assert watched.oldest_indicators(3) == ("C", "B", "D")


def test_rows_stand_in_the_order_that_was_asked_for() -> None:
    watched = board(a_quote("QQQ"), a_quote("SPY"))

    assert [row.symbol for row in watched.rows(NOW, MONOTONIC)] == ["SPY", "QQQ"]
    assert a_contract().symbol == "SPY"
