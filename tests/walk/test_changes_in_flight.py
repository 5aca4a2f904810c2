"""A change counts from its approval on: what fills before it is sent takes nothing off it (RSK-6)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from actors.errors import GatewayError, ModeError
from actors.executor.answers import ANSWER_MARGIN_S, AnswerDue
from actors.kernel.addresses import TapRecord
from actors.kernel.stories import RequestHeader
from actors.messages.addresses import EXECUTOR, JOURNAL, LINK, RISK
from actors.messages.journal import JournaledOrder, JournalRead, ReadJournal
from actors.messages.orders import (
    ExecutionReported,
    ModifyOrder,
    OrderSent,
    OrderUpdated,
    SendOrder,
)
from actors.messages.risk import LatchChanged, OrderApproved, RequestApproval
from actors.model.orders import OrderStatus, WireOrder
from tests.unit.logic.values import execution
from tests.walk.watching import ending
from tests.worlds import CONTEXT, ProofWorld, buy, prove

FIRST, CHANGED, FILLED = 10.0, 95.0, 1.0
BELOW = 590.0
TOO_MANY = 2e6
AT_ONCE_S = 1.0
SETTLED_S = 60.0
"""By then two reads have shown what became of a change."""


class BetweenApprovalAndWire:
    """Taps: does something when a change is approved, and notes what risk is told until the change is sent."""

    def __init__(self, happens: Callable[[WireOrder], None]) -> None:
        self.happens = happens
        self.asked: WireOrder | None = None
        self.is_sent = False
        self.told: list[float] = []

    def __call__(self, record: TapRecord) -> None:
        """Take note of one message."""
        message = record.message
        if isinstance(message, RequestApproval):
            self.asked = message.order
        elif isinstance(message, OrderApproved) and self.asked is not None:
            self.happens(self.asked)
        elif isinstance(message, OrderSent):
            self.is_sent = True
        elif isinstance(message, OrderUpdated) and record.recipient == RISK and not self.is_sent:
            assert message.signed_remaining is not None
            self.told.append(message.signed_remaining)


@pytest.mark.req("RSK-6", "ORD-3")
def test_a_fill_before_the_approved_change_is_sent_leaves_all_of_it_reserved() -> None:
    async def scenario(world: ProofWorld) -> None:
        resting = buy(FIRST, order_type="LMT", limit_price=BELOW)
        working = await world.gateway.submit_order(resting, CONTEXT, wait_for="ack")
        (order,) = world.simulator.open_orders()

        def fill(asked: WireOrder) -> None:
            filled = execution(
                FILLED,
                contract=asked.contract,
                order_ref=asked.order_ref,
                perm_id=order.perm_id,
                order_id=order.order_id,
            )
            now = world.proof.clock.now()
            world.process.tell(EXECUTOR, ExecutionReported(execution=filled, received_at=now))

        watching = BetweenApprovalAndWire(fill)
        world.process.tap(watching)

        await world.gateway.modify_order(working.order_id, quantity=CHANGED)

        assert watching.is_sent
        assert watching.told == [CHANGED - FILLED]

    prove(scenario)


@pytest.mark.req("ORD-3")
def test_a_change_to_the_terms_in_force_is_confirmed_by_the_words_that_were_just_said() -> None:
    async def scenario(world: ProofWorld) -> None:
        resting = buy(FIRST, order_type="LMT", limit_price=BELOW)
        working = await world.gateway.submit_order(resting, CONTEXT, wait_for="ack")

        changed = await ending(
            world, world.gateway.modify_order(working.order_id, limit_price=BELOW)
        )

        assert changed.result.status is OrderStatus.PENDING
        assert changed.after_s < AT_ONCE_S

    prove(scenario)


@pytest.mark.req("RSK-6")
def test_a_change_that_risk_rejects_gives_back_what_it_would_have_filled() -> None:
    async def scenario(world: ProofWorld) -> None:
        resting = buy(FIRST, order_type="LMT", limit_price=BELOW)
        working = await world.gateway.submit_order(resting, CONTEXT, wait_for="ack")
        watching = BetweenApprovalAndWire(lambda _: None)
        world.process.tap(watching)

        with pytest.raises(ModeError, match="rejected by risk"):
            await world.gateway.modify_order(working.order_id, quantity=TOO_MANY)

        assert watching.told == [FIRST]

    prove(scenario)


class Asking:
    """Asks the process by message, and keeps the answers."""

    def __init__(self, world: ProofWorld) -> None:
        self.world = world
        self.answers: list[Any] = []
        self.number = 0
        world.process.register("asking", self.answers.append)

    def header(self, within_s: float) -> RequestHeader:
        """Head a request; each has an id of its own."""
        now = self.world.proof.clock.monotonic()
        self.number += 1
        return {
            "correlation_id": f"asking-{self.number}",
            "deadline": now + within_s,
            "reply_to": "asking",
        }

    async def journaled(self) -> JournaledOrder:
        """Read the one open order of the journal."""
        self.answers.clear()
        self.world.process.tell(JOURNAL, ReadJournal(**self.header(10.0)))
        await self.world.until(lambda: bool(self.answers))
        read: JournalRead = self.answers[0]
        (order,) = read.orders
        return order


@pytest.mark.req("ORD-3", "ORD-9")
def test_a_change_that_the_gate_refused_leaves_the_journal_with_the_terms_that_hold() -> None:
    async def scenario(world: ProofWorld) -> None:
        resting = buy(FIRST, order_type="LMT", limit_price=BELOW)
        working = await world.gateway.submit_order(resting, CONTEXT, wait_for="ack")

        def latch_the_gate(_: WireOrder) -> None:
            now = world.proof.clock.now()
            world.process.tell(LINK, LatchChanged(latched=True, reason="a test", at=now))

        world.process.tap(BetweenApprovalAndWire(latch_the_gate))
        with pytest.raises(ModeError, match="refused at the gate"):
            await world.gateway.modify_order(working.order_id, quantity=CHANGED)

        await asyncio.sleep(AT_ONCE_S)  # a question to the journal overtakes what it was told
        kept = await Asking(world).journaled()
        assert (kept.order.quantity, kept.request.quantity) == (FIRST, FIRST)

    prove(scenario)


@pytest.mark.req("ORD-3", "ORD-9")
@pytest.mark.parametrize("code", [104, 460, None], ids=["refused", "unlisted code", "ignored"])
def test_a_change_that_the_broker_did_not_make_leaves_the_journal_with_the_terms_that_hold(
    code: int | None,
) -> None:
    """Else the next process takes an order for 23 for filled of which 30 of 36 filled before it was cancelled."""

    async def scenario(world: ProofWorld) -> None:
        resting = buy(FIRST, order_type="LMT", limit_price=BELOW)
        working = await world.gateway.submit_order(resting, CONTEXT, wait_for="ack")

        if code is None:
            world.simulator.order_faults.refuse_orders(manner="silence")
        else:
            world.simulator.order_faults.refuse_orders(code, "no")
        with pytest.raises(GatewayError):
            await world.gateway.modify_order(working.order_id, quantity=CHANGED)

        await asyncio.sleep(SETTLED_S)
        kept = await Asking(world).journaled()
        assert (kept.order.quantity, kept.request.quantity) == (FIRST, FIRST)

    prove(scenario)


@pytest.mark.req("ORD-3", "ORD-6")
def test_a_change_that_nobody_waits_for_any_more_lets_no_other_begin_while_it_may_be_sent() -> None:
    async def scenario(world: ProofWorld) -> None:
        resting = buy(FIRST, order_type="LMT", limit_price=BELOW)
        working = await world.gateway.submit_order(resting, CONTEXT, wait_for="ack")
        asking = Asking(world)

        def at_the_gate(record: TapRecord) -> None:
            if isinstance(record.message, SendOrder) and not asking.answers:
                reference = record.message.order.order_ref
                world.process.tell(EXECUTOR, AnswerDue(order_ref=reference))
                world.process.tell(EXECUTOR, change(2 * CHANGED, 10.0))

        def change(quantity: float, within_s: float) -> ModifyOrder:
            return ModifyOrder(
                **asking.header(within_s), order_id=working.order_id, quantity=quantity
            )

        world.process.tap(at_the_gate)
        world.process.tell(EXECUTOR, change(CHANGED, 2 * ANSWER_MARGIN_S))
        await world.until(lambda: len(asking.answers) == 2)
        await asyncio.sleep(AT_ONCE_S)

        late, refused = asking.answers
        assert "not confirmed yet" in late.error.text
        assert "under way" in refused.error.text
        assert [order.quantity for order in world.simulator.open_orders()] == [CHANGED]

    prove(scenario)
