"""The gateway of a trial as a process, its clock, and the configuration of ours: all lose no time."""

from __future__ import annotations

import asyncio
import ctypes
import time
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import attrs

from supervision import Config
from supervision.config.sections import Connection as ConnectionSection
from supervision.config.sections import Journal, Logging, Orders, Positions, StrategyC
from supervision.simulator import Limits, Simulator, SimulatorConfig
from tests.worlds import a_config

CASH = 1_000_000.0
GATEWAY_STATE = "gateway.state"
LARGEST_FILL = 10.0
BETWEEN_FILLS_S = 0.01
MATCHED_S = 0.1
UNLIMITED = Limits(messages_per_second=0, history_per_ten_minutes=0, history_identical_s=0.0)


@attrs.frozen
class SharedClock:
    """The time of day in every process of a trial: the system's, moved by ``ahead_s``, which they share."""

    ahead_s: ctypes.c_double

    def now(self) -> datetime:
        """Tell the time of day, aware, UTC."""
        return datetime.now(UTC) + timedelta(seconds=self.ahead_s.value)

    def monotonic(self) -> float:
        """Tell seconds that pass as they do everywhere."""
        return time.monotonic()

    def go_to(self, moment: datetime) -> None:
        """Let it be ``moment`` now, unless it is later already."""
        self.ahead_s.value += max(0.0, (moment - self.now()).total_seconds())

    def begin_at(self, moment: datetime) -> None:
        """Let it be ``moment`` now, which may be long ago; for a world in which nothing has happened yet."""
        self.ahead_s.value = (moment - datetime.now(UTC)).total_seconds()


def serve_gateway(root: Path, clock: SharedClock, hours: str | None, pipe: Connection) -> None:
    """Be the gateway's process, on its state file; it ends when it is killed."""
    config = SimulatorConfig(
        cash=CASH,
        state_file=root / GATEWAY_STATE,
        limits=UNLIMITED,
        max_fill_quantity=LARGEST_FILL,
        slice_delay_s=BETWEEN_FILLS_S,
        match_interval_s=MATCHED_S,
        hours=hours,
    )

    async def serve() -> None:
        pipe.send(await Simulator(config, clock.now).start())
        await asyncio.Event().wait()

    asyncio.run(serve())


def settings(root: Path, port: int) -> Config:
    """Make a configuration that loses no time."""
    base = a_config(
        journal=Journal(enabled=True),
        logging=Logging(console=False, file="log.jsonl"),
        connection=ConnectionSection(
            heartbeat_s=3600.0, retries=1000, first_delay_s=0.02, max_delay_s=0.1
        ),
        orders=Orders(earlier_closes_after_s=0.5),  # real seconds, in each of many trials
        positions=Positions(check_interval_s=3600.0),
        strategy_c=StrategyC(data_watch_every_s=60.0, step_timeout_s=60.0, close_timeout_s=60.0),
    )
    return attrs.evolve(
        base,
        general=attrs.evolve(base.general, state_dir=str(root)),
        gateway=attrs.evolve(base.gateway, endpoint="external", port=port, timeout_s=60.0),
    )
