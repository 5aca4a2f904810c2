"""The connection test command over real sockets: every failing case, its remedy and its exit code (DEP-2)."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from actors.model.orders import ExecutionMode
from supervision.commands.check import STEPS, remedies
from supervision.commands.check.judging import judge_port
from supervision.commands.check.report import Status, StepFailed
from supervision.commands.check.sockets import find_listener
from supervision.commands.cli import ExitCode
from supervision.simulator import SimulatorConfig, ThreadedSimulator
from supervision.store.entries.accounts import pin_rows
from supervision.store.journal_file import JournalFile
from supervision.store.journal_lock import JOURNAL_FILE, JournalLock
from supervision.store.journal_values import Writer
from tests.walk.commands import Ended, command, in_process, log_lines, running, write_config

NAMES: Final = [step.name for step in STEPS]
SKEW_S: Final = 90.0
PATIENCE_S: Final = 1.0
"""How long a step may take here; the default is ten seconds."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def simulated(
    fault: str | None = None,
    *arguments: Any,
    now: Callable[[], datetime] | None = None,
    **config: Any,
) -> Iterator[ThreadedSimulator]:
    """Run a gateway with a fault."""
    simulator = ThreadedSimulator(SimulatorConfig(**config), now or _utc_now)
    simulator.start()
    try:
        if fault is not None:
            getattr(simulator.faults, fault)(*arguments)
        yield simulator
        assert simulator.ledger == (), "a check never sends an order"
    finally:
        simulator.stop()


