"""Tick-by-tick streams over the wire: subscribed, bounded, conflated, cancelled (MKT-7)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.errors import GatewayNotConnectedError, MarketDataUnavailableError
from actors.link.settings import LinkSettings
from actors.messages.addresses import MARKET_DATA
from actors.messages.connection import EndSession
from actors.messages.market_data import (
    QuotesStreamed,
    SnapshotTaken,
    StartTicks,
    StopAllTicks,
    StopTicks,
    StreamTaken,
    TakeSnapshot,
    TicksAsked,
    TicksEnded,
)
from actors.model.connection import DisconnectCause
from actors.model.contracts import Contract
from actors.model.market import Quote
from actors.sections.market_data import MarketData
from actors.sections.pacing import Pacing
from supervision.simulator import Limits, Simulator

from .driver import LinkDriver
from .worlds import run, world

SUBSCRIBE, CANCEL = "97", "98"
ROOMY = Limits(messages_per_second=0, tick_by_tick=0)
INTERVAL_S = 0.1
LONG_S = 5.0


def _by_tick(simulator: Simulator) -> list[int]:
    """The ids of the tick-by-tick subscriptions that the gateway holds."""
    return [
        request_id
        for session in simulator.ready_sessions()
        for kind, request_id in session.subscriptions
        if kind == "by_tick"
    ]


def _received(simulator: Simulator, *numbers: str) -> list[list[str]]:
    """Keep the messages of these kinds that the gateway receives from now on."""
    received: list[list[str]] = []
    dispatch = simulator.dispatch

    def keep(session: Any, values: list[str]) -> None:
        if values[0] in numbers:
            received.append(list(values))
        dispatch(session, values)

    simulator.dispatch = keep  # type: ignore[method-assign]  # the witness stands in the gateway, not in our code
    return received


async def _start(driver: LinkDriver, contract: Contract) -> None:
    await driver.ask(StartTicks(**driver.header(), contract=contract), TicksAsked)


def _streamed(driver: LinkDriver) -> list[Quote]:
    return [quote for batch in driver.of(MARKET_DATA, QuotesStreamed) for quote in batch.quotes]


@pytest.mark.req("MKT-7")
def test_ticks_of_a_contract_come_as_quotes_with_the_simulators_own_prices() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy = await driver.qualify()
            await _start(driver, spy)
            first, *_ = await driver.until(lambda: _streamed(driver))
            listed = simulator.universe.by_con_id(spy.con_id)
            assert listed is not None
            truth = simulator.market.quote(listed)

            assert first.contract == spy
            assert (first.bid, first.ask, first.last) == (truth.bid, truth.ask, truth.last)
            assert (first.bid_size, first.ask_size) == (truth.bid_size, truth.ask_size)
            assert len(_by_tick(simulator)) == 2

    run(scenario)


@pytest.mark.req("MKT-7")
def test_nothing_follows_before_the_last_quotes_were_taken_and_then_only_the_newest() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy, qqq = await driver.qualify(), await driver.qualify("QQQ")
            for contract in (spy, qqq):
                await _start(driver, contract)
            await driver.until(lambda: _streamed(driver))
            await asyncio.sleep(20.0)
            told = list(driver.of(MARKET_DATA, QuotesStreamed))
            driver.tell(StreamTaken())
            await driver.until(lambda: len(driver.of(MARKET_DATA, QuotesStreamed)) > len(told))
            newest = driver.of(MARKET_DATA, QuotesStreamed)[-1].quotes
            universe = simulator.universe
            truth = {it.con_id: universe.by_con_id(it.con_id) for it in (spy, qqq)}

            assert len(told) == 1
            assert len(newest) == 2
            for quote in newest:
                listed = truth[quote.contract.con_id]
                assert listed is not None
                assert quote.bid == simulator.market.quote(listed).bid

    run(scenario)


@pytest.mark.req("MKT-7")
def test_quotes_are_handed_on_no_more_often_than_asked_for() -> None:
    async def scenario() -> None:
        async with world(tick_interval_s=0.01) as (driver, simulator):
            await driver.open(simulator.port)
            await _start(driver, await driver.qualify())
            ends_at = driver.clock.monotonic() + 2.0
            while driver.clock.monotonic() < ends_at:
                driver.tell(StreamTaken())
                await asyncio.sleep(0.02)

            assert 15 <= len(driver.of(MARKET_DATA, QuotesStreamed)) <= 2.0 / INTERVAL_S + 1

    run(scenario)


@pytest.mark.req("MKT-7")
def test_a_snapshot_gives_the_stream_its_volume() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy = await driver.qualify()
            await _start(driver, spy)
            request = TakeSnapshot(**driver.header(), contract=spy)
            quote = (await driver.ask(request, SnapshotTaken)).quote
            driver.tell(StreamTaken())
            streamed = (await driver.until(lambda: _streamed(driver)[1:]))[0]

            assert quote.volume is not None
            assert streamed.volume is not None
            assert streamed.volume >= quote.volume
            assert (streamed.open, streamed.close) == (quote.open, quote.close)

    run(scenario)


@pytest.mark.req("MKT-7")
def test_stopping_cancels_both_subscriptions_and_silences_the_stream() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy = await driver.qualify()
            await _start(driver, spy)
            await driver.until(lambda: _streamed(driver))
            cancelled = _received(simulator, CANCEL)
            held = _by_tick(simulator)
            driver.tell(StreamTaken())
            driver.tell(StopTicks(con_id=spy.con_id))
            driver.tell(StopTicks(con_id=spy.con_id))
            count = len(_streamed(driver))
            await asyncio.sleep(LONG_S)

            assert [int(values[1]) for values in cancelled] == held
            assert _by_tick(simulator) == []
            assert len(_streamed(driver)) == count

    run(scenario)


@pytest.mark.req("MKT-7")
def test_all_streams_may_be_stopped_at_once_and_new_ones_flow_although_nothing_was_taken() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy, qqq = await driver.qualify(), await driver.qualify("QQQ")
            await _start(driver, spy)
            await driver.until(lambda: _streamed(driver))
            driver.tell(StopAllTicks())
            await asyncio.sleep(1.0)
            left = _by_tick(simulator)
            await _start(driver, qqq)
            await driver.until(lambda: _streamed(driver)[-1].symbol == "QQQ")

            assert left == []

    run(scenario)


@pytest.mark.req("MKT-7", "SIM-6")
def test_more_subscriptions_than_allowed_are_refused_before_anything_is_sent() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            for symbol in ("SPY", "QQQ"):
                await _start(driver, await driver.qualify(symbol))
            aapl = await driver.qualify("AAPL")
            sent = _received(simulator, SUBSCRIBE)
            error = await driver.failure(StartTicks(**driver.header(), contract=aapl))

            assert type(error) is MarketDataUnavailableError
            assert "max_tick_streams allows 5" in str(error)
            assert sent == []

    run(scenario)


@pytest.mark.req("MKT-7", "SIM-6")
def test_a_stream_that_the_gateway_refuses_ends_whole_with_its_reason() -> None:
    async def scenario() -> None:
        async with world(limits=Limits(tick_by_tick=1)) as (driver, simulator):
            await driver.open(simulator.port)
            spy = await driver.qualify()
            await _start(driver, spy)
            (ended,) = await driver.until(lambda: driver.of(MARKET_DATA, TicksEnded))
            await asyncio.sleep(1.0)

            assert ended.con_id == spy.con_id
            assert "Max number of tick-by-tick requests" in ended.reason
            assert _by_tick(simulator) == []

    run(scenario)


@pytest.mark.req("MKT-7", "MKT-11")
def test_a_stream_that_the_gateway_ends_later_is_told_once() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy = await driver.qualify()
            await _start(driver, spy)
            simulator.end_subscriptions(10225)
            await asyncio.sleep(1.0)

            assert [event.con_id for event in driver.of(MARKET_DATA, TicksEnded)] == [spy.con_id]

    run(scenario)


@pytest.mark.req("MKT-7")
def test_a_contract_that_streams_is_cancelled_before_it_is_asked_for_again() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy = await driver.qualify()
            for _ in range(3):
                await _start(driver, spy)
                await asyncio.sleep(1.0)

            assert len(_by_tick(simulator)) == 2
            assert driver.of(MARKET_DATA, TicksEnded) == []

    run(scenario)


@pytest.mark.req("MKT-7", "CON-14")
def test_a_stream_that_is_stopped_while_it_waits_for_its_turn_is_never_asked_for() -> None:
    async def scenario() -> None:
        settings = LinkSettings(pacing=Pacing(messages_per_s=4, reserve_messages=1))
        async with world(settings) as (driver, simulator):
            await driver.open(simulator.port)
            spy, qqq = await driver.qualify(), await driver.qualify("QQQ")
            sent = _received(simulator, SUBSCRIBE, CANCEL)
            future = driver.post(StartTicks(**driver.header(), contract=spy))
            driver.post(StartTicks(**driver.header(), contract=qqq))
            await asyncio.sleep(0.1)
            for contract in (spy, qqq):
                driver.tell(StopTicks(con_id=contract.con_id))
            await future
            await asyncio.sleep(LONG_S)

            assert _by_tick(simulator) == []
            subscribed = [values[1] for values in sent if values[0] == SUBSCRIBE]
            assert len(subscribed) < 4
            assert [values[1] for values in sent if values[0] == CANCEL] == subscribed

    run(scenario)


@pytest.mark.req("MKT-7", "CON-13")
def test_an_orderly_end_cancels_what_streams() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            await _start(driver, await driver.qualify())
            held = _by_tick(simulator)
            cancelled = _received(simulator, CANCEL)
            driver.tell(EndSession(cause=DisconnectCause.ASKED, reason="done", graceful=True))
            await asyncio.sleep(1.0)

            assert [int(values[1]) for values in cancelled] == held

    run(scenario)


@pytest.mark.req("MKT-7")
def test_no_stream_outlives_its_session() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            await _start(driver, await driver.qualify())
            await driver.until(lambda: _streamed(driver))
            simulator.faults.drop_connections()
            await asyncio.sleep(1.0)
            count = len(_streamed(driver))
            await driver.open(simulator.port)
            driver.tell(StreamTaken())
            await asyncio.sleep(LONG_S)

            assert len(_streamed(driver)) == count
            assert driver.of(MARKET_DATA, TicksEnded) == [], "the loss of the link says it"
            assert _by_tick(simulator) == []

    run(scenario)


def test_without_a_session_nothing_streams_and_stopping_is_ignored() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy = await driver.qualify()
            driver.tell(EndSession(cause=DisconnectCause.ASKED, reason="done", graceful=False))
            error = await driver.failure(StartTicks(**driver.header(), contract=spy))
            driver.tell(StopTicks(con_id=spy.con_id))
            driver.tell(StopAllTicks())
            driver.tell(StreamTaken())
            await asyncio.sleep(0.1)

            assert isinstance(error, GatewayNotConnectedError)

    run(scenario)


@pytest.mark.req("MKT-7")
def test_hundreds_of_streams_are_handed_on_in_messages_of_bounded_size() -> None:
    async def scenario() -> None:
        settings = LinkSettings(
            pacing=Pacing(messages_per_s=1000), market_data=MarketData(max_tick_streams=1000)
        )
        async with world(settings, limits=ROOMY, extra_symbols=250) as (driver, simulator):
            await driver.open(simulator.port)
            for number in range(1, 251):
                await _start(driver, await driver.qualify(f"SYM{number:03}"))
            for _ in range(20):
                driver.tell(StreamTaken())
                await asyncio.sleep(INTERVAL_S)
            sizes = [len(batch.quotes) for batch in driver.of(MARKET_DATA, QuotesStreamed)]

            assert max(sizes) == 100
            assert len({quote.symbol for quote in _streamed(driver)}) == 250

    run(scenario)
