"""Risk's ledger: what is held, what is in flight, and what may still be closed."""

from __future__ import annotations

import attrs
import pytest

from actors.executor.working_orders import foreign_working
from actors.messages.orders import WorkingOrder
from actors.model.contracts import Contract
from actors.model.orders import OrderAction, Purpose
from actors.risk import exposure
from actors.risk.exposure import EMPTY, Ledger
from tests.unit.logic.values import (
    QQQ,
    REF,
    SPY,
    SPY_CALL,
    closing_order,
    execution,
    holding,
    market_order,
    told_whole,
    wire_order,
)

BUY, SELL = OrderAction.BUY, OrderAction.SELL


def ledger(quantity: float, contract: Contract = SPY) -> Ledger:
    return exposure.reconcile(EMPTY, [holding(quantity, contract)], [], [])


def working(signed: float, reference: str = REF, contract: Contract = SPY) -> WorkingOrder:
    return WorkingOrder(
        order_ref=reference,
        contract=contract,
        signed_remaining=signed,
        price=600.0,
        purpose=Purpose.OPEN,
    )


@pytest.mark.req("RSK-4")
@pytest.mark.parametrize(
    ("held", "action", "expected"),
    [
        (100.0, SELL, 100.0),
        (100.0, BUY, 0.0),
        (-100.0, BUY, 100.0),
        (-100.0, SELL, 0.0),
        (0.0, SELL, 0.0),
    ],
)
def test_only_the_opposite_side_reduces(held: float, action: OrderAction, expected: float) -> None:
    assert expected == exposure.reducible(ledger(held), SPY.con_id, action)


@pytest.mark.req("RSK-4", "RSK-6")
def test_what_is_closing_already_cannot_be_closed_again() -> None:
    closing = exposure.reserve(ledger(100), working(-60))

    assert exposure.reducible(closing, SPY.con_id, SELL) == 40.0


@pytest.mark.req("RSK-3")
def test_nothing_is_reducible_while_positions_are_unknown() -> None:
    assert exposure.reducible(exposure.forget(ledger(100)), SPY.con_id, SELL) == 0.0
    assert exposure.reducible(EMPTY, SPY.con_id, SELL) == 0.0


@pytest.mark.req("ORD-7", "RSK-6")
def test_an_execution_moves_the_position_and_its_reservation_once() -> None:
    reserved = exposure.reserve(ledger(0), working(100))

    once = exposure.apply_execution(reserved, execution(40))
    twice = exposure.apply_execution(once, execution(40))

    assert once is twice
    assert exposure.position(once, SPY.con_id) == 40.0
    assert once.reservations[REF].signed_remaining == 60.0
    assert dict(once.fill_counts) == {SPY.con_id: 1}


@pytest.mark.req("RSK-4", "RSK-6")
@pytest.mark.parametrize("reference", ["", "OTHER:1"])
def test_an_execution_of_somebody_elses_order_is_taken_off_what_that_had_reserved(
    reference: str,
) -> None:
    order = told_whole("Submitted", 60.0, action=OrderAction.SELL, perm_id=99, order_ref=reference)
    known = exposure.with_working(ledger(100), foreign_working([order]))

    after = exposure.apply_execution(
        known, execution(60, action=OrderAction.SELL, perm_id=99, order_ref=reference)
    )

    assert exposure.reducible(known, SPY.con_id, OrderAction.SELL) == 40.0
    assert exposure.reducible(after, SPY.con_id, OrderAction.SELL) == 40.0


@pytest.mark.req("ORD-7")
def test_a_correction_moves_the_position_by_the_difference_only() -> None:
    first = exposure.apply_execution(ledger(0), execution(40, "e.1.01"))

    corrected = exposure.apply_execution(first, execution(30, "e.1.02"))

    assert exposure.position(corrected, SPY.con_id) == 30.0
    assert dict(corrected.fill_counts) == {SPY.con_id: 1}


@pytest.mark.req("POS-4")
def test_executions_that_the_holdings_include_do_not_count_again() -> None:
    known = exposure.reconcile(EMPTY, [holding(40)], [execution(40)], [(SPY.con_id, 1)])

    assert known is exposure.apply_execution(known, execution(40))


@pytest.mark.req("POS-4")
def test_the_broker_wins_and_the_drift_is_named() -> None:
    ours = ledger(40)
    theirs = [holding(50), holding(-5, QQQ, 500.0)]

    after = exposure.reconcile(ours, theirs, [], [])

    assert exposure.drift(ours, theirs) == (
        "SPY_756733: ledger 40, broker 50",
        "QQQ_320227571: ledger 0, broker -5",
    )
    assert exposure.drift(after, theirs) == ()
    assert exposure.drift(after, []) != ()
    assert exposure.holdings(after, "DU1") == tuple(theirs)


@pytest.mark.req("RSK-6")
def test_the_worst_case_counts_every_order_of_a_side() -> None:
    state = exposure.with_working(
        ledger(10), [working(30, "a"), working(-50, "b"), working(5, "c")]
    )

    assert exposure.worst_case(state, SPY.con_id) == (-40.0, 45.0)
    assert exposure.worst_case_quantity(state, SPY.con_id) == 45.0
    assert exposure.open_contracts(state) == {SPY.con_id}


@pytest.mark.req("RSK-6")
def test_a_settled_order_releases_its_reservation() -> None:
    reserved = exposure.reserve(ledger(0), working(100))

    assert exposure.settle(reserved, REF, 30.0).reservations[REF].signed_remaining == 30.0
    assert dict(exposure.settle(reserved, REF).reservations) == {}
    assert exposure.settle(reserved, "unknown") is reserved


