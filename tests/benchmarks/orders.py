"""Submit → bytes at the gateway, and submit → filled: the facade beside bare ib_insync, with and without the journal.

The floor calls ``IB.placeOrder`` in its own loop and waits for the trade's ``filledEvent``: that is also QUA-5's
"calling the link directly from the orchestrator's loop". Blocks of the three kinds take turns in one process, each
with a connection of its own and nothing else going on. Market orders, alternately bought and sold, so far apart that
neither side's pacing (45 messages a second by default) holds one back.
"""

# mypy: disable-error-code="no-untyped-call"
# ib_insync's methods have no annotations.

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from statistics import median
from time import perf_counter_ns

import attrs
from ib_insync import IB, MarketOrder, Stock

from actors.model.orders import OrderStatus
from supervision import IBKRGateway
from supervision.config.sections import Journal
from tests.benchmarks.server import Server
from tests.benchmarks.table import Row, Summary, summarize
from tests.worlds import CONTEXT, a_config, buy, sell

ROUNDS = 6
ORDERS = 50
WARM_UP = 10
APART_S = 0.032
PACING_WINDOW_S = 1.1
"""Once everything that connecting wrote has left the pacing's window, it holds back none of the orders."""

BARE_CLIENT_ID = 9
SYNC_BYTES = 4096

STEADY_WITHIN = 1.5
"""The floor's blocks have to agree within this factor, or something else was going on."""

AIM_BYTES = 3.0
AIM_FILLED = 1.0
SYNCS_ALLOWED = 2.6
"""With the journal: the aim without it, plus so many times one fdatasync of the same size."""


@attrs.frozen
class Sent:
    """One order: nanoseconds of the shared clock."""

    order_ref: str
    submitted_ns: int
    filled_ns: int


Blocks = list[list[float]]


@attrs.define
class Times:
    """Microseconds from submit to two moments, block by block."""

    bytes_us: Blocks = attrs.field(factory=list)
    filled_us: Blocks = attrs.field(factory=list)

    def add(self, orders: list[Sent], arrived: dict[str, int]) -> None:
        """Take over a block without its warm-up."""
        kept = orders[WARM_UP:]
        self.bytes_us.append([(arrived[it.order_ref] - it.submitted_ns) / 1e3 for it in kept])
        self.filled_us.append([(it.filled_ns - it.submitted_ns) / 1e3 for it in kept])


async def bare_block(port: int, block: int, count: int = WARM_UP + ORDERS) -> list[Sent]:
    """Place orders with ib_insync alone."""
    ib = IB()
    await ib.connectAsync("127.0.0.1", port, clientId=BARE_CLIENT_ID)
    contract = Stock("SPY", "SMART", "USD")
    await ib.qualifyContractsAsync(contract)
    sent = []
    for number in range(count):
        await asyncio.sleep(APART_S)
        reference = f"bare:{block}-{number}"
        order = MarketOrder("SELL" if number % 2 else "BUY", 10, orderRef=reference, tif="DAY")
        filled: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def on_filled(_trade: object, filled: asyncio.Future[int] = filled) -> None:
            filled.set_result(perf_counter_ns())

        began = perf_counter_ns()
        trade = ib.placeOrder(contract, order)
        trade.filledEvent += on_filled
        sent.append(Sent(reference, began, await asyncio.wait_for(filled, 10.0)))
    ib.disconnect()
    return sent


async def our_block(
    port: int, state_dir: Path, *, journal: bool, count: int = WARM_UP + ORDERS
) -> list[Sent]:
    """Submit orders through the facade."""
    config = a_config(journal=Journal(enabled=journal))
    config = attrs.evolve(
        config,
        general=attrs.evolve(config.general, state_dir=str(state_dir)),
        gateway=attrs.evolve(config.gateway, endpoint="external", port=port),
    )
    sent = []
    async with IBKRGateway(config, mode="paper") as gateway:
        await _prove_ready(gateway)
        for number in range(count):
            await asyncio.sleep(APART_S)
            signal = sell() if number % 2 else buy()
            began = perf_counter_ns()
            result = await gateway.submit_order(signal, CONTEXT, timeout=10.0)
            ended = perf_counter_ns()
            assert result.status is OrderStatus.FILLED, result
            sent.append(Sent(f"{gateway.operator_id}:{result.order_id}", began, ended))
    return sent


