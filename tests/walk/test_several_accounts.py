"""A login that manages several accounts: only the one that is traded is told, counted and closed."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from actors.model.orders import OrderStatus
from supervision.config.sections import General
from supervision.simulator import SimulatorConfig
from tests.worlds import CONTEXT, LENIENT, ProofWorld, a_config, buy, prove

TRADED = "DU7654321"
OTHER = "DU1234567"
TWO_ACCOUNTS = SimulatorConfig(seed=7, accounts=(OTHER, TRADED))
CHOSEN = a_config(general=General(account=TRADED))
NO_SHORTS = a_config(general=General(account=TRADED), risk=attrs.evolve(LENIENT, allow_short=False))
HELD = 100.0
BOUGHT = 10.0
SETTLED_S = 5.0


def held_in(world: ProofWorld, account: str) -> dict[str, float]:
    """What the broker's own books say that an account holds."""
    positions = world.simulator.broker.books.positions(account)
    return {held.contract.symbol: held.quantity for held in positions.values()}


def trade_in_the_other(world: ProofWorld, quantity: float = HELD) -> None:
    """Let somebody trade in the account that is not ours."""
    world.simulator.faults.trade_elsewhere("SPY", quantity, account=OTHER)


@pytest.mark.req("RSK-4", "ORD-4", "CON-11")
@pytest.mark.parametrize("when", ["before", "afterwards"])
def test_a_position_of_another_account_is_neither_told_nor_closed(when: str) -> None:
    """Closing it would sell in our account what that does not hold."""

    async def scenario(world: ProofWorld) -> Any:
        if when == "before":
            trade_in_the_other(world)
        await world.gateway.connect()
        if when == "afterwards":
            trade_in_the_other(world)
        await asyncio.sleep(SETTLED_S)
        told = await world.gateway.get_positions()
        closed = await world.gateway.close_all_positions("MANUAL")
        await world.gateway.liquidate("flatten our account")
        await world.until(lambda: bool(world.gateway.liquidation_reports))
        placed = [entry for entry in world.simulator.ledger if entry.order_ref]
        return told, closed, world.gateway.liquidation_reports[-1], placed

    told, closed, report, placed = prove(
        scenario, connect=False, config=CHOSEN, simulated=TWO_ACCOUNTS
    )

    assert (told, closed, placed) == ([], [], [])
    assert report.flat


@pytest.mark.req("RSK-4", "RSK-6")
def test_trades_in_another_account_move_nothing_that_is_ours() -> None:
    async def scenario(world: ProofWorld) -> Any:
        await world.gateway.submit_order(buy(BOUGHT), CONTEXT)
        trade_in_the_other(world, -HELD)
        trade_in_the_other(world, 2 * HELD)
        closed = await world.gateway.close_position("SPY_756733", "MANUAL")
        await asyncio.sleep(SETTLED_S)
        return closed, held_in(world, TRADED), held_in(world, OTHER)

    closed, ours, others = prove(scenario, config=NO_SHORTS, simulated=TWO_ACCOUNTS)

    assert (closed.status, closed.fill_quantity) == (OrderStatus.FILLED, BOUGHT)
    assert (ours, others) == ({}, {"SPY": HELD})


@pytest.mark.req("RSK-6")
def test_an_order_that_rests_in_another_account_counts_for_nothing() -> None:
    """A sale that rests there would else stand in the way of a close here."""

    async def scenario(world: ProofWorld) -> Any:
        far_above = 10_000.0
        world.simulator.faults.order_by_hand("SPY", -BOUGHT, far_above, account=OTHER)
        await world.gateway.connect()
        await world.gateway.submit_order(buy(BOUGHT), CONTEXT)
        return await world.gateway.close_position("SPY_756733", "MANUAL")

    closed = prove(scenario, connect=False, config=CHOSEN, simulated=TWO_ACCOUNTS)

    assert (closed.status, closed.fill_quantity) == (OrderStatus.FILLED, BOUGHT)


@pytest.mark.req("ORD-4")
def test_orders_go_to_the_account_that_was_chosen() -> None:
    async def scenario(world: ProofWorld) -> Any:
        await world.gateway.submit_order(buy(BOUGHT), CONTEXT)
        return held_in(world, TRADED), held_in(world, OTHER)

    assert prove(scenario, config=CHOSEN, simulated=TWO_ACCOUNTS) == ({"SPY": BOUGHT}, {})
