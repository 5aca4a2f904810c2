"""The orchestrator's own risk manager: asked in addition to the built-in rules or instead, never about closes."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import attrs
import pytest

from actors.model.orders import OrderStatus, TradeRequest, ValidationResult
from supervision import Position
from supervision.config.sections import Risk
from supervision.facade.risk_manager import MAX_CALLS
from tests.walk.watching import ending
from tests.worlds import CONTEXT, LENIENT, ProofWorld, a_config, buy, prove, real_world

APPROVED = ValidationResult(approved=True)
REFUSED = ValidationResult(approved=False, rejection_reasons=("not on a Friday", "too much"))
ASKED_FOR_S = 2.0
LATE_S = 0.05
MOST = 5
SPY_ID = "SPY_756733"
NO_FRIDAYS = "not on a Friday"

REPLACE = a_config(risk=attrs.evolve(LENIENT, external="replace", max_position_quantity=MOST))
IN_ADDITION = a_config(risk=attrs.evolve(LENIENT, max_position_quantity=MOST))
BRIEF = a_config(risk=attrs.evolve(LENIENT, external_timeout_s=ASKED_FOR_S))


class Manager:
    """A plain risk manager that answers what it was made with, and remembers what it was asked."""

    def __init__(self, answer: Any = APPROVED) -> None:
        self.answer = answer
        self.asked: list[TradeRequest] = []
        self.synced: list[tuple[Position, ...]] = []

    def validate_trade(self, request: TradeRequest) -> Any:
        """Answer, or raise."""
        self.asked.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def sync_positions(self, positions: tuple[Position, ...]) -> Any:
        """Remember the positions."""
        self.synced.append(positions)


class AsyncManager(Manager):
    """The same on the caller's loop; may take its time."""

    def __init__(self, answer: Any = APPROVED, takes_s: float = 0.0) -> None:
        super().__init__(answer)
        self.takes_s = takes_s

    async def validate_trade(self, request: TradeRequest) -> Any:
        """Answer after a while."""
        await asyncio.sleep(self.takes_s)
        return super().validate_trade(request)

    async def sync_positions(self, positions: tuple[Position, ...]) -> Any:
        """Remember the positions."""
        super().sync_positions(positions)


KINDS = pytest.mark.parametrize("kind", [Manager, AsyncManager], ids=["sync", "async"])


@pytest.mark.req("GW-1", "RSK-1")
@KINDS
def test_the_risk_manager_is_asked_with_the_whole_request_and_may_approve(
    kind: type[Manager],
) -> None:
    manager = kind()

    async def scenario(world: ProofWorld) -> Any:
        return await world.gateway.submit_order(buy(3), CONTEXT)

    result = prove(scenario, risk_manager=manager, operator_id="DESK-7")

    assert result.status is OrderStatus.FILLED
    (request,) = manager.asked
    assert (request.symbol, request.quantity, request.operator_id) == ("SPY", 3, "DESK-7")
    assert request.strategy_id == CONTEXT.strategy_id


@pytest.mark.req("GW-1", "RSK-2")
@KINDS
def test_its_rejection_stops_an_opening_order_with_its_reasons(kind: type[Manager]) -> None:
    async def scenario(world: ProofWorld) -> Any:
        return await world.gateway.submit_order(buy(), CONTEXT), world.simulator.ledger

    result, ledger = prove(scenario, risk_manager=kind(REFUSED))

    assert (result.status, ledger) == (OrderStatus.REJECTED, ())
    assert all(reason in result.rejection_reason for reason in REFUSED.rejection_reasons)


@pytest.mark.req("GW-1", "RSK-3")
@KINDS
@pytest.mark.parametrize(
    "answer", [ValueError("out of order"), None, True, "yes"], ids=["raises", "None", "True", "yes"]
)
def test_an_error_or_an_answer_of_another_kind_rejects(kind: type[Manager], answer: Any) -> None:
    async def scenario(world: ProofWorld) -> Any:
        return await world.gateway.submit_order(buy(), CONTEXT), world.simulator.ledger

    result, ledger = prove(scenario, risk_manager=kind(answer))

    assert (result.status, ledger) == (OrderStatus.REJECTED, ())
    assert "risk manager failed" in result.rejection_reason


NONSENSE: dict[str, Any] = {
    "words for yes": {"approved": "no"},
    "an approval with a reason against it": {"approved": True, "rejection_reasons": ("no",)},
    "numbers for reasons": {"approved": False, "rejection_reasons": [1, None]},
    "no reasons": {"approved": False, "rejection_reasons": None},
    "one text for reasons": {"approved": False, "rejection_reasons": "no"},
    "numbers without end": {"approved": False, "risk_metrics": {"a": float("nan"), "b": "x"}},
    "a book for a reason": {"approved": False, "rejection_reasons": ["x" * 10**6] * 1000},
}


