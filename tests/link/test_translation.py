"""What IB says, in values of ours: unknown is None, never 0."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from ib_insync.contract import Contract as IbContract
from ib_insync.contract import ContractDetails
from ib_insync.objects import BarData

from actors.errors import (
    CompetingSessionError,
    ContractQualificationError,
    GatewayError,
    MarketDataUnavailableError,
    NotSubscribedError,
    ReadOnlyError,
)
from actors.link.account_values import AccountValues
from actors.link.answers import error_of
from actors.link.snapshot import SnapshotPending
from actors.link.translation import (
    bar_from_ib,
    contract_from_details,
    contract_from_ib,
    date_from_ib,
    epoch_time,
    holding_from_ib,
    known,
    positive,
    time_from_ib,
)
from actors.logic.broker_codes import RequestKind
from actors.model.contracts import Contract, Right, SecurityType
from actors.model.market import DataType

UNSET = 1.7976931348623157e308
NOW = datetime(2026, 3, 2, 15, tzinfo=UTC)


@pytest.mark.req("MKT-4")
@pytest.mark.parametrize("value", [-1.0, 0.0, -0.0, math.nan, math.inf, -math.inf, UNSET])
def test_a_price_that_means_none_is_none(value: float) -> None:
    assert positive(value) is None


@pytest.mark.parametrize("value", [math.nan, math.inf, UNSET, -UNSET])
def test_an_unset_number_is_none(value: float) -> None:
    assert known(value) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20231116-12:07:51", datetime(2023, 11, 16, 12, 7, 51, tzinfo=UTC)),
        ("20231115 09:20:44 GB-Eire", datetime(2023, 11, 15, 9, 20, 44, tzinfo=UTC)),
        ("20260413 15:27:04 US/Eastern", datetime(2026, 4, 13, 19, 27, 4, tzinfo=UTC)),
        ("1772463600", datetime(2026, 3, 2, 15, tzinfo=UTC)),
        ("20230224  12:04:56", None),
        ("20260413 15:27:04 Mars/Olympus", None),
        ("20260413 15:27:04 ../../etc/passwd", None),
        ("20261399 15:27:04 US/Eastern", None),
        ("", None),
        ("now", None),
    ],
)
def test_times_of_ib_are_read_as_utc(text: str, expected: datetime | None) -> None:
    assert time_from_ib(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20261218", date(2026, 12, 18)),
        ("20240314-17:01:00", date(2024, 3, 14)),
        ("20261218 08:30:00 US/Central", date(2026, 12, 18)),
        ("202612", None),
        ("20261399", None),
        ("", None),
    ],
)
def test_dates_are_read_whatever_stands_behind_them(text: str, expected: date | None) -> None:
    assert date_from_ib(text) == expected


@pytest.mark.parametrize("text", ["0", "", "x", "-5", "99999999999999", "9" * 5000, "\u0663"])
def test_seconds_that_make_no_sense_are_none(text: str) -> None:
    assert epoch_time(text) is None


# --- contracts --------------------------------------------------------------------------------------------------------


def _raw(**fields: Any) -> IbContract:
    values: dict[str, Any] = {"conId": 1, "symbol": "SPY", "secType": "STK"}
    return IbContract(**(values | fields))


@pytest.mark.parametrize("right", ["?", "0", ""])
def test_a_stock_has_no_right_strike_or_expiry(right: str) -> None:
    contract = contract_from_ib(_raw(right=right, strike=0.0))

    assert (contract.right, contract.strike, contract.expiry) == (None, None, None)
    assert contract.multiplier == 1.0
    assert contract.exchange == "SMART"


@pytest.mark.req("POS-2")
@pytest.mark.parametrize(("multiplier", "expected"), [("", 100.0), ("100", 100.0), ("10", 10.0)])
def test_an_option_has_its_multiplier(multiplier: str, expected: float) -> None:
    raw = _raw(
        secType="OPT",
        right="C",
        strike=600.0,
        lastTradeDateOrContractMonth="20261218",
        multiplier=multiplier,
    )
    contract = contract_from_ib(raw)

    assert contract.multiplier == expected
    assert contract.right is Right.CALL
    assert contract.expiry == date(2026, 12, 18)


@pytest.mark.req("STC-2")
def test_a_holding_in_something_else_is_kept_so_that_nobody_calls_the_account_flat() -> None:
    raw = _raw(secType="FUT", symbol="ES", multiplier="50", lastTradeDateOrContractMonth="20261218")
    holding = holding_from_ib("DU1", raw, 2.0, 300_000.0)

    assert holding.contract.security_type is SecurityType.FUTURE
    assert holding.contract.multiplier == 50.0
    assert str(holding.contract) == "ES 20261218"


@pytest.mark.req("STC-2", "STC-9")
@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("FUT", SecurityType.FUTURE),
        ("FOP", SecurityType.FUTURE_OPTION),
        ("WAR", SecurityType.WARRANT),
        ("BOND", SecurityType.BOND),
        ("CASH", SecurityType.CURRENCY),
        ("BAG", SecurityType.COMBINATION),
        ("BILL", SecurityType.OTHER),
    ],
)
def test_every_kind_of_holding_is_named_by_what_it_is(told: str, expected: SecurityType) -> None:
    contract = contract_from_ib(_raw(secType=told))

    assert contract.security_type is expected


@pytest.mark.req("STC-9")
@pytest.mark.parametrize(
    ("kind", "exchange", "primary", "expected"),
    [
        ("STK", "", "", "SMART"),
        ("OPT", "", "CBOE", "SMART"),
        ("FUT", "", "", ""),
        ("FUT", "CME", "", "CME"),
        ("FOP", "", "NYMEX", "NYMEX"),
        ("WAR", "FWB", "", "FWB"),
    ],
)
def test_what_the_router_does_not_take_goes_to_the_exchange_that_was_told(
    kind: str, exchange: str, primary: str, expected: str
) -> None:
    raw = _raw(secType=kind, exchange=exchange, primaryExchange=primary)

    assert holding_from_ib("DU1", raw, 2.0, 300_000.0).contract.exchange == expected


@pytest.mark.req("STC-9")
def test_an_option_on_a_future_has_strike_and_right() -> None:
    raw = _raw(
        secType="FOP",
        symbol="ES",
        right="P",
        strike=6000.0,
        multiplier="50",
        lastTradeDateOrContractMonth="20261218",
    )
    contract = contract_from_ib(raw)

    assert (contract.strike, contract.right, contract.multiplier) == (6000.0, Right.PUT, 50.0)
    assert str(contract) == "ES 20261218 6000P"


@pytest.mark.parametrize("con_id", [0, -1])
def test_a_contract_without_an_id_is_refused(con_id: int) -> None:
    with pytest.raises(ValueError, match="con_id"):
        contract_from_ib(_raw(conId=con_id))


def test_a_qualified_contract_has_tick_zone_and_hours() -> None:
    details = ContractDetails(
        contract=_raw(exchange="SMART", primaryExchange="ARCA"),
        minTick=0.05,
        timeZoneId="US/Central",
        tradingHours="20260302:0930-20260302:1600",
        liquidHours="20260302:CLOSED",
    )
    contract = contract_from_details(details)

    assert (contract.min_tick, contract.time_zone) == (0.05, "US/Central")
    assert (contract.trading_hours, contract.liquid_hours) == (
        "20260302:0930-20260302:1600",
        "20260302:CLOSED",
    )


# --- market data ------------------------------------------------------------------------------------------------------


def _bar(**fields: float) -> BarData:
    values: dict[str, Any] = {
        "date": "1772463600",
        "open": 1.0,
        "high": 2.0,
        "low": 0.5,
        "close": 1.5,
        "volume": 10.0,
    }
    return BarData(**(values | fields))


@pytest.mark.parametrize("field", ["open", "high", "low", "close"])
@pytest.mark.parametrize("value", [-1.0, math.nan])
def test_a_bar_without_a_price_is_left_out(field: str, value: float) -> None:
    assert bar_from_ib(_bar(**{field: value})) is None


def test_a_bar_without_volume_has_volume_zero() -> None:
    bar = bar_from_ib(_bar(volume=-1.0))

    assert bar is not None
    assert (bar.start, bar.volume) == (NOW, 0.0)


class _Loop:
    def create_future(self) -> Any:
        return SimpleNamespace(done=lambda: False, set_result=None)

    def time(self) -> float:
        return 0.0


def _snapshot() -> SnapshotPending:
    return SnapshotPending(_Loop(), "quote", RequestKind.DATA, 10)


SPY = Contract(con_id=1, symbol="SPY", security_type=SecurityType.STOCK)


@pytest.mark.req("MKT-12")
@pytest.mark.parametrize("tick", [45, 88])
def test_the_time_of_the_last_trade_is_read(tick: int) -> None:
    snapshot = _snapshot()
    snapshot.on_text(tick, "1772463600")

    assert snapshot.quote(SPY, NOW).traded_at == NOW


@pytest.mark.req("MKT-12")
def test_delayed_ticks_are_flagged_even_without_a_data_type() -> None:
    snapshot = _snapshot()
    snapshot.on_price(66, 10.0, 5.0)
    snapshot.on_price(68, 10.5, 7.0)
    quote = snapshot.quote(SPY, NOW)

    assert (quote.bid, quote.bid_size, quote.last) == (10.0, 5.0, 10.5)
    assert quote.data_type is DataType.DELAYED


def test_a_volume_that_overflowed_is_none() -> None:
    """A real delayed snapshot said −1553556175."""
    snapshot = _snapshot()
    snapshot.on_size(74, -1553556175)

    assert snapshot.quote(SPY, NOW).volume is None


@pytest.mark.req("MKT-8")
def test_the_model_computation_is_preferred_and_what_was_not_computed_is_none() -> None:
    snapshot = _snapshot()
    snapshot.on_computation(10, (0.2, 0.5, 0.1, 0.1, -0.1, 600.0, 9.9))
    snapshot.on_computation(13, (-1.0, -2.0, 0.02, -2.0, -0.05, -1.0, -1.0))
    quote = snapshot.quote(SPY, NOW)

    assert (quote.implied_volatility, quote.delta, quote.vega) == (None, None, None)
    assert (quote.gamma, quote.theta, quote.underlying_price) == (0.02, -0.05, None)
    assert quote.model_price is None


@pytest.mark.parametrize("model", [13, 83])
@pytest.mark.req("MKT-8")
def test_the_model_price_is_that_of_the_model_and_of_no_other_computation(model: int) -> None:
    snapshot = _snapshot()
    snapshot.on_computation(10, (0.2, 0.5, 0.1, 0.1, -0.1, 600.0, 9.9))
    without = snapshot.quote(SPY, NOW)
    snapshot.on_computation(model, (0.2, 0.5, 0.1, 0.1, -0.1, 600.0, 10.4))

    assert without.model_price is None
    assert snapshot.quote(SPY, NOW).model_price == 10.4


def test_an_unknown_data_type_counts_as_the_least_fresh() -> None:
    snapshot = _snapshot()
    snapshot.on_data_type(9)

    assert snapshot.quote(SPY, NOW).data_type is DataType.DELAYED_FROZEN


# --- the account ------------------------------------------------------------------------------------------------------


@pytest.mark.req("GW-6")
def test_profit_is_read_in_the_base_currency() -> None:
    values = AccountValues("DU1")
    for row in [
        ("NetLiquidation", "1000", "EUR"),
        ("UnrealizedPnL", "5", "USD"),
        ("UnrealizedPnL", "4", "EUR"),
        ("UnrealizedPnL", "9", "BASE"),
        ("RealizedPnL", "7", "USD"),
        ("BuyingPower", "", "EUR"),
        ("AccountReady", "true", ""),
    ]:
        values.take(*row, "DU1")
    account = values.account(NOW)

    assert account.net_liquidation == 1000
    assert account.unrealized_pnl == 9
    assert account.realized_pnl is None
    assert account.buying_power is None


def test_rows_of_another_account_and_rows_without_end_are_not_kept() -> None:
    values = AccountValues("DU1")
    kept = [values.take("RealizedPnL", "1", f"C{number}", "DU1") for number in range(1000)]

    assert not values.take("NetLiquidation", "1", "USD", "DU2")
    assert kept.count(True) == 256


def test_a_row_that_says_the_same_again_is_no_change() -> None:
    values = AccountValues("DU1")

    assert values.take("NetLiquidation", "1.0", "USD", "DU1")
    assert not values.take("NetLiquidation", "1.0", "USD", "DU1")


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.req("MKT-11", "ORD-8")
@pytest.mark.parametrize(
    ("kind", "code", "text", "expected"),
    [
        (RequestKind.DATA, 200, "No security definition", ContractQualificationError),
        (RequestKind.DATA, 354, "not subscribed", NotSubscribedError),
        (RequestKind.DATA, 10197, "competing", CompetingSessionError),
        (RequestKind.DATA, 321, "Error validating request", GatewayError),
        (RequestKind.NONE, 321, "The API interface is currently in Read-Only mode.", ReadOnlyError),
        (RequestKind.HISTORY, 162, "HMDS query returned no data", MarketDataUnavailableError),
        (RequestKind.HISTORY, 162, "pacing violation", MarketDataUnavailableError),
        (RequestKind.DATA, 77777, "unheard of", MarketDataUnavailableError),
        (RequestKind.DATA, 10167, "Displaying delayed market data", None),
        (RequestKind.DATA, 10090, "Part of the data", None),
        (RequestKind.DATA, 2150, "some warning", None),
        (RequestKind.HISTORY, 165, "query message", None),
    ],
)
def test_a_code_ends_a_request_or_lets_it_live(
    kind: RequestKind, code: int, text: str, expected: type[GatewayError] | None
) -> None:
    error = error_of("quote of SPY", kind, code, text)

    assert type(error) is (expected or type(None))
    if error is not None:
        assert f"code {code}" in str(error)
        assert text in str(error)
