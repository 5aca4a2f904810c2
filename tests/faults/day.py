"""A day of trouble, lived through and judged: in proof mode 24 hours, in reality mode some seconds of them.

A failure names its seed; ``python -m tests.faults --first SEED --seeds 1`` replays a day in proof mode.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import attrs

from actors.model.orders import OrderStatus
from actors.sections.maintenance import Maintenance
from supervision.config.sections import Connection, GatewayConfig, Orders, Positions, StrategyC
from supervision.simulator import Simulator
from tests.faults.people import Operator, Trader
from tests.faults.trouble import Pace, Timetable, timetable
from tests.faults.witness import Witness
from tests.worlds import (
    CONTEXT,
    LENIENT,
    SIMULATED,
    ProofWorld,
    RealWorld,
    a_config,
    buy,
    prove,
    real_world,
)

TEN_IN_NEW_YORK: Final = datetime(2025, 11, 19, 15, 0, tzinfo=UTC)
"""A Wednesday morning; the night's maintenance begins 51,300 s later, at 00:15."""

DAY: Final = Pace(reset_at_s=51_420.0, reset_lasts_s=1800.0)
SECONDS: Final = Pace(
    length_s=9.0, turns=14, quiet_at_begin_s=0.5, quiet_at_end_s=1.5, latest_s=0.04
)
TOLERANCE_S: Final = 0.25
"""How wide a moment is in reality mode: so long may a thread wait for its turn on a busy machine."""

RISK: Final = attrs.evolve(LENIENT, price_band_ratio=10.0)
DAY_CONFIG: Final = a_config(
    risk=RISK,
    positions=Positions(check_interval_s=600.0),
    strategy_c=StrategyC(data_watch_every_s=60.0),
    connection=Connection(maintenance=Maintenance(enabled=True)),
)
SECONDS_CONFIG: Final = a_config(
    risk=RISK,
    gateway=GatewayConfig(timeout_s=1.0),
    connection=Connection(
        heartbeat_s=0.2,
        heartbeat_timeout_s=0.1,
        first_delay_s=0.01,
        max_delay_s=0.1,
        lasting_s=0.5,
        same_id_delay_s=0.02,
        breaker_open_s=0.1,
        maintenance=Maintenance(enabled=False),
    ),
    orders=Orders(
        max_working=10_000,
        cancel_before_deadline_s=0.2,
        cancel_again_after_s=0.1,
    ),
    strategy_c=StrategyC(step_timeout_s=0.5, close_timeout_s=0.5),
)


LOOKS: Final = 200
"""So often the operator looks at the end, until everything is as it should be."""

TRIES: Final = 5

SETTLED_WITHIN_S: Final = 90.0
"""So long after the trouble the fate of every order is known: reads, a probe, one new session."""

World = ProofWorld | RealWorld


@attrs.frozen(kw_only=True)
class Life:
    """What people do meanwhile; times in seconds."""

    operator_s: float
    gap_s: float
    timeout_s: float


DAYS: Final = Life(operator_s=60.0, gap_s=900.0, timeout_s=10.0)
SECONDS_LIFE: Final = Life(operator_s=0.1, gap_s=0.15, timeout_s=0.6)


@attrs.frozen(kw_only=True)
class Day:
    """What came of it."""

    troubles: int
    sessions: int
    rearmed: int
    orders: Counter[str]


def prove_day(seed: int, pace: Pace = DAY) -> Day:
    """Live through a day in proof mode; whatever does not hold is an AssertionError with the seed in its notes."""
    table, witness = timetable(seed, pace), Witness()

    async def scenario(world: ProofWorld) -> Day:
        return await live(world, table, pace, witness, DAYS)

    try:
        day: Day = prove(
            scenario,
            seed=seed,
            epoch=TEN_IN_NEW_YORK,
            config=DAY_CONFIG,
            simulated=attrs.evolve(SIMULATED, scenario=table.scenario),
            connect=False,
            log=witness.log,
        )
    except BaseException as error:
        error.add_note(f"replay: python -m tests.faults --first {seed} --seeds 1")
        raise
    return day


