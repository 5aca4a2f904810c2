"""One crash point from beginning to end: gateway, wire, our process, its death, and the process after it."""

from __future__ import annotations

import asyncio
import datetime as dt
import multiprocessing
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import attrs

from tests.crash_points import trader
from tests.crash_points.places import CASH, GATEWAY_STATE, serve_gateway
from tests.crash_points.points import Kind, Point
from tests.crash_points.wire import Wire
from tests.crash_points.witness import (
    Broker,
    JournalContent,
    broken_promises,
    disagreements,
)

AGREE_WITHIN_S = 30.0
ASK_AGAIN_S = 0.05
ENDS_WITHIN_S = 300.0
OPTION_DAYS = 30

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

    point: Point | None
    process: ForkServerProcess | None = None
    counts: dict[Kind, int] = attrs.field(factory=lambda: dict.fromkeys(Kind, 0))

    def __call__(self, kind: Kind) -> bool:
        """Count a step; True when our process is dead now."""
        process = self.process
        if process is None:
            return False
        self.counts[kind] += 1
        if self.point != Point(kind, self.counts[kind]):
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
    counter: _Counter

    @property
    def broker(self) -> Broker:
        """The gateway's record as it stands."""
        return Broker.read(self.root / GATEWAY_STATE, CASH)

    async def run(self, point: Point | None) -> Outcome:
        """Trade until the crash; then let the next process find out, and finish."""
        counts, exit_code = await self._trade(point)
        reached = exit_code == -signal.SIGKILL
        faults = await self._recover()
        if not reached and exit_code != 0:
            faults.append(f"our process ended by itself, with exit code {exit_code}")
        journal = JournalContent.read(self.root / "orders.sqlite3")
        faults += broken_promises(self.broker, journal, (self.root / "log.jsonl").read_text())
        return Outcome(point, reached, tuple(faults), counts or {})

    async def _trade(self, point: Point | None) -> tuple[dict[Kind, int] | None, int | None]:
        """Run our process; returns the number of steps of each kind (None when it died) and the exit code."""
        async with process(trader.trade, self.root, self.port, expiry(), point) as (ours, pipe):
            self.counter.process = ours
            counts = await _answer(pipe)
            await asyncio.to_thread(ours.join, ENDS_WITHIN_S)
            self.counter.process = None
            exit_code = ours.exitcode
        if counts is None or "error" in counts:
            return None, exit_code
        return {kind: counts[kind] or self.counter.counts[kind] for kind in Kind}, exit_code

    async def _recover(self) -> list[str]:
        """Compare what the next process believes with the gateway's record, before it goes on and after."""
        async with process(trader.recover, self.root, self.port) as (ours, pipe):
            faults = await self._compare(pipe)
            told = await self._say(pipe, "go on") if not faults else None
            if told is not None:
                faults += disagreements(told, self.broker)
            elif not faults:
                faults.append("the next process died")
            await asyncio.to_thread(ours.join, ENDS_WITHIN_S)
        return faults

    async def _compare(self, pipe: Connection) -> list[str]:
        """Ask until we and the gateway agree: what is being filled now needs a moment to be told."""
        ends_at = asyncio.get_running_loop().time() + AGREE_WITHIN_S
        told = await _answer(pipe)
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
        except EOFError:
            return None

    return await asyncio.to_thread(read)


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


def expiry() -> str:
    """Name an expiry about a month away on which options are listed: a Friday."""
    day = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=OPTION_DAYS)
    return f"{day + dt.timedelta(days=(4 - day.weekday()) % 7):%Y%m%d}"


async def try_point(point: Point | None) -> Outcome:
    """Try one crash point in a directory of its own, which stays behind when something was wrong."""
    root = Path(tempfile.mkdtemp(prefix="crash-point-"))
    counter = _Counter(point)
    async with AsyncExitStack() as stack:
        _, pipe = await stack.enter_async_context(process(serve_gateway, root))
        wire = Wire(await _answer(pipe), counter)
        port = await wire.start()
        stack.push_async_callback(wire.stop)
        outcome = await Trial(root, port, counter).run(point)
    if outcome.faults:
        return attrs.evolve(outcome, faults=(*outcome.faults, f"see {root}"))
    shutil.rmtree(root)
    return outcome