@contextmanager
def bare_server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Accept connections and treat each with ``answer``; gives the port."""
    server = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            held.append(connection)
            answer(connection)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield server.getsockname()[1]
    finally:
        server.close()
        for connection in held:
            connection.close()


def check(folder: Path, port: int, *options: str, **sections: dict[str, Any]) -> Ended:
    """Run the command against a port of this computer."""
    sections["gateway"] = {"timeout_s": PATIENCE_S} | sections.get("gateway", {})
    config = write_config(folder, **sections)
    return in_process("check", "--config", str(config), "--port", str(port), *options)


def lines_of(ended: Ended) -> dict[str, str]:
    """Sort the lines of a report by their steps; remedies stand in one line behind their step."""
    found: dict[str, str] = {}
    step = ""
    for line in ended.out.splitlines():
        matched = re.match(rf"(ok|warning|FAILED|skipped) +({'|'.join(NAMES)}) ", line)
        if matched:
            step = matched.group(2) if matched.group(2) != "port" else _port_or_mode(line)
            found[step] = line
        elif line.startswith(" ") and step:
            found[step] += " " + line.strip()
    return found


def _port_or_mode(line: str) -> str:
    return "port and mode" if "port and mode" in line else "port"


def assert_failed(ended: Ended, step: str, code: ExitCode, detail: str, remedy: str) -> None:
    """One step fails with this detail and this remedy, nothing is left unexplained, and the command ends so."""
    lines = lines_of(ended)
    assert lines[step].startswith("FAILED"), ended.out
    assert detail in lines[step]
    assert f"remedy: {remedy}" in lines[step]
    assert ended.out.rstrip().endswith(f"the check failed at: {step}")
    assert ended.code == code
    assert "Traceback" not in ended.out + ended.err


# --- a gateway as it should be ----------------------------------------------------------------------------------------


@pytest.mark.req("DEP-2")
def test_every_step_is_shown_with_its_latency(tmp_path: Path) -> None:
    with simulated() as simulator:
        ended = check(tmp_path, simulator.port)

    assert ended.code == ExitCode.OK, ended
    lines = lines_of(ended)
    assert list(lines) == NAMES
    assert all(line.startswith("ok ") for line in lines.values()), ended.out
    timed = [name for name, line in lines.items() if re.search(r" \d+\.\d ms  ", line)]
    assert timed == [step.name for step in STEPS if step.asks]
    assert {line[35:37] for line in lines.values()} == {"  "}, "the details stand in one column"
    assert all(line[37] != " " for line in lines.values())
    assert "DU1234567" not in ended.out, "accounts are masked"
    assert ended.out.rstrip().endswith("the check passed")


@pytest.mark.req("DEP-2")
def test_the_embedded_gateway_can_be_checked_by_the_real_command(tmp_path: Path) -> None:
    ended = command("check", "--config", str(write_config(tmp_path)))

    assert ended.code == ExitCode.OK, ended
    assert "SIMULATED GATEWAY" in ended.out.splitlines()[0]
    assert list(lines_of(ended)) == NAMES
    assert ended.err == ""


@pytest.mark.req("DEP-2")
def test_machines_get_one_json_object(tmp_path: Path) -> None:
    with simulated("no_subscription") as simulator:
        ended = check(tmp_path, simulator.port, "--json")

    report = json.loads(ended.out)
    assert (report["passed"], report["exit_code"], report["mode"]) == (False, ended.code, "paper")
    assert [step["step"] for step in report["steps"]] == NAMES
    last = next(step for step in report["steps"] if step["step"] == "market data")
    assert (last["status"], last["error_code"]) == ("failed", "IB_DATA_005")
    assert last["remedy"] == remedies.SUBSCRIBE
    assert last["latency_ms"] > 0


# --- the port ---------------------------------------------------------------------------------------------------------


def closed_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.req("DEP-2")
def test_nothing_listens(tmp_path: Path) -> None:
    ended = check(tmp_path, closed_port())

    assert_failed(
        ended, "port", ExitCode.NOT_CONNECTED, "nothing listens", "start IB Gateway or TWS"
    )
    assert lines_of(ended)["market data"].startswith("skipped")


@pytest.mark.req("DEP-2")
def test_a_name_that_does_not_resolve(tmp_path: Path) -> None:
    ended = check(tmp_path, 4002, "--host", "no-such-host.invalid")

    assert_failed(
        ended, "port", ExitCode.NOT_CONNECTED, "is not known", "the name does not resolve"
    )


@pytest.mark.req("DEP-2")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows refuses the address before it tries")
def test_a_host_that_cannot_be_reached(tmp_path: Path) -> None:
    ended = check(tmp_path, 4002, "--host", "255.255.255.255")

    assert_failed(
        ended, "port", ExitCode.NOT_CONNECTED, "cannot be reached", "no answer from that computer"
    )


@pytest.mark.req("DEP-2")
def test_a_usual_port_that_is_open_instead_is_named(tmp_path: Path) -> None:
    usual = [*remedies.PAPER_PORTS, *remedies.LIVE_PORTS]
    server = next((made for port in usual if (made := _bind(port)) is not None), None)
    if server is None:
        pytest.skip("all of IB's usual ports are in use on this computer")
    with server:
        ended = check(tmp_path, closed_port())

    assert f"something listens on {server.port} (" in lines_of(ended)["port"]


class _Bound:
    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self.port: int = server.getsockname()[1]

    def __enter__(self) -> None:
        """Listen already."""

    def __exit__(self, *_: object) -> None:
        self._server.close()


def _bind(port: int) -> _Bound | None:
    try:
        return _Bound(socket.create_server(("127.0.0.1", port)))
    except OSError:
        return None


@pytest.mark.req("DEP-2")
@pytest.mark.skipif(
    sys.platform != "linux", reason="how a full backlog behaves is the system's matter"
)
def test_a_host_that_swallows_packets_is_unreachable_within_the_limit() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        host, port = server.getsockname()
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex((host, port))

        with pytest.raises(StepFailed, match=r"did not answer within 0\.3 s") as caught:
            asyncio.run(find_listener(host, port, 0.3))

        for filler in fillers:
            filler.close()
    assert caught.value.remedy == remedies.UNREACHABLE


# --- the API ----------------------------------------------------------------------------------------------------------


def _hang_up_after_hello(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.close()


@pytest.mark.req("DEP-2")
@pytest.mark.parametrize(
    "answer",
    [_hang_up_after_hello, lambda connection: connection.close()],
    ids=["after our hello", "at once, which resets"],
)
def test_a_socket_that_closes_without_a_word_means_a_disabled_api(
    answer: Callable[[socket.socket], None], tmp_path: Path
) -> None:
    with bare_server(answer) as port:
        ended = check(tmp_path, port)

    assert_failed(ended, "API", ExitCode.NOT_CONNECTED, "", "the socket was accepted and closed")
    assert "enable socket clients" in lines_of(ended)["API"]
    assert "Trusted IPs" in lines_of(ended)["API"]


@pytest.mark.req("DEP-2")
def test_a_socket_that_stays_silent_means_a_gateway_that_hangs(tmp_path: Path) -> None:
    with bare_server(lambda _: None) as port:
        ended = check(tmp_path, port)

    assert_failed(
        ended, "API", ExitCode.NOT_CONNECTED, "silent for 1 s", "the socket is open but the API"
    )


@pytest.mark.req("DEP-2")
@pytest.mark.parametrize(
    "words",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\x04SSH\0", b"\0\0\0\x08\xb2\0again\0"],
    ids=["http", "text", "a digit that is none"],
)
def test_another_program_on_the_port_is_told(words: bytes, tmp_path: Path) -> None:
    with bare_server(lambda connection: connection.sendall(words)) as port:
        ended = check(tmp_path, port)

    assert_failed(
        ended, "API", ExitCode.NOT_CONNECTED, "does not speak IB's protocol", "another program"
    )


@pytest.mark.req("DEP-2")
def test_a_gateway_that_is_too_old_is_told_with_both_versions(tmp_path: Path) -> None:
    with simulated("version_too_old", 76) as simulator:
        ended = check(tmp_path, simulator.port)

    assert_failed(
        ended, "API", ExitCode.NOT_CONNECTED, "server version 76, needed 163", "install IB Gateway"
    )


# --- the port's meaning -----------------------------------------------------------------------------------------------


@pytest.mark.req("DEP-2")
@pytest.mark.parametrize("port", [4001, 7496])
def test_a_live_port_does_not_fit_paper_mode(port: int) -> None:
    with pytest.raises(StepFailed, match=f"{port} is the usual port of .*, LIVE") as caught:
        judge_port(port, ExecutionMode.PAPER)

    assert "log in to the paper account" in caught.value.remedy


@pytest.mark.req("DEP-2")
@pytest.mark.parametrize(
    ("port", "mode", "status", "detail"),
    [
        (4002, ExecutionMode.PAPER, Status.OK, "IB Gateway, paper"),
        (7497, ExecutionMode.PAPER, Status.OK, "TWS, paper"),
        (5000, ExecutionMode.PAPER, Status.OK, "none of IB's usual ports"),
        (4001, ExecutionMode.DRY_RUN, Status.WARNING, "dry_run only reads it"),
        (7496, ExecutionMode.DRY_RUN, Status.WARNING, "dry_run only reads it"),
    ],
)
def test_a_port_is_told_with_its_usual_meaning(
    port: int, mode: ExecutionMode, status: Status, detail: str
) -> None:
    found, said, _ = judge_port(port, mode)

    assert (found, detail in said) == (status, True)


@pytest.mark.req("DEP-2")
def test_a_live_port_is_refused_even_when_everything_else_is_well(tmp_path: Path) -> None:
    for port in remedies.LIVE_PORTS:
        try:
            with simulated(port=port):
                ended = check(tmp_path, port)
        except OSError:
            continue  # somebody uses it; the other one may be free
        assert_failed(ended, "port and mode", ExitCode.REFUSED, "LIVE", "this is a port for live")
        assert lines_of(ended)["market data"].startswith("ok")
        return
    pytest.skip("both live ports are in use on this computer")


@pytest.mark.req("DEP-2", "MODE-3")
def test_nothing_is_good_for_live_mode(tmp_path: Path) -> None:
    ended = check(tmp_path, 4001, "--mode", "live")

    assert ended.code == ExitCode.REFUSED
    assert "blocked by construction" in ended.err


# --- login and client id ----------------------------------------------------------------------------------------------


@pytest.mark.req("DEP-2")
@pytest.mark.parametrize("how", ["disclaimer", "close", "silence"])
def test_a_gateway_that_is_not_logged_in(how: str, tmp_path: Path) -> None:
    with simulated("authentication_failure", how) as simulator:
        ended = check(tmp_path, simulator.port)

    assert_failed(ended, "login", ExitCode.NOT_CONNECTED, "", "finish the login")
    assert lines_of(ended)["API"].startswith("ok"), "the API itself answered"


@pytest.mark.req("DEP-2", "CON-8")
def test_a_taken_client_id_is_told_and_the_other_steps_go_on(tmp_path: Path) -> None:
    with simulated("client_id_taken", 17, 99) as simulator:
        ended = check(tmp_path, simulator.port, gateway={"client_id": 17})

    assert_failed(ended, "client id", ExitCode.NOT_CONNECTED, "(code 326)", "end the other program")
    assert lines_of(ended)["market data"].startswith("ok")


@pytest.mark.req("DEP-2")
def test_two_checks_may_run_at_once(tmp_path: Path) -> None:
    with simulated("client_id_taken", 9998, 99) as simulator:
        ended = check(tmp_path, simulator.port)

    assert ended.code == ExitCode.OK, ended
    assert "under client id 9997" in lines_of(ended)["login"]


@pytest.mark.req("DEP-2")
def test_a_check_beside_a_process_that_trades_does_not_disturb_it(tmp_path: Path) -> None:
    with simulated_for_trading() as simulator:
        gateway = {"endpoint": "external", "port": simulator.port}
        config = write_config(tmp_path, gateway=gateway)

        with running(tmp_path, config, "--mode", "paper") as process:
            process.wait_for("order_result")
            orders = len(simulator.ledger)
            ended = in_process("check", "--config", str(config))
            orders_after = len(simulator.ledger)
            events = [line["event"] for line in log_lines(tmp_path)]
            process.end()

    assert ended.code == ExitCode.OK, ended
    assert "in use by the running process" in lines_of(ended)["client id"]
    assert "disconnection" not in events
    assert orders == orders_after == 1


@contextmanager
def simulated_for_trading() -> Iterator[ThreadedSimulator]:
    """Run a gateway that may get orders: not the check's."""
    simulator = ThreadedSimulator(SimulatorConfig(cash=100_000.0))
    simulator.start()
    try:
        yield simulator
    finally:
        simulator.stop()


