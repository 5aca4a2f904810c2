"""The simulated gateway as a process that pours ticks: it serves everything, and ticks come when it is told.

As a program: prints its port, then answers each line of JSON on stdin with one. Ticks carry a number where the size of
the bid stands: the step of the pouring in which they were written. In step n the symbols of slot n mod ``SLOTS`` tick.
Times are nanoseconds of the clock that all processes of the machine share (`time.perf_counter_ns` on Linux).
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from typing import Any, Final

import attrs
from loguru import logger

from supervision.simulator import Simulator, SimulatorConfig
from supervision.simulator.frames import encode
from supervision.simulator.session import Session
from supervision.simulator.threaded import new_loop
from tests.benchmarks.cores import pin_to
from tests.benchmarks.served import ServedProcess
from tests.benchmarks.server import UNLIMITED

SYMBOLS: Final = tuple(f"SYM{number:03}" for number in range(1, 501))
SLOTS: Final = 50
POURED_SPREAD: Final = 0.99
"""Between the ask and the bid of poured ticks lies more than this; between those of the simulator's own much less."""

TRADE_EVERY: Final = 5
"""Every so many changes of bid and ask of a symbol there is a trade."""

_SILENT_S: Final = 86_400.0
_EPOCH: Final = "1767225600"
_UNSENT_BYTES: Final = 256 * 1024
_LOOK_AGAIN_S: Final = 0.0002
_REQUEST, _CANCEL = "97", "98"


class TickServer(ServedProcess):
    """The handle of such a process."""

    def __init__(self, core: int | None) -> None:
        super().__init__(__name__, -1 if core is None else core)

    def pour(self, ticks_each_s: float) -> None:
        """Let each symbol tick so often from now on."""
        self._ask("pour", ticks_each_s)

    def stop(self) -> list[int]:
        """Stop pouring; returns when each step was written, by its number (0 was none)."""
        sent: list[int] = self._ask("stop", 0)
        return sent

    def flood(self, steps: int) -> int:
        """Write so many steps as fast as they are read; returns how many ticks that are, and returns at once."""
        count: int = self._ask("flood", steps)
        return count

    def arrivals(self) -> dict[str, int]:
        """Tell when each order since the last question arrived, by orderRef."""
        arrived: dict[str, int] = self._ask("arrivals", 0)
        return arrived

    def subscriptions(self) -> int:
        """Count the tick-by-tick subscriptions that are open."""
        count: int = self._ask("subscriptions", 0)
        return count

    def _ask(self, command: str, value: float) -> Any:
        return self.ask(json.dumps([command, value]))


@attrs.define
class _Subscriber:
    """The request ids of one session, by symbol; of the two kinds of ticks."""

    bid_ask: dict[str, str] = attrs.field(factory=dict)
    trades: dict[str, str] = attrs.field(factory=dict)

    def forget(self, request_id: str) -> None:
        for held in (self.bid_ask, self.trades):
            for symbol in [name for name, found in held.items() if found == request_id]:
                del held[symbol]


