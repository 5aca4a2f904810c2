"""Futures, options on futures, warrants, and what is only held, as a client sees them over the wire."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervision.simulator import Simulator, listings
from supervision.simulator.contracts import Universe
from supervision.simulator.instruments import ContractQuery

from .test_faults import with_gateway
from .test_market import bars_of, details, history, snapshot
from .test_orders import cancel, summary
from .wire import Wire, order

pytestmark = pytest.mark.req("SIM-8")

TODAY = dt.date(2026, 3, 4)
ES_MARCH = "20260320"
OUTSIDE_RTH = 33
"""The place of the field in PLACE_ORDER."""


def future(
    symbol: str = "ES", expiry: str = ES_MARCH, exchange: str = "CME", con_id: int = 0
) -> list[object]:
    """The twelve contract fields of a future."""
    return [con_id, symbol, "FUT", expiry, "0.0", "", "", exchange, "", "USD", "", ""]


def future_option(strike: float, right: str, expiry: str = ES_MARCH) -> list[object]:
    return [0, "ES", "FOP", expiry, strike, right, "50", "CME", "", "USD", "", ""]


def by_id(con_id: int, exchange: str) -> list[object]:
    return [con_id, "", "", "", "0.0", "", "", exchange, "", "", "", ""]


async def found(wire: Wire, contract: list[object]) -> list[list[str]]:
    """The contract details that a description finds; their error when there are none."""
    wire.send(*details(1, contract))
    return [m for m in await wire.quiet() if m[0] in ("10", "4")]


async def ticks(wire: Wire, contract: list[object]) -> dict[str, float]:
    """Bid, ask and last of a snapshot, by tick type."""
    wire.send(*snapshot(5, contract))
    rows = await wire.until("57")
    return {m[3]: float(m[4]) for m in rows if m[0] == "1" and m[3] in ("1", "2", "4")}


def id_of(symbol: str = "ES", sec_type: str = "FUT", **fields: object) -> int:
    query = ContractQuery(symbol=symbol, sec_type=sec_type, **fields)  # type: ignore[arg-type]
    return Universe().find(query, TODAY)[0].con_id


# Contracts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "exchange", "multiplier", "tick"),
    [
        ("ES", "CME", "50", "0.25"),
        ("MES", "CME", "5", "0.25"),
        ("NQ", "CME", "20", "0.25"),
        ("MNQ", "CME", "2", "0.25"),
        ("CL", "NYMEX", "1000", "0.01"),
        ("GC", "COMEX", "100", "0.1"),
    ],
)
def test_a_future_is_described_with_multiplier_tick_and_exchange(
    symbol: str, exchange: str, multiplier: str, tick: str
) -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[list[str]]:
        return await found(wire, future(symbol, "", exchange))

    rows = with_gateway(body)

    assert len(rows) == 4
    first = rows[0]
    assert (first[2], first[3], first[7], first[8]) == (symbol, "FUT", exchange, "USD")
    assert first[13] == tick
    assert first[14] == multiplier
    assert [row[4] for row in rows] == sorted(row[4] for row in rows)
    assert "US/Central" in first


@pytest.mark.parametrize(
    ("contract", "count"),
    [
        (future(expiry="202603"), 1),
        (future(expiry="20260321"), 0),
        (future(exchange="SMART"), 0),
        (future(exchange=""), 1),
        (future("NOPE"), 0),
        (future_option(6000.0, "C"), 1),
        (future_option(6001.0, "C"), 0),
        (by_id(id_of(), ""), 1),
        (by_id(id_of(), "CME"), 1),
        (by_id(id_of(), "SMART"), 0),
    ],
)
def test_a_future_is_found_at_its_exchange_and_not_at_the_router(
    contract: list[object], count: int
) -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[list[str]]:
        return await found(wire, contract)

    rows = with_gateway(body)

    assert [row[0] for row in rows] == (["10"] * count or ["4"])
    assert count or rows[0][3] == "200"


@given(st.dates(dt.date(2024, 1, 1), dt.date(2044, 12, 31)))
def test_an_id_names_the_same_contract_on_every_day(today: dt.date) -> None:
    for sec_type in ("FUT", "FOP"):
        for symbol in ("ES", "CL"):
            query = ContractQuery(symbol=symbol, sec_type=sec_type)
            made = list(listings.find(query, today, expired=False))

            assert made
            assert [listings.by_con_id(each.con_id) for each in made[:3] + made[-3:]] == (
                made[:3] + made[-3:]
            )


def test_no_two_contracts_share_an_id() -> None:
    query = ContractQuery(sec_type="FOP")
    futures = list(listings.find(ContractQuery(sec_type="FUT"), TODAY, expired=False))
    ids = [each.con_id for each in listings.find(query, TODAY, expired=False)] + [
        each.con_id for each in futures
    ]

    assert len(ids) == len(set(ids))


# Hours ------------------------------------------------------------------------------------------


def test_a_future_trades_nearly_around_the_clock_and_tells_its_liquid_hours() -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[str]:
        return (await found(wire, future()))[0]

    row = with_gateway(body, hours="0930-1600")
    zone = row.index("US/Central")

    assert row[zone + 1].startswith("20260303:1700-20260304:1600;20260304:1700-20260305:1600;")
    assert "20260307:CLOSED" in row[zone + 1]
    assert row[zone + 2].startswith("20260304:0830-20260304:1500;")


@pytest.mark.parametrize(
    ("outside_rth", "expected", "held"),
    [(0, ["5:PreSubmitted", "3:PreSubmitted", "4:399"], 0.0), (1, ["5:Submitted"], 1.0)],
)
def test_an_order_for_a_future_works_outside_liquid_hours_if_it_says_so(
    outside_rth: int, expected: list[str], held: float
) -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], float]:
        fields = order(1, quantity=1, contract=future())
        fields[OUTSIDE_RTH] = outside_rth
        wire.send(*fields)
        said = summary(await wire.quiet())
        position = simulator.positions().get(id_of())
        return said[: len(expected)], position.quantity if position else 0.0

    assert with_gateway(body, hours="1100-1600") == (expected, held)


# Quotes and orders ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "contract", [future(), future_option(5950.0, "C"), future("CL", "202603", "NYMEX")]
)
def test_quotes_lie_on_ticks_and_do_not_cross(contract: list[object]) -> None:
    async def body(simulator: Simulator, wire: Wire) -> dict[str, float]:
        return await ticks(wire, contract)

    prices = with_gateway(body)
    tick = 0.01 if contract[1] == "CL" else 0.25

    assert prices["1"] <= prices["2"]
    assert all(abs(price / tick - round(price / tick)) < 1e-6 for price in prices.values())


def test_history_of_a_future_lies_on_ticks() -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[str]:
        wire.send(*history(1, future()))
        return await wire.read()

    prices = [float(text) for bar in bars_of(with_gateway(body)) for text in bar[1:5]]

    assert len(prices) == 4 * 60
    assert all(4 * price == round(4 * price) for price in prices)


def test_a_future_is_bought_and_sold_and_only_its_result_is_money() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[float, float, float, list[str]]:
        before = simulator.cash
        wire.send(*order(1, quantity=2, contract=future()))
        await wire.quiet()
        paid = simulator.cash - before
        cost = simulator.positions()[id_of()].avg_cost
        wire.send(61, 1)
        told = (await wire.until("62"))[0]
        simulator.faults.move_price("ES", 1.01)
        wire.send(*order(2, "SELL", 2, contract=future()))
        await wire.quiet()
        return paid, cost, simulator.cash - before, told

    paid, cost, gained, told = with_gateway(body)

    assert paid == 0.0
    assert cost == pytest.approx(5950.0 * 50, rel=0.05)
    assert gained == pytest.approx(2 * 0.01 * cost, rel=0.05)
    assert (told[3], told[4], told[5], told[9], told[10]) == (str(id_of()), "ES", "FUT", "50", "")
    assert float(told[15]) == pytest.approx(cost, rel=1e-6)


def test_the_worth_of_the_account_moves_with_a_future_and_not_by_its_price() -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[float]:
        async def worth() -> float:
            wire.send(62, 1, 1, "All", "NetLiquidation")
            rows = await wire.until("64")
            wire.send(63, 1, 1)
            return next(float(m[5]) for m in rows if m[0] == "63")

        seen = [await worth()]
        simulator.faults.trade_elsewhere("ES", -1, price=6000.0)
        simulator.faults.stale_data()
        seen.append(await worth())
        simulator.faults.move_price("ES", 1.01)
        return [*seen, await worth()]

    before, after, moved = with_gateway(body)

    assert after == pytest.approx(before, abs=10_000)
    assert moved - after == pytest.approx(-0.01 * 5950 * 50, rel=0.05)


def test_a_sale_of_a_future_beyond_the_position_turns_it() -> None:
    async def body(simulator: Simulator, wire: Wire) -> float:
        simulator.faults.trade_elsewhere("ES", 1)
        wire.send(*order(1, "SELL", 1, contract=future()))
        wire.send(*order(2, "SELL", 1, contract=future()))
        await wire.quiet()
        return simulator.positions()[id_of()].quantity

    assert with_gateway(body) == -1.0


@pytest.mark.parametrize("limit", ["5900.1", "5900.25"])
def test_a_price_off_the_tick_is_refused(limit: str) -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[str]:
        wire.send(*order(1, "BUY", 1, "LMT", limit=limit, contract=future()))
        return summary(await wire.quiet())

    expected = ["4:110"] if limit == "5900.1" else ["5:Submitted", "3:Submitted"]
    assert with_gateway(body)[: len(expected)] == expected


@pytest.mark.parametrize(
    ("exchange", "code"), [("SMART", "4:200"), ("", "4:321"), ("NYMEX", "4:200")]
)
def test_an_order_for_a_future_needs_its_exchange(exchange: str, code: str) -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[str]:
        wire.send(*order(1, quantity=1, contract=future(exchange=exchange, con_id=id_of())))
        return summary(await wire.quiet())

    assert with_gateway(body) == [code]


def test_an_option_on_a_future_trades_with_the_multiplier_of_its_future() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], float, float]:
        wire.send(*order(1, quantity=1, contract=future_option(5950.0, "P")))
        rows = await wire.quiet()
        held = simulator.positions()[id_of(sec_type="FOP", strike=5950.0, right="P")]
        fill = next(m for m in rows if m[0] == "11")
        return fill[5:11], held.avg_cost, float(fill[20])

    terms, cost, price = with_gateway(body)

    assert terms == ["FOP", ES_MARCH, "5950.0", "P", "50", "CME"]
    assert cost == pytest.approx(price * 50 + 0.65)


def test_a_warrant_is_bought_and_sold_at_its_exchange() -> None:
    warrant: list[object] = [0, "AAPL", "WAR", "", 0.0, "", "", "FWB", "", "USD", "", ""]

    async def body(simulator: Simulator, wire: Wire) -> tuple[str, float]:
        wire.send(*order(1, quantity=10, contract=warrant))
        first = summary(await wire.quiet())
        wire.send(*order(2, "SELL", 10, contract=warrant))
        await wire.quiet()
        return first[-1], sum(abs(held.quantity) for held in simulator.positions().values())

    assert with_gateway(body) == ("59", 0.0)


def test_a_halt_of_a_series_stops_its_orders() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], int]:
        simulator.faults.halt("ES", duration_s=60.0)
        wire.send(*order(1, quantity=1, contract=future()))
        rests = summary(await wire.quiet(30.0))
        await wire.quiet(60.0)
        return rests, len(simulator.executions())

    assert with_gateway(body) == (["5:Submitted", "3:Submitted"], 1)


# Only held --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "kind"),
    [("US-T", "BOND"), ("EUR", "CASH"), ("XAUUSD", "CMDTY"), ("VFIAX", "FUND"), ("BTC", "CRYPTO")],
)
def test_what_is_only_held_is_told_as_a_position_and_cannot_be_ordered(
    symbol: str, kind: str
) -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[str, str, list[str]]:
        simulator.faults.trade_elsewhere(symbol, 11.5)
        held = next(iter(simulator.positions().values()))
        wire.send(61, 1)
        told = (await wire.until("62"))[0]
        contract = by_id(held.contract.con_id, held.contract.exchange)
        wire.send(*order(1, "SELL", 11, contract=contract))
        return told[5], told[14], summary(await wire.quiet())

    assert with_gateway(body) == (kind, "11.5", ["4:321"])


def test_a_resting_order_for_a_future_survives_the_gateway(tmp_path: object) -> None:
    from pathlib import Path

    from .wire import gateway, open_wire, run

    async def body() -> list[str]:
        file = Path(str(tmp_path)) / "state"
        async with gateway(state_file=file) as simulator:
            wire = await open_wire(simulator.port)
            wire.send(*order(1, "BUY", 1, "LMT", limit="5000.25", contract=future()))
            await wire.quiet()
        async with gateway(state_file=file) as simulator:
            wire = await open_wire(simulator.port)
            wire.send(*cancel(1))
            return summary(await wire.quiet())

    assert run(body) == ["3:Cancelled", "4:202"]
