"""The gateway's sockets: it listens, knows who is connected, and closes them when told to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from . import codes
from .fault_state import FaultState
from .session import Session


class Network:
    """One listening port and its sessions, for one asyncio loop."""

    def __init__(self, host: str, port: int, faults: FaultState) -> None:
        """Listen at `host` and `port` (0: any that is free) as soon as `listen` is called."""
        self._host_name = host
        self._port = port
        self._faults = faults
        self._sessions: dict[int, Session] = {}
        self._count = 0
        self._server: asyncio.Server | None = None
        self._relisten: asyncio.Task[None] | None = None
        self._stopped = True
        self._make: Callable[[int], Session]
        self._loop: asyncio.AbstractEventLoop

    @property
    def port(self) -> int:
        """The port it listens on (known once it listens)."""
        return self._port

    @property
    def sessions(self) -> list[Session]:
        """All connections, those included that have not said anything."""
        return list(self._sessions.values())

    def ready_sessions(self) -> list[Session]:
        """The connections that have completed startApi."""
        return [session for session in self._sessions.values() if session.ready]

    def forget(self, session: Session) -> None:
        """Take note that a connection has ended."""
        self._sessions.pop(session.number, None)

    async def start(self, make_session: Callable[[int], Session]) -> None:
        """Listen; `make_session` makes the session with a number. Raises `OSError`."""
        self._stopped = False
        self._make = make_session
        self._loop = asyncio.get_running_loop()
        await self._listen()

    async def end_listening(self) -> None:
        """Listen no more, for good."""
        self._stopped = True
        if self._relisten is not None:
            self._relisten.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._relisten
        self.stop_listening()

    async def end_sessions(self) -> None:
        """Close every connection after what was queued, and soon whatever is then still unsent."""
        self.drop(None, reset=False)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for session in self.sessions:
            session.abort()
        await asyncio.sleep(0)

    def kill(self) -> None:
        """Listen no more, for good, and reset every connection."""
        self._stopped = True
        self.stop_listening()
        self.drop(None, reset=True)

    async def _listen(self) -> None:
        self._server = await self._loop.create_server(
            self._make_session, self._host_name, self._port
        )
        self._port = int(self._server.sockets[0].getsockname()[1])

    def _make_session(self) -> Session:
        self._count += 1
        session = self._make(self._count)
        self._sessions[session.number] = session
        return session

    def stop_listening(self) -> None:
        """Refuse new connections."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def listen_again(self) -> None:
        """Accept connections again, on the same port."""
        if self._server is None and not self._stopped and self._relisten is None:
            self._relisten = self._loop.create_task(self._listen_again())

    async def _listen_again(self) -> None:
        try:
            await self._listen()
            if self._stopped or self._faults.refusing:
                self.stop_listening()
        finally:
            self._relisten = None

    def reset_port(self, *, moves: bool) -> None:
        """Tell everybody to reconnect, perhaps on another port, and close their connections."""
        if moves:
            self.stop_listening()
            with contextlib.closing(socket.socket()) as unused:
                unused.bind((self._host_name, 0))
                self._port = int(unused.getsockname()[1])
        self.notice(codes.PORT_RESET, f"{codes.TEXTS[codes.PORT_RESET]}{self._port}")
        self.drop(None, reset=False)
        if not self._faults.refusing:
            self.listen_again()

    def drop(self, client_id: int | None, *, reset: bool) -> None:
        """Close the connections of a client, or of all."""
        for session in self.sessions:
            if client_id in (None, session.client_id):
                session.close(reset=reset)

    def notice(
        self,
        code: int,
        text: str | None = None,
        *,
        request_id: int = -1,
        client_id: int | None = None,
    ) -> None:
        """Send an error or notice to a client, or to all."""
        for session in self.ready_sessions():
            if client_id in (None, session.client_id):
                session.error(request_id, code, text)

    def pause_reading(self) -> None:
        """Leave what clients send in their sockets."""
        for session in self.sessions:
            session.pause_reading()

    def release(self) -> None:
        """Send what was kept back."""
        for session in self.sessions:
            session.release()

    def resume_reading(self) -> None:
        """Read again."""
        for session in self.sessions:
            session.resume_reading()
