"""Closing what an order of ours rests on, and going on with a close that the broker refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest

from actors.errors import GatewayTimeoutError, PositionNotFoundError
from actors.model.orders import OrderStatus
from supervision.config.sections import Flattening
from supervision.proof.time import EPOCH
from tests.walk.test_positions import JUST_BELOW, NEAR_DAYS, SPY_ID, hold, option_of
from tests.walk.watching import ending
from tests.worlds import CONTEXT, LENIENT, ProofWorld, a_config, buy, prove, sell

HELD = 100
STOP = 300.0
FAR_BELOW = 400.0
SOON_S = 10.0
REFUSED_S = 360.0
BEFORE_MIDNIGHT = EPOCH + timedelta(hours=13, minutes=59)
"""A minute before it in New York, where another day to expiry is over then."""
ANY_PRICE = a_config(risk=attrs.evolve(LENIENT, price_band_ratio=9.0, option_price_band_ratio=9.0))

Close = Callable[[ProofWorld], Awaitable[Any]]


async def protected(world: ProofWorld) -> str:
    """Hold a position with a protective stop far below; gives the stop's id."""
    hold(world, quantity=HELD)
    await world.gateway.connect()
    stop = await world.gateway.submit_order(sell(HELD, order_type="STP", stop_price=STOP), CONTEXT)
    assert stop.status is OrderStatus.PENDING
    return stop.order_id


def placed(world: ProofWorld) -> list[tuple[str, float | None, str]]:
    """Every order that the broker got: side, quantity, type."""
    return [
        (entry.action, entry.quantity, entry.order_type)
        for entry in world.simulator.ledger
        if entry.order_ref
    ]


# --- what rests in the way --------------------------------------------------------------------------------------------


async def by_emergency(world: ProofWorld) -> None:
    """Let the position lose so much that it is closed by itself."""
    world.simulator.faults.move_price("SPY", JUST_BELOW)
    await asyncio.sleep(SOON_S)


async def by_hand(world: ProofWorld) -> None:
    """Close the position."""
    result = await world.gateway.close_position(SPY_ID, "MANUAL")
    assert (result.status, result.fill_quantity) == (OrderStatus.FILLED, HELD)


async def all_by_hand(world: ProofWorld) -> None:
    """Close all positions."""
    (result,) = await world.gateway.close_all_positions("MANUAL")
    assert result.status is OrderStatus.FILLED


@pytest.mark.req("POS-3", "POS-6", "POS-7", "RSK-4")
@pytest.mark.parametrize("close", [by_emergency, by_hand, all_by_hand])
def test_a_protective_stop_makes_way_for_the_close_of_its_position(close: Close) -> None:
    async def scenario(world: ProofWorld) -> Any:
        stop_id = await protected(world)
        await close(world)
        await asyncio.sleep(SOON_S)
        working = [order.order_id for order in await world.gateway.get_open_orders()]
        return stop_id in working, placed(world), world.simulator.positions()

    rests, orders, positions = prove(scenario, connect=False, config=ANY_PRICE)

    assert not rests, "it would turn the position round when it filled later"
    assert orders == [("SELL", HELD, "STP"), ("SELL", HELD, "MKT")]
    assert positions == {}


@pytest.mark.req("POS-3", "RSK-4")
def test_an_option_with_a_resting_sale_is_closed_before_it_expires() -> None:
    async def scenario(world: ProofWorld) -> Any:
        option = option_of(world, NEAR_DAYS + 1)
        hold(world, quantity=2, con_id=option.con_id)
        await world.gateway.connect()
        quote = await world.gateway.get_option_quote("SPY", option.expiry, option.strike, "C")
        assert quote.ask is not None
        sale = sell(
            2,
            order_type="LMT",
            limit_price=round(3 * quote.ask, 1),
            time_in_force="GTC",
            expiry=option.expiry,
            strike=option.strike,
            right="C",
        )
        resting = await world.gateway.submit_order(sale, CONTEXT, wait_for="ack")
        assert resting.status is OrderStatus.PENDING, resting.rejection_reason
        await asyncio.sleep(120.0)
        return world.simulator.positions(), placed(world)[-1]

    positions, last = prove(scenario, connect=False, config=ANY_PRICE, epoch=BEFORE_MIDNIGHT)

    assert (positions, last) == ({}, ("SELL", 2, "MKT"))


