"""IB's message limit at the wire: the gateway counts, and a close does not wait behind data."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from actors.kernel.messages import Message
from actors.link.settings import LinkSettings
from actors.messages.addresses import CONNECTION
from actors.messages.connection import NoticeReceived, Probe, ReadBrokerState
from actors.messages.market_data import QualifyContract, ReadOptionChain, TakeSnapshot
from actors.messages.orders import OrderSent, SendCancel, SendOrder
from actors.model.contracts import Contract, ContractQuery
from actors.model.orders import OrderAction, Purpose
from actors.model.trading import Trading
from actors.sections.pacing import Pacing
from supervision.simulator import Simulator

from .driver import LinkDriver
from .worlds import run, world

CLOSE_WITHIN_S = 0.1
QUEUED = 500
IB_LIMIT = 50
RATE_EXCEEDED = 100
PATIENT_S = 600.0

Make = Callable[[LinkDriver, Contract], Message]


def _close(driver: LinkDriver, contract: Contract) -> SendOrder:
    order = driver.order(contract, action=OrderAction.SELL, purpose=Purpose.CLOSE)
    permit = driver.permit(
        order,
        expires_at=driver.clock.monotonic() + PATIENT_S,
    )
    return driver.send_order(order, permit, timeout_s=PATIENT_S)


def _open(driver: LinkDriver, contract: Contract) -> SendOrder:
    order = driver.order(contract, quantity=1.0)
    permit = driver.permit(order, expires_at=driver.clock.monotonic() + PATIENT_S)
    return driver.send_order(order, permit, timeout_s=PATIENT_S)


TRAFFIC: tuple[Make, ...] = (
    lambda driver, contract: TakeSnapshot(**driver.header(PATIENT_S), contract=contract),
    lambda driver, _: QualifyContract(
        **driver.header(PATIENT_S), query=ContractQuery(symbol="QQQ")
    ),
    lambda driver, contract: ReadOptionChain(**driver.header(PATIENT_S), underlying=contract),
    lambda driver, _: Probe(**driver.header(PATIENT_S)),
    lambda driver, _: ReadBrokerState(**driver.header(PATIENT_S)),
    lambda driver, _: SendCancel(order_ref="CSATSPRIM:X", broker_order_id=77),
    _open,
    _close,
)
"""Everything that the link writes once its session is open, in all lanes."""


async def _queue_data(driver: LinkDriver, contract: Contract, count: int) -> None:
    for _ in range(count):
        driver.tell(TakeSnapshot(**driver.header(PATIENT_S), contract=contract))


@pytest.mark.req("CON-14")
@pytest.mark.parametrize("closes", [1, 5, 9])
def test_a_close_behind_five_hundred_data_requests_reaches_the_wire_in_a_tenth_of_a_second(
    closes: int,
) -> None:
    """As many as the reserve has room for go at once, however much data waits; the proof of life takes one place."""

    async def scenario() -> None:
        async with world() as (driver, simulator):
            simulator.faults.trade_elsewhere("SPY", 100.0)
            await driver.trade_ready(simulator.port)
            spy = await driver.qualify()
            await asyncio.sleep(2.0)
            await _queue_data(driver, spy, QUEUED)
            requests = [_close(driver, spy) for _ in range(closes)]
            asked_at = driver.clock.monotonic()
            await asyncio.gather(*(driver.ask(request, OrderSent) for request in requests))
            await asyncio.sleep(CLOSE_WITHIN_S)

            arrived = [entry.received_s - asked_at for entry in simulator.ledger]
            assert len(arrived) == closes
            assert max(arrived) <= CLOSE_WITHIN_S

    run(scenario)


@pytest.mark.req("CON-14")
def test_a_close_that_comes_while_the_data_flows_overtakes_it() -> None:
    """Asked for at many moments of the flood, with the link never silent and the bucket never full again."""

    async def scenario() -> None:
        async with world() as (driver, simulator):
            simulator.faults.trade_elsewhere("SPY", 100.0)
            await driver.trade_ready(simulator.port)
            spy = await driver.qualify()
            await _queue_data(driver, spy, QUEUED)
            waits = []
            for pause_s in (0.0, 0.3, 0.9, 1.7, 0.6, 1.1):
                await asyncio.sleep(pause_s)
                asked_at = driver.clock.monotonic()
                await driver.ask(_close(driver, spy), OrderSent)
                waits.append(driver.clock.monotonic() - asked_at)

            assert max(waits) <= CLOSE_WITHIN_S
            assert simulator.ledger[-1].received_s < 6.0

    run(scenario)


async def _random_traffic(driver: LinkDriver, simulator: Simulator, seed: int) -> int:
    """Ask for everything in bursts; returns how many messages the gateway read."""
    rng = random.Random(seed)
    await driver.trade_ready(simulator.port)
    spy = await driver.qualify()
    before = simulator.faults.state.messages_received
    for _ in range(rng.randint(5, 20)):
        for _ in range(rng.randint(1, 120)):
            driver.tell(rng.choice(TRAFFIC)(driver, spy))
        await asyncio.sleep(rng.choice((0.0, 0.05, 0.4, 1.0, 2.5)))
    await asyncio.sleep(30.0)
    return simulator.faults.state.messages_received - before


@pytest.mark.req("CON-14", "SIM-6")
@settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.reuse, Phase.generate),  # a smaller seed is no simpler
)
@given(seed=st.integers(0, 2**32))
def test_the_gateway_never_counts_more_than_it_allows(seed: int) -> None:
    """Whatever is asked for in whatever bursts, in all lanes: fifty in no second, counted by the gateway."""

    async def scenario() -> None:
        async with world(
            LinkSettings(trading=Trading(sends_orders=True), pacing=Pacing(max_waiting=10_000))
        ) as (
            driver,
            simulator,
        ):
            assert simulator.config.limits.messages_per_second == IB_LIMIT
            sent = await _random_traffic(driver, simulator, seed)

            codes = {notice.code for notice in driver.of(CONNECTION, NoticeReceived)}
            assert RATE_EXCEEDED not in codes, f"seed {seed}"
            assert sent > 0

    run(scenario, timeout_s=10_000.0)
