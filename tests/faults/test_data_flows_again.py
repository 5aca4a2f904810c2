"""Data pauses at the wire while Strategy C closes, and flows again when nothing is left to close (D9)."""

from __future__ import annotations

import pytest

from actors.messages.addresses import LINK
from actors.messages.liquidation import FlatteningChanged
from tests.worlds import CONTEXT, ProofWorld, buy, prove

pytestmark = pytest.mark.req("STC-12")


def test_when_all_is_flat_the_link_is_told_before_any_other_thing_happens() -> None:
    async def scenario(world: ProofWorld) -> list[bool]:
        told: list[bool] = []
        tap = world.process.tap(
            lambda record: (
                told.append(record.message.running)
                if isinstance(record.message, FlatteningChanged) and record.recipient == LINK
                else None
            )
        )
        await world.gateway.submit_order(buy(), CONTEXT)
        await world.gateway.liquidate("a test")
        await world.until(lambda: bool(world.gateway.liquidation_reports))
        tap.cancel()
        return told

    assert prove(scenario) == [True, False]


def test_whoever_takes_the_latch_back_has_data_again() -> None:
    async def scenario(world: ProofWorld) -> float | None:
        await world.gateway.submit_order(buy(), CONTEXT)
        await world.gateway.liquidate("a test")
        await world.until(lambda: bool(world.gateway.liquidation_reports))
        await world.gateway.rearm("a test", "it was one")
        return (await world.gateway.get_market_data("SPY", timeout=5.0)).bid

    assert prove(scenario) is not None
