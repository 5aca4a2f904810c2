"""The control channel serves its owner and nobody else, whatever else knocks."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from actors.errors import (
    ActorFailedError,
    GatewayError,
    GatewayStoppedError,
    GatewayTimeoutError,
    LatchedError,
    SupervisionError,
)
from supervision.commands.control import (
    FILE_NAME,
    MAX_COMMAND_BYTES,
    NONCE_BYTES,
    Command,
    ControlServer,
    call,
    read_endpoint,
)

SHORT_S = 0.3


def echo(command: Command) -> Command:
    """Answer with the command, or fail as it asks."""
    if command.get("fail") == "latched":
        raise LatchedError("Strategy C is latched")
    if command.get("fail") == "odd":
        raise ZeroDivisionError("by zero")
    if command.get("fail") == "unspeakable":
        return {"answer": object()}
    return {"echo": command}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ControlServer]:
    """Run a server that gives a client little time and few places."""
    running = ControlServer(tmp_path / "state", echo, command_s=SHORT_S, max_clients=3).start()
    yield running
    running.stop()


@pytest.fixture
def state_dir(server: ControlServer, tmp_path: Path) -> Path:
    """Name the directory of the server's file."""
    return tmp_path / "state"


@pytest.fixture
def knock(server: ControlServer) -> Iterator[Callable[[], socket.socket]]:
    """Open bare connections to the server, closed at the end."""
    opened: list[socket.socket] = []

    def connect() -> socket.socket:
        opened.append(socket.create_connection(("127.0.0.1", server.endpoint.port), timeout=10))
        return opened[-1]

    yield connect
    for sock in opened:
        sock.close()


def test_a_command_is_answered(state_dir: Path) -> None:
    command = {"do": "rearm", "who": "Zoë", "why": "checked"}

    assert call(state_dir, command) == {"echo": command}


def test_many_clients_at_once_are_answered(tmp_path: Path) -> None:
    running = ControlServer(tmp_path, echo).start()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: call(tmp_path, {"n": n}), range(40)))

    assert answers == [{"echo": {"n": n}} for n in range(40)]
    running.stop()


def test_an_error_of_the_process_is_raised_at_the_caller(state_dir: Path) -> None:
    with pytest.raises(LatchedError, match="Strategy C is latched"):
        call(state_dir, {"fail": "latched"})
    with pytest.raises(ActorFailedError, match="ZeroDivisionError: by zero"):
        call(state_dir, {"fail": "odd"})
    with pytest.raises(GatewayError, match="not JSON serializable"):
        call(state_dir, {"fail": "unspeakable"})


def test_without_a_process_the_error_says_so_and_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(GatewayStoppedError, match="no process is running") as caught:
        call(tmp_path, {})

    assert str(tmp_path / FILE_NAME) in str(caught.value)


def test_the_file_of_a_dead_process_is_recognised(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib; from supervision.commands.control import ControlServer;"
        "ControlServer(pathlib.Path(sys.argv[1]), dict).start(); os._exit(9)"
    )
    root = Path(__file__).parents[2]
    environ = {**os.environ, "PYTHONPATH": str(root)}
    dead = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=environ, cwd=root)
    dead.wait()

    with pytest.raises(GatewayStoppedError, match=f"left by process {dead.pid}, which is gone"):
        call(tmp_path, {})


def test_a_stranger_on_the_port_of_a_dead_process_gets_no_command(tmp_path: Path) -> None:
    heard = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        endpoint = {"port": stranger.getsockname()[1], "pid": 1, "token": "t"}
        (tmp_path / FILE_NAME).write_text(json.dumps(endpoint))

        def pretend() -> None:
            sock, _ = stranger.accept()
            with sock:
                sock.sendall(b"n" * NONCE_BYTES)
                heard.extend(sock.recv(2 * NONCE_BYTES))
                sock.sendall(b"p" * NONCE_BYTES)
                while piece := sock.recv(1000):
                    heard.extend(piece)

        thread = threading.Thread(target=pretend)
        thread.start()
        with pytest.raises(GatewayStoppedError, match="which is gone"):
            call(tmp_path, {"secret": "plan"})
        thread.join()

    assert len(heard) == 2 * NONCE_BYTES


@pytest.mark.parametrize("content", ["", "{", "[]", '{"port": "x", "pid": 1, "token": ""}'])
def test_a_damaged_file_is_one_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)

    with pytest.raises(GatewayStoppedError, match="damaged"):
        call(tmp_path, {})


def test_a_wrong_token_is_refused(state_dir: Path) -> None:
    file = state_dir / FILE_NAME
    endpoint = json.loads(file.read_text())
    file.write_text(json.dumps({**endpoint, "token": "0" * 64}))

    with pytest.raises(SupervisionError, match="refused the token") as caught:
        call(state_dir, {"do": "liquidate"})

    assert str(file) in str(caught.value)
    assert endpoint["token"] not in str(caught.value)


@pytest.mark.parametrize("garbage", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 200, b"\0" * 5])
def test_garbage_is_dropped_and_others_are_served(
    state_dir: Path, knock: Callable[[], socket.socket], garbage: bytes
) -> None:
    for _ in range(10):
        sock = knock()
        sock.sendall(garbage)
        sock.close()

    assert call(state_dir, {"n": 1}) == {"echo": {"n": 1}}


def test_silent_clients_block_nobody_and_are_dropped(
    state_dir: Path, knock: Callable[[], socket.socket]
) -> None:
    silent = [knock() for _ in range(6)]

    begun = time.monotonic()
    assert call(state_dir, {"n": 1}) == {"echo": {"n": 1}}
    assert time.monotonic() - begun < SHORT_S

    for sock in silent:
        while sock.recv(1000):
            pass


def test_a_command_that_is_too_long_is_refused(state_dir: Path) -> None:
    with pytest.raises(GatewayError):
        call(state_dir, {"text": "x" * MAX_COMMAND_BYTES})

    assert call(state_dir, {}) == {"echo": {}}


def test_a_process_that_does_not_answer_is_a_timeout(tmp_path: Path) -> None:
    release = threading.Event()

    def slow(command: Command) -> Command:
        release.wait(10)
        return command

    running = ControlServer(tmp_path, slow).start()
    begun = time.monotonic()

    with pytest.raises(GatewayTimeoutError, match=r"within 0\.2 s"):
        call(tmp_path, {}, timeout_s=0.2)

    assert time.monotonic() - begun < 1.0
    release.set()
    running.stop()


@pytest.mark.skipif(os.name != "posix", reason="on Windows the directory's access list counts")
@pytest.mark.req("OBS-4")
def test_the_file_is_its_owners_alone_and_the_token_is_not_shown(
    server: ControlServer, state_dir: Path
) -> None:
    assert (state_dir / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert server.endpoint.token not in repr(server.endpoint)


def test_the_file_goes_when_the_server_stops_and_only_if_it_is_its_own(tmp_path: Path) -> None:
    old = ControlServer(tmp_path, echo).start()
    new = ControlServer(tmp_path, echo).start()

    old.stop()
    assert read_endpoint(tmp_path) == new.endpoint
    assert call(tmp_path, {}) == {"echo": {}}

    new.stop()
    new.stop()
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_stops_hangs_up_on_its_clients(
    server: ControlServer, knock: Callable[[], socket.socket]
) -> None:
    sock = knock()
    assert len(sock.recv(NONCE_BYTES)) == NONCE_BYTES

    server.stop()

    assert sock.recv(1) == b""
