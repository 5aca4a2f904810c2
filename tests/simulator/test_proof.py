"""The gateway and an unmodified client in one loop on virtual time: the same run every time."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import Any

import ib_insync
import pytest

from supervision.proof.loop import Proof, run_proof
from supervision.simulator import Simulator, SimulatorConfig

from .wire import open_wire, order

EPOCH = dt.datetime(2026, 3, 4, 15, 30, 20, tzinfo=dt.UTC)


def _clock(proof: Proof) -> Callable[[], dt.datetime]:
    return lambda: EPOCH + dt.timedelta(seconds=proof.loop.time())


async def _session(simulator: Simulator) -> bytes:
    wire = await open_wire(simulator.port)
    wire.send(6, 2, 1, "")
    wire.send(*order(1, "BUY", 300))
    wire.send(*order(2, "BUY", 300, "LMT", limit=500))
    await wire.quiet()
    simulator.faults.nightly_reset(30.0)
    assert await wire.closed()
    with pytest.raises(ConnectionRefusedError):
        await open_wire(simulator.port)
    await asyncio.sleep(31.0)
    again = await open_wire(simulator.port)
    simulator.faults.latency(0.5)
    again.send(*order(3, "SELL", 100))
    await again.quiet(2.0)
    simulator.faults.drop_connections()
    return bytes(wire.raw) + bytes(again.raw)


async def _whole(proof: Proof) -> tuple[bytes, float]:
    begun = proof.loop.time()
    simulator = Simulator(SimulatorConfig(), now=_clock(proof))
    await simulator.start()
    data = await _session(simulator)
    await simulator.stop()
    return data, proof.loop.time() - begun


@pytest.mark.req("SIM-3")
def test_session_in_the_proof_loop_is_the_same_every_time() -> None:
    first = run_proof(_whole, seed=1)

    assert len(first[0]) > 5000
    assert first[1] > 31
    assert [run_proof(_whole, seed=1) == first for _ in range(3)] == [True] * 3


@pytest.mark.req("SIM-1", "SIM-3")
def test_ib_insync_trades_in_the_proof_loop() -> None:
    async def scenario(proof: Proof) -> list[Any]:
        simulator = Simulator(SimulatorConfig(), now=_clock(proof))
        await simulator.start()
        library: Any = ib_insync
        ib = library.IB()
        await ib.connectAsync("127.0.0.1", simulator.port, clientId=3)
        spy = library.Stock("SPY", "SMART", "USD")
        await ib.qualifyContractsAsync(spy)
        bars = await ib.reqHistoricalDataAsync(spy, "", "3600 S", "1 min", "TRADES", True)
        trade = ib.placeOrder(spy, library.MarketOrder("BUY", 10))
        await asyncio.sleep(1.0)
        ib.disconnect()
        await simulator.stop()
        return [len(bars), bars[-1].close, trade.orderStatus.status]

    bars, close, status = run_proof(scenario, seed=2)

    assert (bars, status) == (60, "Filled")
    assert 500 < close < 700
