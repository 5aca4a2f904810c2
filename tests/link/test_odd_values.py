"""What is odd and harmless: no position, no price, no cost (D22)."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from actors.errors import IncompatibleVersionError
from actors.link.client import HIGHEST_VERSION, LOWEST_VERSION, _version_fault
from actors.link.quarantine import Odd, odd_message
from actors.link.translation import execution_from_ib, holding_from_ib, is_booked
from actors.model.contracts import SecurityType

pytestmark = pytest.mark.req("CON-17")

UNSET = 1.7976931348623157e308


def raw_contract(kind: str = "STK") -> Any:
    return SimpleNamespace(
        conId=7,
        symbol="X",
        secType=kind,
        exchange="SMART",
        primaryExchange="",
        currency="USD",
        localSymbol="",
        tradingClass="",
        lastTradeDateOrContractMonth="20300101",
        strike=1.0,
        right="C",
        multiplier="",
    )


def raw_execution(shares: float, price: float) -> Any:
    return SimpleNamespace(
        execId="0000e1a2.6a01.01.01",
        orderId=0,
        clientId=0,
        permId=1,
        orderRef="",
        acctNumber="DU1",
        side="BOT",
        shares=shares,
        price=price,
    )


@pytest.mark.parametrize(
    ("kind", "shares", "price", "expected"),
    [
        ("STK", 1.0, 190.0, True),
        ("STK", 0.0, 190.0, False),
        ("STK", 1.0, -1.0, None),
        ("STK", -1.0, 1.0, None),
        ("STK", math.nan, 1.0, None),
        ("STK", 1.0, UNSET, None),
        ("OPT", 1.0, -1.0, None),
        ("FUT", 1.0, -37.63, True),
        ("FOP", 1.0, -0.1, True),
        ("BAG", 1.0, -1.35, False),
        ("BAG", 1.0, 1.35, False),
        ("CASH", 1000.0, 1.08, False),
    ],
)
def test_an_execution_is_booked_passed_over_or_put_aside(
    kind: str, shares: float, price: float, expected: bool | None
) -> None:
    if expected is None:
        with pytest.raises(ValueError, match=r"shares|price"):
            execution_from_ib(raw_contract(kind), raw_execution(shares, price), None)
        return
    assert (
        is_booked(execution_from_ib(raw_contract(kind), raw_execution(shares, price), None))
        is expected
    )


@pytest.mark.parametrize("kind", list(SecurityType))
def test_every_kind_is_booked_but_tickets_and_conversions(kind: SecurityType) -> None:
    booked = is_booked(execution_from_ib(raw_contract(kind.value), raw_execution(1.0, 1.0), None))

    assert booked is (kind not in (SecurityType.COMBINATION, SecurityType.CURRENCY))


def test_an_unset_cost_is_unknown_and_the_quantity_counts() -> None:
    held = holding_from_ib("DU1", raw_contract(), 5.0, UNSET)

    assert held.quantity == 5.0
    assert math.isnan(held.average_cost)
    assert held.known_cost == 0.0


@pytest.mark.parametrize("cost", [math.nan, math.inf, -math.inf])
def test_a_cost_that_is_no_number_is_put_aside(cost: float) -> None:
    with pytest.raises(ValueError, match="avgCost"):
        holding_from_ib("DU1", raw_contract(), 5.0, cost)


@pytest.mark.parametrize(
    ("fields", "kind", "con_id", "order_id", "trades"),
    [
        (["11", "-1", "5", "7"], "execution", 7, 5, True),
        (["3", "5", "Filled"], "orderStatus", None, 5, True),
        (["5", "5", "7"], "openOrder", 7, 5, True),
        (["61", "3", "DU1", "7"], "position", 7, None, True),
        (["101", "7"], "completedOrder", 7, None, True),
        (["59", "1", "x"], "commission", None, None, True),
        (["4", "2", "5", "201"], "error", None, None, False),
        (["1", "6", "9"], "data", None, None, False),
        (["11"], "execution", None, None, True),
        (["11", "", "x", "9" * 40], "execution", None, None, True),
        ([""], "data", None, None, False),
        ([], "data", None, None, False),
    ],
)
def test_what_can_be_said_of_an_odd_message(
    fields: list[str], kind: str, con_id: int | None, order_id: int | None, trades: bool
) -> None:
    odd = odd_message(fields)

    assert (odd.kind, odd.con_id, odd.order_id, odd.concerns_trading) == (
        kind,
        con_id,
        order_id,
        trades,
    )
    assert isinstance(odd, Odd)


@pytest.mark.parametrize(
    ("version", "says"), [(157, "too old"), (162, "too old"), (177, "too new"), (221, "too new")]
)
def test_a_version_says_which_side_is_the_older(version: int, says: str) -> None:
    text = _version_fault(version)

    assert says in text
    assert f"{LOWEST_VERSION} to {HIGHEST_VERSION} (was {version})" in text
    assert not IncompatibleVersionError(text).retryable
