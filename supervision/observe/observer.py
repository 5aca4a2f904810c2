"""What watches one process from beside: its numbers, its health, and the server that shows them (OBS-1, OBS-3).

::

    actors ──event──▶ Observer.log ──▶ the log's writer (level, masking, file, console)
                          ├──────────▶ Metrics          every event, whatever its level
                          └──────────▶ what is degraded
    /metrics, /health ──▶ the tree's status, and within bounds the actors' own answers
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final, Protocol

from actors.kernel.clock import Clock
from actors.ports import EventLog, MemoryReading
from supervision.observe.health import Health, Trouble
from supervision.observe.masking import Masker
from supervision.observe.metrics import Metrics
from supervision.observe.metrics_state import State
from supervision.observe.server import Listener, ServerThread
from supervision.tree.tree import Tree

METRICS, HEALTH = "metrics", "health"
BESIDE_POLL_S: Final = 10.0
"""So often it is asked what waits for the database and for publishing: a scrape must not ask."""


class Writer(Protocol):
    """What the observer wants to know of the log's writer."""

    @property
    def dropped(self) -> int:
        """How many events did not fit into its queue."""
        ...

    @property
    def not_shown(self) -> int:
        """How many lines the console would not take."""
        ...

    @property
    def file_problem(self) -> str | None:
        """Why the file takes no lines at present."""
        ...


class Observer:
    """The observability of one process. `log` is what its actors are given; `start` begins to serve the pages."""

    def __init__(
        self,
        *,
        clock: Clock,
        log: EventLog,
        writer: Writer | None,
        masker: Masker,
        read_memory_mb: MemoryReading,
        symbols: tuple[str, ...],
        host: str,
        metrics_port: int,
        health_port: int,
    ) -> None:
        """Count from now on, and write on to ``log``. ``writer``: the one behind it, where it is ours."""
        self._write = log
        self._writer = writer
        self._masker = masker
        self._read_memory_mb = read_memory_mb
        self._journal_problem: str | None = None
        self._tree: Tree | None = None
        self._health: Health | None = None
        self._listeners = _listeners(host, metrics_port, health_port)
        self._thread = ServerThread(self._listeners, self.log)
        self.metrics = Metrics(clock, symbols, self.state)

    def log(
        self,
        event: str,
        *,
        level: str = "INFO",
        correlation_id: str | None = None,
        **fields: object,
    ) -> None:
        """Count an event, then write it (`actors.ports.EventLog`)."""
        self.metrics.count(event, fields)
        if event == "journal_commit_failed":
            self._journal_problem = str(fields.get("why"))
        elif event == "journal_commits_again":
            self._journal_problem = None
        self._write(event, level=level, correlation_id=correlation_id, **fields)

    def start(self, tree: Tree) -> None:
        """Watch this tree and serve the pages. Never fails: what cannot be served is told and is degraded."""
        self._tree = tree
        health = self._health = Health(tree, self.trouble)
        self._thread.start(lambda *served: self._serve(health, *served))
        pages = self.pages
        if pages:
            self.log("pages_served", **pages)

    def stop(self) -> bool:
        """Stop serving; False when that took too long and the thread was left behind."""
        return self._thread.stop()

    @property
    def pages(self) -> dict[str, str]:
        """Where the pages are, by name."""
        by_name = {listener.name: listener for listener in self._listeners}
        health = by_name.get(HEALTH, by_name[METRICS])
        found = {
            METRICS: by_name[METRICS].url("/metrics"),
            HEALTH: health.url("/health/ready"),
        }
        return {name: url for name, url in found.items() if url is not None}

    def trouble(self) -> Trouble:
        """Tell what is degraded, as far as it is known without asking."""
        log_problem = self._writer.file_problem if self._writer else None
        logs = (f"log file: {log_problem}",) if log_problem else ()
        return Trouble(degraded=(*self._thread.problems, *logs), journal=self._journal_problem)

    def degraded(self) -> tuple[str, ...]:
        """Tell the same for the status."""
        trouble = self.trouble()
        return (*trouble.degraded, *(("journal: " + trouble.journal,) if trouble.journal else ()))

    def state(self) -> State:
        """Read what is no event, for one scrape."""
        tree, writer = self._tree, self._writer
        records = self._health.records if self._health else None
        publishing = self._health.publishing if self._health else None
        return State(
            actors=tree.status() if tree else (),
            dead_letters=tree.dead_letters.total if tree else 0,
            log_events_dropped=writer.dropped if writer else 0,
            log_lines_not_shown=writer.not_shown if writer else 0,
            records_waiting=records.waiting if records else 0,
            records_dropped=records.dropped if records else 0,
            quotes_published=publishing.published if publishing else 0,
            quotes_waiting=publishing.waiting if publishing else 0,
            quotes_dropped=publishing.dropped if publishing else 0,
            memory_mb=self._read_memory_mb(),
        )

    async def _serve(
        self,
        health: Health,
        ports: dict[str, int],
        sockets: list[socket.socket],
        stopping: asyncio.Event,
    ) -> None:
        from supervision.observe import web  # costs memory and time that only this thread spends

        routes = {
            METRICS: lambda: web.metrics_routes(self.metrics),
            HEALTH: lambda: web.health_routes(health, self._masker),
        }
        shown = {port: routes[name]() for name, port in ports.items()}
        if len(self._listeners) == 1 and shown:
            shown[ports[METRICS]] += routes[HEALTH]()
        pages = web.Pages(shown)
        polling = asyncio.create_task(_poll(health))
        serving = asyncio.create_task(pages.serve(sockets))
        told = asyncio.create_task(stopping.wait())
        await asyncio.wait((serving, told), return_when=asyncio.FIRST_COMPLETED)
        polling.cancel()
        told.cancel()
        pages.stop()
        await serving


async def _poll(health: Health) -> None:
    while True:
        await health.ask_beside()
        await asyncio.sleep(BESIDE_POLL_S)


def _listeners(host: str, metrics_port: int, health_port: int) -> tuple[Listener, ...]:
    """Two ports, or one where both pages are wanted on the same."""
    metrics = Listener(METRICS, host, metrics_port)
    if metrics_port == health_port != 0:
        return (metrics,)
    return (metrics, Listener(HEALTH, host, health_port))
