"""Strategy C after a lost link, in paper mode with the durable journal and 20 positions.

Two spans. From the loss being detected (the link tells that its session has ended) to an opening order that was
submitted at that moment being refused, the facade's way there and back included. And, on the next session, from the
end of reconciliation to the arrival of the last close at the gateway: between them lie every cancel, the executions
and positions read once more, and one durable intent for each close.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns

import attrs

from actors.errors import GatewayNotConnectedError
from actors.kernel.addresses import Cancellable, TapRecord
from actors.messages.connection import ConnectionStateChanged, SessionEnded, SessionOpened
from actors.model.connection import ConnectionState
from actors.model.orders import OrderStatus
from supervision import IBKRGateway
from supervision.config.sections import Connection, Journal
from tests.benchmarks.server import EXTRA_SYMBOLS, Server
from tests.benchmarks.table import Row, summarize
from tests.worlds import CONTEXT, a_config, buy

ROUNDS = 12
QUANTITY = 5
WAIT_S = 20.0
REFUSED_AIM_MS = 5.0
CLOSES_AIM_MS = 50.0
SYMBOLS = tuple(f"SYM{number:03d}" for number in range(1, EXTRA_SYMBOLS + 1))


@attrs.define
class Moments:
    """When what happened in one round, in nanoseconds of the shared clock; None: not yet."""

    lost_ns: int | None = None
    refused_ns: int | None = None
    opened_ns: int | None = None
    reconciled_ns: int | None = None
    refusing: asyncio.Task[None] | None = None


async def measure(core: int | None, state_dir: Path) -> list[Row]:
    """Hold the positions, lose the link, and watch it end flat; each time at a gateway whose day is young."""
    refused, closed, reconciled = [], [], []
    for number in range(ROUNDS):
        with Server(core) as server:
            async with _gateway(server.port, state_dir / str(number)) as gateway:
                moments, last_ns = await _lose_the_link(gateway, server)
        assert moments.lost_ns is not None
        assert moments.refused_ns is not None
        assert moments.opened_ns is not None
        assert moments.reconciled_ns is not None
        refused.append((moments.refused_ns - moments.lost_ns) / 1e6)
        reconciled.append((moments.reconciled_ns - moments.opened_ns) / 1e6)
        closed.append((last_ns - moments.reconciled_ns) / 1e6)
    refusal, closing, reading = summarize(refused), summarize(closed), summarize(reconciled)
    return [
        Row(
            what="loss detected → opening order refused (p95)",
            unit="ms",
            ours=refusal.p95,
            aim_value=REFUSED_AIM_MS,
            note=f"median {refusal.median:.2f}",
        ),
        Row(
            what=f"reconciled → {EXTRA_SYMBOLS} closes at the gateway (median)",
            unit="ms",
            ours=closing.median,
            aim_value=CLOSES_AIM_MS,
            note=f"p95 {closing.p95:.1f}, least {closing.least:.1f}; reconciling took {reading.median:.1f}",
        ),
    ]


async def _lose_the_link(gateway: IBKRGateway, server: Server) -> tuple[Moments, int]:
    """One round; also tells when the last close arrived at the gateway."""
    for symbol in SYMBOLS:
        bought = await gateway.submit_order(buy(QUANTITY, symbol), CONTEXT, timeout=WAIT_S)
        assert bought.status is OrderStatus.FILLED, bought
    server.arrivals()
    moments = Moments()
    watch = _watch(gateway, moments)
    await asyncio.to_thread(server.drop)
    await _until(lambda: bool(gateway.liquidation_reports))
    watch.cancel()
    (report,) = gateway.liquidation_reports
    assert report.flat, report
    assert moments.refusing is not None
    await moments.refusing
    closes = {ref: at_ns for ref, at_ns in server.arrivals().items() if ":CLOSE_" in ref}
    assert len(closes) == EXTRA_SYMBOLS, closes
    return moments, max(closes.values())


def _watch(gateway: IBKRGateway, moments: Moments) -> Cancellable:
    loop = asyncio.get_running_loop()

    async def refuse() -> None:
        try:
            result = await gateway.submit_order(buy(QUANTITY), CONTEXT, timeout=WAIT_S)
        except GatewayNotConnectedError:
            pass
        else:
            assert result.status is OrderStatus.REJECTED, result
        moments.refused_ns = perf_counter_ns()

    def begin() -> None:
        moments.refusing = loop.create_task(refuse())

    def see(record: TapRecord) -> None:
        message, now_ns = record.message, perf_counter_ns()
        if isinstance(message, SessionEnded) and moments.lost_ns is None:
            moments.lost_ns = now_ns
            loop.call_soon_threadsafe(begin)
        elif isinstance(message, SessionOpened):
            moments.opened_ns = now_ns
        elif _is_connected(message) and moments.opened_ns and moments.reconciled_ns is None:
            moments.reconciled_ns = now_ns

    return gateway.process.tap(see)


def _is_connected(message: object) -> bool:
    return (
        isinstance(message, ConnectionStateChanged) and message.state is ConnectionState.CONNECTED
    )


def _gateway(port: int, state_dir: Path) -> IBKRGateway:
    config = a_config(
        journal=Journal(enabled=True),
        connection=Connection(first_delay_s=0.05, lasting_s=0.0),
    )
    return IBKRGateway(
        attrs.evolve(
            config,
            general=attrs.evolve(config.general, state_dir=str(state_dir)),
            gateway=attrs.evolve(config.gateway, endpoint="external", port=port),
        ),
        mode="paper",
    )


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)
