"""500 symbols tick by tick over the wire: the age of what a subscriber sees beside a stuck one, and what it costs.

=================  ===============================================================================================
age                from a tick's bytes at the gateway until a subscriber has that quote of the symbol or a newer one,
                   for every tick; while a second subscriber of the same symbols never reads
orders             submit → bytes at the gateway, while ticks pour, beside the same before they did
memory             of this process, from the second quarter of the pouring to the last
intake             ticks a second when they come as fast as they are read, beside bare ib_insync with a handler
IB's own limits    100 lines and 50 messages a second, by snapshots: how old the newest quote gets (virtual time)
=================  ===============================================================================================
"""

# mypy: disable-error-code="no-untyped-call"
# ib_insync's methods have no annotations.

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from statistics import mean, median
from time import perf_counter, perf_counter_ns
from typing import Any, Final

import attrs
import numpy as np
from ib_insync import IB, Stock
from numpy.typing import NDArray

from actors.model.market import FeedKind, Quote
from actors.model.orders import OrderStatus
from supervision import IBKRGateway
from supervision.config.sections import Config, Journal, MarketData, Pacing, Publish
from supervision.simulator import SimulatorConfig
from tests.benchmarks.table import Row, summarize
from tests.benchmarks.tick_server import POURED_SPREAD, SLOTS, SYMBOLS, TickServer
from tests.worlds import CONTEXT, ProofWorld, a_config, buy, prove, sell

SECONDS: Final = 60.0
TICKS_EACH_S: Final = 10.0
"""Changes of bid and ask a second of every symbol: 5,000 a second in all, and 1,000 trades."""

ORDERS_APART_S: Final = 0.2
QUIET_ORDERS: Final = 200
FLOOD_STEPS: Final = 2500
FLOODS: Final = 3
LIMITED_S: Final = 60.0
SETTLED_S: Final = 60.0
SNAPSHOT_S: Final = 0.5
"""How long the gateway takes for a snapshot in the run at IB's own limits."""

BARE_CLIENT_ID: Final = 9
READY_S: Final = 120.0

AIM_AGE_MS: Final = 250.0
AIM_INTAKE: Final = 0.75
AIM_ORDERS: Final = 6.0
AIM_GROWTH: Final = 1.02
"""Memory is called flat when it grows by less than so much: a forgotten quote a tick would be fifty times that."""


def _config(port: int, state_dir: Path) -> Config:
    """As shipped, but for the limits that IB sets by account, and the journal, which a disk decides about."""
    config = a_config(
        journal=Journal(enabled=False),
        publish=Publish(),
        pacing=Pacing(messages_per_s=1000, reserve_messages=40),
        market_data=MarketData(feed="ticks", max_tick_streams=2 * len(SYMBOLS)),
    )
    return attrs.evolve(
        config,
        general=attrs.evolve(config.general, state_dir=str(state_dir)),
        gateway=attrs.evolve(config.gateway, endpoint="external", port=port),
    )


@attrs.define
class Reader:
    """Reads quotes as they come and notes which step of the pouring it saw when."""

    newest: dict[str, int] = attrs.field(factory=dict)
    seen: NDArray[np.int64] = attrs.field(factory=lambda: np.full((0, 3), 0, np.int64))
    """The step seen before, the step seen, nanoseconds: room that is there from the start."""
    count: int = 0

    async def read(self, stream: Any) -> None:
        """Read until the stream ends."""
        async for quote in stream:
            self.take(quote)

    def take(self, quote: Quote) -> None:
        """Take one quote."""
        if (quote.ask or 0.0) - (quote.bid or 0.0) < POURED_SPREAD:
            return  # of a snapshot
        step, symbol = int(quote.bid_size or 0), quote.symbol
        if self.count < len(self.seen):
            self.seen[self.count] = (self.newest.get(symbol, 0), step, perf_counter_ns())
            self.count += 1
        self.newest[symbol] = step

    def ages_ms(self, sent_ns: list[int]) -> list[float]:
        """Tell of every tick how long it took until it, or a newer one, was seen."""
        ages = []
        for before, step, at_ns in self.seen[: self.count].tolist():
            first = before + SLOTS if before else step
            ages += [(at_ns - sent_ns[tick]) / 1e6 for tick in range(first, step + 1, SLOTS)]
        return ages


# --- the steady run ---------------------------------------------------------------------------------------------------


@attrs.define
class Steady:
    """What the steady run showed."""

    quiet_us: list[float] = attrs.field(factory=list)
    busy_us: list[float] = attrs.field(factory=list)
    ages_ms: list[float] = attrs.field(factory=list)
    memory_bytes: list[int] = attrs.field(factory=list)
    steps: int = 0
    left: int = 0
    """Subscriptions that were open at the gateway after everybody had unsubscribed."""


