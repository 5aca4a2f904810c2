"""The facade's streams: orders, fills, account, positions, quotes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.errors import GatewayError
from actors.messages.addresses import MARKET_DATA
from actors.messages.market_data import TakeSnapshot
from actors.model.orders import OrderStatus
from supervision.config.sections import MarketData, StrategyC, Supervision
from supervision.simulator import SimulatorConfig
from tests.faults.crash import crash
from tests.walk.watching import ending, taken, tapped
from tests.worlds import CONTEXT, ProofWorld, a_config, buy, prove, sell

CASH = 1_000_000.0
SLICE = 40.0
FEW = 3
INTERVAL_S = 1.0
LONG_S = 10.0
GRACEFUL = StrategyC(grace_seconds=60.0)


# --- orders and fills -------------------------------------------------------------------------------------------------


@pytest.mark.req("GW-4")
def test_orders_tells_every_change_up_to_the_commission() -> None:
    async def scenario(world: ProofWorld) -> Any:
        stream = world.gateway.orders()
        result = await world.gateway.submit_order(buy(), CONTEXT)
        changes = []
        async with asyncio.timeout(LONG_S):
            async for change in stream:
                changes.append(change)
                if change.commission is not None:
                    break
        return result, changes

    result, changes = prove(scenario)

    assert {change.order_id for change in changes} == {result.order_id}
    assert changes[0].status is OrderStatus.PENDING
    assert changes[-1].status is OrderStatus.FILLED
    assert changes[-1].commission == 1.0


@pytest.mark.req("GW-4", "ORD-7")
def test_fills_tells_each_execution_once() -> None:
    async def scenario(world: ProofWorld) -> Any:
        stream = world.gateway.fills()
        world.simulator.faults.duplicate_execution(2)
        result = await world.gateway.submit_order(buy(100), CONTEXT)
        fills = await taken(stream, 3)
        more = await ending(world, taken(stream, 1, within_s=LONG_S))
        return result, fills, more, world.simulator.executions()

    sliced = SimulatorConfig(max_fill_quantity=SLICE)
    result, fills, more, executions = prove(scenario, simulated=sliced)

    assert isinstance(more.error, TimeoutError)
    assert [fill.exec_id for fill in fills] == [execution.exec_id for execution in executions]
    assert sum(fill.quantity for fill in fills) == 100 == result.fill_quantity


@pytest.mark.req("GW-4")
def test_two_readers_each_get_every_event_and_one_may_leave() -> None:
    async def scenario(world: ProofWorld) -> Any:
        one, two = world.gateway.fills(), world.gateway.fills()
        await world.gateway.submit_order(buy(), CONTEXT)
        first = await taken(one, 1), await taken(two, 1)
        await one.aclose()
        await one.aclose()
        await world.gateway.submit_order(buy(), CONTEXT)
        return first, [fill async for fill in one], await taken(two, 1)

    first, closed, second = prove(scenario)

    assert first[0] == first[1]
    assert (closed, len(second)) == ([], 1)


@pytest.mark.req("GW-4")
def test_a_reader_that_falls_too_far_behind_is_told() -> None:
    async def scenario(world: ProofWorld) -> Any:
        stream = world.gateway.fills()
        for _ in range(FEW + 1):
            await world.gateway.submit_order(buy(), CONTEXT)
        await asyncio.sleep(1.0)
        read = await taken(stream, FEW)
        with pytest.raises(GatewayError, match=f"fell {FEW} events behind"):
            await anext(stream)
        return len(read)

    assert prove(scenario, config=a_config(supervision=Supervision(stream_bound=FEW))) == FEW


@pytest.mark.req("GW-4", "GW-2")
def test_streams_end_in_order_at_a_disconnect() -> None:
    async def scenario(world: ProofWorld) -> Any:
        streams = [
            world.gateway.orders(),
            world.gateway.fills(),
            world.gateway.account_updates(),
            world.gateway.position_updates(),
            await world.gateway.subscribe_quotes(["SPY"]),
        ]

        async def drain(stream: Any) -> bool:
            async for _ in stream:
                pass
            return True

        readers = [asyncio.create_task(drain(stream)) for stream in streams]
        await asyncio.sleep(1.0)
        await world.gateway.disconnect()
        return await asyncio.gather(*readers)

    assert prove(scenario) == [True] * 5


# --- account and positions --------------------------------------------------------------------------------------------


@pytest.mark.req("GW-6", "GW-11")
def test_the_account_is_pushed_after_a_fill_and_not_polled() -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway = world.gateway
        stream = gateway.account_updates()
        opening = await gateway.get_account()
        received = world.simulator.faults.state.messages_received
        for _ in range(5):
            await gateway.get_account()
        asked = world.simulator.faults.state.messages_received - received
        await gateway.submit_order(buy(100), CONTEXT)
        await world.until(lambda: world.simulator.cash < CASH)
        async with asyncio.timeout(LONG_S):
            async for account in stream:
                if account.cash != opening.cash:
                    break
        return opening, account, asked, world.simulator.cash

    opening, after, asked, cash = prove(scenario)

    assert asked == 0
    assert (opening.net_liquidation, opening.cash) == (CASH, CASH)
    assert (opening.realized_pnl, opening.unrealized_pnl) == (0.0, 0.0)
    assert opening.buying_power is not None
    assert opening.buying_power > 0
    assert after.cash == pytest.approx(cash, abs=0.01)


@pytest.mark.req("GW-6")
def test_the_account_tells_realised_and_unrealised_results() -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway = world.gateway
        await gateway.submit_order(buy(100), CONTEXT)
        world.simulator.faults.move_price("SPY", 1.1)
        await gateway.submit_order(sell(50), CONTEXT)
        await asyncio.sleep(LONG_S)
        return await gateway.get_account(), world.simulator.positions()

    account, positions = prove(scenario)

    (position,) = positions.values()
    assert account.realized_pnl == pytest.approx(position.realized_pnl, abs=0.01)
    assert account.realized_pnl > 0
    assert account.unrealized_pnl > 0


@pytest.mark.req("GW-11")
def test_positions_are_pushed_when_they_change() -> None:
    async def scenario(world: ProofWorld) -> Any:
        stream = world.gateway.position_updates()
        await world.gateway.submit_order(buy(10), CONTEXT)
        (bought,) = await taken(stream, 1)
        world.simulator.faults.trade_elsewhere("QQQ", 5)
        (elsewhere,) = await taken(stream, 1)
        return bought, elsewhere

    bought, elsewhere = prove(scenario)

    assert [(each.symbol, each.quantity) for each in bought] == [("SPY", 10)]
    assert {(each.symbol, each.quantity) for each in elsewhere} == {("SPY", 10), ("QQQ", 5)}


# --- quotes -----------------------------------------------------------------------------------------------------------


@pytest.mark.req("GW-7")
def test_quotes_of_many_symbols_come_again_and_again() -> None:
    async def scenario(world: ProofWorld) -> Any:
        stream = await world.gateway.subscribe_quotes(["SPY", "QQQ", "AAPL"])
        return await taken(stream, 9)

    quotes = prove(scenario)

    assert {quote.symbol for quote in quotes} == {"SPY", "QQQ", "AAPL"}
    assert all(quote.bid <= quote.ask for quote in quotes)
    assert quotes[0].received_at < quotes[-1].received_at


@pytest.mark.req("GW-7")
def test_a_slow_subscriber_gets_the_newest_quote_of_each_symbol() -> None:
    async def scenario(world: ProofWorld) -> Any:
        stream = await world.gateway.subscribe_quotes(["SPY", "QQQ"])
        await asyncio.sleep(20 * INTERVAL_S)
        waiting = await taken(stream, 2)
        return waiting, world.proof.clock.now()

    waiting, now = prove(scenario)

    assert {quote.symbol for quote in waiting} == {"SPY", "QQQ"}
    assert all((now - quote.received_at).total_seconds() <= 2 * INTERVAL_S for quote in waiting)


@pytest.mark.req("GW-7")
def test_nothing_is_read_any_more_once_the_subscription_is_closed() -> None:
    async def scenario(world: ProofWorld) -> int:
        stream = await world.gateway.subscribe_quotes(["QQQ"])
        await taken(stream, 2)
        await stream.aclose()
        await asyncio.sleep(2 * INTERVAL_S)
        received = world.simulator.faults.state.messages_received
        await asyncio.sleep(10 * INTERVAL_S)
        return world.simulator.faults.state.messages_received - received

    assert prove(scenario) == 0


@pytest.mark.req("GW-7")
def test_a_feed_goes_on_after_a_lost_link() -> None:
    async def scenario(world: ProofWorld) -> Any:
        stream = await world.gateway.subscribe_quotes(["SPY"])
        await taken(stream, 2)
        world.simulator.faults.nightly_reset(3.0)
        await world.until(lambda: not world.gateway.is_connected)
        await world.until(lambda: world.gateway.is_connected)
        back_at = world.proof.clock.now()
        quotes = await taken(stream, 3)
        return quotes[-1].received_at >= back_at

    assert prove(scenario, config=a_config(strategy_c=GRACEFUL))


@pytest.mark.req("GW-7")
def test_a_feed_goes_on_after_the_market_data_actor_failed() -> None:
    async def scenario(world: ProofWorld) -> Any:
        stream = await world.gateway.subscribe_quotes(["SPY"])
        await taken(stream, 2)
        crash(world.process, MARKET_DATA)
        await world.until(
            lambda: any(
                child.name == MARKET_DATA and child.incarnation == 2
                for child in world.process.tree.status()
            )
        )
        began_at = world.proof.clock.now()
        quotes = await taken(stream, 3)
        return quotes[-1].received_at >= began_at

    assert prove(scenario)


@pytest.mark.req("GW-7", "MKT-5")
def test_the_feed_is_made_of_snapshots_only() -> None:
    async def scenario(world: ProofWorld) -> Any:
        snapshots = tapped(world.process, TakeSnapshot)
        stream = await world.gateway.subscribe_quotes(["SPY"])
        await taken(stream, 3)
        return snapshots

    snapshots = prove(scenario)

    assert len(snapshots) >= 3
    assert all(request.snapshot for request in snapshots)


@pytest.mark.req("GW-7")
def test_more_symbols_than_allowed_are_refused() -> None:
    async def scenario(world: ProofWorld) -> None:
        with pytest.raises(GatewayError, match="max_symbols"):
            await world.gateway.subscribe_quotes(["SPY", "QQQ", "AAPL"])
        stream = await world.gateway.subscribe_quotes(["SPY", "QQQ"])
        assert len(await taken(stream, 2)) == 2

    prove(scenario, config=a_config(market_data=MarketData(max_symbols=2)))
