"""A permit is for exactly one order."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any

import attrs
import pytest

from actors.logic.permits import SIGNATURE_BYTES, is_genuine, issue_permit
from actors.model.contracts import Contract, Right, SecurityType
from actors.model.orders import (
    OrderAction,
    OrderType,
    Permit,
    Purpose,
    TimeInForce,
    WireOrder,
)

KEY = b"0123456789abcdef"
CONTRACT = Contract(
    con_id=700,
    symbol="SPY",
    security_type=SecurityType.OPTION,
    primary_exchange="CBOE",
    local_symbol="SPY   261218C00600000",
    trading_class="SPY",
    expiry=date(2026, 12, 18),
    strike=600.0,
    right=Right.CALL,
    multiplier=100.0,
)
ORDER = WireOrder(
    order_ref="CSATSPRIM:ORD_1",
    contract=CONTRACT,
    action=OrderAction.BUY,
    quantity=2.0,
    order_type=OrderType.LIMIT,
    limit_price=5.25,
    stop_price=4.0,
    time_in_force=TimeInForce.DAY,
    account="DU1234567",
    operator_id="CSATSPRIM",
    purpose=Purpose.OPEN,
    broker_order_id=7,
)


def _permit(order: WireOrder = ORDER, fill_count: int | None = 3) -> Permit:
    return issue_permit(
        KEY,
        order,
        permit_id="p-1",
        expires_at=100.5,
        fill_count=fill_count,
        position_sequence=7,
    )


def _other(value: Any) -> Any:
    """Make a value of the same kind that is not the same."""
    if isinstance(value, Enum):
        return next(member for member in type(value) if member is not value)
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:]
    if isinstance(value, date | datetime):
        return value + timedelta(days=1)
    return value + 1


def _mutations(value: Any) -> list[tuple[str, Any]]:
    """Every way to change one field of a value, fields of nested values included."""
    changed: list[tuple[str, Any]] = []
    for field in attrs.fields(type(value)):
        old = getattr(value, field.name)
        if attrs.has(type(old)):
            for name, new in _mutations(old):
                changed.append((f"{field.name}.{name}", attrs.evolve(value, **{field.name: new})))
        else:
            changed.append((field.name, attrs.evolve(value, **{field.name: _other(old)})))
    return changed


@pytest.mark.req("ORD-3")
def test_a_permit_is_genuine_for_its_order() -> None:
    assert is_genuine(KEY, _permit(), ORDER)


@pytest.mark.req("ORD-3")
@pytest.mark.parametrize(("name", "order"), _mutations(ORDER), ids=lambda value: str(value)[:40])
def test_a_change_of_any_field_of_the_order_makes_the_permit_void(
    name: str, order: WireOrder
) -> None:
    assert not is_genuine(KEY, _permit(), order), name


@pytest.mark.req("ORD-3")
@pytest.mark.parametrize(
    ("name", "permit"), _mutations(_permit()), ids=lambda value: str(value)[:40]
)
def test_a_change_of_any_field_of_the_permit_makes_it_void(name: str, permit: Permit) -> None:
    assert not is_genuine(KEY, permit, ORDER), name


def test_a_signature_has_its_length_and_a_text_that_no_encoding_has_is_signed() -> None:
    odd = attrs.evolve(ORDER, order_ref="CSATSPRIM:\ud800")

    assert len(_permit().signature) == SIGNATURE_BYTES
    assert is_genuine(KEY, _permit(odd), odd)
    assert not is_genuine(KEY, _permit(odd), attrs.evolve(odd, order_ref="CSATSPRIM:\ud801"))


@pytest.mark.req("ORD-3")
def test_another_key_makes_the_permit_void() -> None:
    assert not is_genuine(b"another key, that is long enough", _permit(), ORDER)


@pytest.mark.parametrize("field", ["limit_price", "stop_price", "broker_order_id"])
def test_nothing_is_not_the_same_as_zero(field: str) -> None:
    nothing: dict[str, Any] = {field: None}
    zero: dict[str, Any] = {field: 0}

    assert not is_genuine(KEY, _permit(attrs.evolve(ORDER, **nothing)), attrs.evolve(ORDER, **zero))


def test_fields_cannot_run_into_each_other() -> None:
    order = attrs.evolve(ORDER, order_ref="CSATSPRIM:A', 'B", account="C")
    other = attrs.evolve(ORDER, order_ref="CSATSPRIM:A", account="B', 'C")

    assert not is_genuine(KEY, _permit(order), other)
