"""Whose snapshot is asked for next."""

from __future__ import annotations

import pytest

from actors.market_data.poll_window import PollWindow

MOST = 3
MANY = [f"S{number}" for number in range(10)]


def _window(*due: str) -> PollWindow:
    window = PollWindow(MOST)
    for symbol in due:
        window.due(symbol)
    return window


@pytest.mark.req("MKT-7", "CON-14")
def test_no_more_are_open_at_once_than_there_are_lines() -> None:
    window = _window(*MANY)

    assert list(window.turns()) == MANY[:MOST]
    assert list(window.turns()) == []


@pytest.mark.req("MKT-7")
def test_an_answer_lets_the_next_one_go_in_the_order_in_which_they_came_due() -> None:
    window = _window(*MANY)
    open_now = list(window.turns())

    asked = list(open_now)
    while open_now:
        window.ended(open_now.pop(0))
        turns = list(window.turns())
        asked += turns
        open_now += turns

    assert asked == MANY


def test_a_symbol_is_asked_about_once_at_a_time() -> None:
    window = _window("SPY", "SPY")
    first = list(window.turns())
    window.due("SPY")

    assert first == ["SPY"]
    assert list(window.turns()) == []


def test_a_symbol_that_was_asked_about_takes_its_place_behind_those_that_wait() -> None:
    window = _window(*MANY[: MOST + 1])
    list(window.turns())
    window.ended(MANY[0])
    window.due(MANY[0])

    assert list(window.turns()) == [MANY[MOST]]
    window.ended(MANY[1])
    assert list(window.turns()) == [MANY[0]]


def test_a_dropped_symbol_has_no_turn_any_more_and_its_open_question_keeps_its_place() -> None:
    window = _window(*MANY)
    list(window.turns())
    for symbol in MANY[:5]:
        window.drop(symbol)

    assert list(window.turns()) == []
    window.ended(MANY[0])
    assert list(window.turns()) == [MANY[5]]


def test_all_may_be_dropped_at_once() -> None:
    window = _window(*MANY)
    list(window.turns())
    window.drop_all()
    for symbol in MANY:
        window.ended(symbol)

    assert list(window.turns()) == []
