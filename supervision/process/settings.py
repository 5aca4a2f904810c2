"""From the sections of the configuration to what each part is given: one function a part, nothing else.

``sends_orders`` is decided here, once: only paper mode on a connection that may write, with its feature switched on,
sends anything (MODE-1, MODE-4, MODE-5).
"""

from __future__ import annotations

from pathlib import Path

import attrs

from actors.connection.settings import ConnectionSettings
from actors.link.settings import LinkSettings
from actors.logic.maintenance import Maintenance
from actors.model.orders import ExecutionMode
from actors.model.trading import Trading
from supervision.config.sections import Config, Database, Failover, Publish
from supervision.feeds.budget import RequestBudget
from supervision.simulator import SimulatorConfig
from supervision.tree.restart_policy import RestartPolicy


def sends_orders(config: Config, mode: ExecutionMode) -> bool:
    """Whether an approved order leaves this process."""
    return (
        mode is ExecutionMode.PAPER
        and config.features.paper_execution
        and config.features.integration_layer
        and not config.gateway.readonly
    )


def trading(config: Config, mode: ExecutionMode, operator_id: str) -> Trading:
    """Say how this process trades."""
    return Trading(
        mode=mode,
        operator_id=operator_id,
        sends_orders=sends_orders(config, mode),
        readonly=config.gateway.readonly,
    )


def simulator_config(config: Config) -> SimulatorConfig:
    """For the embedded gateway, on a free port of the loopback interface."""
    section = config.simulator
    return SimulatorConfig(
        seed=section.seed,
        account=section.account,
        cash=section.cash,
        fill_delay_s=section.fill_delay_s,
        replay={symbol: Path(path) for symbol, path in section.replay},
        speed=section.replay_speed,
    )


def connection(config: Config, trading: Trading, host: str, port: int) -> ConnectionSettings:
    """For the connection actor, of the gateway that there really is."""
    return ConnectionSettings(
        gateway=config.gateway,
        host=host,
        port=port,
        connection=config.connection,
        trading=trading,
        account=config.general.account,
        probe_symbol=config.general.symbols[0],
        maintenance=maintenance(config),
    )


def maintenance(config: Config) -> Maintenance:
    """For whoever has to know when the gateway is expected to be away."""
    return config.connection.maintenance.schedule(is_external=config.gateway.endpoint == "external")


def link(config: Config, trading: Trading) -> LinkSettings:
    """For the link, which reads several sections."""
    return LinkSettings(
        trading=trading,
        gateway=config.gateway,
        connection=config.connection,
        pacing=config.pacing,
        market_data=config.market_data,
        orders=config.orders,
    )


def failover(config: Config, *, has_source: bool) -> Failover:
    """For the market-data actor: without a second source there is no failover."""
    return attrs.evolve(config.failover, enabled=config.failover.enabled and has_source)


def request_budget(config: Config) -> RequestBudget:
    """For the feed actor: what the plan grants."""
    section = config.failover
    return RequestBudget(per_minute=section.requests_per_minute, per_day=section.requests_per_day)


def publish(config: Config) -> Publish:
    """For the publisher, which may not take longer to stop than there is time."""
    section = config.publish
    return attrs.evolve(section, drain_s=min(section.drain_s, config.supervision.drain_most_s))


def database(config: Config) -> Database:
    """For the records actor, which may not take longer to stop than there is time."""
    section = config.database
    return attrs.evolve(section, drain_s=min(section.drain_s, config.supervision.drain_most_s))


def beside_restart_policy(config: Config) -> RestartPolicy:
    """For who works beside the trading: as patient as for the others, and never an escalation (DB-4, MKT-9)."""
    return attrs.evolve(restart_policy(config), max_restarts=10_000, within_s=0.001)


def restart_policy(config: Config) -> RestartPolicy:
    """For the supervisor."""
    section = config.supervision
    return RestartPolicy(
        first_delay_s=section.first_delay_s,
        max_delay_s=section.max_delay_s,
        jitter_ratio=section.jitter_ratio,
        reset_after_s=section.reset_after_s,
        max_restarts=section.max_restarts,
        within_s=section.within_s,
    )
