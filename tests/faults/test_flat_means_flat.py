"""Flat means flat: whatever the broker does, with the default settings, what can be closed is closed, once (STC-8).

Every trouble is met twice: when an operator liquidates, and when the link is lost, whose closes are on the wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from supervision.simulator.instruments import ContractQuery
from tests.faults.test_strategy_c import HELD, hold, report_of, sold, wide
from tests.walk.link_records import Lines
from tests.worlds import CONTEXT, ProofWorld, prove, sell

WITHIN_S = 15.0
FATE_S = 20.0
"""So long the fate of an order may be unknown that the broker took without a word, or dropped."""

Trouble = Callable[[ProofWorld], None]


def refused_for(duration_s: float, code: int = 201, manner: str = "error") -> Trouble:
    """Closes are refused for a while."""
    return lambda world: world.simulator.order_faults.refuse_orders(
        code, manner=manner, only="closes", duration_s=duration_s
    )


def halted_for(duration_s: float) -> Trouble:
    """Trading is halted for a while."""
    return lambda world: world.simulator.faults.halt("SPY", duration_s)


def a_foreign_order(cancelled_after_s: float | None, symbol: str) -> Trouble:
    """Somebody else's order takes long to cancel, or never does."""

    def begin(world: ProofWorld) -> None:
        world.simulator.order_faults.foreign_order(symbol, -5.0, limit_price=5000.0, client_id=77)
        world.simulator.order_faults.hold_cancels(cancelled_after_s, symbol=symbol, client_id=77)

    return begin


def cancels_held_for(duration_s: float) -> Trouble:
    """Cancels of our own orders stay pending."""
    return lambda world: world.simulator.order_faults.hold_cancels(duration_s, symbol="SPY")


TROUBLES: dict[str, tuple[Trouble, float]] = {
    "none": (lambda _: None, 0.0),
    "refused for 20 s": (refused_for(20.0), 20.0),
    "refused for 10 min": (refused_for(600.0), 600.0),
    "refused for 20 s by an unlisted code": (refused_for(20.0, code=460), 20.0),
    "inactive for 20 s, by an unlisted code": (refused_for(20.0, 10289, "inactive"), 20.0),
    "inactive for 20 s, without a code": (refused_for(20.0, manner="status"), 20.0),
    "dropped without a word": (refused_for(1.0, manner="silence"), 1.0 + FATE_S),
    "taken 10 s late, without a word": (refused_for(1.0, manner="late"), 1.0 + FATE_S),
    "halted for 6 min": (halted_for(360.0), 360.0),
    "its stop takes 90 s to cancel": (cancels_held_for(90.0), 90.0),
    "somebody's order takes 4 s to cancel": (a_foreign_order(4.0, "SPY"), 4.0),
    "somebody's order never cancels": (a_foreign_order(None, "QQQ"), 0.0),
}


async def liquidate(world: ProofWorld) -> None:
    await world.gateway.liquidate("a test")


async def lose_the_link(world: ProofWorld) -> None:
    world.simulator.faults.drop_connections()
    await world.until(lambda: not world.gateway.is_connected)
    await world.until(lambda: world.gateway.is_connected, 120.0)


@pytest.mark.req("STC-8", "STC-2", "STC-6")
@pytest.mark.parametrize("begin", [liquidate, lose_the_link])
@pytest.mark.parametrize("name", TROUBLES)
def test_it_is_flat_in_time_once_fate_and_market_allow_it(name: str, begin: Callable) -> None:  # type: ignore[type-arg]
    trouble, lasts_s = TROUBLES[name]

    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        stop = sell(HELD, order_type="STP", stop_price=100.0)
        await world.gateway.submit_order(stop, CONTEXT, wait_for="ack")
        trouble(world)

        await begin(world)
        await world.until(lambda: world.simulator.positions() == {}, lasts_s + WITHIN_S)

        assert sold(world) == HELD
        if name != "somebody's order never cancels":
            assert (await report_of(world)).flat
            assert world.simulator.open_orders() == ()

    prove(scenario, config=wide())


@pytest.mark.req("STC-8")
def test_what_does_not_end_is_named_again_and_again_until_it_does() -> None:
    lines = Lines()

    async def scenario(world: ProofWorld) -> None:
        await hold(world)
        a_foreign_order(None, "QQQ")(world)
        await world.gateway.liquidate("a test")
        await asyncio.sleep(2000.0)

        alarms = [str(line.fields["text"]) for line in lines.of("strategy_c_alarm")]
        assert len(alarms) == 3, "after a minute, then every quarter of an hour"
        assert all("QQQ" in text and "do not end" in text for text in alarms)
        world.simulator.order_faults.release_cancels()
        assert (await report_of(world)).flat

    prove(scenario, config=wide(), log=lines)


@pytest.mark.req("STC-9")
@pytest.mark.parametrize("refused_s", [0.0, 120.0])
def test_a_long_waits_for_the_short_that_it_covers_and_not_for_ever(refused_s: float) -> None:
    """Calls are refused for a while: what covers the short call stays until it is closed, the surplus goes."""

    async def scenario(world: ProofWorld) -> None:
        await hold(world, 250.0)
        call = ContractQuery(symbol="SPY", sec_type="OPT", strike=600.0, right="C")
        option = world.simulator.universe.find(call, world.simulator.market.today)[0]
        world.simulator.faults.trade_elsewhere("SPY", -2.0, con_id=option.con_id)
        if refused_s:
            world.simulator.order_faults.refuse_orders(201, only="closes", duration_s=refused_s)
        placed = len(world.simulator.ledger)
        await world.gateway.liquidate("a test")
        await world.until(lambda: world.simulator.positions() == {}, refused_s + 45.0)

        orders = [each.action for each in world.simulator.ledger[placed:] if each.kind == "place"]
        assert orders[0] == "BUY", "the short first"
        assert orders[-1] == "SELL"
        assert (await report_of(world)).flat

    prove(scenario, config=wide())
