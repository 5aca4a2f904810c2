"""The local control channel: how the command line speaks with a running process.

One TCP port on loopback, and a file in the state directory that only its owner can read, with the port and a token.
Both sides prove that they know the token before anything else is said; it never crosses the wire itself::

    server → nonce S                                   32 bytes
    client → nonce C, HMAC(token, "client" S C)        64 bytes
    server → HMAC(token, "server" S C)                 32 bytes
    client → length, one JSON object                   the command
    server → length, one JSON object                   {"ok": true, "result": …} or {"ok": false, "error": …}

Bounded: the size of a message, the time a client has until its command is in, the number of clients. When that number
is reached, the oldest one that has not proved itself makes room. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import attrs

from actors.errors import (
    ErrorInfo,
    GatewayConnectionError,
    GatewayStoppedError,
    GatewayTimeoutError,
    SupervisionError,
    describe,
    restore,
)

Command = dict[str, Any]
Handler = Callable[[Command], Command]

FILE_NAME: Final = "control.json"
HOST: Final = "127.0.0.1"
OWNER_ONLY: Final = 0o600
NONCE_BYTES: Final = 32
MAX_COMMAND_BYTES: Final = 64 * 1024
MAX_REPLY_BYTES: Final = 4 * 1024 * 1024
COMMAND_S: Final = 2.0
"""A client that has not said its command after so long is dropped."""

MAX_CLIENTS: Final = 16
BACKLOG: Final = 128
"""Connections that the system may hold until they are accepted, which takes a moment each."""

_LENGTH: Final = struct.Struct(">I")


@attrs.frozen(kw_only=True)
class Endpoint:
    """What the file says: where the process listens, and what proves that one may speak with it."""

    port: int
    pid: int
    token: str = attrs.field(repr=False)


@attrs.define(eq=False)
class _Client:
    sock: socket.socket
    is_trusted: bool = False


class ControlServer:
    """Answers commands for as long as it runs. ``handler`` is called in a thread of the client's, perhaps in several.

    An exception of the handler goes to the client as plain data and is raised there again. ``mask`` sees every answer
    before it leaves (OBS-4).
    """

    def __init__(
        self,
        state_dir: Path,
        handler: Handler,
        *,
        command_s: float = COMMAND_S,
        max_clients: int = MAX_CLIENTS,
        mask: Callable[[Any], Any] = lambda value: value,
    ) -> None:
        """Prepare; `start` opens the port and writes the file."""
        self._file = state_dir / FILE_NAME
        self._handler = handler
        self._command_s = command_s
        self._max_clients = max_clients
        self._mask = mask
        self._token = secrets.token_hex(32)
        self._listener: socket.socket | None = None
        self._clients: list[_Client] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    @property
    def endpoint(self) -> Endpoint:
        """Tell where the server listens; it must have been started."""
        if self._listener is None:
            raise SupervisionError("the control channel has not been started")
        return Endpoint(port=self._listener.getsockname()[1], pid=os.getpid(), token=self._token)

    def start(self) -> ControlServer:
        """Listen, and tell where in the file. OSError when the directory cannot be written."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind((HOST, 0))
        listener.listen(BACKLOG)
        self._listener = listener
        try:
            _write_endpoint(self._file, self.endpoint)
        except OSError:
            listener.close()
            raise
        threading.Thread(target=self._accept, args=(listener,), name="control", daemon=True).start()
        return self

    def stop(self) -> None:
        """Close the port, drop the clients, remove the file if it is still ours."""
        self._stopping.set()
        listener, self._listener = self._listener, None
        if listener is None:
            return
        with suppress(OSError):  # wakes the thread that accepts, on every system
            socket.create_connection(listener.getsockname(), timeout=1.0).close()
        listener.close()
        with self._lock:
            for client in self._clients:
                _hang_up(client.sock)
        with suppress(OSError, GatewayStoppedError):
            if read_endpoint(self._file.parent).token == self._token:
                self._file.unlink()

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopping.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                if self._stopping.is_set():
                    return
                time.sleep(self._command_s / 10)  # out of descriptors, perhaps; they come back
                continue
            client = _Client(sock)
            if self._admit(client):
                threading.Thread(
                    target=self._serve, args=(client,), name="control-client", daemon=True
                ).start()
            else:
                sock.close()

    def _admit(self, newcomer: _Client) -> bool:
        with self._lock:
            if self._stopping.is_set():
                return False
            if len(self._clients) >= self._max_clients:
                strangers = [client for client in self._clients if not client.is_trusted]
                if not strangers:
                    return False
                self._clients.remove(strangers[0])
                _hang_up(strangers[0].sock)
            self._clients.append(newcomer)
            return True

    def _serve(self, client: _Client) -> None:
        try:
            self._converse(client)
        except (OSError, SupervisionError):
            pass  # gone, too slow, or a stranger: each harms itself only
        finally:
            with self._lock, suppress(ValueError):
                self._clients.remove(client)
            client.sock.close()

    def _converse(self, client: _Client) -> None:
        deadline = time.monotonic() + self._command_s
        sock = client.sock
        nonce = secrets.token_bytes(NONCE_BYTES)
        _send(sock, nonce, deadline)
        answer = _receive(sock, 2 * NONCE_BYTES, deadline)
        theirs, proof = answer[:NONCE_BYTES], answer[NONCE_BYTES:]
        if not hmac.compare_digest(proof, _prove(self._token, b"client", nonce, theirs)):
            return
        client.is_trusted = True
        _send(sock, _prove(self._token, b"server", nonce, theirs), deadline)
        request = _receive_frame(sock, MAX_COMMAND_BYTES, deadline)
        reply = self._answer(request)
        _send_frame(sock, reply, time.monotonic() + self._command_s)

    def _answer(self, request: bytes) -> bytes:
        try:
            reply = _encode({"ok": True, "result": self._mask(self._handler(_decode(request)))})
            if len(reply) > MAX_REPLY_BYTES:
                raise SupervisionError(f"the answer exceeds {MAX_REPLY_BYTES} bytes")
        except Exception as error:  # noqa: BLE001  # whatever it is, the client is told
            return _encode({"ok": False, "error": self._mask(attrs.asdict(describe(error)))})
        return reply


