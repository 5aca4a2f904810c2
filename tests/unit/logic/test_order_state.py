"""What each message of the broker makes of an order's record."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest

from actors.errors import IllegalTransitionError
from actors.executor.record import (
    OrderRecord,
    apply_commission,
    apply_error,
    apply_execution,
    begin_change,
    is_settled,
    mark_sent,
    move,
    request_cancel,
    signed_remaining,
)
from actors.executor.statuses import adopt, apply_status
from actors.logic.order_table import OrderState
from actors.model.orders import OrderAction
from tests.unit.logic.values import LATER, NOW, execution, record, told, told_whole, wire_order

S = OrderState


def hear(order: OrderRecord, *statuses: str, **changes: float | None) -> OrderRecord:
    for status in statuses:
        order = apply_status(order, told(status, **changes), LATER)
    return order


@pytest.mark.req("ORD-5")
def test_an_order_is_acknowledged_and_filled() -> None:
    working = hear(record(S.SENT), "PendingSubmit", "PreSubmitted", "Submitted")
    executed = apply_execution(working, execution(100), LATER)

    filled = hear(executed, "Filled", filled=100.0, remaining=0.0)

    assert S.ACKNOWLEDGED is working.state
    assert S.FILLED is filled.state
    assert is_settled(filled)
    assert (filled.broker_order_id, filled.perm_id) == (7, 70)
    assert filled.ended_at == LATER


@pytest.mark.req("ORD-7")
def test_a_status_may_say_filled_before_any_execution_came() -> None:
    claimed = hear(record(S.SENT), "Filled", filled=100.0, remaining=0.0)

    settled = apply_execution(claimed, execution(100), LATER)

    assert (claimed.state, is_settled(claimed), claimed.known_filled) == (S.FILLED, False, 100.0)
    assert signed_remaining(claimed) == 100.0
    assert is_settled(settled)
    assert signed_remaining(settled) == 0.0


@pytest.mark.req("ORD-7")
def test_executions_may_come_before_the_acknowledgement() -> None:
    part = apply_execution(record(S.AT_GATE), execution(40), LATER)

    assert S.ACKNOWLEDGED is part.state
    assert signed_remaining(part) == 60.0


@pytest.mark.req("ORD-7")
def test_an_execution_counts_once_and_its_correction_replaces_it() -> None:
    order = apply_execution(record(S.ACKNOWLEDGED), execution(40, "e.1.01"), LATER)
    order = apply_execution(order, execution(40, "e.1.01"), LATER)
    order = apply_execution(order, execution(30, "e.1.02"), LATER)

    late = apply_execution(order, execution(40, "e.1.01"), LATER)

    assert order == late
    assert late.filled == 30.0


@pytest.mark.req("ORD-7")
def test_the_tenth_correction_is_newer_than_the_second() -> None:
    order = apply_execution(record(S.ACKNOWLEDGED), execution(10, "e.1.10"), LATER)

    assert order is apply_execution(order, execution(40, "e.1.2"), LATER)


@pytest.mark.req("ORD-7")
def test_a_correction_moves_what_the_broker_had_claimed() -> None:
    order = apply_execution(record(S.ACKNOWLEDGED), execution(40, "e.1.01"), LATER)
    order = hear(order, "Cancelled", filled=40.0, remaining=60.0)

    order = apply_execution(order, execution(30, "e.1.02"), LATER)

    assert is_settled(order)
    assert order.known_filled == 30.0


@pytest.mark.req("ORD-7")
@pytest.mark.parametrize("is_first", [True, False])
def test_a_commission_finds_its_execution_in_either_order(is_first: bool) -> None:
    order = record(S.ACKNOWLEDGED)
    if is_first:
        order = apply_commission(order, "e.1.01", 1.25, 3.0)
    order = apply_execution(order, execution(40, "e.1.01"), LATER)
    if not is_first:
        order = apply_commission(order, "e.1.01", 1.25, 3.0)

    paid = order.executions["e.1"]

    assert (paid.commission, paid.realized_pnl) == (1.25, 3.0)


@pytest.mark.req("ORD-7")
def test_a_fill_after_the_cancel_counts() -> None:
    cancelled = hear(record(S.CANCELLING), "Cancelled", filled=0.0, remaining=100.0)

    late = apply_execution(cancelled, execution(40), LATER)

    assert (late.state, late.filled) == (S.CANCELLED, 40.0)


@pytest.mark.req("ORD-5")
def test_a_status_never_turns_a_cancelled_order_into_a_filled_one_but_executions_do() -> None:
    cancelled = hear(record(S.CANCELLING), "Cancelled", "Filled", filled=100.0, remaining=0.0)

    proved = apply_execution(cancelled, execution(100), LATER)

    assert S.CANCELLED is cancelled.state
    assert not is_settled(cancelled)
    assert S.FILLED is proved.state


@pytest.mark.req("ORD-5")
def test_a_filled_that_leaves_something_over_is_asked_about() -> None:
    odd = hear(record(S.ACKNOWLEDGED), "Filled", filled=40.0, remaining=60.0)

    assert S.UNKNOWN is odd.state


@pytest.mark.req("ORD-8")
def test_statuses_out_of_order_change_nothing() -> None:
    filled = apply_execution(record(S.ACKNOWLEDGED), execution(100), LATER)

    after = hear(filled, "Submitted", "PreSubmitted", "Cancelled", "Inactive", filled=0.0)

    assert (after.state, after.known_filled) == (S.FILLED, 100.0)


@pytest.mark.req("ORD-8")
def test_what_was_reported_as_filled_never_shrinks_by_a_status() -> None:
    order = hear(record(S.ACKNOWLEDGED), "Submitted", filled=40.0, average_fill_price=600.5)

    order = hear(order, "Submitted", filled=10.0, average_fill_price=1.0)

    assert (order.reported_filled, order.reported_price) == (40.0, 600.5)


@pytest.mark.req("ORD-8")
def test_inactive_is_the_end_with_its_reason() -> None:
    order = apply_error(record(S.SENT), 399, "a warning", LATER)

    failed = hear(order, "Inactive")

    assert S.FAILED is failed.state
    assert failed.rejection_reason == "399: a warning"


@pytest.mark.req("ORD-8")
def test_a_held_locate_is_not_the_end() -> None:
    held = apply_status(record(S.SENT), told("Inactive", why_held="locate"), LATER)

    working = hear(held, "Submitted")

    assert (held.state, working.state) == (S.HELD, S.ACKNOWLEDGED)


@pytest.mark.req("ORD-8")
def test_an_inactive_order_that_works_after_all_is_asked_about() -> None:
    assert S.UNKNOWN is hear(record(S.SENT), "Inactive", "Submitted").state


@pytest.mark.req("ORD-8")
def test_a_status_that_does_not_exist_moves_nothing() -> None:
    odd = hear(record(S.ACKNOWLEDGED), "Nonsense")

    assert (odd.state, odd.last_status) == (S.ACKNOWLEDGED, "Nonsense")


@pytest.mark.req("ORD-5")
def test_a_status_on_its_way_does_not_undo_a_cancel() -> None:
    order = request_cancel(record(S.ACKNOWLEDGED), LATER)

    assert S.CANCELLING is hear(order, "Submitted", "PreSubmitted").state


@pytest.mark.req("ORD-9")
def test_the_answer_to_a_question_outranks_what_was_believed() -> None:
    order = request_cancel(record(S.ACKNOWLEDGED), LATER)

    answered = adopt(order, told_whole("Submitted"), LATER)

    assert (answered.state, answered.cancel_requested) == (S.ACKNOWLEDGED, True)


@pytest.mark.req("ORD-9")
def test_a_lost_order_is_found_again_by_any_word() -> None:
    lost = record(S.LOST)

    assert S.ACKNOWLEDGED is hear(lost, "Submitted").state
    assert S.ACKNOWLEDGED is apply_execution(lost, execution(1), LATER).state


@pytest.mark.req("ORD-5")
@pytest.mark.parametrize("state", [S.NEW, S.AWAITING_APPROVAL, S.AWAITING_JOURNAL])
def test_a_word_about_an_order_that_was_not_sent_is_a_defect(state: OrderState) -> None:
    with pytest.raises(IllegalTransitionError):
        hear(record(state), "Submitted")
    with pytest.raises(IllegalTransitionError):
        apply_execution(record(state), execution(1), LATER)


@pytest.mark.req("ORD-8")
@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [
        (S.SENT, 201, S.FAILED),
        (S.ACKNOWLEDGED, 201, S.FAILED),
        (S.SENT, 321, S.FAILED),
        (S.ACKNOWLEDGED, 321, S.UNKNOWN),
        (S.SENT, 110, S.FAILED),
        (S.SENT, 103, S.UNKNOWN),
        (S.SENT, 202, S.CANCELLED),
        (S.SENT, 404, S.HELD),
        (S.SENT, 399, S.SENT),
        (S.ACKNOWLEDGED, 10349, S.ACKNOWLEDGED),
        (S.ACKNOWLEDGED, 161, S.UNKNOWN),
        (S.SENT, 99_999, S.UNKNOWN),
        (S.FILLED, 201, S.FILLED),
        (S.CANCELLED, 10148, S.CANCELLED),
        (S.NEW, 201, S.NEW),
    ],
)
def test_a_code_moves_the_order_by_its_meaning(
    state: OrderState, code: int, expected: OrderState
) -> None:
    assert expected is apply_error(record(state), code, "text", LATER).state


@pytest.mark.req("ORD-8")
@pytest.mark.parametrize("code", [110, 201, 105, 104, 321])
def test_a_refused_modify_leaves_the_order_as_it_was(code: int) -> None:
    order = begin_change(record(S.ACKNOWLEDGED), wire_order(100, limit_price=601.0))

    after = apply_error(order, code, "text", LATER)

    assert S.ACKNOWLEDGED is after.state
    assert (after.pending_change, after.order.limit_price) == (None, 600.0)


@pytest.mark.req("ORD-8")
@pytest.mark.parametrize("code", [161, 10147, 10148, 135])
def test_a_refused_cancel_asks_the_broker(code: int) -> None:
    order = request_cancel(record(S.ACKNOWLEDGED), LATER)

    assert S.UNKNOWN is apply_error(order, code, "text", LATER).state


@pytest.mark.req("GW-4")
def test_a_modify_holds_when_the_broker_repeats_its_terms() -> None:
    order = begin_change(record(S.ACKNOWLEDGED), wire_order(150, limit_price=601.0))

    pending = apply_status(order, told_whole("Submitted"), LATER)
    done = apply_status(order, told_whole("Submitted", 150, limit_price=601.0), LATER)

    assert (pending.order.quantity, signed_remaining(pending)) == (100.0, 150.0)
    assert (
        done.order.quantity,
        done.order.limit_price,
        done.pending_change,
    ) == (150.0, 601.0, None)


@pytest.mark.req("ORD-5")
def test_a_cancel_of_an_order_that_never_left_ends_it_at_once() -> None:
    assert S.CANCELLED is request_cancel(record(S.AWAITING_APPROVAL), LATER).state
    assert request_cancel(record(S.FILLED), LATER).state is S.FILLED


@pytest.mark.req("ORD-9")
def test_the_address_is_kept_when_the_status_came_before_the_gates_answer() -> None:
    early = hear(record(S.AT_GATE), "Submitted")

    sent = mark_sent(early, 7, NOW)

    assert (sent.state, sent.broker_order_id, sent.sent_at) == (S.ACKNOWLEDGED, 7, NOW)
    assert S.SENT is mark_sent(record(S.AT_GATE), 7, NOW).state


@pytest.mark.req("ORD-5")
def test_the_record_dates_its_steps() -> None:
    later = LATER + timedelta(seconds=5)
    order = move(record(S.AT_GATE), S.SENT, NOW)
    order = move(order, S.ACKNOWLEDGED, LATER)

    done = move(order, S.CANCELLED, later, "why")

    assert (NOW, LATER, later) == (done.sent_at, done.acknowledged_at, done.ended_at)
    assert (done.rejection_reason, done.is_live) == ("why", False)


@pytest.mark.req("ORD-5")
def test_a_sale_remains_with_a_negative_sign_and_too_much_filled_leaves_nothing() -> None:
    sale = record(S.ACKNOWLEDGED, action=OrderAction.SELL)
    over = attrs.evolve(sale, executions={"e": execution(120)})

    assert signed_remaining(sale) == -100.0
    assert signed_remaining(over) == 0.0
