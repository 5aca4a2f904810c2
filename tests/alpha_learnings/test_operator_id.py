"""Alpha learning: the operator's id stands on every order, closes and liquidation too. The witness is the ledger."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from supervision.simulator import LedgerEntry
from tests.worlds import CONTEXT, ProofWorld, buy, prove, sell

OPERATOR = "DESK-7"
LIMIT = 590.0
STOP = 600.0
HELD = 50


async def _every_kind_of_order(world: ProofWorld) -> None:
    gateway, faults = world.gateway, world.simulator.faults
    for symbol in ("QQQ", "AAPL", "MSFT"):
        faults.trade_elsewhere(symbol, HELD)
    await gateway.connect()
    await gateway.submit_order(buy(HELD), CONTEXT)
    await gateway.submit_order(sell(1), CONTEXT)
    resting = buy(1, order_type="LMT", limit_price=LIMIT)
    working = await gateway.submit_order(resting, CONTEXT, wait_for="ack")
    await gateway.modify_order(working.order_id, limit_price=LIMIT + 1)
    await gateway.submit_order(buy(1, order_type="STP", stop_price=STOP), CONTEXT)
    chain = await gateway.get_option_chain("SPY")
    option = buy(1, expiry=chain.expiries[-1].strftime("%Y%m%d"), strike=600.0, right="P")
    await gateway.submit_order(option, CONTEXT)
    await gateway.close_position("QQQ_320227571", "MANUAL")
    faults.move_price("AAPL", 0.5)  # the emergency stop closes it by itself
    await asyncio.sleep(10.0)
    await gateway.liquidate("the operator wants it")
    await world.until(lambda: bool(gateway.liquidation_reports))


def _ledger() -> tuple[LedgerEntry, ...]:
    async def scenario(world: ProofWorld) -> Any:
        await _every_kind_of_order(world)
        assert world.gateway.liquidation_reports[0].flat
        return world.simulator.ledger

    entries: tuple[LedgerEntry, ...] = prove(scenario, connect=False, operator_id=OPERATOR)
    return entries


@pytest.mark.req("ORD-4")
def test_every_order_that_the_gateway_received_names_the_operator() -> None:
    entries = [entry for entry in _ledger() if entry.kind in ("place", "modify")]

    assert {entry.ext_operator for entry in entries} == {OPERATOR}
    assert all(entry.order_ref.startswith(f"{OPERATOR}:") for entry in entries)
    assert all(entry.account == "DU1234567" for entry in entries)
    assert {entry.kind for entry in entries} == {"place", "modify"}
    assert {entry.order_type for entry in entries} == {"MKT", "LMT", "STP"}
    closed = {entry.symbol for entry in entries if ":CLOSE_" in entry.order_ref}
    assert closed == {"QQQ", "AAPL", "MSFT", "SPY"}, "by hand, by rule, by liquidation"
    assert len({entry.order_ref for entry in entries if entry.kind == "place"}) == sum(
        entry.kind == "place" for entry in entries
    )