@pytest.mark.req("GW-1", "RSK-3", "RSK-7", "SUP-5")
@pytest.mark.parametrize("fields", NONSENSE.values(), ids=NONSENSE.keys())
def test_an_answer_that_makes_no_sense_rejects_and_fails_no_actor(fields: Any) -> None:
    manager = Manager(ValidationResult(**fields))

    async def scenario(world: ProofWorld) -> Any:
        refused = await world.gateway.submit_order(buy(), CONTEXT)
        manager.answer = APPROVED
        ledger = world.simulator.ledger
        approved = await world.gateway.submit_order(buy(), CONTEXT)
        restarts = sum(actor.restarts for actor in world.process.tree.status())
        return refused, ledger, approved.status, restarts

    refused, ledger, approved, restarts = prove(scenario, risk_manager=manager)

    assert (refused.status, ledger) == (OrderStatus.REJECTED, ())
    assert 0 < len(refused.rejection_reason) < 20_000
    assert (approved, restarts) == (OrderStatus.FILLED, 0)


@pytest.mark.req("GW-1", "RSK-3", "RSK-6")
def test_one_that_overruns_its_time_rejects_and_releases_what_was_reserved() -> None:
    manager = AsyncManager(takes_s=60.0)

    async def scenario(world: ProofWorld) -> Any:
        slow = await ending(world, world.gateway.submit_order(buy(MOST), CONTEXT))
        manager.takes_s = 0.0
        return slow, await world.gateway.submit_order(buy(MOST), CONTEXT)

    brief = attrs.evolve(LENIENT, external_timeout_s=ASKED_FOR_S, max_position_quantity=MOST)
    slow, next_one = prove(scenario, risk_manager=manager, config=a_config(risk=brief))

    assert slow.result.status is OrderStatus.REJECTED
    assert abs(slow.after_s - ASKED_FOR_S) <= LATE_S
    assert next_one.status is OrderStatus.FILLED


@pytest.mark.req("GW-1", "GW-8")
def test_one_that_overruns_the_callers_deadline_ends_in_a_timeout() -> None:
    async def scenario(world: ProofWorld) -> Any:
        ended = await ending(world, world.gateway.submit_order(buy(), CONTEXT, 1.0))
        await asyncio.sleep(60.0)
        return ended, world.simulator.ledger

    ended, ledger = prove(scenario, risk_manager=AsyncManager(takes_s=30.0), config=BRIEF)

    assert ended.result.status is OrderStatus.TIMEOUT
    assert ended.after_s <= 1.0 + LATE_S
    assert ledger == ()


@pytest.mark.req("GW-1", "RSK-1")
@KINDS
def test_in_addition_both_have_to_approve(kind: type[Manager]) -> None:
    manager = kind()

    async def scenario(world: ProofWorld) -> Any:
        too_many = await world.gateway.submit_order(buy(MOST + 1), CONTEXT)
        asked = len(manager.asked)
        few = await world.gateway.submit_order(buy(MOST), CONTEXT)
        return too_many, asked, few

    too_many, asked, few = prove(scenario, risk_manager=manager, config=IN_ADDITION)

    assert too_many.status is OrderStatus.REJECTED
    assert "position quantity (6) exceeds limit (5)" in too_many.rejection_reason
    assert asked == 0, "what the built-in rules reject is not asked"
    assert few.status is OrderStatus.FILLED


@pytest.mark.req("GW-1", "RSK-1")
@KINDS
def test_a_replacing_one_decides_alone_over_limits_but_not_over_the_latch(
    kind: type[Manager],
) -> None:
    manager = kind()

    async def scenario(world: ProofWorld) -> Any:
        many = await world.gateway.submit_order(buy(MOST + 1), CONTEXT)
        manager.answer = REFUSED
        refused = await world.gateway.submit_order(buy(1), CONTEXT)
        manager.answer = APPROVED
        await world.gateway.liquidate("the operator wants it")
        latched = await world.gateway.submit_order(buy(1), CONTEXT)
        return many, refused, latched

    many, refused, latched = prove(scenario, risk_manager=manager, config=REPLACE)

    assert many.status is OrderStatus.FILLED
    assert refused.status is OrderStatus.REJECTED
    assert NO_FRIDAYS in refused.rejection_reason
    assert latched.status is OrderStatus.REJECTED
    assert "latched" in latched.rejection_reason


@pytest.mark.req("GW-1", "RSK-7")
@pytest.mark.parametrize("external", ["in_addition", "replace"])
@pytest.mark.parametrize(
    "broken",
    [Manager(REFUSED), Manager(ValueError("out of order")), AsyncManager(takes_s=600.0)],
    ids=["refuses", "raises", "overruns"],
)
def test_it_never_stands_in_the_way_of_a_close(broken: Manager, external: str) -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway, faults = world.gateway, world.simulator.faults
        faults.trade_elsewhere("SPY", 100)
        faults.trade_elsewhere("QQQ", -50)
        await gateway.connect()
        one = await ending(world, gateway.close_position(SPY_ID, "MANUAL"))
        rest = await gateway.close_all_positions("MANUAL")
        return one, rest, world.simulator.positions()

    section: Risk = attrs.evolve(LENIENT, external=external)
    one, rest, positions = prove(
        scenario, risk_manager=broken, connect=False, config=a_config(risk=section)
    )

    assert (one.result.status, one.after_s) == (OrderStatus.FILLED, 0.0)
    assert [result.status for result in rest] == [OrderStatus.FILLED]
    assert positions == {}


