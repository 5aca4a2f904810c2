"""Day trades that are still to come: what is opened today may have to be closed today (RSK-1, RSK-6)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from actors.model.orders import OrderAction
from actors.risk.day_trades import opened_today
from actors.risk.judging import judge_opening
from actors.sections.risk import Risk
from tests.unit.logic.test_risk_rules import OTHER, inputs, ledger, reserved, worth
from tests.unit.logic.values import (
    NOW,
    QQQ,
    SPY,
    account,
    execution,
    holding,
    market_order,
    wire_order,
)

LIMITS = Risk(
    max_position_value=100_000.0,
    max_total_exposure_value=500_000.0,
    price_band_ratio=0.05,
    quote_max_age_s=300.0,
    risk_per_trade_ratio=1.0,
)
MORE, LESS = 26_000.0, 24_000.0
ONE = market_order(1)


def rejects(**given: Any) -> bool:
    """Whether the rule has a reason, in an account below the minimum unless ``given`` says otherwise."""
    poor = {"account": account(LESS), "baselines": worth(LESS)}
    return "day_trades" in judge_opening(inputs(ONE, **(poor | given)), LIMITS).rejected_by


@pytest.mark.req("RSK-1")
@pytest.mark.parametrize(
    ("at_the_days_begin", "now", "counts"),
    [(MORE, MORE, False), (LESS, MORE, True), (MORE, LESS, True), (LESS, LESS, True)],
)
def test_the_rule_looks_at_the_equity_of_the_day_before_and_at_a_loss_since(
    at_the_days_begin: float, now: float, counts: bool
) -> None:
    given = {"account": account(now), "baselines": worth(at_the_days_begin)}

    assert rejects(day_trades=3, **given) is counts


@pytest.mark.req("RSK-1", "RSK-6")
def test_two_orders_at_once_do_not_lead_to_a_fourth_day_trade() -> None:
    another = reserved(wire_order(1, contract=QQQ, order_ref=OTHER))

    assert not rejects(day_trades=2)
    assert rejects(day_trades=2, ledger=another)
    assert not rejects(day_trades=1, ledger=another)


@pytest.mark.req("RSK-1")
def test_what_was_opened_today_and_is_still_held_counts_and_what_was_held_before_does_not() -> None:
    held = ledger(holding(10, QQQ, 50.0))

    assert not rejects(day_trades=2, ledger=held)
    assert rejects(day_trades=2, ledger=held, opened_today=frozenset({QQQ.con_id}))
    assert not rejects(day_trades=2, opened_today=frozenset({QQQ.con_id})), "it is not held"


@pytest.mark.req("RSK-1")
def test_more_of_what_was_opened_today_is_closed_by_the_same_trade() -> None:
    held = ledger(holding(10, SPY, 50.0))

    assert not rejects(day_trades=2, ledger=held, opened_today=frozenset({SPY.con_id}))


@pytest.mark.req("RSK-1")
def test_opened_today_is_what_more_orders_opened_than_closed() -> None:
    def trade(number: int, contract: Any, action: OrderAction, days_ago: int = 0) -> Any:
        return execution(
            1,
            f"e.{number}.01",
            perm_id=number,
            action=action,
            contract=contract,
            executed_at=NOW - timedelta(days=days_ago),
        )

    buy, sell = OrderAction.BUY, OrderAction.SELL
    closed = [trade(1, SPY, buy), trade(2, SPY, sell)]
    of_friday = [trade(3, QQQ, buy, days_ago=3)]

    assert opened_today([*closed, *of_friday], NOW) == frozenset()
    assert opened_today([*closed, trade(4, SPY, buy)], NOW) == {SPY.con_id}
    assert opened_today([trade(5, QQQ, sell)], NOW) == {QQQ.con_id}
