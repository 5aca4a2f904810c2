"""Connect, read, place, modify, cancel, fill: against a real paper gateway, one share at a time (QUA-6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from supervision import IBKRGateway, OrderStatus
from tests.paper_gateway.conftest import (
    ONE_SHARE,
    PATIENCE_S,
    SYMBOL,
    Scenario,
    eventually,
    one_share,
)
from tests.worlds import CONTEXT

Paper = Callable[[Scenario], Any]
FAR_BELOW: Final = 0.95
"""Of the price: within the price band, and far from a fill."""


async def price_of(gateway: IBKRGateway) -> float:
    """Read a live price; skips the test where the account has none."""
    data = await gateway.get_market_data(SYMBOL, PATIENCE_S)
    if data.last_price is None or data.is_stale:
        pytest.skip(f"{SYMBOL} has no live price: no subscription, or the market is closed")
    return data.last_price


@pytest.mark.req("QUA-6", "CON-4")
def test_it_connects_and_the_round_trip_is_proved(paper: Paper) -> None:
    async def scenario(gateway: IBKRGateway) -> None:
        status = await gateway.status()

        assert status.connection == "CONNECTED"
        assert await gateway.verify_connection()

    paper(scenario)


@pytest.mark.req("QUA-6", "GW-6")
def test_account_positions_and_orders_can_be_read(paper: Paper) -> None:
    async def scenario(gateway: IBKRGateway) -> None:
        account = await gateway.get_account()

        assert account.net_liquidation is not None
        assert account.net_liquidation > 0
        assert isinstance(await gateway.get_positions(), list)
        assert isinstance(await gateway.get_open_orders(), list)

    paper(scenario)


@pytest.mark.req("QUA-6", "GW-3")
def test_a_quote_and_an_hour_of_bars_can_be_read(paper: Paper) -> None:
    async def scenario(gateway: IBKRGateway) -> None:
        price = await price_of(gateway)
        bars = await gateway.get_historical_data(SYMBOL, 60, timeout=PATIENCE_S)

        assert price > 0
        assert 1 <= len(bars) <= 60
        assert all(bar.low <= bar.close <= bar.high for bar in bars)

    paper(scenario)


@pytest.mark.req("QUA-6", "GW-4", "ORD-3")
def test_an_order_is_placed_modified_and_cancelled(paper: Paper) -> None:
    async def scenario(gateway: IBKRGateway) -> None:
        limit = round(await price_of(gateway) * FAR_BELOW, 2)

        placed = await gateway.submit_order(
            one_share("BUY", order_type="LMT", limit_price=limit),
            CONTEXT,
            PATIENCE_S,
            wait_for="ack",
        )
        assert placed.status is OrderStatus.PENDING, placed
        working = await gateway.get_open_orders()
        assert placed.order_id in [order.order_id for order in working]
        await gateway.modify_order(
            placed.order_id, limit_price=round(limit - 0.01, 2), timeout=PATIENCE_S
        )
        cancelled = await gateway.cancel_order(placed.order_id, PATIENCE_S)

        assert cancelled.status is OrderStatus.CANCELLED, cancelled
        assert cancelled.fill_quantity == 0
        left = await gateway.get_open_orders()
        assert placed.order_id not in [order.order_id for order in left]

    paper(scenario)


@pytest.mark.req("QUA-6", "GW-4", "GW-5")
def test_one_share_is_bought_held_and_closed(paper: Paper) -> None:
    async def scenario(gateway: IBKRGateway) -> None:
        await price_of(gateway)

        bought = await gateway.submit_order(one_share("BUY"), CONTEXT, PATIENCE_S)
        assert bought.status is OrderStatus.FILLED, bought
        assert bought.fill_quantity == ONE_SHARE
        assert bought.fill_price

        async def is_held() -> bool:
            positions = await gateway.get_positions()
            return [each.quantity for each in positions if each.symbol == SYMBOL] == [ONE_SHARE]

        assert await eventually(is_held)
        (held,) = [each for each in await gateway.get_positions() if each.symbol == SYMBOL]
        closed = await gateway.close_position(held.position_id, "MANUAL", PATIENCE_S)

        assert closed.status is OrderStatus.FILLED, closed

        async def is_flat() -> bool:
            return all(each.symbol != SYMBOL for each in await gateway.get_positions())

        assert await eventually(is_flat)

    paper(scenario)