class _Pouring:
    """Writes ticks to whoever subscribed, beside the simulator's own."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._subscribers: dict[Session, _Subscriber] = {}
        self._sent_ns: list[int] = [0]
        self._timer: asyncio.TimerHandle | None = None
        self._dispatch = simulator.dispatch
        simulator.dispatch = self._listen  # type: ignore[method-assign]  # to learn who wants what

    def _listen(self, session: Session, values: list[str]) -> None:
        if values[0] == _REQUEST:
            held = self._subscribers.setdefault(session, _Subscriber())
            contract = self._simulator.universe.by_con_id(int(values[2]))
            assert contract is not None
            kind = held.bid_ask if values[-3] == "BidAsk" else held.trades
            kind[contract.symbol] = values[1]
        elif values[0] == _CANCEL and session in self._subscribers:
            self._subscribers[session].forget(values[1])
        self._dispatch(session, values)

    def subscriptions(self) -> int:
        """Count what is subscribed."""
        live = {id(session) for session in self._simulator.ready_sessions()}
        return sum(
            len(held.bid_ask) + len(held.trades)
            for session, held in self._subscribers.items()
            if id(session) in live
        )

    def begin(self, ticks_each_s: float) -> None:
        """Pour at a steady rate."""
        self._sent_ns = [0]
        loop = asyncio.get_running_loop()
        every_s, began = 1.0 / (ticks_each_s * SLOTS), loop.time()

        def step() -> None:
            number = len(self._sent_ns)
            self._write(number)
            self._timer = loop.call_at(began + number * every_s, step)

        step()

    def stop(self) -> list[int]:
        """End it."""
        if self._timer is not None:
            self._timer.cancel()
        return self._sent_ns

    def flood(self, steps: int) -> int:
        """Pour as fast as is read."""
        self._sent_ns = [0]
        loop = asyncio.get_running_loop()
        self._subscribers = {it: held for it, held in self._subscribers.items() if it.ready}

        def more() -> None:
            while len(self._sent_ns) <= steps:
                if any(_unsent(session) > _UNSENT_BYTES for session in self._subscribers):
                    loop.call_later(_LOOK_AGAIN_S, more)
                    return
                self._write(len(self._sent_ns))

        loop.call_soon(more)
        return sum(len(list(_ticking(number))) for number in range(1, steps + 1))

    def _write(self, number: int) -> None:
        live = self._simulator.ready_sessions()
        for session, held in self._subscribers.items():
            if session in live:
                frames = [
                    encode(_fields(held, symbol, kind, number))
                    for symbol, kind in _ticking(number)
                    if symbol in held.bid_ask
                ]
                _transport(session).write(b"".join(frames))
        self._sent_ns.append(time.perf_counter_ns())


def _ticking(number: int) -> list[tuple[str, str]]:
    """What ticks in a step: symbol and kind."""
    symbols = SYMBOLS[number % SLOTS :: SLOTS]
    ticks = [(symbol, "3") for symbol in symbols]
    if number // SLOTS % TRADE_EVERY == 0:
        ticks += [(symbol, "1") for symbol in symbols]
    return ticks


def _fields(held: _Subscriber, symbol: str, kind: str, number: int) -> tuple[str, ...]:
    cents = number % 100
    if kind == "1":
        price = f"100.{cents:02}"
        return ("99", held.trades[symbol], "1", _EPOCH, price, "100", "0", "NASDAQ", "")
    bid, ask = f"100.{cents:02}", f"101.{cents:02}"
    return ("99", held.bid_ask[symbol], "3", _EPOCH, bid, ask, str(number), "300", "0")


def _transport(session: Session) -> asyncio.Transport:
    transport = session._transport
    assert transport is not None
    return transport


def _unsent(session: Session) -> int:
    return _transport(session).get_write_buffer_size()


async def _serve() -> None:
    config = SimulatorConfig(
        limits=UNLIMITED, extra_symbols=len(SYMBOLS), tick_interval_s=_SILENT_S
    )
    simulator = Simulator(config)
    simulator.record_arrivals = True
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    print(await simulator.start(), flush=True)
    pouring = _Pouring(simulator)
    told = 0

    def arrivals() -> dict[str, int]:
        nonlocal told
        entries = simulator.ledger[told:]
        told += len(entries)
        return {entry.order_ref: entry.arrived_ns for entry in entries}

    def answer(line: str) -> None:
        command, value = json.loads(line)
        said: Any = None
        if command == "pour":
            pouring.begin(value)
        elif command == "stop":
            said = pouring.stop()
        elif command == "flood":
            said = pouring.flood(value)
        elif command == "subscriptions":
            said = pouring.subscriptions()
        else:
            said = arrivals()
        print(json.dumps(said), flush=True)

    def listen() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(answer, line)
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=listen, daemon=True).start()
    await ended.wait()
    await simulator.stop()


def main(core: str) -> None:
    """Serve until stdin ends."""
    logger.remove()
    pin_to(int(core))
    with asyncio.Runner(loop_factory=lambda: new_loop(busy_poll=True)) as runner:
        runner.run(_serve())


if __name__ == "__main__":
    main(*sys.argv[1:])
