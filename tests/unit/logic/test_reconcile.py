"""Each order's truth is found in the broker's state, and nothing is forgotten or resent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest

from actors.executor.reconcile import (
    GateKnowledge,
    OrderReconciliation,
    from_journal,
    reconcile_orders,
)
from actors.executor.record import (
    OrderRecord,
    apply_execution,
    is_settled,
    signed_remaining,
)
from actors.executor.working_orders import foreign_working, working_orders
from actors.logic.broker_orders import is_working
from actors.logic.order_table import OrderState
from actors.messages.journal import JournaledOrder
from actors.model.connection import BrokerState
from actors.model.orders import Execution, OrderAction, Purpose, WaitFor
from tests.unit.logic.values import (
    LATER,
    NOW,
    QQQ,
    REF,
    broker_state,
    execution,
    record,
    told,
    told_whole,
    trade_request,
    wire_order,
)

pytestmark = pytest.mark.req("ORD-9", "CON-11")

S = OrderState
KNOWS_NOTHING_SENT = GateKnowledge(sent={}, since=NOW - timedelta(hours=1))


def reconcile(
    order: OrderRecord,
    state: BrokerState,
    gate: GateKnowledge | None = None,
) -> OrderReconciliation:
    return reconcile_orders([order], state, "CSATSPRIM", LATER, gate=gate)


def test_an_open_order_is_adopted_with_its_ids_and_terms() -> None:
    state = broker_state(open_orders=(told_whole("Submitted", 90, filled=10.0),))

    found = reconcile(record(S.UNKNOWN), state)
    after = found.records[0]

    assert (
        after.state,
        after.broker_order_id,
        after.perm_id,
        after.order.quantity,
    ) == (S.ACKNOWLEDGED, 7, 70, 90.0)
    assert found.differences == (f"{REF}: UNKNOWN here, ACKNOWLEDGED at the broker",)


@pytest.mark.parametrize(
    ("status", "expected"),
    [("Filled", S.FILLED), ("Cancelled", S.CANCELLED), ("Inactive", S.FAILED)],
)
def test_a_completed_order_is_at_its_end(status: str, expected: OrderState) -> None:
    state = broker_state(completed_orders=(told_whole(status, order_id=0),))

    assert reconcile(record(S.ACKNOWLEDGED), state).records[0].state is expected


def test_an_ended_order_among_the_open_ones_is_at_its_end() -> None:
    state = broker_state(open_orders=(told_whole("Cancelled"),))

    assert reconcile(record(S.UNKNOWN), state).records[0].state is S.CANCELLED


def test_executions_alone_prove_a_fill() -> None:
    state = broker_state(executions=(execution(100),))

    found = reconcile(record(S.SENT), state)

    assert found.records[0].state is S.FILLED
    assert f"{REF}: filled 0 here, 100 there" in found.differences


def test_part_of_an_order_without_the_order_is_absent_like_the_whole() -> None:
    found = reconcile(record(S.SENT), broker_state(executions=(execution(40),)))

    assert (found.records[0].state, found.records[0].filled) == (S.UNKNOWN, 40.0)
    assert found.absent == {REF}


@pytest.mark.parametrize("state", [S.SENT, S.ACKNOWLEDGED, S.HELD, S.CANCELLING, S.UNKNOWN])
def test_an_order_that_is_found_nowhere_is_unknown_and_named_as_absent(state: OrderState) -> None:
    found = reconcile(record(state), broker_state())

    assert (found.records[0].state, found.absent) == (S.UNKNOWN, frozenset({REF}))


def test_an_order_that_is_listed_or_at_its_end_is_not_absent() -> None:
    listed = reconcile(record(S.UNKNOWN), broker_state(open_orders=(told_whole("Submitted"),)))
    ended = reconcile(record(S.UNKNOWN), broker_state(executions=(execution(100),)))

    assert (listed.absent, ended.absent) == (frozenset(), frozenset())


def test_the_gate_can_prove_that_an_order_was_never_sent() -> None:
    after = reconcile(record(S.UNKNOWN), broker_state(), KNOWS_NOTHING_SENT).records[0]

    assert (after.state, after.rejection_reason) == (
        S.FAILED,
        "it was not sent, and never will be",
    )


def test_a_gate_that_was_not_asked_about_an_order_proves_nothing_of_it() -> None:
    of_another = attrs.evolve(KNOWS_NOTHING_SENT, asked=frozenset({"CSATSPRIM:ORD_other"}))
    of_both = of_another.joined(attrs.evolve(KNOWS_NOTHING_SENT, asked=frozenset({REF})))

    unproved = reconcile(record(S.AT_GATE), broker_state(), of_another).records[0]
    proved = reconcile(record(S.AT_GATE), broker_state(), of_both).records[0]

    assert (unproved.state, proved.state) == (S.AT_GATE, S.FAILED)


@pytest.mark.parametrize("status", ["Submitted", "Cancelled", "Filled"])
def test_what_filled_without_a_listed_execution_is_not_waited_for(status: str) -> None:
    filled = 100.0 if status == "Filled" else 40.0
    state = broker_state(open_orders=(told_whole(status, filled=filled),))

    after = reconcile(record(S.UNKNOWN), state).records[0]
    late = reconcile(
        after, broker_state(open_orders=state.open_orders, executions=(execution(filled),))
    ).records[0]

    left = 60.0 if status == "Submitted" else 0.0
    assert (signed_remaining(after), signed_remaining(late)) == (left, left)
    assert is_settled(after) is is_settled(late) is (status != "Submitted")


def test_a_gate_younger_than_the_intent_proves_nothing() -> None:
    young = GateKnowledge(sent={}, since=NOW + timedelta(seconds=1))

    assert reconcile(record(S.UNKNOWN), broker_state(), young).records[0].state is S.UNKNOWN


def test_an_acknowledged_order_was_sent_whatever_the_gate_says() -> None:
    known = attrs.evolve(record(S.ACKNOWLEDGED), acknowledged_at=NOW)

    assert reconcile(known, broker_state(), KNOWS_NOTHING_SENT).records[0].state is S.UNKNOWN


@pytest.mark.parametrize("known", [{"broker_order_id": 7}, {"sent_at": NOW}], ids=str)
def test_an_order_whose_bytes_left_is_never_called_unsent(known: dict[str, Any]) -> None:
    sent = attrs.evolve(record(S.UNKNOWN), **{"broker_order_id": None, "sent_at": None, **known})

    assert reconcile(sent, broker_state(), KNOWS_NOTHING_SENT).records[0].state is S.UNKNOWN


def test_what_the_gate_sent_gets_its_address_and_may_still_be_on_its_way() -> None:
    gate = GateKnowledge(sent={REF: 7}, since=NOW)

    after = reconcile(record(S.AT_GATE), broker_state(), gate).records[0]

    assert (after.state, after.broker_order_id) == (S.SENT, 7)


@pytest.mark.parametrize("state", [S.NEW, S.AWAITING_APPROVAL, S.AWAITING_JOURNAL, S.AT_GATE])
def test_an_order_that_has_not_left_is_not_judged(state: OrderState) -> None:
    assert reconcile(record(state), broker_state()).records[0].state is state


def test_an_order_that_left_after_the_read_is_not_judged() -> None:
    fresh = attrs.evolve(record(S.SENT), sent_at=LATER)

    assert reconcile(fresh, broker_state()).records[0] == fresh


@pytest.mark.req("ORD-7")
def test_a_fill_that_was_missed_reaches_an_order_at_its_end() -> None:
    after = reconcile(record(S.CANCELLED), broker_state(executions=(execution(40),))).records[0]

    assert (after.state, after.filled) == (S.CANCELLED, 40.0)


def test_more_than_one_live_order_is_an_alarm_and_the_extras_are_named() -> None:
    ours = attrs.evolve(record(S.UNKNOWN), perm_id=71, broker_order_id=8)
    one, two = told_whole("Submitted"), told_whole("Submitted", order_id=8, perm_id=71)

    found = reconcile(ours, broker_state(open_orders=(one, two)))

    assert found.extras == (one,)
    assert found.records[0].perm_id == 71
    assert "more than one live order" in found.differences[0]


def test_too_much_filled_is_said() -> None:
    state = broker_state(executions=(execution(100, "a.01"), execution(100, "b.01")))

    assert "too much" in reconcile(record(S.SENT), state).differences[-1]


def test_a_live_order_of_an_earlier_process_is_adopted() -> None:
    earlier = "CSATSPRIM:CLOSE_QQQ_320227571_zz"
    stop = told_whole(
        "PreSubmitted",
        order_ref=earlier,
        contract=QQQ,
        action=OrderAction.SELL,
        order_type="STP",
        limit_price=None,
        stop_price=480.0,
    )
    state = broker_state(
        open_orders=(stop,), executions=(execution(30, order_ref=earlier, action=OrderAction.SELL),)
    )

    found = reconcile(record(S.FILLED), state)
    adopted = found.records[1]

    assert found.adopted == (earlier,)
    assert (adopted.state, adopted.purpose, adopted.filled) == (
        S.ACKNOWLEDGED,
        Purpose.CLOSE,
        30.0,
    )
    assert [item.signed_remaining for item in working_orders(found.records)] == [-70.0]


def test_the_extras_of_an_adopted_order_are_named_too() -> None:
    reference = "CSATSPRIM:ORD_x"
    orders = tuple(
        told_whole("Submitted", order_ref=reference, perm_id=perm_id) for perm_id in (1, 2)
    )

    found = reconcile(record(S.FILLED), broker_state(open_orders=orders))

    assert found.extras == orders[1:]


@pytest.mark.req("STC-6")
def test_orders_of_others_are_foreign_and_count_for_risk() -> None:
    by_hand = told_whole("Submitted", order_ref="", remaining=60.0)
    odd = told_whole("Submitted", order_ref="CSATSPRIM:ORD_y", order_type="TRAIL")
    bare = told("Submitted", order_ref="other")

    found = reconcile(record(S.FILLED), broker_state(open_orders=(by_hand, odd, bare)))

    assert set(found.foreign) == {by_hand, odd, bare}
    assert [item.signed_remaining for item in foreign_working(found.foreign)] == [60.0, 100.0]


def journaled(state: str = "SENT", filled: float = 0.0) -> JournaledOrder:
    order = wire_order()
    return JournaledOrder(
        order=order,
        request=trade_request(order),
        order_id="ORD_1",
        correlation_id="c",
        state=state,
        broker_order_id=7,
        filled=filled,
        at=NOW,
        close_reason=None,
        wait_for=WaitFor.FILL,
    )


@pytest.mark.req("ORD-9")
def test_what_the_journal_knows_to_be_filled_is_told_when_the_broker_lists_nothing_any_more() -> (
    None
):
    (restored,) = from_journal([journaled(filled=40.0)], [execution(40.0)])

    found = reconcile(restored, broker_state())

    assert (found.records[0].state, found.records[0].filled) == (S.UNKNOWN, 40.0)
    assert found.absent == {REF}, "two reads settle it"


@pytest.mark.req("ORD-9")
@pytest.mark.parametrize("listed", [(), (execution(100.0),)])
def test_an_order_that_the_journals_executions_fill_ends_at_the_reconciliation_so_that_it_is_told(
    listed: tuple[Execution, ...],
) -> None:
    (restored,) = from_journal([journaled(filled=100.0)], [execution(100.0)])

    (after,) = reconcile(restored, broker_state(executions=listed)).records

    assert restored.state is S.UNKNOWN
    assert (after.state, after.filled) == (S.FILLED, 100.0)


@pytest.mark.req("ORD-7", "SUP-6")
def test_an_order_that_had_ended_keeps_its_state_and_takes_a_fill_that_comes_late() -> None:
    (restored,) = from_journal([journaled("CANCELLED", 40.0)], [execution(40.0)])

    after = apply_execution(restored, execution(60.0, "e.2.01"), LATER)

    assert (restored.state, is_settled(restored)) == (S.CANCELLED, True)
    assert (after.state, after.filled) == (S.FILLED, 100.0)


@pytest.mark.req("RSK-6")
def test_what_an_ended_order_filled_without_an_execution_is_in_the_position_already() -> None:
    (restored,) = from_journal([journaled("FILLED", 100.0)], [execution(40.0)])

    assert is_settled(restored)
    assert restored.filled == 40.0


def test_the_journal_makes_records_whose_fate_is_unknown() -> None:
    found = from_journal([journaled()])[0]

    assert (found.state, found.broker_order_id, found.correlation_id) == (S.UNKNOWN, 7, "c")


def test_a_status_that_does_not_exist_counts_as_working() -> None:
    assert is_working(told("Nonsense"))
    assert not is_working(told("Inactive"))
