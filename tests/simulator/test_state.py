"""What survives the gateway, and the gateway as a thread and as a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from supervision.simulator import SimulatorConfig, StateError, ThreadedSimulator, read_ledger

from .wire import SPY, gateway, open_wire, order, run, stock


@pytest.mark.req("SIM-5")
def test_restarted_gateway_knows_positions_orders_executions_and_ids(tmp_path: Path) -> None:
    file = tmp_path / "state.jsonl"

    async def body() -> None:
        async with gateway(state_file=file) as simulator:
            wire = await open_wire(simulator.port, 3)
            wire.send(*order(4, "BUY", 100))
            wire.send(*order(5, "BUY", 10, "LMT", limit=500))
            await wire.quiet()
            simulator.faults.correct_execution(simulator.executions()[0].exec_id, price=599.0)
            before = simulator
        async with gateway(state_file=file) as again:
            assert again.positions() == before.positions()
            assert again.cash == before.cash
            assert again.executions() == before.executions()
            assert again.ledger == before.ledger
            wire = await open_wire(again.port, 3)
            assert wire.next_id == 6
            assert [message[0] for message in wire.greeting[:3]] == ["5", "3", "53"]
            again.faults.move_price("SPY", 0.5)
            fills = [message for message in await wire.quiet() if message[0] == "11"]
            assert len(fills) == 1
            assert again.positions()[SPY].quantity == 110

    run(body)


@pytest.mark.req("SIM-5")
def test_torn_last_line_is_dropped_and_damage_elsewhere_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "state.jsonl"

    async def body() -> int:
        async with gateway(state_file=file) as simulator:
            wire = await open_wire(simulator.port)
            wire.send(*order(1))
            await wire.quiet()
        whole = file.read_bytes()
        file.write_bytes(whole + b'[["order",{"perm')
        async with gateway(state_file=file) as again:
            wire = await open_wire(again.port)
            wire.send(*order(2))
            await wire.quiet()
        assert len(read_ledger(file)) == 2
        file.write_bytes(b"nonsense\n" + whole)
        return len(whole)

    run(body)

    with pytest.raises(StateError, match="line 1"):
        read_ledger(file)


@pytest.mark.req("SIM-3")
def test_same_seed_and_same_client_give_the_same_bytes() -> None:
    async def body() -> bytes:
        async with gateway(extra_symbols=5, max_fill_quantity=40, slice_delay_s=0.5) as simulator:
            wire = await open_wire(simulator.port)
            wire.send(61, 1)
            wire.send(6, 2, 1, "")
            wire.send(1, 11, 50, *stock(), 0, "", 0, 0, "")
            wire.send(97, 51, *stock("SYM003"), "AllLast", 0, 0)
            for index in range(1, 6):
                wire.send(*order(index, "BUY", 100 * index, contract=stock("QQQ")))
                await asyncio.sleep(0.7)
            simulator.faults.connectivity_lost()
            await asyncio.sleep(3.0)
            await wire.quiet(0.1)
            return bytes(wire.raw)

    first = run(body)

    assert len(first) > 10_000
    assert [run(body) == first for _ in range(3)] == [True] * 3


@pytest.mark.req("SIM-3")
def test_another_seed_gives_other_prices() -> None:
    async def body(seed: int) -> list[float]:
        async with gateway(seed=seed) as simulator:
            return [bar.close for bar in simulator.market.bars(simulator.universe.stocks[0], 5)]

    assert run(lambda: body(7)) == run(lambda: body(7))
    assert run(lambda: body(7)) != run(lambda: body(8))


# A thread of its own ----------------------------------------------------------------------------


async def _fill(port: int, client_id: int = 1) -> None:
    wire = await open_wire(port, client_id)
    wire.send(*order(wire.next_id))
    await wire.until("59")
    wire.close()


@pytest.mark.req("SIM-1")
def test_gateway_in_a_thread_serves_and_takes_commands() -> None:
    threaded = ThreadedSimulator()
    port = threaded.start()
    try:
        asyncio.run(_fill(port))
        threaded.faults.move_price("SPY", 2.0)

        assert threaded.port == port
        assert len(threaded.ledger) == 1
        assert threaded.call(lambda simulator: simulator.positions()[SPY].quantity) == 100
        with pytest.raises(ValueError, match="factor"):
            threaded.faults.move_price("SPY", -1.0)
    finally:
        threaded.stop()
    assert len(threaded.ledger) == 1


@pytest.mark.req("SIM-4")
def test_killed_gateway_resets_its_sockets_and_refuses() -> None:
    threaded = ThreadedSimulator(SimulatorConfig(seed=3))
    port = threaded.start()

    async def body() -> bool:
        wire = await open_wire(port)
        await asyncio.to_thread(threaded.kill)
        with pytest.raises(ConnectionRefusedError):
            await open_wire(port)
        return await wire.closed()

    assert asyncio.run(body())


def test_gateway_that_cannot_start_says_why() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = SimulatorConfig(port=taken.getsockname()[1])
        with pytest.raises(OSError, match="address"):
            ThreadedSimulator(config).start()


# A process of its own ---------------------------------------------------------------------------


class Process:
    """The gateway as a program."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "supervision.simulator", "--port", "0", *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        self.port = int(self.line.rpartition(":")[2] or 0)

    def end(self, kind: signal.Signals) -> int:
        self.process.send_signal(kind)
        code = self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.mark.req("SIM-5")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_state_survives_kill_nine(tmp_path: Path) -> None:
    file = tmp_path / "state.jsonl"

    async def trade(port: int) -> None:
        wire = await open_wire(port)
        wire.send(*order(1))
        wire.send(*order(2, "BUY", 10, "LMT", limit=500, ref="resting"))
        await wire.until("59")
        while (await wire.until("3"))[-1][1] != "2":
            pass

    async def look(port: int) -> tuple[int, list[list[str]]]:
        wire = await open_wire(port)
        wire.send(61, 1)
        return wire.next_id, wire.greeting[:1] + await wire.until("62")

    first = Process("--state", str(file))
    asyncio.run(trade(first.port))
    first.end(signal.SIGKILL)
    second = Process("--state", str(file))
    next_id, messages = asyncio.run(look(second.port))
    code = second.end(signal.SIGTERM)

    assert first.line.startswith("simulated gateway listening on 127.0.0.1:")
    assert next_id == 3
    assert messages[0][23] == "resting"
    assert messages[1][14] == "100"
    assert [entry.outcome for entry in read_ledger(file)] == ["accepted", "accepted"]
    assert code == 0


