"""The main job as people start it: the command line in a process of its own."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from supervision.commands.cli import ExitCode
from supervision.simulator import SimulatorConfig
from tests.walk.commands import (
    ENVIRONMENT,
    PATIENCE_S,
    ROOT,
    command,
    in_process,
    log_lines,
    running,
    state_file,
    write_config,
)
from tests.walk.independent import independent_indicators
from tests.worlds import CONTEXT, ProofWorld, buy, prove

REAL_BARS = "../shared/market/sp500_1min_2019-11.csv"
HOUR_MINUTES = 60
EXACT = 1e-9
STEPS = (
    "quote",
    "indicators",
    "signal",
    "risk_approved",
    "order_simulated",
    "order_result",
)
"""One cycle of the sample orchestrator, in the order of its events."""

READ_BY_THE_ACTOR = "quote_read"

needs_real_bars = pytest.mark.skipif(
    not (ROOT / REAL_BARS).exists(), reason=f"there is no {REAL_BARS}"
)


# --- one cycle --------------------------------------------------------------------------------------------------------


@pytest.mark.req("SUP-9", "MODE-1")
def test_one_cycle_ends_by_itself_with_the_simulated_order(tmp_path: Path) -> None:
    config = write_config(tmp_path, logging={"level": "DEBUG"})

    ended = command("run", "--cycles", "1", "--config", str(config))

    assert ended.code == ExitCode.OK, ended
    assert "SIMULATED GATEWAY inside this process: no account, no money" in ended.out
    assert re.search(r"order_result .*SPY .*status=SIMULATED .*action=BUY", ended.out)
    assert ended.out.rstrip().endswith("stopped in order")
    assert ended.err == ""
    lines = log_lines(tmp_path)
    of_cycle = [line for line in lines if line["event"] in STEPS]
    assert [line["event"] for line in of_cycle] == list(STEPS)
    of_cycle += [line for line in lines if line["event"] == READ_BY_THE_ACTOR]
    assert len(of_cycle) == len(STEPS) + 1
    assert len({line["correlation_id"] for line in of_cycle}) == 1
    assert len(of_cycle[0]["correlation_id"]) == len("00000000-0000-4000-8000-000000000000")


@pytest.mark.req("SUP-9", "MODE-2")
def test_paper_mode_fills_at_the_embedded_gateway(tmp_path: Path) -> None:
    config = write_config(tmp_path)

    ended = command("run", "--cycles", "1", "--mode", "paper", "--config", str(config))

    assert ended.code == ExitCode.OK, ended
    assert "orders are SENT to the paper account" in ended.out
    assert re.search(r"order_result .*SPY .*status=FILLED", ended.out)


@pytest.mark.req("SUP-9")
def test_each_symbol_has_a_cycle_of_its_own(tmp_path: Path) -> None:
    config = write_config(tmp_path)

    ended = command(
        "run", "--cycles", "1", "--symbol", "QQQ", "--symbol", "KO", "--config", str(config)
    )

    assert ended.code == ExitCode.OK, ended
    quotes = [line for line in log_lines(tmp_path) if line["event"] == "quote"]
    assert [line["symbol"] for line in quotes] == ["QQQ", "KO"]
    assert len({line["correlation_id"] for line in quotes}) == 2


# --- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.req("SUP-9")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_stops_it_in_order(number: int, tmp_path: Path) -> None:
    config = write_config(tmp_path)

    with running(tmp_path, config) as process:
        process.wait_for("order_result")
        ended = process.end(number)

    assert ended.code == ExitCode.OK, ended
    assert "stopped in order" in ended.out
    events = [line["event"] for line in log_lines(tmp_path)]
    assert events.index("stopping") < events.index("disconnection")
    assert not state_file(tmp_path, "control.json").exists()


@pytest.mark.req("SUP-9")
def test_a_signal_while_it_still_tries_to_connect_stops_it_in_order(tmp_path: Path) -> None:
    gateway = {"endpoint": "external", "port": _free_port()}
    config = write_config(tmp_path, gateway=gateway)

    with running(tmp_path, config) as process:
        process.wait_for("connection_failure")
        ended = process.end()

    assert ended.code == ExitCode.OK, ended
    assert "stopped in order" in ended.out


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.req("MODE-3")
def test_live_mode_is_refused_with_why(tmp_path: Path) -> None:
    config = write_config(tmp_path)

    ended = command("run", "--mode", "live", "--config", str(config))

    assert ended.code == ExitCode.REFUSED
    assert "blocked by construction" in ended.err
    assert "dry_run" in ended.err
    assert ended.out == ""
    assert not (tmp_path / "state").exists(), "nothing was started"


@pytest.mark.req("MODE-3", "CFG-1")
def test_live_mode_in_the_configuration_is_refused_too(tmp_path: Path) -> None:
    config = write_config(tmp_path, general={"mode": "live"}, features={"live_execution": True})

    ended = in_process("run", "--cycles", "1", "--config", str(config))

    assert ended.code == ExitCode.USAGE
    assert ended.err.count("live trading is blocked") == 2


FAULTS: dict[str, dict[str, Any]] = {
    "general": {"mode": "fast", "symbols": [], "nonsense": 1},
    "gateway": {"port": 70_000, "client_id": 0, "host": "not a host"},
    "connection": {"heartbeat_s": "often", "jitter_ratio": 2.0},
    "risk": {"day_trades": "never", "max_open_positions": -1},
    "logging": {"level": "LOUD"},
    "market_data": {"history_minutes": 90},
    "no_such_section": {"a": 1},
}
FAULTY_KEYS = [
    f"{section}.{key}" for section, keys in FAULTS.items() for key in keys if section[0] != "n"
]


@pytest.mark.req("CFG-1")
def test_a_configuration_with_a_dozen_faults_gives_one_readable_report(tmp_path: Path) -> None:
    config = write_config(tmp_path, **FAULTS)

    ended = command("run", "--config", str(config))

    assert ended.code == ExitCode.USAGE
    assert len(FAULTY_KEYS) == 12
    assert [key for key in FAULTY_KEYS if key not in ended.err] == []
    assert "no_such_section" in ended.err
    assert "Traceback" not in ended.err
    assert ended.out == ""


@pytest.mark.req("CFG-1")
def test_a_configuration_that_is_not_there_is_told(tmp_path: Path) -> None:
    ended = in_process("run", "--config", str(tmp_path / "nowhere.toml"))

    assert ended.code == ExitCode.USAGE
    assert "nowhere.toml" in ended.err


@pytest.mark.req("SUP-9")
def test_cycles_without_a_gateway_end_with_their_own_code(tmp_path: Path) -> None:
    gateway = {"endpoint": "external", "port": _free_port(), "timeout_s": 1.0}
    config = write_config(tmp_path, gateway=gateway)

    ended = command("run", "--cycles", "1", "--config", str(config))

    assert ended.code == ExitCode.NOT_CONNECTED
    assert "not_connected" in ended.out
    assert "stopped in order" in ended.out


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- commands to a running process ------------------------------------------------------------------------------------


@pytest.mark.req("GW-5", "STC-4", "SUP-9")
def test_status_liquidate_and_rearm_reach_a_running_process(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    options = ("--config", str(config))

    with running(tmp_path, config) as process:
        process.wait_for("order_result")
        before = command("status", *options)
        liquidated = command("liquidate", "--reason", "a drill", *options)
        process.wait_for("strategy_c_report")
        latched = command("status", *options)
        rearmed = command("rearm", "--who", "me", "--why", "it was a drill", *options)
        after = command("status", *options)
        ended = process.end()

    assert [each.code for each in (before, liquidated, latched, rearmed, after, ended)] == [0] * 6
    assert "opening     allowed" in before.out
    actors = {line.split()[1] for line in before.out.splitlines() if line.startswith("actor ")}
    assert actors > {"connection", "market_data", "executor", "position", "risk", "strategy_c"}
    assert "latched" in liquidated.out
    assert "STRATEGY C  latched: operator: a drill" in latched.out
    assert "refused until an operator re-arms" in latched.out
    assert "re-armed" in rearmed.out
    assert "opening     allowed" in after.out
    rearming = next(line for line in log_lines(tmp_path) if line["event"] == "rearmed")
    assert (rearming["who"], rearming["why"]) == ("me", "it was a drill")


@pytest.mark.req("SUP-12", "STC-4")
def test_the_latch_outlives_the_process_and_a_second_process_is_refused(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    options = ("--config", str(config))

    with running(tmp_path, config) as process:
        process.wait_for("running")
        second = command("run", "--cycles", "1", *options)
        command("liquidate", "--reason", "a drill", *options)
        process.end()
    again = command("run", "--cycles", "1", *options)

    assert second.code == ExitCode.LOCKED
    assert "is in use by process" in second.err
    assert again.code == ExitCode.OK
    assert re.search(r"order_result .*status=REJECTED .*latched", again.out), again.out


@pytest.mark.req("SUP-9")
@pytest.mark.parametrize(
    "arguments",
    [("status",), ("rearm", "--who", "me", "--why", "because"), ("liquidate", "--reason", "now")],
    ids=lambda arguments: arguments[0],
)
def test_commands_without_a_running_process_say_so(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    ended = in_process(*arguments, "--config", str(write_config(tmp_path)))

    assert ended.code == ExitCode.NOT_RUNNING
    assert "no process is running" in ended.err


# --- help and script --------------------------------------------------------------------------------------------------


@pytest.mark.req("SUP-9")
@pytest.mark.parametrize("arguments", [(), ("run",)], ids=["all", "run"])
def test_the_help_documents_every_exit_code(arguments: tuple[str, ...]) -> None:
    ended = in_process(*arguments, "--help")

    text = " ".join(ended.out.split())
    assert ended.code == ExitCode.OK
    documented = [code for code in ExitCode if re.search(rf"(codes:|·) {code.value} ", text)]
    assert documented == list(ExitCode)


@pytest.mark.req("SUP-9")
def test_the_console_script_is_the_command_line() -> None:
    script = Path(sys.executable).with_name("ibkr-actors")
    if not script.exists():
        pytest.skip("the package is not installed in this environment")

    done = subprocess.run(
        [script, "--help"], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )

    assert done.returncode == ExitCode.OK
    assert "Exit codes" in done.stdout


# --- README -----------------------------------------------------------------------------------------------------------


@pytest.mark.req("GW-10", "MODE-1")
def test_the_readmes_example_runs_as_printed(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "config.toml").write_text((ROOT / "config.toml").read_text())
    script = tmp_path / "example.py"
    script.write_text(example)

    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )

    assert done.returncode == 0, done.stderr
    first, second, *_ = done.stdout.splitlines()
    assert first.endswith(" 1.0")
    assert second.startswith("SIMULATED 10.0 ")
    assert "order_simulated" in done.stderr
    assert "Traceback" not in done.stderr


# --- real prices ------------------------------------------------------------------------------------------------------


@needs_real_bars
@pytest.mark.req("MKT-2")
def test_the_main_job_runs_on_real_prices_and_orders_nothing_without_volume(
    tmp_path: Path,
) -> None:
    config = write_config(tmp_path, simulator={"replay": {"SPY": REAL_BARS}})

    ended = command("run", "--cycles", "1", "--config", str(config))

    assert ended.code == ExitCode.OK, ended
    assert "nothing was traded (volume 0)" in ended.out
    events = [line["event"] for line in log_lines(tmp_path)]
    assert "indicators" in events
    assert not [event for event in events if event.startswith(("order", "risk", "signal"))]


@needs_real_bars
@pytest.mark.req("MKT-2")
def test_indicators_of_real_prices_equal_an_independent_calculation() -> None:
    async def scenario(world: ProofWorld) -> Any:
        data = await world.gateway.get_market_data("SPY")
        bars = await world.gateway.get_historical_data("SPY")
        refused = await world.gateway.submit_order(buy(1), CONTEXT)
        return data, bars, refused

    path = ROOT / REAL_BARS
    data, bars, _ = prove(scenario, mode="dry_run", simulated=SimulatorConfig(replay={"SPY": path}))

    table = pd.read_csv(path).rename(columns=str.lower)
    history = table.iloc[1:HOUR_MINUTES]
    for name in ("open", "high", "low", "close"):
        assert [getattr(bar, name) for bar in bars[:-1]] == list(history[name])
    assert data.volume is None
    expected = independent_indicators(bars)
    for name, value in expected.items():
        assert getattr(data, name) == pytest.approx(value, abs=EXACT), name
