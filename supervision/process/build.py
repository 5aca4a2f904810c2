"""Processes, in reality mode and in proof mode: the same tree with other time, threads and gateway."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from actors.kernel.clock import Clock, Entropy
from actors.kernel.messages import TreeStopped
from actors.link.actor import LinkActor
from actors.messages.addresses import (
    LINK,
)
from actors.model.orders import ExecutionMode
from actors.ports import EventLog, no_log
from supervision.config.sections import Config
from supervision.feeds.opening import source_opener
from supervision.feeds.port import SecondSource
from supervision.observe.logging import EVERYTHING, LIBRARIES
from supervision.observe.masking import Masker
from supervision.process import settings
from supervision.process.handle import Process
from supervision.process.memory import ProcessMemory
from supervision.process.state_dir import require_usable
from supervision.proof.driver import ProofDriver
from supervision.proof.time import SeededEntropy, VirtualClock
from supervision.publish.opening import publishing_of
from supervision.publish.port import QuoteStore
from supervision.simulator import Simulator
from supervision.store.journal_file import JournalFile
from supervision.store.records_memory import MemoryRecords
from supervision.store.records_opening import records_opener
from supervision.store.records_port import ConnectionRecords
from supervision.store.volatile_journal import VolatileJournalActor
from supervision.store.volatile_store import VolatileStore
from supervision.tree.child_spec import ChildSpec
from supervision.tree.driver import ThreadDriver
from supervision.tree.system import SystemClock, SystemEntropy
from supervision.tree.tree import Tree

if TYPE_CHECKING:
    from supervision.observe.observer import Observer
from supervision.process.children import JournalFactory, TreeParts, child_specs, product_tree
from supervision.process.surroundings import (
    EmbeddedGateway,
    JournalKeeper,
    JournalOpener,
    make_log,
    make_masker,
    make_observer,
    require_durable_volume,
)

if TYPE_CHECKING:
    from supervision.observe.observer import Observer

START_S: Final = 30.0


def build_process(
    config: Config,
    *,
    mode: ExecutionMode,
    operator_id: str,
    has_risk_manager: bool = False,
    log: EventLog | None = None,
    open_journal: JournalOpener = JournalFile,
    clock: Clock | None = None,
    standalone: bool = False,
) -> Process:
    """Make a process for reality mode: threads, real sockets, real time. Nothing runs before its `start`.

    ``clock`` may tell another time of day than the system's; deadlines have to pass as fast as they do everywhere.

    ``standalone``: the interpreter is all ours, so metrics and health are served unless the configuration switches them
    off, and what any library logs goes into our log. Embedded they are served only where the configuration says so.
    Without ``log`` it writes its own, as ``[logging]`` says. Raises `JournalLockedError` at the start when another
    process holds the journal (SUP-12), `JournalError` when it cannot be opened, and `ConfigurationError` at once for a
    state directory, a ``DATABASE_URL`` or a ``REDIS_URL`` that cannot be used.
    """
    if settings.sends_orders(config, mode):
        require_durable_volume(config)  # before anything is made there
    if config.journal.enabled:
        require_usable(config.state_dir)
    clock, entropy = clock or SystemClock(), SystemEntropy()
    open_records = records_opener(config, clock, entropy)
    open_source = source_opener(config, clock)
    publishing = publishing_of(config, clock, entropy)
    masker = make_masker(config)
    own_log = None if log is not None else make_log(config, clock, masker, standalone=standalone)
    chosen_log: EventLog = log if log is not None else own_log or no_log
    observer = None
    if config.observability.enabled and (standalone or config.observability.embedded):
        observer = make_observer(config, clock, chosen_log, own_log, masker)
        chosen_log = observer.log
    journal = JournalKeeper(config, chosen_log, open_journal)
    simulator = EmbeddedGateway(config)

    async def make_tree(on_stopped: Callable[[TreeStopped], None]) -> tuple[Tree, str]:
        if own_log is not None:
            own_log.start()
            own_log.capture_libraries(EVERYTHING if standalone else LIBRARIES)
        await asyncio.to_thread(journal.lock)
        host, port, endpoint = await asyncio.to_thread(simulator.start)
        parts = TreeParts(
            mode=mode,
            operator_id=operator_id,
            host=host,
            port=port,
            journal=journal.make,
            open_records=open_records,
            has_risk_manager=has_risk_manager,
            log=chosen_log,
            read_memory_mb=ProcessMemory(),
            open_source=open_source,
            publishing=publishing,
        )
        specs = child_specs(config, parts)
        tree = product_tree(config, specs, ThreadDriver(), clock, entropy, on_stopped)
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
    simulator = EmbeddedGateway(config)
    mode = ExecutionMode.DRY_RUN
    link = settings.link(config, settings.trading(config, mode, config.general.operator_id))

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
    driver: ProofDriver | None = None,
) -> Process:
    """Make the same tree on one seeded loop, talking to a simulator that runs on that loop too (D3).

    ``clock`` is the world's, which may begin at any moment; without one it is a new one of the loop. ``source`` is the
    second source of market data, without which there is no failover; ``store`` is what quotes are published to.
    ``driver`` is one whose actors a test makes hang or slow.
    """
    clock, entropy = clock or VirtualClock(loop), SeededEntropy(seed)
    dice = random.Random(seed)  # noqa: S311 - replayable on purpose
    driver = driver or ProofDriver(loop, dice)
    volatile = VolatileStore()
    sessions = records or MemoryRecords(clock, config.database.queue_bound)
    operator = operator_id or config.general.operator_id

    publishing = publishing_of(config, clock, entropy, store)

    async def open_records() -> ConnectionRecords:
        return sessions

    async def open_source() -> SecondSource:
        assert source is not None  # noqa: S101 - else nobody asks
        return source

    async def make_tree(on_stopped: Callable[[TreeStopped], None]) -> tuple[Tree, str]:
        parts = TreeParts(
            mode=mode,
            operator_id=operator,
            host=simulator.config.host,
            port=simulator.port,
            journal=journal or (lambda context: VolatileJournalActor(context, volatile)),
            open_records=open_records,
            has_risk_manager=has_risk_manager,
            log=log,
            open_source=open_source if source is not None else None,
            publishing=publishing,
        )
        specs = child_specs(config, parts)
        tree = product_tree(config, specs, driver, clock, entropy, on_stopped)
        return tree, "SIMULATED GATEWAY (proof)"

    async def after_stop() -> None:
        """The simulator belongs to the proof."""

    return _process(config, mode, clock, entropy, log, make_tree, after_stop)


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