@pytest.mark.req("SIM-1")
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_busy_polling_process_records_arrivals_and_ends_with_zero(tmp_path: Path) -> None:
    file = tmp_path / "state.jsonl"
    process = Process("--state", str(file), "--busy-poll", "--unlimited", "--account", "DU5")
    asyncio.run(_fill(process.port))
    code = process.end(signal.SIGINT)
    [entry] = read_ledger(file)

    assert entry.arrived_ns > 0
    assert code == 0


@pytest.mark.req("SIM-4")
def test_process_refuses_bad_input_with_exit_code_two(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.toml"
    scenario.write_text('[[fault]]\nat_s = 1\nkind = "x"\n', encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "supervision.simulator", "--port", "0", "--scenario", str(scenario)],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ},
    )

    assert done.returncode == 2
    assert "unknown kind 'x'" in done.stderr


@pytest.mark.req("SIM-1")
def test_gateway_loads_nothing_of_the_client_side() -> None:
    program = (
        "import sys, supervision.simulator.server\n"
        "bad = [m for m in sys.modules if m.split('.')[0] in ('actors', 'ib_insync', 'pykka')]\n"
        "own = [m for m in sys.modules if m.startswith('supervision.') "
        "and not m.startswith('supervision.simulator')]\n"
        "sys.exit(bool(bad or own))\n"
    )

    assert subprocess.run([sys.executable, "-c", program], timeout=30).returncode == 0
