"""The simulated gateway in a thread of its own, for callers that have no loop to lend."""

from __future__ import annotations

import asyncio
import datetime as dt
import selectors
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from .config import SimulatorConfig
from .ledger import LedgerEntry
from .server import Simulator, utc_now

T = TypeVar("T")
_JOIN_S = 10.0


class BusySelector(selectors.DefaultSelector):
    """A selector that never sleeps, so that a benchmark does not measure waking up."""

    def select(
        self,
        timeout: float | None = None,  # noqa: ARG002 - the selector's signature
    ) -> list[tuple[selectors.SelectorKey, int]]:
        """Look for ready sockets and return at once."""
        return super().select(0)


def new_loop(*, busy_poll: bool = False) -> asyncio.AbstractEventLoop:
    """A loop that serves sockets on every platform; `busy_poll` makes it poll without sleeping."""
    if busy_poll:
        return asyncio.SelectorEventLoop(BusySelector())
    return asyncio.SelectorEventLoop()


class ThreadedSimulator:
    """A `Simulator` in a daemon thread. Every method may be called from any thread."""

    def __init__(
        self,
        config: SimulatorConfig | None = None,
        now: Callable[[], dt.datetime] = utc_now,
        *,
        busy_poll: bool = False,
    ) -> None:
        self._config = config or SimulatorConfig()
        self._now = now
        self._busy_poll = busy_poll
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._simulator: Simulator | None = None
        self._end: asyncio.Event | None = None

    def start(self, timeout_s: float = 10.0) -> int:
        """Start the thread; returns the port, raises what `Simulator.start` raises."""
        ready: Future[int] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(ready,), name="simulated-gateway", daemon=True
        )
        self._thread.start()
        return ready.result(timeout_s)

    def stop(self) -> None:
        """Close everything in order and wait for the thread."""
        self._finish(lambda: None)

    def kill(self) -> None:
        """Reset all sockets, stop listening, and end the thread, as if the process had died."""
        self._finish(lambda: self._running().kill())

    def call(self, act: Callable[[Simulator], T], timeout_s: float = 10.0) -> T:
        """Run `act` in the gateway's thread and return its result."""
        if self._loop is None:
            raise RuntimeError("the simulator is not running")
        result: Future[T] = Future()

        def run() -> None:
            try:
                result.set_result(act(self._running()))
            except Exception as error:  # noqa: BLE001 - handed to the caller
                result.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return result.result(timeout_s)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._running().port

    @property
    def ledger(self) -> tuple[LedgerEntry, ...]:
        """Every order message received; readable after the end, too."""
        if self._loop is None:
            return self._running().ledger
        return self.call(lambda simulator: simulator.ledger)

    @property
    def faults(self) -> RemoteFaults:
        """The fault commands, each run in the gateway's thread."""
        return RemoteFaults(self)

    def _running(self) -> Simulator:
        if self._simulator is None:
            raise RuntimeError("the simulator has not been started")
        return self._simulator

    def _run(self, ready: Future[int]) -> None:
        loop = new_loop(busy_poll=self._busy_poll)
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(self._serve(ready))

    async def _serve(self, ready: Future[int]) -> None:
        try:
            simulator = Simulator(self._config, self._now)
            simulator.record_arrivals = self._busy_poll
            self._end = asyncio.Event()
            port = await simulator.start()
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            ready.set_exception(error)
            return
        self._simulator = simulator
        self._loop = asyncio.get_running_loop()
        ready.set_result(port)
        await self._end.wait()
        self._loop = None
        await simulator.stop()

    def _finish(self, first: Callable[[], None]) -> None:
        if self._loop is None or self._thread is None or self._end is None:
            return
        self.call(lambda _: first())
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(_JOIN_S)


class RemoteFaults:
    """`Faults` and `OrderFaults` from another thread: the same methods, the same arguments."""

    def __init__(self, simulator: ThreadedSimulator) -> None:
        self._simulator = simulator

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def command(*args: Any, **kwargs: Any) -> Any:
            def act(simulator: Simulator) -> Any:
                ours = simulator.order_faults
                faults = ours if hasattr(ours, name) else simulator.faults
                return getattr(faults, name)(*args, **kwargs)

            return self._simulator.call(act)

        return command
