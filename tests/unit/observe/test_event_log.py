"""The event log never stops whoever speaks, and tells what it could not write."""

from __future__ import annotations

import gc
import io
import json
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import attrs
import pytest

from actors.ports import EventLog
from supervision.observe.console import wants_colours
from supervision.observe.logging import EventLogWriter
from supervision.tree.system import SystemClock

BOUND = 200
MANY = 5000
LONGEST_CALL_S = 0.2
PATIENCE_S = 10.0


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class StuckStream(io.StringIO):
    """A stream whose writes block until it is let go, where the system cannot tell so beforehand."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def write(self, text: str) -> int:
        self.let_go.wait(PATIENCE_S)
        return super().write(text)


def log_to(stream: TextIO | None = None, file: Path | None = None, **more: Any) -> EventLogWriter:
    """Start a log."""
    return EventLogWriter(clock=SystemClock(), stream=stream, file=file, **more).start()


def events_in(file: Path) -> list[dict[str, Any]]:
    """Read the JSON lines of a file."""
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def until(condition: Callable[[], bool]) -> None:
    """Wait for another thread."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def say_many(log: EventLog) -> float:
    """Speak many times; give the longest call in seconds."""
    longest = 0.0
    for number in range(MANY):
        begun = time.perf_counter()
        log("quote", symbol="SPY", number=number)
        longest = max(longest, time.perf_counter() - begun)
    return longest


@pytest.mark.req("OBS-2")
def test_one_event_is_one_json_line_and_one_line_for_people(tmp_path: Path) -> None:
    stream, file = io.StringIO(), tmp_path / "logs" / "events.jsonl"
    log = log_to(stream, file)

    log("connection_success", correlation_id="1a2b3c4d-e5f6", symbol="SPY", account="DU1234567")
    assert log.stop()

    (event,) = events_in(file)
    assert event.pop("timestamp").endswith("+00:00")
    assert event == {
        "level": "INFO",
        "event": "connection_success",
        "correlation_id": "1a2b3c4d-e5f6",
        "symbol": "SPY",
        "account": "DU*****67",
    }
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d  connection_success      SPY  account=DU\*{5}67  #1a2b3c4d\n",
        stream.getvalue(),
    )


@pytest.mark.req("OBS-2")
def test_levels_below_the_threshold_are_not_written(tmp_path: Path) -> None:
    log = log_to(file=tmp_path / "x", level="WARNING")

    log("quiet")
    log("loud", level="ERROR")
    log("odd", level="SHOUT")
    log.stop()

    assert [event["event"] for event in events_in(tmp_path / "x")] == ["loud", "odd"]


def test_values_of_every_kind_are_plain_in_json(tmp_path: Path) -> None:
    @attrs.frozen
    class Quote:
        bid: float | None
        secret_part: str = attrs.field(default="x", repr=False)

    log = log_to(file=tmp_path / "x")
    log("e", quote=Quote(None), nan=float("nan"), many=(1, 2), error=ValueError("no"))
    log.stop()

    (event,) = events_in(tmp_path / "x")
    assert (event["quote"], event["nan"], event["many"]) == ({"bid": None}, "nan", [1, 2])
    assert event["error"] == "no"


@pytest.mark.req("OBS-2")
def test_the_file_rotates_and_keeps_only_so_many(tmp_path: Path) -> None:
    log = log_to(file=tmp_path / "events.jsonl", rotation_bytes=2000, retention_files=3)

    for number in range(300):
        log("filler", text="x" * 50, number=number)
    log.stop()

    files = list(tmp_path.iterdir())
    assert len(files) <= 3 + 1
    assert all(file.stat().st_size < 4000 for file in files)
    assert events_in(tmp_path / "events.jsonl")[-1]["number"] == 299


@pytest.fixture
def full_pipe() -> Iterator[tuple[int, TextIO]]:
    """Give the reading end and a stream on the writing end of a pipe that takes nothing more."""
    if sys.platform == "win32":
        pytest.skip("Windows does not tell whether a pipe would block: see the stuck stream")
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    while True:
        try:
            os.write(writer, b"\n" * 512)
        except BlockingIOError:
            break
    os.set_blocking(writer, True)
    with os.fdopen(writer, "w") as stream:
        yield reader, stream


