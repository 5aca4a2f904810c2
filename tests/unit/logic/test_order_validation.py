"""Malformed orders are refused before risk sees them, with every fault named."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import attrs
import pytest

from actors.errors import OrderValidationError
from actors.logic.order_validation import (
    MAX_QUANTITY,
    contract_query,
    validate_modification,
    validate_signal,
)
from actors.model.contracts import ContractQuery, Right, SecurityType
from actors.model.orders import (
    OrderAction,
    OrderType,
    StrategyContext,
    TimeInForce,
    TradeRequest,
    TradingSignal,
)

pytestmark = pytest.mark.req("ORD-10")

CONTEXT = StrategyContext(strategy_id="momentum", strategy_name="Momentum")
NAN = float("nan")
INFINITE = float("inf")
OPTION = {"expiry": "20260320", "strike": 600.0, "right": "call"}


def signal(**changes: Any) -> TradingSignal:
    fields: dict[str, Any] = {"symbol": "SPY", "action": "BUY", "quantity": 10}
    return TradingSignal(**(fields | changes))


def validate(**changes: Any) -> TradeRequest:
    return validate_signal(signal(**changes), CONTEXT, "CSATSPRIM")


def test_a_sound_signal_becomes_a_request() -> None:
    request = validate(symbol=" spy ", action="buy", order_type="LIMIT", limit_price=600)

    assert request.symbol == "SPY"
    assert OrderAction.BUY is request.action
    assert OrderType.LIMIT is request.order_type
    assert request.limit_price == 600.0
    assert TimeInForce.DAY is request.time_in_force
    assert (request.strategy_id, request.operator_id) == ("momentum", "CSATSPRIM")


@pytest.mark.req("ORD-1")
@pytest.mark.parametrize("word", ["C", "call", "CALL"])
def test_an_option_is_described_by_three_fields(word: str) -> None:
    request = validate(**(OPTION | {"right": word}))

    expected = ContractQuery(
        symbol="SPY",
        security_type=SecurityType.OPTION,
        expiry=date(2026, 3, 20),
        strike=600.0,
        right=Right.CALL,
    )
    assert expected == contract_query(request)


def test_a_stock_is_described_by_its_symbol() -> None:
    assert ContractQuery(symbol="SPY") == contract_query(validate())


FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("symbol", {"symbol": ""}),
    ("symbol", {"symbol": "SPY\0"}),
    ("symbol", {"symbol": None}),
    ("symbol", {"symbol": "A" * 17}),
    ("action", {"action": "HOLD"}),
    ("action", {"action": None}),
    ("quantity", {"quantity": 0}),
    ("quantity", {"quantity": -5}),
    ("quantity", {"quantity": NAN}),
    ("quantity", {"quantity": INFINITE}),
    ("quantity", {"quantity": True}),
    ("quantity", {"quantity": "10"}),
    ("quantity", {"quantity": 1.5}),
    ("quantity", {"quantity": MAX_QUANTITY + 1}),
    ("quantity", {"quantity": 10**400}),
    ("order_type", {"order_type": "TRAIL"}),
    ("time_in_force", {"time_in_force": "SOMETIME"}),
    ("limit_price", {"order_type": "LMT"}),
    ("limit_price", {"order_type": "LMT", "limit_price": NAN}),
    ("limit_price", {"order_type": "LMT", "limit_price": INFINITE}),
    ("limit_price", {"order_type": "LMT", "limit_price": 0.0}),
    ("limit_price", {"order_type": "LMT", "limit_price": -1.0}),
    ("limit_price", {"order_type": "LMT", "limit_price": False}),
    ("limit_price", {"order_type": "MKT", "limit_price": 600.0}),
    ("stop_price", {"order_type": "STP"}),
    ("stop_price", {"order_type": "STP", "stop_price": NAN}),
    ("stop_price", {"order_type": "LMT", "limit_price": 1.0, "stop_price": 1.0}),
    ("expiry", OPTION | {"expiry": "20260230"}),
    ("expiry", OPTION | {"expiry": "2026-03-20"}),
    ("expiry", OPTION | {"expiry": "260320"}),
    ("expiry", OPTION | {"expiry": 20260320}),
    ("strike", OPTION | {"strike": NAN}),
    ("strike", OPTION | {"strike": 0}),
    ("right", OPTION | {"right": "X"}),
    ("right missing", OPTION | {"right": None}),
    ("expiry, strike missing", {"right": "C"}),
    ("signal_strength", {"signal_strength": 1.01}),
    ("signal_strength", {"signal_strength": -0.01}),
    ("signal_strength", {"signal_strength": NAN}),
    ("timestamp", {"timestamp": datetime(2026, 3, 2)}),  # noqa: DTZ001 - the fault itself
    ("timestamp", {"timestamp": "now"}),
    ("strategy_id", {"strategy_id": "another"}),
]


@pytest.mark.parametrize(("field", "changes"), FAULTS)
def test_a_fault_is_refused_by_its_name(field: str, changes: dict[str, Any]) -> None:
    with pytest.raises(OrderValidationError, match=field):
        validate(**changes)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("risk_per_trade", {"risk_per_trade": 0.0}),
        ("risk_per_trade", {"risk_per_trade": 1.01}),
        ("risk_per_trade", {"risk_per_trade": NAN}),
        ("stop_loss_pct", {"stop_loss_pct": -0.1}),
        ("take_profit_pct", {"take_profit_pct": INFINITE}),
        ("strategy_context.strategy_id", {"strategy_id": " "}),
    ],
)
def test_a_fault_of_the_context_is_refused_by_its_name(field: str, changes: dict[str, Any]) -> None:
    with pytest.raises(OrderValidationError, match=field):
        validate_signal(signal(), attrs.evolve(CONTEXT, **changes), "CSATSPRIM")


@pytest.mark.req("ORD-4")
@pytest.mark.parametrize("operator_id", ["", "A:B", "x" * 21, "a\0b", "a b"])
def test_an_operator_id_that_would_break_the_reference_is_refused(operator_id: str) -> None:
    with pytest.raises(OrderValidationError, match="operator_id"):
        validate_signal(signal(), CONTEXT, operator_id)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(OrderValidationError) as caught:
        validate(symbol="", action="HOLD", quantity=0, order_type="LMT", signal_strength=2)

    for field in ("symbol", "action", "quantity", "limit_price", "signal_strength"):
        assert field in str(caught.value)


def test_a_fault_names_the_value_and_the_limit() -> None:
    with pytest.raises(
        OrderValidationError, match=r"limit_price must be a number > 0 .* \(was -1.0\)"
    ):
        validate(order_type="LMT", limit_price=-1.0)


def test_an_expired_option_is_refused_when_the_date_is_known() -> None:
    with pytest.raises(OrderValidationError, match="expiry"):
        validate_signal(signal(**OPTION), CONTEXT, "CSATSPRIM", today=date(2026, 3, 21))


def test_an_aware_timestamp_is_kept() -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)

    assert now == validate(timestamp=now).timestamp


@pytest.mark.req("GW-4")
def test_a_modification_changes_what_it_names() -> None:
    request = validate(order_type="LMT", limit_price=600.0)

    changed = validate_modification(request, quantity=5, limit_price=601.0)

    assert attrs.evolve(request, quantity=5.0, limit_price=601.0) == changed


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("quantity", {"quantity": 0}),
        ("limit_price", {"limit_price": NAN}),
        ("stop_price", {"stop_price": 1.0}),
        ("must change", {}),
    ],
)
def test_a_bad_modification_is_refused(field: str, changes: dict[str, Any]) -> None:
    request = validate(order_type="LMT", limit_price=600.0)

    with pytest.raises(OrderValidationError, match=field):
        validate_modification(request, **changes)
