"""What is closed by an order, what is named for a hand, and how a quantity splits into whole units."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.logic.closable import (
    KINDS,
    is_closable,
    is_openable,
    is_smart,
    whole_units,
    why_by_hand,
)
from actors.model.contracts import Contract, SecurityType

CLOSED = {"STK", "OPT", "FUT", "FOP", "WAR"}
OPENED = {"STK", "OPT"}
ROUTED = {"STK", "OPT"}


@pytest.mark.req("STC-9")
def test_every_kind_of_contract_stands_in_the_table() -> None:
    assert set(KINDS) == set(SecurityType)


@pytest.mark.req("STC-9")
@pytest.mark.parametrize("kind", SecurityType)
def test_a_kind_is_closed_by_an_order_or_named_for_a_hand(kind: SecurityType) -> None:
    contract = Contract(con_id=1, symbol="X", security_type=kind)

    assert is_closable(kind) == (kind.value in CLOSED)
    assert (why_by_hand(contract) is None) == is_closable(kind)


@pytest.mark.req("STC-9")
@pytest.mark.parametrize("kind", SecurityType)
def test_only_stocks_and_options_are_opened_and_routed(kind: SecurityType) -> None:
    assert is_openable(kind) == (kind.value in OPENED)
    assert is_smart(kind) == (kind.value in ROUTED)


@pytest.mark.req("STC-9")
def test_the_reason_names_the_kind() -> None:
    bond = Contract(con_id=1, symbol="912828", security_type=SecurityType.BOND)

    assert why_by_hand(bond) == "bonds are not ordered here: close it by hand"


@pytest.mark.parametrize("text", ["", "NEWS", "stk", "ICU"])
def test_a_kind_that_nobody_knows_is_for_a_hand(text: str) -> None:
    assert SecurityType.from_ib(text) is SecurityType.OTHER


@pytest.mark.req("STC-9")
@pytest.mark.parametrize(
    ("quantity", "orderable", "fraction"),
    [
        (10.0, 10.0, 0.0),
        (10.5, 10.0, 0.5),
        (-10.5, -10.0, -0.5),
        (0.37, 0.0, 0.37),
        (-0.37, 0.0, -0.37),
        (0.0, 0.0, 0.0),
        (9.9999999, 10.0, 0.0),
        (-9.9999999, -10.0, 0.0),
        (10.0000001, 10.0, 0.0),
        (9.9999, 9.0, 0.9999),
        (100.0001, 100.0, 0.0001),
    ],
)
def test_a_quantity_splits_into_whole_units_and_a_fraction(
    quantity: float, orderable: float, fraction: float
) -> None:
    units = whole_units(quantity)

    assert units.orderable == orderable
    assert units.fraction == pytest.approx(fraction, abs=1e-9)


@pytest.mark.req("STC-9")
@given(st.floats(min_value=-1e9, max_value=1e9))
def test_whole_units_never_exceed_the_position_nor_change_its_side(quantity: float) -> None:
    orderable, fraction = whole_units(quantity)

    assert orderable == int(orderable)
    assert abs(orderable) <= abs(quantity) + 1e-6
    assert orderable * quantity >= 0.0
    assert abs(fraction) < 1.0
    assert abs(orderable + fraction - quantity) <= 1e-6


@pytest.mark.parametrize("quantity", [math.nan, math.inf, -math.inf])
def test_a_quantity_that_is_no_number_is_refused(quantity: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        whole_units(quantity)
