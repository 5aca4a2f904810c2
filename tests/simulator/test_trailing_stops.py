"""Trailing stops: they follow the market, never move back, and act at the market."""

from __future__ import annotations

import asyncio

import pytest

from supervision.simulator import Simulator

from .test_faults import with_gateway
from .test_orders import summary
from .wire import SPY, Wire, order

pytestmark = pytest.mark.req("SIM-8")

TRAILING_PERCENT = 70
"""The place of the field in PLACE_ORDER."""


def held(simulator: Simulator) -> float:
    position = simulator.positions().get(SPY)
    return 0.0 if position is None else position.quantity


@pytest.mark.parametrize("percent", [False, True])
def test_a_trailing_stop_follows_a_rise_and_acts_on_the_fall(percent: bool) -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[float, float, float]:
        simulator.faults.trade_elsewhere("SPY", 10)
        fields = order(1, "SELL", 10, "TRAIL", stop="" if percent else 60)
        if percent:
            fields[TRAILING_PERCENT] = 10
        wire.send(*fields)
        await wire.quiet()
        first = simulator.open_orders()[0].trail_stop or 0.0
        simulator.faults.move_price("SPY", 1.2)
        await asyncio.sleep(2.0)
        raised = simulator.open_orders()[0].trail_stop or 0.0
        simulator.faults.move_price("SPY", 0.85)
        await asyncio.sleep(2.0)
        return first, raised, held(simulator)

    first, raised, left = with_gateway(body)

    assert first == pytest.approx(535.0, rel=0.05)
    assert raised > first + 50
    assert left == 0.0


def test_a_trailing_stop_never_moves_back() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[float, float]:
        simulator.faults.trade_elsewhere("SPY", 10)
        wire.send(*order(1, "SELL", 10, "TRAIL", stop=200))
        await wire.quiet()
        first = simulator.open_orders()[0].trail_stop or 0.0
        simulator.faults.move_price("SPY", 0.9)
        await asyncio.sleep(2.0)
        return first, simulator.open_orders()[0].trail_stop or 0.0

    first, later = with_gateway(body)

    assert later == pytest.approx(first, abs=2.0)


def test_a_trailing_stop_is_told_with_its_distance_and_its_stop() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], str]:
        wire.send(*order(1, "SELL", 10, "TRAIL", stop=200))
        await wire.quiet()
        await asyncio.sleep(2.0)
        wire.send(16, 1)
        row = (await wire.until("53"))[0]
        return [row[15], row[17]], row[74]

    terms, stop = with_gateway(body)

    assert terms == ["TRAIL", "200.0"]
    assert float(stop) == pytest.approx(395.0, rel=0.05)


def test_a_trailing_stop_without_a_distance_is_refused() -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[str]:
        wire.send(*order(1, "SELL", 10, "TRAIL"))
        return summary(await wire.quiet())

    assert with_gateway(body) == ["4:321"]
