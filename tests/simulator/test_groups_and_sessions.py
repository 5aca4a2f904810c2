"""Groups of orders of which one cancels the others, how long an order lives, and keys of newer gateways."""

from __future__ import annotations

import asyncio

import pytest

from supervision.simulator import Simulator

from .test_derivatives import OUTSIDE_RTH, future
from .test_faults import with_gateway
from .test_orders import summary
from .wire import Wire, order

pytestmark = pytest.mark.req("SIM-8")

OCA_TYPE = 47
"""The place of the field in PLACE_ORDER."""
STOP_AT = 400
FAR_AWAY = 700


def grouped(fields: list[object], oca_type: int) -> list[object]:
    fields[OCA_TYPE] = oca_type
    return fields


async def pair(wire: Wire, oca_type: int) -> None:
    """Let a take profit and a stop for 100 shares rest in one group."""
    profit = order(1, "SELL", 100, "LMT", limit=FAR_AWAY, oca="g")
    wire.send(*grouped(profit, oca_type))
    stop = order(2, "SELL", 100, "STP", stop=STOP_AT, oca="g")
    wire.send(*grouped(stop, oca_type))
    await wire.quiet()


def sizes(simulator: Simulator) -> list[tuple[str, float]]:
    return [(each.order_type, each.remaining) for each in simulator.open_orders()]


@pytest.mark.parametrize(
    ("oca_type", "left"),
    [
        (0, [("LMT", 70.0), ("STP", 100.0)]),
        (1, [("LMT", 70.0)]),
        (2, [("LMT", 70.0), ("STP", 70.0)]),
        (3, [("LMT", 70.0), ("STP", 70.0)]),
    ],
)
def test_a_partial_fill_cancels_reduces_or_leaves_the_others(
    oca_type: int, left: list[tuple[str, float]]
) -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[tuple[str, float]]:
        simulator.faults.trade_elsewhere("SPY", 100)
        await pair(wire, oca_type)
        simulator.faults.fill(simulator.open_orders()[0].perm_id, 30)
        return sizes(simulator)

    assert with_gateway(body) == left


@pytest.mark.parametrize("oca_type", [0, 1, 2, 3])
def test_the_last_fill_cancels_the_others(oca_type: int) -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[tuple[str, float]], list[str]]:
        simulator.faults.trade_elsewhere("SPY", 100)
        await pair(wire, oca_type)
        first = simulator.open_orders()[0].perm_id
        simulator.faults.fill(first, 30)
        await wire.quiet()
        simulator.faults.fill(first)
        return sizes(simulator), summary(await wire.quiet())

    left, said = with_gateway(body)

    assert left == []
    assert ("3:Cancelled" in said) == (oca_type != 1)


def test_three_members_are_reduced_in_proportion() -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[tuple[str, float]]:
        await pair(wire, 3)
        wire.send(*grouped(order(3, "SELL", 50, "LMT", limit=FAR_AWAY + 1, oca="g"), 3))
        await wire.quiet()
        simulator.faults.fill(simulator.open_orders()[0].perm_id, 40)
        return sizes(simulator)

    assert with_gateway(body) == [("LMT", 60.0), ("STP", 60.0), ("LMT", 30.0)]


def test_a_reduced_order_is_told_with_its_type_and_new_size() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[str, str]:
        await pair(wire, 2)
        simulator.faults.fill(simulator.open_orders()[0].perm_id, 30)
        rows = [m for m in await wire.quiet() if m[0] == "5" and m[1] == "2"]
        return rows[-1][14], rows[-1][54]

    assert with_gateway(body) == ("70", "2")


def test_a_member_cannot_be_moved_to_another_group() -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[str]:
        await pair(wire, 1)
        wire.send(*order(2, "SELL", 100, "STP", stop=STOP_AT, oca="another"))
        return summary(await wire.quiet())

    assert with_gateway(body) == ["4:10326"]


# How long an order lives ------------------------------------------------------------------------

LATE = "0930-1031"
"""The test begins at 10:30:20 in New York."""


@pytest.mark.parametrize(("tif", "lives"), [("DAY", False), ("GTC", True)])
def test_an_order_ends_with_its_session_unless_it_is_good_till_cancelled(
    tif: str, lives: bool
) -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[str]:
        wire.send(*order(1, "BUY", 10, "LMT", limit=500, tif=tif))
        await wire.quiet()
        await asyncio.sleep(35.0)
        assert len(simulator.open_orders()) == 1
        return summary(await wire.quiet(10.0))

    said = with_gateway(body, hours=LATE)

    assert said == ([] if lives else ["3:Cancelled", "4:202"])


def test_an_order_that_came_after_the_close_lives_through_the_next_session() -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[int]:
        wire.send(*order(1, "BUY", 10, "LMT", limit=500))
        alive = []
        for pause_s in (60.0, 1800.0, 1700.0):
            await asyncio.sleep(pause_s)
            alive.append(len(simulator.open_orders()))
        return alive

    assert with_gateway(body, hours="1040-1120", match_interval_s=20.0) == [1, 1, 0]


def test_a_day_order_for_a_future_lives_until_the_future_closes() -> None:
    async def body(simulator: Simulator, wire: Wire) -> int:
        fields = order(1, "BUY", 1, "LMT", limit=5000, contract=future())
        fields[OUTSIDE_RTH] = 1
        wire.send(*fields)
        await asyncio.sleep(3000.0)
        return len(simulator.open_orders())

    assert with_gateway(body, hours=LATE, match_interval_s=20.0) == 1


# Keys -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefixed", "expected"), [(False, "ExchangeRate"), (True, "$LEDGER-ExchangeRate")]
)
def test_the_keys_of_the_ledger_may_have_a_prefix(prefixed: bool, expected: str) -> None:
    async def body(simulator: Simulator, wire: Wire) -> set[str]:
        wire.send(6, 2, 1, "DU1234567")
        return {m[2] for m in await wire.until("54") if m[0] == "6"}

    keys = with_gateway(body, ledger_prefix=prefixed)

    assert expected in keys
    assert any(key.startswith("$LEDGER-") for key in keys) == prefixed
    assert "NetLiquidation" in keys
