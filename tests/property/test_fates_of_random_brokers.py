"""Random brokers that drop, refuse, are silent and late: an order that lives is never called dead (ORD-9, ORD-11).

Every seed is one day in proof mode with default settings; it replays from its number.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from typing import Any

import attrs
import pytest

from actors.errors import GatewayError
from actors.kernel.addresses import TapRecord
from actors.messages.orders import OrderUpdated
from actors.model.orders import OrderStatus
from supervision.config.sections import StrategyC
from tests.worlds import CONTEXT, ProofWorld, a_config, buy, prove, sell

pytestmark = pytest.mark.req("ORD-9", "ORD-11")

SEEDS = 8
OPERATIONS = 12
SETTLED_WITHIN_S = 120.0
"""So long after the last trouble every fate is known: reads, a silent probe, one new session."""

GRACEFUL = a_config(strategy_c=StrategyC(grace_seconds=3600.0))
"""Default settings, but no liquidation: it would end the orders that are watched here."""

DEAD = frozenset(
    {OrderStatus.LOST, OrderStatus.FAILED, OrderStatus.CANCELLED, OrderStatus.REJECTED}
)
UNLISTED = (163, 382, 412, 451, 460, 463, 10289, 10311)
WARNINGS = (399, 2109, 10167, 10311, 2161)
MANNERS = ("error", "inactive", "status", "silence")


@attrs.define
class Watch:
    """Notes each order that is told to be at its end while the broker has it working."""

    world: ProofWorld
    wrong: list[str] = attrs.field(factory=list)
    ended: Counter[str] = attrs.field(factory=Counter)

    def __call__(self, record: TapRecord) -> None:
        """Look at one message, in the moment in which it is sent."""
        message = record.message
        if not isinstance(message, OrderUpdated) or message.result is None:
            return
        self.ended[message.result.status.value] += 1
        if message.result.status not in DEAD or message.result.fill_quantity:
            return
        alive = [o for o in self.world.simulator.open_orders() if o.order_ref == message.order_ref]
        if alive:
            self.wrong.append(f"{message.order_ref}: {message.result.status} ({message.detail})")


async def _trouble(world: ProofWorld, random: Random) -> None:
    """Make one thing go wrong."""
    faults, orders = world.simulator.faults, world.simulator.order_faults
    open_orders = world.simulator.open_orders()
    kind = random.randrange(9)
    if kind == 0:
        faults.lose_acknowledgement(random.choice(("silent", "drop_before", "drop_after")))
    elif kind == 1:
        orders.refuse_orders(
            random.choice(UNLISTED),
            manner=random.choice(MANNERS),
            duration_s=random.uniform(0.1, 20.0),
        )
    elif kind == 2:
        faults.drop_connections(reset=random.random() < 0.5)
    elif kind == 3:
        faults.suspend(random.uniform(0.5, 8.0))
    elif kind == 4:
        orders.delay_fills(random.choice((0.0, 0.5, 3.0, 12.0)))
    elif kind == 5:
        faults.latency(random.choice((0.0, 0.2, 1.5)))
    elif kind == 6 and open_orders:
        code = random.choice((*WARNINGS, *UNLISTED))
        order = random.choice(open_orders)
        faults.send_error(code, "says the scenario", request_id=order.order_id)
    elif kind == 7:
        orders.hold_cancels(random.choice((0.5, 12.0)), is_told=random.random() < 0.5)
    else:
        faults.connectivity_lost()
        await asyncio.sleep(random.uniform(0.5, 15.0))
        faults.connectivity_restored()


async def _trade(world: ProofWorld, random: Random, live: list[str]) -> None:
    """Send, change or cancel one order; whatever comes of it is judged at the end."""
    timeout_s = random.choice((2.0, 8.0, 40.0))
    try:
        if live and random.random() < 0.3:
            await world.gateway.cancel_order(random.choice(live), timeout_s)
        elif live and random.random() < 0.3:
            price = float(random.randint(560, 590))
            await world.gateway.modify_order(random.choice(live), limit_price=price)
        elif random.random() < 0.5:
            signal = buy(random.randint(1, 9), order_type="LMT", limit_price=580.0)
            result = await world.gateway.submit_order(signal, CONTEXT, timeout_s, wait_for="ack")
            live.append(result.order_id)
        else:
            signal = random.choice((buy, sell))(random.randint(1, 9))
            await world.gateway.submit_order(signal, CONTEXT, timeout_s)
    except GatewayError:
        return


def _prove(seed: int) -> Counter[str]:
    async def scenario(world: ProofWorld) -> Any:
        random, live = Random(seed), list[str]()
        watch = Watch(world)
        world.process.tap(watch)
        await world.gateway.submit_order(buy(50), CONTEXT)
        trading = []
        for _ in range(OPERATIONS):
            if random.random() < 0.5:
                await _trouble(world, random)
            trading.append(asyncio.create_task(_trade(world, random, live)))
            await asyncio.sleep(random.choice((0.01, 0.5, 5.0, 20.0)))
        world.simulator.faults.clear()
        await asyncio.gather(*trading)
        await asyncio.sleep(SETTLED_WITHIN_S)
        unknown = [
            order
            for order in await world.gateway.get_open_orders()
            if order.status is OrderStatus.UNKNOWN
        ]
        sent = Counter(e.order_ref for e in world.simulator.ledger if e.kind == "place")
        held = [item.quantity for item in await world.gateway.get_positions()]
        truth = [item.quantity for item in world.simulator.positions().values()]
        assert watch.wrong == [], "an order that lives was called dead"
        assert unknown == [], "a fate is not settled"
        assert {ref: n for ref, n in sent.items() if n > 1} == {}, "something was sent again"
        assert held == truth
        return watch.ended

    ended: Counter[str] = prove(scenario, seed=seed, config=GRACEFUL)
    return ended


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_order_that_lives_is_called_dead_and_every_fate_is_settled(seed: int) -> None:
    _prove(seed)


def test_the_random_brokers_bring_about_every_end() -> None:
    seen = sum((_prove(seed) for seed in range(6)), Counter[str]())

    assert {"FILLED", "CANCELLED", "FAILED", "LOST", "UNKNOWN"} <= set(seen), seen
