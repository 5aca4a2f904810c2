"""The three pages: ``/metrics`` on one port, ``/health/live`` and ``/health/ready`` on another (OBS-1, OBS-3).

Imported when the server starts, and only then: a process without pages does not pay for starlette and uvicorn.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from supervision.observe.health import Health, as_json
from supervision.observe.masking import Masker
from supervision.observe.metrics import Metrics

MAX_CLIENTS: Final = 32
"""Connections at once; more are answered with 503."""

MAX_HEAD_BYTES: Final = 16_384
CLIENT_S: Final = 5.0
"""A connection is closed after so long, whatever it does: a silent client may not take a place for good."""

GRACE_S: Final = 1
NO_STORE: Final = {"cache-control": "no-store"}


def metrics_routes(metrics: Metrics) -> list[Route]:
    """Make the page for Prometheus."""

    async def show(request: Request) -> Response:
        body, content_type = metrics.exposition(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    return [Route("/metrics", show)]


def health_routes(health: Health, masker: Masker) -> list[Route]:
    """Make the pages for whoever restarts or feeds this process. Texts are masked (OBS-4)."""

    async def live(_: Request) -> Response:
        dead = health.why_not_alive()
        if dead is None:
            return JSONResponse({"status": "alive"}, headers=NO_STORE)
        body = {"status": "dead", "reason": masker.text(dead)}
        return JSONResponse(body, 503, headers=NO_STORE)

    async def ready(_: Request) -> Response:
        readiness = await health.ready()
        body = masker.value(as_json(readiness))
        return JSONResponse(body, 200 if readiness.is_ready else 503, headers=NO_STORE)

    return [Route("/health/live", live), Route("/health/ready", ready)]


class Pages:
    """One server for all ports: which pages a client sees depends on the port that it came to."""

    def __init__(self, pages: dict[int, list[Route]]) -> None:
        """Show ``pages[port]`` on each port."""
        self._apps: dict[int, ASGIApp] = {
            port: Starlette(routes=routes) for port, routes in pages.items()
        }
        config = Config(
            self,
            http=_BriefProtocol,
            ws="none",
            lifespan="off",
            loop="none",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            limit_concurrency=MAX_CLIENTS,
            timeout_keep_alive=int(CLIENT_S),
            timeout_graceful_shutdown=GRACE_S,
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        )
        self._server = _Server(config)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to the pages of its port (ASGI)."""
        await self._apps[scope["server"][1]](scope, receive, send)

    async def serve(self, sockets: list[socket.socket]) -> None:
        """Answer on these sockets until `stop`."""
        await self._server.serve(sockets=sockets)

    def stop(self) -> None:
        """End soon; call it on the loop that serves."""
        self._server.stop()


class _Server(Server):
    """Waits to be told instead of looking ten times a second. Signals are left alone, since no main thread runs it."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._told = asyncio.Event()

    def stop(self) -> None:
        self.should_exit = True
        self._told.set()

    async def main_loop(self) -> None:
        await self._told.wait()


class _BriefProtocol(H11Protocol):
    """Closes every connection after `CLIENT_S`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._end = self.loop.call_later(CLIENT_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._end is not None:
            self._end.cancel()
        super().connection_lost(exc)
