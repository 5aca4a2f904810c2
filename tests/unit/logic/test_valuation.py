"""What a position is worth, and that its emergency stop looks twice (RULES 6)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.position.pnl import unrealized_pnl, unrealized_pnl_pct
from actors.position.stops import QUIET, Look, Stop, looked
from actors.position.valuation import Basis, Valued, value
from actors.sections.positions import Positions
from tests.unit.logic.values import NOW, SPY, SPY_CALL, holding, quote

pytestmark = pytest.mark.req("POS-8", "POS-2")

LIMITS: Final = Positions()
LIMIT: Final = LIMITS.emergency_loss_ratio
OLD: Final = NOW - timedelta(days=3)


def valued(quantity: float = 1.0, **fields: Any) -> Valued:
    """Value an option by a quote that has nothing but what is given."""
    values: dict[str, Any] = {"bid": None, "ask": None, "last": None, "traded_at": NOW}
    return value(holding(quantity, SPY_CALL), quote(SPY_CALL, **values | fields), NOW, LIMITS)


@pytest.mark.parametrize(
    ("quantity", "fields", "price", "basis", "far"),
    [
        (
            1,
            {"bid": 9.8, "ask": 10.2, "last": 5.0, "traded_at": OLD},
            9.8,
            Basis.CLOSABLE_SIDE,
            10.2,
        ),
        (-1, {"bid": 9.8, "ask": 10.2}, 10.2, Basis.CLOSABLE_SIDE, 9.8),
        (1, {"bid": 9.0, "ask": 11.0}, 9.0, Basis.CLOSABLE_SIDE, 11.0),
        (1, {"bid": 0.01, "ask": 0.03}, 0.01, Basis.CLOSABLE_SIDE, 0.03),
        (1, {"bid": 5.0, "ask": 10.0, "last": 8.0}, 8.0, Basis.LAST_TRADE, 10.0),
        (1, {"bid": 5.0, "ask": 10.0, "last": 8.0, "traded_at": OLD}, None, Basis.UNSURE, 10.0),
        (1, {"bid": 5.0, "ask": 10.0, "last": 11.0}, None, Basis.UNSURE, 10.0),
        (
            1,
            {"bid": 5.0, "ask": 10.0, "model_price": 7.0, "underlying_price": 600.0},
            7.0,
            Basis.MODEL_PRICE,
            10.0,
        ),
        (
            -1,
            {"bid": 5.0, "ask": 10.0, "model_price": 70.0, "underlying_price": 600.0},
            10.0,
            Basis.MODEL_PRICE,
            5.0,
        ),
        (1, {"bid": 5.0, "ask": 10.0, "model_price": 7.0}, None, Basis.UNSURE, 10.0),
        (1, {"ask": 10.0, "last": 8.0}, None, Basis.UNSURE, None),
        (1, {"bid": 10.0, "last": 8.0}, None, Basis.UNSURE, None),
        (1, {"bid": 11.0, "ask": 10.0}, None, Basis.UNSURE, None),
        (1, {"bid": -1.0, "ask": 10.0}, None, Basis.UNSURE, None),
    ],
)
def test_a_position_is_worth_what_it_could_be_dealt_at(
    quantity: float, fields: dict[str, Any], price: float | None, basis: Basis, far: float | None
) -> None:
    found = valued(quantity, **fields)

    assert (found.price, found.basis, found.far) == (price, basis, far)
    assert bool(found.why) is (price is None)


def test_no_quote_is_no_value() -> None:
    assert value(holding(1), None, NOW, LIMITS) == Valued(why="there is no quote")


@pytest.mark.parametrize(("quantity", "cost", "ratio"), [(-100, 7.35, 0.0), (100, 10.0, -0.5)])
def test_pence_are_no_pounds(quantity: float, cost: float, ratio: float) -> None:
    london = attrs.evolve(SPY, price_magnifier=100.0, currency="GBP")
    price = 735.0 if quantity < 0 else 500.0

    assert unrealized_pnl_pct(holding(quantity, london, cost), price) == pytest.approx(ratio)
    assert unrealized_pnl(holding(quantity, london, cost), price) == pytest.approx(
        quantity * (price / 100 - cost)
    )


# --- two looks --------------------------------------------------------------------------------------------------------


def look(at: float, near: float | None, far: float | None = 0.0, **fields: Any) -> Look:
    """One look; each has a quote of its own."""
    values = {"quoted_at": NOW + timedelta(seconds=at)} | fields
    return Look(at=at, near_loss=near, far_loss=far, **values)


def after(*looks: Look) -> Stop:
    stop = QUIET
    for each in looks:
        stop = looked(stop, each, LIMIT, LIMITS)
    return stop


SAME: Final[dict[str, Any]] = {"quoted_at": NOW}


@pytest.mark.parametrize(
    ("looks", "is_reached"),
    [
        ([look(0, 0.5)], False),
        ([look(0, 0.5), look(4.9, 0.5)], False),
        ([look(0, 0.5), look(5.0, 0.5)], True),
        ([look(0, 0.4), look(5.0, 0.4)], True),
        ([look(0, 0.39), look(5.0, 0.39)], False),
        ([look(0, 0.5), look(2.0, 0.1), look(5.0, 0.5)], False),
        ([look(0, 0.5), look(2.0, None), look(5.0, 0.5)], True),
        ([look(0, 0.5), look(60.1, 0.5)], False),
        ([look(0, 0.5), look(60.1, 0.5), look(66.0, 0.5)], True),
        ([look(0, 0.5, **SAME), look(6.0, 0.5, **SAME)], False),
        ([look(0, 0.9, is_settled=False), look(6.0, 0.9, is_settled=False)], False),
        ([look(0, 0.9, 0.5, is_settled=False), look(6.0, 0.9, 0.5, is_settled=False)], True),
        ([look(0, None, 0.5), look(6.0, None, 0.5)], True),
        ([look(0, None, None), look(6.0, None, None)], False),
        ([look(0, 0.5), look(5.0, 0.5), look(6.0, None, None)], True),
        ([look(0, 0.5), look(5.0, 0.5), look(6.0, 0.1)], False),
    ],
)
def test_the_stop_acts_on_a_loss_that_is_seen_twice(looks: list[Look], is_reached: bool) -> None:
    assert after(*looks).is_reached is is_reached


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0.5, 20.0), st.booleans(), st.one_of(st.none(), st.floats(-1.0, 0.39))),
        max_size=30,
    ),
    st.floats(0.4, 100.0),
)
def test_no_single_odd_value_ever_stops(
    looks: list[tuple[float, bool, float | None]], odd: float
) -> None:
    """Looks that show no loss, with odd ones between them of which no two follow each other."""
    stop, at, was_odd = QUIET, 0.0, False
    for gap_s, wants_odd, loss in looks:
        at += gap_s
        is_odd = wants_odd and not was_odd
        found = odd if is_odd else 0.0 if loss is None else loss
        stop = looked(stop, look(at, found), LIMIT, LIMITS)
        was_odd = is_odd
        assert not stop.is_reached


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.5, 5.0), st.booleans()), min_size=25, max_size=60),
    st.floats(0.4, 1.0),
)
def test_a_true_loss_that_persists_is_stopped_within_its_bound(
    looks: list[tuple[float, bool]], loss: float
) -> None:
    """Looks come every half to five seconds, some of them unsure, but never two in a row."""
    stop, at, first, was_unsure = QUIET, 0.0, None, False
    for gap_s, wants_unsure in looks:
        at += gap_s
        is_unsure = wants_unsure and not was_unsure
        stop = looked(stop, look(at, None if is_unsure else loss, None), LIMIT, LIMITS)
        was_unsure = is_unsure
        if first is None and not is_unsure:
            first = at
        if first is not None and at - first > LIMITS.second_look_after_s + 2 * 5.0:
            assert stop.is_reached
