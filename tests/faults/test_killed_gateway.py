"""Real processes, killed by real signals: the gateway's, and our own (STC-2, STC-3, STC-4)."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from supervision.simulator import LedgerEntry, read_ledger

HELD = 40.0
HEARTBEAT_S = 0.2
HEARTBEAT_TIMEOUT_S = 1.0
MISSED_BEATS = 2
SILENCE_LIMIT_S = HEARTBEAT_S + MISSED_BEATS * HEARTBEAT_TIMEOUT_S
SLACK_S = 1.0
"""For two busy cores; what is meant is "at once"."""

needs_signals = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")

CONFIG = """
[general]
state_dir = {state_dir}
cycle_s = 3600.0
[gateway]
endpoint = "external"
port = {port}
timeout_s = 5.0
[connection]
heartbeat_s = {heartbeat_s}
heartbeat_timeout_s = {heartbeat_timeout_s}
missed_beats = {missed_beats}
retries = 1000
first_delay_s = 0.02
max_delay_s = 0.1
breaker_open_s = 0.1
[connection.maintenance]
enabled = false
[risk]
risk_per_trade_ratio = 1.0
duplicate_window_s = 0.0
[logging]
console = false
"""


@attrs.define
class Place:
    """A directory with everything in it: the gateway's state, our journal, the configuration."""

    root: Path
    port: int = 0
    processes: list[subprocess.Popen[str]] = attrs.field(factory=list)

    @property
    def state(self) -> Path:
        """The simulated gateway's file."""
        return self.root / "gateway.state"

    @property
    def config(self) -> Path:
        """Our configuration."""
        return self.root / "config.toml"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a Python process that ends with the test."""
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(self.root / "stderr").open("a"),
            text=True,
        )
        self.processes.append(process)
        return process

    def start_gateway(self) -> subprocess.Popen[str]:
        """Start the simulated gateway on its state; the second time on the same port."""
        gateway = self.start(
            "-m", "supervision.simulator", "--state", str(self.state), "--port", str(self.port)
        )
        assert gateway.stdout is not None
        self.port = int(gateway.stdout.readline().rpartition(":")[2])
        self.config.write_text(
            CONFIG.format(
                state_dir=json.dumps(str(self.root)),
                port=self.port,
                heartbeat_s=HEARTBEAT_S,
                heartbeat_timeout_s=HEARTBEAT_TIMEOUT_S,
                missed_beats=MISSED_BEATS,
            )
        )
        return gateway

    def start_trader(self) -> Trader:
        """Start an orchestrator with the facade in it, and wait until it is connected."""
        trader = Trader(self.start("-m", "tests.faults.trader", str(self.config)))
        assert trader.read() == {"ready": True}
        return trader

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command of ours."""
        return subprocess.run(
            [sys.executable, "-m", "supervision", *arguments, "--config", str(self.config)],
            capture_output=True,
            text=True,
            check=False,
        )

    def latch(self) -> tuple[int, str, str] | None:
        """Read the latch from the journal, as another process: on or off, the reason, and who."""
        with sqlite3.connect(self.root / "orders.sqlite3") as journal:
            row: tuple[int, str, str] | None = journal.execute(
                "SELECT latched, reason, who FROM latch ORDER BY seq DESC LIMIT 1"
            ).fetchone()
        journal.close()
        return row

    def is_latched(self) -> bool:
        """Tell whether the journal says so."""
        row = self.latch()
        return row is not None and bool(row[0])

    def closes(self) -> list[LedgerEntry]:
        """The closing orders that the gateway received."""
        return [
            entry
            for entry in read_ledger(self.state)
            if entry.kind == "place" and ":CLOSE_" in entry.order_ref
        ]

    def held(self) -> float:
        """What the gateway's executions add up to."""
        total = 0.0
        for line in self.state.read_text().splitlines():
            for kind, record in json.loads(line):
                if kind == "execution":
                    total += record["quantity"] * (1 if record["side"] == "BOT" else -1)
        return total

    def assert_closed_once(self) -> None:
        """Check the gateway's own record: one close, for all that was held, and nothing is left."""
        assert [entry.quantity for entry in self.closes()] == [HELD]
        self.assert_sold_once()

    def assert_sold_once(self) -> None:
        """Check the gateway's own record: nothing is left, and no order came twice."""
        assert self.held() == 0.0
        references = Counter(item.order_ref for item in read_ledger(self.state) if item.order_ref)
        assert set(references.values()) == {1}


@attrs.define
class Trader:
    """The other end of `tests.faults.trader`."""

    process: subprocess.Popen[str]

    def read(self) -> dict[str, Any]:
        """Read one answer."""
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def ask(self, name: str, argument: float = 0.0) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([name, argument]) + "\n")
        self.process.stdin.flush()
        return self.read()


