"""What a caller may say of a contract, and what the refusal says (ORD-12)."""

from __future__ import annotations

from typing import Any

import pytest

from actors.logic.order_validation import contract_query, validate_signal
from supervision import OrderStatus, OrderValidationError
from tests.worlds import CONTEXT, ProofWorld, buy, prove

pytestmark = pytest.mark.req("ORD-12")
BELOW = 560.0


def test_a_dotted_symbol_is_told_how_ib_writes_it() -> None:
    async def scenario(world: ProofWorld) -> Any:
        return await world.gateway.submit_order(buy(1, "BRK.B"), CONTEXT)

    refused = prove(scenario)

    assert refused.status is OrderStatus.FAILED
    assert "'BRK B'" in refused.rejection_reason


def test_a_residue_never_reaches_the_wire_and_a_price_between_ticks_is_refused_here() -> None:
    async def scenario(world: ProofWorld) -> Any:
        residue = buy(1, order_type="LMT", limit_price=560.1 + 0.2)
        sent = await world.gateway.submit_order(residue, CONTEXT, wait_for="ack")
        between = buy(2, order_type="LMT", limit_price=560.305)
        refused = await world.gateway.submit_order(between, CONTEXT, wait_for="ack")
        with pytest.raises(OrderValidationError, match=r"560\.3 or 560\.31"):
            await world.gateway.modify_order(sent.order_id, limit_price=560.305)
        (order,) = world.simulator.open_orders()
        return sent, refused, order.limit_price

    sent, refused, price = prove(scenario)

    assert (sent.status, price) == (OrderStatus.PENDING, 560.3)
    assert refused.status is OrderStatus.REJECTED
    assert "560.3 or 560.31" in refused.rejection_reason


def test_a_trading_class_can_be_given() -> None:
    signal = buy(1, "SPX", expiry="20270319", strike=6000.0, right="C", trading_class="SPXW")

    query = contract_query(validate_signal(signal, CONTEXT, "CSATSPRIM"))

    assert query.trading_class == "SPXW"
    with pytest.raises(OrderValidationError, match="trading_class"):
        validate_signal(buy(1, trading_class="no such\0"), CONTEXT, "CSATSPRIM")
