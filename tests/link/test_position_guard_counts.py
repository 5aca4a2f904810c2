"""What the gate's last line counts: executions once, by their newest correction; positions; closes of each side."""

from __future__ import annotations

import itertools
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import messages as m
from actors.link.position_guard import PositionGuard
from actors.model.contracts import Contract
from actors.model.orders import Purpose
from tests.link.test_position_guard import (
    BUY,
    CLOSE,
    HELD,
    OPERATOR,
    OTHER,
    SELL,
    SPY,
    close,
    executed,
    guard,
    holding,
    sent,
    shown,
    status,
    tell,
)

QQQ = attrs.evolve(SPY, con_id=1, symbol="QQQ")


def of(contract: Contract, base_id: str, signed: float, reference: str = "") -> Any:
    return attrs.evolve(executed(base_id, signed, reference), contract=contract)


def working(signed: float, reference: str = CLOSE, **fields: Any) -> m.WorkingOrder:
    values: dict[str, Any] = {"contract": SPY, "price": None, "purpose": Purpose.CLOSE}
    return m.WorkingOrder(order_ref=reference, signed_remaining=signed, **(values | fields))


# --- executions -------------------------------------------------------------------------------------------------------


@pytest.mark.req("ORD-7", "RSK-4")
def test_a_new_execution_counts_for_its_contract_and_nothing_counts_twice() -> None:
    known = PositionGuard()
    arrived = [of(SPY, "a", 1.0), of(SPY, "a", 1.0), of(QQQ, "b", 1.0), of(SPY, "c", 1.0)]
    assert known.executions_counted == 0
    assert known.fill_count(SPY.con_id) == 0

    news = [known.count_execution(each) for each in arrived]

    assert news == [True, False, True, True]
    assert known.executions_counted == 3
    assert known.fill_counts == ((QQQ.con_id, 1), (SPY.con_id, 2))
    assert (known.fill_count(SPY.con_id), known.fill_count(QQQ.con_id)) == (2, 1)
    assert [each.base_id for each in known.counted_since(1)] == ["c", "b"]
    assert known.counted_since(3) == ()


@pytest.mark.req("ORD-7", "RSK-4")
@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])))
def test_the_newest_correction_stands_in_whatever_order_they_come_and_come_again(
    order: tuple[int, ...],
) -> None:
    quantities = {1: -30.0, 2: -20.0, 3: -25.0}
    known = sent()

    for number in (*order, *order):
        known.count_execution(executed("a", quantities[number], CLOSE, correction=number))

    assert known.executed(CLOSE) == 25.0
    assert known.in_flight(SPY.con_id, SELL) == 35.0
    assert known.closable(SPY.con_id, SELL) == HELD - 25.0
    assert known.executions_counted == 1


@pytest.mark.req("RSK-4")
def test_what_was_executed_is_kept_for_closes_only() -> None:
    known = guard()
    for reference in (CLOSE, f"{OPERATOR}:ORD_1", ""):
        known.count_execution(executed(f"e{reference}", -5.0, reference))
    known.close_reserved(working(-5.0, f"{OPERATOR}:ODD"))
    known.count_execution(executed("odd", -2.0, f"{OPERATOR}:ODD"))

    assert known.executed(CLOSE) == 5.0
    assert known.executed(f"{OPERATOR}:ORD_1") == known.executed("") == known.executed("?") == 0.0
    assert known.executed(f"{OPERATOR}:ODD") == 2.0


@pytest.mark.parametrize("bound", [1, 2])
def test_the_newest_executions_are_remembered_and_no_more(bound: int) -> None:
    known = PositionGuard(bound)
    names = [f"e{number}" for number in range(bound + 2)]
    for name in names:
        known.count_execution(executed(name, 1.0))

    again = [known.count_execution(executed(name, 1.0)) for name in names[-bound:]]
    assert again == [False] * bound
    assert known.count_execution(executed(names[0], 1.0))


# --- positions --------------------------------------------------------------------------------------------------------


@pytest.mark.req("RSK-4")
def test_of_a_contract_that_nobody_told_nothing_is_held() -> None:
    known = PositionGuard()

    assert known.closable(SPY.con_id, SELL) == known.closable(SPY.con_id, BUY) == 0.0
    assert known.position_sequence(SPY.con_id) == 0
    assert known.position_sequences == {}


@pytest.mark.req("RSK-4")
def test_each_position_that_is_told_is_numbered() -> None:
    known = PositionGuard()

    numbers = [known.position_told(holding(quantity)) for quantity in (5.0, 5.0, 6.0)]

    assert numbers == [1, 1, 2]
    assert known.position_sequences == {SPY.con_id: 2}


@pytest.mark.req("RSK-4", "POS-4")
def test_a_read_holds_nothing_of_what_it_does_not_list() -> None:
    known = guard()
    known.position_told(holding(7.0, QQQ))

    included = known.state_was_read([holding(3.0, QQQ)], (), {SPY.con_id: 1, QQQ.con_id: 0})

    assert known.closable(SPY.con_id, SELL) == 0.0
    assert known.closable(QQQ.con_id, SELL) == 3.0
    assert included == ((QQQ.con_id, 0), (SPY.con_id, 2))
    assert known.position_sequence(SPY.con_id) == 2


@pytest.mark.req("RSK-4", "CON-16")
@pytest.mark.parametrize("listed", [[], [holding(10.0)]])
def test_executions_after_a_read_are_added_to_what_it_lists(listed: list[Any]) -> None:
    known = PositionGuard()
    news = [executed("a", 4.0), executed("b", -1.0)]

    included = known.state_was_read(listed, (), {}, news=news)

    assert known.closable(SPY.con_id, SELL) == (10.0 if listed else 0.0) + 3.0
    assert included == ((SPY.con_id, 1),)


