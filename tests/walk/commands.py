"""The command line as a subprocess: one call to its end, or a process in the background."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs
from typer.testing import CliRunner

from supervision.commands.cli import app
from supervision.config.sections import EMBEDDED_DIRECTORY

ROOT: Final = Path(__file__).resolve().parents[2]
PATIENCE_S: Final = 60.0
LOG_NAME: Final = "ibkr-actors.jsonl"
ENVIRONMENT: Final = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("IB_", "PROMETHEUS_", "LOG_", "ALPHA_", "DATABASE_"))
} | {"PYTHONPATH": str(ROOT), "COLUMNS": "120", "NO_COLOR": "1"}


@attrs.frozen
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def command(*arguments: str, cwd: Path = ROOT) -> Ended:
    """Run ``python -m supervision`` with these arguments to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "supervision", *arguments],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def in_process(*arguments: str) -> Ended:
    """Run a command within this process: for those that start nothing."""
    done = CliRunner(env={"COLUMNS": "120"}).invoke(app, list(arguments))
    return Ended(done.exit_code, done.stdout, done.stderr)


def write_config(folder: Path, **sections: dict[str, Any]) -> Path:
    """Write a configuration whose state lies in ``folder``; give its path."""
    ports: dict[str, Any] = {
        "metrics_port": 0,
        "health_port": 0,
    }  # many processes at once, each with its own
    sections = {
        "general": {"state_dir": str(folder / "state")},
        "observability": ports,
        "connection.maintenance": {"enabled": False},  # no test depends on the time of day
    } | sections
    sections["general"].setdefault("state_dir", str(folder / "state"))
    lines = []
    for name, values in sections.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {_toml(value)}" for key, value in values.items()]
    path = folder / "config.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


def state_file(folder: Path, name: str) -> Path:
    """A file of a process with `write_config`; those of the embedded gateway have a place of their own."""
    simulated = folder / "state" / EMBEDDED_DIRECTORY / name
    return simulated if simulated.parent.exists() else folder / "state" / name


def log_lines(folder: Path) -> list[dict[str, Any]]:
    """Read the JSON lines that a process with `write_config`'s configuration wrote."""
    text = state_file(folder, LOG_NAME).read_text()
    return [json.loads(line) for line in text.splitlines()]


@attrs.frozen
class Running:
    """A process in the background, with its log file."""

    process: subprocess.Popen[str]
    folder: Path

    def wait_for(self, event: str) -> dict[str, Any]:
        """Wait until an event is in its log; AssertionError when the process ends before."""
        ends_at = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends_at:
            if state_file(self.folder, LOG_NAME).exists():
                for line in log_lines(self.folder):
                    if line["event"] == event:
                        return line
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.02)
        raise AssertionError(f"{event} did not happen")

    def end(self, number: int = signal.SIGINT) -> Ended:
        """Send a signal and wait for the end; on Windows the only one that another process can send."""
        self.process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", number))
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return Ended(self.process.returncode, out, err)


@contextmanager
def running(folder: Path, config: Path, *arguments: str) -> Iterator[Running]:
    """Run ``python -m supervision run`` in the background; killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "supervision", "run", "--config", str(config), *arguments],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )
    try:
        yield Running(process, folder)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
