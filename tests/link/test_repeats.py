"""What a gateway says twice reaches the executor once, and what may be an answer always does (TWS_WIRE §7)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.link.repeats import JUST_NOW, MOST_KNOWN, Repeats
from actors.model.orders import BrokerOrder
from tests.unit.logic.values import NOW

BLANK = BrokerOrder(
    order_id=7,
    client_id=1,
    perm_id=70,
    order_ref="",
    contract=None,
    action=None,
    quantity=None,
    order_type="",
    limit_price=None,
    stop_price=None,
    status="Submitted",
    filled=0.0,
    remaining=10.0,
)
PROGRESS = BLANK
TERMS = attrs.evolve(BLANK, quantity=10.0, filled=None, remaining=None)


def said(*reports: BrokerOrder) -> Repeats:
    """Have these reports said at one moment."""
    repeats = Repeats()
    for report in reports:
        assert not repeats.is_repeat(report, NOW)
    return repeats


@pytest.mark.req("ORD-5")
def test_a_pair_that_is_said_again_is_a_repeat() -> None:
    repeats = said(TERMS, PROGRESS)

    assert repeats.is_repeat(TERMS, NOW)
    assert repeats.is_repeat(PROGRESS, NOW + JUST_NOW)


@pytest.mark.req("ORD-5")
@pytest.mark.parametrize(
    "news",
    [
        {"status": "Filled"},
        {"filled": 1.0},
        {"remaining": 9.0},
        {"why_held": "locate"},
        {"average_fill_price": 5.0},
        {"perm_id": 71},
        {"client_id": 2},
        {"limit_price": 3.0},
    ],
)
def test_a_report_with_news_is_none(news: dict[str, Any]) -> None:
    repeats = said(PROGRESS)

    assert not repeats.is_repeat(attrs.evolve(PROGRESS, **news), NOW)


@pytest.mark.req("ORD-5")
def test_the_way_back_is_news() -> None:
    held = attrs.evolve(PROGRESS, status="PreSubmitted")
    repeats = said(PROGRESS, held)

    assert not repeats.is_repeat(PROGRESS, NOW)


@pytest.mark.req("ORD-5")
def test_the_way_back_is_news_also_where_the_terms_told_of_the_way_there() -> None:
    repeats = said(PROGRESS, attrs.evolve(TERMS, status="PreSubmitted"))

    assert not repeats.is_repeat(PROGRESS, NOW)


@pytest.mark.req("ORD-5")
@pytest.mark.parametrize("at", [NOW + JUST_NOW * 1.01, NOW - timedelta(seconds=1)])
def test_what_was_not_just_said_is_handed_on(at: datetime) -> None:
    repeats = said(PROGRESS)

    assert not repeats.is_repeat(PROGRESS, at)


@pytest.mark.req("ORD-3", "ORD-6")
def test_after_something_happened_to_the_order_the_same_words_may_be_an_answer() -> None:
    repeats = said(TERMS, PROGRESS)

    repeats.forget(TERMS.order_id)

    assert not repeats.is_repeat(TERMS, NOW)
    assert not repeats.is_repeat(PROGRESS, NOW)


def test_it_remembers_no_more_than_its_bound() -> None:
    repeats = said(PROGRESS)
    for number in range(1, MOST_KNOWN + 1):
        repeats.is_repeat(attrs.evolve(PROGRESS, order_id=PROGRESS.order_id + number), NOW)

    assert not repeats.is_repeat(PROGRESS, NOW)


REPORTS = st.builds(
    attrs.evolve,
    st.sampled_from([TERMS, PROGRESS]),
    status=st.sampled_from(["PreSubmitted", "Submitted", "Filled"]),
    order_id=st.sampled_from([7, 8]),
    client_id=st.sampled_from([1, 2]),
    limit_price=st.sampled_from([None, 3.0]),
)


@given(st.lists(REPORTS, max_size=12))
def test_whoever_knows_the_newest_of_each_kind_misses_nothing(reports: list[BrokerOrder]) -> None:
    repeats = Repeats()
    told: dict[tuple[int, int], list[BrokerOrder]] = {}
    for report in reports:
        key = (report.order_id, report.client_id)
        if repeats.is_repeat(report, NOW):
            newest = told[key]
            same_kind = [
                held for held in newest if (held.quantity is None) is (report.quantity is None)
            ]
            assert report == same_kind[-1]
            assert report.status == newest[-1].status
        else:
            told.setdefault(key, []).append(report)
