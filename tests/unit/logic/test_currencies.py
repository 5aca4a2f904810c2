"""Limits are in the account's currency, whatever the contract's is (RSK-1, RSK-3)."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest

from actors.link.account_values import AccountValues
from actors.risk import exposure
from actors.risk.judging import judge_closing, judge_opening
from actors.sections.risk import Risk
from tests.unit.logic.test_risk_rules import inputs, ledger
from tests.unit.logic.values import NOW, QQQ, account, closing_order, holding, market_order

YEN_PER_DOLLAR = 150.0
LIMITS = Risk(
    max_position_value=1e6,
    max_total_exposure_value=1e6,
    price_band_ratio=0.05,
    quote_max_age_s=300.0,
)
SHARES = 10
ASK = 600.1
IN_YEN = attrs.evolve(QQQ, currency="JPY")


def in_yen(**rates: float) -> Any:
    """A rich account in Japan."""
    return account(
        1e9, available_funds=1e9, currency="JPY", exchange_rates=rates or {"USD": YEN_PER_DOLLAR}
    )


def numbers_of(given: Any) -> Any:
    return judge_opening(given, LIMITS).risk_metrics


@pytest.mark.req("RSK-1")
def test_every_number_is_in_the_accounts_currency() -> None:
    at_home = numbers_of(inputs(market_order(SHARES)))
    abroad = numbers_of(inputs(market_order(SHARES), account=in_yen()))

    assert at_home["position_value"] == pytest.approx(SHARES * ASK)
    for name in ("position_value", "total_exposure", "trade_risk", "order_cost"):
        assert abroad[name] == pytest.approx(YEN_PER_DOLLAR * at_home[name]), name


@pytest.mark.req("RSK-1")
def test_a_limit_in_yen_is_not_passed_by_a_number_of_dollars() -> None:
    """Twelve shares cost 7,201 dollars, which are more than a million yen."""
    verdict = judge_opening(inputs(market_order(12), account=in_yen()), LIMITS)

    assert any("position value (1.08" in reason for reason in verdict.rejection_reasons)


@pytest.mark.req("RSK-1", "RSK-6")
def test_what_is_held_in_another_currency_counts_at_its_rate() -> None:
    held = ledger(holding(100, IN_YEN, average_cost=3_000.0))

    rates = {"JPY": 1 / YEN_PER_DOLLAR}
    value = exposure.total_value(held, {}, lambda currency: rates.get(currency, math.nan))

    assert value == pytest.approx(100 * 3_000.0 / YEN_PER_DOLLAR)


@pytest.mark.req("RSK-3")
def test_without_an_exchange_rate_nothing_is_opened_and_everything_may_be_closed() -> None:
    pauper = account(currency="EUR")
    opening = judge_opening(inputs(account=pauper), LIMITS)
    held = ledger(holding(SHARES))
    closing = judge_closing(inputs(closing_order(SHARES), ledger=held, account=pauper), LIMITS)

    assert "currency_known" in opening.rejected_by
    assert any("in USD and the account in EUR" in text for text in opening.rejection_reasons)
    assert closing.approved


@pytest.mark.req("RSK-3")
def test_something_held_whose_currency_nobody_can_tell_makes_the_exposure_unknown() -> None:
    held = ledger(holding(100, IN_YEN, average_cost=3_000.0))
    verdict = judge_opening(inputs(ledger=held), LIMITS)

    assert verdict.rejected_by == ("total_exposure",)


@pytest.mark.req("GW-6", "RSK-1")
def test_the_account_tells_its_currency_and_the_rates_that_the_broker_says() -> None:
    values = AccountValues("DU1")
    for row in [
        ("NetLiquidation", "1000", "EUR"),
        ("ExchangeRate", "0.92", "USD"),
        ("ExchangeRate", "1.00", "EUR"),
        ("ExchangeRate", "1.00", "BASE"),
        ("ExchangeRate", "0.00", "GBP"),
    ]:
        values.take(*row, "DU1")
    told = values.account(NOW)

    assert told.currency == "EUR"
    assert [told.rate_of(name) for name in ("EUR", "USD", "GBP", "JPY")] == [1.0, 0.92, None, None]
