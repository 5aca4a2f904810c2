"""The process itself, started as a user starts it: time to CONNECTED, then what it takes when it has nothing to do."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.benchmarks.server import Server
from tests.benchmarks.table import Row

IDLE_S = 10.0
SETTLE_S = 2.0
START_S = 30.0
AIM_CORE_PCT = 5.0
AIM_RSS_MB = 120.0
STARTS = 3
MB = 1e6

CONFIG = """
[general]
state_dir = '{state_dir}'
cycle_s = 3600.0
"""


def measure(state_dir: Path) -> list[Row]:
    """Measure with the embedded gateway, as `make run` starts it, and with one outside."""
    with Server(None, busy=False) as server:
        starts = [_start_s(state_dir / f"start-{number}", server.port) for number in range(STARTS)]
        imports = [_import_s() for _ in range(STARTS)]
        with (
            _process(state_dir / "embedded") as embedded,
            _process(state_dir / "external", port=server.port) as external,
        ):
            rows = _idle({"embedded gateway": embedded, "gateway outside": external})
    return [
        Row(
            what="python -m supervision run → connected",
            unit="s",
            floor=min(imports),
            ours=min(starts),
            note="floor: starting Python and importing ib_insync, pykka, numpy, loguru, attrs",
        ),
        *rows,
    ]


def _idle(processes: dict[str, psutil.Process]) -> list[Row]:
    time.sleep(SETTLE_S)
    before = {name: _cpu_s(process) for name, process in processes.items()}
    time.sleep(IDLE_S)
    bare_mb = _bare_rss_mb()
    rows = []
    for name, process in processes.items():
        core_pct = 100.0 * (_cpu_s(process) - before[name]) / IDLE_S
        rows += [
            Row(what=f"idle, {name}: core", unit="%", ours=core_pct, aim_value=AIM_CORE_PCT),
            Row(
                what=f"idle, {name}: memory",
                unit="MB",
                floor=bare_mb,
                ours=process.memory_info().rss / MB,
                aim_value=AIM_RSS_MB,
                note=f"{process.num_threads()} threads",
            ),
        ]
    return rows


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def _process(state_dir: Path, port: int | None = None) -> Iterator[psutil.Process]:
    """Run a process until it says that it is running, and stop it in order afterwards."""
    state_dir.mkdir(parents=True)
    config = state_dir / "config.toml"
    config.write_text(CONFIG.format(state_dir=state_dir), encoding="utf-8")
    command = [sys.executable, "-m", "supervision", "run", "--mode", "paper"]
    command += ["--config", str(config)]
    command += [] if port is None else ["--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        try:
            assert child.stdout is not None
            ends_at = time.monotonic() + START_S
            while "connection_success" not in (line := child.stdout.readline()):
                assert line, "the process ended"
                assert time.monotonic() < ends_at, "the process does not connect"
            yield psutil.Process(child.pid)
        finally:
            child.terminate()
            child.communicate(timeout=START_S)


def _start_s(state_dir: Path, port: int) -> float:
    began = time.perf_counter()
    with _process(state_dir, port):
        return time.perf_counter() - began


_BARE = "import ib_insync, pykka, numpy, loguru, attrs"


def _import_s() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", _BARE], check=True)
    return time.perf_counter() - began


def _bare_rss_mb() -> float:
    code = f"{_BARE}; import psutil; print(psutil.Process().memory_info().rss)"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return int(told.stdout) / MB
