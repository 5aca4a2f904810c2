"""Every fault of SIM-4 that concerns data, and what a subscriber saw of it (MKT-7, MKT-11, SIM-4).

Each test's name is what was seen. A subscriber reads all events of its stream: quotes, interruptions with their reason,
and resumptions; a caller reads market data; health lists the symbols that are concerned. On virtual time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import attrs
import pytest

from actors.errors import (
    CompetingSessionError,
    GatewayError,
    HistoryPacingError,
    MarketDataUnavailableError,
    NotSubscribedError,
)
from actors.messages.market_data import QuotesInterrupted, QuotesResumed
from actors.model.connection import ConnectionState
from actors.model.market import DataCondition, DataType, Quote
from actors.model.orders import OrderStatus
from supervision.config.sections import StrategyC
from tests.worlds import CONTEXT, ProofWorld, a_config, buy, prove

PATIENT: Final = a_config(strategy_c=StrategyC(grace_seconds=3600.0))
"""A lost link triggers nothing here: these tests are about what is seen."""


@attrs.define
class Subscriber:
    """Reads SPY's stream, and keeps all that came."""

    world: ProofWorld
    events: list[Any] = attrs.field(factory=list)
    task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Subscribe, and wait for the first quote."""
        stream = await self.world.gateway.subscribe_quotes(["SPY"])

        async def read() -> None:
            async for event in stream.events():
                self.events.append(event)

        self.task = asyncio.create_task(read())
        await self.world.until(lambda: bool(self.events))

    def forget(self) -> None:
        """Look only at what comes from now on."""
        self.events.clear()

    @property
    def quotes(self) -> list[Quote]:
        """The quotes that came."""
        return [event for event in self.events if isinstance(event, Quote)]

    def newest(self) -> Quote:
        """The quote that came last."""
        return self.quotes[-1]

    @property
    def interruptions(self) -> list[str]:
        """The reasons of the interruptions that were announced."""
        return [event.reason for event in self.events if isinstance(event, QuotesInterrupted)]

    @property
    def resumptions(self) -> int:
        """How often it was told that the feed goes on."""
        return sum(isinstance(event, QuotesResumed) for event in self.events)

    async def sees(self, condition: Callable[[], bool], within_s: float = 60.0) -> None:
        """Wait until something was seen."""
        await self.world.until(condition, within_s)

    def assert_healed(self) -> None:
        """Check that an interruption was announced, and its end before the quote that ends it."""
        kinds = [type(event) for event in self.events if not isinstance(event, Quote)]
        assert kinds == [QuotesInterrupted, QuotesResumed]
        assert isinstance(self.events[-1], Quote)


Scene = Callable[[ProofWorld, Subscriber], Coroutine[Any, Any, None]]


def watch(scene: Scene, **world: Any) -> None:
    """Prove a scene that somebody watches who is subscribed to SPY."""

    async def scenario(made: ProofWorld) -> None:
        subscriber = Subscriber(made)
        await subscriber.begin()
        subscriber.forget()
        await scene(made, subscriber)
        assert subscriber.task is not None
        subscriber.task.cancel()

    prove(scenario, **({"config": PATIENT} | world))


async def degraded(world: ProofWorld) -> str:
    """Tell what health says is degraded."""
    return "; ".join((await world.gateway.status()).degraded)


# --- slow, silent, cut ------------------------------------------------------------------------------------------------


@pytest.mark.req("SIM-4", "MKT-7")
def test_a_slow_gateway_is_seen_as_quotes_that_come_less_often_and_nothing_else() -> None:
    async def scene(world: ProofWorld, subscriber: Subscriber) -> None:
        world.simulator.faults.latency(3.0)
        await asyncio.sleep(60.0)

        assert 10 <= len(subscriber.quotes) <= 25
        assert len(subscriber.events) == len(subscriber.quotes)

    watch(scene)


@pytest.mark.req("SIM-4", "MKT-7")
def test_a_half_open_link_is_seen_as_an_interruption_and_a_resumption_on_the_next_session() -> None:
    async def scene(world: ProofWorld, subscriber: Subscriber) -> None:
        world.simulator.faults.silence()
        await subscriber.sees(lambda: bool(subscriber.interruptions))
        world.simulator.faults.speak()
        await subscriber.sees(lambda: subscriber.resumptions == 1 and len(subscriber.events) > 2)

        subscriber.assert_healed()

    watch(scene)


@pytest.mark.req("SIM-4", "MKT-7")
def test_a_drop_in_the_middle_of_a_message_is_seen_as_one_interruption_and_no_broken_quote() -> (
    None
):
    async def scene(world: ProofWorld, subscriber: Subscriber) -> None:
        world.simulator.faults.drop_mid_message()
        await subscriber.sees(lambda: subscriber.resumptions == 1 and len(subscriber.events) > 2)

        assert len(subscriber.interruptions) == 1
        assert all(quote.bid and quote.ask and quote.bid < quote.ask for quote in subscriber.quotes)

    watch(scene)


@pytest.mark.req("SIM-4", "MKT-7")
def test_the_nightly_reset_is_seen_as_one_interruption_and_its_end() -> None:
    async def scene(world: ProofWorld, subscriber: Subscriber) -> None:
        world.simulator.faults.nightly_reset(60.0)
        await subscriber.sees(
            lambda: subscriber.resumptions == 1 and isinstance(subscriber.events[-1], Quote), 200.0
        )

        assert len(subscriber.interruptions) == 1

    watch(scene)


# --- IB's own connectivity --------------------------------------------------------------------------------------------


@pytest.mark.req("SIM-4", "CON-10", "MKT-7")
@pytest.mark.parametrize("data_lost", [False, True], ids=["1102", "1101"])
def test_ib_cut_off_is_seen_as_an_interruption_until_it_says_it_is_back(data_lost: bool) -> None:
    async def scene(world: ProofWorld, subscriber: Subscriber) -> None:
        world.simulator.faults.connectivity_lost()
        await subscriber.sees(lambda: bool(subscriber.interruptions))
        await asyncio.sleep(30.0)
        assert subscriber.resumptions == 0
        world.simulator.faults.connectivity_restored(data_lost=data_lost)
        await subscriber.sees(
            lambda: subscriber.resumptions == 1 and isinstance(subscriber.events[-1], Quote)
        )

        assert len(subscriber.interruptions) == 1

    watch(scene)


@pytest.mark.req("SIM-4", "CON-10")
def test_a_broken_farm_is_seen_as_quotes_that_go_on_while_nothing_may_be_opened() -> None:
    async def scene(world: ProofWorld, subscriber: Subscriber) -> None:
        world.simulator.faults.farm(2103, "usfarm")
        await asyncio.sleep(5.0)
        refused = await world.gateway.submit_order(buy(), CONTEXT)

        assert refused.status is OrderStatus.REJECTED
        assert "usfarm" in (refused.rejection_reason or "")
        assert subscriber.quotes
        assert subscriber.interruptions == []
        assert world.gateway.is_connected

        world.simulator.faults.farm(2104, "usfarm")
        await asyncio.sleep(5.0)
        assert (await world.gateway.submit_order(buy(), CONTEXT)).status is OrderStatus.FILLED

    watch(scene)


# --- stale, missing, none ---------------------------------------------------------------------------------------------


@pytest.mark.req("SIM-4", "MKT-4", "MKT-12")
def test_frozen_prices_are_seen_with_the_time_of_their_last_trade_which_grows_old() -> None:
    async def scene(world: ProofWorld, subscriber: Subscriber) -> None:
        world.simulator.faults.stale_data("SPY")
        frozen_at = world.proof.clock.now()
        await asyncio.sleep(120.0)

        newest = subscriber.quotes[-1]
        assert newest.traded_at is not None
        assert newest.traded_at <= frozen_at
        assert len({(quote.bid, quote.ask) for quote in subscriber.quotes[3:]}) == 1

    watch(scene)


@pytest.mark.req("SIM-4", "MKT-4", "MKT-11")
@pytest.mark.parametrize("mode", ["minus_one", "zero"])
def test_prices_of_minus_one_and_nought_are_seen_as_unknown_and_never_as_prices(mode: str) -> None:
    async def scene(world: ProofWorld, subscriber: Subscriber) -> None:
        world.simulator.faults.missing_data("SPY", mode)
        await asyncio.sleep(2.0)
        subscriber.forget()
        await asyncio.sleep(5.0)
        data = await world.gateway.get_market_data("SPY")

        for quote in subscriber.quotes:
            assert (quote.bid, quote.ask, quote.last, quote.volume) == (None, None, None, None)
            assert quote.condition is DataCondition.NO_PRICE
        assert subscriber.quotes
        assert {"bid", "ask", "last_price", "volume"} <= set(data.missing_fields)
        assert data.is_stale
        assert data.condition is DataCondition.NO_PRICE
        assert "SPY no_price" in await degraded(world)

    watch(scene)


@pytest.mark.req("SIM-4", "MKT-7", "MKT-11")
def test_a_symbol_without_an_answer_is_seen_as_an_interruption_that_says_so_and_heals() -> None:
    async def scene(world: ProofWorld, subscriber: Subscriber) -> None:
        world.simulator.faults.missing_data("SPY", "silent")
        await subscriber.sees(lambda: bool(subscriber.interruptions))
        assert "no price within" in subscriber.interruptions[0]
        assert "SPY unavailable" in await degraded(world)
        world.simulator.faults.missing_data("SPY", None)
        await subscriber.sees(lambda: isinstance(subscriber.events[-1], Quote))

        assert subscriber.resumptions == 1
        assert "SPY" not in await degraded(world)

    watch(scene)


@pytest.mark.req("SIM-4", "MKT-4", "MKT-11")
def test_an_answer_that_only_ends_is_seen_as_a_quote_without_any_price() -> None:
    async def scene(world: ProofWorld, subscriber: Subscriber) -> None:
        world.simulator.faults.missing_data("SPY", "end_only")
        await asyncio.sleep(5.0)

        assert subscriber.quotes[-1].price is None
        assert subscriber.quotes[-1].condition is DataCondition.NO_PRICE

    watch(scene)


# --- subscriptions, delays, halts -------------------------------------------------------------------------------------


@pytest.mark.req("SIM-4", "MKT-11")
@pytest.mark.parametrize("code", [354, 10089, 10168])
def test_a_missing_subscription_is_seen_as_an_interruption_with_its_code(code: int) -> None:
    async def scene(world: ProofWorld, subscriber: Subscriber) -> None:
        world.simulator.faults.no_subscription("SPY", code)
        await subscriber.sees(lambda: bool(subscriber.interruptions))

        assert f"code {code}" in subscriber.interruptions[0]
        with pytest.raises(NotSubscribedError, match=f"code {code}"):
            await world.gateway.get_market_data("SPY")
        assert f"code {code}" in await degraded(world)
        assert "SPY not_subscribed" in await degraded(world)
        assert (await world.gateway.get_market_data("QQQ")).condition is DataCondition.LIVE

        world.simulator.faults.no_subscription("SPY", None)
        await subscriber.sees(lambda: subscriber.resumptions == 1)

    watch(scene)


@pytest.mark.req("SIM-4", "MKT-11", "MKT-12")
def test_delayed_data_is_seen_as_quotes_that_say_delayed_and_are_never_fresh() -> None:
    async def scene(world: ProofWorld, subscriber: Subscriber) -> None:
        world.simulator.faults.no_subscription("SPY", 10167)
        await asyncio.sleep(3.0)
        data = await world.gateway.get_market_data("SPY")
        refused = await world.gateway.submit_order(buy(), CONTEXT)

        newest = subscriber.quotes[-1]
        assert newest.data_type is DataType.DELAYED
        assert newest.condition is data.condition is DataCondition.DELAYED
        assert newest.price is not None
        assert data.is_stale
        assert subscriber.interruptions == []
        assert refused.status is OrderStatus.REJECTED
        assert "SPY delayed" in await degraded(world)

    watch(scene)


@pytest.mark.req("SIM-4", "MKT-11")
def test_a_part_that_is_not_subscribed_is_seen_as_live_quotes_that_say_partial() -> None:
    async def scene(world: ProofWorld, subscriber: Subscriber) -> None:
        world.simulator.faults.no_subscription("SPY", 10090)
        await asyncio.sleep(3.0)

        newest = subscriber.quotes[-1]
        assert newest.condition is DataCondition.PARTIAL
        assert newest.data_type is DataType.LIVE
        assert "SPY partial" in await degraded(world)
        assert (await world.gateway.submit_order(buy(), CONTEXT)).status is OrderStatus.FILLED

    watch(scene)


@pytest.mark.req("SIM-4", "MKT-11", "CON-10")
def test_a_competing_session_is_seen_as_an_interruption_that_names_it() -> None:
    async def scene(world: ProofWorld, subscriber: Subscriber) -> None:
        world.simulator.faults.competing_session()
        await subscriber.sees(lambda: bool(subscriber.interruptions))

        assert "10197" in subscriber.interruptions[0]
        with pytest.raises(CompetingSessionError, match="10197"):
            await world.gateway.get_market_data("SPY")
        assert "SPY competing_session" in await degraded(world)

        world.simulator.faults.competing_session(False)
        await subscriber.sees(lambda: subscriber.resumptions == 1)

    watch(scene)


@pytest.mark.req("SIM-4", "MKT-11")
def test_a_halted_symbol_is_seen_as_quotes_that_say_halted() -> None:
    async def scene(world: ProofWorld, subscriber: Subscriber) -> None:
        world.simulator.faults.halt("SPY")
        await asyncio.sleep(3.0)

        assert subscriber.newest().condition is DataCondition.HALTED
        assert (await world.gateway.get_market_data("SPY")).condition is DataCondition.HALTED
        assert "SPY halted" in await degraded(world)
        assert subscriber.interruptions == []

        world.simulator.faults.resume_trading("SPY")
        await asyncio.sleep(3.0)
        assert subscriber.newest().condition is DataCondition.LIVE
        assert "SPY" not in await degraded(world)

    watch(scene)


# --- limits and jumps -------------------------------------------------------------------------------------------------


@pytest.mark.req("SIM-4", "MKT-6")
def test_a_pacing_error_is_seen_by_who_asked_for_bars_and_by_no_subscriber() -> None:
    async def scene(world: ProofWorld, subscriber: Subscriber) -> None:
        world.simulator.faults.pacing_error(1)
        with pytest.raises((MarketDataUnavailableError, HistoryPacingError), match="pacing"):
            await world.gateway.get_historical_data("QQQ")
        await asyncio.sleep(5.0)

        assert len(subscriber.quotes) >= 4
        assert subscriber.interruptions == []

    watch(scene)


@pytest.mark.req("SIM-4", "RSK-1")
def test_an_absurd_jump_is_seen_as_it_is_and_a_limit_of_before_is_refused() -> None:
    async def scene(world: ProofWorld, subscriber: Subscriber) -> None:
        before = subscriber.quotes[-1].price if subscriber.quotes else 595.0
        assert before is not None
        world.simulator.faults.move_price("SPY", 10.0)
        await asyncio.sleep(3.0)
        order = buy(1, order_type="LMT", limit_price=round(before, 2))
        refused = await world.gateway.submit_order(order, CONTEXT)

        seen = subscriber.quotes[-1].price
        assert seen is not None
        assert seen > 5 * before
        assert refused.status is OrderStatus.REJECTED
        assert "deviation" in (refused.rejection_reason or "")

    watch(scene)


@pytest.mark.req("SIM-4", "MKT-7", "CON-5")
def test_a_gateway_that_refuses_connections_is_seen_as_one_interruption_for_as_long_as_it_lasts() -> (
    None
):
    async def scene(world: ProofWorld, subscriber: Subscriber) -> None:
        states: list[ConnectionState] = []
        world.process.tap(lambda record: states.append(getattr(record.message, "state", None)))  # type: ignore[arg-type]
        world.simulator.faults.refuse_connections()
        world.simulator.faults.drop_connections()
        await world.until(lambda: ConnectionState.FAILED in states, 300.0)
        with pytest.raises(GatewayError):
            await world.gateway.get_market_data("SPY", timeout=5.0)
        world.simulator.faults.accept_connections()
        await subscriber.sees(lambda: subscriber.resumptions == 1, 200.0)

        assert len(subscriber.interruptions) == 1

    watch(scene)
