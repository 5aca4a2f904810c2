"""The suite works: run here against the simulated gateway, as a process of its own (QUA-6)."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.paper_gateway.conftest import VARIABLE
from tests.walk.commands import ENVIRONMENT, ROOT, command, write_config

PATIENCE_S: Final = 110.0
SUITE: Final = "tests/paper_gateway/test_paper_gateway.py"
PROBES: Final = "tests/paper_gateway/test_assumptions.py"


@contextmanager
def gateway(state: Path, *options: str) -> Iterator[int]:
    """Run the simulated gateway as a process; gives its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "supervision.simulator", "--port", str(port)),
            *("--state", str(state), *options),
        ],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert "listening" in process.stdout.readline()
        yield port
    finally:
        process.kill()
        process.communicate()


def run_suite(port: int | None, folder: Path, suite: str = SUITE) -> str:
    """Run the suite as a user would; gives what it printed."""
    where = {} if port is None else {VARIABLE: f"127.0.0.1:{port}"}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", suite),
            *("--basetemp", str(folder / "basetemp")),
        ],
        cwd=ROOT,
        env=ENVIRONMENT | where,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.req("QUA-6")
def test_the_suite_trades_at_a_paper_gateway_and_leaves_nothing_behind(tmp_path: Path) -> None:
    state = tmp_path / "gateway.jsonl"
    with gateway(state) as port:
        said = run_suite(port, tmp_path)
        config = write_config(tmp_path)
        left = command("check", "--port", str(port), "--config", str(config)).out

    assert "5 passed" in said, said
    assert "0 positions, 0 working orders" in left
    written = state.read_text()
    assert '"action": "BUY"' in written or '"action":"BUY"' in written, "it did trade"


@pytest.mark.req("QUA-6")
def test_what_is_assumed_of_a_gateway_is_so_at_the_simulated_one(tmp_path: Path) -> None:
    """It says nothing of IB's, and that the probes ask what they mean to ask."""
    with gateway(tmp_path / "gateway.jsonl") as port:
        said = run_suite(port, tmp_path, PROBES)

    assert "6 passed, 12 skipped" in said, said


@pytest.mark.req("QUA-6", "MODE-2")
def test_the_suite_refuses_a_live_account(tmp_path: Path) -> None:
    with gateway(tmp_path / "gateway.jsonl", "--account", "U7654321") as port:
        said = run_suite(port, tmp_path)

    assert "NotPaperAccountError" in said
    assert "passed" not in said.splitlines()[-1]


@pytest.mark.req("QUA-6")
def test_the_suite_is_skipped_with_its_reason_when_nobody_asked(tmp_path: Path) -> None:
    said = run_suite(None, tmp_path)

    assert "5 skipped" in said
    assert f"{VARIABLE} is not set" in said