@pytest.mark.req("OBS-2")
def test_a_blocked_stdout_stops_neither_the_caller_nor_the_file(
    full_pipe: tuple[int, TextIO], tmp_path: Path
) -> None:
    reader, stream = full_pipe
    log = log_to(stream, tmp_path / "x", queue_bound=BOUND)

    times = 1
    longest = say_many(log)
    while (
        not log.not_shown
    ):  # a busy machine drops so much that the little which is left finds room
        times += 1
        longest = max(longest, say_many(log))

    until(lambda: len(events_in(tmp_path / "x")) + log.dropped >= times * MANY)
    assert longest < LONGEST_CALL_S

    shown = ""
    while "log_lines_not_shown" not in shown:
        shown = (shown + os.read(reader, 65536).decode())[-5000:]
    os.close(reader)
    assert f"count={log.not_shown}" in shown
    log.stop()


@pytest.mark.req("OBS-2")
def test_a_stdout_that_blocks_unforeseen_costs_counted_events_only() -> None:
    stream = StuckStream()
    log = log_to(stream, queue_bound=BOUND)

    longest = say_many(log)

    assert longest < LONGEST_CALL_S
    assert MANY - BOUND - 10 <= log.dropped < MANY
    assert not log.stop(timeout_s=0.01)
    stream.let_go.set()
    assert log.stop()
    lines = stream.getvalue().splitlines()
    (report,) = (line for line in lines if "log_events_dropped" in line)
    assert f"count={log.dropped}" in report
    assert len(lines) == MANY - log.dropped + 1


@pytest.mark.skipif(sys.platform == "win32", reason="a broken pipe shows differently there")
def test_a_stdout_that_nobody_reads_any_more_is_left_alone(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    log = log_to(stream, tmp_path / "x")

    log("one")
    log("two")
    assert log.stop()

    assert [event["event"] for event in events_in(tmp_path / "x")] == ["one", "two"]
    stream.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # the file cannot be closed either
def test_a_full_disk_is_told_once_and_ends_nothing() -> None:
    stream = io.StringIO()
    log = log_to(stream, Path("/dev/full"))

    log("one")
    log("two")
    assert log.stop()

    names = [line.split()[1] for line in stream.getvalue().splitlines()]
    assert names == ["log_file_failed", "one", "two"]
    del log
    gc.collect()


@pytest.mark.req("OBS-4")
def test_a_value_cannot_forge_a_line_or_colour_the_terminal() -> None:
    stream = io.StringIO()
    log = log_to(stream)

    log("e", text="\x1b[2J\n13:00:00  order_filled")
    log.stop()

    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize(
    ("stream", "environ", "expected"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_only_a_willing_terminal_gets_colours(
    stream: TextIO, environ: dict[str, str], expected: bool
) -> None:
    assert wants_colours(stream, environ) is expected


def test_warnings_of_libraries_become_events(tmp_path: Path) -> None:
    log = log_to(file=tmp_path / "x")
    log.capture_libraries()
    library = logging.getLogger("ib_insync.client")

    library.info("not this")
    library.error("peer %s closed account DU1234567", "A")
    log.stop()
    library.error("nor this")

    (event,) = events_in(tmp_path / "x")
    assert (event["event"], event["level"]) == ("library_log", "ERROR")
    assert event["message"] == "peer A closed account DU*****67"


def test_other_users_of_loguru_are_left_alone(tmp_path: Path) -> None:
    from loguru import logger

    theirs: list[str] = []
    sink = logger.add(theirs.append, format="{message}")
    log = log_to(file=tmp_path / "x")

    logger.info("theirs")
    log("ours")
    log.stop()
    logger.remove(sink)

    assert theirs == ["theirs\n"]
    assert [event["event"] for event in events_in(tmp_path / "x")] == ["ours"]


def test_a_call_costs_microseconds(tmp_path: Path) -> None:
    log = log_to(file=tmp_path / "x", queue_bound=MANY)
    begun = time.thread_time()

    for number in range(MANY):
        log("quote", symbol="SPY", number=number, text="x" * 100)
    cost_s = (time.thread_time() - begun) / MANY
    log.stop(PATIENCE_S)

    assert cost_s < 50e-6
