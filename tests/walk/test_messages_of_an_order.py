"""How many messages one filled paper order takes: a bound, so that it does not grow unnoticed."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

import pytest

from actors.kernel.addresses import TapRecord
from actors.messages.addresses import EXECUTOR, JOURNAL
from actors.messages.market_data import QuoteUpdated
from supervision import OrderStatus
from tests.worlds import CONTEXT, ProofWorld, buy, prove

MOST: Final = 24
"""To and from the executor: the caller's request, three more on its way with their answers, the reports of the broker,
and one message for each change and each address that it concerns."""

ENOUGH_S: Final = 1.0


@pytest.mark.req("ORD-9")
def test_one_filled_order_takes_no_more_messages_than_now() -> None:
    async def scenario(world: ProofWorld) -> None:
        await world.gateway.submit_order(
            buy(), CONTEXT
        )  # the contract and its quote are known then
        await asyncio.sleep(ENOUGH_S)
        seen = Counter[tuple[str, str, str]]()

        def tap(record: TapRecord) -> None:
            ends = (record.sender, record.recipient)
            if EXECUTOR in ends and not isinstance(record.message, QuoteUpdated):
                seen[(*ends, type(record.message).__name__)] += 1

        world.process.tap(tap)
        result = await world.gateway.submit_order(buy(), CONTEXT)
        await asyncio.sleep(ENOUGH_S)

        assert result.status is OrderStatus.FILLED
        assert seen[EXECUTOR, JOURNAL, "RecordIntent"] == 1
        assert seen.total() <= MOST, seen

    prove(scenario)
