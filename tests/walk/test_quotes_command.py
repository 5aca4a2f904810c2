"""The `quotes` command: what it shows of a market with troubles, and how it ends."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from actors.errors import ConfigurationError, ContractQualificationError
from supervision.commands.cli import ExitCode
from supervision.commands.quotes.command import Wish, show_quotes, viewing
from supervision.config.sections import MarketData
from supervision.simulator import SimulatorConfig
from supervision.store.journal_lock import JOURNAL_FILE
from tests.walk.commands import (
    ENVIRONMENT,
    PATIENCE_S,
    ROOT,
    command,
    running,
    state_file,
    write_config,
)
from tests.walk.independent import independent_indicators
from tests.worlds import ProofWorld, a_config, prove

EXACT = 1e-9
SYMBOLS = ("SPY", "QQQ")
needs_a_terminal = pytest.mark.skipif(sys.platform == "win32", reason="there is no pty")


def shown(out: io.StringIO, symbol: str = "SPY") -> list[dict[str, Any]]:
    """The JSON lines of one symbol."""
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    return [line for line in lines if line["symbol"] == symbol]


def states(lines: list[dict[str, Any]]) -> list[str]:
    """The states in their order, repetitions left out; data flows evenly, so that the first quote may take a moment."""
    found = [line["state"] for line in lines]
    found = found[found.index("live") :]
    return [state for state, before in zip(found, [None, *found], strict=False) if state != before]


def watched(
    *happens: Any, symbols: tuple[str, ...] = SYMBOLS, every_s: float = 8.0, **world: Any
) -> io.StringIO:
    """Watch in a proof world while one thing after the other happens, and give what was shown."""
    out = io.StringIO()

    async def scenario(world: ProofWorld) -> None:
        wish = Wish(as_json=True, for_s=every_s * (len(happens) + 1))
        config = viewing(a_config())
        view = asyncio.create_task(show_quotes(world.gateway, config, symbols, wish, out))
        for happen in happens:
            await asyncio.sleep(every_s)
            happen(world.simulator.faults)
        assert await view == ExitCode.OK

    prove(scenario, connect=False, mode="dry_run", **world)
    return out


# --- what is shown ----------------------------------------------------------------------------------------------------


@pytest.mark.req("MKT-1", "MKT-7")
def test_quotes_and_indicators_are_those_of_the_facade() -> None:
    out = io.StringIO()

    async def scenario(world: ProofWorld) -> Any:
        wish = Wish(as_json=True, once=True)
        code = await show_quotes(world.gateway, viewing(a_config()), SYMBOLS, wish, out)
        bars = await world.gateway.get_historical_data("SPY")
        qqq = world.simulator.universe.by_con_id(320227571)
        assert qqq is not None
        return code, bars, world.simulator.market.quote(qqq)

    code, bars, quote = prove(scenario, connect=False, mode="dry_run")

    (spy,), (qqq,) = shown(out), shown(out, "QQQ")
    assert code == ExitCode.OK
    assert (spy["state"], spy["source"], spy["why"]) == ("live", "ib", None)
    assert (qqq["bid"], qqq["ask"], qqq["last"]) == (quote.bid, quote.ask, quote.last)
    for name, expected in independent_indicators(bars).items():
        assert spy[name] == pytest.approx(expected, abs=EXACT), name


@pytest.mark.req("MKT-11")
def test_each_trouble_is_told_by_its_name() -> None:
    out = watched(
        lambda faults: faults.halt("SPY"),
        lambda faults: faults.resume_trading("SPY"),
        lambda faults: faults.no_subscription("SPY", 354),
        lambda faults: faults.no_subscription("SPY", 10167),
        lambda faults: faults.no_subscription("SPY", None),
    )

    assert states(shown(out)) == ["live", "halted", "live", "no subscription", "delayed", "live"]
    assert states(shown(out, "QQQ")) == ["live"]
    (why,) = {line["why"] for line in shown(out) if line["state"] == "no subscription"}
    assert "(code 354)" in why


@pytest.mark.req("MKT-7")
def test_a_lost_link_is_told_and_quotes_go_on_after_it() -> None:
    out = watched(lambda faults: faults.drop_connections(), lambda faults: None, every_s=20.0)

    found = states(shown(out))
    assert found[0] == "live"
    assert "interrupted" in found
    assert found[-1] == "live"
    assert shown(out)[-1]["rsi"] is not None


@pytest.mark.req("MKT-2")
def test_indicators_follow_each_bar() -> None:
    out = watched(lambda faults: None, lambda faults: None, symbols=("SPY",), every_s=60.0)

    as_of = [line["indicators_as_of"] for line in shown(out) if line["indicators_as_of"]]
    assert len(set(as_of)) >= 3
    assert as_of == sorted(as_of)


@pytest.mark.req("CON-14")
def test_more_symbols_than_ibs_limits_allow_are_read_in_turns_and_break_no_rule() -> None:
    symbols = tuple(f"SYM{number:03}" for number in range(1, 71))
    seldom = MarketData(snapshot_interval_s=60.0)

    out = watched(
        lambda faults: None,
        symbols=symbols,
        every_s=400.0,
        simulated=SimulatorConfig(seed=7, extra_symbols=100),
        config=a_config(market_data=seldom),
    )

    last = {line["symbol"]: line for line in map(json.loads, out.getvalue().splitlines())}
    assert last.keys() == set(symbols)
    assert all(line["rsi"] is not None for line in last.values())
    assert "pacing violation" not in out.getvalue()


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.req("MKT-1")
def test_every_unknown_symbol_is_named() -> None:
    async def scenario(world: ProofWorld) -> None:
        symbols = ("SPY", "NOSUCH", "NORTHIS")
        with pytest.raises(ContractQualificationError, match=r"NOSUCH.*NORTHIS"):
            await show_quotes(world.gateway, viewing(a_config()), symbols, Wish(), io.StringIO())

    prove(scenario, connect=False, mode="dry_run")


@pytest.mark.parametrize(
    ("symbols", "says"),
    [
        (("SPY", "QQQ", "KO"), "3 symbols are more than .* max_symbols = 2"),
        ((" ",), "at least one"),
    ],
)
def test_a_list_that_cannot_be_watched_is_refused_before_connecting(
    symbols: tuple[str, ...], says: str
) -> None:
    async def scenario(world: ProofWorld) -> None:
        config = viewing(a_config(market_data=MarketData(max_symbols=2)))
        with pytest.raises(ConfigurationError, match=says):
            await show_quotes(world.gateway, config, symbols, Wish(), io.StringIO())
        assert world.simulator.faults.state.messages_received == 0

    prove(scenario, connect=False, mode="dry_run")


def test_symbols_are_taken_once_in_capitals_as_the_broker_writes_them() -> None:
    out = watched(symbols=("spy", " SPY", "Spy"))

    assert {json.loads(line)["symbol"] for line in out.getvalue().splitlines()} == {"SPY"}


def test_once_without_any_price_ends_with_a_code_of_its_own() -> None:
    async def scenario(world: ProofWorld) -> int:
        world.simulator.faults.no_subscription("SPY", 354)
        out = io.StringIO()
        return await show_quotes(
            world.gateway, viewing(a_config()), ("SPY",), Wish(once=True, as_json=True), out
        )

    assert prove(scenario, connect=False, mode="dry_run") == ExitCode.FAILED


# --- as a process -----------------------------------------------------------------------------------------------------


def _config(folder: Path, **sections: Any) -> str:
    return str(write_config(folder, **sections))


@pytest.mark.req("MKT-7")
def test_one_table_without_a_terminal(tmp_path: Path) -> None:
    ended = command("quotes", "SPY", "KO", "--once", "--config", _config(tmp_path))

    assert (ended.code, ended.err) == (ExitCode.OK, "")
    head, _, spy, ko, *_ = ended.out.splitlines()[1:]
    assert "SIMULATED GATEWAY" in ended.out.splitlines()[0]
    assert head.split()[:6] == ["symbol", "bid", "ask", "last", "spread", "bp"]
    assert (spy.split()[0], ko.split()[0]) == ("SPY", "KO")
    assert "\x1b" not in ended.out


def test_an_unknown_symbol_is_one_plain_line_and_its_exit_code(tmp_path: Path) -> None:
    ended = command("quotes", "SPY", "NOSUCH", "--config", _config(tmp_path))

    assert ended.code == ExitCode.USAGE
    assert "NOSUCH" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert ended.out == ""


def test_no_gateway_ends_with_its_exit_code(tmp_path: Path) -> None:
    config = _config(tmp_path, gateway={"endpoint": "external", "port": 1, "timeout_s": 1.0})

    ended = command("quotes", "SPY", "--config", config)

    assert ended.code == ExitCode.NOT_CONNECTED
    assert len(ended.err.splitlines()) == 1


def test_for_some_seconds_as_json_lines(tmp_path: Path) -> None:
    ended = command("quotes", "SPY", "--for", "2.5", "--json", "--config", _config(tmp_path))

    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert (ended.code, ended.err) == (ExitCode.OK, "")
    assert len(lines) >= 2
    assert {line["symbol"] for line in lines} == {"SPY"}


def test_a_reader_who_has_seen_enough_ends_it_without_a_word(tmp_path: Path) -> None:
    with _quotes(tmp_path, "SPY") as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        process.wait(PATIENCE_S)

        assert process.returncode == ExitCode.OK
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.req("SUP-9")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_ends_it_in_order(tmp_path: Path, number: int) -> None:
    with _quotes(tmp_path, "SPY") as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", number))
        _, err = process.communicate(timeout=PATIENCE_S)

        assert (process.returncode, err) == (ExitCode.OK, "")


@pytest.mark.req("SUP-12")
def test_it_runs_beside_a_process_that_trades_and_writes_nothing(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    with running(tmp_path, config) as trading:
        trading.wait_for("quote")
        before = state_file(tmp_path, JOURNAL_FILE).stat().st_ino
        ended = command("quotes", "SPY", "--once", "--config", str(config))
        assert ended.code == ExitCode.OK, ended
        assert state_file(tmp_path, JOURNAL_FILE).stat().st_ino == before
        assert trading.end().code == ExitCode.OK

    alone = tmp_path / "alone"
    alone.mkdir()
    assert command("quotes", "SPY", "--once", "--config", _config(alone)).code == ExitCode.OK
    assert [path.name for path in alone.rglob("*")] == ["config.toml"]


@contextmanager
def _quotes(folder: Path, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run the command in the background; killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "supervision", "quotes", *arguments, "--config", _config(folder)],
        cwd=ROOT,
        **{
            "env": ENVIRONMENT,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            "creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            **options,
        },
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE_S)


@needs_a_terminal
def test_on_a_terminal_it_draws_a_table_and_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    environment = ENVIRONMENT | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "24"}
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "env": environment}
    with _quotes(tmp_path, "SPY", "KO", **streams) as process:
        os.close(theirs)
        text = _read_until(ours, "RSI", times=4)
        process.send_signal(signal.SIGINT)
        text += _read_until_closed(ours)
        process.wait(PATIENCE_S)

    assert process.returncode == ExitCode.OK
    assert text.startswith("connecting to a simulated gateway")
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1, "the cursor is shown again"
    assert text.rindex("\x1b[?25h") > text.rindex("KO ")
    assert "Traceback" not in text


def _read_until(descriptor: int, wanted: str, times: int) -> str:
    text = ""
    while text.count(wanted) < times:
        text += os.read(descriptor, 65536).decode(errors="replace")
    return text


def _read_until_closed(descriptor: int) -> str:
    text = ""
    try:
        while data := os.read(descriptor, 65536):
            text += data.decode(errors="replace")
    except OSError:  # Linux says so when the other side is closed
        pass
    finally:
        os.close(descriptor)
    return text
