"""The simulated gateway as a warm, busily polling process, which tells when the bytes of each order arrived.

As a program: prints its port, then answers each line on stdin with one line of JSON: the arrivals since the last
question, as orderRef → nanoseconds of the clock that all processes of the machine share (`time.perf_counter_ns` on
Linux). The line "drop" first drops every connection.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading

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
EXTRA_SYMBOLS = 20


class Server(ServedProcess):
    """The handle of such a process."""

    def __init__(self, core: int | None, *, busy: bool = True) -> None:
        super().__init__(__name__, -1 if core is None else core, int(busy))

    def arrivals(self) -> dict[str, int]:
        """Tell when each order since the last question arrived, by orderRef."""
        arrived: dict[str, int] = self.ask("")
        return arrived

    def drop(self) -> None:
        """Reset every connection, as a gateway does that dies."""
        self.ask(DROP)


async def _serve() -> None:
    simulator = Simulator(SimulatorConfig(limits=UNLIMITED, extra_symbols=EXTRA_SYMBOLS))
    simulator.record_arrivals = True
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    print(await simulator.start(), flush=True)
    told = 0

    def answer(line: str) -> None:
        nonlocal told
        if line.strip() == DROP:
            simulator.faults.drop_connections()
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


def main(core: str, busy: str) -> None:
    """Serve until stdin ends."""
    logger.remove()
    pin_to(int(core))
    with asyncio.Runner(loop_factory=lambda: new_loop(busy_poll=busy == "1")) as runner:
        runner.run(_serve())


if __name__ == "__main__":
    main(*sys.argv[1:])
