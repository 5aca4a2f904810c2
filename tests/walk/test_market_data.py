"""Quotes, bars and indicators through the facade, against an independent calculation and the simulator's own prices."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from actors.errors import (
    AlphaLearningViolationError,
    ContractQualificationError,
    HistoryPacingError,
    InsufficientDataError,
    MarketDataUnavailableError,
    SnapshotModeViolationError,
)
from actors.kernel.messages import RequestFailed
from actors.messages.addresses import CONNECTION, LINK, MARKET_DATA
from actors.messages.connection import Connect, Disconnect
from actors.messages.market_data import (
    ContractQualified,
    GetMarketData,
    GetOptionQuote,
    GetQuote,
    QualifyContract,
    ReadBars,
    TakeSnapshot,
)
from actors.model.contracts import ContractQuery, Right, SecurityType
from actors.model.market import Bar, MarketData
from supervision.config.sections import MarketData as MarketDataSection
from supervision.config.sections import StrategyC
from supervision.simulator import SimulatorConfig
from tests.faults.crash import crash
from tests.walk.independent import independent_indicators
from tests.walk.watching import ending, tapped
from tests.worlds import CONTEXT, ProofWorld, a_config, buy, prove

EXACT = 1e-9
HOUR_MINUTES = 60
LEAST_BARS = 21
STALE_AFTER_S = 300.0
STALE_PENALTY = 0.5
MISSING_PENALTY = 0.1
SPY_ID = 756733
INDICATORS = (
    "ema_fast",
    "ema_slow",
    "rsi",
    "vwap",
    "bollinger_upper",
    "bollinger_middle",
    "bollinger_lower",
)


@pytest.mark.req("MKT-1")
def test_market_data_has_quote_indicators_and_quality() -> None:
    async def scenario(world: ProofWorld) -> Any:
        data = await world.gateway.get_market_data("SPY")
        spy = world.simulator.universe.by_con_id(SPY_ID)
        assert spy is not None
        return data, world.simulator.market.quote(spy), world.proof.clock.now()

    data, quote, now = prove(scenario)

    assert isinstance(data, MarketData)
    assert (data.symbol, data.source) == ("SPY", "ib")
    assert (data.bid, data.ask, data.last_price) == (quote.bid, quote.ask, quote.last)
    assert data.volume == quote.volume
    assert data.timestamp == now
    assert data.timestamp.utcoffset() == timedelta(0)
    assert (data.is_stale, data.staleness_seconds) == (False, 0.0)
    assert (data.missing_fields, data.data_quality_score) == ((), 1.0)
    assert all(getattr(data, name) is not None for name in INDICATORS)


@pytest.mark.req("MKT-2", "MKT-1")
@pytest.mark.parametrize("symbol", ["SPY", "QQQ", "KO"])
def test_indicators_equal_an_independent_calculation_over_the_same_bars(symbol: str) -> None:
    async def scenario(world: ProofWorld) -> Any:
        data = await world.gateway.get_market_data(symbol)
        bars = await world.gateway.get_historical_data(symbol)
        return data, bars

    data, bars = prove(scenario)

    expected = independent_indicators(bars)
    assert len(bars) == HOUR_MINUTES
    for name in INDICATORS:
        assert getattr(data, name) == pytest.approx(expected[name], abs=EXACT), name


@pytest.mark.req("MKT-6")
def test_history_is_an_hour_of_one_minute_bars_in_ascending_order() -> None:
    async def scenario(world: ProofWorld) -> Any:
        return await world.gateway.get_historical_data("SPY"), world.proof.clock.now()

    bars, now = prove(scenario)

    assert all(isinstance(bar, Bar) for bar in bars)
    starts = pd.Series([bar.start for bar in bars])
    assert len(bars) == HOUR_MINUTES
    assert set(starts.diff().dropna()) == {pd.Timedelta(minutes=1)}
    assert now - bars[0].start <= timedelta(minutes=HOUR_MINUTES)
    assert all(bar.low <= min(bar.open, bar.close) for bar in bars)
    assert all(bar.high >= max(bar.open, bar.close) for bar in bars)


@pytest.mark.req("MKT-6")
@pytest.mark.parametrize("minutes", [1, 21, 60])
def test_less_than_an_hour_may_be_asked_for(minutes: int) -> None:
    async def scenario(world: ProofWorld) -> int:
        return len(await world.gateway.get_historical_data("SPY", minutes))

    assert prove(scenario) == minutes


@pytest.mark.req("MKT-3")
def test_too_few_bars_are_an_error_that_says_so(tmp_path: Path) -> None:
    """A replay with fewer bars before the present is what a freshly listed symbol looks like."""

    async def scenario(world: ProofWorld) -> None:
        with pytest.raises(InsufficientDataError, match=f"{LEAST_BARS}"):
            await world.gateway.get_market_data("NEWCO")

    path = _replay(tmp_path, count=LEAST_BARS + 5, volume=100)
    prove(
        scenario,
        simulated=SimulatorConfig(replay={"NEWCO": path}, replay_offset=LEAST_BARS - 2),
    )


def _replay(folder: Path, count: int, volume: int) -> Path:
    path = folder / "newco.csv"
    lines = ["Date,Open,Close,High,Low,Volume"]
    lines += [
        f"2026-01-05 {9 + i // 60:02d}:{i % 60:02d},10,{10 + i % 7 / 10},11,9.5,{volume}"
        for i in range(count)
    ]
    path.write_text("\n".join(lines))
    return path


# --- quality ----------------------------------------------------------------------------------------------------------


@pytest.mark.req("MKT-4", "MKT-3")
def test_data_that_stands_still_too_long_is_stale_and_scores_less() -> None:
    async def scenario(world: ProofWorld) -> list[MarketData]:
        world.simulator.faults.missing_data("SPY", None)
        world.simulator.faults.no_subscription("SPY", 10167)
        return [await world.gateway.get_market_data("SPY")]

    (delayed,) = prove(scenario)

    assert delayed.is_stale
    assert delayed.staleness_seconds > STALE_AFTER_S
    penalty = STALE_PENALTY + MISSING_PENALTY * len(delayed.missing_fields)
    assert delayed.data_quality_score == pytest.approx(max(0.0, 1 - penalty))


@pytest.mark.req("MKT-4")
@pytest.mark.parametrize("mode", ["minus_one", "zero"])
def test_prices_of_minus_one_and_zero_are_missing_and_never_prices(mode: str) -> None:
    async def scenario(world: ProofWorld) -> MarketData:
        world.simulator.faults.missing_data("SPY", mode)
        return await world.gateway.get_market_data("SPY")

    data = prove(scenario)

    assert (data.bid, data.ask, data.last_price) == (None, None, None)
    assert {"bid", "ask", "last_price"} <= set(data.missing_fields)
    penalty = MISSING_PENALTY * len(data.missing_fields) + STALE_PENALTY * data.is_stale
    assert data.data_quality_score == pytest.approx(max(0.0, 1.0 - penalty))


@pytest.mark.req("MKT-4", "RSK-3")
def test_nothing_is_opened_on_data_without_a_price() -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.missing_data("QQQ")
        result = await world.gateway.submit_order(buy(symbol="QQQ"), CONTEXT)
        return result, world.simulator.ledger

    result, ledger = prove(scenario)

    assert (result.status, ledger) == ("REJECTED", ())
    assert "quote" in result.rejection_reason


@pytest.mark.req("MKT-4")
def test_the_score_falls_by_a_tenth_for_each_missing_field(tmp_path: Path) -> None:
    """A replay without volume lacks exactly that."""

    async def scenario(world: ProofWorld) -> MarketData:
        return await world.gateway.get_market_data("NEWCO")

    path = _replay(tmp_path, count=2 * HOUR_MINUTES, volume=0)
    data = prove(scenario, simulated=SimulatorConfig(replay={"NEWCO": path}))

    assert data.missing_fields == ("volume",)
    assert data.data_quality_score == pytest.approx(1.0 - MISSING_PENALTY)
    assert math.isfinite(data.vwap or math.nan)


# --- snapshots and history only ---------------------------------------------------------------------------------------


@pytest.mark.req("MKT-5")
def test_a_quote_without_snapshot_is_refused_at_the_facade() -> None:
    async def scenario(world: ProofWorld) -> int:
        received = world.simulator.faults.state.messages_received
        with pytest.raises(SnapshotModeViolationError, match="snapshot=True"):
            await world.gateway.get_market_data("SPY", snapshot=False)
        with pytest.raises(SnapshotModeViolationError, match="snapshot=True"):
            await world.gateway.get_option_quote("SPY", "20991231", 600, "C", snapshot=False)
        return world.simulator.faults.state.messages_received - received

    assert prove(scenario) == 0


@pytest.mark.req("MKT-5")
@pytest.mark.parametrize("kind", ["GetMarketData", "GetQuote", "GetOptionQuote", "TakeSnapshot"])
def test_a_quote_without_snapshot_is_refused_at_the_actor_and_at_the_link(kind: str) -> None:
    async def scenario(world: ProofWorld) -> Any:
        data = await world.gateway.get_market_data("SPY")
        contract = data.contract
        assert contract is not None
        header: dict[str, Any] = {
            "correlation_id": "injected",
            "deadline": world.process.clock.monotonic() + 5.0,
            "reply_to": "nobody",
            "snapshot": False,
        }
        query = ContractQuery(symbol="SPY", security_type=SecurityType.OPTION, right=Right.CALL)
        requests = {
            "GetMarketData": (MARKET_DATA, GetMarketData(**header, symbol="SPY")),
            "GetQuote": (MARKET_DATA, GetQuote(**header, contract=contract)),
            "GetOptionQuote": (MARKET_DATA, GetOptionQuote(**header, query=query)),
            "TakeSnapshot": (LINK, TakeSnapshot(**header, contract=contract)),
        }
        failed = tapped(world.process, RequestFailed)
        received = world.simulator.faults.state.messages_received
        world.process.tell(*requests[kind])
        await world.until(lambda: bool(failed))
        return failed[0].error.kind, world.simulator.faults.state.messages_received - received

    assert prove(scenario) == ("SnapshotModeViolationError", 0)


@pytest.mark.req("MKT-6")
@pytest.mark.parametrize(
    ("minutes", "bar_size"),
    [(61, "1 min"), (1440, "1 min"), (0, "1 min"), (-1, "1 min"), (60, "5 secs"), (60, "1 hour")],
)
def test_more_than_an_hour_or_another_bar_size_is_refused_before_anything_is_sent(
    minutes: int, bar_size: str
) -> None:
    async def scenario(world: ProofWorld) -> int:
        received = world.simulator.faults.state.messages_received
        with pytest.raises(AlphaLearningViolationError):
            await world.gateway.get_historical_data("SPY", minutes, bar_size)
        return world.simulator.faults.state.messages_received - received

    assert prove(scenario) == 0


# --- what has no data -------------------------------------------------------------------------------------------------


@pytest.mark.req("MKT-1")
def test_a_symbol_that_does_not_exist_is_named() -> None:
    async def scenario(world: ProofWorld) -> None:
        with pytest.raises(ContractQualificationError, match="NOSUCH"):
            await world.gateway.get_market_data("NOSUCH")

    prove(scenario)


@pytest.mark.req("MKT-1")
@pytest.mark.parametrize("code", [354, 10089, 10168])
def test_a_missing_subscription_is_told_with_its_code(code: int) -> None:
    async def scenario(world: ProofWorld) -> None:
        world.simulator.faults.no_subscription("QQQ", code)
        with pytest.raises(MarketDataUnavailableError, match=str(code)):
            await world.gateway.get_market_data("QQQ")

    prove(scenario)


@pytest.mark.req("MKT-1", "GW-8")
def test_market_data_of_many_symbols_may_be_asked_for_at_once() -> None:
    symbols = ("SPY", "QQQ", "AAPL", "MSFT", "KO")

    async def scenario(world: ProofWorld) -> list[MarketData]:
        return await asyncio.gather(
            *(world.gateway.get_market_data(symbol) for symbol in symbols * 3)
        )

    assert [data.symbol for data in prove(scenario)] == list(symbols * 3)


@pytest.mark.req("GW-3", "MKT-8")
def test_an_option_quote_has_its_greeks_and_stands_in_the_chain() -> None:
    async def scenario(world: ProofWorld) -> Any:
        chain = await world.gateway.get_option_chain("SPY")
        expiry = chain.expiries[-1].strftime("%Y%m%d")
        call = await world.gateway.get_option_quote("SPY", expiry, 600.0, "CALL")
        put = await world.gateway.get_option_quote("SPY", expiry, 600.0, "P")
        return chain, call, put

    chain, call, put = prove(scenario)

    assert list(chain.expiries) == sorted(chain.expiries)
    assert list(chain.strikes) == sorted(chain.strikes)
    assert (chain.symbol, chain.multiplier) == ("SPY", 100)
    assert call.bid <= call.ask
    assert 0 < call.delta < 1
    assert -1 < put.delta < 0
    assert call.implied_volatility > 0


@pytest.mark.req("MKT-6", "GW-8")
def test_one_who_joins_a_reading_of_bars_has_a_deadline_of_its_own() -> None:
    patient_s, impatient_s = 20.0, 2.0

    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.ignore_requests("reqHistoricalData")
        gateway = world.gateway
        hurried = asyncio.create_task(
            ending(world, gateway.get_historical_data("QQQ", timeout=impatient_s))
        )
        patient = asyncio.create_task(
            ending(world, gateway.get_historical_data("QQQ", timeout=patient_s))
        )
        await asyncio.sleep(impatient_s / 2)
        world.simulator.faults.answer_requests()
        return await hurried, await patient

    hurried, patient = prove(scenario)

    assert isinstance(hurried.error, TimeoutError)
    assert hurried.after_s == pytest.approx(impatient_s)
    assert len(patient.result) == HOUR_MINUTES


@pytest.mark.req("CON-14", "MKT-6")
def test_bars_are_read_once_until_the_next_bar_closes() -> None:
    async def scenario(world: ProofWorld) -> None:
        read = tapped(world.process, ReadBars)
        first = await world.gateway.get_historical_data("SPY")
        closes_in_s = 60.0 - world.proof.clock.now().timestamp() % 60.0
        await asyncio.sleep(closes_in_s - 1.0)
        again = await world.gateway.get_historical_data("SPY")
        assert (again, len(read)) == (first, 1)

        await asyncio.sleep(2.0)
        later = await world.gateway.get_historical_data("SPY")
        assert len(read) == 2
        assert later[-1].start > first[-1].start

    prove(scenario)


@pytest.mark.req("CON-14")
@pytest.mark.parametrize("failing", [(MARKET_DATA,), (LINK, MARKET_DATA)], ids="-".join)
def test_the_pacing_of_history_survives_a_restart_of_who_asks(failing: tuple[str, ...]) -> None:
    """What was asked before the failure counts: an identical request waits instead of being a violation."""

    async def scenario(world: ProofWorld) -> None:
        await world.gateway.get_historical_data("SPY")
        asked_at = world.proof.loop.time()
        for actor in failing:
            crash(world.process, actor)
        await asyncio.sleep(5.0)
        with pytest.raises(HistoryPacingError, match="no identical request of history"):
            await world.gateway.get_historical_data("SPY", duration_minutes=60, timeout=3.0)
        bars = await world.gateway.get_historical_data("SPY", duration_minutes=60, timeout=30.0)

        assert len(bars) == HOUR_MINUTES
        assert world.proof.loop.time() - asked_at == pytest.approx(15.1, abs=0.1)

    prove(scenario, config=a_config(strategy_c=StrategyC(grace_seconds=3600.0)))


def test_what_is_remembered_of_contracts_and_prices_is_bounded() -> None:
    most = 3

    async def scenario(world: ProofWorld) -> None:
        for symbol in ("SPY", "QQQ", "AAPL", "MSFT", "SPY"):
            await world.gateway.get_market_data(symbol)
        qualified = tapped(world.process, ContractQualified)
        await world.gateway.get_market_data("MSFT")
        assert qualified == []
        await world.gateway.get_market_data("QQQ")
        assert len(qualified) == 1

    prove(scenario, config=a_config(market_data=MarketDataSection(max_remembered=most)))


@pytest.mark.req("CON-13")
def test_what_a_session_taught_is_forgotten_when_it_was_asked_to_end() -> None:
    """Contracts, quotes and bars are read anew by the next session, and only by that."""

    async def scenario(world: ProofWorld) -> None:
        await world.gateway.get_market_data("SPY")
        asked = tapped(world.process, QualifyContract)
        read = tapped(world.process, ReadBars)
        await world.gateway.get_market_data("SPY")
        assert (len(asked), len(read)) == (0, 0)

        await _tell_connection(world, Disconnect)
        await _tell_connection(world, Connect)
        await world.gateway.get_market_data("SPY")
        assert (len(asked), len(read)) == (1, 1)

    prove(scenario)


async def _tell_connection(world: ProofWorld, kind: type[Connect] | type[Disconnect]) -> None:
    await world.process.tree.ask_async(
        CONNECTION,
        lambda id_, deadline, reply_to: kind(
            correlation_id=id_, deadline=deadline, reply_to=reply_to
        ),
        30.0,
    )
