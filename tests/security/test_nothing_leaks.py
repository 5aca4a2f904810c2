"""Account numbers and secrets leave the process nowhere (OBS-4): whole runs, all their output, searched."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from actors.errors import ConfigurationError, GatewayError
from supervision.config.loading import load
from supervision.config.sections import General
from supervision.config.sections import Simulator as SimulatorSection
from supervision.simulator import SimulatorConfig, ThreadedSimulator
from tests.walk.commands import ENVIRONMENT, PATIENCE_S, ROOT, Running, log_lines, write_config
from tests.worlds import real_world

PAPER: Final = "DUM765432"
"""An account of the newer form, three letters in front."""

LIVE: Final = "U7654321"
PASSWORD: Final = "hunter2%21hunter"  # noqa: S105 - the one to look for
API_KEY: Final = "AVKEY0123456789"
DATABASE: Final = f"postgresql+asyncpg://trader:{PASSWORD}@127.0.0.1:9/records"
HIDDEN: Final = (PAPER, LIVE, PASSWORD, "hunter2!hunter", API_KEY)
SECRETS: Final = {"DATABASE_URL": DATABASE, "ALPHA_VANTAGE_API_KEY": API_KEY}
SAID_BY_THE_BROKER: Final = f"account {PAPER} of {LIVE} may not do this"


def assert_nothing_leaks(text: str) -> None:
    """Search a text for everything that may not be in it; the failure shows only where."""
    for secret in HIDDEN:
        at = text.find(secret)
        assert at < 0, f"leaks {secret}: …{text[max(0, at - 200) : at + 60]}"


@contextmanager
def broker(account: str) -> Iterator[ThreadedSimulator]:
    """Run a gateway that manages this account."""
    simulator = ThreadedSimulator(SimulatorConfig(seed=7, account=account, cash=1e6))
    simulator.start()
    try:
        yield simulator
    finally:
        simulator.stop()


@contextmanager
def started(folder: Path, *arguments: str, **sections: dict[str, Any]) -> Iterator[Running]:
    """Run ``python -m supervision run`` with every secret in its environment."""
    config = write_config(folder, logging={"level": "DEBUG"}, **sections)
    process = subprocess.Popen(
        [sys.executable, "-m", "supervision", "run", "--config", str(config), *arguments],
        cwd=ROOT,
        env=ENVIRONMENT | SECRETS,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Running(process, folder)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def cli(folder: Path, *arguments: str) -> str:
    """Run another command on the same configuration; give all it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "supervision", *arguments, "--config", str(folder / "config.toml")],
        cwd=ROOT,
        env=ENVIRONMENT | SECRETS,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.stdout + done.stderr


def page(url: str) -> str:
    """Read a page, whatever its status."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own server
            return str(answer.read().decode())
    except urllib.error.HTTPError as refused:
        return refused.read().decode()


def all_pages(told: dict[str, Any]) -> str:
    """Read every page of a process."""
    live = str(told["health"]).replace("/ready", "/live")
    return page(told["metrics"]) + page(told["health"]) + page(live)


def files_of(folder: Path) -> str:
    """All logs that a process left; the journal is the account's own record and no output."""
    return "".join(path.read_text("utf-8") for path in folder.rglob("*.jsonl*"))


def wait_for_log(run: Running, pattern: str) -> None:
    """Wait until the log has a line that fits."""
    ends_at = time.monotonic() + PATIENCE_S
    while not any(re.search(pattern, str(line)) for line in log_lines(run.folder)):
        assert time.monotonic() < ends_at, pattern
        time.sleep(0.05)


@pytest.mark.req("OBS-4")
@pytest.mark.parametrize("mode", ["paper", "dry_run"])
def test_a_run_through_trouble_names_no_account_and_no_secret(tmp_path: Path, mode: str) -> None:
    sections = {"general": {"account": PAPER, "cycle_s": 0.2}}
    with broker(PAPER) as simulator:
        port = ("--host", "127.0.0.1", "--port", str(simulator.port), "--mode", mode)
        with started(tmp_path, *port, **sections) as run:
            told = run.wait_for("pages_served")
            run.wait_for("order_result")
            simulator.faults.reject_next_order(text=SAID_BY_THE_BROKER)
            simulator.faults.send_error(2119, SAID_BY_THE_BROKER)
            wait_for_log(run, "may not do this")
            seen = [all_pages(told), cli(tmp_path, "status")]
            simulator.faults.drop_connections()
            run.wait_for("strategy_c_triggered")
            seen += [all_pages(told), cli(tmp_path, "status")]
            seen += [cli(tmp_path, "liquidate", "--reason", SAID_BY_THE_BROKER)]
            seen += [cli(tmp_path, "rearm", "--who", PAPER, "--why", API_KEY), all_pages(told)]
            seen += [cli(tmp_path, "status")]
            ended = run.end()

    everything = "".join((*seen, ended.out, ended.err, files_of(tmp_path)))
    assert "DUM****32" in everything  # it was there, masked
    assert "records_degraded" in everything  # and the database was really tried
    assert_nothing_leaks(everything)


@pytest.mark.req("OBS-4")
@pytest.mark.parametrize(
    ("managed", "configured", "mode"),
    [(LIVE, "", "paper"), (LIVE, PAPER, "dry_run"), (PAPER, "DU1111111", "paper")],
)
def test_a_refused_account_is_not_named(
    tmp_path: Path, managed: str, configured: str, mode: str
) -> None:
    with broker(managed) as simulator:
        port = ("--host", "127.0.0.1", "--port", str(simulator.port), "--mode", mode)
        sections = {"general": {"account": configured}}
        with started(tmp_path, *port, "--cycles", "1", **sections) as run:
            out, err = run.process.communicate(timeout=PATIENCE_S)
            code = run.process.returncode
        check = cli(tmp_path, "check", *port[:4])

    assert code != 0
    assert_nothing_leaks(out + err + check + files_of(tmp_path))


