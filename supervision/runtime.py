"""The composition root: the only place that constructs (rule 6 of the house).

`build_process` makes a process for reality mode, `build_proof_process` the same tree on one seeded loop. What a part is
given comes from `supervision.settings`; what depends on what stands in `child_specs`.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from actors.base import ActorContext, SupervisedActor
from actors.clock import Clock, Entropy
from actors.connection import ConnectionActor
from actors.connection_desk import ConnectionSettings
from actors.connection_memory import ConnectionMemory, Remembered
from actors.executor import ExecutorActor
from actors.link.actor import LinkActor
from actors.link.history_pacer import HistoryPacer
from actors.link.memory import LinkMemory
from actors.logic.gateway_ports import GatewayPorts
from actors.market_data import MarketDataActor
from actors.messages.addresses import (
    CONNECTION,
    EXECUTOR,
    FEED,
    JOURNAL,
    LINK,
    MARKET_DATA,
    POSITION,
    PUBLISHER,
    RECORDS,
    RISK,
    STRATEGY_C,
)
from actors.messages.connection import EndSession
from actors.messages.lifecycle import Escalated, Message, TreeStopped
from actors.messages.liquidation import RestartLimitExceeded
from actors.model.connection import DisconnectCause
from actors.model.orders import ExecutionMode
from actors.ports import EventLog, MemoryReading, no_log, no_memory_reading
from actors.position import PositionActor
from actors.risk import RiskActor
from supervision import settings
from supervision.breaker import ConnectionBreaker
from supervision.child_spec import ChildSpec, EscalationPlan
from supervision.config import Config
from supervision.driver import Driver, ThreadDriver
from supervision.feeds.actor import FeedActor, FeedMemory, OpenSource
from supervision.feeds.opening import source_opener
from supervision.feeds.port import SecondSource
from supervision.observe.logging import EVERYTHING, LIBRARIES, EventLogWriter
from supervision.observe.masking import Masker
from supervision.process import Process
from supervision.process_memory import ProcessMemory
from supervision.proof import ProofDriver
from supervision.proof_time import SeededEntropy, VirtualClock
from supervision.publish.actor import PublisherActor
from supervision.publish.opening import Publishing, publishing_of
from supervision.publish.port import QuoteStore
from supervision.simulator import Simulator, ThreadedSimulator
from supervision.store import volume
from supervision.store.journal import JournalActor
from supervision.store.journal_file import JournalFile
from supervision.store.journal_lock import JOURNAL_FILE, JournalLock
from supervision.store.records import RecordsActor
from supervision.store.records_backlog import Backlog
from supervision.store.records_memory import MemoryRecords
from supervision.store.records_opening import OpenRecords, records_opener
from supervision.store.records_port import ConnectionRecords
from supervision.store.volatile_journal import VolatileJournalActor, VolatileStore
from supervision.strategy_c import StrategyCActor
from supervision.system import SystemClock, SystemEntropy
from supervision.tree import Tree

if TYPE_CHECKING:
    from supervision.observe.observer import Observer

START_S: Final = 30.0

JournalFactory = Callable[[ActorContext], SupervisedActor]
JournalOpener = Callable[..., JournalFile]
"""Opens the journal's file, as `JournalFile` does; another one can watch every write."""


def build_process(
    config: Config,
    *,
    mode: ExecutionMode,
    operator_id: str,
    has_risk_manager: bool = False,
    log: EventLog | None = None,
    open_journal: JournalOpener = JournalFile,
    standalone: bool = False,
) -> Process:
    """Make a process for reality mode: threads, real sockets, real time. Nothing runs before its `start`.

    ``standalone``: the interpreter is all ours, so metrics and health are served unless the configuration switches them
    off, and what any library logs goes into our log. Embedded they are served only where the configuration says so.
    Without ``log`` it writes its own, as ``[logging]`` says. Raises `JournalLockedError` at the start when another
    process holds the journal (SUP-12), and `ConfigurationError` at once for a ``DATABASE_URL`` or ``REDIS_URL`` that
    cannot be used.
    """
    clock, entropy = SystemClock(), SystemEntropy()
    open_records = records_opener(config, clock, entropy)
    open_source = source_opener(config, clock)
    publishing = publishing_of(config, clock, entropy)
    masker = make_masker(config)
    own_log = None if log is not None else make_log(config, clock, masker)
    chosen_log: EventLog = log if log is not None else own_log or no_log
    observer = None
    if config.observability.enabled and (standalone or config.observability.embedded):
        observer = make_observer(config, clock, chosen_log, own_log, masker)
        chosen_log = observer.log
    journal = _Journal(config, chosen_log, open_journal)
    simulator = _EmbeddedThread(config)

    async def make_tree(on_stopped: Callable[[TreeStopped], None]) -> tuple[Tree, str]:
        if own_log is not None:
            own_log.start()
            own_log.capture_libraries(EVERYTHING if standalone else LIBRARIES)
        if settings.sends_orders(config, mode):
            _require_durable_volume(config)
        await asyncio.to_thread(journal.lock)
        host, port, endpoint = await asyncio.to_thread(simulator.start)
        specs = child_specs(
            config,
            mode,
            operator_id,
            host,
            port,
            has_risk_manager,
            journal.make,
            open_records,
            chosen_log,
            ProcessMemory(),
            open_source,
            publishing,
        )
        tree = _tree(config, specs, ThreadDriver(), clock, entropy, on_stopped)
        if observer is not None:
            observer.start(tree)
        return tree, endpoint

    async def after_stop() -> None:
        await asyncio.to_thread(simulator.stop)
        journal.unlock()
        if observer is not None:
            await asyncio.to_thread(observer.stop)
        if own_log is not None:
            await asyncio.to_thread(own_log.stop)

    return _process(
        config, mode, clock, entropy, chosen_log, make_tree, after_stop, masker, observer
    )


