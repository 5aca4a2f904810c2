"""Contracts, snapshots, bars and chains, over the wire."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from actors.errors import (
    AlphaLearningViolationError,
    ContractQualificationError,
    MarketDataUnavailableError,
    SnapshotModeViolationError,
)
from actors.link.settings import LinkSettings
from actors.messages.addresses import CONNECTION
from actors.messages.connection import NoticeReceived
from actors.messages.market_data import (
    BarsRead,
    ContractQualified,
    OptionChainRead,
    QualifyContract,
    ReadBars,
    ReadOptionChain,
    SnapshotTaken,
    TakeSnapshot,
)
from actors.model.contracts import Contract, ContractQuery, Right, SecurityType
from actors.model.market import Bar, DataType, OptionChain, Quote
from actors.sections.market_data import MarketData
from supervision.simulator import Simulator

from .driver import LinkDriver
from .worlds import run, world


async def _quote(driver: LinkDriver, contract: Contract) -> Quote:
    reply = await driver.ask(TakeSnapshot(**driver.header(), contract=contract), SnapshotTaken)
    return reply.quote


async def _bars(driver: LinkDriver, contract: Contract, minutes: int = 60) -> tuple[Bar, ...]:
    request = ReadBars(**driver.header(), contract=contract, duration_minutes=minutes)
    return (await driver.ask(request, BarsRead)).bars


async def _chain(driver: LinkDriver, contract: Contract) -> OptionChain:
    request = ReadOptionChain(**driver.header(), underlying=contract)
    return (await driver.ask(request, OptionChainRead)).chain


async def _option(driver: LinkDriver, **fields: Any) -> Contract:
    chain = await _chain(driver, await driver.qualify())
    middle = chain.strikes[len(chain.strikes) // 2]
    values: dict[str, Any] = {
        "symbol": "SPY",
        "security_type": SecurityType.OPTION,
        "expiry": chain.expiries[3],
        "strike": middle,
        "right": Right.CALL,
    }
    query = ContractQuery(**(values | fields))
    return (
        await driver.ask(QualifyContract(**driver.header(), query=query), ContractQualified)
    ).contract


def _spy_on(simulator: Simulator) -> list[list[str]]:
    """Keep every message that the gateway receives."""
    received: list[list[str]] = []
    dispatch = simulator.dispatch

    def keep(session: Any, values: list[str]) -> None:
        received.append(list(values))
        dispatch(session, values)

    simulator.dispatch = keep  # type: ignore[method-assign]  # the witness stands in the gateway, not in our code
    return received


# --- contracts --------------------------------------------------------------------------------------------------------


@pytest.mark.req("ORD-2")
def test_a_stock_is_qualified() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy = await driver.qualify()

            assert (spy.con_id, spy.symbol, spy.multiplier) == (756733, "SPY", 1.0)
            assert spy.time_zone == "US/Eastern"
            assert spy.trading_hours
            assert (spy.expiry, spy.strike, spy.right) == (None, None, None)

    run(scenario)


@pytest.mark.req("ORD-2", "MKT-8")
def test_an_option_is_qualified_with_expiry_and_multiplier() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            option = await _option(driver, right=Right.PUT)

            assert option.security_type is SecurityType.OPTION
            assert option.right is Right.PUT
            assert option.multiplier == 100.0
            assert option.expiry is not None
            assert option.strike is not None

    run(scenario)


@pytest.mark.req("ORD-2")
def test_a_symbol_that_nobody_knows_is_refused() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            with pytest.raises(ContractQualificationError, match="No security definition"):
                await driver.qualify("NOSUCH")

    run(scenario)


@pytest.mark.req("ORD-2")
def test_an_ambiguous_contract_is_refused_and_the_candidates_are_listed() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            with pytest.raises(ContractQualificationError, match=r"ambiguous.*conId"):
                await _option(driver, right=None)

    run(scenario)


# --- snapshots --------------------------------------------------------------------------------------------------------


@pytest.mark.req("MKT-5")
def test_a_quote_without_snapshot_is_refused_and_nothing_is_sent() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy = await driver.qualify()
            received = _spy_on(simulator)
            error = await driver.failure(
                TakeSnapshot(**driver.header(), contract=spy, snapshot=False)
            )

            assert type(error) is SnapshotModeViolationError
            assert received == []

    run(scenario)


@pytest.mark.req("MKT-5")
def test_every_request_of_market_data_on_the_wire_is_a_snapshot_without_generic_ticks() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy, option = await driver.qualify(), await _option(driver)
            received = _spy_on(simulator)
            await _quote(driver, spy)
            await _quote(driver, option)
            asked = [values for values in received if values[0] == "1"]

            assert len(asked) == 2
            for values in asked:
                assert (values[16], values[17], values[18]) == ("", "1", "0")

    run(scenario)


@pytest.mark.req("MKT-1", "MKT-12")
def test_a_snapshot_has_prices_sizes_and_the_time_of_the_last_trade() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            quote = await _quote(driver, await driver.qualify())

            assert quote.bid is not None
            assert quote.ask is not None
            assert quote.bid <= quote.ask
            assert quote.last
            assert quote.volume
            assert quote.bid_size
            assert quote.data_type is DataType.LIVE
            assert quote.traded_at is not None
            assert abs(quote.traded_at - datetime.now(UTC)) < timedelta(minutes=2)
            assert not quote.halted

    run(scenario)


@pytest.mark.req("MKT-8")
def test_an_options_snapshot_has_volatility_and_greeks() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            quote = await _quote(driver, await _option(driver))

            assert quote.implied_volatility is not None
            assert quote.implied_volatility > 0
            assert quote.delta is not None
            assert 0 < quote.delta <= 1
            assert quote.theta is not None
            assert quote.theta < 0
            assert quote.underlying_price is not None

    run(scenario)


@pytest.mark.req("MKT-4")
@pytest.mark.parametrize("mode", ["minus_one", "zero", "end_only"])
def test_a_price_that_the_broker_does_not_have_is_none(mode: str) -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy = await driver.qualify()
            simulator.faults.missing_data("SPY", mode)
            quote = await _quote(driver, spy)

            assert quote.bid is quote.ask is quote.last is None

    run(scenario)


@pytest.mark.req("MKT-11")
def test_a_snapshot_that_never_ends_fails_when_there_is_no_price() -> None:
    async def scenario() -> None:
        async with world(LinkSettings(market_data=MarketData(snapshot_timeout_s=0.2))) as (
            driver,
            simulator,
        ):
            await driver.open(simulator.port)
            spy = await driver.qualify()
            simulator.faults.missing_data("SPY", "silent")
            with pytest.raises(MarketDataUnavailableError, match=r"no price within 0\.2 s"):
                await _quote(driver, spy)

    run(scenario)


@pytest.mark.req("MKT-11")
@pytest.mark.parametrize("code", [354, 10089, 10168])
def test_a_missing_subscription_is_told_with_its_code(code: int) -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy = await driver.qualify()
            simulator.faults.no_subscription("SPY", code)
            with pytest.raises(MarketDataUnavailableError, match=rf"SPY.*code {code}"):
                await _quote(driver, spy)

    run(scenario)


@pytest.mark.req("MKT-11", "MKT-12")
def test_delayed_data_is_kept_and_flagged() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy = await driver.qualify()
            simulator.faults.no_subscription("SPY", 10167)
            quote = await _quote(driver, spy)

            assert quote.data_type is DataType.DELAYED
            assert quote.bid is not None
            assert quote.traded_at is not None

    run(scenario)


@pytest.mark.req("MKT-11", "CON-10")
def test_a_competing_session_is_told_to_the_caller_and_to_the_connection() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy = await driver.qualify()
            simulator.faults.competing_session()
            with pytest.raises(MarketDataUnavailableError, match="code 10197"):
                await _quote(driver, spy)

            assert 10197 in {notice.code for notice in driver.of(CONNECTION, NoticeReceived)}

    run(scenario)


@pytest.mark.req("MKT-11")
def test_a_halt_is_seen() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy = await driver.qualify()
            simulator.faults.halt("SPY")

            assert (await _quote(driver, spy)).halted

    run(scenario)


# --- history ----------------------------------------------------------------------------------------------------------


@pytest.mark.req("MKT-6")
def test_an_hour_of_bars_is_sixty_bars_in_order() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy = await driver.qualify()
            received = _spy_on(simulator)
            bars = await _bars(driver, spy)
            (asked,) = [values for values in received if values[0] == "20"]

            assert len(bars) == 60
            assert [bar.start for bar in bars] == sorted({bar.start for bar in bars})
            assert all(bar.start.tzinfo is UTC for bar in bars)
            assert asked[15:20] == ["", "1 min", "3600 S", "1", "TRADES"]

    run(scenario)


@pytest.mark.req("MKT-6")
@pytest.mark.parametrize(
    ("minutes", "bar_size"), [(61, "1 min"), (0, "1 min"), (60, "1 secs"), (1440, "1 day")]
)
def test_more_than_an_hour_or_finer_bars_are_refused_and_nothing_is_sent(
    minutes: int, bar_size: str
) -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy = await driver.qualify()
            received = _spy_on(simulator)
            error = await driver.failure(
                ReadBars(
                    **driver.header(), contract=spy, duration_minutes=minutes, bar_size=bar_size
                )
            )

            assert isinstance(error, AlphaLearningViolationError)
            assert received == []

    run(scenario)


@pytest.mark.req("MKT-11")
def test_a_pacing_violation_says_so() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy = await driver.qualify()
            simulator.faults.pacing_error()
            with pytest.raises(MarketDataUnavailableError, match="pacing violation"):
                await _bars(driver, spy)

    run(scenario)


# --- chains -----------------------------------------------------------------------------------------------------------


@pytest.mark.req("MKT-8")
def test_a_chain_has_ascending_expiries_and_strikes_of_smart() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            chain = await _chain(driver, await driver.qualify())

            assert (chain.exchange, chain.trading_class, chain.multiplier) == ("SMART", "SPY", 100)
            assert list(chain.expiries) == sorted(set(chain.expiries))
            assert list(chain.strikes) == sorted(set(chain.strikes))
            assert chain.expiries
            assert chain.strikes

    run(scenario)


def test_a_contract_that_the_gateway_does_not_know_fails_a_snapshot() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            unknown = attrs.evolve(await driver.qualify(), con_id=999_999_999)
            with pytest.raises(ContractQualificationError, match="code 200"):
                await _quote(driver, unknown)
            await asyncio.sleep(0)

    run(scenario)
