"""Profit and loss, and what is due to be closed."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta

import attrs
import pytest

from actors.logic.closures import closure_trigger, days_to_expiry
from actors.model.contracts import Contract
from actors.model.orders import CloseReason
from actors.position.pnl import exit_price, position_view, position_views
from actors.sections.positions import Positions
from tests.unit.logic.values import NOW, QQQ, SPY, SPY_CALL, holding, quote

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
    view = position_view(holding(quantity, contract, cost), price, NOW, LIMITS)

    assert profit == pytest.approx(view.unrealized_pnl)
    assert percent == pytest.approx(view.unrealized_pnl_pct)
    assert cost / contract.multiplier == view.entry_price


@pytest.mark.req("POS-2")
@pytest.mark.parametrize("price", [None, 0.0, -1.0, math.nan, math.inf])
def test_an_unknown_price_makes_no_profit_and_no_emergency(price: float | None) -> None:
    view = position_view(holding(2, SPY_CALL, 500.0), price, NOW, LIMITS)

    assert (
        view.current_price,
        view.unrealized_pnl,
        view.unrealized_pnl_pct,
    ) == (None, None, None)
    assert (view.should_close_emergency, view.closure_trigger) == (False, None)


@pytest.mark.req("POS-1")
def test_a_position_is_known_by_symbol_and_contract() -> None:
    view = position_view(holding(10), 600.0, NOW, LIMITS, is_cached=True)

    assert (view.position_id, view.symbol, view.days_to_expiry) == ("SPY_756733", "SPY", None)
    assert view.is_cached


@pytest.mark.req("POS-2")
def test_a_position_without_a_cost_has_no_percentage() -> None:
    assert position_view(holding(10, SPY, 0.0), 600.0, NOW, LIMITS).unrealized_pnl_pct is None


@pytest.mark.req("POS-3")
@pytest.mark.parametrize(
    ("days", "percent", "expected"),
    [
        (None, None, None),
        (None, -0.3999, None),
        (None, -0.4, CloseReason.EMERGENCY_STOP),
        (4, 0.1, None),
        (3, 0.1, CloseReason.THREE_DTE_RULE),
        (0, None, CloseReason.THREE_DTE_RULE),
        (-1, None, CloseReason.THREE_DTE_RULE),
        (3, -0.4, CloseReason.EMERGENCY_STOP),
        (10, -0.99, CloseReason.EMERGENCY_STOP),
    ],
)
def test_a_position_is_due_by_expiry_or_loss(
    days: int | None, percent: float | None, expected: CloseReason | None
) -> None:
    assert closure_trigger(days, percent, LIMITS) is expected


@pytest.mark.req("POS-3")
@pytest.mark.parametrize("cost", [0.07, 1.1, 3.3, 250.0, 333.33])
def test_a_loss_of_exactly_the_limit_triggers_whatever_its_binary_form(cost: float) -> None:
    view = position_view(holding(3, SPY, cost), cost * 0.6, NOW, LIMITS)

    assert view.should_close_emergency


@pytest.mark.req("POS-3")
def test_days_to_expiry_are_counted_at_the_exchange() -> None:
    option = attrs.evolve(SPY_CALL, expiry=date(2026, 3, 5))
    evening = datetime(2026, 3, 3, 3, 0, tzinfo=UTC)  # still March 2 in New York

    assert days_to_expiry(option, evening) == 3
    assert days_to_expiry(option, evening + timedelta(hours=2)) == 2
    assert days_to_expiry(attrs.evolve(option, time_zone="Asia/Tokyo"), evening) == 2
    assert days_to_expiry(attrs.evolve(option, time_zone="Nowhere/Land"), evening) == 3
    assert days_to_expiry(SPY, evening) is None


@pytest.mark.req("POS-2")
def test_a_position_is_valued_at_the_last_then_the_middle_then_the_side_of_its_close() -> None:
    long, short = holding(1), holding(-1)

    assert exit_price(long, quote()) == 600.0
    assert exit_price(long, quote(last=None)) == 600.0
    assert exit_price(long, quote(last=None, ask=None)) == 599.9
    assert exit_price(short, quote(last=None, ask=None)) is None
    assert exit_price(long, None) is None


@pytest.mark.req("POS-1")
def test_all_holdings_are_described_and_empty_ones_left_out() -> None:
    views = position_views(
        [holding(10), holding(0, QQQ), holding(1, SPY_CALL)], {SPY.con_id: quote()}, NOW, LIMITS
    )

    assert [view.current_price for view in views] == [600.0, None]
