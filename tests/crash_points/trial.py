"""One crash point from beginning to end: gateway, wire, our process, its death, and the process after it."""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from typing import Any

import attrs

from supervision.store.journal_lock import JOURNAL_FILE
from tests.crash_points import trader
from tests.crash_points.days import EVENING, MORNING, SETTINGS
from tests.crash_points.places import CASH, GATEWAY_STATE, SharedClock, serve_gateway
from tests.crash_points.points import Day, Kind, Point, is_at
from tests.crash_points.wire import Wire
from tests.crash_points.witness import (
    Broker,
    JournalContent,
    broken_promises,
    disagreements,
    is_latched,
)

AGREE_WITHIN_S = 30.0
ASK_AGAIN_S = 0.05
LOOK_S = 0.005
ENDS_WITHIN_S = 300.0

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.crash_points.trial"])
"""Each process is forked from one that has imported everything and started nothing: a start costs a tenth."""


@attrs.frozen
class Outcome:
    """What one trial found. ``reached``: the process did die at the point; ``counts``: the steps of a whole run."""

    point: Point | None
    reached: bool
    faults: tuple[str, ...]
    counts: dict[Kind, int]


@attrs.define
class _Counter:
    """Counts the messages on the wire, and kills our process at one of them."""

    point: Point | None = None
    process: ForkServerProcess | None = None
    counts: dict[Kind, int] = attrs.field(factory=lambda: dict.fromkeys(Kind, 0))

    def begin(self, process: ForkServerProcess, point: Point | None) -> None:
        """Count for a process from now on."""
        self.process, self.point = process, point
        self.counts = dict.fromkeys(Kind, 0)

    def __call__(self, kind: Kind) -> bool:
        """Count a step; True when our process is dead now."""
        process = self.process
        if process is None:
            return False
        self.counts[kind] += 1
        if not is_at(self.point, kind, self.counts[kind]):
            return False
        process.kill()
        process.join()
        self.process = None
        return True


@attrs.define
class Trial:
    """The processes and files of one crash point."""

    root: Path
    port: int
    clock: SharedClock
    day: Day
    counter: _Counter

    @property
    def broker(self) -> Broker:
        """The gateway's record as it stands."""
        return Broker.read(self.root / GATEWAY_STATE, CASH)

    @property
    def _is_over_night(self) -> bool:
        return self.day is Day.OVER_NIGHT and self.clock.now() >= EVENING

    async def run(self, point: Point | None) -> Outcome:
        """Trade until the crash; then let the next process find out, and finish."""
        counts, exit_code = await self._trade(point)
        reached = exit_code == -signal.SIGKILL
        if point is not None and point.number % 2 and self._is_over_night:
            self.clock.go_to(
                MORNING
            )  # half of the deaths in the evening are noticed after the open
        died_again = point is None or point.then is None or await self._die_again(point.then)
        was_latched = is_latched(self.root / JOURNAL_FILE)
        faults = await self._recover(was_latched)
        if not reached and exit_code != 0:
            faults.append(f"our process ended by itself, with exit code {exit_code}")
        journal = JournalContent.read(self.root / JOURNAL_FILE)
        faults += broken_promises(self.broker, journal, (self.root / "log.jsonl").read_text())
        return Outcome(point, reached and died_again, tuple(faults), counts or {})

    async def _trade(self, point: Point | None) -> tuple[dict[Kind, int] | None, int | None]:
        """Run our process; returns the number of steps of each kind (None when it died) and the exit code."""
        arguments = (self.root, self.port, self.clock, self.day, point)
        async with process(trader.trade, *arguments) as (ours, pipe):
            self.counter.begin(ours, point)
            counts = await _answer(pipe)
            await _ended(ours)
            self.counter.process = None
            exit_code = ours.exitcode
        if counts is None or "error" in counts:
            return None, exit_code
        return {kind: counts[kind] or self.counter.counts[kind] for kind in Kind}, exit_code

    async def _recover(self, was_latched: bool) -> list[str]:
        """Compare what the next process believes with the gateway's record, before it goes on and after."""
        async with process(trader.recover, self.root, self.port, self.clock, None) as (ours, pipe):
            faults = await self._compare(pipe, was_latched)
            if faults:
                return faults
            told = await self._say(pipe, "go on")
            if told is None:
                return ["the next process died"]
            await _ended(ours)
        return disagreements(told, self.broker)

    async def _die_again(self, point: Point) -> bool:
        """Let the next process begin to find out and to finish, and die at a step of its own; True when it did."""
        arguments = (self.root, self.port, self.clock, point)
        async with process(trader.recover, *arguments) as (ours, pipe):
            self.counter.begin(ours, point)
            with suppress(BrokenPipeError):
                if await _answer(pipe) is not None:
                    await self._say(pipe, "go on")
            await _ended(ours)
            self.counter.process = None
            return ours.exitcode == -signal.SIGKILL

    async def _compare(self, pipe: Connection, was_latched: bool) -> list[str]:
        """Ask until we and the gateway agree: what is being filled now needs a moment to be told."""
        ends_at = asyncio.get_running_loop().time() + AGREE_WITHIN_S
        told = await _answer(pipe)
        if told is not None and was_latched and not told.get("latched", True):
            return ["the liquidation that had begun was forgotten"]
        while told is not None:
            faults = disagreements(told, self.broker)
            if not faults or "error" in told or asyncio.get_running_loop().time() > ends_at:
                return faults
            await asyncio.sleep(ASK_AGAIN_S)
            told = await self._say(pipe, "again")
        return ["the next process died"]

    async def _say(self, pipe: Connection, word: str) -> Any:
        pipe.send(word)
        return await _answer(pipe)


