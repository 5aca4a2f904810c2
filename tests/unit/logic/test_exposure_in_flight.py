"""What risk's ledger says while orders are in flight, and what it is worth, against plain recomputations."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages import ExposedContract, WorkingOrder
from actors.model.contracts import Contract
from actors.model.orders import OrderAction, Purpose
from actors.risk import exposure
from actors.risk.exposure import EMPTY, Ledger
from tests.unit.logic.values import (
    NOW,
    QQQ,
    REF,
    SPY,
    SPY_CALL,
    execution,
    holding,
    market_order,
    wire_order,
)

BUY, SELL = OrderAction.BUY, OrderAction.SELL
EUR = attrs.evolve(QQQ, currency="EUR")


def held(*positions: tuple[float, Contract]) -> Ledger:
    return exposure.reconcile(EMPTY, [holding(*each) for each in positions], [], [])


def working(
    signed: float,
    reference: str = REF,
    contract: Contract = SPY,
    price: float | None = 600.0,
    purpose: Purpose = Purpose.OPEN,
) -> WorkingOrder:
    return WorkingOrder(
        order_ref=reference,
        contract=contract,
        signed_remaining=signed,
        price=price,
        purpose=purpose,
    )


numbers = st.integers(-9, 9).map(lambda number: number / 2)
orders = st.lists(
    st.builds(
        lambda signed, contract, purpose: (signed, contract, purpose),
        numbers.filter(bool),
        st.sampled_from([SPY, QQQ]),
        st.sampled_from(list(Purpose)),
    ),
    max_size=4,
)


def with_orders(position: float, drawn: list[Any]) -> Ledger:
    listed = [
        working(signed, f"r{number}", contract, purpose=purpose)
        for number, (signed, contract, purpose) in enumerate(drawn)
    ]
    return exposure.with_working(held((position, SPY)), listed)


@pytest.mark.req("RSK-4", "RSK-6")
@settings(max_examples=150)
@given(position=numbers, drawn=orders, action=st.sampled_from(list(OrderAction)))
def test_each_sum_over_orders_in_flight_equals_a_recomputation(
    position: float, drawn: list[Any], action: OrderAction
) -> None:
    ledger = with_orders(position, drawn)
    ours = [(signed, purpose) for signed, contract, purpose in drawn if contract is SPY]
    side = sum(abs(signed) for signed, _ in ours if (signed > 0) == (action is BUY))
    closes = sum(
        abs(signed)
        for signed, purpose in ours
        if purpose is Purpose.CLOSE and (signed > 0) == (action is BUY)
    )
    low = position + sum(signed for signed, _ in ours if signed < 0)
    high = position + sum(signed for signed, _ in ours if signed > 0)
    closable = max(0.0, position if action is SELL else -position)

    assert exposure.worst_case(ledger, SPY.con_id) == (low, high)
    assert exposure.worst_case_quantity(ledger, SPY.con_id) == max(abs(low), abs(high))
    assert exposure.reach(ledger, SPY.con_id, action) == max(0.0, high if action is BUY else -low)
    assert exposure.reserved(ledger, SPY.con_id, action) == side
    assert exposure.closing(ledger, SPY.con_id, action) == closes
    assert exposure.closable(ledger, SPY.con_id, action) == closable
    assert exposure.reducible(ledger, SPY.con_id, action) == max(0.0, closable - side)
    assert exposure.reducible(exposure.forget(ledger), SPY.con_id, action) == 0.0


@pytest.mark.req("RSK-4")
def test_half_a_unit_that_can_still_fill_counts() -> None:
    half = exposure.reserve(held((5.0, SPY)), working(-0.5, purpose=Purpose.CLOSE))

    assert exposure.closing(half, SPY.con_id, SELL) == 0.5
    assert exposure.reserved(half, SPY.con_id, SELL) == 0.5
    assert (
        exposure.closing(half, SPY.con_id, BUY) == exposure.reserved(half, SPY.con_id, BUY) == 0.0
    )


@pytest.mark.req("RSK-1")
@settings(max_examples=80)
@given(position=numbers, drawn=orders)
def test_what_is_open_or_exposed_is_what_is_held_and_what_works(
    position: float, drawn: list[Any]
) -> None:
    ledger = with_orders(position, drawn)
    held_now = {SPY.con_id} if position else set()
    opening = {contract.con_id for _, contract, purpose in drawn if purpose is Purpose.OPEN}

    shown = {each.contract: each for each in exposure.exposed(ledger)}

    assert exposure.open_contracts(ledger) == held_now | opening
    assert {each.con_id for each in shown} == held_now | {each.con_id for _, each, _ in drawn}
    for contract, each in shown.items():
        names = [f"r{number}" for number, order in enumerate(drawn) if order[1] is contract]
        assert each == ExposedContract(
            contract=contract,
            is_held=contract.con_id in held_now,
            order_refs=tuple(sorted(names)),
        )


@pytest.mark.req("RSK-6")
def test_a_quantity_that_is_no_more_than_an_error_of_rounding_is_nothing() -> None:
    read = exposure.reconcile(EMPTY, [holding(1e-9)], [], [], [working(-1e-9)])
    one = exposure.reserve(held((0.0, SPY)), working(1.0))

    assert not read.positions
    assert not read.reservations
    assert not exposure.settle(one, REF, 1e-9).reservations
    assert exposure.settle(one, REF, 2e-9).reservations
    assert exposure.drift(read, [holding(1e-9)]) == ()
    assert exposure.reconcile(EMPTY, [holding(2e-9)], [], [], [working(-2e-9)]).positions


@pytest.mark.req("POS-4")
def test_a_read_brings_counts_and_orders_and_keeps_the_orders_where_it_brings_none() -> None:
    before = exposure.reserve(held((5.0, SPY)), working(3.0))

    with_orders = exposure.reconcile(before, [], [], [(QQQ.con_id, 4)], [working(-2.0, "other")])
    without = exposure.reconcile(before, [], [], [])

    assert dict(with_orders.fill_counts) == {QQQ.con_id: 4}
    assert dict(with_orders.reservations) == {"other": working(-2.0, "other")}
    assert dict(without.reservations) == {REF: working(3.0)}
    assert with_orders.known


@pytest.mark.req("RSK-3")
def test_positions_that_are_forgotten_are_unknown_and_stay_listed() -> None:
    before = exposure.reserve(held((5.0, SPY)), working(3.0))

    after = exposure.forget(before)

    assert after.known is False
    assert after == attrs.evolve(before, known=False)


# --- reservations -----------------------------------------------------------------------------------------------------


@pytest.mark.req("RSK-6")
def test_a_reservation_describes_its_order() -> None:
    stop = market_order(2, action=SELL, stop_price=590.0, purpose=Purpose.CLOSE, order_ref="s")

    described = exposure.reservation(EMPTY, stop, 1.0)

    assert described == working(-2.0, "s", price=590.0, purpose=Purpose.CLOSE)


@pytest.mark.req("RSK-6")
@pytest.mark.parametrize(("executed", "left"), [(40.0, 60.0), (99.5, 0.5), (100.0, 0.0), (120, 0)])
def test_what_was_executed_of_an_order_does_not_remain_of_its_change(
    executed: float, left: float
) -> None:
    seen = exposure.remember(
        EMPTY, [execution(executed, "a.01"), execution(7, "b.01", order_ref="another")]
    )

    assert exposure.remaining(seen, wire_order(100, broker_order_id=7)) == left


@pytest.mark.req("RSK-6")
def test_a_change_keeps_the_larger_remainder_and_its_own_price() -> None:
    first = exposure.reserve(EMPTY, working(-10.0))

    smaller = exposure.reserve(first, working(-4.0, price=601.0))
    larger = exposure.reserve(first, working(-14.0, price=602.0))

    assert smaller.reservations[REF] == working(-10.0, price=601.0)
    assert larger.reservations[REF] == working(-14.0, price=602.0)


@pytest.mark.req("RSK-6", "ORD-7")
@pytest.mark.parametrize(
    ("reserved", "executed", "left"),
    [(10.0, 4.0, 6.0), (1.5, 0.5, 1.0), (0.5, 0.25, 0.25), (10.0, 10.0, None), (10.0, 11.0, None)],
)
@pytest.mark.parametrize("action", [BUY, SELL])
def test_an_execution_takes_off_its_order_and_never_beyond_nothing(
    reserved: float, executed: float, left: float | None, action: OrderAction
) -> None:
    before = exposure.reserve(held((0.0, SPY)), working(action.sign * reserved))

    after = exposure.apply_execution(before, execution(executed, action=action))

    expected = {} if left is None else {REF: working(action.sign * left)}
    assert dict(after.reservations) == expected


@pytest.mark.req("ORD-7")
def test_executions_are_counted_for_each_contract_alone() -> None:
    ledger = exposure.apply_execution(held((0.0, SPY)), execution(1, "a.01"))
    ledger = exposure.apply_execution(ledger, execution(1, "b.01", contract=QQQ))
    ledger = exposure.apply_execution(ledger, execution(1, "c.01"))

    assert dict(ledger.fill_counts) == {SPY.con_id: 2, QQQ.con_id: 1}


@pytest.mark.req("ORD-7")
def test_old_executions_are_let_go_and_those_without_a_time_stay() -> None:
    times = [("a.01", NOW - timedelta(seconds=1)), ("b.01", NOW), ("c.01", None)]
    known = exposure.remember(
        held((5.0, SPY)), [execution(1, each, executed_at=at) for each, at in times]
    )

    after = exposure.without_old(known, NOW)

    assert set(after.executions) == {"b", "c"}
    assert attrs.evolve(after, executions=known.executions) == known


# --- cost and worth ---------------------------------------------------------------------------------------------------


@pytest.mark.req("POS-2")
@pytest.mark.parametrize(
    ("before", "traded", "cost"),
    [
        (0.0, 2.0, 65_000.0),
        (2.0, 2.0, 62_500.0),
        (-2.0, -2.0, 62_500.0),
        (-0.5, -0.5, 62_500.0),
        (0.5, 0.25, 60_000 / 1.5 + 65_000 * 0.5 / 1.5),
        (4.0, -2.0, 60_000.0),
        (0.5, -0.25, 60_000.0),
        (2.0, -3.0, 65_000.0),
        (-0.5, 0.75, 65_000.0),
    ],
)
def test_the_cost_of_a_unit_is_weighted_by_what_is_added_and_includes_the_multiplier(
    before: float, traded: float, cost: float
) -> None:
    start = exposure.reconcile(EMPTY, [holding(before, SPY_CALL, 60_000.0)], [], [])
    action = BUY if traded > 0 else SELL
    bare = attrs.evolve(SPY_CALL, trading_hours="other")

    after = exposure.apply_execution(
        start, execution(abs(traded), price=650.0, action=action, contract=bare)
    )

    found = after.positions[SPY_CALL.con_id]
    assert found.quantity == before + traded
    assert found.average_cost == pytest.approx(cost)
    assert found.contract == (SPY_CALL if before else bare)


@pytest.mark.req("POS-2")
@pytest.mark.parametrize("rest", [0.0, 5e-10, -5e-10])
def test_what_is_closed_is_not_held(rest: float) -> None:
    after = exposure.apply_execution(held((rest + 1.0, SPY)), execution(1, action=SELL))

    assert exposure.position(after, SPY.con_id) == 0.0
    assert SPY.con_id not in after.positions


@pytest.mark.req("RSK-1")
def test_a_holding_is_worth_its_price_else_the_dearest_that_is_known_else_nobody_knows() -> None:
    option = exposure.reconcile(EMPTY, [holding(-2, SPY_CALL, 500.0)], [], [])
    cheap = exposure.reserve(option, working(-1.0, contract=SPY_CALL, price=4.0))
    dear = exposure.reserve(option, working(-1.0, contract=SPY_CALL, price=-6.0))
    silent = exposure.reserve(option, working(-1.0, contract=SPY_CALL, price=None))

    worth = [exposure.total_value(each, {}) for each in (option, cheap, dear, silent)]

    assert worth == [1000.0, 1500.0, 1800.0, 1500.0]
    assert exposure.total_value(dear, {SPY_CALL.con_id: -3.0}) == 900.0


@pytest.mark.req("RSK-1", "RSK-3")
@pytest.mark.parametrize("price", [None, 0.0])
def test_a_holding_without_any_price_makes_the_whole_sum_unknown(price: float | None) -> None:
    unpriced = exposure.reconcile(EMPTY, [holding(5, QQQ, 0.0), holding(1)], [], [])
    ordered = exposure.reserve(EMPTY, working(1.0, contract=QQQ, price=price))

    assert math.isnan(exposure.total_value(unpriced, {SPY.con_id: 600.0}))
    assert math.isnan(exposure.total_value(ordered, {}))
    assert exposure.total_value(unpriced, {SPY.con_id: 600.0, QQQ.con_id: 2.0}) == 610.0


@pytest.mark.req("RSK-1", "RSK-3")
def test_a_price_of_nothing_is_no_price() -> None:
    paid = exposure.reconcile(EMPTY, [holding(5, QQQ, 500.0)], [], [])
    free = exposure.reconcile(EMPTY, [holding(5, QQQ, 0.0)], [], [])

    assert exposure.total_value(paid, {QQQ.con_id: 0.0}) == 2500.0
    for price in (0.0, math.nan):
        assert math.isnan(exposure.total_value(free, {QQQ.con_id: price}))


@pytest.mark.req("RSK-1")
def test_each_value_is_said_in_the_accounts_currency() -> None:
    both = exposure.reconcile(EMPTY, [holding(2, SPY, 10.0), holding(3, EUR, 10.0)], [], [])
    rates = {"USD": 1.0, "EUR": 1.5}

    assert exposure.total_value(both, {}, rates.__getitem__) == 65.0
    assert exposure.total_value(both, {}) == 50.0


@pytest.mark.req("POS-4")
def test_a_drift_names_what_the_broker_does_not_show_and_what_we_do_not() -> None:
    ours = held((1.0, SPY))

    assert exposure.drift(ours, []) == ("SPY_756733: ledger 1, broker 0",)
    assert exposure.drift(EMPTY, [holding(1.0)]) == ("SPY_756733: ledger 0, broker 1",)


# --- what the broker tells of a position ------------------------------------------------------------------------------


@pytest.mark.req("RSK-4")
@settings(max_examples=100)
@given(here=numbers, told=numbers, action=st.sampled_from(list(OrderAction)))
def test_a_disputed_position_is_closed_by_the_smaller_word(
    here: float, told: float, action: OrderAction
) -> None:
    heard = exposure.hear(held((here, SPY)), SPY.con_id, told, 1)

    smaller = min(-action.sign * here, -action.sign * told)
    assert exposure.closable(heard, SPY.con_id, action) == max(0.0, smaller)
    assert dict(heard.disputed) == ({} if here == told else {SPY.con_id: told})
    assert dict(heard.sequences) == {SPY.con_id: 1}
    assert exposure.position(heard, SPY.con_id) == here


@pytest.mark.req("RSK-4", "POS-4")
@pytest.mark.parametrize(
    ("known", "included", "kept"), [(1, 0, 1), (1, 1, 1), (1, 2, 2), (0, 0, None)]
)
def test_a_read_takes_over_the_newer_number_of_changes(
    known: int, included: int, kept: int | None
) -> None:
    before = exposure.hear(held((5.0, SPY)), SPY.con_id, 7.0, known)
    told = [(SPY.con_id, included)] if included else []

    read = exposure.reconcile(before, [holding(6.0)], [], [], sequences=told)

    assert read.sequences.get(SPY.con_id) == kept
    assert dict(read.disputed) == ({SPY.con_id: 7.0} if known > included else {})


@pytest.mark.req("RSK-4")
def test_an_agreement_that_was_heard_after_a_read_began_disputes_what_it_says() -> None:
    agreed = exposure.hear(held((5.0, SPY)), SPY.con_id, 5.0, 1)

    read = exposure.reconcile(agreed, [holding(6.0)], [], [])

    assert dict(read.disputed) == {SPY.con_id: 5.0}
