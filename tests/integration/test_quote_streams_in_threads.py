"""Streams of quotes where threads matter: real sockets, blocked and closed loops, a collector in another thread."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from pathlib import Path
from typing import Any

import attrs
import pytest

from actors.messages.market_data import UnsubscribeQuotes
from actors.model.market import Quote
from supervision import Config, IBKRGateway
from supervision.config.sections import MarketData, Pacing, StrategyC
from supervision.process.handle import Process
from supervision.simulator import Limits, Simulator, SimulatorConfig, ThreadedSimulator
from tests.walk.watching import tapped, until
from tests.worlds import a_config, real_world

MANY = tuple(f"SYM{number:03}" for number in range(1, 501))
SOME = MANY[:50]
UNLIMITED = Limits(messages_per_second=0, market_data_lines=0, tick_by_tick=0)
FAST = Pacing(messages_per_s=1000, reserve_messages=40)
LIVELY = SimulatorConfig(limits=UNLIMITED, extra_symbols=len(MANY), tick_interval_s=1.0)
TICKS_S = 0.05
"""Quotes made of ticks are handed on so often here."""
ROUNDS = 2
SLOW_S = 90.0
"""On a machine with a lot else to do."""
BLOCKED_S = 0.5
FRESH_S = 30.0
"""A quote that is older than this on any machine was held back."""


def _config(**market_data: Any) -> Config:
    section = MarketData(
        feed="ticks", max_tick_streams=2 * len(MANY), ticks_interval_s=TICKS_S, **market_data
    )
    return a_config(pacing=FAST, market_data=section)


def _by_tick(simulator: ThreadedSimulator) -> int:
    """Count the tick-by-tick subscriptions that the gateway holds."""

    def count(inner: Simulator) -> int:
        return sum(
            1
            for session in inner.ready_sessions()
            for kind, _ in session.subscriptions
            if kind == "by_tick"
        )

    return simulator.call(count)


@pytest.mark.req("MKT-7", "GW-7")
def test_five_hundred_symbols_stream_to_one_who_reads_beside_one_who_does_not(
    tmp_path: Path,
) -> None:
    async def scenario() -> Any:
        async with real_world(tmp_path, config=_config(), simulated=LIVELY) as world:
            stream = await world.gateway.subscribe_quotes(MANY)
            stuck = await world.gateway.subscribe_quotes(MANY)
            seen: dict[str, list[Quote]] = {symbol: [] for symbol in MANY}
            async with asyncio.timeout(SLOW_S):
                async for quote in stream:
                    seen[quote.symbol].append(quote)
                    if len(seen[quote.symbol]) >= ROUNDS and all(
                        len(quotes) >= ROUNDS for quotes in seen.values()
                    ):
                        break
            age_s = (world.process.clock.now() - quote.received_at).total_seconds()
            held = _by_tick(world.simulator)
            waits = [await anext(stuck) for _ in MANY]
            await stream.aclose()
            await stuck.aclose()
            await world.until(lambda: _by_tick(world.simulator) == 0, SLOW_S)
            return seen, age_s, held, waits

    seen, age_s, held, waits = asyncio.run(scenario())

    assert held == 2 * len(MANY)
    assert age_s < FRESH_S
    assert sorted(quote.symbol for quote in waits) == sorted(MANY), "one of each, the newest"
    for quotes in seen.values():
        times = [quote.received_at for quote in quotes]
        assert times == sorted(times)
        assert all(quote.bid <= quote.ask for quote in quotes if quote.bid and quote.ask)


@pytest.mark.req("MKT-7", "GW-8")
def test_a_callers_blocked_loop_finds_one_newest_quote_of_each_symbol(tmp_path: Path) -> None:
    async def scenario() -> Any:
        simulated = attrs.evolve(LIVELY, tick_interval_s=0.02)
        async with real_world(tmp_path, config=_config(), simulated=simulated) as world:
            stream = await world.gateway.subscribe_quotes(["SPY", "QQQ"])
            for _ in range(6):
                await anext(stream)
            time.sleep(BLOCKED_S)  # noqa: ASYNC251 - that is what is tested
            await asyncio.sleep(0)  # what waited for this loop is dealt out
            await asyncio.sleep(0)
            waiting = len(stream._inbox.backlog)
            newest = await anext(stream)
            return waiting, (world.process.clock.now() - newest.received_at).total_seconds()

    waiting, age_s = asyncio.run(scenario())

    assert waiting <= 2
    assert age_s < BLOCKED_S


@pytest.mark.req("MKT-7", "GW-7")
@pytest.mark.parametrize("feed", ["snapshots", "ticks"])
def test_the_subscriptions_of_a_closed_loop_are_ended(tmp_path: Path, feed: str) -> None:
    simulator = ThreadedSimulator(LIVELY)
    port = simulator.start()
    config = _config(snapshot_interval_s=0.1)
    config = attrs.evolve(
        config,
        general=attrs.evolve(config.general, state_dir=str(tmp_path)),
        gateway=attrs.evolve(config.gateway, endpoint="external", port=port),
    )
    kept: list[Any] = []

    async def leave_without_a_word() -> tuple[Process, list[Any]]:
        gateway = IBKRGateway(config, mode="paper")
        await gateway.connect()
        unsubscribed = tapped(gateway.process, UnsubscribeQuotes)  # it may come as soon as we left
        stream = await gateway.subscribe_quotes(["SPY", "QQQ"], feed=feed)
        kept.extend((gateway, stream))
        await anext(stream)
        return gateway.process, unsubscribed

    async def look(process: Process, unsubscribed: list[Any]) -> int:
        await until(lambda: bool(unsubscribed))
        if feed == "ticks":
            await until(lambda: _by_tick(simulator) == 0)
        await process.stop("the test is over")
        return len(unsubscribed)

    left = asyncio.run(leave_without_a_word())
    try:
        count = asyncio.run(look(*left))
    finally:
        simulator.stop()

    assert count == 1


@pytest.mark.req("MKT-7", "GW-7")
def test_a_stream_that_another_thread_collects_is_unsubscribed(tmp_path: Path) -> None:
    async def scenario() -> Any:
        async with real_world(tmp_path, config=_config(), simulated=LIVELY) as world:
            unsubscribed = tapped(world.process, UnsubscribeQuotes)
            for _ in range(5):
                stream = await world.gateway.subscribe_quotes(["SPY"])
                cycle: list[Any] = [stream]
                cycle.append(cycle)
                del stream, cycle
                collector = threading.Thread(target=gc.collect)
                collector.start()
                await asyncio.to_thread(collector.join)
            await until(lambda: len(unsubscribed) == 5)
            await until(lambda: _by_tick(world.simulator) == 0, SLOW_S)
            return len(world.gateway._session.quotes or ())

    assert asyncio.run(scenario()) == 0


@pytest.mark.req("MKT-7", "GW-12")
def test_streams_come_back_after_the_link_was_cut(tmp_path: Path) -> None:
    async def scenario() -> Any:
        config = attrs.evolve(_config(), strategy_c=StrategyC(grace_seconds=60.0))
        async with real_world(tmp_path, config=config, simulated=LIVELY) as world:
            stream = await world.gateway.subscribe_quotes(SOME)
            await until(lambda: _by_tick(world.simulator) == 2 * len(SOME), SLOW_S)
            await anext(stream)
            world.simulator.faults.drop_connections()
            async with asyncio.timeout(SLOW_S):
                async for _ in stream.events():
                    if len(stream.interrupted) == len(SOME):
                        break
                async for _ in stream.events():
                    if not stream.interrupted:
                        break
            await until(lambda: _by_tick(world.simulator) == 2 * len(SOME), SLOW_S)

    asyncio.run(scenario())