# --- the account ------------------------------------------------------------------------------------------------------


@pytest.mark.req("DEP-2", "MODE-2")
def test_a_live_account_is_refused_and_masked(tmp_path: Path) -> None:
    with simulated(account="U7654321") as simulator:
        ended = check(tmp_path, simulator.port)

    assert_failed(
        ended, "accounts", ExitCode.REFUSED, "trades paper accounts only", "log the gateway in to"
    )
    assert "U7654321" not in ended.out


@pytest.mark.req("DEP-2")
def test_a_live_account_may_be_read_in_dry_run(tmp_path: Path) -> None:
    with simulated(account="U7654321") as simulator:
        ended = check(tmp_path, simulator.port, "--mode", "dry_run")

    assert ended.code == ExitCode.OK, ended


@pytest.mark.req("DEP-2")
def test_several_accounts_ask_for_a_choice(tmp_path: Path) -> None:
    with simulated(accounts=("DU1111111", "DU2222222")) as simulator:
        ended = check(tmp_path, simulator.port)
        chosen = check(tmp_path, simulator.port, general={"account": "DU2222222"})

    assert_failed(ended, "accounts", ExitCode.REFUSED, "manages 2 accounts", "set general.account")
    assert chosen.code == ExitCode.OK, chosen


@pytest.mark.req("DEP-2", "CON-18")
def test_an_account_that_this_state_directory_does_not_trade_fails_the_check(
    tmp_path: Path,
) -> None:
    pin = pin_rows(endpoint="external", account="DU2222222", at=datetime.now(UTC))
    with JournalLock(tmp_path / "state" / JOURNAL_FILE) as lock:
        file = JournalFile(lock)
        with file.batch() as batch:
            batch.add(Writer(name="test", incarnation=1), pin)
        file.close()
    with simulated(account="DU1111111") as simulator:
        other = check(tmp_path, simulator.port)
    with simulated(account="DU2222222") as simulator:
        same = check(tmp_path, simulator.port)

    assert_failed(
        other, "accounts", ExitCode.REFUSED, "this state_dir trades", "log the gateway in to"
    )
    assert same.code == ExitCode.OK, same


