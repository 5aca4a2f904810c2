"""Risk's ledger, closes that run at once, and P&L equal independent calculations with exact fractions."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.logic.closures import is_emergency
from actors.messages.orders import WorkingOrder
from actors.model.orders import OrderAction, Purpose
from actors.position.pnl import position_view
from actors.position.valuation import Valued
from actors.risk import exposure
from actors.risk.exposure import EMPTY
from actors.risk.judging import judge_closing
from actors.risk.limits import RiskInputs
from actors.sections.positions import Positions
from tests.unit.logic.values import (
    NOW,
    QQQ,
    SPY,
    SPY_CALL,
    closing_order,
    execution,
    holding,
    trade_request,
)

CONTRACTS = (SPY, QQQ, SPY_CALL)
contracts = st.sampled_from(CONTRACTS)
actions = st.sampled_from(list(OrderAction))

fills = st.builds(
    lambda number, correction, quantity, action, contract, reference: execution(
        float(quantity),
        f"{contract.con_id}.{action}.{reference}.{number}.{correction:02d}",
        action=action,
        contract=contract,
        order_ref=reference,
    ),
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(1, 50),
    actions,
    contracts,
    st.sampled_from(["a", "b"]),
)
orders = st.builds(
    lambda reference, signed, contract: WorkingOrder(
        order_ref=reference,
        contract=contract,
        signed_remaining=float(signed),
        price=10.0,
        purpose=Purpose.OPEN,
    ),
    st.sampled_from(["c", "d", "e", "f"]),
    st.integers(-50, 50).filter(bool),
    contracts,
)


@pytest.mark.req("RSK-6", "ORD-7", "POS-4")
@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(contracts, st.integers(-100, 100), max_size=3),
    st.lists(fills, max_size=12),
    st.lists(orders, max_size=4, unique_by=lambda order: order.order_ref),
)
def test_positions_and_worst_cases_equal_a_recomputation(
    held: dict[Any, int], arrived: list[Any], working: list[Any]
) -> None:
    holdings = [holding(float(quantity), contract) for contract, quantity in held.items()]
    ledger = exposure.reconcile(EMPTY, holdings, [], [], working)
    for item in arrived:
        ledger = exposure.apply_execution(ledger, item)

    newest: dict[str, Any] = {}
    for item in sorted(arrived, key=lambda item: item.exec_id, reverse=True):
        newest.setdefault(item.base_id, item)
    for contract in CONTRACTS:
        expected = Fraction(held.get(contract, 0))
        for item in newest.values():
            if item.contract == contract:
                expected += item.action.sign * Fraction(item.quantity)
        ours = [o.signed_remaining for o in working if o.contract == contract]
        buys = sum(Fraction(quantity) for quantity in ours if quantity > 0)
        sales = sum(Fraction(quantity) for quantity in ours if quantity < 0)

        assert expected == exposure.position(ledger, contract.con_id)
        low, high = exposure.worst_case(ledger, contract.con_id)
        assert expected + sales == low
        assert expected + buys == high


@pytest.mark.req("RSK-4", "RSK-6")
@settings(max_examples=300, deadline=None)
@given(
    st.integers(-50, 50),
    st.lists(
        st.tuples(
            st.sampled_from(["ask", "fill", "settle"]),
            st.integers(0, 5),
            st.integers(1, 60),
            actions,
        ),
        max_size=25,
    ),
)
def test_closes_that_run_at_once_never_flip_or_grow_a_position(
    held: int, steps: list[tuple[str, int, int, OrderAction]]
) -> None:
    ledger = exposure.reconcile(EMPTY, [holding(float(held))], [], [])
    left: dict[str, float] = {}
    for number, (kind, which, quantity, action) in enumerate(steps):
        reference = f"close-{which}"
        if kind == "ask" and reference not in left:
            order = closing_order(float(quantity), order_ref=reference, action=action)
            inputs = RiskInputs(
                order=order, request=trade_request(order), now=NOW, monotonic=0.0, ledger=ledger
            )
            if judge_closing(inputs).approved:
                ledger = exposure.reserve(ledger, exposure.reservation(ledger, order))
                left[reference] = order.action.sign * order.quantity
        elif kind == "fill" and left.get(reference):
            size = min(float(quantity), abs(left[reference]))
            side = OrderAction.BUY if left[reference] > 0 else OrderAction.SELL
            filled = execution(size, f"{number}.01", order_ref=reference, action=side)
            ledger = exposure.apply_execution(ledger, filled)
            left[reference] -= side.sign * size
        elif kind == "settle" and reference in left:
            ledger = exposure.settle(ledger, reference)
            left[reference] = 0.0

        now = exposure.position(ledger, SPY.con_id)
        low, high = exposure.worst_case(ledger, SPY.con_id)
        assert abs(now) <= abs(held)
        for edge in (now, low, high):
            assert edge * held >= 0, "a position was flipped"


@pytest.mark.req("POS-2")
@settings(max_examples=300, deadline=None)
@given(
    st.integers(-500, 500).filter(bool),
    st.decimals("0.01", "5000", places=2),
    st.decimals("0.01", "5000", places=2),
    contracts,
)
def test_profit_and_loss_equal_exact_fractions(
    quantity: int, price: Any, cost: Any, contract: Any
) -> None:
    multiplier = Fraction(contract.multiplier)
    held = holding(float(quantity), contract, float(Fraction(cost) * multiplier))
    exact = quantity * (Fraction(price) - Fraction(cost)) * multiplier
    exact_pct = exact / (abs(quantity) * Fraction(cost) * multiplier)

    view = position_view(held, Valued(price=float(price)), NOW, Positions())

    assert float(exact) == pytest.approx(view.unrealized_pnl, rel=1e-9, abs=1e-6)
    assert float(exact_pct) == pytest.approx(view.unrealized_pnl_pct, rel=1e-9, abs=1e-6)
    assert (exact_pct <= Fraction(-4, 10)) is is_emergency(view.unrealized_pnl_pct, Positions())