async def _submit(gateway: IBKRGateway, count: int, apart_s: float) -> dict[str, int]:
    """Submit orders; returns when each was submitted, by orderRef."""
    submitted = {}
    for number in range(count):
        await asyncio.sleep(apart_s)
        began = perf_counter_ns()
        result = await gateway.submit_order(
            sell() if number % 2 else buy(), CONTEXT, timeout=10.0, wait_for="ack"
        )
        assert result.status in (OrderStatus.FILLED, OrderStatus.PENDING), result
        submitted[f"{gateway.operator_id}:{result.order_id}"] = began
    return submitted


async def _ready(gateway: IBKRGateway) -> None:
    async with asyncio.timeout(READY_S):
        result = await gateway.submit_order(buy(), CONTEXT, timeout=10.0)
        while result.status is not OrderStatus.FILLED:
            await asyncio.sleep(0.05)
            result = await gateway.submit_order(buy(), CONTEXT, timeout=10.0)


async def _all_stream(server: TickServer) -> None:
    async with asyncio.timeout(READY_S):
        while server.subscriptions() < 2 * len(SYMBOLS):
            await asyncio.sleep(0.1)
    await asyncio.sleep(2.0)  # what pacing remembers has left its window


async def steady(server: TickServer, state_dir: Path, seconds: float) -> Steady:
    """Pour for a while; one reads, one is stuck, and orders are submitted."""
    found, reader = Steady(), Reader()
    async with IBKRGateway(_config(server.port, state_dir), mode="paper") as gateway:
        await _ready(gateway)
        stream = await gateway.subscribe_quotes(SYMBOLS)
        stuck = await gateway.subscribe_quotes(SYMBOLS)
        reading = asyncio.create_task(reader.read(stream))
        await _all_stream(server)

        def times(submitted: dict[str, int]) -> list[float]:
            arrived = server.arrivals()
            return [(arrived[ref] - began) / 1e3 for ref, began in submitted.items()]

        found.quiet_us = times(await _submit(gateway, QUIET_ORDERS, 0.05))
        server.pour(TICKS_EACH_S)
        await asyncio.sleep(min(5.0, seconds))
        reader.seen = np.full((int(2 * TICKS_EACH_S * len(SYMBOLS) * seconds), 3), 1, np.int64)
        watching = asyncio.create_task(_watch_memory(found.memory_bytes))
        found.busy_us = times(await _submit(gateway, int(seconds / ORDERS_APART_S), ORDERS_APART_S))
        sent_ns = server.stop()
        await asyncio.sleep(1.0)
        watching.cancel()
        found.steps = len(sent_ns) - 1
        found.ages_ms = reader.ages_ms(sent_ns)
        await stream.aclose()
        await stuck.aclose()
        await reading
        await asyncio.sleep(2.0)
        found.left = server.subscriptions()
    return found


async def _watch_memory(readings: list[int]) -> None:
    while (reading := _resident_bytes()) is not None:
        readings.append(reading)
        await asyncio.sleep(0.5)


def _resident_bytes() -> int | None:
    """Tell this process's resident memory; None where the system does not say."""
    if sys.platform != "linux":
        return None
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# --- the flood --------------------------------------------------------------------------------------------------------


async def _drained(newest: dict[str, int], steps: int) -> None:
    """Wait until the last step of every symbol was seen."""
    last = {symbol: _last_step(place, steps) for place, symbol in enumerate(SYMBOLS)}
    async with asyncio.timeout(READY_S):
        while any(newest.get(symbol) != step for symbol, step in last.items()):
            await asyncio.sleep(0.005)


def _last_step(place: int, steps: int) -> int:
    return steps - (steps - place) % SLOTS


async def bare_intake(server: TickServer) -> list[float]:
    """Ticks a second that ib_insync takes in, with a handler that keeps the newest."""
    ib = IB()
    ib.client.MaxRequests = 0
    await ib.connectAsync("127.0.0.1", server.port, clientId=BARE_CLIENT_ID)
    contracts = [Stock(symbol, "SMART", "USD") for symbol in SYMBOLS]
    await ib.qualifyContractsAsync(*contracts)
    newest: dict[str, int] = {}

    def keep(tickers: Any) -> None:
        for ticker in tickers:
            newest[ticker.contract.symbol] = int(ticker.bidSize)

    ib.pendingTickersEvent += keep
    for contract in contracts:
        for kind in ("BidAsk", "Last"):
            ib.reqTickByTickData(contract, kind)
    await _all_stream(server)
    rates = [await _flood(server, newest) for _ in range(FLOODS)]
    ib.disconnect()
    return rates