def build_standalone_process(
    config: Config, mode: ExecutionMode, operator_id: str, has_risk_manager: bool
) -> Process:
    """Make the process of ``python -m supervision run``."""
    return build_process(
        config,
        mode=mode,
        operator_id=operator_id,
        has_risk_manager=has_risk_manager,
        standalone=True,
    )


def build_link_process(
    config: Config, located: Callable[[str, int], None], *, log: EventLog = no_log
) -> Process:
    """Make a process of the link alone, which can read a gateway beside a process that trades (DEP-2).

    It has no sender of orders, no journal and no lock. ``located`` is told host and port when it starts. Who starts it
    registers the addresses that the link tells.
    """
    clock, entropy = SystemClock(), SystemEntropy()
    simulator = _EmbeddedThread(config)
    mode = ExecutionMode.DRY_RUN
    link = settings.link_settings(config, mode, config.general.operator_id)

    async def make_tree(on_stopped: Callable[[TreeStopped], None]) -> tuple[Tree, str]:
        host, port, endpoint = await asyncio.to_thread(simulator.start)
        located(host, port)
        spec = ChildSpec(
            name=LINK,
            factory=lambda context: LinkActor(context, settings=link, log=log),
            handler_limit_s=config.supervision.handler_limit_s,
        )
        tree = Tree((spec,), ThreadDriver(), clock, entropy, on_stopped=on_stopped)
        return tree, endpoint

    async def after_stop() -> None:
        await asyncio.to_thread(simulator.stop)

    return _process(config, mode, clock, entropy, log, make_tree, after_stop)


def build_proof_process(
    config: Config,
    *,
    loop: asyncio.AbstractEventLoop,
    seed: int,
    simulator: Simulator,
    clock: VirtualClock | None = None,
    mode: ExecutionMode = ExecutionMode.DRY_RUN,
    operator_id: str | None = None,
    has_risk_manager: bool = False,
    log: EventLog = no_log,
    journal: JournalFactory | None = None,
    records: ConnectionRecords | None = None,
    source: SecondSource | None = None,
    store: QuoteStore | None = None,
) -> Process:
    """Make the same tree on one seeded loop, talking to a simulator that runs on that loop too (D3).

    ``clock`` is the world's, which may begin at any moment; without one it is a new one of the loop. ``source`` is the
    second source of market data, without which there is no failover; ``store`` is what quotes are published to.
    """
    clock, entropy = clock or VirtualClock(loop), SeededEntropy(seed)
    dice = random.Random(seed)  # nosec B311 # noqa: S311 - replayable on purpose
    driver = ProofDriver(loop, dice)
    volatile = VolatileStore()
    sessions = records or MemoryRecords(clock, config.database.queue_bound)
    operator = operator_id or config.general.operator_id

    publishing = publishing_of(config, clock, entropy, store)

    async def open_records() -> ConnectionRecords:
        return sessions

    async def open_source() -> SecondSource:
        assert source is not None  # nosec B101 # noqa: S101 - else nobody asks
        return source

    async def make_tree(on_stopped: Callable[[TreeStopped], None]) -> tuple[Tree, str]:
        specs = child_specs(
            config,
            mode,
            operator,
            simulator.config.host,
            simulator.port,
            has_risk_manager,
            journal or (lambda context: VolatileJournalActor(context, volatile)),
            open_records,
            log,
            open_source=open_source if source is not None else None,
            publishing=publishing,
        )
        tree = _tree(config, specs, driver, clock, entropy, on_stopped)
        return tree, "SIMULATED GATEWAY (proof)"

    async def after_stop() -> None:
        """The simulator belongs to the proof."""

    return _process(config, mode, clock, entropy, log, make_tree, after_stop)


