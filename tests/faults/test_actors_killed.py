"""Every actor may fail at any moment while orders flow: nothing is lost, nothing happens twice (SUP-3, SUP-6)."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import attrs
import pytest

from actors.errors import GatewayError
from actors.kernel.addresses import TapRecord
from actors.kernel.messages import ActorFailed, Reply
from actors.messages.addresses import EXECUTOR, FACADE, LINK
from actors.messages.connection import ConnectionStateChanged
from actors.messages.orders import SubmitOrder
from actors.model.connection import DisconnectCause
from actors.model.orders import OrderResult, OrderStatus
from supervision.config.sections import Config, Connection, Orders, StrategyC, Supervision
from supervision.simulator import Simulator
from supervision.tree.tree import OUTSIDE
from tests.faults.crash import POISON, crash
from tests.worlds import (
    CONTEXT,
    SIMULATED,
    ProofWorld,
    RealWorld,
    a_config,
    buy,
    prove,
    real_world,
    sell,
)

T = TypeVar("T")
World = ProofWorld | RealWorld

KILLS_EACH = 100
TRADE_AT_EVERY = 8
"""An order at every so many kills: each reconciliation reads all orders of the day, which is what takes the time."""

PAUSES_S = (0.0, 0.0005, 0.002, 0.01, 0.05)
"""Between two kills: at once, within the other's backoff, in its recovery, and after it."""

BEFORE_THE_WIRE = (OrderStatus.REJECTED, OrderStatus.FAILED)
SETTLED_WITHIN_S = 120.0
"""So long after the turmoil the fate of every order is settled: reads, a probe, one new session."""

CONNECTED_WITHIN_S = 30.0

READ_AGAIN_WITHIN_S = 1.5
"""So long after the last failure the broker's state may still wait for its turn: so many sessions and reads in a moment
use up a second's messages (CON-14)."""

AT_REST = ("IDLE", "DONE")
"""Where a liquidation stands that cancels nothing any more. One that began in the turmoil goes on after it: a restarted
Strategy C waits for the broker's state, then cancels every order, requested closes too (STC-2)."""

UNHURRIED = attrs.evolve(SIMULATED, fill_delay_s=0.02)
"""A gateway that takes a moment for each fill, so that failures meet orders that work."""

QUICK = a_config(
    orders=Orders(max_working=10_000),
    supervision=Supervision(
        first_delay_s=0.001, max_delay_s=0.001, jitter_ratio=0.0, max_restarts=1_000_000
    ),
    connection=Connection(first_delay_s=0.001, max_delay_s=0.01),
    strategy_c=StrategyC(grace_seconds=600.0),
)
"""Restarts after 1 ms and without a limit. A link that is back within the grace triggers no liquidation (STC-5),
unless Strategy C failed meanwhile and forgot about the grace."""


@attrs.define
class Trader:
    """Submits orders of quantities that never repeat, so that each is found in the simulator's ledger."""

    world: World
    rng: random.Random
    answers: dict[float, OrderResult | GatewayError] = attrs.field(factory=dict)
    quantity: float = 0.0

    async def trade(self, timeout_s: float) -> None:
        """Submit one order and keep its answer."""
        self.quantity += 1.0
        quantity = self.quantity
        make = self.rng.choice((buy, sell))
        try:
            answer: Any = await self.world.gateway.submit_order(make(quantity), CONTEXT, timeout_s)
        except GatewayError as error:
            answer = error
        assert quantity not in self.answers
        self.answers[quantity] = answer


def _witness(world: World, look: Callable[[Simulator], T]) -> T:
    """Look into the simulator, wherever it runs."""
    if isinstance(world, ProofWorld):
        return look(world.simulator)
    return world.simulator.call(look)