async def survive(seed: int, state_dir: Path, pace: Pace = SECONDS) -> Day:
    """Live through some seconds in reality mode: threads, real sockets, settings of milliseconds."""
    table, witness = timetable(seed, pace), Witness(tolerance_s=TOLERANCE_S)
    try:
        async with real_world(
            state_dir,
            config=SECONDS_CONFIG,
            simulated=attrs.evolve(SIMULATED, scenario=table.scenario),
            connect=False,
            log=witness.log,
        ) as world:
            return await live(world, table, pace, witness, SECONDS_LIFE)
    except BaseException as error:
        error.add_note(f"seconds of trouble, seed {seed}")
        raise


async def live(world: World, table: Timetable, pace: Pace, witness: Witness, life: Life) -> Day:
    """Trade and look after the gateway while the timetable goes on, then see that all is well again."""
    gateway = world.gateway
    await gateway.status()  # starts the tree, so that it can be watched from its first session on
    began_at = world.process.clock.now()
    world.process.tap(witness.watch)
    await gateway.connect()
    trader = Trader(gateway, random.Random(table.seed), gap_s=life.gap_s, timeout_s=life.timeout_s)
    operator = Operator(gateway, witness, life.operator_s)
    work = [asyncio.create_task(trader.trade()), asyncio.create_task(operator.look_after())]

    await asyncio.sleep(pace.length_s - pace.quiet_at_end_s)
    world.simulator.faults.clear()
    world.simulator.faults.drop_connections()  # under whatever client id it was, it comes back under its own
    await asyncio.sleep(pace.quiet_at_end_s)
    for task in work:
        task.cancel()
    await trader.finish()

    await _all_is_well(world, operator, life)
    await gateway.disconnect()
    witness.assert_transitions_are_legal()
    witness.assert_every_session_has_its_row()
    witness.assert_orders_kept_the_rules(world.simulator.ledger, _deaf_times(table, began_at))
    return Day(
        troubles=len(table.troubles),
        sessions=sum(event.session_id is not None for event in witness.transitions),
        rearmed=operator.rearmed,
        orders=trader.outcomes,
    )


async def _all_is_well(world: World, operator: Operator, life: Life) -> None:
    """Check that the link is up, trading goes on, and nothing was forgotten."""
    gateway = world.gateway
    for _ in range(LOOKS):
        await operator.look()
        status = await gateway.status()
        if (
            status.connection == "CONNECTED"
            and not status.opening_blocked_by
            and not status.latched
        ):
            break
        await asyncio.sleep(life.operator_s)
    assert status.connection == "CONNECTED"
    for _ in range(TRIES):  # one that meets a reconciliation is refused at the gate
        bought = await gateway.submit_order(buy(1.0), CONTEXT)
        if bought.status is OrderStatus.FILLED:
            break
        await asyncio.sleep(life.timeout_s)
    assert bought.status is OrderStatus.FILLED, bought.rejection_reason
    await asyncio.sleep(life.timeout_s)  # the position follows its fill
    held = {item.contract.con_id: item.quantity for item in await gateway.get_positions()}
    assert held == _positions(world)
    async with asyncio.timeout(SETTLED_WITHIN_S):
        while await gateway.get_open_orders():
            await asyncio.sleep(life.operator_s)
    restarted = [actor.name for actor in world.process.tree.status() if actor.restarts]
    assert not restarted, operator.witness.failures


def _positions(world: World) -> dict[int, float]:
    def read(simulator: Simulator) -> dict[int, float]:
        return {con_id: item.quantity for con_id, item in simulator.positions().items()}

    simulator = world.simulator
    return read(simulator) if isinstance(simulator, Simulator) else simulator.call(read)


def _deaf_times(table: Timetable, began_at: datetime) -> list[tuple[datetime, datetime]]:
    """Tell when the simulator left what it was sent in its sockets."""
    found: list[tuple[datetime, datetime]] = []
    since: float | None = None
    for step in sorted(table.scenario.faults, key=lambda step: step.at_s):
        if step.kind == "silence" and dict(step.arguments).get("stop_reading"):
            since = step.at_s if since is None else since
        elif step.kind == "speak" and since is not None:
            begin, end = (began_at + timedelta(seconds=second) for second in (since, step.at_s))
            found.append((begin, end))
            since = None
    return found
