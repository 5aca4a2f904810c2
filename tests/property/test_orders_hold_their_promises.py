"""Whatever the broker says, in whatever order: what the order's record promises holds."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.errors import IllegalTransitionError, OrderValidationError
from actors.executor.record import (
    OrderRecord,
    apply_error,
    apply_execution,
    is_settled,
    mark_sent,
    move,
    request_cancel,
    signed_remaining,
)
from actors.executor.result import result
from actors.executor.statuses import adopt, apply_status
from actors.logic.broker_codes import KNOWN_CODES
from actors.logic.order_table import TRANSITIONS, OrderState
from actors.logic.order_validation import MAX_PRICE, MAX_QUANTITY, validate_signal
from actors.model.orders import (
    ExecutionMode,
    OrderStatus,
    OrderType,
    StrategyContext,
    TradingSignal,
)
from tests.unit.logic.values import LATER, NOW, execution, record, told

QUANTITY = 10.0

STATUSES = (
    "ApiPending",
    "PendingSubmit",
    "PendingCancel",
    "PreSubmitted",
    "Submitted",
    "ApiCancelled",
    "Cancelled",
    "Filled",
    "Inactive",
    "Nonsense",
)

statuses = st.builds(
    lambda status, filled, why: told(
        status, filled=float(filled), remaining=QUANTITY - filled, why_held=why
    ),
    st.sampled_from(STATUSES),
    st.integers(0, int(QUANTITY)),
    st.sampled_from(["", "locate", "trigger"]),
)
executions = st.builds(
    lambda number, correction, quantity: execution(
        float(quantity), f"e.{number}.{correction:02d}", price=600.0 + number
    ),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 4),
)
codes = st.one_of(st.sampled_from(sorted(KNOWN_CODES)), st.integers(1, 20_000))
words = st.one_of(
    st.tuples(st.just("status"), statuses),
    st.tuples(st.just("adopt"), statuses),
    st.tuples(st.just("execution"), executions),
    st.tuples(st.just("error"), codes),
    st.tuples(st.just("cancel"), st.none()),
    st.tuples(st.just("sent"), st.none()),
    st.tuples(st.just("lost"), st.none()),
)


def hear(order: OrderRecord, kind: str, value: Any) -> OrderRecord:
    match kind:
        case "status":
            return apply_status(order, value, LATER)
        case "adopt":
            return adopt(order, value, LATER)
        case "execution":
            return apply_execution(order, value, LATER)
        case "error":
            return apply_error(order, value, "text", LATER)
        case "cancel":
            return request_cancel(order, LATER)
        case "lost":
            known = order.state is OrderState.UNKNOWN
            return move(order, OrderState.LOST, LATER) if known else order
        case _:
            return mark_sent(order, 7, NOW)


@pytest.mark.req("ORD-5", "ORD-7", "ORD-8")
@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([OrderState.AT_GATE, OrderState.SENT, OrderState.UNKNOWN]),
    st.lists(words, max_size=14),
)
def test_no_sequence_of_words_breaks_the_record(
    begin: OrderState, heard: list[tuple[str, Any]]
) -> None:
    order = record(begin, QUANTITY)
    for kind, value in heard:
        before = order
        order = hear(order, kind, value)

        remaining = signed_remaining(order)
        assert 0.0 <= remaining <= QUANTITY
        assert kind == "adopt" or order.state is before.state or _reachable(before, order)
        assert not is_settled(order) or remaining == 0.0
        outcome = result(order, ExecutionMode.PAPER, LATER)
        if outcome.status is OrderStatus.FILLED:
            assert outcome.fill_quantity >= QUANTITY
        if order.state in (OrderState.CANCELLED, OrderState.FAILED):
            assert outcome.status is not OrderStatus.FILLED
        if outcome.status in (OrderStatus.CANCELLED, OrderStatus.TIMEOUT):
            assert outcome.fill_quantity == 0.0


def _reachable(before: OrderRecord, after: OrderRecord) -> bool:
    """One step of the table, or two where a word moves the order and its executions complete it."""
    one = TRANSITIONS[before.state]
    return after.state in one or any(after.state in TRANSITIONS[middle] for middle in one)


@pytest.mark.req("ORD-5")
@settings(max_examples=200, deadline=None)
@given(st.lists(statuses, max_size=8), st.lists(executions, max_size=3))
def test_a_cancelled_order_is_filled_only_by_executions_that_prove_it(
    later: list[Any], late: list[Any]
) -> None:
    order = apply_status(record(OrderState.ACKNOWLEDGED, QUANTITY), told("Cancelled"), LATER)
    for status in later:
        order = apply_status(order, status, LATER)
    for item in late:
        order = apply_execution(order, item, LATER)

    told_filled = result(order, ExecutionMode.PAPER, LATER).status is OrderStatus.FILLED

    assert told_filled is (order.filled >= QUANTITY)


@pytest.mark.req("ORD-7")
@settings(max_examples=300, deadline=None)
@given(st.data(), st.lists(executions, max_size=8, unique_by=lambda item: item.exec_id))
def test_executions_in_any_order_and_number_give_the_same_totals(
    data: st.DataObject, arrived: list[Any]
) -> None:
    again = data.draw(st.lists(st.sampled_from(arrived), max_size=8)) if arrived else []
    shuffled = data.draw(st.permutations(arrived + again))
    one, other = record(OrderState.ACKNOWLEDGED, 100.0), record(OrderState.ACKNOWLEDGED, 100.0)

    for item in arrived:
        one = apply_execution(one, item, LATER)
    for item in shuffled:
        other = apply_execution(other, item, LATER)

    newest = {
        item.base_id: item.quantity for item in sorted(arrived, key=lambda item: item.exec_id)
    }
    assert one.filled == other.filled == sum(newest.values())
    assert dict(one.executions) == dict(other.executions)


@pytest.mark.req("ORD-5")
@given(st.sampled_from([OrderState.NEW, OrderState.AWAITING_APPROVAL]), statuses)
def test_a_word_about_an_order_that_was_never_sent_raises(begin: OrderState, status: Any) -> None:
    with pytest.raises(IllegalTransitionError):
        apply_status(record(begin), status, LATER)


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=6),
)
numbers = st.one_of(anything, st.integers(1, 1000), st.floats(0.01, 1000))


@pytest.mark.req("ORD-10")
@settings(max_examples=600, deadline=None)
@given(
    symbol=st.one_of(anything, st.just("SPY")),
    action=st.one_of(anything, st.sampled_from(["BUY", "sell"])),
    quantity=numbers,
    order_type=st.one_of(anything, st.sampled_from(["MKT", "LMT", "STP"])),
    limit_price=numbers,
    stop_price=numbers,
    option=st.one_of(
        st.just((None, None, None)),
        st.just(("20260320", 600.0, "C")),
        st.tuples(anything, anything, anything),
    ),
    signal_strength=st.one_of(anything, st.floats(0, 1)),
)
def test_validation_lets_no_bad_value_through(option: tuple[Any, Any, Any], **fields: Any) -> None:
    expiry, strike, right = option
    signal = TradingSignal(expiry=expiry, strike=strike, right=right, **fields)
    try:
        request = validate_signal(signal, StrategyContext(strategy_id="s"), "OP")
    except OrderValidationError:
        return

    assert request.symbol.strip()
    assert request.symbol.isascii()
    assert "\0" not in request.symbol
    assert 0 < request.quantity <= MAX_QUANTITY
    assert float(request.quantity).is_integer()
    for price in (request.limit_price, request.stop_price, request.strike):
        assert price is None or (math.isfinite(price) and 0 < price <= MAX_PRICE)
    assert (request.order_type is OrderType.LIMIT) == (request.limit_price is not None)
    assert (request.order_type is OrderType.STOP) == (request.stop_price is not None)
    assert 0 <= request.signal_strength <= 1
    assert len({request.expiry is None, request.strike is None, request.right is None}) == 1