def child_specs(
    config: Config,
    mode: ExecutionMode,
    operator_id: str,
    host: str,
    port: int,
    has_risk_manager: bool,
    journal: JournalFactory,
    open_records: OpenRecords,
    log: EventLog,
    read_memory_mb: MemoryReading = no_memory_reading,
    open_source: OpenSource | None = None,
    publishing: Publishing | None = None,
) -> tuple[ChildSpec, ...]:
    """Describe the tree, in the order of the start: the journal first, the connection last."""
    connection = settings.connection_settings(config, mode, operator_id, host, port)
    link = settings.link_settings(config, mode, operator_id)
    link_memory = LinkMemory(HistoryPacer(settings.history_limits(config)))
    executor = settings.executor_settings(config, mode, operator_id)
    risk = settings.risk_settings(config, consults=has_risk_manager)
    position = settings.position_settings(config, mode, operator_id)
    market_data = settings.market_data_settings(config, has_source=open_source is not None)
    strategy_c = settings.strategy_c_settings(config, mode, operator_id)
    section = config.supervision

    def child(
        name: str, factory: Callable[[ActorContext], SupervisedActor], *depends_on: str
    ) -> ChildSpec:
        return ChildSpec(
            name=name,
            factory=factory,
            depends_on=depends_on,
            shutdown_s=section.shutdown_s,
            mailbox_bound=section.mailbox_bound,
            handler_limit_s=section.handler_limit_s,
            on_overflow=(LINK, _overflow(name)) if name in _HEARS_THE_BROKER else None,
        )

    return (
        child(JOURNAL, journal),
        child(LINK, lambda context: LinkActor(context, settings=link, memory=link_memory, log=log)),
        child(
            STRATEGY_C,
            lambda context: StrategyCActor(context, settings=strategy_c, log=log),
            JOURNAL,
        ),
        child(RISK, lambda context: RiskActor(context, settings=risk, log=log), LINK, JOURNAL),
        child(
            EXECUTOR,
            lambda context: ExecutorActor(context, settings=executor, log=log),
            LINK,
            JOURNAL,
            RISK,
        ),
        child(
            MARKET_DATA,
            lambda context: MarketDataActor(context, settings=market_data, log=log),
            LINK,
        ),
        child(
            POSITION,
            lambda context: PositionActor(context, settings=position, log=log),
            EXECUTOR,
            MARKET_DATA,
        ),
        child(
            CONNECTION,
            _connection_factory(config, connection, log, read_memory_mb),
            STRATEGY_C,
            POSITION,
        ),
        _beside(
            config, RECORDS, _records_factory(config, host, port, open_records, log), CONNECTION
        ),
        *_feed(config, open_source, log),
        *_publisher(config, publishing, log),
    )


def _beside(
    config: Config,
    name: str,
    factory: Callable[[ActorContext], SupervisedActor],
    outlived: str,
) -> ChildSpec:
    """Describe one who works beside the trading: nobody depends on it, and it never escalates."""
    section = config.supervision
    return ChildSpec(
        name=name,
        factory=factory,
        outlives=(outlived,),
        shutdown_s=section.shutdown_s,
        mailbox_bound=section.mailbox_bound,
        handler_limit_s=section.handler_limit_s,
        policy=settings.beside_restart_policy(config),
    )


def _feed(config: Config, open_source: OpenSource | None, log: EventLog) -> tuple[ChildSpec, ...]:
    """Describe who asks the second source, where there is one; what it knows outlives its restarts."""
    if open_source is None:
        return ()
    chosen, opener = settings.feed_settings(config), open_source
    memory = FeedMemory(settings.request_budget(config))

    def factory(context: ActorContext) -> SupervisedActor:
        return FeedActor(context, settings=chosen, memory=memory, open_source=opener, log=log)

    return (_beside(config, FEED, factory, MARKET_DATA),)


def _publisher(
    config: Config, publishing: Publishing | None, log: EventLog
) -> tuple[ChildSpec, ...]:
    """Describe who publishes quotes, where that is wanted."""
    if publishing is None:
        return ()
    chosen, parts = settings.publisher_settings(config), publishing

    def factory(context: ActorContext) -> SupervisedActor:
        return PublisherActor(
            context,
            settings=chosen,
            outbox=parts.outbox,
            open_store=parts.open_store,
            log=log,
        )

    return (_beside(config, PUBLISHER, factory, MARKET_DATA),)