async def _answer(pipe: Connection) -> Any:
    """Read what a process says; None when it died without a word."""

    def read() -> Any:
        try:
            return pipe.recv() if pipe.poll(ENDS_WITHIN_S) else {"error": "no word in time"}
        except (EOFError, ConnectionResetError):
            return None

    return await asyncio.to_thread(read)


async def _ended(process: ForkServerProcess) -> None:
    """Wait for the end of a process, in the loop's own thread.

    Whenever a process is started multiprocessing looks after all others, and of two threads that look after one at the
    same time, one gets its exit code wrong.
    """
    ends_at = asyncio.get_running_loop().time() + ENDS_WITHIN_S
    while process.exitcode is None and asyncio.get_running_loop().time() < ends_at:
        await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def process(
    target: Callable[..., None], *arguments: Any
) -> AsyncIterator[tuple[ForkServerProcess, Connection]]:
    """Start a process with a pipe to it, and kill what is left of it in the end."""
    here, there = _CONTEXT.Pipe()
    started = _CONTEXT.Process(target=target, args=(*arguments, there), daemon=True)
    started.start()
    there.close()
    try:
        yield started, here
    finally:
        started.kill()
        started.join()
        here.close()


async def try_point(day: Day, point: Point | None = None) -> Outcome:
    """Try one crash point of a day in a directory of its own, which stays behind when something was wrong."""
    root = Path(tempfile.mkdtemp(prefix="crash-point-"))
    clock = SharedClock(RawValue(ctypes.c_double, 0.0))
    setting, counter = SETTINGS[day], _Counter()
    if setting.begins_at is not None:
        clock.begin_at(setting.begins_at)
    async with AsyncExitStack() as stack:
        serving = process(serve_gateway, root, clock, setting.hours)
        _, pipe = await stack.enter_async_context(serving)
        wire = Wire(await _answer(pipe), counter)
        port = await wire.start()
        stack.push_async_callback(wire.stop)
        outcome = await Trial(root, port, clock, day, counter).run(point)
    if outcome.faults:
        return attrs.evolve(outcome, faults=(*outcome.faults, f"see {root}"))
    shutil.rmtree(root)
    return outcome