async def _prove_ready(gateway: IBKRGateway) -> None:
    """Have market data proved and one fresh quote, which then serves for the whole block."""
    for _ in range(200):
        result = await gateway.submit_order(buy(), CONTEXT, timeout=10.0)
        if result.status is OrderStatus.FILLED:
            break
        await asyncio.sleep(0.05)
    async with asyncio.timeout(10.0):
        stream = await gateway.subscribe_quotes(["SPY"])
        async for _ in stream:
            break
        await stream.aclose()
    await asyncio.sleep(PACING_WINDOW_S)


def syncs_us(state_dir: Path, count: int = 20) -> list[float]:
    """Time one fdatasync after a small write, in the directory of the journal."""
    taken = []
    file = os.open(state_dir / "sync", os.O_CREAT | os.O_WRONLY)
    sync = getattr(os, "fdatasync", os.fsync)
    try:
        for _ in range(count):
            os.write(file, b"x" * SYNC_BYTES)
            began = perf_counter_ns()
            sync(file)
            taken.append((perf_counter_ns() - began) / 1e3)
    finally:
        os.close(file)
    return taken


async def measure(core: int | None, state_dir: Path, rounds: int = ROUNDS) -> list[Row]:
    """Let the three kinds take turns."""
    bare, ours, journaled, syncs = Times(), Times(), Times(), []
    with Server(core) as server:
        for block in range(rounds):
            placed = await bare_block(server.port, block)
            bare.add(placed, server.arrivals())
            submitted = await our_block(server.port, state_dir / "without", journal=False)
            ours.add(submitted, server.arrivals())
            syncs += syncs_us(state_dir)
            submitted = await our_block(server.port, state_dir / f"with-{block}", journal=True)
            journaled.add(submitted, server.arrivals())
    return _rows(bare, ours, journaled, summarize(syncs))


def _all(blocks: Blocks) -> list[float]:
    return [value for block in blocks for value in block]


def _spread(blocks: Blocks) -> float:
    medians = [median(block) for block in blocks]
    return max(medians) / min(medians)


def _by_block(ours: Blocks, floors: Blocks) -> str:
    """Tell how far the ratios of single rounds lie apart: what else runs on the machine makes that."""
    ratios = sorted(median(mine) / median(floor) for mine, floor in zip(ours, floors, strict=True))
    return f"rounds {ratios[0]:.1f} to {ratios[-1]:.1f} x"


def _rows(bare: Times, ours: Times, journaled: Times, sync: Summary) -> list[Row]:
    rows = []
    disturbed = any(
        summarize(_all(floors)).is_disturbed or _spread(floors) > STEADY_WITHIN
        for floors in (bare.bytes_us, bare.filled_us)
    )
    for name, floors, without, with_journal, aim in (
        ("submit → bytes", bare.bytes_us, ours.bytes_us, journaled.bytes_us, AIM_BYTES),
        ("submit → filled", bare.filled_us, ours.filled_us, journaled.filled_us, AIM_FILLED),
    ):
        floor = summarize(_all(floors))
        for kind, values in (("", without), (", journal", with_journal)):
            taken = summarize(_all(values))
            note = f"p99 {taken.p99:,.0f}, floor's {floor.p99:,.0f}; {_by_block(values, floors)}"
            aim_value = aim * floor.median + SYNCS_ALLOWED * sync.median if kind else None
            rows.append(
                Row(
                    what=f"{name}{kind} (median)",
                    unit="µs",
                    floor=floor.median,
                    ours=taken.median,
                    aim=None if kind else aim,
                    aim_value=None if aim_value is None else round(aim_value),
                    note=note + (f"; one fdatasync {sync.median:,.0f}" if kind else ""),
                    is_disturbed=disturbed or sync.is_disturbed if kind else disturbed,
                )
            )
            if not kind:
                rows.append(
                    Row(
                        what=f"{name} (p99 / median)",
                        unit="µs",
                        floor=taken.median,
                        ours=taken.p99,
                        aim=3.0,
                        note=f"bare: {floor.p99 / floor.median:.2f} x",
                        is_disturbed=disturbed,
                    )
                )
    return rows
