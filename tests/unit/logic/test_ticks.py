"""Prices on the tick (ORD-12): a residue is taken away, a price between two ticks is refused with both."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import OrderValidationError
from actors.logic.ticks import on_tick, snapped
from tests.unit.logic.values import SPY, trade_request, wire_order

pytestmark = pytest.mark.req("ORD-12")


@pytest.mark.parametrize(
    ("price", "tick", "expected"),
    [
        (0.1 + 0.2, 0.01, 0.3),
        (1.1 * 1.1, 0.01, 1.21),
        (0.3049, 0.01, None),
        (0.3049, 0.0001, 0.3049),
        (3.05, 0.05, 3.05),
        (3.06, 0.05, None),
        (4500.25, 0.25, 4500.25),
        (0.3 + 2e-9, 0.01, None),
        (-37.63, 0.01, -37.63),
    ],
)
def test_a_price_stands_on_the_tick_or_does_not(
    price: float, tick: float, expected: float | None
) -> None:
    assert snapped(price, tick) == expected


@given(st.integers(1, 10_000_000), st.sampled_from([0.0001, 0.005, 0.01, 0.05, 0.25, 1.0]))
def test_every_multiple_stands_on_it_and_comes_out_shortly_written(steps: int, tick: float) -> None:
    found = snapped(steps * tick, tick)

    assert found is not None
    assert len(repr(found).split(".")[1]) <= 4


def test_a_refusal_names_the_field_the_tick_and_both_neighbours() -> None:
    request = attrs.evolve(trade_request(wire_order(1)), limit_price=600.123)

    with pytest.raises(
        OrderValidationError, match=r"limit_price must be a multiple of 0\.01"
    ) as caught:
        on_tick(request, SPY)

    assert "600.12 or 600.13 (was 600.123)" in str(caught.value)


def test_a_request_without_prices_is_left_as_it_is() -> None:
    request = attrs.evolve(trade_request(wire_order(1)), limit_price=None)

    assert on_tick(request, SPY) is request