@pytest.mark.req("RSK-4")
def test_an_order_that_rests_on_the_other_side_is_left_alone() -> None:
    async def scenario(world: ProofWorld) -> Any:
        hold(world, quantity=HELD)
        await world.gateway.connect()
        entry = buy(HELD, order_type="LMT", limit_price=FAR_BELOW)
        entry_id = (await world.gateway.submit_order(entry, CONTEXT, wait_for="ack")).order_id
        other = sell(1, symbol="QQQ", order_type="LMT", limit_price=1000.0)
        other_id = (await world.gateway.submit_order(other, CONTEXT, wait_for="ack")).order_id
        await by_hand(world)
        return {entry_id, other_id}, {
            order.order_id for order in await world.gateway.get_open_orders()
        }

    expected, working = prove(scenario, connect=False, config=ANY_PRICE)

    assert working == expected


@pytest.mark.req("RSK-4", "POS-6")
def test_a_stop_that_fills_while_it_is_cancelled_is_not_followed_by_a_close() -> None:
    async def scenario(world: ProofWorld) -> Any:
        await protected(world)
        world.simulator.faults.refuse_cancel()
        (order,) = world.simulator.broker.store.working()
        closing = asyncio.create_task(world.gateway.close_position(SPY_ID, "MANUAL", 20.0))
        await asyncio.sleep(0.1)
        world.simulator.faults.fill(order.perm_id)
        with pytest.raises(PositionNotFoundError, match="not held any more"):
            await closing
        return placed(world), world.simulator.positions()

    orders, positions = prove(scenario, connect=False, config=ANY_PRICE)

    assert (orders, positions) == ([("SELL", HELD, "STP")], {})


@pytest.mark.req("RSK-4", "GW-8")
def test_a_close_is_not_sent_beside_a_stop_that_cannot_be_cancelled() -> None:
    async def scenario(world: ProofWorld) -> Any:
        await protected(world)
        world.simulator.faults.refuse_cancel(count=1000)
        ended = await ending(world, world.gateway.close_position(SPY_ID, "MANUAL", 20.0))
        return ended, placed(world)

    ended, orders = prove(scenario, connect=False, config=ANY_PRICE)

    assert isinstance(ended.error, GatewayTimeoutError)
    assert ended.after_s <= 20.0
    assert orders == [("SELL", HELD, "STP")]


# --- what the broker refuses ------------------------------------------------------------------------------------------


@pytest.mark.req("POS-3", "POS-6")
def test_a_close_that_the_broker_refuses_is_tried_again_ever_more_seldom_with_an_alarm() -> None:
    events: list[tuple[str, dict[str, Any]]] = []

    async def scenario(world: ProofWorld) -> Any:
        hold(world, quantity=HELD)
        await world.gateway.connect()
        world.simulator.faults.reject_next_order(count=10_000)
        world.simulator.faults.move_price("SPY", JUST_BELOW)
        await asyncio.sleep(REFUSED_S)
        sent = len(placed(world))
        world.simulator.faults.state.rejections.clear()
        await asyncio.sleep(2 * Flattening().rest_cap_s)
        return sent, world.simulator.positions()

    sent, positions = prove(
        scenario, connect=False, log=lambda event, **fields: events.append((event, fields))
    )

    failed = [fields for event, fields in events if event == "closure_failed"]
    alarms = [fields for event, fields in events if event == "close_alarm"]
    assert abs(sent - REFUSED_S / 10.0) <= 4, "1, 2, 4, 8 s, then every 10 s"
    assert [fields["again_in_s"] for fields in failed[:6]] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert {fields["level"] for fields in failed} == {"ERROR"}
    assert [fields["level"] for fields in alarms] == ["CRITICAL"]
    assert positions == {}, "it is closed as soon as the broker takes it"


# --- an order that does not end ---------------------------------------------------------------------------------------


@pytest.mark.req("STC-13", "RSK-4")
@pytest.mark.parametrize("over_pending", [False, True])
def test_over_an_order_that_does_not_end_only_a_person_closes(over_pending: bool) -> None:
    async def scenario(world: ProofWorld) -> Any:
        await protected(world)
        world.simulator.faults.refuse_cancel(count=1000)
        flattened = await world.gateway.flatten("SPY", 20.0, over_pending=over_pending)
        return flattened, placed(world), world.simulator.positions()

    flattened, orders, positions = prove(scenario, connect=False, config=ANY_PRICE)

    stop, close = ("SELL", HELD, "STP"), ("SELL", HELD, "MKT")
    assert orders == ([stop, close] if over_pending else [stop])
    assert bool(positions) is not over_pending
    assert bool(flattened.remaining) is not over_pending
    if not over_pending:
        assert "do not end" in str(flattened.results[0].rejection_reason)


@pytest.mark.req("STC-13")
def test_a_symbol_of_which_nothing_is_held_is_flat() -> None:
    async def scenario(world: ProofWorld) -> Any:
        return await world.gateway.flatten("QQQ", 5.0)

    flattened = prove(scenario)

    assert (flattened.results, flattened.remaining) == ((), ())