async def our_intake(server: TickServer, state_dir: Path) -> list[float]:
    """Ticks a second that reach a subscriber of ours, conflated."""
    reader = Reader()
    async with IBKRGateway(_config(server.port, state_dir), mode="paper") as gateway:
        stream = await gateway.subscribe_quotes(SYMBOLS)
        reading = asyncio.create_task(reader.read(stream))
        await _all_stream(server)
        rates = [await _flood(server, reader.newest) for _ in range(FLOODS)]
        await stream.aclose()
        await reading
    return rates


async def _flood(server: TickServer, newest: dict[str, int]) -> float:
    newest.clear()
    began = perf_counter()
    count = server.flood(FLOOD_STEPS)
    await _drained(newest, FLOOD_STEPS)
    return count / (perf_counter() - began)


# --- IB's own limits --------------------------------------------------------------------------------------------------


def at_ibs_limits(seconds: float = LIMITED_S) -> list[float]:
    """Ages in seconds of the newest quote of each symbol, looked at often, by snapshots within IB's limits."""

    async def scenario(world: ProofWorld) -> list[float]:
        stream = await world.gateway.subscribe_quotes(SYMBOLS, feed=FeedKind.SNAPSHOTS)
        received: dict[str, Any] = {}

        async def read() -> None:
            async for quote in stream:
                received[quote.symbol] = quote.received_at

        reading = asyncio.create_task(read())
        await world.until(lambda: len(received) == len(SYMBOLS), within_s=SETTLED_S)
        await asyncio.sleep(SETTLED_S)  # the first round also asks what the symbols are
        ages = []
        for _ in range(int(seconds)):
            await asyncio.sleep(1.0)
            now = world.proof.clock.now()
            ages += [(now - at).total_seconds() for at in received.values()]
        await stream.aclose()
        await reading
        return ages

    simulated = SimulatorConfig(extra_symbols=len(SYMBOLS), snapshot_delay_s=SNAPSHOT_S)
    ages: list[float] = prove(scenario, simulated=simulated)
    return ages


# --- all of it --------------------------------------------------------------------------------------------------------


async def measure(core: int | None, state_dir: Path, seconds: float = SECONDS) -> list[Row]:
    """Measure against one server."""
    with TickServer(core) as server:
        bare = await bare_intake(server)
        ours = await our_intake(server, state_dir)
        found = await steady(server, state_dir, seconds)
        bare += await bare_intake(server)
        ours += await our_intake(server, state_dir)
    limited = await asyncio.to_thread(at_ibs_limits, min(seconds, LIMITED_S))
    return [*_rows(found), _intake_row(bare, ours), _limited_row(limited)]


def _rows(found: Steady) -> list[Row]:
    age, quiet, busy = (summarize(it) for it in (found.ages_ms, found.quiet_us, found.busy_us))
    rows = [
        Row(
            what=f"tick → subscriber, {len(SYMBOLS)} symbols (p99)",
            unit="ms",
            ours=age.p99,
            aim_value=AIM_AGE_MS,
            note=f"median {age.median:.0f}, most {max(found.ages_ms):.0f};"
            f" {len(found.ages_ms):,} ticks of {found.steps * len(SYMBOLS) // SLOTS:,};"
            f" {found.left} subscriptions left open",
        ),
        Row(
            what="submit → bytes while ticks pour (p99)",
            unit="µs",
            floor=quiet.p99,
            ours=busy.p99,
            aim=AIM_ORDERS,
            note=f"medians {quiet.median:,.0f} and {busy.median:,.0f};"
            f" {busy.p99 / quiet.median:.1f} x the quiet median",
            is_disturbed=quiet.is_disturbed,
        ),
    ]
    readings = found.memory_bytes
    if len(readings) >= 8:
        quarter = len(readings) // 4
        early, late = mean(readings[quarter : 2 * quarter]), mean(readings[-quarter:])
        rows.append(
            Row(
                what="memory, last quarter to second",
                unit="MB",
                floor=early / 1e6,
                ours=late / 1e6,
                aim=AIM_GROWTH,
            )
        )
    return rows


def _intake_row(bare: list[float], ours: list[float]) -> Row:
    floor, reached = median(bare), median(ours)
    return Row(
        what="tick intake, time each (1 / aim = 0.75 of bare)",
        unit="µs",
        floor=1e6 / floor,
        ours=1e6 / reached,
        aim=round(1 / AIM_INTAKE, 3),
        note=f"{reached:,.0f} ticks/s, bare {floor:,.0f}: {reached / floor:.2f} x bare",
    )


def _limited_row(ages: list[float]) -> Row:
    age = summarize(ages)
    return Row(
        what=f"age at IB's limits, {len(SYMBOLS)} symbols by snapshots (p99)",
        unit="s",
        ours=age.p99,
        note=f"median {age.median:.1f}, most {max(ages):.1f}; a snapshot takes {SNAPSHOT_S:g} s",
    )
