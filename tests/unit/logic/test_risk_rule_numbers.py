"""Every rule of risk with its numbers and its words, at its limit and just beyond; and what it looks at."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from actors.model.orders import OrderAction, Purpose
from actors.risk import exposure, rules
from actors.risk.case import Finding, Rule, case_of
from actors.risk.judging import judge_opening
from actors.risk.limits import DayTradePolicy, RiskInputs
from actors.sections.risk import Risk
from tests.unit.logic.test_risk_rules import LIMITS, OTHER, earlier, inputs, ledger, low, worth
from tests.unit.logic.values import (
    MONOTONIC,
    QQQ,
    SPY,
    SPY_CALL,
    account,
    closing_order,
    holding,
    market_order,
    quote,
    trade_request,
    wire_order,
)

FINE: Finding = (None, {})
SELL = OrderAction.SELL


def found(rule: Rule, given: RiskInputs, limits: Risk = LIMITS) -> Finding:
    return rule(case_of(given, limits))


def beside(*orders: Any, prices: float | None = 600.0, **fields: Any) -> dict[str, Any]:
    """Other orders in flight."""
    known = ledger()
    for order in orders:
        known = exposure.reserve(known, exposure.reservation(known, order, prices))
    return {"ledger": known, **fields}


def other(quantity: float = 10, **fields: Any) -> Any:
    return market_order(quantity, **({"order_ref": OTHER, "contract": QQQ} | fields))


REDUCING = inputs(
    market_order(10, action=SELL),
    ledger=ledger(holding(100), *[holding(1, attrs.evolve(QQQ, con_id=n)) for n in range(1, 30)]),
    day_trades=99,
    account=account(24_999.0, available_funds=0.0),
    baselines=worth(24_999.0),
)
"""An order that only takes from a position, in an account that is at every limit of what is added."""

ADDED = [
    rules.position_quantity,
    rules.position_value,
    rules.total_exposure,
    rules.affordable,
    rules.day_trades,
    rules.open_positions,
]


@pytest.mark.req("RSK-1")
@pytest.mark.parametrize("rule", ADDED, ids=lambda rule: rule.__name__)
def test_what_adds_nothing_is_held_to_no_limit_of_what_is_added(rule: Rule) -> None:
    tight = low(
        max_position_value=1.0,
        max_position_quantity=1.0,
        max_total_exposure_value=1.0,
        max_open_positions=1,
    )
    one_added = attrs.evolve(REDUCING, order=market_order(1))

    assert found(rule, REDUCING, tight) == FINE
    assert found(rule, one_added, tight)[0] is not None


@pytest.mark.req("RSK-2")
def test_a_sound_order_shows_every_number_and_its_limit() -> None:
    poor = account(24_999.0, available_funds=10_000.0)
    given = inputs(wire_order(2), account=poor, baselines=worth(24_999.0), day_trades=1)
    numbers: dict[str, float] = {}
    for rule in rules.RULES:
        reason, looked_at = found(rule, given)
        assert reason is None, reason
        numbers |= looked_at

    assert numbers == pytest.approx(
        {
            "net_liquidation": 24_999.0,
            "quote_age_s": 0.0,
            "quote_age_s_limit": 300.0,
            "position_quantity": 2.0,
            "position_quantity_limit": 1_000.0,
            "position_value": 1_200.0,
            "position_value_limit": 100_000.0,
            "total_exposure": 1_200.0,
            "total_exposure_limit": 500_000.0,
            "trade_risk": 60.0,
            "trade_risk_limit": 499.98,
            "order_cost": 1_201.0,
            "order_cost_limit": 10_000.0,
            "day_trades": 2.0,
            "day_trades_limit": 3.0,
            "daily_loss_ratio": 0.0,
            "daily_loss_ratio_limit": 0.03,
            "weekly_drawdown_ratio": 0.0,
            "weekly_drawdown_ratio_limit": 0.06,
            "open_positions": 1.0,
            "open_positions_limit": 10.0,
            "orders_per_minute": 1.0,
            "orders_per_minute_limit": 30.0,
            "price_deviation_ratio": 0.0,
            "price_deviation_ratio_limit": 0.05,
        }
    )


TIGHT = low(max_position_quantity=9.0, max_position_value=6000.0, max_total_exposure_value=6000.0)
UNNAMED = account(currency="")
POOR: dict[str, Any] = {"account": account(24_999.0), "baselines": worth(24_999.0)}
TINY: dict[str, Any] = {"account": account(1_999.0), "baselines": worth(1_999.0)}
MARGIN = low(day_trades=DayTradePolicy.INTRADAY_MARGIN)

EXPIRES_IN_2 = datetime(2026, 3, 18, 15, tzinfo=UTC)

WORDS: list[tuple[Rule, RiskInputs, Risk, str]] = [
    (
        rules.latch_open,
        inputs(latched="a disconnect"),
        LIMITS,
        "Strategy C is latched (a disconnect); an operator has to re-arm",
    ),
    (
        rules.opening_ready,
        inputs(opening_blocked_by="maintenance"),
        LIMITS,
        "opening is blocked: maintenance",
    ),
    (
        rules.positions_known,
        inputs(ledger=exposure.EMPTY),
        LIMITS,
        "positions are unknown; wait for the reconciliation",
    ),
    (
        rules.account_known,
        inputs(account=account(0.0)),
        LIMITS,
        "the account's net liquidation is unknown (was 0.0)",
    ),
    (
        rules.currency_known,
        inputs(account=UNNAMED),
        LIMITS,
        "the contract is in USD and the account in an unknown currency,"
        " and the broker tells no exchange rate: it can be held to no limit",
    ),
    (
        rules.quote_fresh,
        inputs(quote=None),
        LIMITS,
        "there is no quote to judge the order's price by",
    ),
    (
        rules.quote_fresh,
        inputs(wire_order(10), quote=None),
        LIMITS,
        "there is no quote to judge the order's price by",
    ),
    (
        rules.quote_fresh,
        inputs(quote=quote(QQQ)),
        LIMITS,
        "the quote is of another contract (QQQ_320227571)",
    ),
    (rules.quote_fresh, inputs(quote=quote(halted=True)), LIMITS, "trading in SPY is halted"),
    (
        rules.quote_fresh,
        inputs(monotonic=MONOTONIC + 301.0),
        LIMITS,
        "quote age in seconds (301) exceeds limit (300)",
    ),
    (
        rules.position_quantity,
        inputs(),
        TIGHT,
        "position quantity (10) exceeds limit (9)",
    ),
    (rules.position_value, inputs(), TIGHT, "position value (6,001) exceeds limit (6,000)"),
    (rules.total_exposure, inputs(), TIGHT, "total exposure (6,001) exceeds limit (6,000)"),
    (
        rules.total_exposure,
        inputs(ledger=ledger(holding(1, QQQ, 0.0))),
        LIMITS,
        "total exposure is unknown, limit (500,000)",
    ),
    (
        rules.risk_per_trade,
        inputs(market_order(100)),
        LIMITS,
        "risk of the trade (3,000.5) exceeds limit (2,000)",
    ),
    (
        rules.affordable,
        inputs(account=account(available_funds=None)),
        LIMITS,
        "the account's available funds are unknown",
    ),
    (
        rules.affordable,
        inputs(account=account(buying_power=None)),
        MARGIN,
        "the account's buying power are unknown",
    ),
    (
        rules.affordable,
        inputs(account=account(available_funds=6_001.0)),
        LIMITS,
        "cost in view of available funds (6,002) exceeds limit (6,001)",
    ),
    (
        rules.affordable,
        inputs(account=account(buying_power=6_001.0)),
        MARGIN,
        "cost in view of buying power (6,002) exceeds limit (6,001)",
    ),
    (
        rules.day_trades,
        inputs(day_trades=None, **POOR),
        LIMITS,
        "the number of day trades is unknown",
    ),
    (rules.day_trades, inputs(day_trades=3, **POOR), LIMITS, "day trades (4) exceeds limit (3)"),
    (
        rules.day_trades,
        inputs(**TINY),
        MARGIN,
        "equity (1,999 USD) is below the minimum for margin (2,000 USD)",
    ),
    (
        rules.daily_loss,
        inputs(account=account(97_000.0)),
        LIMITS,
        "daily loss (0.0300) reached its limit (0.0300)",
    ),
    (
        rules.daily_loss,
        inputs(account=None),
        LIMITS,
        "the daily loss is unknown: there is no baseline or no account",
    ),
    (
        rules.weekly_drawdown,
        inputs(baselines=worth(100_000.0, 107_000.0)),
        LIMITS,
        "weekly drawdown (0.0654) reached its limit (0.0600)",
    ),
    (
        rules.open_positions,
        inputs(ledger=ledger(holding(1, QQQ))),
        low(max_open_positions=1),
        "open positions (2) exceeds limit (1)",
    ),
    (
        rules.order_rate,
        inputs(recent_orders=(earlier(other(), 59.0),)),
        low(max_orders_per_minute=1),
        "orders per minute (2) exceeds limit (1)",
    ),
    (
        rules.price_sane,
        inputs(wire_order(10, limit_price=631.0)),
        LIMITS,
        "deviation of the price 631 from the last, 600, as a ratio (0.0516667) exceeds limit (0.05)",
    ),
    (
        rules.price_sane,
        inputs(market_order(10, stop_price=631.0)),
        LIMITS,
        "deviation of the price 631 from the last, 600, as a ratio (0.0516667) exceeds limit (0.05)",
    ),
    (
        rules.price_sane,
        inputs(wire_order(10), quote=quote(last=0.0)),
        LIMITS,
        "there is no last price to compare the order's price with",
    ),
    (
        rules.no_duplicate,
        inputs(recent_orders=(earlier(market_order(10, order_ref=OTHER), 4.5),)),
        LIMITS,
        f"duplicate of {OTHER}: age (4.5 s) is below (5 s)",
    ),
    (
        rules.no_short,
        inputs(market_order(10, action=SELL), ledger=ledger(holding(4))),
        LIMITS,
        "short selling is not allowed: the position could fall to (-6), limit (0)",
    ),
    (
        rules.not_closed_at_once,
        inputs(wire_order(1, contract=SPY_CALL), now=EXPIRES_IN_2, close_at_dte=3),
        LIMITS,
        "it expires in (2) days, and what has (3) or fewer is closed by itself",
    ),
    (
        rules.not_closed_at_once,
        inputs(stops_reached={SPY.con_id: 0.45}, emergency_loss_ratio=0.4),
        LIMITS,
        "the position's loss (0.4500) has reached the emergency stop (0.4000): it is closed by itself",
    ),
    (
        rules.no_close_beside,
        inputs(
            market_order(10, action=SELL),
            ledger=exposure.reserve(
                ledger(holding(48)),
                exposure.reservation(ledger(), closing_order(48, order_ref=OTHER)),
            ),
        ),
        LIMITS,
        "a close of (48) can still fill on this side: nothing opens beside it",
    ),
]


@pytest.mark.req("RSK-2")
@pytest.mark.parametrize(
    ("rule", "given", "limits", "words"),
    WORDS,
    ids=[f"{row[0].__name__}-{row[3]}" for row in WORDS],
)
def test_a_reason_says_what_with_its_value_and_its_limit(
    rule: Rule, given: RiskInputs, limits: Risk, words: str
) -> None:
    assert found(rule, given, limits)[0] == words


def test_every_rule_has_its_words_here() -> None:
    assert {row[0] for row in WORDS} == set(rules.RULES)


# (what is compared, inputs at the limit, limits, inputs just beyond it)
EDGES: list[tuple[Rule, RiskInputs, Risk, RiskInputs]] = [
    (rules.account_known, inputs(account=account(0.5)), LIMITS, inputs(account=account(0.0))),
    (
        rules.position_quantity,
        inputs(market_order(9)),
        TIGHT,
        inputs(market_order(9.5)),
    ),
    (
        rules.affordable,
        inputs(account=account(available_funds=6_002.0)),
        LIMITS,
        inputs(account=account(available_funds=6_001.99)),
    ),
    (
        rules.day_trades,
        inputs(day_trades=9, account=account(25_000.0), baselines=worth(25_000.0)),
        LIMITS,
        inputs(day_trades=9, **POOR),
    ),
    (
        rules.day_trades,
        inputs(account=account(2_000.0), baselines=worth(2_000.0)),
        MARGIN,
        inputs(**TINY),
    ),
    (
        rules.order_rate,
        inputs(recent_orders=(earlier(other(), 60.0), earlier(other(), 59.0))),
        low(max_orders_per_minute=2),
        inputs(recent_orders=(earlier(other(), 59.9), earlier(other(), 59.0))),
    ),
    (
        rules.no_duplicate,
        inputs(recent_orders=(earlier(market_order(10, order_ref=OTHER), 5.0),)),
        LIMITS,
        inputs(recent_orders=(earlier(market_order(10, order_ref=OTHER), 4.99),)),
    ),
    (
        rules.daily_loss,
        inputs(account=account(97_000.5)),
        LIMITS,
        inputs(account=account(97_000.0)),
    ),
    (
        rules.price_sane,
        inputs(wire_order(10, limit_price=0.5), quote=quote(last=0.5)),
        LIMITS,
        inputs(wire_order(10, limit_price=0.5), quote=quote(last=0.0)),
    ),
    (
        rules.no_short,
        inputs(market_order(10, action=SELL), ledger=ledger(holding(10))),
        LIMITS,
        inputs(market_order(10.5, action=SELL), ledger=ledger(holding(10))),
    ),
]


@pytest.mark.req("RSK-1")
@pytest.mark.parametrize(
    ("rule", "at_limit", "limits", "beyond"), EDGES, ids=[row[0].__name__ for row in EDGES]
)
def test_a_rule_turns_exactly_at_its_limit(
    rule: Rule, at_limit: RiskInputs, limits: Risk, beyond: RiskInputs
) -> None:
    assert found(rule, at_limit, limits)[0] is None
    assert found(rule, beyond, limits)[0] is not None


@pytest.mark.req("RSK-3")
@pytest.mark.parametrize("quantity", [math.nan, math.inf, -math.inf, -5.0, 0.0])
@pytest.mark.parametrize("action", list(OrderAction))
def test_a_quantity_that_is_no_positive_number_is_refused(
    quantity: float, action: OrderAction
) -> None:
    asked = inputs(market_order(quantity, action=action), ledger=ledger(holding(10)))

    assert found(rules.position_quantity, asked)[0] == (
        f"the order's quantity must be a positive number (was {quantity:g})"
    )
    assert not judge_opening(asked, low(allow_short=True)).approved


# --- what a rule looks at ---------------------------------------------------------------------------------------------


@pytest.mark.req("RSK-1", "RSK-6")
def test_the_exposure_takes_the_dearer_of_the_orders_price_and_the_last() -> None:
    dear = inputs(wire_order(1, limit_price=700.0), prices={SPY.con_id: 650.0})
    cheap = inputs(wire_order(1, limit_price=0.25), prices={SPY.con_id: 650.0})
    unseen = inputs(wire_order(1, limit_price=0.25))

    values = [
        found(rules.total_exposure, each)[1]["total_exposure"] for each in (dear, cheap, unseen)
    ]

    assert values == [700.0, 650.0, 0.25]


@pytest.mark.req("RSK-1", "RSK-9")
@pytest.mark.parametrize(
    ("contract", "stop", "loss"),
    [
        (SPY, None, 300.05),
        (SPY, 0.01, 300.05),
        (SPY_CALL, None, 60_010.0),
        (SPY_CALL, 0.5, 60_010.0),
    ],
)
def test_a_trade_may_lose_what_is_assumed_an_option_all_whatever_stop_is_only_named(
    contract: Any, stop: float | None, loss: float
) -> None:
    order = market_order(10 if contract is SPY else 1, contract=contract)
    request = trade_request(order, risk_per_trade=0.02, stop_loss_pct=stop)

    numbers = found(rules.risk_per_trade, inputs(order, request=request))[1]

    assert numbers["trade_risk"] == pytest.approx(loss)


@pytest.mark.req("RSK-1", "RSK-6")
@pytest.mark.parametrize(
    ("orders", "prices", "cost"),
    [
        ((), {}, 6_002.0),
        ((other(10),), {}, 12_003.0),
        ((other(10, purpose=Purpose.CLOSE),), {}, 6_002.0),
        ((other(1_000),), {}, 606_007.0),
        ((other(1, contract=SPY_CALL),), {}, 66_003.0),
        ((other(10, contract=SPY_CALL),), {}, 606_008.5),
    ],
)
def test_funds_cover_all_that_opens_with_its_commission(
    orders: tuple[Any, ...], prices: dict[int, float], cost: float
) -> None:
    given = inputs(prices=prices, **beside(*orders))

    assert found(rules.affordable, given)[1]["order_cost"] == pytest.approx(cost)


@pytest.mark.req("RSK-1", "RSK-6")
def test_an_order_in_flight_without_a_price_costs_its_quote_and_nobody_knows_without_one() -> None:
    priced = inputs(prices={QQQ.con_id: 500.0}, **beside(other(10), prices=None))
    unknown = inputs(prices={SPY.con_id: 500.0}, **beside(other(10), prices=None))

    assert found(rules.affordable, priced)[1]["order_cost"] == pytest.approx(11_003.0)
    assert "is unknown" in str(found(rules.affordable, unknown)[0])


@pytest.mark.req("RSK-1")
@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({}, 1.0),
        ({"opened_today": frozenset({QQQ.con_id})}, 1.0),
        ({"opened_today": frozenset({QQQ.con_id}), "ledger": ledger(holding(1, QQQ))}, 2.0),
        ({"ledger": ledger(holding(1, QQQ))}, 1.0),
        (beside(other()), 2.0),
        (beside(other(purpose=Purpose.CLOSE)), 1.0),
        (beside(other(contract=SPY)), 1.0),
    ],
)
def test_a_day_trade_is_each_contract_that_was_or_could_be_opened_today(
    fields: dict[str, Any], count: float
) -> None:
    assert found(rules.day_trades, inputs(**POOR, **fields))[1]["day_trades"] == count


@pytest.mark.req("RSK-1")
@pytest.mark.parametrize(
    ("equity", "policy", "needed"),
    [
        (24_999.0, DayTradePolicy.PDT, True),
        (25_000.0, DayTradePolicy.PDT, False),
        (math.nan, DayTradePolicy.PDT, True),
        (None, DayTradePolicy.PDT, False),
        (1.0, DayTradePolicy.OFF, False),
        (1.0, DayTradePolicy.INTRADAY_MARGIN, False),
    ],
)
def test_day_trades_are_counted_only_where_they_matter(
    equity: float | None, policy: DayTradePolicy, needed: bool
) -> None:
    assert rules.needs_day_trades(equity, low(day_trades=policy)) is needed


@pytest.mark.req("RSK-1")
@pytest.mark.parametrize(
    "fields", [{"account": None, "baselines": worth(1.0)}, {"account": account(None)}]
)
def test_without_a_known_equity_day_trades_are_another_rules_matter(fields: dict[str, Any]) -> None:
    assert found(rules.day_trades, inputs(day_trades=99, **fields)) == FINE
    assert found(rules.day_trades, inputs(day_trades=99, **fields), MARGIN) == FINE


@pytest.mark.req("RSK-1")
@pytest.mark.parametrize(
    "change",
    [
        {"quantity": 11.0},
        {"action": SELL},
        {"contract": QQQ},
        {"limit_price": 601.0},
        {"stop_price": 590.0},
        {"order_ref": market_order().order_ref},
    ],
    ids=str,
)
def test_a_twin_is_equal_in_everything_that_is_asked_for(change: dict[str, Any]) -> None:
    almost = attrs.evolve(market_order(10, order_ref=OTHER), **change)

    assert found(rules.no_duplicate, inputs(recent_orders=(earlier(almost, 1.0),))) == FINE


@pytest.mark.req("RSK-1")
def test_the_first_of_several_twins_is_named() -> None:
    twins = tuple(earlier(market_order(10, order_ref=name), 2.0) for name in ("a", "b"))

    assert str(found(rules.no_duplicate, inputs(recent_orders=twins))[0]).startswith(
        "duplicate of a"
    )