@contextmanager
def place(root: Path) -> Iterator[Place]:
    """Set up a directory, and kill what still runs in the end."""
    made = Place(root)
    try:
        yield made
    finally:
        for process in made.processes:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def until(condition: Callable[[], bool], within_s: float = 20.0) -> float:
    """Wait for another process; returns how long that took."""
    began_at = time.monotonic()
    while not condition():
        assert time.monotonic() - began_at < within_s, "the condition did not come true in time"
        time.sleep(0.005)
    return time.monotonic() - began_at


def kill(process: subprocess.Popen[str]) -> None:
    """``kill -9``."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def assert_filled(trader: Trader, quantity: float) -> None:
    """Buy, and check that this was possible."""
    bought = trader.ask("buy", quantity)
    assert bought["status"] == "FILLED", bought


def assert_refused(trader: Trader) -> None:
    """Check that nothing can be opened, and that the caller learns why."""
    refused = trader.ask("buy", 1.0)
    assert refused["status"] == "REJECTED"
    assert "Strategy C is latched: disconnect" in refused["reason"]


@needs_signals
@pytest.mark.req("STC-1", "STC-2", "STC-3", "CON-11")
def test_a_killed_gateway_latches_at_once_and_is_liquidated_when_it_is_back(
    tmp_path: Path,
) -> None:
    with place(tmp_path) as here:
        gateway = here.start_gateway()
        trader = here.start_trader()
        assert_filled(trader, HELD)

        kill(gateway)
        latched_after_s = until(here.is_latched)
        assert_refused(trader)
        orders = len(read_ledger(here.state))
        here.start_gateway()
        until(lambda: bool(trader.ask("report")))

        assert latched_after_s < SLACK_S
        assert trader.ask("report")["flat"] is True
        assert_refused(trader)
        assert orders == 1
        here.assert_closed_once()


@needs_signals
@pytest.mark.req("STC-1", "STC-2", "CON-9")
def test_a_stopped_gateway_latches_within_the_heartbeats_limit(tmp_path: Path) -> None:
    with place(tmp_path) as here:
        gateway = here.start_gateway()
        trader = here.start_trader()
        assert_filled(trader, HELD)

        os.kill(gateway.pid, signal.SIGSTOP)
        latched_after_s = until(here.is_latched)
        assert_refused(trader)
        os.kill(gateway.pid, signal.SIGCONT)
        until(lambda: bool(trader.ask("report")))

        assert latched_after_s < SILENCE_LIMIT_S + SLACK_S
        row = here.latch()
        assert row is not None
        assert "silence" in row[1].lower()
        assert trader.ask("report")["flat"] is True
        here.assert_closed_once()


@needs_signals
@pytest.mark.req("STC-3", "STC-4", "STC-6", "ORD-9", "SUP-9")
def test_the_latch_survives_our_own_death_and_the_next_process_liquidates_first(
    tmp_path: Path,
) -> None:
    with place(tmp_path) as here:
        gateway = here.start_gateway()
        trader = here.start_trader()
        assert_filled(trader, HELD)
        kill(gateway)
        until(here.is_latched)
        kill(trader.process)

        here.start_gateway()
        ours = here.start(
            "-m", "supervision", "run", "--mode", "paper", "--config", str(here.config)
        )
        until(lambda: here.held() == 0.0)
        until(lambda: "DONE" in here.command("status").stdout)
        told = here.command("status").stdout
        rearmed = here.command("rearm", "--who", "Ada", "--why", "the gateway was killed by a test")
        ours.send_signal(signal.SIGTERM)

        assert ours.wait(20.0) == 0
        here.assert_closed_once()
        assert "Strategy C" in told or "latch" in told.lower()
        assert rearmed.returncode == 0, rearmed.stderr
        assert here.latch() == (0, "re-armed", "Ada")
        assert_filled(here.start_trader(), 1.0)


@needs_signals
@pytest.mark.req("STC-6", "ORD-9")
@pytest.mark.parametrize("delay_s", [0.0, 0.05])
def test_our_death_during_the_liquidation_is_taken_up_by_the_next_process(
    tmp_path: Path, delay_s: float
) -> None:
    with place(tmp_path) as here:
        gateway = here.start_gateway()
        trader = here.start_trader()
        assert_filled(trader, HELD)
        kill(gateway)
        until(here.is_latched)
        here.start_gateway()
        until(lambda: trader.ask("connected")["connected"] is True)
        time.sleep(delay_s)
        kill(trader.process)

        survivor = here.start_trader()
        until(lambda: here.held() == 0.0)

        assert_refused(survivor)
        here.assert_sold_once()


@needs_signals
@pytest.mark.req("ORD-9")
def test_a_position_without_a_latch_survives_our_death_untouched(tmp_path: Path) -> None:
    with place(tmp_path) as here:
        here.start_gateway()
        trader = here.start_trader()
        assert_filled(trader, HELD)

        kill(trader.process)
        survivor = here.start_trader()
        assert_filled(survivor, 1.0)

        assert here.latch() is None
        assert here.closes() == []
        assert here.held() == HELD + 1.0