# --- what the gateway answers -----------------------------------------------------------------------------------------


@pytest.mark.req("DEP-2")
def test_a_gateway_without_a_time_fails_the_round_trip(tmp_path: Path) -> None:
    with simulated("ignore_requests", "reqCurrentTime") as simulator:
        ended = check(tmp_path, simulator.port)

    assert_failed(
        ended, "round trip", ExitCode.NOT_CONNECTED, "did not answer", "the session is open but"
    )


@pytest.mark.req("DEP-2")
def test_clocks_that_differ_are_told_with_the_difference(tmp_path: Path) -> None:
    def late() -> datetime:
        return _utc_now() - timedelta(seconds=SKEW_S)

    with simulated(now=late) as simulator:
        ended = check(tmp_path, simulator.port)

    said = lines_of(ended)["round trip"]
    assert said.startswith("warning")
    assert re.search(r"the clocks differ by -(89|90|91) s", said)
    assert "time server (NTP)" in said
    assert ended.code == ExitCode.OK


@pytest.mark.req("DEP-2", "MODE-5")
def test_a_read_only_api_is_told_before_it_refuses_an_order(tmp_path: Path) -> None:
    with simulated(read_only=True) as simulator:
        ended = check(tmp_path, simulator.port)
        accepted = check(tmp_path, simulator.port, gateway={"readonly": True})

    assert_failed(ended, "state", ExitCode.FAILED, "", "untick 'Read-Only API'")
    assert accepted.code == ExitCode.OK, accepted
    assert "gateway.readonly refuses every order" in lines_of(accepted)["state"]