@pytest.mark.req("RSK-6")
def test_a_modify_reserves_the_larger_remainder() -> None:
    reserved = exposure.reserve(ledger(0), working(100))

    assert exposure.reserve(reserved, working(50)).reservations[REF].signed_remaining == 100.0
    assert exposure.reserve(reserved, working(150)).reservations[REF].signed_remaining == 150.0


@pytest.mark.req("RSK-6")
def test_a_modify_does_not_reserve_what_was_executed_already() -> None:
    filled = exposure.apply_execution(ledger(0), execution(40))

    fresh = exposure.reservation(filled, wire_order(100))
    modify = exposure.reservation(filled, wire_order(100, broker_order_id=7))

    assert (fresh.signed_remaining, modify.signed_remaining) == (100.0, 60.0)


def test_a_reservation_is_valued_by_its_own_price_first() -> None:
    state = ledger(0)

    assert exposure.reservation(state, wire_order(1), 1.0).price == 600.0
    assert exposure.reservation(state, market_order(1), 1.0).price == 1.0
    assert exposure.reservation(state, closing_order(5)).signed_remaining == -5.0


@pytest.mark.req("RSK-1")
def test_exposure_is_valued_by_price_then_by_the_dearest_that_is_known() -> None:
    options = exposure.reconcile(EMPTY, [holding(2, SPY_CALL, 500.0)], [], [])

    assert exposure.total_value(options, {SPY_CALL.con_id: 6.0}) == 1200.0
    assert exposure.total_value(options, {}) == 1000.0
    assert exposure.total_value(exposure.reserve(EMPTY, working(10)), {}) == 6000.0


@pytest.mark.req("POS-2")
def test_the_average_cost_follows_purchases_stays_on_sales_and_begins_anew_on_a_flip() -> None:
    bought = exposure.apply_execution(ledger(100), execution(100, "a.01", 610.0))
    sold = exposure.apply_execution(bought, execution(50, "b.01", 700.0, action=SELL))
    flipped = exposure.apply_execution(sold, execution(200, "c.01", 650.0, action=SELL))
    flat = exposure.apply_execution(flipped, execution(50, "d.01", 650.0))

    assert bought.positions[SPY.con_id].average_cost == 605.0
    assert sold.positions[SPY.con_id].average_cost == 605.0
    assert (
        flipped.positions[SPY.con_id].quantity,
        flipped.positions[SPY.con_id].average_cost,
    ) == (-50.0, 650.0)
    assert dict(flat.positions) == {}


@pytest.mark.req("ORD-7")
def test_fills_are_counted_without_their_corrections() -> None:
    fills = [execution(1, "a.01"), execution(2, "a.02"), execution(1, "b.01")]

    assert exposure.count_fills(fills) == ((SPY.con_id, 2),)


# --- what the broker tells of a position ------------------------------------------------------------------------------


@pytest.mark.req("RSK-4")
def test_closes_are_sized_by_the_smaller_of_the_ledger_and_what_the_broker_tells() -> None:
    told = exposure.hear(ledger(100), SPY.con_id, 40.0, 1)
    more = exposure.hear(told, SPY.con_id, 130.0, 2)
    turned = exposure.hear(more, SPY.con_id, -10.0, 3)

    found = [exposure.reducible(known, SPY.con_id, SELL) for known in (told, more, turned)]

    assert found == [40.0, 100.0, 0.0]
    assert exposure.reducible(turned, SPY.con_id, BUY) == 0.0


@pytest.mark.req("RSK-4")
def test_what_is_older_than_the_newest_word_about_a_position_changes_nothing() -> None:
    told = exposure.hear(ledger(100), SPY.con_id, 40.0, 2)

    assert exposure.hear(told, SPY.con_id, 100.0, 2) is told
    assert exposure.hear(told, SPY.con_id, 100.0, 1) is told


@pytest.mark.req("RSK-4")
def test_a_position_that_was_told_before_its_execution_is_disputed_until_it_comes() -> None:
    told = exposure.hear(ledger(100), SPY.con_id, 140.0, 1)
    between = exposure.reducible(told, SPY.con_id, SELL)
    agreed = exposure.apply_execution(told, execution(40))

    assert (between, exposure.reducible(agreed, SPY.con_id, SELL)) == (100.0, 140.0)
    assert not agreed.disputed


@pytest.mark.req("RSK-4", "POS-4")
@pytest.mark.parametrize(("included", "expected"), [(2, 100.0), (1, 40.0)])
def test_a_read_ends_a_dispute_unless_the_word_is_newer(included: int, expected: float) -> None:
    told = exposure.hear(ledger(100), SPY.con_id, 40.0, 2)

    read = exposure.reconcile(told, [holding(100)], [], [], sequences=[(SPY.con_id, included)])

    assert exposure.reducible(read, SPY.con_id, SELL) == expected
    assert read.sequences[SPY.con_id] == 2


@pytest.mark.req("RSK-4")
def test_only_closes_that_can_still_fill_count_as_closing() -> None:
    opening = exposure.reserve(ledger(100), working(-60))
    close = attrs.evolve(working(-30, "a close"), purpose=Purpose.CLOSE)
    closing = exposure.reserve(opening, close)

    assert exposure.closing(opening, SPY.con_id, SELL) == 0.0
    assert exposure.closing(closing, SPY.con_id, SELL) == 30.0
    assert exposure.closing(closing, SPY.con_id, BUY) == 0.0
    assert exposure.reducible(closing, SPY.con_id, SELL) == 10.0