@pytest.mark.req("RSK-4")
@settings(max_examples=60)
@given(
    held=st.integers(-9, 9),
    steps=st.lists(st.tuples(st.sampled_from("xp"), st.integers(-3, 3)), max_size=8),
    action=st.sampled_from([BUY, SELL]),
)
def test_what_can_be_closed_is_never_more_than_either_word(
    held: int, steps: list[tuple[str, int]], action: Any
) -> None:
    known = guard(float(held))
    reckoned, told = float(held), float(held)
    for number, (kind, value) in enumerate(steps):
        if kind == "p":
            told = float(value)
            known.position_told(holding(told))
        elif value:
            told += value if told == reckoned else 0.0
            reckoned += value
            known.count_execution(executed(f"e{number}", float(value)))

    sides = [-action.sign * told, -action.sign * reckoned]
    assert known.closable(SPY.con_id, action) == max(0.0, min(sides))


# --- closes -----------------------------------------------------------------------------------------------------------


@pytest.mark.req("RSK-4")
def test_closes_are_counted_by_side_and_contract_and_without_the_one_that_is_asked_about() -> None:
    known = guard()
    known.close_passed(close(3.0), 5)
    known.close_passed(close(4.0, OTHER, action=BUY), 6)
    known.close_reserved(working(-0.5, "r1", contract=QQQ))
    known.close_reserved(working(0.5, "r2", contract=QQQ))
    known.close_reserved(working(2.0, "r3", purpose=Purpose.OPEN))

    found = [
        known.in_flight(contract.con_id, side) for contract in (SPY, QQQ) for side in (SELL, BUY)
    ]

    assert found == [3.0, 4.0, 0.5, 0.5]
    assert known.in_flight(SPY.con_id, SELL, apart_from=CLOSE) == 0.0
    assert known.in_flight(SPY.con_id, SELL, apart_from=OTHER) == 3.0
    known.close_passed(close(1.0, ""), 7)
    assert known.in_flight(SPY.con_id, SELL) == 3.0


@pytest.mark.req("RSK-4")
def test_a_close_counts_without_what_was_executed_of_it_before_it_was_known() -> None:
    known = guard()
    known.count_execution(executed("a", -5.0, CLOSE))
    known.count_execution(executed("b", -7.0, OTHER))

    known.close_passed(close(20.0), 5)
    known.close_reserved(working(-10.0, OTHER))
    known.close_reserved(working(-99.0, OTHER))

    assert known.in_flight(SPY.con_id, SELL, apart_from=OTHER) == 15.0
    assert known.in_flight(SPY.con_id, SELL, apart_from=CLOSE) == 10.0
    known.count_execution(executed("c", -10.0, OTHER))
    assert known.in_flight(SPY.con_id, SELL) == 15.0


@pytest.mark.req("RSK-4")
def test_a_close_that_is_changed_keeps_its_perm_id() -> None:
    known = sent()
    tell(known, shown(quantity=60.0))

    known.close_passed(close(50.0, broker_order_id=5), 5)
    tell(known, status("Cancelled", filled=0.0, order_id=77), ours=False)

    assert known.in_flight(SPY.con_id, SELL) == 0.0


@pytest.mark.req("RSK-4")
@pytest.mark.parametrize(
    ("order_id", "perm_id", "ours", "found"),
    [
        (5, 0, True, True),
        (1, 0, True, False),
        (0, 0, True, False),
        (5, 0, False, False),
        (0, 9, False, True),
        (0, 8, True, False),
    ],
)
def test_a_status_without_a_reference_is_of_the_close_with_its_ids(
    order_id: int, perm_id: int, ours: bool, found: bool
) -> None:
    known = sent()
    known.close_reserved(working(-7.0, OTHER))
    tell(known, shown(quantity=60.0, order_id=5))

    tell(known, status("Cancelled", filled=0.0, order_id=order_id, perm_id=perm_id), ours=ours)

    assert known.in_flight(SPY.con_id, SELL) == (7.0 if found else 67.0)


def test_the_first_order_id_of_a_session_is_an_id() -> None:
    known = guard()
    known.close_passed(close(60.0), 1)

    tell(known, status("Cancelled", filled=0.0, order_id=1, perm_id=0))

    assert known.in_flight(SPY.con_id, SELL) == 0.0


@pytest.mark.req("RSK-4")
@pytest.mark.parametrize("missing", ["contract", "action", "quantity"])
def test_a_close_of_which_too_little_is_said_is_not_adopted(missing: str) -> None:
    known = guard()
    fields: dict[str, Any] = {missing: None}
    tell(known, shown(**fields))

    assert known.in_flight(SPY.con_id, SELL) == 0.0
    tell(known, shown())
    assert known.in_flight(SPY.con_id, SELL) == 40.0


@pytest.mark.req("RSK-4")
def test_an_order_that_is_held_for_shares_to_borrow_has_not_ended() -> None:
    known = guard()

    tell(known, shown("Inactive", why_held="locate"))

    assert known.in_flight(SPY.con_id, SELL) == 40.0


@pytest.mark.req("RSK-4")
def test_what_is_dead_may_be_called_so_again_and_an_error_of_rounding_is_dead() -> None:
    known = sent(1e-9)
    known.count_execution(executed("a", -1.0, CLOSE))
    known.close_passed(close(1.0 + 1e-9), 5)
    tell(known, shown(order_id=5))
    known.close_is_dead(CLOSE)
    known.close_is_dead(CLOSE)

    assert known.in_flight(SPY.con_id, SELL) == 0.0