def _records_factory(
    config: Config, host: str, port: int, open_records: OpenRecords, log: EventLog
) -> Callable[[ActorContext], SupervisedActor]:
    """Make the backlog, which outlives the records actor's restarts, and the factory of its incarnations."""
    chosen = settings.records_settings(config, host, port)
    backlog = Backlog(config.database.queue_bound)
    return lambda context: RecordsActor(
        context, settings=chosen, backlog=backlog, open_records=open_records, log=log
    )


def _connection_factory(
    config: Config, chosen: ConnectionSettings, log: EventLog, read_memory_mb: MemoryReading
) -> Callable[[ActorContext], SupervisedActor]:
    """Make what outlives the connection actor's restarts, and the factory of its incarnations."""
    section = config.connection
    breaker = ConnectionBreaker(
        failures=section.breaker_failures,
        open_s=section.breaker_open_s,
        successes=section.breaker_successes,
    )
    memory = ConnectionMemory(
        Remembered(ports=GatewayPorts(configured=chosen.port), wanted=chosen.connect_at_start)
    )
    return lambda context: ConnectionActor(
        context,
        settings=chosen,
        breaker=breaker,
        memory=memory,
        read_memory_mb=read_memory_mb,
        log=log,
    )


_BESIDE_THE_TRADING: Final = frozenset({RECORDS, FEED, PUBLISHER})

_HEARS_THE_BROKER: Final = frozenset({CONNECTION, EXECUTOR, POSITION, RISK})
"""Broker events are never refused: where they overflow, the session ends and the next one reconciles (SUP-7)."""


def _overflow(name: str) -> Message:
    return EndSession(
        cause=DisconnectCause.OVERFLOW,
        reason=f"the mailbox of {name} overflowed with broker events",
    )


def _tree(
    config: Config,
    specs: tuple[ChildSpec, ...],
    driver: Driver,
    clock: Clock,
    entropy: Entropy,
    on_stopped: Callable[[TreeStopped], None],
) -> Tree:
    return Tree(
        specs,
        driver,
        clock,
        entropy,
        settings.restart_policy(config),
        escalation=EscalationPlan(
            # All that trade, since an offender outside the group would stay down (D7).
            rebuild=tuple(spec.name for spec in specs if spec.name not in _BESIDE_THE_TRADING),
            notify=STRATEGY_C,
            message_factory=_escalated,
        ),
        on_stopped=on_stopped,
        dead_letter_capacity=config.supervision.dead_letters,
    )


def _escalated(event: Escalated) -> Message:
    return RestartLimitExceeded(actor=event.offender, reason=event.reason)


def _process(
    config: Config,
    mode: ExecutionMode,
    clock: Clock,
    entropy: Entropy,
    log: EventLog,
    make_tree: Callable[[Callable[[TreeStopped], None]], Awaitable[tuple[Tree, str]]],
    after_stop: Callable[[], Awaitable[None]],
    masker: Masker | None = None,
    observer: Observer | None = None,
) -> Process:
    return Process(
        mode=mode.value,
        clock=clock,
        entropy=entropy,
        log=log,
        make_tree=make_tree,
        after_stop=after_stop,
        start_timeout_s=START_S,
        stop_timeout_s=config.supervision.shutdown_s,
        masker=masker,
        degraded=observer.degraded if observer is not None else None,
    )


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


def make_log(config: Config, clock: Clock, masker: Masker) -> EventLogWriter:
    """Make the log that ``[logging]`` describes; its thread starts with the process."""
    section = config.logging
    file = Path(config.general.state_dir) / section.file if section.file else None
    return EventLogWriter(
        clock=clock,
        level=section.level,
        stream=sys.stdout if section.console else None,
        file=file,
        rotation_bytes=section.rotation_bytes,
        retention_files=section.retention_files,
        queue_bound=section.queue_bound,
        masker=masker,
    )


def _require_durable_volume(config: Config) -> None:
    external = config.gateway.endpoint == "external"
    if volume.is_required(config.journal.durable_volume, os.environ, external=external):
        volume.require_durable(
            Path(config.general.state_dir),
            volume.look_around(os.environ),
            enabled=config.journal.enabled,
        )


class _Journal:
    """The journal's lock, which the process owns, and the factory of the actor that owns the file."""

    def __init__(self, config: Config, log: EventLog, open_journal: JournalOpener) -> None:
        self._config = config
        self._log = log
        self._open_journal = open_journal
        self._store = VolatileStore()
        self._lock = JournalLock(Path(config.general.state_dir) / JOURNAL_FILE)

    def lock(self) -> None:
        """Take the lock; raises `JournalLockedError` when another process holds it."""
        if self._config.journal.enabled:
            self._lock.acquire()

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
            log=self._log,
        )

    def _open(self, incarnation: int) -> JournalFile:
        return self._open_journal(
            self._lock, incarnation=incarnation, synchronous=self._config.journal.synchronous
        )


class _EmbeddedThread:
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
