"""Bars and indicators through the facade: forming and closed, gaps, what is remembered, and many symbols at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from actors.messages.market_data import ReadBars
from actors.model.market import BarGap
from supervision.simulator import Scenario, SimulatorConfig
from tests.walk.independent import independent_indicators
from tests.walk.watching import tapped
from tests.worlds import ProofWorld, prove

EXACT = 1e-9
MINUTE = timedelta(minutes=1)
NEW_YORK = ZoneInfo("America/New_York")
MORNING = datetime(2025, 11, 20, 9, 50, 20, tzinfo=NEW_YORK).astimezone(UTC)
NOON = datetime(2025, 11, 20, 12, 0, 20, tzinfo=NEW_YORK).astimezone(UTC)
WEEKDAYS = SimulatorConfig(seed=7, scenario=Scenario(hours="0930-1600"))
IDENTICAL_S = 15.0
PACED_REQUESTS = 60


class Said:
    """An event log that keeps what is said of gaps."""

    def __init__(self) -> None:
        self.gaps: list[dict[str, Any]] = []

    def __call__(self, event: str, *, level: str = "INFO", **fields: Any) -> None:
        if event == "bars_missing":
            self.gaps.append({"level": level, **fields})


async def next_minute(world: ProofWorld, second: float = 20.0) -> None:
    """Let time pass until so many seconds after the next minute began."""
    into_s = world.proof.clock.now().timestamp() % 60.0
    await asyncio.sleep(60.0 - into_s + second)


@pytest.mark.req("MKT-6")
def test_only_the_newest_bar_is_forming_and_it_is_closed_a_minute_later() -> None:
    async def scenario(world: ProofWorld) -> Any:
        first = await world.gateway.get_historical_data("SPY")
        await next_minute(world)
        return first, await world.gateway.get_historical_data("SPY")

    first, second = prove(scenario, epoch=NOON)

    assert [bar.is_forming for bar in first] == [False] * 59 + [True]
    assert [bar.is_forming for bar in second] == [False] * 59 + [True]
    assert second[-2].start == first[-1].start
    assert second[:-2] == first[1:-1]


@pytest.mark.req("MKT-6")
def test_after_the_close_no_bar_is_forming() -> None:
    evening = datetime(2025, 11, 20, 17, 0, tzinfo=NEW_YORK).astimezone(UTC)

    async def scenario(world: ProofWorld) -> Any:
        return await world.gateway.get_historical_data("SPY")

    bars = prove(scenario, epoch=evening, simulated=WEEKDAYS)

    assert bars[-1].start == evening - timedelta(minutes=61)
    assert not any(bar.is_forming for bar in bars)
    assert bars.gaps == ()


@pytest.mark.req("MKT-6", "MKT-3")
def test_a_gap_is_told_to_the_caller_and_once_in_the_log() -> None:
    said = Said()
    begins_at, ends_at = (
        NOON.replace(second=0) - MINUTE * 30,
        NOON.replace(second=0) - MINUTE * 26,
    )

    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.lose_bars("SPY", begins_at, ends_at)
        bars = await world.gateway.get_historical_data("SPY")
        data = await world.gateway.get_market_data("SPY")
        await next_minute(world)
        await world.gateway.get_historical_data("SPY")
        whole = await world.gateway.get_historical_data("QQQ")
        return bars, data, whole

    bars, data, whole = prove(scenario, epoch=NOON, log=said)

    gap = BarGap(symbol="SPY", begins_at=begins_at, ends_at=ends_at)
    assert bars.gaps == data.bar_gaps == (gap,)
    assert whole.gaps == ()
    assert said.gaps == [
        {
            "level": "WARNING",
            "symbol": "SPY",
            "begins_at": begins_at,
            "ends_at": ends_at,
            "minutes": 4,
        }
    ]


@pytest.mark.req("MKT-6")
def test_bars_that_cease_are_a_gap_up_to_now() -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.stale_data("SPY")
        await next_minute(world)
        await next_minute(world)
        await next_minute(world)
        return await world.gateway.get_historical_data("SPY")

    (gap,) = prove(scenario, epoch=NOON).gaps

    assert gap.begins_at == NOON.replace(second=0) + MINUTE
    assert gap.ends_at == NOON.replace(second=0) + 3 * MINUTE


@pytest.mark.req("MKT-6")
def test_the_night_before_is_no_gap() -> None:
    said = Said()

    async def scenario(world: ProofWorld) -> Any:
        return await world.gateway.get_historical_data("SPY")

    bars = prove(scenario, epoch=MORNING, simulated=WEEKDAYS, log=said)

    longest = max(after.start - before.start for before, after in pairwise(bars))
    assert longest > timedelta(hours=17)
    assert (bars.gaps, said.gaps) == ((), [])


@pytest.mark.req("CON-14", "MKT-6")
def test_less_than_what_is_remembered_is_answered_from_memory() -> None:
    async def scenario(world: ProofWorld) -> Any:
        hour = await world.gateway.get_historical_data("SPY")
        read = tapped(world.process, ReadBars)
        part = await world.gateway.get_historical_data("SPY", 25)
        return hour, part, read

    hour, part, read = prove(scenario, epoch=NOON)

    assert part == hour[-25:]
    assert read == []


@pytest.mark.req("MKT-6")
def test_a_gap_before_the_minutes_asked_for_is_not_theirs() -> None:
    begins_at = NOON.replace(second=0) - MINUTE * 30

    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.lose_bars("SPY", begins_at, begins_at + MINUTE)
        hour = await world.gateway.get_historical_data("SPY")
        return hour, await world.gateway.get_historical_data("SPY", 10)

    hour, part = prove(scenario, epoch=NOON)

    assert (len(hour.gaps), len(part.gaps)) == (1, 0)


# --- indicators of many symbols ---------------------------------------------------------------------------------------


@pytest.mark.req("MKT-2")
def test_indicators_of_many_symbols_are_those_of_their_bars_minute_after_minute() -> None:
    symbols = ("SPY", "QQQ", "AAPL", "MSFT", "KO")

    async def scenario(world: ProofWorld) -> Any:
        found = []
        for _ in range(4):
            readings = await world.gateway.get_indicators(symbols)
            bars = {each: await world.gateway.get_historical_data(each) for each in symbols}
            found.append((readings, bars))
            await next_minute(world)
        return found

    for readings, bars in prove(scenario, epoch=NOON):
        assert tuple(readings) == symbols
        for symbol, reading in readings.items():
            assert reading.as_of == bars[symbol][-1].start
            for name, expected in independent_indicators(bars[symbol]).items():
                actual = getattr(reading.indicators, name)
                assert actual == pytest.approx(expected, abs=EXACT, rel=0), name


@pytest.mark.req("MKT-2")
def test_market_data_and_indicators_agree() -> None:
    async def scenario(world: ProofWorld) -> Any:
        data = await world.gateway.get_market_data("SPY")
        return data, (await world.gateway.get_indicators(["SPY"]))["SPY"].indicators

    data, indicators = prove(scenario, epoch=NOON)

    assert (data.ema_fast, data.rsi, data.vwap) == (
        indicators.ema_fast,
        indicators.rsi,
        indicators.vwap,
    )


@pytest.mark.req("MKT-3")
def test_a_symbol_without_indicators_says_why_and_costs_the_others_nothing() -> None:
    async def scenario(world: ProofWorld) -> Any:
        return await world.gateway.get_indicators(["SPY", "NOSUCH", "QQQ"])

    readings = prove(scenario, epoch=NOON)

    assert "NOSUCH" in readings["NOSUCH"].why_not
    assert readings["NOSUCH"].indicators is None
    assert readings["SPY"].indicators is not None
    assert readings["QQQ"].indicators is not None
    assert readings["SPY"].why_not is None


@pytest.mark.req("CON-14")
def test_what_ibs_limits_leave_for_later_says_so_at_once() -> None:
    """More symbols than IB lets read in ten minutes: the rest is told to wait, and comes when its time has come."""
    symbols = [f"SYM{number:03}" for number in range(1, PACED_REQUESTS + 11)]

    async def scenario(world: ProofWorld) -> Any:
        first = await world.gateway.get_indicators(symbols, timeout=20.0)
        took_s = world.proof.loop.time()
        await asyncio.sleep(620.0)
        later = await world.gateway.get_indicators(symbols[PACED_REQUESTS:], timeout=20.0)
        return first, took_s, later

    first, took_s, later = prove(
        scenario, epoch=NOON, simulated=SimulatorConfig(seed=7, extra_symbols=100)
    )

    missing = [reading for reading in first.values() if reading.indicators is None]
    assert len(missing) == len(symbols) - PACED_REQUESTS
    assert all("at most 60 requests of history" in str(each.why_not) for each in missing)
    assert took_s < 20.0
    assert all(reading.indicators is not None for reading in later.values())


@pytest.mark.req("GW-8")
def test_a_symbol_that_is_not_answered_in_time_does_not_hold_up_the_others() -> None:
    timeout_s = 6.0

    async def scenario(world: ProofWorld) -> Any:
        await world.gateway.get_historical_data("SPY")
        world.simulator.faults.ignore_requests("reqHistoricalData")
        began_at = world.proof.loop.time()
        readings = await world.gateway.get_indicators(["SPY", "QQQ"], timeout=timeout_s)
        return readings, world.proof.loop.time() - began_at

    readings, took_s = prove(scenario, epoch=NOON)

    assert readings["SPY"].indicators is not None
    assert readings["QQQ"].indicators is None
    assert took_s <= timeout_s
