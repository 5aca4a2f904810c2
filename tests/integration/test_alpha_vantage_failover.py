"""IB has nothing fresh: the whole tree goes on with the second source, serves reads and opens nothing (MKT-10).

On virtual time with a source that fails on command; at the end in reality with a local server that answers as Alpha
Vantage does.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import attrs
import pytest

from actors.errors import (
    FeedError,
    FeedRateLimitError,
    FeedSymbolError,
    FeedTimeoutError,
    FeedUnreachableError,
    GatewayConnectionError,
    GatewayError,
)
from actors.messages.addresses import FACADE, FEED, MARKET_DATA, RISK
from actors.messages.feed import FailoverChanged
from actors.model.connection import ConnectionState
from actors.model.market import DataSource, DataType, MarketData, Quote
from actors.model.orders import OrderStatus
from supervision import IBKRGateway
from supervision.config.sections import Config, Connection, Failover, Secrets, StrategyC
from supervision.process.status import status_lines
from tests.faults.crash import crash
from tests.integration.alpha_vantage_server import KEY, alpha_vantage, answer
from tests.integration.second_source import PRICE, FakeSource, Fault
from tests.walk.link_records import Lines
from tests.worlds import CONTEXT, ProofWorld, a_config, buy, prove, real_world

AFTER_S, BACK_AFTER_S, POLL_S = 60.0, 30.0, 2.0
TINY_S = 1e-6
PATIENT = StrategyC(grace_seconds=3600.0, data_quarantine_after_s=0.0)
"""What Strategy C does about a lost link and about stale data has tests of its own."""

Scenario = Callable[[ProofWorld, FakeSource, Lines], Coroutine[Any, Any, None]]


def prove_with(
    scenario: Scenario,
    *,
    seed: int = 1,
    failover: Failover | None = None,
    connection: Connection | None = None,
) -> None:
    """Prove a scenario with a second source beside the gateway."""
    made: list[FakeSource] = []
    lines = Lines()

    def source(clock: Any) -> FakeSource:
        made.append(FakeSource(clock))
        return made[-1]

    config = a_config(
        strategy_c=PATIENT, failover=failover or Failover(), connection=connection or Connection()
    )
    prove(
        lambda world: scenario(world, made[0], lines),
        seed=seed,
        config=config,
        source=source,
        log=lines,
    )


async def read(world: ProofWorld, symbol: str = "SPY", timeout: float = 15.0) -> MarketData | str:
    """Read market data, or say which error came."""
    try:
        return await world.gateway.get_market_data(symbol, timeout)
    except GatewayError as error:
        return type(error).__name__


async def read_until(
    world: ProofWorld, source: DataSource, symbol: str = "SPY", within_s: float = 200.0
) -> float:
    """Read again and again until the data comes from ``source``; tell how long that took."""
    began = world.proof.loop.time()
    while True:
        found = await read(world, symbol)
        took_s = world.proof.loop.time() - began
        if isinstance(found, MarketData) and found.source is source:
            return took_s
        assert took_s < within_s, f"{found}"
        await asyncio.sleep(POLL_S)


async def fail_the_link(world: ProofWorld) -> None:
    """Take the gateway away until the retries are used up."""
    changes: list[ConnectionState] = []
    world.process.tap(
        lambda record: (
            changes.append(getattr(record.message, "state", None))  # type: ignore[arg-type]
            if record.recipient == FACADE
            else None
        )
    )
    world.simulator.faults.refuse_connections()
    world.simulator.faults.drop_connections()
    await world.until(lambda: ConnectionState.FAILED in changes, 300.0)
    await asyncio.sleep(0.1)


async def fail_the_feed(world: ProofWorld, source: FakeSource) -> None:
    """Let the feed actor fail by a defect of what it asks, where the plan lets it ask."""
    source.fault = Fault.BROKEN_CODE
    await read(world, "BAD")
    source.fault = Fault.NONE
    await asyncio.sleep(5.0)


async def position_in(gateway: IBKRGateway, symbol: str) -> str:
    """The id of the position in a symbol."""
    return next(each.position_id for each in await gateway.get_positions() if each.symbol == symbol)


# --- a symbol without data ------------------------------------------------------------------------------------------


@pytest.mark.req("MKT-10", "MKT-12", "SIM-4")
@pytest.mark.parametrize("fault", ["stale", "no subscription", "silent"])
def test_a_symbol_goes_over_after_a_minute_without_fresh_data_and_comes_back(fault: str) -> None:
    async def scenario(world: ProofWorld, _: FakeSource, lines: Lines) -> None:
        faults = world.simulator.faults
        await read_until(world, DataSource.IB)
        if fault == "stale":
            faults.missing_data("SPY", "end_only")
        elif fault == "silent":
            faults.missing_data("SPY", "silent")
        else:
            faults.no_subscription("SPY", 354)

        took_s = await read_until(world, DataSource.ALPHA_VANTAGE)
        assert AFTER_S - POLL_S <= took_s <= AFTER_S + 20.0
        found = await read(world)
        assert isinstance(found, MarketData)
        assert (found.last_price, found.is_stale, found.bid) == (PRICE, True, None)
        other = await read(world, "QQQ")
        assert isinstance(other, MarketData)
        assert other.source is DataSource.IB

        faults.clear()
        took_s = await read_until(world, DataSource.IB)
        assert BACK_AFTER_S <= took_s <= BACK_AFTER_S + 20.0
        told = [
            (line.fields["symbol"], line.fields["source"]) for line in lines.of("failover_changed")
        ]
        assert told == [("SPY", "alpha_vantage"), ("SPY", "ib")]

    prove_with(scenario)


@pytest.mark.req("MKT-10", "RSK-3", "RSK-7")
def test_while_failed_over_nothing_is_opened_and_everything_may_be_closed() -> None:
    async def scenario(world: ProofWorld, _: FakeSource, __: Lines) -> None:
        gateway = world.gateway
        for symbol in ("SPY", "QQQ"):
            bought = await gateway.submit_order(buy(10, symbol), CONTEXT)
            assert bought.status is OrderStatus.FILLED
        world.simulator.faults.no_subscription("SPY", 354)
        await read_until(world, DataSource.ALPHA_VANTAGE)
        before = len(world.simulator.orders())

        refused = await gateway.submit_order(buy(5, "SPY"), CONTEXT)
        assert refused.status is OrderStatus.REJECTED
        assert "SPY is served by the second source" in str(refused.rejection_reason)
        limit = buy(5, "SPY", order_type="LMT", limit_price=PRICE)
        assert (await gateway.submit_order(limit, CONTEXT)).status is OrderStatus.REJECTED
        assert len(world.simulator.orders()) == before

        assert (await gateway.submit_order(buy(5, "QQQ"), CONTEXT)).status is OrderStatus.FILLED
        closed = await gateway.close_position(await position_in(gateway, "SPY"))
        assert closed.status is OrderStatus.FILLED

        world.simulator.faults.clear()
        await read_until(world, DataSource.IB)
        assert (await gateway.submit_order(buy(5, "SPY"), CONTEXT)).status is OrderStatus.FILLED

    prove_with(scenario)


@pytest.mark.req("MKT-10", "RSK-3")
def test_data_of_ib_that_begins_to_be_fresh_again_opens_nothing_before_it_is_back() -> None:
    async def scenario(world: ProofWorld, _: FakeSource, __: Lines) -> None:
        world.simulator.faults.no_subscription("SPY", 354)
        await read_until(world, DataSource.ALPHA_VANTAGE)
        world.simulator.faults.clear()
        await asyncio.sleep(BACK_AFTER_S / 2)

        refused = await world.gateway.submit_order(buy(5, "SPY"), CONTEXT)

        assert refused.status is OrderStatus.REJECTED

    prove_with(scenario)


@pytest.mark.req("MKT-10", "POS-2")
def test_a_loss_is_judged_by_no_price_of_the_second_source() -> None:
    async def scenario(world: ProofWorld, _: FakeSource, __: Lines) -> None:
        gateway = world.gateway
        await gateway.submit_order(buy(10, "SPY"), CONTEXT)
        await asyncio.sleep(5.0)
        world.simulator.faults.no_subscription("SPY", 354)
        await read_until(world, DataSource.ALPHA_VANTAGE)
        await asyncio.sleep(5.0)

        (held,) = await gateway.get_positions()

        assert held.current_price is not None
        assert abs(held.current_price - PRICE) > 1.0

    prove_with(scenario)


@pytest.mark.req("MKT-10", "SUP-6")
@pytest.mark.parametrize("address", [RISK, FEED])
def test_who_is_restarted_while_failed_over_learns_of_it(address: str) -> None:
    async def scenario(world: ProofWorld, source: FakeSource, _: Lines) -> None:
        world.simulator.faults.no_subscription("SPY", 354)
        await read_until(world, DataSource.ALPHA_VANTAGE)

        if address == FEED:
            await asyncio.sleep(301.0)  # what it knows is too old by then
            await fail_the_feed(world, source)
        else:
            crash(world.process, address)
        await asyncio.sleep(10.0)

        refused = await world.gateway.submit_order(buy(5, "SPY"), CONTEXT)
        assert refused.status is OrderStatus.REJECTED
        assert "second source" in str(refused.rejection_reason)
        found = await read(world)
        assert isinstance(found, MarketData)
        assert found.source is DataSource.ALPHA_VANTAGE

    prove_with(scenario)


@pytest.mark.req("MKT-10", "SUP-6")
def test_a_market_data_actor_that_is_restarted_begins_anew_and_says_so() -> None:
    async def scenario(world: ProofWorld, _: FakeSource, __: Lines) -> None:
        world.simulator.faults.no_subscription("SPY", 354)
        await read_until(world, DataSource.ALPHA_VANTAGE)
        told: list[FailoverChanged] = []
        world.process.tap(
            lambda record: (
                told.append(record.message)
                if isinstance(record.message, FailoverChanged) and record.recipient == RISK
                else None
            )
        )

        crash(world.process, MARKET_DATA)
        await asyncio.sleep(1.0)

        assert told[-1].symbols == ()
        assert (await world.gateway.status()).failed_over == ()
        await read_until(world, DataSource.ALPHA_VANTAGE)

    prove_with(scenario)


# --- a link that has failed -----------------------------------------------------------------------------------------


@pytest.mark.req("MKT-10", "GW-12", "CON-5")
def test_a_link_whose_retries_are_used_up_leaves_reads_to_the_second_source_until_it_is_back() -> (
    None
):
    async def scenario(world: ProofWorld, _: FakeSource, lines: Lines) -> None:
        await read_until(world, DataSource.IB)
        await fail_the_link(world)
        began = world.proof.loop.time()

        known, unknown = await read(world), await read(world, "IWM")

        assert world.proof.loop.time() - began < 3.0
        for found in (known, unknown):
            assert isinstance(found, MarketData)
            assert (found.source, found.last_price) == (DataSource.ALPHA_VANTAGE, PRICE)
        with pytest.raises(GatewayConnectionError):
            await world.gateway.get_option_chain("SPY", 2.0)
        assert (await world.gateway.status()).failed_over == ("IWM", "SPY")

        world.simulator.faults.accept_connections()
        await world.until(lambda: world.gateway.is_connected, 300.0)
        assert isinstance(back := await read(world), MarketData)
        assert back.source is DataSource.ALPHA_VANTAGE
        await read_until(world, DataSource.IB)
        await read_until(world, DataSource.IB, "IWM")
        everything = [line for line in lines.of("failover_changed") if line.fields["symbol"] == "*"]
        assert len(everything) == 1

    prove_with(scenario)


@pytest.mark.req("MKT-10", "GW-12")
def test_a_read_that_waits_for_the_link_is_served_when_failover_begins() -> None:
    async def scenario(world: ProofWorld, _: FakeSource, __: Lines) -> None:
        await read_until(world, DataSource.IB)
        waiting = asyncio.create_task(world.gateway.get_market_data("SPY", 200.0))
        await asyncio.sleep(1.0)
        world.simulator.faults.refuse_connections()
        world.simulator.faults.drop_connections()
        await asyncio.sleep(1.0)
        again = asyncio.create_task(world.gateway.get_market_data("SPY", 200.0))

        assert (await waiting).source is DataSource.IB
        assert (await again).source is DataSource.ALPHA_VANTAGE

    prove_with(scenario)


@pytest.mark.req("MKT-10")
def test_without_a_second_source_nothing_changes() -> None:
    async def scenario(world: ProofWorld) -> None:
        assert all(actor.name != FEED for actor in world.process.tree.status())
        world.simulator.faults.no_subscription("SPY", 354)
        for _ in range(60):
            assert await read(world) == "NotSubscribedError"
            await asyncio.sleep(POLL_S)
        assert (await world.gateway.status()).failed_over == ()

    prove(scenario, config=a_config(strategy_c=PATIENT))


@pytest.mark.req("MKT-10")
def test_failover_can_be_switched_off() -> None:
    async def scenario(world: ProofWorld, source: FakeSource, __: Lines) -> None:
        world.simulator.faults.no_subscription("SPY", 354)
        for _ in range(60):
            await read(world)
            await asyncio.sleep(POLL_S)
        assert source.asked == []

    prove_with(scenario, failover=Failover(enabled=False))


# --- a source that does not answer ----------------------------------------------------------------------------------


@pytest.mark.req("MKT-10", "OBS-3")
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.DOWN, FeedUnreachableError),
        (Fault.HANGING, FeedTimeoutError),
        (Fault.DAILY_LIMIT, FeedRateLimitError),
    ],
)
def test_a_dead_source_is_a_degraded_health_and_an_error_and_nothing_else_suffers(
    fault: Fault, expected: type[FeedError]
) -> None:
    async def timed_order(world: ProofWorld) -> float:
        began = world.proof.loop.time()
        result = await world.gateway.submit_order(buy(1, "QQQ"), CONTEXT)
        assert result.status is OrderStatus.FILLED
        return world.proof.loop.time() - began

    async def scenario(world: ProofWorld, source: FakeSource, lines: Lines) -> None:
        normal_s = await timed_order(world)
        world.simulator.faults.no_subscription("SPY", 354)
        await read_until(world, DataSource.ALPHA_VANTAGE)
        await asyncio.sleep(301.0)  # what it knows is too old by then
        source.fault = fault

        with pytest.raises(expected):
            await world.gateway.get_market_data("SPY", 5.0)

        status = await world.gateway.status()
        assert [text for text in status.degraded if text.startswith("second source: ")]
        assert any(
            "degraded    second source" in line for line in status_lines(attrs.asdict(status))
        )
        assert await timed_order(world) == pytest.approx(normal_s, abs=0.01)
        assert all(actor.state == "up" for actor in status.actors)

        source.fault = Fault.NONE
        await asyncio.sleep(3700.0)
        await read_until(world, DataSource.ALPHA_VANTAGE)
        (told,) = (await world.gateway.status()).degraded
        assert "SPY not_subscribed" in told  # IB still has nothing of it
        assert len(lines.of("feed_degraded")) == len(lines.of("feed_recovered")) == 1

    prove_with(scenario)


@pytest.mark.req("MKT-10", "SUP-5")
def test_a_defect_in_the_source_restarts_its_actor_and_nobody_else() -> None:
    async def scenario(world: ProofWorld, source: FakeSource, _: Lines) -> None:
        await fail_the_link(world)
        await fail_the_feed(world, source)

        assert isinstance(await read(world), MarketData)
        restarts = {actor.name: actor.restarts for actor in world.process.tree.status()}
        assert restarts.pop(FEED) == 1
        assert set(restarts.values()) == {0}

    prove_with(scenario)


@pytest.mark.req("MKT-10")
def test_an_unknown_symbol_is_an_error_of_that_read_and_degrades_nothing() -> None:
    async def scenario(world: ProofWorld, _: FakeSource, __: Lines) -> None:
        await fail_the_link(world)

        with pytest.raises(FeedSymbolError):
            await world.gateway.get_market_data("XXXX", 5.0)

        assert (await world.gateway.status()).degraded == ()

    prove_with(scenario)


# --- the limits of the plan -----------------------------------------------------------------------------------------


@pytest.mark.req("MKT-10")
def test_what_is_asked_for_at_the_same_time_or_again_is_asked_once() -> None:
    async def scenario(world: ProofWorld, source: FakeSource, _: Lines) -> None:
        await fail_the_link(world)

        found = await asyncio.gather(*(read(world) for _ in range(20)))
        await asyncio.sleep(200.0)
        found.append(await read(world))

        assert all(isinstance(each, MarketData) for each in found)
        assert len(source.asked) == 1

    prove_with(scenario)


@pytest.mark.req("MKT-10")
@pytest.mark.parametrize("seed", range(3))
def test_the_plan_is_never_exceeded_whatever_is_asked_and_whoever_is_restarted(seed: int) -> None:
    async def scenario(world: ProofWorld, source: FakeSource, _: Lines) -> None:
        await fail_the_link(world)
        for turn in range(150):
            wanted = [f"S{turn % 7}", "SPY", f"T{turn}"]
            await asyncio.gather(*(read(world, symbol, 20.0) for symbol in wanted))
            if turn % 40 == 20:
                await fail_the_feed(world, source)
            await asyncio.sleep(30.0 if turn % 3 else 1.0)

        times = [at for at, _ in source.asked]
        assert len(times) >= 8
        for index, at in enumerate(times):
            assert sum(1 for other in times[: index + 1] if at - other < 60.0 - TINY_S) <= 5
            assert sum(1 for other in times[: index + 1] if at - other < 86_400.0 - TINY_S) <= 8
        assert all(later - at >= 1.0 - TINY_S for at, later in itertools.pairwise(times))

    prove_with(scenario, seed=seed, failover=Failover(requests_per_day=8, max_age_s=0.0))


@pytest.mark.req("MKT-10")
def test_a_used_up_plan_is_an_error_that_says_when_it_goes_on() -> None:
    async def scenario(world: ProofWorld, source: FakeSource, _: Lines) -> None:
        await fail_the_link(world)
        assert isinstance(await read(world), MarketData)

        with pytest.raises(FeedRateLimitError, match=r"the next is possible in 8\d{4} s"):
            await world.gateway.get_market_data("QQQ", 5.0)

        assert len(source.asked) == 1

    prove_with(scenario, failover=Failover(requests_per_day=1))


# --- in reality -----------------------------------------------------------------------------------------------------


def quick(url: str, state_dir: Path) -> Config:
    """Failover in fractions of a second, with a key and a plan without limits."""
    return a_config(
        strategy_c=PATIENT,
        secrets=Secrets(alpha_vantage_api_key=KEY),
        connection=Connection(
            retries=1, first_delay_s=0.02, max_delay_s=0.05, lasting_s=0.0, breaker_failures=1000
        ),
        failover=Failover(
            url=url,
            after_s=0.5,
            back_after_s=0.3,
            probe_s=0.05,
            max_age_s=0.0,
            requests_per_minute=10_000,
            requests_per_day=10_000,
        ),
    )


@pytest.mark.req("MKT-10", "OBS-4")
def test_a_real_server_takes_over_from_a_gateway_that_is_gone_and_gives_back(
    tmp_path: Path,
) -> None:
    lines = Lines()

    async def scenario() -> None:
        async with (
            alpha_vantage() as server,
            real_world(tmp_path, config=quick(server.url, tmp_path), log=lines) as world,
        ):
            gateway, simulator = world.gateway, world.simulator
            assert (await gateway.get_market_data("SPY")).source is DataSource.IB
            simulator.faults.refuse_connections()
            simulator.faults.drop_connections()
            await world.until(lambda: bool(lines.of("failover_changed")))

            found = await gateway.get_market_data("SPY", 10.0)
            assert (found.source, found.last_price) == (DataSource.ALPHA_VANTAGE, 601.23)
            server.behave = answer({"Note": f"our rate limit, key {KEY}"})
            with pytest.raises(FeedRateLimitError):
                await gateway.get_market_data("SPY", 10.0)
            degraded = (await gateway.status()).degraded
            assert any("second source" in text for text in degraded)

            simulator.faults.accept_connections()
            await world.until(lambda: gateway.is_connected)
            async with asyncio.timeout(20.0):
                while (await gateway.status()).failed_over:
                    await asyncio.sleep(0.02)
            assert (await gateway.get_market_data("SPY")).source is DataSource.IB
            assert KEY not in str(degraded)

    asyncio.run(scenario())
    assert KEY not in str(lines.kept)


# --- subscribers ----------------------------------------------------------------------------------------------------


async def events_of(world: ProofWorld, symbols: list[str]) -> list[Any]:
    """Subscribe, and collect everything that comes from now on."""
    events: list[Any] = []
    stream = await world.gateway.subscribe_quotes(symbols)

    async def read_all() -> None:
        async for event in stream.events():
            events.append(event)

    world.proof.loop.create_task(read_all())
    return events


def seconds_of(events: list[Any]) -> list[Quote]:
    """Choose the quotes of the second source."""
    return [
        event
        for event in events
        if isinstance(event, Quote) and event.source is DataSource.ALPHA_VANTAGE
    ]


@pytest.mark.req("MKT-7", "MKT-10", "MKT-12")
@pytest.mark.parametrize("mode", ["silent", "end_only"])
def test_a_subscriber_is_fed_by_the_second_source_meanwhile_with_its_name_and_never_fresh(
    mode: str,
) -> None:
    async def scenario(world: ProofWorld, source: FakeSource, _: Lines) -> None:
        events = await events_of(world, ["SPY"])
        await world.until(lambda: bool(events))
        world.simulator.faults.missing_data("SPY", mode)
        await world.until(lambda: bool(seconds_of(events)), 120.0)

        (quote,) = seconds_of(events)
        assert (quote.price, quote.data_type) == (PRICE, DataType.DELAYED)
        assert events[-1] is quote
        await asyncio.sleep(60.0)
        assert events[-1] is quote
        assert len(source.asked) == 1

        world.simulator.faults.missing_data("SPY", None)
        await asyncio.sleep(20.0)
        assert events[-1].source is DataSource.IB

    prove_with(scenario)


@pytest.mark.req("MKT-7", "MKT-10")
def test_subscribers_are_fed_when_the_link_has_failed_and_by_ib_when_it_is_back() -> None:
    async def scenario(world: ProofWorld, _: FakeSource, __: Lines) -> None:
        events = await events_of(world, ["SPY", "QQQ"])
        await asyncio.sleep(5.0)
        await fail_the_link(world)
        await asyncio.sleep(20.0)

        assert sorted(quote.symbol for quote in seconds_of(events)) == ["QQQ", "SPY"]

        world.simulator.faults.accept_connections()
        await asyncio.sleep(120.0)
        assert events[-1].source is DataSource.IB

    prove_with(scenario)


@pytest.mark.req("MKT-10")
def test_many_subscriptions_never_ask_for_more_than_the_plan_grants() -> None:
    symbols = ["SPY", "QQQ", "AAPL", "MSFT", "IWM", "TSLA", "NVDA", "AMZN"]

    async def scenario(world: ProofWorld, source: FakeSource, _: Lines) -> None:
        await events_of(world, symbols)
        await asyncio.sleep(5.0)
        await fail_the_link(world)
        await asyncio.sleep(600.0)

        times = [at for at, _ in source.asked]
        assert {symbol for _, symbol in source.asked} == set(symbols)
        assert all(later - first >= 60.0 for first, later in zip(times, times[5:], strict=False))
        assert len(times) <= 25

    prove_with(scenario)
