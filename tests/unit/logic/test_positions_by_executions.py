"""What a position should be by the executions that are known: one number per order tells if it filled (ORD-11)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.executor.positions import Positions
from actors.model.account import Holding
from actors.model.orders import OrderAction
from tests.unit.logic.values import NOW, REF, SPY, execution

pytestmark = pytest.mark.req("ORD-9", "ORD-11")

ACCOUNT = "DU1234567"


def held(quantity: float, account: str = ACCOUNT) -> tuple[Holding, ...]:
    return (Holding(account=account, contract=SPY, quantity=quantity, average_cost=1.0),)


def known(quantity: float) -> Positions:
    positions = Positions()
    positions.take_over(held(quantity), ACCOUNT)
    return positions


def test_nothing_is_said_before_the_positions_were_read() -> None:
    assert Positions().base(SPY.con_id, NOW) is None


def test_an_order_in_a_contract_that_moved_while_it_was_read_gets_no_base() -> None:
    positions = Positions()
    positions.take_over(held(10.0), ACCOUNT, moving=(SPY.con_id,))

    assert positions.base(SPY.con_id, NOW) is None


def test_an_execution_after_the_read_moves_the_position_once() -> None:
    positions = known(10.0)
    positions.executed(execution(5.0, "a.01"))
    positions.executed(execution(5.0, "a.01"))

    base = positions.base(SPY.con_id, NOW)

    assert base is not None
    assert positions.expected(base, SPY.con_id, NOW) == 15.0


def test_another_account_is_none_of_it() -> None:
    positions = Positions()
    positions.take_over(held(10.0, "DU7654321"), ACCOUNT)

    assert positions.at_read(SPY.con_id) == 0.0


@given(
    before=st.lists(st.integers(1, 9), max_size=6),
    after=st.lists(st.integers(1, 9), max_size=6),
    start=st.integers(-50, 50),
)
def test_the_base_tells_the_same_in_the_next_process(
    before: list[int], after: list[int], start: int
) -> None:
    first = [execution(float(size), f"b{n}.01") for n, size in enumerate(before)]
    later = [execution(float(size), f"a{n}.01") for n, size in enumerate(after)]
    positions = known(float(start))
    positions.remember(first)
    base = positions.base(SPY.con_id, NOW)
    assert base is not None

    successor = Positions()
    successor.remember([*later, *first])

    assert successor.expected(base, SPY.con_id, NOW) == start + sum(before) + sum(after)


def test_a_correction_takes_the_place_of_what_it_corrects() -> None:
    positions = known(0.0)
    base = positions.base(SPY.con_id, NOW)
    assert base is not None

    positions.executed(execution(10.0, "a.01"))
    positions.executed(execution(7.0, "a.02"))

    assert positions.expected(base, SPY.con_id, NOW) == 7.0


def test_executions_of_days_before_are_let_go_of_without_moving_anything() -> None:
    positions = known(10.0)
    positions.executed(execution(5.0, "a.01"))
    base = positions.base(SPY.con_id, NOW + timedelta(days=9))
    assert base is not None

    positions.forget(NOW + timedelta(days=8))
    positions.take_over(held(15.0), ACCOUNT)

    assert positions.expected(base, SPY.con_id, NOW + timedelta(days=9)) == 15.0


def test_a_fill_without_execution_counts_until_its_execution_comes() -> None:
    positions = known(100.0)
    base = positions.base(SPY.con_id, NOW)
    assert base is not None

    positions.filled_unproven(REF, SPY.con_id, -30.0)
    believed = positions.expected(base, SPY.con_id, NOW)
    positions.executed(execution(10.0, "a.01", action=OrderAction.SELL))
    in_part = positions.expected(base, SPY.con_id, NOW)
    positions.executed(execution(20.0, "b.01", action=OrderAction.SELL))

    assert (believed, in_part, positions.expected(base, SPY.con_id, NOW)) == (70.0, 70.0, 70.0)
