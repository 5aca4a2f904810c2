"""Profit and loss, and what is due to be closed."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta

import attrs
import pytest

from actors.logic.closures import closure_trigger, days_to_expiry, is_emergency
from actors.model.contracts import Contract
from actors.model.orders import CloseReason
from actors.position.pnl import position_view, unrealized_pnl_pct
from actors.position.valuation import Valued, value
from actors.sections.positions import Positions
from tests.unit.logic.values import NOW, SPY, SPY_CALL, holding, quote

LIMITS = Positions()


@pytest.mark.req("POS-2")
@pytest.mark.parametrize(
    ("quantity", "contract", "cost", "price", "profit", "percent"),
    [
        (10.0, SPY, 600.0, 606.0, 60.0, 0.01),
        (-10.0, SPY, 600.0, 606.0, -60.0, -0.01),
        (-10.0, SPY, 600.0, 594.0, 60.0, 0.01),
        (2.0, SPY_CALL, 500.0, 6.0, 200.0, 0.2),
        (-2.0, SPY_CALL, 500.0, 6.0, -200.0, -0.2),
    ],
)
def test_profit_counts_the_multiplier_and_the_side(
    quantity: float, contract: Contract, cost: float, price: float, profit: float, percent: float
) -> None:
    view = position_view(holding(quantity, contract, cost), Valued(price=price), NOW, LIMITS)

    assert profit == pytest.approx(view.unrealized_pnl)
    assert percent == pytest.approx(view.unrealized_pnl_pct)
    assert cost / contract.multiplier == view.entry_price


@pytest.mark.req("POS-2")
@pytest.mark.parametrize("price", [None, 0.0, -1.0, math.nan, math.inf])
def test_an_unknown_price_makes_no_profit_and_no_emergency(price: float | None) -> None:
    held = holding(2, SPY_CALL, 500.0)
    valued = value(held, quote(bid=price, last=price), NOW, LIMITS)
    view = position_view(held, valued, NOW, LIMITS)

    assert (
        view.current_price,
        view.unrealized_pnl,
        view.unrealized_pnl_pct,
    ) == (None, None, None)
    assert (view.should_close_emergency, view.closure_trigger) == (False, None)


@pytest.mark.req("POS-1")
def test_a_position_is_known_by_symbol_and_contract() -> None:
    view = position_view(holding(10), Valued(price=600.0), NOW, LIMITS, is_cached=True)

    assert (view.position_id, view.symbol, view.days_to_expiry) == ("SPY_756733", "SPY", None)
    assert view.is_cached


@pytest.mark.req("POS-2")
def test_a_position_without_a_cost_has_no_percentage() -> None:
    assert (
        position_view(holding(10, SPY, 0.0), Valued(price=600.0), NOW, LIMITS).unrealized_pnl_pct
        is None
    )


@pytest.mark.req("POS-3")
@pytest.mark.parametrize(
    ("days", "is_stopped", "expected"),
    [
        (None, False, None),
        (None, True, CloseReason.EMERGENCY_STOP),
        (4, False, None),
        (3, False, CloseReason.THREE_DTE_RULE),
        (0, False, CloseReason.THREE_DTE_RULE),
        (-1, False, CloseReason.THREE_DTE_RULE),
        (3, True, CloseReason.EMERGENCY_STOP),
        (10, True, CloseReason.EMERGENCY_STOP),
    ],
)
def test_a_position_is_due_by_expiry_or_loss(
    days: int | None, is_stopped: bool, expected: CloseReason | None
) -> None:
    assert closure_trigger(days, is_stopped, LIMITS) is expected


@pytest.mark.req("POS-3")
@pytest.mark.parametrize("cost", [0.07, 1.1, 3.3, 250.0, 333.33])
def test_a_loss_of_exactly_the_limit_triggers_whatever_its_binary_form(cost: float) -> None:
    assert is_emergency(unrealized_pnl_pct(holding(3, SPY, cost), cost * 0.6), LIMITS)


@pytest.mark.req("POS-3")
def test_days_to_expiry_are_counted_at_the_exchange() -> None:
    option = attrs.evolve(SPY_CALL, expiry=date(2026, 3, 5))
    evening = datetime(2026, 3, 3, 3, 0, tzinfo=UTC)  # still March 2 in New York

    assert days_to_expiry(option, evening) == 3
    assert days_to_expiry(option, evening + timedelta(hours=2)) == 2
    assert days_to_expiry(attrs.evolve(option, time_zone="Asia/Tokyo"), evening) == 2
    assert days_to_expiry(attrs.evolve(option, time_zone="Nowhere/Land"), evening) == 3
    assert days_to_expiry(SPY, evening) is None