@pytest.mark.req("OBS-4")
@pytest.mark.parametrize(
    "text",
    [
        f'[general]\naccount = "{PAPER}!"',
        f'[general]\naccount = "{LIVE}{PAPER}X0123456789"',
        f'[simulator]\naccount = "{LIVE}"',
        f'[secrets]\ndatabase_url = "{DATABASE}"',
        f'[general]\ndatabase_url = "{DATABASE}"\nalpha_vantage_api_key = "{API_KEY}"',
        f'[gateway]\nhost = "{DATABASE}"',
        f'[general]\nmode = "{API_KEY}"',
        f'[general]\n"{API_KEY}" = 1',
        f'[general]\noperator_id = "account {PAPER}"',
        f"[general]\nsymbols = ['{LIVE}.....!']",
        f'account = "{PAPER}',
    ],
)
def test_a_wrong_configuration_is_explained_without_what_is_secret_in_it(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "config.toml").write_text(text)

    told = cli(tmp_path, "run", "--cycles", "1")

    assert "IB_CONF_001" in told
    assert_nothing_leaks(told)


@pytest.mark.req("OBS-4")
def test_a_wrong_secret_in_the_environment_is_not_shown() -> None:
    wrong = {"DATABASE_URL": f"{DATABASE} x", "ALPHA_VANTAGE_API_KEY": f"{API_KEY} x"}

    with pytest.raises(ConfigurationError) as raised:
        load(None, wrong)

    assert_nothing_leaks(str(raised.value))


@pytest.mark.req("OBS-4")
def test_a_configuration_that_is_printed_is_masked() -> None:
    config = attrs.evolve(
        load(None, SECRETS),
        general=General(account=PAPER),
        simulator=SimulatorSection(account="DU7654321"),
    )

    assert "DUM****32" in repr(config)
    assert_nothing_leaks(repr(config))
    assert "DU7654321" not in repr(config)


@pytest.mark.req("OBS-4")
def test_what_a_caller_catches_is_masked(tmp_path: Path) -> None:
    async def scenario() -> list[str]:
        simulated = SimulatorConfig(seed=7, account=PAPER, cash=1e6)
        async with real_world(tmp_path, simulated=simulated) as world:
            world.simulator.faults.no_subscription()
            told = []
            for failing in (
                world.gateway.get_market_data(PAPER, timeout=2.0),
                world.gateway.close_position(PAPER, timeout=2.0),
                world.gateway.cancel_order(SAID_BY_THE_BROKER, timeout=2.0),
            ):
                with pytest.raises(GatewayError) as raised:
                    await failing
                told.append(f"{raised.value} {raised.value!r} {raised.value.args}")
            return told

    assert_nothing_leaks("".join(asyncio.run(scenario())))


@pytest.mark.req("OBS-4")
def test_a_run_that_cannot_keep_its_state_says_so_and_no_secret(tmp_path: Path) -> None:
    in_the_way = tmp_path / f"{PAPER} {API_KEY}"
    in_the_way.write_text("a file where a directory has to be")
    write_config(tmp_path, general={"state_dir": str(in_the_way)})

    told = cli(tmp_path, "run", "--cycles", "1")

    assert "Traceback" not in told
    assert "DUM****32 [removed]" in told
    assert_nothing_leaks(told)


UNCAUGHT: Final = f"""
import sys, threading
from supervision.commands import cli
sys.argv = ["ibkr-actors", "--help"]
try:
    cli.main()
except SystemExit:
    pass
def fail(): raise RuntimeError("{SAID_BY_THE_BROKER} {API_KEY}")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
class Odd:
    def __del__(self): fail()
odd = Odd()
del odd
raise ValueError("{DATABASE}")
"""


@pytest.mark.req("OBS-4")
def test_tracebacks_of_what_nobody_caught_are_masked() -> None:
    done = subprocess.run(
        [sys.executable, "-"],
        input=UNCAUGHT,
        cwd=ROOT,
        env=ENVIRONMENT | SECRETS,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert done.stderr.count("Traceback") == 3
    assert "may not do this" in done.stderr
    assert_nothing_leaks(done.stderr + done.stdout)


LIBRARIES: Final = f"""
import asyncio, logging, sys
from actors.model.orders import ExecutionMode
from supervision import process as runtime
from supervision.config.loading import load
import os
async def main():
    config = load(sys.argv[1], os.environ)
    process = runtime.build_standalone_process(config, ExecutionMode.DRY_RUN, "X", False)
    await process.start()
    for name in ("sqlalchemy.engine", "alembic", "uvicorn.error", "ib_insync.client", "anything"):
        try:
            raise ValueError("{DATABASE} {API_KEY}")
        except ValueError:
            logging.getLogger(name).exception("{SAID_BY_THE_BROKER} %s", "{DATABASE}")
    await process.stop("done")
asyncio.run(main())
"""


@pytest.mark.req("OBS-4")
def test_what_libraries_log_is_masked(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", LIBRARIES, str(config)],
        cwd=ROOT,
        env=ENVIRONMENT | SECRETS,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    told = [line for line in log_lines(tmp_path) if line["event"] == "library_log"]
    names = {line["logger"] for line in told}
    assert names >= {
        "sqlalchemy.engine",
        "alembic",
        "uvicorn.error",
        "ib_insync.client",
        "anything",
    }
    assert_nothing_leaks(done.stdout + done.stderr + files_of(tmp_path))