@pytest.mark.req("GW-1")
@KINDS
def test_it_is_told_the_positions_whenever_they_change(kind: type[Manager]) -> None:
    manager = kind()

    async def scenario(world: ProofWorld) -> None:
        world.simulator.faults.trade_elsewhere("QQQ", 5)
        await world.gateway.connect()
        await world.gateway.submit_order(buy(10), CONTEXT)
        await asyncio.sleep(1.0)

    prove(scenario, risk_manager=manager, connect=False)

    told = [{(each.symbol, each.quantity) for each in positions} for positions in manager.synced]
    assert told[0] == {("QQQ", 5)}
    assert told[-1] == {("QQQ", 5), ("SPY", 10)}


@pytest.mark.req("GW-1")
def test_one_that_cannot_be_told_positions_does_not_stop_trading() -> None:
    class Deaf(Manager):
        def sync_positions(self, positions: tuple[Position, ...]) -> None:
            raise ValueError("no positions today")

    async def scenario(world: ProofWorld) -> Any:
        await world.gateway.submit_order(buy(), CONTEXT)
        return await world.gateway.submit_order(buy(), CONTEXT)

    assert prove(scenario, risk_manager=Deaf()).status is OrderStatus.FILLED


@pytest.mark.req("GW-1", "GW-8")
def test_a_plain_one_that_blocks_its_thread_blocks_neither_loop_nor_risk(tmp_path: Path) -> None:
    """In reality: the method sleeps in its own thread, while the loop ticks and a close goes through."""

    class Blocking(Manager):
        def validate_trade(self, request: TradeRequest) -> Any:
            time.sleep(1.0)
            return APPROVED

    async def scenario() -> tuple[OrderStatus, OrderStatus, bool]:
        async with real_world(tmp_path, connect=False, risk_manager=Blocking()) as world:
            world.simulator.faults.trade_elsewhere("QQQ", 5)
            await world.gateway.connect()
            opening = asyncio.create_task(world.gateway.submit_order(buy(), CONTEXT))
            await asyncio.sleep(0.1)
            (closed,) = await world.gateway.close_all_positions("MANUAL", 10.0)
            was_first = not opening.done()
            return closed.status, (await opening).status, was_first

    assert asyncio.run(scenario()) == (OrderStatus.FILLED, OrderStatus.FILLED, True)


@pytest.mark.req("GW-1")
def test_a_slow_one_is_told_the_newest_positions_and_no_backlog() -> None:
    class Slow(AsyncManager):
        async def sync_positions(self, positions: tuple[Position, ...]) -> Any:
            await asyncio.sleep(10.0)
            self.synced.append(positions)

    manager = Slow()

    async def scenario(world: ProofWorld) -> None:
        for _ in range(5):
            await world.gateway.submit_order(buy(1), CONTEXT)
            await asyncio.sleep(0.5)
        await asyncio.sleep(60.0)

    prove(scenario, risk_manager=manager)

    assert len(manager.synced) <= 3
    assert [position.quantity for position in manager.synced[-1]] == [5]


@pytest.mark.req("GW-1", "RSK-7")
def test_plain_calls_that_never_come_back_are_bounded_and_leave_the_callers_threads_alone(
    tmp_path: Path,
) -> None:
    """In reality: each leaves a thread behind, none of them one of the caller's, until no more are begun."""
    forever = threading.Event()

    class Stuck(Manager):
        def validate_trade(self, request: TradeRequest) -> Any:
            super().validate_trade(request)
            forever.wait()

    manager = Stuck()
    brief = a_config(risk=attrs.evolve(LENIENT, external_timeout_s=0.05))

    async def scenario() -> tuple[set[OrderStatus], str | None, bool]:
        async with real_world(tmp_path, risk_manager=manager, config=brief) as world:
            results = [
                await world.gateway.submit_order(buy(), CONTEXT, 5.0) for _ in range(MAX_CALLS + 1)
            ]
            async with asyncio.timeout(5.0):
                is_free = await asyncio.to_thread(lambda: True)
            return {item.status for item in results}, results[-1].rejection_reason, is_free

    try:
        statuses, last, is_free = asyncio.run(scenario())
    finally:
        forever.set()

    assert (statuses, is_free) == ({OrderStatus.REJECTED}, True)
    assert len(manager.asked) == MAX_CALLS
    assert f"{MAX_CALLS} calls of the risk manager have not come back" in (last or "")
