"""One client's connection: handshake, framing, sending, and what the client has subscribed to."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast

from loguru import logger

from . import codes
from .config import MIN_SERVER_VERSION
from .frames import FrameBuffer, FrameError, encode, split
from .rate import Rate
from .world import World

_REJECT_JSON_FROM = 166
_CLIENT_CHUNK = 4096
_START_API = "71"


class Host(Protocol):
    """Who is told what a session reads."""

    def start_session(self, session: Session, client_id: int) -> None:
        """Answer startApi: let the client in, or say why not."""
        ...

    def dispatch(self, session: Session, values: list[str]) -> None:
        """Act on one message of a client that was let in."""
        ...

    def forget(self, session: Session) -> None:
        """Take note that a connection has ended."""
        ...


class Session(asyncio.Protocol):
    """Speaks with one client. Messages go to `Host.dispatch` once the handshake is done."""

    def __init__(self, host: Host, world: World, number: int) -> None:
        self.number = number
        self.version = 0
        self.client_id = -1
        self.ready = False
        self.market_data_type = 1
        self.subscriptions: dict[tuple[str, int], Callable[[], None]] = {}
        self.rate = Rate()
        self._host = host
        self._world = world
        self._faults = world.faults
        self._transport: asyncio.Transport | None = None
        self._buffer = FrameBuffer()
        self._greeted = False
        self._outgoing: list[bytes] = []
        self._delayed: deque[bytes] = deque()
        self._closing = False
        self._muted = False

    # Transport ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection over (called by the loop)."""
        self._transport = cast(asyncio.Transport, transport)
        connection = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._faults.reading_stopped:
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the loop's signature
        """Forget everything this client subscribed to (called by the loop)."""
        self._closing = True
        for cancel in list(self.subscriptions.values()):
            cancel()
        self.subscriptions.clear()
        self._host.forget(self)

    def data_received(self, data: bytes) -> None:
        """Read bytes (called by the loop). Bytes that make no sense close the connection."""
        if self._closing:
            return
        self._buffer.feed(data)
        try:
            self._read()
        except FrameError as error:
            logger.debug("client {}: {}", self.client_id, error)
            self.close()

    def pause_reading(self) -> None:
        """Leave what the client sends in the socket."""
        if self._transport is not None and not self._closing:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self._transport is not None and not self._closing:
            self._transport.resume_reading()

    # Reading ------------------------------------------------------------------------------------

    def _read(self) -> None:
        if not self._greeted:
            if len(self._buffer) < 4:
                return
            if self._buffer.take_bytes(4) != b"API\0":
                raise FrameError("the client does not open with API")
            self._greeted = True
        while not self._closing and (payload := self._buffer.take_payload()) is not None:
            if self.version == 0:
                self._negotiate(payload)
                continue
            drop = self._faults.count_received()
            if drop is not None:
                self.close(reset=drop.reset)
                return
            fields = split(payload)
            if self.ready:
                self._host.dispatch(self, fields)
            elif not self._start(fields):
                raise FrameError("the client does not begin with startApi")

    def _negotiate(self, payload: bytes) -> None:
        text = payload.decode("ascii", "replace").strip("\0").split(" ")[0]
        lowest, _, highest = text.removeprefix("v").partition("..")
        try:
            offered = int(highest or lowest)
        except ValueError:
            raise FrameError(f"not a version range: {text[:40]!r}") from None
        pretended = self._faults.version_offered
        self.version = min(offered, self._world.config.max_version)
        self.send(str(pretended or self.version), self._connection_time())
        if pretended is None and self.version < MIN_SERVER_VERSION:
            self.close()

    def _connection_time(self) -> str:
        return self._world.now().astimezone(dt.UTC).strftime("%Y%m%d %H:%M:%S Greenwich Mean Time")

    def _start(self, fields: list[str]) -> bool:
        if len(fields) < 3 or fields[0] != _START_API:
            return False
        try:
            client_id = int(fields[2])
        except ValueError:
            return False
        self._host.start_session(self, client_id)
        return True

    # Sending ------------------------------------------------------------------------------------

    def send(self, *fields: str) -> None:
        """Send one message; all messages of one turn of the loop leave in one write."""
        faults = self._faults
        if self._closing or self._muted or faults.silent:
            return
        frame = encode(fields)
        if faults.suspended:
            self._delayed.append(frame)
        elif faults.latency_s > 0 or self._delayed:
            self._delayed.append(frame)
            self._world.timers.later(faults.latency_s, self._release)
        else:
            self._queue(frame)

    def _release(self) -> None:
        if self._delayed:
            self._queue(self._delayed.popleft())

    def release(self) -> None:
        """Send at once what was kept back."""
        while self._delayed:
            self._release()

    def mute(self) -> None:
        """Say nothing more on this connection."""
        self._muted = True

    def send_message(self, fields: list[str]) -> None:
        """Send one message given as a list."""
        self.send(*fields)

    def error(self, request_id: int, code: int, text: str | None = None) -> None:
        """Send an error or a notice; the text defaults to the recorded one."""
        fields = ["4", "2", str(request_id), str(code), text or codes.TEXTS.get(code, "")]
        if self.version >= _REJECT_JSON_FROM:
            fields.append("")
        self.send(*fields)

    def _queue(self, frame: bytes) -> None:
        if self._closing:
            return
        drop = self._faults.count_sent()
        if drop is not None:
            if drop.mid_message:
                self._outgoing.append(frame[: len(frame) // 2])
            self.close(reset=drop.reset)
            return
        if not self._outgoing:
            self._world.loop.call_soon(self.flush)
        self._outgoing.append(frame)

    def flush(self) -> None:
        """Hand over what was queued."""
        if not self._outgoing or self._transport is None:
            return
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        if len(data) % _CLIENT_CHUNK == 0 and self.ready and not self._closing:
            # The official clients lose a burst that ends on their chunk size; say the time of day.
            data += encode(["8", "1", self._world.clock_text()])
        self._transport.write(data)
        limit = self._world.config.limits.write_buffer_bytes
        if limit and self._transport.get_write_buffer_size() > limit:
            logger.warning("client {} does not read; disconnected", self.client_id)
            self._closing = True
            self._transport.abort()

    def abort(self) -> None:
        """Drop the connection with whatever is still unsent."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def close(self, *, reset: bool = False) -> None:
        """Close the connection after what was queued; `reset` sends RST instead of FIN."""
        if self._transport is None:
            self._closing = True
            return
        if self._closing:
            return
        self._closing = True
        self.flush()
        if not reset:
            self._transport.close()
            return
        connection = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._transport.abort()