def call(state_dir: Path, command: Command, timeout_s: float = 5.0) -> Command:
    """Send a command to the process whose state lies in ``state_dir``, and give its answer.

    `GatewayStoppedError`: no process runs there. `GatewayTimeoutError`: it does not answer in time.
    `GatewayConnectionError`: it hung up. Errors of the process itself are raised as they were there.
    """
    deadline = time.monotonic() + timeout_s
    endpoint = read_endpoint(state_dir)
    file = state_dir / FILE_NAME
    try:
        with socket.create_connection((HOST, endpoint.port), timeout=timeout_s) as sock:
            reply = _ask(sock, endpoint, file, command, deadline)
    except ConnectionRefusedError:
        raise _stale(file, endpoint) from None
    except TimeoutError:
        raise GatewayTimeoutError(
            f"process {endpoint.pid} did not answer within {timeout_s:g} s"
        ) from None
    except OSError as error:
        raise GatewayConnectionError(f"process {endpoint.pid} hung up: {error}") from None
    if reply.get("ok") is True:
        result = reply.get("result")
        return result if isinstance(result, dict) else {}
    raise restore(_error_info(reply.get("error")))


def call_running(state_dirs: Iterable[Path], command: Command, timeout_s: float = 5.0) -> Command:
    """Call the process of the first directory in which one runs; raises `GatewayStoppedError` where none does."""
    stopped: GatewayStoppedError | None = None
    for state_dir in state_dirs:
        try:
            return call(state_dir, command, timeout_s)
        except GatewayStoppedError as error:
            stopped = stopped or error
    raise stopped or GatewayStoppedError("no process is running here")


def read_endpoint(state_dir: Path) -> Endpoint:
    """Read where the process listens; `GatewayStoppedError` when there is no such file, or none that makes sense."""
    file = state_dir / FILE_NAME
    try:
        found = json.loads(file.read_text("utf-8"))
        return Endpoint(port=int(found["port"]), pid=int(found["pid"]), token=str(found["token"]))
    except FileNotFoundError:
        raise GatewayStoppedError(f"no process is running here: there is no {file}") from None
    except OSError as error:
        raise GatewayStoppedError(f"{file} cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError):
        raise GatewayStoppedError(
            f"{file} is damaged; restart the process, which writes it anew"
        ) from None


def _ask(
    sock: socket.socket, endpoint: Endpoint, file: Path, command: Command, deadline: float
) -> Command:
    nonce = _receive(sock, NONCE_BYTES, deadline)
    ours = secrets.token_bytes(NONCE_BYTES)
    _send(sock, ours + _prove(endpoint.token, b"client", nonce, ours), deadline)
    try:
        proof = _receive(sock, NONCE_BYTES, deadline)
    except ConnectionError:
        raise SupervisionError(f"the process refused the token in {file}") from None
    if not hmac.compare_digest(proof, _prove(endpoint.token, b"server", nonce, ours)):
        raise _stale(file, endpoint)
    _send_frame(sock, _encode(command), deadline)
    return _decode(_receive_frame(sock, MAX_REPLY_BYTES, deadline))


def _stale(file: Path, endpoint: Endpoint) -> GatewayStoppedError:
    return GatewayStoppedError(
        f"no process is running here: {file} was left by process {endpoint.pid}, which is gone"
    )


def _error_info(found: object) -> ErrorInfo:
    if not isinstance(found, dict):
        return ErrorInfo(kind="SupervisionError", text="the process failed without saying why")
    return ErrorInfo(kind=str(found.get("kind")), text=str(found.get("text")))


def _write_endpoint(file: Path, endpoint: Endpoint) -> None:
    """Write the file in one step, readable by its owner from the first byte on.

    On Windows the mode means little; there the file has the access list of the user's own directory.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(attrs.asdict(endpoint), stream)
    draft.replace(file)


def _prove(token: str, role: bytes, server_nonce: bytes, client_nonce: bytes) -> bytes:
    return hmac.digest(token.encode(), role + server_nonce + client_nonce, hashlib.sha256)


def _encode(message: Command) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode()


def _decode(raw: bytes) -> Command:
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError):
        raise SupervisionError("the message is no JSON") from None
    if not isinstance(message, dict):
        raise SupervisionError("the message is no JSON object")
    return message


def _send(sock: socket.socket, data: bytes, deadline: float) -> None:
    sock.settimeout(_left(deadline))
    sock.sendall(data)


def _receive(sock: socket.socket, count: int, deadline: float) -> bytes:
    data = bytearray()
    while len(data) < count:
        sock.settimeout(_left(deadline))
        piece = sock.recv(min(count - len(data), 65_536))
        if not piece:
            raise ConnectionResetError("the other side closed the connection")
        data += piece
    return bytes(data)


def _send_frame(sock: socket.socket, data: bytes, deadline: float) -> None:
    _send(sock, _LENGTH.pack(len(data)) + data, deadline)


def _receive_frame(sock: socket.socket, most: int, deadline: float) -> bytes:
    (length,) = _LENGTH.unpack(_receive(sock, _LENGTH.size, deadline))
    if length > most:
        raise SupervisionError(f"a message of {length} bytes exceeds {most}")
    return _receive(sock, length, deadline)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _hang_up(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
