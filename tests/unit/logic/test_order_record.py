"""What each step changes in an order's record, and that it changes nothing else."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.errors import IllegalTransitionError
from actors.executor.record import (
    QUANTITY_TOLERANCE,
    OrderRecord,
    apply_commission,
    apply_error,
    apply_execution,
    begin_change,
    complete,
    is_settled,
    lacks_reason,
    mark_sent,
    move,
    new_record,
    request_cancel,
    request_kind,
    signed_remaining,
    without_executions,
)
from actors.logic.broker_codes import RequestKind
from actors.logic.order_table import LIVE, TERMINAL, TRANSITIONS, WORKING, OrderState
from actors.model.orders import CloseReason, OrderAction, RejectionKind
from tests.unit.logic.values import LATER, NOW, REF, execution, record, trade_request, wire_order

S = OrderState
EARLIER = NOW - timedelta(seconds=1)
CHANGED = wire_order(150)
OLD: Any = {
    "rejection_reason": "old",
    "rejection_kind": RejectionKind.GATE,
    "rejection_code": 7,
}
NEW: Any = {
    "rejection_reason": "new",
    "rejection_kind": RejectionKind.RISK,
    "rejection_code": 8,
}


def changes(before: OrderRecord, after: OrderRecord) -> dict[str, Any]:
    """The fields that a step changed, with their new values."""
    return {
        field.name: getattr(after, field.name)
        for field in attrs.fields(OrderRecord)
        if getattr(before, field.name) != getattr(after, field.name)
    }


def at(state: OrderState, **fields: Any) -> OrderRecord:
    return attrs.evolve(record(state), **fields)


# --- steps ------------------------------------------------------------------------------------------------------------


def test_a_new_record_has_what_it_was_made_of_and_nothing_else() -> None:
    order = wire_order(3)
    request = trade_request(order)

    made = new_record(
        order,
        request,
        "ORD_1",
        NOW,
        state=S.UNKNOWN,
        correlation_id="c",
        close_reason=CloseReason.DAILY_LOSS_LIMIT,
    )

    assert made == OrderRecord(
        order_id="ORD_1",
        order=order,
        request=request,
        state=S.UNKNOWN,
        correlation_id="c",
        close_reason=CloseReason.DAILY_LOSS_LIMIT,
        created_at=NOW,
    )
    plain = new_record(order, request, "ORD_1", NOW)
    assert (plain.state, plain.correlation_id, plain.close_reason) == (S.NEW, "", None)


STEPS = [(state, to) for state in TRANSITIONS for to in sorted(TRANSITIONS[state])]


@pytest.mark.req("ORD-5")
@pytest.mark.parametrize(("state", "to"), STEPS)
@pytest.mark.parametrize("dated", [None, EARLIER])
def test_a_step_dates_itself_once_and_an_end_forgets_the_change_that_was_asked(
    state: OrderState, to: OrderState, dated: Any
) -> None:
    before = at(
        state,
        pending_change=CHANGED,
        sent_at=dated,
        acknowledged_at=dated,
        ended_at=EARLIER,
        **OLD,
    )

    told = move(before, to, LATER, "new", RejectionKind.RISK, 8)
    silent = move(before, to, LATER)

    expected: dict[str, Any] = {"state": to, "changed_at": LATER, **NEW}
    if dated is None and to is S.SENT:
        expected["sent_at"] = LATER
    if dated is None and to in WORKING:
        expected["acknowledged_at"] = LATER
    expected["ended_at"] = LATER if to in TERMINAL else None
    if to in TERMINAL:
        expected["pending_change"] = None
    assert expected == changes(before, told)
    assert attrs.evolve(told, **OLD) == silent


def test_an_order_that_was_sent_has_its_address_and_keeps_a_status_that_came_first() -> None:
    gate, early = at(S.AT_GATE), at(S.ACKNOWLEDGED, client_id=2)

    sent = mark_sent(gate, 7, LATER, 3)

    assert changes(gate, sent) == {
        "state": S.SENT,
        "broker_order_id": 7,
        "client_id": 3,
        "sent_at": LATER,
        "changed_at": LATER,
    }
    assert changes(early, mark_sent(early, 7, LATER)) == {"broker_order_id": 7, "sent_at": LATER}
    assert mark_sent(sent, 7, NOW).sent_at == LATER


@pytest.mark.req("ORD-5")
@pytest.mark.parametrize("state", list(S))
def test_a_cancel_ends_what_never_left_waits_for_what_lives_and_leaves_an_end_alone(
    state: OrderState,
) -> None:
    before = at(state, acknowledged_at=NOW)

    found = changes(before, request_cancel(before, LATER))

    expected: dict[str, Any] = {"cancel_requested": True}
    if state in (S.NEW, S.AWAITING_APPROVAL, S.AWAITING_JOURNAL):
        expected |= {
            "state": S.CANCELLED,
            "changed_at": LATER,
            "ended_at": LATER,
            "rejection_reason": "cancelled before it was sent",
        }
    if state in (S.SENT, S.ACKNOWLEDGED, S.HELD):
        expected |= {"state": S.CANCELLING, "changed_at": LATER}
    assert expected == found


# --- executions -------------------------------------------------------------------------------------------------------

_ACKNOWLEDGED = {"state": S.ACKNOWLEDGED, "acknowledged_at": LATER}


@pytest.mark.req("ORD-7")
@pytest.mark.parametrize("state", sorted((LIVE | TERMINAL) - {S.REJECTED, S.SIMULATED}))
def test_an_execution_is_counted_dated_and_proves_that_the_order_is_at_the_broker(
    state: OrderState,
) -> None:
    before, item = at(state, order=wire_order(100)), execution(40, perm_id=70)

    found = changes(before, apply_execution(before, item, LATER))

    expected = {"executions": {"0001.aa": item}, "perm_id": 70, "changed_at": LATER}
    if state in (S.AT_GATE, S.SENT, S.LOST):
        expected |= _ACKNOWLEDGED
    assert expected == found


@pytest.mark.req("ORD-7")
@pytest.mark.parametrize("state", sorted({S.NEW, S.AWAITING_JOURNAL, S.REJECTED, S.SIMULATED}))
def test_an_execution_of_what_cannot_have_one_is_a_defect_that_names_both(
    state: OrderState,
) -> None:
    with pytest.raises(IllegalTransitionError, match=re.escape(f"{REF} is {state} and")) as raised:
        apply_execution(at(state), execution(1, "e.9.01"), LATER)

    assert "e.9.01" in str(raised.value)


@pytest.mark.req("ORD-7")
def test_an_execution_without_a_perm_id_keeps_the_one_there_is() -> None:
    assert apply_execution(at(S.SENT, perm_id=5), execution(1, perm_id=0), LATER).perm_id == 5
    assert apply_execution(at(S.SENT, perm_id=5), execution(1, perm_id=6), LATER).perm_id == 6


@pytest.mark.req("ORD-7")
@pytest.mark.parametrize(
    ("claimed", "first", "second", "expected"),
    [(40, 40, 30, 30.0), (40, 40, 55, 55.0), (5, 40, 10, 0.0), (0, 40, 50, 0.0), (90, 40, 1, 51)],
)
def test_a_correction_moves_the_brokers_claim_by_as_much_and_never_below_nothing(
    claimed: float, first: float, second: float, expected: float
) -> None:
    order = apply_execution(at(S.ACKNOWLEDGED), execution(first, "e.1.01"), LATER)
    order = attrs.evolve(order, reported_filled=float(claimed))

    assert apply_execution(order, execution(second, "e.1.02"), LATER).reported_filled == expected


@pytest.mark.req("ORD-7")
def test_an_execution_that_is_told_again_with_its_commission_takes_it_over_and_counts_nothing() -> (
    None
):
    once = apply_execution(at(S.ACKNOWLEDGED), execution(40, "e.1.01"), NOW)
    paid = execution(40, "e.1.01", commission=1.5, realized_pnl=2.0)

    again = apply_execution(once, paid, LATER)

    assert changes(once, again) == {"executions": {"e.1": paid}}
    assert again is apply_execution(again, paid, LATER)


@pytest.mark.req("ORD-7")
def test_a_commission_waits_for_its_own_execution_and_one_that_is_known_changes_nothing() -> None:
    waiting = apply_commission(at(S.ACKNOWLEDGED), "e.2.01", 1.0)
    other = apply_execution(waiting, execution(10, "e.1.01"), LATER)
    paid = apply_commission(other, "e.1.01", 2.0, 3.0)

    assert waiting.early_commissions == (("e.2.01", 1.0, None),)
    assert other.executions["e.1"].commission is None
    assert changes(other, paid) == {
        "executions": {"e.1": execution(10, "e.1.01", commission=2.0, realized_pnl=3.0)}
    }
    assert paid is apply_commission(paid, "e.1.01", 2.0, 3.0)
    late = apply_execution(paid, execution(10, "e.2.01"), LATER)
    assert late.executions["e.2"].commission == 1.0


# --- codes ------------------------------------------------------------------------------------------------------------


@pytest.mark.req("ORD-8")
def test_a_code_tells_its_words_and_an_end_has_them_as_its_reason() -> None:
    sent, working = at(S.SENT), at(S.ACKNOWLEDGED, **OLD)

    refused = apply_error(sent, 201, "no", LATER)
    ended = apply_error(sent, 202, "gone", LATER)
    asked = apply_error(working, 161, "what", LATER)

    assert changes(sent, refused) == _noted(201, "no") | _refused(201, "no") | {
        "state": S.FAILED,
        "changed_at": LATER,
        "ended_at": LATER,
    }
    assert changes(sent, ended) == _noted(202, "gone") | {
        "state": S.CANCELLED,
        "rejection_reason": "202: gone",
        "changed_at": LATER,
        "ended_at": LATER,
    }
    assert changes(working, asked) == _noted(161, "what") | {
        "state": S.UNKNOWN,
        "changed_at": LATER,
    }
    assert changes(sent, apply_error(sent, 399, "soon", LATER)) == _noted(399, "soon")


def _noted(code: int, text: str) -> dict[str, Any]:
    return {"last_notice": f"{code}: {text}", "last_code": code}


def _refused(code: int, text: str) -> dict[str, Any]:
    return {
        "rejection_reason": f"{code}: {text}",
        "rejection_kind": RejectionKind.BROKER,
        "rejection_code": code,
    }


@pytest.mark.req("ORD-8")
def test_a_refused_change_is_forgotten_and_nothing_else_changes() -> None:
    order = begin_change(at(S.ACKNOWLEDGED), CHANGED)

    after = apply_error(order, 201, "no", LATER)

    assert changes(order, after) == _noted(201, "no") | {"pending_change": None}


@pytest.mark.req("ORD-8")
def test_the_reason_of_an_end_may_come_after_it_once() -> None:
    ended = at(S.FAILED, last_status="Inactive", rejection_reason="the broker made it Inactive")

    advised = apply_error(ended, 399, "soon", LATER)
    told = apply_error(ended, 201, "margin", LATER)

    assert changes(ended, told) == _noted(201, "margin") | _refused(201, "margin")
    assert changes(ended, advised) == _noted(399, "soon") | _refused(399, "soon")
    assert apply_error(told, 202, "more", LATER).rejection_reason == "201: margin"


@pytest.mark.req("ORD-8")
@pytest.mark.parametrize(
    ("state", "status", "notice", "expected"),
    [
        (S.FAILED, "Inactive", None, True),
        (S.FAILED, "", None, False),
        (S.FAILED, "Inactive", "201: no", False),
        (S.CANCELLED, "Cancelled", None, False),
        (S.ACKNOWLEDGED, "Submitted", None, False),
    ],
)
def test_an_end_lacks_its_reason_when_the_broker_ended_it_in_silence(
    state: OrderState, status: str, notice: str | None, expected: bool
) -> None:
    assert lacks_reason(at(state, last_status=status, last_notice=notice)) is expected


@pytest.mark.req("ORD-8")
def test_a_held_order_that_is_being_cancelled_stays_so() -> None:
    order = request_cancel(at(S.ACKNOWLEDGED), NOW)
    unlisted = [apply_error(order, code, "held", LATER).state for code in (404, 399)]

    assert unlisted == [S.CANCELLING, S.CANCELLING]
    assert apply_error(at(S.HELD), 404, "held", LATER).changed_at is None


@pytest.mark.req("ORD-8")
def test_a_code_answers_the_newest_thing_that_was_asked() -> None:
    order = at(S.ACKNOWLEDGED)
    cancelled = request_cancel(order, LATER)

    asked = [order, cancelled, begin_change(order, CHANGED), begin_change(cancelled, CHANGED)]

    assert [request_kind(each) for each in asked] == [
        RequestKind.NEW,
        RequestKind.CANCEL,
        RequestKind.MODIFY,
        RequestKind.MODIFY,
    ]


# --- what can still fill ----------------------------------------------------------------------------------------------

quantities = st.integers(0, 120).map(float)


@pytest.mark.req("RSK-6", "ORD-7")
@settings(max_examples=150)
@given(
    state=st.sampled_from(sorted(LIVE | TERMINAL)),
    action=st.sampled_from(list(OrderAction)),
    executed=quantities,
    reported=quantities,
    unlisted=quantities,
    asked=st.none() | quantities.filter(bool),
)
def test_what_can_still_fill_equals_a_recomputation(
    state: OrderState,
    action: OrderAction,
    executed: float,
    reported: float,
    unlisted: float,
    asked: float | None,
) -> None:
    order = attrs.evolve(
        record(state, 100, action=action),
        executions={"e": execution(executed)} if executed else {},
        reported_filled=reported,
        unlisted_filled=unlisted,
        pending_change=None if asked is None else wire_order(asked),
    )

    accounted = executed + unlisted
    is_over = state in TERMINAL and accounted >= reported
    most = max(reported if state in TERMINAL else 100.0, asked or 0.0)

    assert order.known_filled == max(executed, reported)
    assert is_settled(order) is is_over
    expected = 0.0 if is_over else action.sign * max(0.0, most - accounted)
    assert signed_remaining(order) == expected


def test_a_difference_within_the_tolerance_is_none() -> None:
    assert is_settled(at(S.CANCELLED, reported_filled=QUANTITY_TOLERANCE))
    assert not is_settled(at(S.CANCELLED, reported_filled=2 * QUANTITY_TOLERANCE))
    assert not is_settled(at(S.ACKNOWLEDGED))


@pytest.mark.req("ORD-7")
@pytest.mark.parametrize(("broker", "expected"), [(100.0, 60.0), (40.0, 0.0), (0.0, 0.0)])
def test_what_filled_without_an_execution_is_what_the_broker_tells_beyond_them(
    broker: float, expected: float
) -> None:
    order = at(S.ACKNOWLEDGED, executions={"e": execution(40)})

    after = without_executions(order, broker)

    assert after.unlisted_filled == expected
    assert after.accounted_filled == 40.0 + expected
    assert set(changes(order, after)) <= {"unlisted_filled"}


@pytest.mark.req("ORD-5")
@pytest.mark.parametrize(("state", "unlisted"), list(itertools.product(S, [0.0, 59.0, 60.0, 61.0])))
def test_an_order_is_filled_exactly_when_all_of_it_is_accounted_for(
    state: OrderState, unlisted: float
) -> None:
    order = at(state, executions={"e": execution(40)}, unlisted_filled=unlisted)
    is_possible = S.FILLED in TRANSITIONS[state] and state in LIVE | TERMINAL
    finish: Callable[[], OrderRecord] = lambda: complete(order, LATER)  # noqa: E731

    if unlisted < 60.0 or state not in LIVE | TERMINAL or state is S.FILLED:
        assert finish() is order
    elif is_possible:
        assert (finish().state, finish().ended_at) == (S.FILLED, LATER)
    else:
        with pytest.raises(IllegalTransitionError, match=f"from {state} to FILLED"):
            finish()
