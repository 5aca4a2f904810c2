"""One seed in reality: the process and the gateway are processes, and signals are signals."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tests.crash_points.witness import Broker
from tests.kills.plan import How, Moment, Plan, Victim, plan_of
from tests.kills.proof import CASH, FLAT_WITHIN_S, GIVEN_UP_AFTER_S, Result, turned_or_doubled

CONFIG: Final = """
[general]
state_dir = {state_dir}
[gateway]
endpoint = "external"
port = {port}
[connection.maintenance]
enabled = false
[database]
enabled = false
[risk]
max_position_quantity = 1e6
max_position_value = 1e9
max_total_exposure_value = 1e9
risk_per_trade_ratio = 1.0
duplicate_window_s = 0.0
price_band_ratio = 10.0
day_trades = "off"
allow_short = true
[logging]
console = false
"""
"""What is not about time; all that is has its default."""

LOOK_S: Final = 0.05
READY_WITHIN_S: Final = 60.0
SLACK_S: Final = 2.0
"""For two busy cores."""
STAYS_FLAT_S: Final = 10.0
REAL_VICTIMS: Final = (Victim.PROCESS, Victim.GATEWAY, Victim.BOTH)


class Place:
    """A directory, the gateway's process and ours."""

    def __init__(self, root: Path, plan: Plan) -> None:
        self.root, self.plan = root, plan
        self.state = root / "gateway.state"
        self.port = 0
        self.processes: list[subprocess.Popen[str]] = []
        self.flat_at = 0.0

    # --- processes ----------------------------------------------------------------------------------------------------

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        with (self.root / "stderr").open("a") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.processes.append(process)
        return process

    def start_gateway(self) -> None:
        """Start the gateway on its state; the second time on the same port."""
        plan = self.plan
        self.gateway = self._start(
            "supervision.simulator",
            *("--state", str(self.state), "--port", str(self.port), "--cash", str(CASH)),
            *("--fill-delay", str(plan.fill_delay_s), "--max-fill", str(plan.largest_fill)),
            *("--slice-delay", str(plan.between_fills_s), "--seed", str(plan.seed + 1)),
        )
        assert self.gateway.stdout is not None
        self.port = int(self.gateway.stdout.readline().rpartition(":")[2])
        state_dir = json.dumps(str(self.root))
        (self.root / "config.toml").write_text(CONFIG.format(state_dir=state_dir, port=self.port))

    def start_ours(self) -> None:
        """Start our process on its journal."""
        self.ours = self._start("tests.kills.trader", str(self.root / "config.toml"))

    def say(self, *words: Any) -> None:
        """Tell our process to begin something; a dead one does not hear it."""
        assert self.ours.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.ours.stdin.write(json.dumps(words) + "\n")
            self.ours.stdin.flush()

    def status(self) -> dict[str, Any]:
        """Ask our process; raises AssertionError when it has died by itself."""
        self.say("status")
        assert self.ours.stdout is not None
        line = self.ours.stdout.readline()
        assert line, f"our process ended by itself, with exit code {self.ours.wait()}"
        told: dict[str, Any] = json.loads(line)
        return told

    def is_connected(self) -> bool:
        """Whether our process says so."""
        return bool(self.status()["connected"])

    def end(self) -> None:
        """Kill what still runs."""
        for process in self.processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()

    # --- what is true -------------------------------------------------------------------------------------------------

    @property
    def broker(self) -> Broker:
        """The gateway's record as it stands."""
        return Broker.read(self.state, CASH)

    def until(self, condition: Callable[[], bool], within_s: float = READY_WITHIN_S) -> bool:
        """Wait until ``condition`` holds; False after ``within_s``."""
        ends_at = time.monotonic() + within_s
        while not condition():
            if time.monotonic() >= ends_at:
                return False
            time.sleep(LOOK_S)
        return True

    def holds(self, symbol: str) -> bool:
        """Whether the broker holds anything of it."""
        by_symbol = {
            item["contract"]["symbol"]: item["contract"]["con_id"]
            for item in self.broker.executions.values()
        }
        return by_symbol.get(symbol) in self.broker.positions

    def is_flat(self) -> bool:
        """Whether the broker holds nothing."""
        if self.broker.positions:
            self.flat_at = time.time()
            return False
        return True

    def journaled(self, question: str) -> float:
        """Answer when something was last written down, as seconds of the epoch; 0 where it was not."""
        with contextlib.closing(sqlite3.connect(self.root / "orders.sqlite3")) as journal:
            (at,) = journal.execute(question).fetchone()
        return datetime.fromisoformat(at).timestamp() if at else 0.0

    # --- the trial ----------------------------------------------------------------------------------------------------

    def run(self) -> Result:
        """Carry the plan out."""
        self.start_gateway()
        self.start_ours()
        assert self.until(lambda: bool(self.status()["ready"])), "it was not ready to trade"
        self.trade()
        self.reach_the_moment()
        self.hit()
        self.drop_if_need_be()
        return self.judge()

    def trade(self) -> None:
        """Come to hold what the plan says, with an order at rest far from the market."""
        for symbol, quantity in self.plan.held:
            self.say("trade", symbol, quantity)
        self.say("rest")
        held = self.plan.held
        assert self.until(
            lambda: len(self.broker.working) == 1 and all(self.holds(name) for name, _ in held)
        ), "it did not come to hold what it was to"

    def reach_the_moment(self) -> None:
        """Begin what goes on when it happens, and let the random time pass."""
        moment = self.plan.moment
        if moment is Moment.STARTING:
            self.signal(self.ours, signal.SIGKILL)
            self.start_ours()
        elif moment is Moment.EXIT:
            for symbol, quantity in self.plan.held:
                self.say("trade", symbol, -quantity)
        elif moment is not Moment.HELD:
            self.say("liquidate" if moment is Moment.LIQUIDATION else "cancel")
        time.sleep(self.plan.after_s)

    def signal(self, process: subprocess.Popen[str], number: int) -> None:
        """Send a signal; wait for the end where it is one."""
        os.kill(process.pid, number)
        if number == signal.SIGKILL:
            process.wait()

    def hit(self) -> None:
        """Kill or stop the victim, and undo it after a while."""
        plan = self.plan
        ours, theirs = plan.victim is not Victim.GATEWAY, plan.victim is not Victim.PROCESS
        victims = [self.gateway] * theirs + [self.ours] * ours
        stops = plan.how is How.STOP
        for victim in victims:
            self.signal(victim, signal.SIGSTOP if stops else signal.SIGKILL)
        time.sleep(plan.lasts_s)
        if stops:
            for victim in victims:
                self.signal(victim, signal.SIGCONT)
            return
        if theirs:
            self.start_gateway()
        if not ours:
            return
        self.start_ours()
        if plan.hit_again_after is not None:
            time.sleep(plan.hit_again_after / 100)
            self.signal(self.ours, signal.SIGKILL)
            self.start_ours()

    def drop_if_need_be(self) -> None:
        """Where nothing has latched, the gateway dies now, and is back at once."""
        assert self.until(self.is_connected), "it did not connect again"
        self.flat_at = self.ended_at = time.time()
        self.is_flat()
        time.sleep(self.plan.drop_after_s)
        if not self.status()["latched"]:
            self.signal(self.gateway, signal.SIGKILL)
            self.start_gateway()
            self.until(lambda: not self.is_connected())
            assert self.until(self.is_connected), "it did not connect after the last drop"
            self.ended_at = time.time()

    def judge(self) -> Result:
        """Wait until all is flat, and see that it stays so, closed once, latched."""
        flat = self.until(self.is_flat, GIVEN_UP_AFTER_S)
        settled_at = self.journaled(
            "SELECT max(f.at) FROM transitions f JOIN transitions u ON u.order_ref = f.order_ref"
            " AND u.seq < f.seq AND u.state = 'UNKNOWN' WHERE f.state <> 'UNKNOWN'"
        )
        if not flat:
            return Result(self.plan, (f"not flat: {self.broker.positions}",))
        flat_s = max(0.0, self.flat_at - self.ended_at)
        late_s = max(0.0, self.flat_at - max(self.ended_at, settled_at))
        time.sleep(STAYS_FLAT_S)
        faults = [f"flat {late_s:.1f} s late"] if late_s > FLAT_WITHIN_S + SLACK_S else []
        faults += [] if self.is_flat() else ["it did not stay flat"]
        faults += [] if self.status()["latched"] else ["it is not latched"]
        faults += [f"it works still: {ref}" for ref in self.broker.working]
        return Result(self.plan, (*faults, *turned_or_doubled(self.broker)), late_s, flat_s)


def survive(seed: int) -> Result:
    """Carry out the plan of a seed, in a directory that stays behind when something was wrong."""
    root = Path(tempfile.mkdtemp(prefix="kills-"))
    plan = plan_of(seed, REAL_VICTIMS)
    place = Place(root, plan)
    try:
        result = place.run()
    except AssertionError as error:
        result = Result(plan, (str(error),))
    finally:
        place.end()
    if result.faults:
        return Result(plan, (*result.faults, f"see {root}"), result.late_s, result.flat_s)
    shutil.rmtree(root)
    return result