@pytest.mark.req("DEP-2")
def test_positions_that_do_not_come_are_told(tmp_path: Path) -> None:
    with simulated("ignore_requests", "reqPositions") as simulator:
        ended = check(tmp_path, simulator.port)

    assert_failed(ended, "state", ExitCode.FAILED, "did not answer", "positions, orders or the")


@pytest.mark.req("DEP-2", "CON-16")
def test_a_part_of_the_state_that_does_not_come_is_named(tmp_path: Path) -> None:
    with simulated("ignore_requests", "reqCompletedOrders") as simulator:
        ended = check(tmp_path, simulator.port, connection={"read_silence_s": 0.05})

    said = lines_of(ended)["state"]
    assert said.startswith("warning")
    assert "only closes would go, since these were not answered: completed orders" in said
    assert ended.code == ExitCode.OK


@pytest.mark.req("DEP-2", "MKT-11")
@pytest.mark.parametrize(
    ("fault", "arguments", "detail", "remedy"),
    [
        ("no_subscription", (None, 354), "(code 354)", "subscribe to the market data"),
        ("no_subscription", (None, 10089), "(code 10089)", "subscribe to the market data"),
        ("no_subscription", (None, 10168), "(code 10168)", "subscribe to the market data"),
        ("competing_session", (), "(code 10197)", "end the other session"),
        ("missing_data", (None, "minus_one"), "without a price", "the market may be closed"),
        ("missing_data", (None, "end_only"), "without a price", "the market may be closed"),
    ],
)
def test_why_there_is_no_market_data_is_told_apart(
    fault: str, arguments: tuple[Any, ...], detail: str, remedy: str, tmp_path: Path
) -> None:
    with simulated(fault, *arguments) as simulator:
        ended = check(tmp_path, simulator.port)

    assert_failed(ended, "market data", ExitCode.FAILED, detail, remedy)


@pytest.mark.req("DEP-2", "MKT-11")
@pytest.mark.parametrize(
    ("fault", "arguments", "said"),
    [("no_subscription", (None, 10167), "SPY is DELAYED"), ("halt", ("SPY",), "SPY is HALTED")],
)
def test_data_that_opens_nothing_is_a_warning(
    fault: str, arguments: tuple[Any, ...], said: str, tmp_path: Path
) -> None:
    with simulated(fault, *arguments) as simulator:
        ended = check(tmp_path, simulator.port)

    assert lines_of(ended)["market data"].startswith("warning")
    assert said in ended.out
    assert ended.out.rstrip().endswith("the check passed, with 1 warning")
    assert ended.code == ExitCode.OK


@pytest.mark.req("DEP-2")
def test_an_unknown_symbol_is_told(tmp_path: Path) -> None:
    with simulated() as simulator:
        ended = check(tmp_path, simulator.port, "--symbol", "NOSUCH")

    assert_failed(ended, "market data", ExitCode.FAILED, "(code 200)", "correct general.symb")
