"""Permits are asked for at the wire's pace: however many orders come at once, none waits until its permit is void."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

import attrs
import pytest

from actors.executor.wire_window import PlaceFree
from actors.kernel.addresses import TapRecord
from actors.kernel.messages import Message
from actors.logic.close_orders import close_order
from actors.messages.addresses import EXECUTOR
from actors.messages.orders import (
    OrderConcluded,
    OrderRefusedAtGate,
    OrderSent,
    SendOrder,
)
from actors.messages.risk import OrderApproved, OrderRejected
from actors.model.account import Position
from actors.model.orders import CloseReason, OrderStatus, Purpose, WaitFor
from actors.sections.orders import Orders
from tests.worlds import CONTEXT, SIMULATED, ProofWorld, a_config, buy, prove

CLOSES = 600
PATIENT_S = 60.0
FEW = 150
SHORT_S = 1.0
"""The wire takes a third of a few in so long."""
RATE_PER_S = 45.0
MANY = attrs.evolve(SIMULATED, extra_symbols=CLOSES, margin_check=False)
CALLER = "a caller"
MOST = Orders().max_approved


class Caller:
    """Asks the executor for closes, and keeps what came of them."""

    def __init__(self, world: ProofWorld) -> None:
        self._world = world
        self.concluded: list[OrderConcluded] = []
        world.process.register(CALLER, self._on_message)

    def _on_message(self, message: Message) -> None:
        assert isinstance(message, OrderConcluded), message
        self.concluded.append(message)

    def close(self, positions: Iterable[Position], timeout_s: float = PATIENT_S) -> None:
        """Ask to close all of them, at once."""
        for number, held in enumerate(positions):
            request = close_order(
                held.contract,
                held.quantity,
                CloseReason.MANUAL,
                "CSATSPRIM",
                correlation_id=f"close-{number}",
                deadline=self._world.proof.loop.time() + timeout_s,
                reply_to=CALLER,
                wait_for=WaitFor.FILL,
            )
            self._world.process.tell(EXECUTOR, request)


def watch(world: ProofWorld) -> list[TapRecord]:
    passed: list[TapRecord] = []
    world.process.tap(passed.append)
    return passed


def count(passed: Iterable[TapRecord]) -> Counter[type]:
    return Counter(type(record.message) for record in passed)


async def hold_many(world: ProofWorld, number: int = CLOSES) -> list[Position]:
    for each in range(1, number + 1):
        world.simulator.faults.trade_elsewhere(f"SYM{each:03d}", 1)
    await world.gateway.connect()
    return await world.gateway.get_positions()


def most_between_approval_and_wire(passed: Iterable[TapRecord]) -> int:
    open_now = most = 0
    for record in passed:
        if isinstance(record.message, OrderApproved):
            open_now += 1
        elif isinstance(record.message, OrderSent | OrderRefusedAtGate):
            open_now -= 1
        most = max(most, open_now)
    return most


@pytest.mark.req("RSK-4", "STC-2")
def test_of_six_hundred_closes_none_is_refused_for_a_permit_that_waited() -> None:
    async def scenario(world: ProofWorld) -> None:
        held = await hold_many(world)
        passed, caller = watch(world), Caller(world)
        began_at = world.proof.loop.time()
        caller.close(held)
        await world.until(lambda: len(caller.concluded) == CLOSES, PATIENT_S)

        counted = count(passed)
        assert counted[OrderSent] == CLOSES
        assert counted[OrderRefusedAtGate] == counted[OrderRejected] == 0
        assert {done.result.status for done in caller.concluded} == {OrderStatus.FILLED}
        assert most_between_approval_and_wire(passed) <= MOST
        assert world.proof.loop.time() - began_at < CLOSES / RATE_PER_S * 1.25 + 1.0
        assert not any(place.quantity for place in world.simulator.positions().values())

    prove(scenario, simulated=MANY, connect=False)


def test_a_free_road_costs_no_message() -> None:
    async def scenario(world: ProofWorld) -> None:
        passed = watch(world)
        await asyncio.gather(*(world.gateway.submit_order(buy(1), CONTEXT) for _ in range(MOST)))
        free = count(passed)[PlaceFree]
        await asyncio.gather(
            *(world.gateway.submit_order(buy(1), CONTEXT) for _ in range(3 * MOST))
        )

        assert free == 0
        assert count(passed)[PlaceFree] == 2 * MOST

    prove(scenario)


def test_a_close_never_waits_for_a_place_behind_openings() -> None:
    async def scenario(world: ProofWorld) -> None:
        await world.gateway.submit_order(buy(1, "QQQ"), CONTEXT)
        (held,) = await world.gateway.get_positions()
        passed = watch(world)
        openings = [
            asyncio.ensure_future(world.gateway.submit_order(buy(1), CONTEXT)) for _ in range(300)
        ]
        await asyncio.sleep(0.1)
        result = await world.gateway.close_position(held.position_id)
        sent = count(passed)[OrderSent]
        await asyncio.gather(*openings)

        assert result.status is OrderStatus.FILLED
        assert sent < 100
        first = next(
            record.message
            for record in passed
            if isinstance(record.message, SendOrder)
            and record.message.order.purpose is Purpose.CLOSE
        )
        assert first.order.quantity == 1

    prove(scenario)


def test_what_gives_up_while_it_waits_leaves_its_place_to_the_next() -> None:
    async def scenario(world: ProofWorld) -> None:
        held = await hold_many(world, FEW)
        caller = Caller(world)
        caller.close(held, SHORT_S)
        await world.until(lambda: len(caller.concluded) == FEW, SHORT_S + 0.1)
        ended = Counter(done.result.status for done in caller.concluded)
        results = await world.gateway.close_all_positions(timeout=PATIENT_S)

        assert ended[OrderStatus.FILLED] < FEW - MOST
        assert any(result.status is OrderStatus.FILLED for result in results)
        assert not any("permit" in (result.rejection_reason or "") for result in results)
        assert not any(place.quantity for place in world.simulator.positions().values())

    prove(scenario, simulated=MANY, connect=False)


def test_the_window_is_a_setting() -> None:
    async def scenario(world: ProofWorld) -> None:
        passed = watch(world)
        await asyncio.gather(*(world.gateway.submit_order(buy(1), CONTEXT) for _ in range(20)))

        assert most_between_approval_and_wire(passed) == 1

    prove(scenario, config=a_config(orders=Orders(max_approved=1)))
