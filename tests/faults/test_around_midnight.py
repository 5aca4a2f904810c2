"""Around the roll of day and week nothing that reduces is refused, and nothing is a loss that is none (RSK-5)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from actors.messages.addresses import RISK
from actors.model.orders import OrderStatus
from supervision.simulator import SimulatorConfig
from tests.faults.crash import crash
from tests.worlds import CONTEXT, LENIENT, ProofWorld, a_config, buy, prove, sell

MINUTES = 12
STRICT = a_config(
    risk=attrs.evolve(
        LENIENT,
        daily_loss_ratio=0.03,
        weekly_drawdown_ratio=0.06,
        allow_short=False,
        max_orders_per_minute=0,
        max_open_positions=0,
    )
)
RICH = SimulatorConfig(seed=7, cash=1_000_000.0)


@pytest.mark.req("RSK-5", "RSK-10")
@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize(
    "before",
    [
        datetime(2026, 3, 3, 4, 55, tzinfo=UTC),  # Tuesday begins in New York at 05:00 UTC
        datetime(2026, 3, 9, 3, 55, tzinfo=UTC),  # Monday, the day after the clocks went forward
    ],
)
def test_sales_of_what_is_held_are_judged_as_closes_through_midnight(
    before: datetime, restarts: bool
) -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.trade_elsewhere("SPY", 44.0)
        await world.gateway.connect()
        results = []
        for minute in range(MINUTES):
            results.append(await world.gateway.submit_order(sell(1), CONTEXT, wait_for="ack"))
            if restarts and minute == MINUTES // 2:
                crash(world.process, RISK)
            await asyncio.sleep(60.0)
        return results, await world.gateway.status()

    results, status = prove(scenario, config=STRICT, simulated=RICH, epoch=before, connect=False)

    refused = [each.rejection_reason for each in results if each.status is OrderStatus.REJECTED]
    assert refused == []
    assert not status.latched


@pytest.mark.req("RSK-5")
def test_a_loss_of_the_evening_is_none_of_the_new_day_but_of_the_week() -> None:
    async def scenario(world: ProofWorld) -> Any:
        bold = attrs.evolve(CONTEXT, risk_per_trade=1.0)
        await world.gateway.submit_order(buy(160.0), bold)
        world.simulator.faults.move_price("SPY", 0.8)
        await asyncio.sleep(600.0)
        evening = (await world.gateway.status()).latched
        world.simulator.faults.move_price("SPY", 0.8)
        await asyncio.sleep(1200.0)
        return evening, await world.gateway.status()

    config = a_config(
        risk=attrs.evolve(LENIENT, daily_loss_ratio=0.021, weekly_drawdown_ratio=0.03)
    )
    evening, after = prove(
        scenario,
        config=config,
        simulated=RICH,
        epoch=datetime(2026, 3, 3, 4, 52, tzinfo=UTC),
    )

    assert not evening  # 1.9 % of the day
    assert "WEEKLY_DRAWDOWN" in (after.latch_reason or "")
