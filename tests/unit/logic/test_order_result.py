"""What the caller is told of an order."""

from __future__ import annotations

import attrs
import pytest

from actors.executor.record import OrderRecord, apply_commission, apply_execution
from actors.executor.result import result
from actors.logic.order_table import OrderState
from actors.model.orders import ExecutionMode, OrderResult, OrderStatus, ValidationResult
from tests.unit.logic.values import LATER, execution, market_order, record

S = OrderState
O = OrderStatus  # noqa: E741 - a table reads better with one letter per column
pytestmark = pytest.mark.req("ORD-5")


def tell(
    order: OrderRecord, timed_out: bool = False, quote_price: float | None = None
) -> OrderResult:
    mode = ExecutionMode.PAPER
    return result(order, mode, LATER, timed_out=timed_out, quote_price=quote_price)


def filled_in_part(state: OrderState) -> OrderRecord:
    return attrs.evolve(record(state), executions={"e": execution(40)})


# (state, nothing filled, part filled, nothing filled by the deadline, part filled by the deadline)
STATUSES = [
    (S.NEW, O.PENDING, O.PARTIAL, O.TIMEOUT, O.PARTIAL),
    (S.AWAITING_APPROVAL, O.PENDING, O.PARTIAL, O.TIMEOUT, O.PARTIAL),
    (S.AWAITING_JOURNAL, O.PENDING, O.PARTIAL, O.TIMEOUT, O.PARTIAL),
    (S.AT_GATE, O.PENDING, O.PARTIAL, O.TIMEOUT, O.PARTIAL),
    (S.SENT, O.PENDING, O.PARTIAL, O.TIMEOUT, O.PARTIAL),
    (S.ACKNOWLEDGED, O.PENDING, O.PARTIAL, O.TIMEOUT, O.PARTIAL),
    (S.HELD, O.PENDING, O.PARTIAL, O.TIMEOUT, O.PARTIAL),
    (S.CANCELLING, O.PENDING, O.PARTIAL, O.TIMEOUT, O.PARTIAL),
    (S.UNKNOWN, O.UNKNOWN, O.UNKNOWN, O.TIMEOUT, O.PARTIAL),
    (S.FILLED, O.FILLED, O.FILLED, O.FILLED, O.FILLED),
    (S.CANCELLED, O.CANCELLED, O.PARTIAL, O.TIMEOUT, O.PARTIAL),
    (S.REJECTED, O.REJECTED, O.REJECTED, O.REJECTED, O.REJECTED),
    (S.FAILED, O.FAILED, O.PARTIAL, O.FAILED, O.PARTIAL),
    (S.SIMULATED, O.SIMULATED, O.SIMULATED, O.SIMULATED, O.SIMULATED),
    (S.LOST, O.LOST, O.LOST, O.LOST, O.LOST),
]


@pytest.mark.req("ORD-6")
@pytest.mark.parametrize(("state", "empty", "part", "late", "late_part"), STATUSES)
def test_every_state_has_its_status(
    state: OrderState,
    empty: OrderStatus,
    part: OrderStatus,
    late: OrderStatus,
    late_part: OrderStatus,
) -> None:
    told = (
        tell(record(state)).status,
        tell(filled_in_part(state)).status,
        tell(record(state), timed_out=True).status,
        tell(filled_in_part(state), timed_out=True).status,
    )

    assert (empty, part, late, late_part) == told


def test_every_state_is_in_the_table() -> None:
    assert set(OrderState) == {row[0] for row in STATUSES}


@pytest.mark.req("ORD-6")
@pytest.mark.parametrize(
    ("state", "timed_out", "expected"),
    [
        (S.CANCELLED, True, True),
        (S.CANCELLING, True, False),
        (S.UNKNOWN, True, False),
        (S.FILLED, True, None),
        (S.CANCELLED, False, None),
    ],
)
def test_the_deadline_tells_whether_the_cancel_is_confirmed(
    state: OrderState, timed_out: bool, expected: bool | None
) -> None:
    assert tell(record(state), timed_out=timed_out).cancel_confirmed is expected


def test_the_price_is_weighted_by_volume_and_the_commissions_add_up() -> None:
    order = record(S.ACKNOWLEDGED)
    order = apply_execution(order, execution(25, "e.1.01", price=600.0), LATER)
    order = apply_execution(order, execution(75, "e.2.01", price=602.0), LATER)
    order = apply_commission(order, "e.1.01", 1.0)
    order = apply_commission(order, "e.2.01", 0.5)

    told = tell(order)

    assert (
        told.status,
        told.fill_quantity,
        told.fill_price,
        told.commission,
    ) == (O.FILLED, 100.0, 601.5, 1.5)


def test_the_brokers_average_serves_until_the_executions_came() -> None:
    order = attrs.evolve(record(S.FILLED), reported_filled=100.0, reported_price=600.5)

    assert (tell(order).fill_quantity, tell(order).fill_price) == (100.0, 600.5)


@pytest.mark.req("MODE-6")
def test_a_simulated_order_is_filled_at_its_limit_else_at_the_quote_else_at_no_price() -> None:
    limit = tell(record(S.SIMULATED), quote_price=1.0)
    at_market = attrs.evolve(record(S.SIMULATED), order=market_order())

    assert (limit.fill_quantity, limit.fill_price) == (100.0, 600.0)
    assert tell(at_market, quote_price=599.0).fill_price == 599.0
    assert tell(at_market).fill_price is None


def test_the_result_carries_what_the_audit_needs() -> None:
    validation = ValidationResult(approved=True)
    order = attrs.evolve(
        record(S.FAILED), broker_order_id=7, rejection_reason="201: no", correlation_id="c"
    )

    told = result(order, ExecutionMode.PAPER, LATER, validation)

    assert (7, "201: no", "c", validation) == (
        told.ibkr_order_id,
        told.rejection_reason,
        told.correlation_id,
        told.risk_validation,
    )
