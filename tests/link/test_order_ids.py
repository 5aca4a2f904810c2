"""Order ids are never used twice, and IB's complaints about ids and rates are acted on (D15, PEERS 2)."""

from __future__ import annotations

import asyncio

import pytest

from actors.link.memory import HIGHEST_ORDER_ID, OrderIds
from actors.link.settings import LinkSettings
from actors.messages.addresses import CONNECTION, EXECUTOR
from actors.messages.connection import OrderIdsLeapt
from actors.messages.market_data import TakeSnapshot
from actors.messages.orders import OrderErrorReported, OrderRefusedAtGate, OrderSent
from actors.model.trading import Trading
from actors.sections.pacing import Pacing
from supervision.simulator import Limits

from .driver import LinkDriver
from .worlds import run, world

DUPLICATE = 103
USED_BY_OTHERS = 500


@pytest.mark.req("ORD-8", "ORD-9")
def test_a_duplicate_order_id_is_left_behind_and_the_gateways_own_floor_asked_for() -> None:
    """Somebody used 500 ids of our client id; the first order draws 103, the next one is accepted."""

    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.trade_ready(simulator.port)
            spy = await driver.qualify()
            simulator.broker.store.raise_id(1, USED_BY_OTHERS)
            first = await driver.ask(driver.send_order(driver.order(spy)), OrderSent)
            errors = await driver.until(lambda: driver.of(EXECUTOR, OrderErrorReported))
            await asyncio.sleep(0.1)
            second = await driver.ask(driver.send_order(driver.order(spy)), OrderSent)
            await asyncio.sleep(0.1)

            assert (first.broker_order_id, errors[0].code) == (1, DUPLICATE)
            assert second.broker_order_id == USED_BY_OTHERS + 1
            assert [entry.outcome for entry in simulator.ledger] == ["rejected:103", "accepted"]
            told = driver.of(CONNECTION, OrderIdsLeapt)
            assert told[-1].client_id == 1
            assert told[-1].highest == USED_BY_OTHERS
            assert "order_id_duplicate" in [event for event, _ in driver.logged]

    run(scenario)


@pytest.mark.req("ORD-8")
def test_the_order_right_behind_a_duplicate_is_far_ahead_of_it() -> None:
    """The gateway's floor may be long in coming, and the next close may not."""

    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.trade_ready(simulator.port)
            spy = await driver.qualify()
            simulator.broker.store.raise_id(1, 20)
            simulator.faults.ignore_requests("reqIds")
            await driver.ask(driver.send_order(driver.order(spy)), OrderSent)
            await driver.until(lambda: driver.of(EXECUTOR, OrderErrorReported))
            second = await driver.ask(driver.send_order(driver.order(spy)), OrderSent)
            await asyncio.sleep(0.1)

            assert second.broker_order_id > 20
            assert simulator.ledger[-1].outcome == "accepted"

    run(scenario)


@pytest.mark.req("ORD-9")
def test_a_gateway_that_falls_behind_is_not_followed() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.trade_ready(simulator.port, order_id_floor=1000)
            spy = await driver.qualify()
            driver.actor.sessions.next_id(driver.actor.sessions.current, 7)  # type: ignore[arg-type]  # there is one
            sent = await driver.ask(driver.send_order(driver.order(spy)), OrderSent)

            assert sent.broker_order_id == 1000
            assert driver.of(CONNECTION, OrderIdsLeapt) == []

    run(scenario)


@pytest.mark.req("CON-14")
def test_after_the_gateway_found_the_rate_exceeded_half_of_it_is_used_for_a_while() -> None:
    """The gateway allows less than IB does; as if somebody else sent beside us."""
    slow_s, stricter = 20.0, 25

    async def scenario() -> None:
        settings = LinkSettings(
            trading=Trading(sends_orders=True), pacing=Pacing(slow_down_s=slow_s)
        )
        async with world(settings, limits=Limits(messages_per_second=stricter)) as (
            driver,
            simulator,
        ):
            await driver.trade_ready(simulator.port)
            spy = await driver.qualify()
            await asyncio.sleep(2.0)
            for _ in range(1000):
                driver.tell(TakeSnapshot(**driver.header(600.0), contract=spy))
            await asyncio.sleep(1.0)
            exceeded = len(_exceeded(driver))
            before = simulator.faults.state.messages_received
            await asyncio.sleep(slow_s - 2.0)
            slow_per_s = (simulator.faults.state.messages_received - before) / (slow_s - 2.0)

            assert exceeded > 0
            assert 10 <= slow_per_s <= 22
            assert len(_exceeded(driver)) == exceeded

    run(scenario)


def _exceeded(driver: LinkDriver) -> list[dict[str, object]]:
    return [fields for event, fields in driver.logged if event == "rate_exceeded"]


def test_an_id_is_left_behind_once_and_only_when_it_is_ours() -> None:
    ids = OrderIds(last=10)

    assert not ids.leap(11)
    assert ids.leap(10)
    after = ids.last
    assert not ids.leap(10)
    assert not ids.leap(9)
    assert ids.last == after


def test_an_order_is_refused_when_all_ids_are_used() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.trade_ready(simulator.port, order_id_floor=HIGHEST_ORDER_ID)
            spy = await driver.qualify()
            last = await driver.ask(driver.send_order(driver.order(spy)), OrderSent)
            refused = await driver.ask(driver.send_order(driver.order(spy)), OrderRefusedAtGate)

            assert last.broker_order_id == HIGHEST_ORDER_ID
            assert "take another client id" in refused.reason

    run(scenario)
