"""What a close over pending orders could make of a position, as a person is told before it is done (STC-13)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.logic.worst_turns import Pending, WorstTurn, worst_turns
from actors.model.orders import ExecutionMode, OrderAction, OrderResult, OrderStatus
from tests.unit.logic.values import (
    NOW,
    QQQ,
    REF,
    SPY_CALL,
    broker_state,
    holding,
    told_whole,
)

BUY, SELL = OrderAction.BUY, OrderAction.SELL


def working(action: OrderAction, quantity: float, **changes: Any) -> Any:
    """An order as the broker shows it, nothing of it filled."""
    return told_whole("Submitted", quantity, action=action, remaining=quantity, **changes)


def ours(order_id: str, action: OrderAction, quantity: float, filled: float = 0.0) -> OrderResult:
    """An order of ours whose fate is being asked for."""
    return OrderResult(
        order_id=order_id,
        status=OrderStatus.UNKNOWN,
        symbol="SPY",
        action=action,
        quantity=quantity,
        fill_quantity=filled,
        execution_mode=ExecutionMode.PAPER,
        timestamp=NOW,
    )


def test_a_resting_stop_that_fills_after_the_close_turns_the_position() -> None:
    state = broker_state(holdings=(holding(48),), open_orders=(working(SELL, 48),))

    (turn,) = worst_turns(state, (), "SPY")

    assert (turn.held, turn.worst) == (48, -48)
    assert str(turn) == (
        f"SPY: 48 held; can still fill: SELL 48 ({REF}); after the close it could become -48"
    )


def test_an_order_of_ours_that_the_broker_shows_counts_once() -> None:
    state = broker_state(holdings=(holding(48),), open_orders=(working(SELL, 48),))

    (turn,) = worst_turns(state, (ours(REF.partition(":")[2], SELL, 48),), "SPY")

    assert turn.worst == -48


def test_an_order_of_unknown_fate_counts_for_every_contract_of_its_symbol() -> None:
    state = broker_state(holdings=(holding(48), holding(2, SPY_CALL), holding(7, QQQ)))

    turns = worst_turns(state, (ours("ORD_1", SELL, 10, filled=4),), "SPY")

    assert [(turn.contract, turn.held, turn.worst) for turn in turns] == [
        ("SPY", 48, -6),
        ("SPY 20260320 600C", 2, -6),
    ]
    assert "ORD_1, fate not known" in str(turns[0])


def test_without_a_position_what_can_fill_is_still_told() -> None:
    assert worst_turns(broker_state(), (), "SPY") == ()

    (unknown,) = worst_turns(broker_state(), (ours("ORD_1", BUY, 10),), "SPY")
    (resting,) = worst_turns(broker_state(open_orders=(working(BUY, 10),)), (), "SPY")

    assert (unknown.contract, unknown.held, unknown.worst) == ("SPY", 0, 10)
    assert (resting.contract, resting.held, resting.worst) == ("SPY", 0, 10)


@pytest.mark.parametrize(
    "order",
    [
        working(SELL, 5, contract=QQQ),
        working(SELL, 5, account="DU2"),
        told_whole("Filled", 5, action=SELL, remaining=0.0),
        told_whole("Cancelled", 5, action=SELL, remaining=5.0),
    ],
    ids=["another contract", "another account", "filled", "cancelled"],
)
def test_what_cannot_fill_here_is_left_out(order: Any) -> None:
    (turn,) = worst_turns(broker_state(holdings=(holding(5),), open_orders=(order,)), (), "SPY")

    assert turn.pending == ()
    assert str(turn) == "SPY: 5 held, no order can still fill"


def test_an_order_that_was_described_by_half_counts_for_both_sides() -> None:
    order = told_whole("Submitted", 5, action=None, remaining=None)

    (turn,) = worst_turns(broker_state(holdings=(holding(5),), open_orders=(order,)), (), "SPY")

    assert [(each.action, each.quantity) for each in turn.pending] == [(BUY, 5), (SELL, 5)]


@given(
    held=st.integers(-100, 100),
    pending=st.lists(st.tuples(st.sampled_from(OrderAction), st.integers(1, 100)), max_size=6),
    fills=st.lists(st.floats(0.0, 1.0), min_size=6, max_size=6),
)
def test_no_way_of_filling_ends_worse_than_the_worst(
    held: int, pending: list[tuple[OrderAction, int]], fills: list[float]
) -> None:
    orders = tuple(
        Pending(action=action, quantity=quantity, name="x") for action, quantity in pending
    )
    turn = WorstTurn(contract="SPY", held=held, pending=orders)

    pairs = zip(pending, fills, strict=False)
    end = sum(action.sign * quantity * share for (action, quantity), share in pairs)

    assert abs(end) <= abs(turn.worst) + 1e-9