async def _kill(
    world: World, seed: int, victims_of: tuple[str, ...], kills_each: int, trade_at_every: int
) -> list[TapRecord]:
    """Let the actors fail in a random order while orders flow, then compare everything with the simulator."""
    rng = random.Random(seed)
    trace: list[TapRecord] = []
    world.process.tap(trace.append)
    trader = Trader(world, rng)
    victims = [name for name in victims_of for _ in range(kills_each)]
    rng.shuffle(victims)
    operator = asyncio.create_task(_rearm_whenever_latched(world))
    trades = []
    for count, victim in enumerate(victims):
        if count % trade_at_every == 0:
            trades.append(asyncio.create_task(trader.trade(5.0)))
        await asyncio.sleep(rng.choice(PAUSES_S))
        crash(world.process, victim)
    await asyncio.gather(*trades)
    operator.cancel()

    await world.until(lambda: _restarts(world, victims_of) >= kills_each)
    await _is_whole_again(world)
    _each_failed(trace, victims_of, kills_each)
    _no_order_twice(world)
    _answers_are_true(world, trader)
    _answered_once(trace)
    await _positions_agree(world)
    await _everything_can_be_closed(world)
    return trace


async def _rearm_whenever_latched(world: World) -> None:
    """Let orders flow again after a liquidation; it begins when Strategy C forgot a grace by failing itself."""
    while True:
        await asyncio.sleep(0.05)
        with suppress(GatewayError):
            if (await world.gateway.status(1.0)).latched:
                await world.gateway.rearm("operator", "the test goes on", 1.0)


def _restarts(world: World, names: tuple[str, ...]) -> int:
    """How often each was restarted, at least; those that fail in their recovery take a while."""
    return min(child.restarts for child in world.process.tree.status() if child.name in names)


async def _is_whole_again(world: World) -> None:
    await world.until(lambda: all(child.state == "up" for child in world.process.tree.status()))
    # A link that was just restarted is up before its session is: until then no round trip is the truth.
    async with asyncio.timeout(CONNECTED_WITHIN_S):
        while not await world.gateway.verify_connection():
            await asyncio.sleep(0.05)
    await world.until(lambda: world.gateway.is_connected)
    async with asyncio.timeout(SETTLED_WITHIN_S):
        while await world.gateway.get_open_orders():
            await asyncio.sleep(0.1)
        await asyncio.sleep(READ_AGAIN_WITHIN_S)
        while (await world.gateway.status()).liquidation_step not in AT_REST:
            await asyncio.sleep(0.1)


def _each_failed(trace: list[TapRecord], victims: tuple[str, ...], kills_each: int) -> None:
    failed = Counter(
        record.message.offender for record in trace if type(record.message) is ActorFailed
    )
    assert dict.fromkeys(victims, kills_each) == {
        name: min(count, kills_each) for name, count in failed.items()
    }


def _no_order_twice(world: World) -> None:
    ledger = _witness(world, lambda simulator: simulator.ledger)
    placed = [entry for entry in ledger if entry.kind == "place"]
    references = Counter(entry.order_ref for entry in placed)
    assert all(count == 1 for count in references.values())
    opened = Counter(entry.quantity for entry in placed if ":ORD_" in entry.order_ref)
    assert all(count == 1 for count in opened.values())


def _answers_are_true(world: World, trader: Trader) -> None:
    placed = {
        entry.quantity
        for entry in _witness(world, lambda simulator: simulator.ledger)
        if entry.kind == "place" and ":ORD_" in entry.order_ref
    }
    filled: Counter[str] = Counter()
    for execution in _witness(world, lambda simulator: simulator.executions()):
        filled[execution.order_ref] += execution.quantity  # type: ignore[assignment]
    for quantity, answer in trader.answers.items():
        if isinstance(answer, GatewayError) or answer.status in BEFORE_THE_WIRE:
            assert quantity not in placed, (quantity, answer)
        elif answer.status is OrderStatus.FILLED:
            assert filled[f"CSATSPRIM:{answer.order_id}"] == quantity, (quantity, answer)
            assert answer.fill_quantity == quantity


