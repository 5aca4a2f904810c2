"""Requests of history wait for IB's rules where their deadline allows, and say so where it does not."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from actors.errors import GatewayConnectionError, HistoryPacingError
from actors.link.settings import LinkSettings
from actors.messages.connection import EndSession
from actors.messages.market_data import BarsRead, ReadBars
from actors.model.connection import DisconnectCause
from actors.model.contracts import Contract
from actors.sections.pacing import Pacing

from .driver import LinkDriver
from .worlds import run, world

IDENTICAL_S = 15.0
WINDOW_MOST = 60


def _read(
    driver: LinkDriver, contract: Contract, timeout_s: float = 5.0, minutes: int = 60
) -> ReadBars:
    return ReadBars(**driver.header(timeout_s), contract=contract, duration_minutes=minutes)


async def _answer(driver: LinkDriver, request: ReadBars) -> Any:
    return await asyncio.wait_for(driver.post(request), 10_000)


@pytest.mark.req("CON-14")
def test_an_identical_request_waits_within_its_deadline() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy = await driver.qualify()
            await driver.ask(_read(driver, spy), BarsRead)
            began_at = driver.clock.monotonic()
            second = await _answer(driver, _read(driver, spy, timeout_s=30.0))

            assert isinstance(second, BarsRead)
            waited_s = driver.clock.monotonic() - began_at
            assert IDENTICAL_S <= waited_s <= IDENTICAL_S + 0.5

    run(scenario)


@pytest.mark.req("CON-14")
def test_a_request_that_cannot_wait_is_refused_at_once_with_the_rule_and_the_wait() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy = await driver.qualify()
            await driver.ask(_read(driver, spy), BarsRead)
            received = simulator.faults.state.messages_received
            began_at = driver.clock.monotonic()
            error = await driver.failure(_read(driver, spy, timeout_s=5.0))

            assert isinstance(error, HistoryPacingError)
            assert error.retryable
            assert "no identical request of history within 15 s" in str(error)
            assert "would wait for 15.1 s" in str(error)
            assert driver.clock.monotonic() == began_at
            assert simulator.faults.state.messages_received == received

    run(scenario)


@pytest.mark.req("CON-14")
def test_the_count_goes_on_over_a_reconnection() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy = await driver.qualify()
            await driver.ask(_read(driver, spy), BarsRead)
            driver.tell(EndSession(cause=DisconnectCause.ASKED, reason="a test"))
            await driver.open(simulator.port)

            assert isinstance(await driver.failure(_read(driver, spy)), HistoryPacingError)

    run(scenario)


@pytest.mark.req("CON-14")
def test_a_request_that_waits_ends_with_its_session() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy = await driver.qualify()
            await driver.ask(_read(driver, spy), BarsRead)
            waiting = driver.failure(_read(driver, spy, timeout_s=60.0))
            driver.tell(EndSession(cause=DisconnectCause.ASKED, reason="a test"))

            assert isinstance(await waiting, GatewayConnectionError)

    run(scenario)


@pytest.mark.req("CON-14")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_gateway_never_finds_a_violation_however_much_is_asked_for(seed: int) -> None:
    """Half an hour of everybody asking for everything; the gateway counts by IB's rules and would refuse."""

    async def scenario() -> None:
        async with world(LinkSettings(pacing=Pacing(max_waiting=10_000))) as (driver, simulator):
            await driver.open(simulator.port)
            rng = random.Random(seed)
            contracts = [await driver.qualify(symbol) for symbol in ("SPY", "QQQ", "AAPL", "MSFT")]
            answers: list[asyncio.Future[Any]] = []
            for _ in range(300):
                timeout_s = rng.choice((1.0, 20.0, 700.0))
                contract, minutes = rng.choice(contracts), rng.randint(30, 60)
                answers.append(driver.post(_read(driver, contract, timeout_s, minutes)))
                await asyncio.sleep(rng.uniform(0.0, 12.0))
            replies = await asyncio.gather(*answers)

            answered = [reply for reply in replies if isinstance(reply, BarsRead)]
            refused = {reply.error.kind for reply in replies if not isinstance(reply, BarsRead)}
            assert len(answered) > 2 * WINDOW_MOST
            assert refused == {HistoryPacingError.__name__}

    run(scenario, timeout_s=10_000.0)


@pytest.mark.req("CON-14")
def test_a_request_counts_from_when_it_is_written_and_not_from_when_it_might_have_been() -> None:
    """Sixty requests that a slow wire spreads over a minute, and as many more as soon as IB allows."""

    async def scenario() -> None:
        slow = LinkSettings(pacing=Pacing(messages_per_s=2, reserve_messages=1))
        async with world(slow, extra_symbols=2 * WINDOW_MOST) as (driver, simulator):
            await driver.open(simulator.port)
            symbols = [f"SYM{number:03}" for number in range(1, 2 * WINDOW_MOST + 1)]
            contracts = [await driver.qualify(symbol) for symbol in symbols]
            first, second = contracts[:WINDOW_MOST], contracts[WINDOW_MOST:]
            asked = [driver.post(_read(driver, each, timeout_s=100.0)) for each in first]
            answers = await asyncio.gather(*asked)
            await asyncio.sleep(500.0)
            asked = [driver.post(_read(driver, each, timeout_s=200.0)) for each in second]
            answers += await asyncio.gather(*asked)

            assert {type(answer) for answer in answers} == {BarsRead}

    run(scenario, timeout_s=10_000.0)
