"""An account that holds every kind of contract: what we order is closed, the rest is named and holds up nothing."""

from __future__ import annotations

import attrs
import pytest

from supervision.simulator.instruments import ContractQuery
from tests.faults.test_strategy_c import HELD, hold, report_of, wide
from tests.worlds import SIMULATED, ProofWorld, prove

SHORT_FUTURE = -1.0
BY_HAND = {"US-T": 5000.0, "EUR": 11900.31, "XAUUSD": 3.0, "VFIAX": 10.0, "BTC": 0.5}
WITHIN_S = 15.0
OUTSIDE_RTH = 33
"""The place of the field in PLACE_ORDER."""


def have(world: ProofWorld, quantity: float, symbol: str, kind: str = "", **terms: object) -> None:
    """Let the account hold what nobody here bought; without a kind, what the symbol means first."""
    con_id = 0
    if kind:
        query = ContractQuery(symbol=symbol, sec_type=kind, **terms)  # type: ignore[arg-type]
        today = world.simulator.market.today
        con_id = world.simulator.universe.find(query, today)[0].con_id
    world.simulator.faults.trade_elsewhere(symbol, quantity, con_id=con_id)


def left(world: ProofWorld) -> dict[str, float]:
    """What the account still holds, by symbol."""
    return {held.contract.symbol: held.quantity for held in world.simulator.positions().values()}


def ordered(world: ProofWorld) -> list[tuple[str, str, str]]:
    """Kind, exchange and side of every order that was sent, in a fixed order."""
    return sorted(
        (entry.raw[4], entry.raw[9], entry.raw[16])
        for entry in world.simulator.ledger
        if entry.kind == "place"
    )


@pytest.mark.req("STC-9", "SIM-8")
def test_futures_their_options_and_warrants_are_closed_with_the_stocks() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world, HELD)
        have(world, SHORT_FUTURE, "ES")
        have(world, 2.0, "CL")
        have(world, 3.0, "NQ", "FOP", strike=20500.0, right="P")
        have(world, 100.0, "AAPL", "WAR")

        await world.gateway.liquidate("a test")
        await world.until(lambda: left(world) == {}, 60.0)

        assert (await report_of(world)).flat
        assert ordered(world) == [
            ("FOP", "CME", "SELL"),
            ("FUT", "CME", "BUY"),
            ("FUT", "NYMEX", "SELL"),
            ("STK", "SMART", "BUY"),
            ("STK", "SMART", "SELL"),
            ("WAR", "FWB", "SELL"),
        ]

    prove(scenario, config=wide())


@pytest.mark.req("STC-9", "SIM-8")
def test_what_is_for_a_hand_is_never_ordered_holds_up_nothing_and_is_named() -> None:
    async def scenario(world: ProofWorld) -> None:
        await hold(world, HELD)
        have(world, SHORT_FUTURE, "ES")
        for symbol, quantity in BY_HAND.items():
            have(world, quantity, symbol)

        await world.gateway.liquidate("a test")
        await world.until(lambda: left(world) == BY_HAND, WITHIN_S)
        report = await report_of(world)

        assert not report.flat
        named = " ".join(report.remaining)
        assert all(symbol in named for symbol in BY_HAND)
        assert "SPY" not in named
        assert {kind for kind, _, _ in ordered(world)} == {"STK", "FUT"}

    prove(scenario, config=wide())


@pytest.mark.req("STC-9", "SIM-8")
@pytest.mark.parametrize("kind", ["FUT", "FOP", "WAR"])
def test_one_position_of_such_a_kind_is_closed_as_asked_for(kind: str) -> None:
    async def scenario(world: ProofWorld) -> None:
        symbol = "AAPL" if kind == "WAR" else "ES"
        have(world, -2.0, symbol, kind)
        await world.gateway.connect()
        (position,) = await world.gateway.get_positions()

        result = await world.gateway.close_position(position.position_id)

        assert result.fill_quantity == 2.0, result.rejection_reason
        assert left(world) == {}

    prove(scenario, config=wide(), connect=False)


@pytest.mark.req("STC-9", "SIM-8")
@pytest.mark.parametrize(("held", "fraction"), [(10.5, 0.5), (-10.5, -0.5), (0.37, 0.37)])
def test_the_whole_shares_are_closed_and_the_fraction_is_named(
    held: float, fraction: float
) -> None:
    async def scenario(world: ProofWorld) -> None:
        have(world, 5.0, "QQQ")
        have(world, held, "SPY")
        await world.gateway.connect()

        await world.gateway.liquidate("a test")
        await world.until(lambda: left(world) == {"SPY": pytest.approx(fraction)}, WITHIN_S)
        report = await report_of(world)

        assert not report.flat
        assert "SPY" in " ".join(report.remaining)
        sizes = {float(entry.raw[17]) for entry in world.simulator.ledger if entry.kind == "place"}
        assert sizes <= {5.0, 10.0}

    prove(scenario, config=wide(), connect=False)


@pytest.mark.req("STC-9", "SIM-8")
@pytest.mark.parametrize("held", [2.0, -3.0])
def test_a_future_is_closed_by_a_limit_outside_its_regular_hours(held: float) -> None:
    async def scenario(world: ProofWorld) -> None:
        have(world, held, "ES")
        await world.gateway.connect()

        await world.gateway.liquidate("a test")
        await world.until(lambda: left(world) == {}, WITHIN_S)

        assert (await report_of(world)).flat
        orders = [entry.raw for entry in world.simulator.ledger if entry.kind == "place"]
        assert {(raw[4], raw[18], raw[OUTSIDE_RTH]) for raw in orders} == {("FUT", "LMT", "1")}

    before_the_bell = attrs.evolve(SIMULATED, hours="1100-1600")
    prove(scenario, config=wide(), simulated=before_the_bell, connect=False)
