"""The same session by three client libraries, each in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervision.simulator import ThreadedSimulator

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SPY = 756733
pytestmark = pytest.mark.req("SIM-1", "SIM-2")


def _environment(name: str, variable: str) -> str:
    folder = "Scripts" if sys.platform == "win32" else "bin"
    python = Path(os.environ.get(variable) or ROOT / f".venv-{name}" / folder / "python")
    if not python.exists():
        pytest.skip(f"no environment for {name} at {python}: run `make interop-environments`")
    return str(python)


@pytest.fixture
def simulator() -> Iterator[ThreadedSimulator]:
    threaded = ThreadedSimulator()
    threaded.start()
    yield threaded
    threaded.stop()


def _run(python: str, script: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [python, str(HERE / script), *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _check(found: dict[str, Any], simulator: ThreadedSimulator) -> None:
    bid, last, ask, volume, close = found["quote"]
    assert found["accounts"] == ["DU1234567"]
    assert found["spy"] == SPY
    assert found["option"] > 1_000_000_000
    assert 500 < bid <= last <= ask < 700
    assert volume > 0
    assert 500 < close < 700
    assert 0 < found["delta"] < 1
    assert found["bars"][0] == 60
    assert found["bars"][2] is True
    assert found["net_liquidation"] == ["1000000.00"]
    assert found["market"] == ["Filled", 100]
    assert found["commission"] == 1.0
    assert found["option_status"] == "Filled"
    assert found["limit"] == "Cancelled"
    assert found["stop"] == ["PreSubmitted", "trigger"]
    assert found["preview"] > 0
    assert found["positions"] == [["OPT", 2], ["STK", 100]]
    assert found["open_after"] == [["STP", "PreSubmitted"]]
    assert found["fills_after"] == ["", "interop-1"]
    assert found["completed"] == ["Cancelled", "Filled", "Filled"]
    assert found["errors"] == []
    kinds = [(entry.kind, entry.order_type, entry.outcome) for entry in simulator.ledger]
    assert kinds == [
        ("place", "MKT", "accepted"),
        ("place", "MKT", "accepted"),
        ("place", "LMT", "accepted"),
        ("modify", "LMT", "modified"),
        ("cancel", "", "cancelled"),
        ("place", "STP", "accepted"),
        ("place", "MKT", "what_if"),
    ]


def test_ib_insync_trades_unmodified(simulator: ThreadedSimulator) -> None:
    found = _run(sys.executable, "script_ib.py", "ib_insync", str(simulator.port))

    assert found["version"] == 176
    _check(found, simulator)


def test_ib_async_trades_unmodified(simulator: ThreadedSimulator) -> None:
    python = _environment("ib_async", "IB_ASYNC_PYTHON")

    found = _run(python, "script_ib.py", "ib_async", str(simulator.port))

    assert found["version"] == 176
    _check(found, simulator)


def test_ibapi_trades_unmodified(simulator: ThreadedSimulator) -> None:
    python = _environment("ibapi", "IBAPI_PYTHON")

    found = _run(python, "script_ibapi.py", str(simulator.port))

    assert found["version"] == 157
    assert found["samples"] == 1
    assert found["pnl_position"] == 100
    _check(found, simulator)
