"""The gate's last line: what it knows of positions, and which closes it still reckons with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from actors import messages as m
from actors.link.position_guard import PositionGuard
from actors.model.account import Holding
from actors.model.contracts import Contract, SecurityType
from actors.model.orders import (
    BrokerOrder,
    Execution,
    OrderAction,
    OrderType,
    Purpose,
    WireOrder,
)

OPERATOR = "CSATSPRIM"
SPY = Contract(con_id=756733, symbol="SPY", security_type=SecurityType.STOCK)
BUY, SELL = OrderAction.BUY, OrderAction.SELL
CLOSE = f"{OPERATOR}:CLOSE_SPY_756733_0001_aa"
OTHER = f"{OPERATOR}:CLOSE_SPY_756733_0002_aa"
HELD = 100.0


def holding(quantity: float, contract: Contract = SPY) -> Holding:
    return Holding(account="DU1", contract=contract, quantity=quantity, average_cost=100.0)


def guard(quantity: float = HELD) -> PositionGuard:
    made = PositionGuard()
    made.state_was_read([holding(quantity)], (), {})
    return made


def close(quantity: float, reference: str = CLOSE, **fields: Any) -> WireOrder:
    values: dict[str, Any] = {"action": SELL, "broker_order_id": None} | fields
    return WireOrder(
        order_ref=reference,
        contract=SPY,
        quantity=quantity,
        order_type=OrderType.MARKET,
        account="DU1",
        operator_id=OPERATOR,
        purpose=Purpose.CLOSE,
        **values,
    )


def executed(base_id: str, signed: float, reference: str = "", *, correction: int = 1) -> Execution:
    return Execution(
        exec_id=f"{base_id}.0{correction}",
        contract=SPY,
        order_id=5,
        client_id=1,
        perm_id=9,
        order_ref=reference,
        account="DU1",
        action=BUY if signed > 0 else SELL,
        quantity=abs(signed),
        price=100.0,
        executed_at=datetime(2026, 3, 2, tzinfo=UTC),
    )


def status(text: str, **fields: Any) -> BrokerOrder:
    values: dict[str, Any] = {"order_id": 5, "perm_id": 9, "order_ref": "", "contract": None}
    values |= {"action": None, "quantity": None, "filled": None}
    return BrokerOrder(
        client_id=1,
        order_type="",
        limit_price=None,
        stop_price=None,
        status=text,
        **(values | fields),
    )


def shown(text: str = "Submitted", reference: str = CLOSE, **fields: Any) -> BrokerOrder:
    terms: dict[str, Any] = {"contract": SPY, "action": SELL, "quantity": 40.0}
    return status(text, order_ref=reference, **(terms | fields))


def tell(known: PositionGuard, order: BrokerOrder, *, ours: bool = True) -> None:
    known.order_told(order, ours=ours, operator_id=OPERATOR)


def sent(quantity: float = 60.0) -> PositionGuard:
    """A close that passed."""
    known = guard()
    known.close_passed(close(quantity), 5)
    return known


# --- positions ------------------------------------------------------------------------------------------------------


@pytest.mark.req("RSK-4")
@pytest.mark.parametrize(
    "steps",
    ["xp", "px", "xxpp", "xpxp", "ppxx", "xppx", "pxpx", "xxq", "qxx", "xqx"],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_executions_and_positions_come_in_any_order_and_agree_in_the_end(
    steps: str, sign: int
) -> None:
    """x: an execution; p: the position after as many; q: the position after both, in one message."""
    known = guard(HELD * sign)
    side = SELL if sign > 0 else BUY
    executions = positions = 0
    for step in steps:
        if step == "x":
            executions += 1
            known.count_execution(executed(f"e{executions}", -30.0 * sign))
        else:
            positions = positions + 1 if step == "p" else 2
            known.position_told(holding(sign * (HELD - 30.0 * positions)))
        true = HELD - 30.0 * max(executions, positions)
        assert known.closable(SPY.con_id, side) in (true, true + 30.0 * (len(steps) > 2))
        assert known.closable(SPY.con_id, BUY if sign > 0 else SELL) == 0.0

    last = 60.0 if len(steps) > 2 else 30.0
    assert known.closable(SPY.con_id, side) == HELD - last


@pytest.mark.req("RSK-4")
@pytest.mark.parametrize("told_first", [True, False])
def test_what_was_bought_can_be_closed_once_both_have_said_so(told_first: bool) -> None:
    known = guard(0.0)
    if told_first:
        known.position_told(holding(10.0))
        assert known.closable(SPY.con_id, SELL) == 0.0
    known.count_execution(executed("a", 10.0))

    assert known.closable(SPY.con_id, SELL) == 10.0


@pytest.mark.req("RSK-4")
def test_what_somebody_else_sold_cannot_be_closed_although_no_execution_says_so() -> None:
    known = guard()
    known.position_told(holding(0.0))
    known.count_execution(executed("a", 10.0))

    assert known.closable(SPY.con_id, SELL) <= 10.0


@pytest.mark.req("RSK-4")
def test_a_corrected_execution_moves_the_position_by_the_difference_and_counts_once() -> None:
    known = sent()
    known.count_execution(executed("a", -30.0, CLOSE))
    known.count_execution(executed("a", -20.0, CLOSE, correction=2))

    assert known.closable(SPY.con_id, SELL) == 80.0
    assert known.in_flight(SPY.con_id, SELL) == 40.0
    assert known.fill_count(SPY.con_id) == 1


@pytest.mark.req("RSK-4")
def test_a_read_says_what_is_held_except_for_what_was_told_after_it() -> None:
    known = guard()
    complete_at = known.position_sequences
    known.position_told(holding(40.0))

    included = dict(known.state_was_read([holding(HELD)], (), complete_at))

    assert known.closable(SPY.con_id, SELL) == 40.0
    assert included[SPY.con_id] < known.position_sequence(SPY.con_id)


def test_the_sequence_counts_other_positions_only() -> None:
    known = guard()
    before = known.position_sequence(SPY.con_id)
    known.position_told(holding(HELD))
    unchanged = known.position_sequence(SPY.con_id)
    known.position_told(holding(HELD + 1.0))

    assert (unchanged, known.position_sequence(SPY.con_id)) == (before, before + 1)


# --- closes ---------------------------------------------------------------------------------------------------------


@pytest.mark.req("RSK-4")
def test_a_close_counts_until_its_executions_are_there() -> None:
    known = sent()
    known.count_execution(executed("a", -20.0, CLOSE))
    partly = known.in_flight(SPY.con_id, SELL)
    known.count_execution(executed("b", -40.0, CLOSE))

    assert (partly, known.in_flight(SPY.con_id, SELL)) == (40.0, 0.0)
    assert known.closable(SPY.con_id, SELL) == 40.0


@pytest.mark.req("RSK-4")
@pytest.mark.parametrize(
    ("news", "left"),
    [
        (status("Cancelled", filled=0.0), 0.0),
        (status("ApiCancelled", filled=20.0), 20.0),
        (status("Filled", filled=60.0), 60.0),
        (status("Filled"), 60.0),
        (status("Cancelled"), 60.0),
        (status("Inactive", filled=0.0), 60.0),
        (status("PendingCancel", filled=0.0), 60.0),
        (status("Submitted", filled=0.0), 60.0),
        (status("Cancelled", filled=0.0, order_id=6, perm_id=0), 60.0),
    ],
    ids=lambda value: f"{value.status} {value.filled}" if isinstance(value, BrokerOrder) else "",
)
def test_only_a_final_status_that_says_what_was_filled_proves_a_close_dead(
    news: BrokerOrder, left: float
) -> None:
    """What it calls filled counts until the position has moved by it."""
    known = sent()
    tell(known, news)

    assert known.in_flight(SPY.con_id, SELL) == left


@pytest.mark.req("RSK-4")
def test_a_status_of_another_client_is_known_by_its_perm_id_only() -> None:
    known = sent()
    tell(known, status("Cancelled", filled=0.0), ours=False)
    unknown = known.in_flight(SPY.con_id, SELL)
    tell(known, shown(quantity=60.0))
    tell(known, status("Cancelled", filled=0.0, order_id=77), ours=False)

    assert (unknown, known.in_flight(SPY.con_id, SELL)) == (60.0, 0.0)


@pytest.mark.req("RSK-4")
def test_that_a_close_is_missing_in_a_read_proves_nothing() -> None:
    known = sent()
    known.state_was_read([holding(HELD)], (), known.position_sequences)

    assert known.in_flight(SPY.con_id, SELL) == 60.0

    known.close_is_dead(CLOSE)

    assert known.in_flight(SPY.con_id, SELL) == 0.0


@pytest.mark.req("RSK-4", "CON-16")
def test_a_final_status_that_came_while_a_read_ran_is_not_explained_by_it() -> None:
    """The holdings may have been told before the close filled; the next read began after it."""
    known = guard()
    known.close_passed(close(60.0), 5)
    ended_before = known.ended_closes
    tell(known, status("Filled", filled=60.0))
    known.state_was_read([holding(HELD)], (), {}, ended_before=ended_before)
    still = known.in_flight(SPY.con_id, SELL)

    known.state_was_read([holding(HELD - 60.0)], (), {}, ended_before=known.ended_closes)

    assert (still, known.in_flight(SPY.con_id, SELL)) == (60.0, 0.0)


@pytest.mark.req("RSK-4", "CON-16")
def test_a_read_of_a_contract_that_moves_explains_nothing_of_it() -> None:
    known = guard()
    known.close_passed(close(60.0), 5)
    tell(known, status("Filled", filled=60.0))

    known.state_was_read([holding(500.0)], (), {}, moving=(SPY.con_id,))

    assert known.in_flight(SPY.con_id, SELL) == 60.0
    assert known.closable(SPY.con_id, SELL) == HELD


@pytest.mark.req("RSK-4")
def test_a_read_explains_what_a_final_status_called_filled() -> None:
    known = sent()
    tell(known, status("Filled", filled=60.0))
    known.state_was_read([holding(40.0)], (), known.position_sequences)

    assert known.in_flight(SPY.con_id, SELL) == 0.0
    assert known.closable(SPY.con_id, SELL) == 40.0


@pytest.mark.req("RSK-4", "ORD-9")
def test_a_close_of_an_earlier_process_is_adopted_with_what_is_left_of_it() -> None:
    known = guard()
    known.count_execution(executed("a", -10.0, CLOSE))
    tell(known, shown(perm_id=1))
    adopted = known.in_flight(SPY.con_id, SELL)
    known.state_was_read([holding(90.0)], [shown(perm_id=1, remaining=25.0)], {})

    assert (adopted, known.in_flight(SPY.con_id, SELL)) == (30.0, 25.0)


@pytest.mark.req("RSK-4")
@pytest.mark.parametrize(
    "order",
    [
        shown(reference="SOMEBODY:CLOSE_SPY_756733_0001_aa"),
        shown(reference=f"{OPERATOR}:ORD_1"),
        shown(reference=""),
        shown("Filled", filled=40.0),
        shown(contract=None),
    ],
    ids=["another operator", "no close", "no reference", "ended", "no contract"],
)
def test_nothing_else_is_adopted(order: BrokerOrder) -> None:
    known = guard()
    tell(known, order)

    assert known.in_flight(SPY.con_id, SELL) == 0.0


@pytest.mark.req("RSK-4")
def test_the_executor_names_closes_that_no_read_shows() -> None:
    known = sent()
    told = [
        m.WorkingOrder(
            order_ref=reference,
            contract=SPY,
            signed_remaining=-10.0,
            price=None,
            purpose=purpose,
        )
        for reference, purpose in (
            (CLOSE, Purpose.CLOSE),
            (OTHER, Purpose.CLOSE),
            (f"{OPERATOR}:ORD_1", Purpose.OPEN),
        )
    ]
    for order in told:
        known.close_reserved(order)

    assert known.in_flight(SPY.con_id, SELL, apart_from=CLOSE) == 10.0
    assert known.in_flight(SPY.con_id, SELL) == 70.0


@pytest.mark.req("RSK-4")
def test_of_a_close_that_is_changed_the_larger_quantity_counts() -> None:
    known = sent()
    known.close_passed(close(50.0, broker_order_id=5), 5)
    smaller = known.in_flight(SPY.con_id, SELL)
    known.close_passed(close(70.0, broker_order_id=5), 5)
    known.state_was_read([holding(HELD)], [shown(remaining=50.0)], known.position_sequences)

    assert (smaller, known.in_flight(SPY.con_id, SELL)) == (60.0, 70.0)
