"""What lies between a signal and the gateway: each message is a thread to wake, each commit a disk to wait for.

Measured times say how quick the road is (`make benchmarks ARGS=orders`); this says that nobody makes it longer unseen.
"""

from __future__ import annotations

import asyncio

import pytest

from actors.kernel.addresses import TapRecord
from actors.messages.addresses import EXECUTOR, JOURNAL, LINK, RISK
from actors.messages.journal import IntentDurable, RecordIntent
from actors.messages.orders import OrderSent, SendOrder, SubmitOrder
from actors.messages.risk import OrderApproved, RequestApproval
from actors.model.orders import OrderStatus, Purpose
from tests.worlds import CONTEXT, ProofWorld, buy, prove

THE_ROAD = [
    (EXECUTOR, SubmitOrder),
    (RISK, RequestApproval),
    (EXECUTOR, OrderApproved),
    (JOURNAL, RecordIntent),
    (EXECUTOR, IntentDurable),
    (LINK, SendOrder),
]
"""Six messages, of which one waits for the disk; the gateway is asked nothing on the way."""

QUIET_S = 0.3
"""By then all that the order before has set going is over, and its quote is still fresh."""


@pytest.mark.req("QUA-5", "SUP-8")
@pytest.mark.parametrize("purpose", [Purpose.OPEN, Purpose.CLOSE])
def test_six_messages_and_one_commit_lie_between_the_facade_and_the_wire(purpose: Purpose) -> None:
    async def scenario(world: ProofWorld) -> list[tuple[str, type]]:
        first = await world.gateway.submit_order(buy(), CONTEXT)
        assert first.status is OrderStatus.FILLED, first.rejection_reason
        (held,) = await world.gateway.get_positions()
        await asyncio.sleep(QUIET_S)
        passed: list[TapRecord] = []
        world.process.tap(passed.append)
        if purpose is Purpose.OPEN:
            await world.gateway.submit_order(buy(), CONTEXT)
        else:
            await world.gateway.close_position(held.position_id)
        road = [(record.recipient, type(record.message)) for record in passed]
        return road[road.index(THE_ROAD[0]) : road.index((EXECUTOR, OrderSent))]

    assert prove(scenario) == THE_ROAD
