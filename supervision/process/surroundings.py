"""What a process has around its tree: the log, what is counted and served, the journal's lock, the embedded gateway."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from actors.errors import JournalError
from actors.kernel.actor import ActorContext, SupervisedActor
from actors.kernel.clock import Clock
from actors.ports import EventLog
from supervision.config.sections import Config
from supervision.observe.logging import EventLogWriter
from supervision.observe.masking import Masker
from supervision.process import settings
from supervision.process.memory import ProcessMemory
from supervision.simulator import ThreadedSimulator
from supervision.store import volume
from supervision.store.journal import JournalActor
from supervision.store.journal_file import JournalFile
from supervision.store.journal_lock import JOURNAL_FILE, JournalLock
from supervision.store.journal_schema import open_database
from supervision.store.latch_marker import MARKER_FILE, LatchMarker
from supervision.store.uncommitted import Uncommitted
from supervision.store.volatile_journal import VolatileJournalActor
from supervision.store.volatile_store import VolatileStore

if TYPE_CHECKING:
    from supervision.observe.observer import Observer

if TYPE_CHECKING:
    from supervision.observe.observer import Observer

JournalOpener = Callable[..., JournalFile]
"""Opens the journal's file, as `JournalFile` does; another one can watch every write."""


def make_masker(config: Config) -> Masker:
    """Make what knows the accounts and the secrets of this configuration (OBS-4)."""
    secrets = config.secrets
    masker = Masker.of_secrets(
        secrets.database_url, secrets.redis_url, secrets.alpha_vantage_api_key
    )
    for account in (config.general.account, config.simulator.account):
        masker.hide_account(account)
    return masker


def make_observer(
    config: Config,
    clock: Clock,
    log: EventLog,
    writer: EventLogWriter | None,
    masker: Masker,
) -> Observer:
    """Make what counts and serves, as ``[observability]`` says."""
    from supervision.observe.observer import Observer  # with Prometheus: only where it is wanted

    section = config.observability
    return Observer(
        clock=clock,
        log=log,
        writer=writer,
        masker=masker,
        read_memory_mb=ProcessMemory(),
        symbols=config.general.symbols,
        host=section.host,
        metrics_port=section.metrics_port,
        health_port=section.health_port,
    )


def make_log(config: Config, clock: Clock, masker: Masker, *, standalone: bool) -> EventLogWriter:
    """Make the log that ``[logging]`` describes; its thread starts with the process.

    In an orchestrator's process stdout is the orchestrator's: our lines would fall between its own.
    """
    section = config.logging
    console = sys.stdout if standalone else sys.stderr
    file = config.state_dir / section.file if section.file else None
    return EventLogWriter(
        clock=clock,
        level=section.level,
        stream=console if section.console else None,
        file=file,
        rotation_bytes=section.rotation_bytes,
        retention_files=section.retention_files,
        queue_bound=section.queue_bound,
        masker=masker,
    )


def require_durable_volume(config: Config) -> None:
    """Refuse to send orders where the journal would be lost with its container (DEP-1)."""
    external = config.gateway.endpoint == "external"
    if volume.is_required(config.journal.durable_volume, os.environ, external=external):
        volume.require_durable(
            config.state_dir,
            volume.look_around(os.environ),
            enabled=config.journal.enabled,
        )


class JournalKeeper:
    """The journal's lock, which the process owns, and the factory of the actor that owns the file."""

    def __init__(self, config: Config, log: EventLog, open_journal: JournalOpener) -> None:
        self._config = config
        self._log = log
        self._open_journal = open_journal
        self._store = VolatileStore()
        self._uncommitted = Uncommitted(config.journal.kept_bound)
        self._lock = JournalLock(config.state_dir / JOURNAL_FILE)
        self._marker = LatchMarker(config.state_dir / MARKER_FILE)

    def lock(self) -> None:
        """Take the lock; raises `JournalLockedError` when another process holds it, or `JournalError`."""
        if self._config.journal.enabled:
            self._lock.acquire()
            try:
                self._require_usable_files()
            except JournalError:
                self._lock.release()
                raise

    def _require_usable_files(self) -> None:
        """Find out before any actor starts: one that fails at its start is tried again, which cannot help here."""
        self._marker.prepare()
        synchronous = self._config.journal.synchronous
        open_database(self._lock.path, synchronous=synchronous, check=False).close()

    def unlock(self) -> None:
        """Give the lock back."""
        if self._lock.is_held:
            self._lock.release()

    def make(self, context: ActorContext) -> SupervisedActor:
        """Make the actor, with a disk or without."""
        if not self._config.journal.enabled:
            return VolatileJournalActor(context, self._store)
        return JournalActor(
            context,
            open_file=self._open,
            retention=timedelta(days=self._config.journal.retention_days),
            uncommitted=self._uncommitted,
            marker=self._marker,
            log=self._log,
        )

    def _open(self, incarnation: int) -> JournalFile:
        return self._open_journal(
            self._lock, incarnation=incarnation, synchronous=self._config.journal.synchronous
        )


class EmbeddedGateway:
    """The embedded gateway in a thread of its own, or none where a real one is configured (D11)."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._simulator: ThreadedSimulator | None = None

    def start(self) -> tuple[str, int, str]:
        """Return host, port, and the endpoint in words."""
        gateway = self._config.gateway
        if gateway.endpoint != "embedded":
            return gateway.host, gateway.port, f"gateway {gateway.host}:{gateway.port}"
        self._simulator = ThreadedSimulator(settings.simulator_config(self._config))
        port = self._simulator.start()
        return (
            "127.0.0.1",
            port,
            f"SIMULATED GATEWAY 127.0.0.1:{port} (no account, no money)",
        )

    def stop(self) -> None:
        """End it."""
        if self._simulator is not None:
            self._simulator.stop()
            self._simulator = None
