"""The simulated gateway as a warm, busily polling process, which tells when the bytes of each order arrived.

As a program: prints its port, then answers each line on stdin with one line of JSON: the arrivals since the last
question, as orderRef → nanoseconds of the clock that all processes of the machine share (`time.perf_counter_ns` on
Linux). The line "drop" first drops every connection; "trade EXECUTIONS HELD" lets somebody else trade an hour ago, and
hold ten shares each of so many symbols.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from datetime import UTC, datetime, timedelta

from loguru import logger

from supervision.simulator import Simulator, SimulatorConfig
from supervision.simulator.config import Limits
from supervision.simulator.threaded import new_loop
from tests.benchmarks.cores import pin_to
from tests.benchmarks.served import ServedProcess

UNLIMITED = Limits(
    messages_per_second=0,
    market_data_lines=0,
    tick_by_tick=0,
    history_per_ten_minutes=0,
    history_identical_s=0.0,
    history_open=0,
)

DROP = "drop"
TRADE = "trade"
EXTRA_SYMBOLS = 20


class Server(ServedProcess):
    """The handle of such a process."""

    def __init__(
        self, core: int | None, *, busy: bool = True, extra_symbols: int = EXTRA_SYMBOLS
    ) -> None:
        super().__init__(__name__, -1 if core is None else core, int(busy), extra_symbols)

    def arrivals(self) -> dict[str, int]:
        """Tell when each order since the last question arrived, by orderRef."""
        arrived: dict[str, int] = self.ask("")
        return arrived

    def drop(self) -> None:
        """Reset every connection, as a gateway does that dies."""
        self.ask(DROP)

    def trade(self, executions: int, held: int) -> None:
        """Let somebody else have traded and hold positions."""
        self.ask(f"{TRADE} {executions} {held}")


class HourAgo:
    """The time of day, or an hour before."""

    def __init__(self) -> None:
        self.is_on = False

    def now(self) -> datetime:
        """Tell the time."""
        return datetime.now(UTC) - timedelta(hours=self.is_on)


def _trade(simulator: Simulator, clock: HourAgo, executions: int, held: int) -> None:
    clock.is_on = True
    for number in range(executions):
        simulator.faults.trade_elsewhere("QQQ", 1 if number % 2 else -1)
    clock.is_on = False
    for number in range(1, held + 1):
        simulator.faults.trade_elsewhere(f"SYM{number:03d}", 10)


async def _serve(extra_symbols: int) -> None:
    clock = HourAgo()
    config = SimulatorConfig(limits=UNLIMITED, extra_symbols=extra_symbols)
    simulator = Simulator(config, now=clock.now)
    simulator.record_arrivals = True
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    print(await simulator.start(), flush=True)
    told = 0

    def answer(line: str) -> None:
        nonlocal told
        if line.strip() == DROP:
            simulator.faults.drop_connections()
        if line.startswith(TRADE):
            _trade(simulator, clock, *map(int, line.split()[1:]))
        entries = simulator.ledger[told:]
        told += len(entries)
        print(json.dumps({entry.order_ref: entry.arrived_ns for entry in entries}), flush=True)

    def listen() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(answer, line)
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=listen, daemon=True).start()
    await ended.wait()
    await simulator.stop()


def main(core: str, busy: str, extra_symbols: str) -> None:
    """Serve until stdin ends."""
    logger.remove()
    pin_to(int(core))
    with asyncio.Runner(loop_factory=lambda: new_loop(busy_poll=busy == "1")) as runner:
        runner.run(_serve(int(extra_symbols)))


if __name__ == "__main__":
    main(*sys.argv[1:])
