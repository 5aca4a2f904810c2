"""The product's tree: which children there are, on whom each depends, and what outlives their restarts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import attrs

from actors import messages as m
from actors.connection.actor import ConnectionActor
from actors.connection.gateway_ports import GatewayPorts
from actors.connection.memory import ConnectionMemory, Remembered
from actors.connection.settings import ConnectionSettings
from actors.executor.actor import ExecutorActor
from actors.kernel.actor import ActorContext, SupervisedActor
from actors.kernel.clock import Clock, Entropy
from actors.kernel.messages import Escalated, Message, TreeStopped
from actors.link.actor import LinkActor
from actors.link.history_pacer import HistoryPacer
from actors.link.memory import LinkMemory
from actors.market_data.actor import MarketDataActor
from actors.messages.addresses import (
    CONNECTION,
    DATA_WATCH,
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
from actors.model.connection import DisconnectCause
from actors.model.orders import ExecutionMode
from actors.ports import EventLog, MemoryReading, no_log, no_memory_reading
from actors.position.actor import PositionActor
from actors.risk.actor import RiskActor
from supervision.config.sections import Config
from supervision.feeds.actor import FeedActor, FeedMemory, OpenSource
from supervision.process import settings
from supervision.process.breaker import ConnectionBreaker
from supervision.publish.actor import PublisherActor
from supervision.publish.opening import Publishing
from supervision.store.records import RecordsActor
from supervision.store.records_backlog import Backlog
from supervision.store.records_opening import OpenRecords, is_private
from supervision.store.records_values import Endpoint
from supervision.strategy_c.actor import StrategyCActor
from supervision.strategy_c.data_watch import DataWatchActor, WatchMemory
from supervision.strategy_c.outage import OutageMemory
from supervision.tree.child_spec import ChildSpec, EscalationPlan
from supervision.tree.driver import Driver
from supervision.tree.tree import Tree

if TYPE_CHECKING:
    pass

JournalFactory = Callable[[ActorContext], SupervisedActor]


@attrs.frozen(kw_only=True)
class TreeParts:
    """What the children are given that is no configuration: where the gateway is, and what reaches outside."""

    mode: ExecutionMode
    operator_id: str
    host: str
    port: int
    journal: JournalFactory
    open_records: OpenRecords
    has_risk_manager: bool = False
    log: EventLog = no_log
    read_memory_mb: MemoryReading = no_memory_reading
    open_source: OpenSource | None = None
    publishing: Publishing | None = None


def child_specs(config: Config, parts: TreeParts) -> tuple[ChildSpec, ...]:
    """Describe the tree, in the order of the start: the journal first, the connection last."""
    mode, operator_id, log = parts.mode, parts.operator_id, parts.log
    link_memory = LinkMemory(HistoryPacer(config.pacing))
    failover = settings.failover(config, has_source=parts.open_source is not None)
    trading = settings.trading(config, mode, operator_id)
    watch_memory, outages = WatchMemory(), OutageMemory()
    link = settings.link(config, trading)
    connection = settings.connection(config, trading, parts.host, parts.port)
    section = config.supervision
    limits = {JOURNAL: config.journal.hang_limit_s}

    def child(
        name: str, factory: Callable[[ActorContext], SupervisedActor], *depends_on: str
    ) -> ChildSpec:
        return ChildSpec(
            name=name,
            factory=factory,
            depends_on=depends_on,
            shutdown_s=section.shutdown_s,
            mailbox_bound=section.mailbox_bound,
            handler_limit_s=limits.get(name, section.handler_limit_s),
            on_overflow=(LINK, _overflow(name)) if name in _HEARS_THE_BROKER else None,
        )

    return (
        child(JOURNAL, parts.journal),
        child(LINK, lambda context: LinkActor(context, settings=link, memory=link_memory, log=log)),
        child(
            STRATEGY_C,
            lambda context: StrategyCActor(
                context,
                settings=config.strategy_c,
                limits=config.flattening,
                close=config.close,
                trading=trading,
                outages=outages,
                log=log,
            ),
            JOURNAL,
        ),
        child(
            RISK,
            lambda context: RiskActor(
                context,
                settings=config.risk,
                orders=config.orders,
                closures=config.positions,
                endpoint=config.gateway.endpoint,
                consults=parts.has_risk_manager,
                log=log,
            ),
            LINK,
            JOURNAL,
        ),
        child(
            EXECUTOR,
            lambda context: ExecutorActor(
                context, settings=config.orders, trading=trading, log=log
            ),
            LINK,
            JOURNAL,
            RISK,
        ),
        child(
            MARKET_DATA,
            lambda context: MarketDataActor(
                context,
                settings=config.market_data,
                failover=failover,
                publishes=config.publish.enabled,
                log=log,
            ),
            LINK,
        ),
        child(
            POSITION,
            lambda context: PositionActor(
                context,
                settings=config.positions,
                limits=config.flattening,
                close=config.close,
                market_data=config.market_data,
                trading=trading,
                log=log,
            ),
            EXECUTOR,
            MARKET_DATA,
        ),
        child(
            DATA_WATCH,
            lambda context: DataWatchActor(
                context,
                settings=config.strategy_c,
                market_data=config.market_data,
                memory=watch_memory,
                log=log,
            ),
        ),
        child(
            CONNECTION,
            _connection_factory(config, connection, log, parts.read_memory_mb),
            STRATEGY_C,
            POSITION,
        ),
        _beside(config, RECORDS, _records_factory(config, parts), CONNECTION),
        *_feed(config, parts.open_source, log),
        *_publisher(config, parts.publishing, log),
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
    opener = open_source
    memory = FeedMemory(settings.request_budget(config))

    def factory(context: ActorContext) -> SupervisedActor:
        return FeedActor(
            context,
            settings=config.failover,
            market_data=config.market_data,
            memory=memory,
            open_source=opener,
            log=log,
        )

    return (_beside(config, FEED, factory, MARKET_DATA),)


def _publisher(
    config: Config, publishing: Publishing | None, log: EventLog
) -> tuple[ChildSpec, ...]:
    """Describe who publishes quotes, where that is wanted."""
    if publishing is None:
        return ()
    chosen, parts = settings.publish(config), publishing

    def factory(context: ActorContext) -> SupervisedActor:
        return PublisherActor(
            context,
            settings=chosen,
            outbox=parts.outbox,
            open_store=parts.open_store,
            log=log,
        )

    return (_beside(config, PUBLISHER, factory, MARKET_DATA),)


def _records_factory(config: Config, parts: TreeParts) -> Callable[[ActorContext], SupervisedActor]:
    """Make the backlog, which outlives the records actor's restarts, and the factory of its incarnations."""
    chosen = settings.database(config)
    endpoint = Endpoint(client_id=config.gateway.client_id, host=parts.host, port=parts.port)
    backlog = Backlog(config.database.queue_bound)
    return lambda context: RecordsActor(
        context,
        settings=chosen,
        endpoint=endpoint,
        backlog=backlog,
        open_records=parts.open_records,
        is_private=is_private(config),
        log=parts.log,
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
    memory = ConnectionMemory(Remembered(ports=GatewayPorts(configured=chosen.port)))
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
    return m.EndSession(
        cause=DisconnectCause.OVERFLOW,
        reason=f"the mailbox of {name} overflowed with broker events",
    )


def product_tree(
    config: Config,
    specs: tuple[ChildSpec, ...],
    driver: Driver,
    clock: Clock,
    entropy: Entropy,
    on_stopped: Callable[[TreeStopped], None],
) -> Tree:
    """Make the tree of ``specs``: one escalation rebuilds all that trade, the next one stops it (D7)."""
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
    return m.RestartLimitExceeded(actor=event.offender, reason=event.reason)
