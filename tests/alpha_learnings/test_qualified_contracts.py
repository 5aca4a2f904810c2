"""Alpha learning: only qualified contracts are traded. The witnesses are the wire and the simulator's ledger."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from actors.errors import ContractQualificationError
from actors.model.orders import OrderStatus
from tests.walk.wiretap import (
    PLACE_ORDER,
    REQ_CONTRACT_DETAILS,
    REQ_HISTORY,
    REQ_MARKET_DATA,
    Fields,
    tapped_world,
)
from tests.worlds import CONTEXT, ProofWorld, buy, prove, sell

CON_ID_FIELD = {PLACE_ORDER: 2, REQ_MARKET_DATA: 3, REQ_HISTORY: 2}
"""Where the contract's id stands, counted from 0 (TWS_WIRE §4)."""


async def _trade(state_dir: Path) -> list[Fields]:
    async with tapped_world(state_dir, mode="paper") as world:
        gateway = world.gateway
        await gateway.connect()
        await gateway.submit_order(buy(), CONTEXT, 10.0)
        chain = await gateway.get_option_chain("SPY")
        option = buy(1, expiry=chain.expiries[-1].strftime("%Y%m%d"), strike=600.0, right="C")
        await gateway.submit_order(option, CONTEXT, 10.0)
        await gateway.get_market_data("QQQ")
        await gateway.close_all_positions("MANUAL", 10.0)
        await gateway.disconnect()
        return world.wire.messages()


@pytest.mark.req("ORD-2")
def test_whatever_names_a_contract_on_the_wire_names_its_id(tmp_path: Path) -> None:
    messages = asyncio.run(_trade(tmp_path))

    named = [
        (message[0], message[CON_ID_FIELD[message[0]]])
        for message in messages
        if message[0] in CON_ID_FIELD
    ]
    assert sum(kind == PLACE_ORDER for kind, _ in named) == 4
    assert all(int(con_id) > 0 for _, con_id in named), named


@pytest.mark.req("ORD-2")
def test_a_contract_is_qualified_once_and_remembered(tmp_path: Path) -> None:
    async def scenario() -> list[Fields]:
        async with tapped_world(tmp_path, mode="paper") as world:
            await world.gateway.connect()
            for _ in range(3):
                await world.gateway.submit_order(buy(symbol="QQQ"), CONTEXT, 10.0)
                await world.gateway.get_market_data("QQQ")
            await world.gateway.disconnect()
            asked = world.wire.of_kind(REQ_CONTRACT_DETAILS)
            return [message for message in asked if "QQQ" in message]

    asked = asyncio.run(scenario())

    assert 1 <= len(asked) <= 2, "once for data, once for orders"


@pytest.mark.req("ORD-2")
@pytest.mark.parametrize("symbol", ["NOSUCH", "SPYX"])
def test_what_cannot_be_qualified_is_not_traded(symbol: str) -> None:
    async def scenario(world: ProofWorld) -> Any:
        with pytest.raises(ContractQualificationError):
            await world.gateway.get_market_data(symbol)
        bought = await world.gateway.submit_order(buy(symbol=symbol), CONTEXT)
        sold = await world.gateway.submit_order(sell(symbol=symbol), CONTEXT)
        return bought, sold, world.simulator.ledger

    bought, sold, ledger = prove(scenario)

    assert (bought.status, sold.status) == (OrderStatus.FAILED, OrderStatus.FAILED)
    assert symbol in bought.rejection_reason
    assert ledger == ()
