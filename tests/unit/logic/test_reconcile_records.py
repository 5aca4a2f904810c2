"""What a reconciliation makes of each record, field by field: out of the journal, and out of the broker's orders."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest

from actors.executor.reconcile import (
    GateKnowledge,
    OrderReconciliation,
    from_journal,
    is_double,
    reconcile_orders,
)
from actors.executor.record import OrderRecord, new_record
from actors.logic.order_table import TERMINAL, OrderState
from actors.messages.journal import JournaledOrder
from actors.model.connection import BrokerState
from actors.model.orders import (
    BrokerOrder,
    CloseReason,
    OrderAction,
    OrderType,
    Purpose,
    TradeRequest,
    WaitFor,
    WireOrder,
)
from tests.unit.logic.values import (
    LATER,
    NOW,
    REF,
    SPY_CALL,
    broker_state,
    execution,
    record,
    told_whole,
    trade_request,
    wire_order,
)

pytestmark = pytest.mark.req("ORD-9", "CON-11")

S = OrderState
OTHER = "CSATSPRIM:ORD_20260302_150000_0002_aa"
EARLIER = NOW - timedelta(hours=1)


def reconcile(
    *orders: OrderRecord, state: BrokerState, gate: GateKnowledge | None = None
) -> OrderReconciliation:
    return reconcile_orders(orders, state, "CSATSPRIM", LATER, gate=gate)


def journaled(state: str = "SENT", **fields: Any) -> JournaledOrder:
    order = wire_order(10)
    values: dict[str, Any] = {
        "order": order,
        "request": trade_request(order),
        "order_id": "ORD_1",
        "correlation_id": "c",
        "close_reason": CloseReason.DAILY_LOSS_LIMIT,
        "wait_for": WaitFor.FILL,
        "broker_order_id": 7,
        "filled": 0.0,
        "at": EARLIER,
        "client_id": 3,
        "perm_id": 70,
        "position_base": 5.0,
    }
    return JournaledOrder(state=state, **(values | fields))


# --- what the gate knows ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age_s", "proved"), [(-1e-6, False), (0.0, False), (1e-6, True), (3600.0, True)]
)
def test_a_gate_knows_only_of_orders_that_were_made_after_it(age_s: float, proved: bool) -> None:
    """One that was made in the same moment may have left by the gate before."""
    order = record(S.SENT)
    gate = GateKnowledge(sent={}, since=order.created_at - timedelta(seconds=age_s))

    assert gate.never_sent(order) is proved


def test_two_answers_know_of_what_either_was_asked_and_since_the_younger() -> None:
    first = GateKnowledge(sent={"a": 1, "b": 2}, since=NOW, asked=frozenset({"a", "b"}))
    second = GateKnowledge(sent={"b": 3}, since=EARLIER, asked=frozenset({"b", "c"}))

    joined = GateKnowledge(sent={"a": 1, "b": 3}, since=NOW, asked=frozenset({"a", "b", "c"}))
    assert first.joined(second) == joined
    assert second.joined(attrs.evolve(first, asked=None)).asked == frozenset("bc")
    assert attrs.evolve(first, asked=None).joined(second).asked == frozenset("bc")


# --- out of the journal -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["NEW", "AT_GATE", "SENT", "ACKNOWLEDGED", "UNKNOWN"])
def test_an_order_of_the_journal_has_all_that_it_says_and_an_unknown_fate(state: str) -> None:
    (made,) = from_journal([journaled(state, filled=4.0)])

    order = wire_order(10)
    expected = new_record(
        order,
        trade_request(order),
        "ORD_1",
        EARLIER,
        state=S.UNKNOWN,
        correlation_id="c",
        close_reason=CloseReason.DAILY_LOSS_LIMIT,
    )
    assert made == attrs.evolve(
        expected, broker_order_id=7, client_id=3, perm_id=70, position_base=5.0
    )


@pytest.mark.parametrize("state", sorted(TERMINAL - {S.REJECTED, S.SIMULATED}))
@pytest.mark.parametrize(("filled", "unlisted"), [(10.0, 6.0), (4.0, 0.0), (1.0, 0.0)])
def test_an_ended_order_of_the_journal_keeps_its_end_and_what_it_filled(
    state: OrderState, filled: float, unlisted: float
) -> None:
    executed = [execution(4.0, "e.1.01"), execution(3.0, "e.2.01", order_ref=OTHER)]

    (made,) = from_journal([journaled(state.value, filled=filled)], executed)

    assert (made.state, made.filled) == (state, 4.0)
    assert (made.reported_filled, made.unlisted_filled) == (filled, unlisted)


@pytest.mark.parametrize("state", [S.REJECTED, S.SIMULATED])
def test_what_was_never_sent_filled_nothing(state: OrderState) -> None:
    (made,) = from_journal([journaled(state.value, filled=4.0)], [execution(4.0)])

    assert (made.state, made.filled, made.reported_filled) == (state, 0.0, 0.0)


# --- out of the broker's orders ---------------------------------------------------------------------------------------

CLOSE_REF = "CSATSPRIM:CLOSE_SPY_756733_0001_aa"

ADOPTED: list[tuple[BrokerOrder, dict[str, Any]]] = [
    (told_whole("Submitted", 10.0), {"order_type": OrderType.LIMIT, "limit_price": 600.0}),
    (
        told_whole("Submitted", 10.0, order_type="LMT", limit_price=5.0, stop_price=4.0),
        {"order_type": OrderType.LIMIT, "limit_price": 5.0},
    ),
    (
        told_whole("Submitted", 10.0, order_type="STP", limit_price=5.0, stop_price=4.0),
        {"order_type": OrderType.STOP, "stop_price": 4.0},
    ),
    (
        told_whole("Submitted", 10.0, order_type="MKT", limit_price=5.0, stop_price=4.0),
        {"order_type": OrderType.MARKET},
    ),
    (
        told_whole(
            "Submitted", 3.0, order_ref=CLOSE_REF, contract=SPY_CALL, action=OrderAction.SELL
        ),
        {"order_type": OrderType.LIMIT, "limit_price": 600.0},
    ),
]


@pytest.mark.parametrize(("listed", "terms"), ADOPTED)
def test_an_order_of_an_earlier_process_becomes_a_record_with_its_terms(
    listed: BrokerOrder, terms: dict[str, Any]
) -> None:
    found = reconcile(state=broker_state(open_orders=(listed,)))

    (made,) = found.records
    assert listed.contract is not None
    assert listed.action is not None
    assert listed.quantity is not None
    is_close = listed.order_ref == CLOSE_REF
    wire = WireOrder(
        order_ref=listed.order_ref,
        contract=listed.contract,
        action=listed.action,
        quantity=listed.quantity,
        account="DU1",
        operator_id="CSATSPRIM",
        purpose=Purpose.CLOSE if is_close else Purpose.OPEN,
        **({"limit_price": None, "stop_price": None} | terms),
    )
    request = TradeRequest(
        symbol="SPY",
        action=wire.action,
        quantity=wire.quantity,
        order_type=wire.order_type,
        limit_price=wire.limit_price,
        stop_price=wire.stop_price,
        expiry="20260320" if is_close else None,
        strike=listed.contract.strike,
        right=listed.contract.right,
        operator_id="CSATSPRIM",
    )
    assert made == attrs.evolve(
        new_record(wire, request, listed.order_ref.partition(":")[2], LATER, state=S.ACKNOWLEDGED),
        broker_order_id=7,
        client_id=1,
        perm_id=70,
        last_status="Submitted",
        acknowledged_at=LATER,
        changed_at=LATER,
    )
    assert found.adopted == (listed.order_ref,)
    assert found.differences == (f"{listed.order_ref}: adopted from an earlier process, Submitted",)


@pytest.mark.parametrize(
    "fields",
    [
        {"contract": None},
        {"action": None},
        {"quantity": None},
        {"quantity": 0.0},
        {"order_type": "TRAIL"},
    ],
    ids=str,
)
def test_an_order_of_which_too_little_is_said_is_somebody_elses(fields: dict[str, Any]) -> None:
    odd = told_whole("Submitted", **({"quantity": 100.0} | fields))

    found = reconcile(state=broker_state(open_orders=(odd,)))

    assert (found.records, found.foreign) == ((), (odd,))


def test_orders_beside_known_and_foreign_ones_are_adopted_with_their_executions_and_doubles() -> (
    None
):
    known = told_whole("Submitted", order_ref=REF)
    elsewhere = told_whole("Submitted", order_ref=f"{OTHER}x", account="DU2")
    theirs = told_whole("Submitted", order_ref="SOMEBODY:1")
    ours = [
        told_whole("Submitted", order_ref=OTHER, perm_id=perm, order_id=perm) for perm in (5, 6, 7)
    ]
    third = [
        told_whole("Submitted", order_ref=f"{OTHER}y", perm_id=perm, order_id=perm)
        for perm in (8, 9)
    ]
    state = broker_state(
        open_orders=(elsewhere, known, theirs, *ours, *third),
        executions=(execution(30.0, order_ref=OTHER),),
    )

    found = reconcile(record(S.SENT), state=state)

    assert [each.order_ref for each in found.records] == [REF, OTHER, f"{OTHER}y"]
    assert found.foreign == (theirs,)
    assert found.extras == (*ours[1:], third[1])
    assert found.adopted == (OTHER, f"{OTHER}y")
    assert found.records[1].filled == 30.0
    assert found.records[1].changed_at == LATER
    assert found.differences[1:] == (
        f"{OTHER}: adopted from an earlier process, Submitted",
        f"{OTHER}: more than one live order; the extra one has order id 6 and permId 6",
        f"{OTHER}: more than one live order; the extra one has order id 7 and permId 7",
        f"{OTHER}y: adopted from an earlier process, Submitted",
        f"{OTHER}y: more than one live order; the extra one has order id 9 and permId 9",
    )


@pytest.mark.parametrize(
    ("perm_id", "broker_order_id", "kept"),
    [(60, None, 60), (None, 3, 70), (60, 3, 60), (None, None, 50), (99, 99, 50)],
)
def test_of_two_live_orders_the_one_with_our_ids_is_kept_else_the_oldest(
    perm_id: int | None, broker_order_id: int | None, kept: int
) -> None:
    pairs = ((2, 60), (3, 70), (1, 50), (0, 1_000))
    listed = [told_whole("Submitted", perm_id=perm, order_id=number) for number, perm in pairs]
    ours = attrs.evolve(record(S.SENT), perm_id=perm_id, broker_order_id=broker_order_id)
    second = attrs.evolve(ours, order=wire_order(order_ref=OTHER))
    more = [attrs.evolve(each, order_ref=OTHER) for each in listed]

    found = reconcile(ours, second, state=broker_state(open_orders=(*listed, *more)))

    assert [each.perm_id for each in found.records] == [kept, kept]
    assert [each.perm_id for each in found.extras].count(kept) == 0
    assert len(found.extras) == 6
    assert sum("more than one live order" in text for text in found.differences) == 6


@pytest.mark.parametrize(
    ("reference", "ours", "reported", "expected"),
    [
        (REF, 70, 71, True),
        ("", 70, 71, True),
        (REF, 70, 70, False),
        (REF, None, 71, False),
        (REF, 70, 0, False),
        (OTHER, 70, 71, False),
        ("", None, 0, False),
    ],
)
def test_a_double_has_our_reference_and_another_perm_id(
    reference: str, ours: int | None, reported: int, expected: bool
) -> None:
    order = attrs.evolve(record(S.SENT), perm_id=ours)

    assert is_double(order, told_whole("Submitted", order_ref=reference, perm_id=reported)) is (
        expected
    )


# --- what is said and dated -------------------------------------------------------------------------------------------


def test_each_change_is_dated_by_the_reconciliation() -> None:
    listed = told_whole("Cancelled", filled=0.0)
    sold_out = broker_state(executions=(execution(100.0),))

    (ended,) = reconcile(record(S.SENT), state=broker_state(completed_orders=(listed,))).records
    (filled,) = reconcile(record(S.SENT), state=sold_out).records
    (lost,) = reconcile(record(S.SENT), state=broker_state()).records
    gate = GateKnowledge(sent={}, since=EARLIER)
    (unsent,) = reconcile(record(S.SENT), state=broker_state(), gate=gate).records
    (sent,) = reconcile(
        record(S.AT_GATE), state=broker_state(), gate=attrs.evolve(gate, sent={REF: 8})
    ).records

    assert (ended.state, ended.ended_at) == (S.CANCELLED, LATER)
    assert (filled.state, filled.ended_at, filled.changed_at) == (S.FILLED, LATER, LATER)
    assert (lost.state, lost.changed_at) == (S.UNKNOWN, LATER)
    assert (unsent.state, unsent.ended_at) == (S.FAILED, LATER)
    assert (sent.broker_order_id, sent.sent_at) == (8, LATER)


def test_an_execution_alone_is_dated_too() -> None:
    (partly,) = reconcile(
        record(S.FAILED), state=broker_state(executions=(execution(10.0),))
    ).records

    assert (partly.state, partly.filled, partly.changed_at) == (S.FAILED, 10.0, LATER)


def test_what_differs_is_said_and_nothing_else() -> None:
    full = broker_state(executions=(execution(100.0),))
    over = broker_state(executions=(execution(101.0),))
    refused = GateKnowledge(sent={}, since=EARLIER)
    held = attrs.evolve(record(S.ACKNOWLEDGED), executions={"0001.aa": execution(40.0)})
    same = broker_state(open_orders=(told_whole("Submitted"),), executions=(execution(40.0),))

    assert reconcile(record(S.SENT), state=full).differences == (
        f"{REF}: SENT here, FILLED at the broker",
        f"{REF}: filled 0 here, 100 there",
    )
    assert reconcile(record(S.SENT), state=over).differences[1:] == (
        f"{REF}: filled 0 here, 101 there",
        f"{REF}: filled 101 of 100: too much",
    )
    assert reconcile(record(S.SENT), state=broker_state(), gate=refused).differences == (
        f"{REF}: SENT here, FAILED at the broker (it was not sent, and never will be)",
    )
    assert reconcile(held, state=same).differences == ()


@pytest.mark.parametrize(
    ("status", "filled", "unlisted"),
    [
        ("Filled", None, 100.0),
        ("Filled", 100.0, 100.0),
        ("Cancelled", None, 0.0),
        ("Cancelled", 40.0, 40.0),
    ],
)
def test_what_a_completed_order_filled_without_an_execution_is_accounted_for(
    status: str, filled: float | None, unlisted: float
) -> None:
    listed = told_whole(status, filled=filled)
    before = attrs.evolve(record(S.SENT), reported_filled=0.0)

    (after,) = reconcile(before, state=broker_state(completed_orders=(listed,))).records

    assert after.unlisted_filled == unlisted


@pytest.mark.parametrize("state", [S.NEW, S.AWAITING_APPROVAL, S.REJECTED, S.SIMULATED])
def test_what_cannot_be_at_the_broker_is_not_judged_whatever_the_broker_says(
    state: OrderState,
) -> None:
    order = record(state)
    gate = GateKnowledge(sent={REF: 8}, since=EARLIER)
    told = broker_state(open_orders=(told_whole("Submitted"),))

    assert reconcile(order, state=told, gate=gate).records == (order,)


def test_what_is_absent_is_named_alone() -> None:
    orders = [record(S.SENT), attrs.evolve(record(S.SENT), order=wire_order(order_ref=OTHER))]
    listed = broker_state(completed_orders=(told_whole("Inactive", order_ref=OTHER),))
    shown = broker_state(open_orders=(told_whole("Submitted"),))

    assert reconcile(*orders, state=broker_state()).absent == {REF, OTHER}
    assert reconcile(*orders, state=listed).absent == {REF}
    assert reconcile(*orders, state=shown).absent == {OTHER}
