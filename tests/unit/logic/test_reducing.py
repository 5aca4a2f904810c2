"""An order that can only reduce is judged as a close, whoever made it; regulators' minimums are in dollars (RSK-10)."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.model.orders import OrderAction, WireOrder
from actors.risk import exposure
from actors.risk.baselines import NO_BASELINES
from actors.risk.exposure import Ledger
from actors.risk.judging import closes, judge, judge_replaced
from actors.risk.rules import in_dollars, needs_day_trades
from actors.sections.risk import Risk
from tests.unit.logic.test_risk_rules import inputs, ledger
from tests.unit.logic.values import account, closing_order, holding, market_order

HELD = 100.0
NOTHING_KNOWN: dict[str, Any] = {
    "account": None,
    "quote": None,
    "baselines": NO_BASELINES,
    "opening_blocked_by": "market data is not proved yet",
}
STRICT = Risk(
    max_orders_per_minute=0, max_open_positions=0, max_position_value=0.0, duplicate_window_s=60.0
)


def sale(quantity: float, **changes: Any) -> WireOrder:
    """A strategy's own sale."""
    return market_order(quantity, action=OrderAction.SELL, **changes)


@pytest.mark.req("RSK-10", "RSK-5")
@pytest.mark.parametrize("judged", [judge, judge_replaced])
@pytest.mark.parametrize("quantity", [1.0, HELD])
def test_a_sale_of_what_is_held_passes_whatever_forbids_to_open(
    judged: Any, quantity: float
) -> None:
    """Around midnight there was no baseline of the new day yet, and 44 sales of held positions were refused."""
    verdict = judged(inputs(sale(quantity), ledger=ledger(holding(HELD)), **NOTHING_KNOWN), STRICT)

    assert verdict.approved, verdict.rejection_reasons
    assert verdict.notes  # what was passed over is said


REFUSED: dict[str, tuple[WireOrder, Ledger, str]] = {
    "more than is held": (sale(HELD + 1), ledger(holding(HELD)), "opening is blocked"),
    "what adds": (market_order(1), ledger(holding(HELD)), "opening is blocked"),
    "nothing is held": (sale(1), ledger(), "opening is blocked"),
    "positions are unknown": (
        sale(1),
        exposure.forget(ledger(holding(HELD))),
        "positions are unknown",
    ),
}


@pytest.mark.req("RSK-10")
@pytest.mark.parametrize(("order", "held", "words"), REFUSED.values(), ids=REFUSED)
def test_whatever_could_add_is_judged_as_an_opening(
    order: WireOrder, held: Ledger, words: str
) -> None:
    verdict = judge(inputs(order, ledger=held, **NOTHING_KNOWN), STRICT)

    assert any(words in reason for reason in verdict.rejection_reasons)


@pytest.mark.req("RSK-10", "RSK-4")
def test_under_the_latch_nothing_reduces_but_the_closes_of_strategy_c() -> None:
    held = ledger(holding(HELD))

    ours = judge(inputs(closing_order(HELD), ledger=held, latched="a loss"), STRICT)
    strategys = judge(inputs(sale(HELD), ledger=held, latched="a loss"), STRICT)

    assert ours.approved
    assert strategys.rejection_reasons == (
        "Strategy C is latched (a loss), and closes what is held itself",
    )


@pytest.mark.req("RSK-10", "RSK-4")
@given(
    held=st.integers(-50, 50),
    working=st.lists(st.tuples(st.sampled_from(OrderAction), st.integers(1, 50)), max_size=3),
    action=st.sampled_from(OrderAction),
    quantity=st.integers(1, 60),
)
def test_what_is_judged_as_a_close_never_turns_a_position(
    held: int, working: list[tuple[OrderAction, int]], action: OrderAction, quantity: int
) -> None:
    book = ledger(*([holding(float(held))] if held else []))
    for n, (side, size) in enumerate(working):
        other = market_order(float(size), action=side, order_ref=f"CSATSPRIM:other-{n}")
        book = exposure.reserve(book, exposure.reservation(book, other, 600.0))
    order = market_order(float(quantity), action=action)

    same_side = sum(size for side, size in working if side is action)
    worst = held + action.sign * (quantity + same_side)

    reduces = held * action.sign < 0 and worst * held >= 0
    assert closes(order, book) is reduces


@pytest.mark.req("RSK-10", "RSK-1")
@pytest.mark.parametrize(
    ("worth", "currency", "rates", "counts"),
    [
        (24_999.0, "USD", {}, True),
        (25_000.0, "USD", {}, False),
        (3_000_000.0, "JPY", {"USD": 150.0}, True),
        (3_750_000.0, "JPY", {"USD": 150.0}, False),
        (24_000.0, "GBP", {"USD": 0.8}, False),
        (1e9, "JPY", {}, True),  # nobody says what it is in dollars
    ],
)
def test_the_day_trade_minimum_is_in_dollars(
    worth: float, currency: str, rates: dict[str, float], counts: bool
) -> None:
    dollars = in_dollars(worth, account(worth, currency=currency, exchange_rates=rates))

    assert needs_day_trades(dollars, Risk(day_trades="pdt")) is counts
    assert rates or currency == "USD" or (dollars is not None and math.isnan(dollars))