def _answered_once(trace: list[TapRecord]) -> None:
    asked = {
        record.message.correlation_id
        for record in trace
        if record.recipient == EXECUTOR
        and type(record.message) is SubmitOrder
        and record.message.reply_to == FACADE
    }
    answered = Counter(
        record.message.correlation_id
        for record in trace
        if record.recipient == FACADE
        and isinstance(record.message, Reply)
        and record.message.correlation_id in asked
    )
    assert dict.fromkeys(asked, 1) == dict(answered)


async def _positions_agree(world: World) -> None:
    held = {
        position.contract.con_id: position.quantity
        for position in await world.gateway.get_positions()
    }
    positions = _witness(world, lambda simulator: simulator.positions())
    truth = {con_id: position.quantity for con_id, position in positions.items()}
    assert truth == held


async def _everything_can_be_closed(world: World) -> None:
    """Risk's ledger is right too: it would not let a wrong quantity, or one that is reserved already, be closed."""
    assert await world.gateway.get_open_orders() == []
    for _ in range(3):  # an order that meets a reconciliation is refused, and nothing is sent
        results = await world.gateway.close_all_positions()
        refused = [result for result in results if result.status is not OrderStatus.FILLED]
        assert all("reconciling" in (result.rejection_reason or "") for result in refused), refused
        if not refused:
            break
        await asyncio.sleep(1.0)
    assert _witness(world, lambda simulator: simulator.positions()) == {}


def _line(record: TapRecord) -> str:
    """Show a record without the port, which the system chose; hollow messages have nothing to show."""
    hollow = record.sender == OUTSIDE and type(record.message) in POISON.values()
    shown = repr(attrs.evolve(record, message=None) if hollow else record)
    return re.sub(r"(port=|127\.0\.0\.1:)\d+", r"\1…", shown)


def _prove(
    seed: int,
    kills_each: int,
    trade_at_every: int = 1,
    victims: tuple[str, ...] = tuple(POISON),
    config: Config = QUICK,
) -> list[TapRecord]:
    async def scenario(world: World) -> list[TapRecord]:
        return await _kill(world, seed, victims, kills_each, trade_at_every)

    trace: list[TapRecord] = prove(scenario, seed=seed, config=config, simulated=UNHURRIED)
    return trace


@pytest.mark.req("SUP-3", "SUP-5", "SUP-6", "ORD-9")
def test_orders_survive_every_actor_failing_a_hundred_times() -> None:
    _prove(seed=1, kills_each=KILLS_EACH, trade_at_every=TRADE_AT_EVERY)


@pytest.mark.req("SUP-3", "SUP-6", "ORD-9")
@pytest.mark.parametrize("seed", range(2, 8))
def test_orders_survive_failures_in_any_order(seed: int) -> None:
    _prove(seed=seed, kills_each=10)


@pytest.mark.req("SUP-5", "SUP-6")
@pytest.mark.parametrize("seed", range(10, 14))
def test_a_failing_actor_never_costs_the_connection_unless_it_is_the_link(seed: int) -> None:
    others = tuple(name for name in POISON if name != LINK)
    no_grace = attrs.evolve(QUICK, strategy_c=StrategyC(grace_seconds=0.0))

    trace = _prove(seed=seed, kills_each=20, victims=others, config=no_grace)

    lost = [
        record.message
        for record in trace
        if type(record.message) is ConnectionStateChanged
        and record.message.cause not in (None, DisconnectCause.ASKED)
    ]
    assert lost == []


@pytest.mark.req("SUP-3", "SUP-5", "SUP-6", "ORD-9")
def test_orders_survive_actors_failing_in_their_threads(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with real_world(tmp_path, config=QUICK, simulated=UNHURRIED) as world:
            await _kill(world, 1, tuple(POISON), kills_each=8, trade_at_every=2)

    asyncio.run(scenario())


@pytest.mark.req("SUP-11")
def test_one_seed_gives_the_same_trace_ten_times() -> None:
    def trace() -> list[str]:
        return [_line(record) for record in _prove(seed=5, kills_each=4)]

    first = trace()

    assert len(first) > 1_000
    assert all(first == trace() for _ in range(9))
