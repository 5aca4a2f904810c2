"""Profit and loss against fractions: exact arithmetic from the definition, which shares nothing with the product."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.logic.closures import days_to_expiry, is_emergency
from actors.model.contracts import Contract, Right, SecurityType
from actors.model.orders import CloseReason
from actors.position.pnl import position_view
from actors.position.valuation import Valued, value
from actors.sections.positions import Positions
from tests.unit.logic.values import NOW, holding, quote

LIMITS = Positions()
EMERGENCY = Fraction(40, 100)

cents = st.integers(1, 10_000_000).map(lambda cents: cents / 100)
quantities = st.integers(-10_000, 10_000).filter(bool).map(float)
multipliers = st.sampled_from([1.0, 10.0, 50.0, 100.0, 1000.0])


def contract(multiplier: float, expiry: date | None = None) -> Contract:
    """An option, or a stock."""
    return Contract(
        con_id=1,
        symbol="SPY",
        security_type=SecurityType.OPTION if expiry else SecurityType.STOCK,
        multiplier=multiplier,
        expiry=expiry,
        strike=600.0 if expiry else None,
        right=Right.PUT if expiry else None,
    )


def close_to(exact: Fraction, scale: Fraction) -> object:
    """A float that carries the exact value, but for the rounding of its factors."""
    return pytest.approx(float(exact), rel=1e-9, abs=float(scale) * 1e-12)


@pytest.mark.req("POS-1", "POS-2")
@settings(max_examples=500, deadline=None)
@given(quantity=quantities, multiplier=multipliers, paid=cents, fee=cents, price=cents)
def test_profit_is_what_selling_now_brings_less_what_was_paid(
    quantity: float, multiplier: float, paid: float, fee: float, price: float
) -> None:
    """IB's average cost is per unit, with multiplier and commission in it: a short was paid less by its commission."""
    sign = 1 if quantity > 0 else -1
    cost = Fraction(paid) * Fraction(multiplier) + sign * Fraction(fee) / Fraction(abs(quantity))
    held = holding(quantity, contract(multiplier), float(cost))
    cost = Fraction(held.average_cost)
    worth = Fraction(price) * Fraction(multiplier)
    profit = Fraction(quantity) * worth - Fraction(quantity) * cost

    view = position_view(held, Valued(price=price), NOW, LIMITS)

    scale = abs(Fraction(quantity)) * (worth + abs(cost))
    assert view.unrealized_pnl == close_to(profit, scale)
    assert view.entry_price == close_to(cost / Fraction(multiplier), abs(cost))
    if cost:
        share = profit / abs(Fraction(quantity) * cost)
        assert view.unrealized_pnl_pct == close_to(share, scale / abs(Fraction(quantity) * cost))
        margin = Fraction(1, 10**9)
        if abs(share + EMERGENCY) > margin:
            assert is_emergency(view.unrealized_pnl_pct, LIMITS) is (share < -EMERGENCY)


@pytest.mark.req("POS-2")
@settings(max_examples=200, deadline=None)
@given(quantity=quantities, multiplier=multipliers, paid=cents, price=cents)
def test_a_short_gains_exactly_what_a_long_loses(
    quantity: float, multiplier: float, paid: float, price: float
) -> None:
    one, other = (
        position_view(holding(signed, contract(multiplier), paid), Valued(price=price), NOW, LIMITS)
        for signed in (quantity, -quantity)
    )

    assert one.unrealized_pnl is not None
    assert one.unrealized_pnl_pct is not None
    assert one.unrealized_pnl + (other.unrealized_pnl or 0.0) == 0.0
    assert one.unrealized_pnl_pct + (other.unrealized_pnl_pct or 0.0) == 0.0


unknown_prices = st.sampled_from([None, 0.0, -1.0, math.nan, math.inf, -math.inf])


@pytest.mark.req("POS-2")
@settings(max_examples=200, deadline=None)
@given(quantity=quantities, cost=cents, last=unknown_prices, bid=unknown_prices, ask=unknown_prices)
def test_a_price_that_nobody_knows_is_none_and_never_zero(
    quantity: float, cost: float, last: float | None, bid: float | None, ask: float | None
) -> None:
    held = holding(quantity, contract(100.0), cost)
    valued = value(held, quote(last=last, bid=bid, ask=ask), NOW, LIMITS)

    view = position_view(held, valued, NOW, LIMITS)

    assert (valued.price, view.current_price, view.unrealized_pnl, view.unrealized_pnl_pct) == (
        None,
    ) * 4
    assert (view.should_close_emergency, view.closure_trigger) == (False, None)


@pytest.mark.req("POS-3")
@settings(max_examples=300, deadline=None)
@given(
    zone=st.sampled_from(["US/Eastern", "Japan", "GB-Eire", "EST (Eastern Standard Time)"]),
    days=st.integers(-5, 400),
    minutes=st.integers(0, 525_600),
)
def test_days_to_expiry_are_those_of_a_calendar_at_the_exchange(
    zone: str, days: int, minutes: int
) -> None:
    """Independent: the dates are walked through one by one, by the clock on the exchange's wall."""
    zones = {"US/Eastern": "America/New_York", "Japan": "Asia/Tokyo", "GB-Eire": "Europe/London"}
    wall = ZoneInfo(zones.get(zone, "America/New_York"))
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    today = now.astimezone(wall).date()
    option = attrs.evolve(contract(100.0, today + timedelta(days=days)), time_zone=zone)

    view = position_view(holding(1.0, option, 500.0), Valued(price=5.0), now, LIMITS)

    assert days_to_expiry(option, now) == view.days_to_expiry == days
    assert view.should_close_3_dte is (days in range(-5, 4))
    assert (view.closure_trigger is CloseReason.THREE_DTE_RULE) is view.should_close_3_dte
