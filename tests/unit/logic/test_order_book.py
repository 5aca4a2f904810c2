"""The executor's orders are found by their names, and those that count against the limit are openings."""

from __future__ import annotations

import attrs
import pytest

from actors.executor.order_book import OrderBook, Tracked
from actors.logic.order_table import OrderState
from actors.model.orders import Purpose
from tests.unit.logic.values import record, wire_order

pytestmark = pytest.mark.req("STC-2")


@pytest.mark.parametrize(
    ("purpose", "state", "counted"),
    [
        (Purpose.OPEN, OrderState.ACKNOWLEDGED, 1),
        (Purpose.OPEN, OrderState.UNKNOWN, 1),
        (Purpose.OPEN, OrderState.FILLED, 0),
        (Purpose.CLOSE, OrderState.ACKNOWLEDGED, 0),
        (Purpose.CLOSE, OrderState.UNKNOWN, 0),
    ],
)
def test_only_openings_that_may_be_at_the_broker_count_against_the_limit(
    purpose: Purpose, state: OrderState, counted: int
) -> None:
    book = OrderBook(bound=10)
    order = attrs.evolve(record(state), order=wire_order(purpose=purpose))

    book.add(Tracked(record=order))

    assert book.openings_count() == counted


def test_what_ends_is_not_listed_among_those_that_have_not_ended() -> None:
    book = OrderBook(bound=10)
    tracked = Tracked(record=record(OrderState.SENT))
    book.add(tracked)
    before = book.not_ended()

    tracked.record = record(OrderState.FILLED)

    assert (before, book.not_ended()) == ((tracked,), ())
