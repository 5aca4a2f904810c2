"""What has to work when something is wrong: a broken configuration, a terminal that goes, a useless directory."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from supervision.commands.cli import ExitCode
from supervision.config.sections import EMBEDDED_DIRECTORY
from tests.walk.commands import ENVIRONMENT, PATIENCE_S, command, in_process, running, write_config

pytestmark = pytest.mark.req("SUP-9")

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")

ASKING = {
    "status": ("status",),
    "rearm": ("rearm", "--who", "me", "--why", "because"),
    "liquidate": ("liquidate", "--reason", "now"),
    "flatten": ("flatten", "SPY"),
    "explain": ("explain", "--last", "3"),
    "liquidation": ("explain", "--liquidation"),
    "database": ("database", "current"),
}
"""Commands that start no process of their own."""


# --- a configuration that cannot be read ------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["[general\n", '[general]\nof_a_newer_version = "x"\n'])
def test_emergency_commands_need_the_state_directory_only(tmp_path: Path, content: str) -> None:
    config = write_config(tmp_path)
    broken, folder = ("--config", str(config)), tmp_path / "state" / EMBEDDED_DIRECTORY
    state = ("--state-dir", str(folder))

    with running(tmp_path, config) as process:
        process.wait_for("running")
        config.write_text(content)
        refused = [in_process(*ASKING[name], *broken) for name in ("status", "rearm", "liquidate")]
        status = in_process("status", *state)
        liquidated = command("liquidate", "--reason", "an emergency", *state)
        process.wait_for("strategy_c_report")
        latched = in_process("status", *broken, *state)
        rearmed = in_process("rearm", "--who", "me", "--why", "it is over", *state)
        ended = process.end()

    assert {each.code for each in refused} == {ExitCode.USAGE}
    assert all("--state-dir" in each.err for each in refused)
    assert [each.code for each in (status, liquidated, latched, rearmed, ended)] == [0] * 5
    assert "opening     allowed" in status.out
    assert "latched; liquidation" in liquidated.out
    assert "NOT DURABLE" not in liquidated.out
    assert "operator: an emergency" in latched.out
    assert "re-armed" in rearmed.out


# --- a terminal that goes away ----------------------------------------------------------------------------------------


@needs_posix
def test_a_terminal_that_goes_away_stops_it_in_order(tmp_path: Path) -> None:
    config = write_config(tmp_path)

    with running(tmp_path, config) as process:
        process.wait_for("running")
        ended = process.end(signal.SIGHUP)

    assert ended.code == ExitCode.OK
    assert "stopped in order" in ended.out


@needs_posix
def test_who_wants_it_to_outlive_the_terminal_is_obeyed() -> None:
    program = (
        "import asyncio, os, signal\n"
        "from supervision.process.signals import stop_on_signals\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "async def main():\n"
        "    event = stop_on_signals(asyncio.get_running_loop())\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    await asyncio.sleep(0.05)\n"
        "    print(event.is_set())\n"
        "asyncio.run(main())\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )

    assert done.stdout.strip() == "False"


# --- a state directory that does not serve ----------------------------------------------------------------------------


def _with_directory(name: str) -> Callable[[Path], Path]:
    """A directory in which one of our files is a directory."""

    def make(folder: Path) -> Path:
        (folder / "state" / EMBEDDED_DIRECTORY / name).mkdir(parents=True)
        return folder / "state"

    return make


def _a_file(folder: Path) -> Path:
    (folder / "file").write_text("x")
    return folder / "file"


def _below_a_file(folder: Path) -> Path:
    return _a_file(folder) / "state"


def _loop(folder: Path) -> Path:
    (folder / "loop").symlink_to(folder / "loop")
    return folder / "loop"


def _dangling(folder: Path) -> Path:
    (folder / "dangling").symlink_to(folder / "nowhere" / "at all")
    return folder / "dangling"


def _too_long(folder: Path) -> Path:
    return folder / ("a" * 300)


def _read_only(_: Path) -> Path:
    return Path("/sys/ibkr-actors")


def _full(folder: Path) -> Path:
    return folder / "state"


DIRECTORIES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a file": (_a_file, "is a file or lies below one"),
    "below a file": (_below_a_file, "is a file or lies below one"),
    "a dangling link": (_dangling, "is a file or lies below one"),
    "a loop": (_loop, "is a file or lies below one"),
    "a name that is too long": (_too_long, "cannot be used"),
    "read-only": (_read_only, "cannot be written"),
    "full": (_full, "has no room left"),
    "no journal": (_with_directory("orders.sqlite3"), "orders.sqlite3: "),
    "no lock": (_with_directory("orders.sqlite3.lock"), "cannot be locked"),
    "no marker": (_with_directory("latch.marker"), "the latch's marker cannot be written"),
    "no control file": (_with_directory("control.json"), "takes no control.json"),
}


@needs_posix
@pytest.mark.parametrize("name", DIRECTORIES)
def test_a_process_that_cannot_keep_its_state_says_so_and_ends(tmp_path: Path, name: str) -> None:
    make, said = DIRECTORIES[name]
    config = write_config(tmp_path, general={"state_dir": str(make(tmp_path))})
    arguments = [
        sys.executable,
        "-m",
        "supervision",
        "run",
        "--cycles",
        "1",
        "--config",
        str(config),
    ]
    if name == "full":  # no file can grow any more
        arguments = ["bash", "-c", 'ulimit -f 0; exec "$@"', "bash", *arguments]

    done = subprocess.run(
        arguments, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )

    assert done.returncode == ExitCode.USAGE, done
    assert "Traceback" not in done.stdout + done.stderr
    assert said in done.stderr.splitlines()[-1]


@needs_posix
@pytest.mark.parametrize("asking", ASKING)
@pytest.mark.parametrize("name", [name for name in DIRECTORIES if name != "full"])
def test_no_command_ends_with_a_traceback(tmp_path: Path, name: str, asking: str) -> None:
    config = write_config(tmp_path, general={"state_dir": str(DIRECTORIES[name][0](tmp_path))})

    ended = in_process(*ASKING[asking], "--config", str(config))

    assert "Traceback" not in ended.out + ended.err
    if asking in ("status", "rearm", "liquidate", "flatten"):
        assert ended.code == ExitCode.NOT_RUNNING
    if ended.code != ExitCode.OK:
        assert "IB_" in ended.err, ended


@needs_posix
@pytest.mark.parametrize("file", ["", "/sys/ibkr-actors/log.jsonl"])
def test_a_log_that_cannot_be_written_keeps_nobody_from_trading(tmp_path: Path, file: str) -> None:
    name = file or "log.jsonl"
    if not file:
        (tmp_path / "state" / EMBEDDED_DIRECTORY / name).mkdir(parents=True)
    config = write_config(tmp_path, logging={"file": name})

    ended = command("run", "--cycles", "1", "--config", str(config))

    assert ended.code == ExitCode.OK
    assert "log_file_failed" in ended.out
    assert "Traceback" not in ended.out + ended.err
