"""The thread that answers Prometheus and health probes: beside the actors, never in their way (OBS-3).

Guarantees: a port that is taken is a warning and a degraded health, never a failed start; the thread is a daemon and
ends within `STOP_S`; no signal handler is touched.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

import attrs

from actors.ports import EventLog

STOP_S: Final = 2.0
BACKLOG: Final = 64


@attrs.define
class Listener:
    """A port to listen on: the configured one, then the one that the system gave."""

    name: str
    host: str
    port: int
    sock: socket.socket | None = None
    problem: str | None = None

    def bind(self) -> None:
        """Take the port, or note why not."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            self.sock = socket.create_server((self.host, self.port), family=family, backlog=BACKLOG)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error)
            self.problem = f"{self.name}_port {self.port} on {self.host}: {why}"
            return
        self.port = self.sock.getsockname()[1]

    def url(self, path: str) -> str | None:
        """Tell where a page is found; None where it is not."""
        if self.sock is None:
            return None
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{path}"


Serve = Callable[[dict[str, int], list[socket.socket], asyncio.Event], Coroutine[Any, Any, None]]
"""Answers on the sockets, whose ports are named ``metrics`` and ``health``, until the event is set."""


class ServerThread:
    """One thread with one loop. ``serve`` is imported and run there, so that a start does not wait for it."""

    def __init__(self, listeners: tuple[Listener, ...], log: EventLog) -> None:
        self._listeners = listeners
        self._log = log
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._failed: str | None = None

    @property
    def problems(self) -> tuple[str, ...]:
        """Why pages cannot be reached."""
        ports = (listener.problem for listener in self._listeners)
        return tuple(filter(None, (*ports, self._failed)))

    def start(self, serve: Serve) -> None:
        """Take the ports now; answer as soon as the thread is ready."""
        for listener in self._listeners:
            listener.bind()
            if listener.problem is not None:
                self._log("port_not_served", level="WARNING", why=listener.problem)
        if any(listener.sock is not None for listener in self._listeners):
            self._loop = asyncio.new_event_loop()
            self._stopping = asyncio.Event()
            self._thread = threading.Thread(
                target=self._run, args=(serve,), name="observe", daemon=True
            )
            self._thread.start()

    def stop(self) -> bool:
        """End it; False when it did not within `STOP_S`."""
        thread, loop, stopping = self._thread, self._loop, self._stopping
        if thread is None or loop is None or stopping is None:
            return True
        with suppress(RuntimeError):  # it has ended by itself
            loop.call_soon_threadsafe(stopping.set)
        thread.join(STOP_S)
        return not thread.is_alive()

    def _run(self, serve: Serve) -> None:
        assert self._loop is not None  # noqa: S101 - set before the thread starts
        assert self._stopping is not None  # noqa: S101
        asyncio.set_event_loop(self._loop)
        ports = {each.name: each.port for each in self._listeners if each.sock is not None}
        sockets = [each.sock for each in self._listeners if each.sock is not None]
        try:
            self._loop.run_until_complete(serve(ports, sockets, self._stopping))
        except BaseException as error:  # noqa: BLE001 - trading goes on without these pages
            self._failed = (
                f"the server of metrics and health ended: {type(error).__name__}: {error}"
            )
            self._log("pages_failed", level="ERROR", why=self._failed)
        finally:
            for sock in sockets:
                sock.close()
            asyncio.set_event_loop(None)
            self._loop.close()
