"""Deadlines, silence, requests without an id, and sessions that end in the middle."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from actors.errors import GatewayConnectionError, GatewayTimeoutError, MailboxFullError
from actors.kernel.messages import Request, RequestFailed
from actors.link.settings import LinkSettings
from actors.messages.addresses import CONNECTION
from actors.messages.connection import NoticeReceived, Probe, Probed, ReadBrokerState, SessionEnded
from actors.messages.market_data import QualifyContract, TakeSnapshot
from actors.model.connection import DisconnectCause
from actors.model.contracts import ContractQuery
from actors.sections.pacing import Pacing

from .driver import LinkDriver
from .worlds import UNLIMITED, run, world


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _fails_at_deadline(driver: LinkDriver, request: Request) -> float:
    """Wait for the refusal; returns by how much it was late, in seconds."""
    error = await driver.failure(request)
    assert type(error) is GatewayTimeoutError, error
    return _now() - request.deadline


@pytest.mark.req("CON-9")
def test_a_probe_measures_a_round_trip() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            simulator.faults.latency(0.1)
            probed = await driver.ask(Probe(**driver.header()), Probed)

            assert 100 <= probed.latency_ms < 150
            assert abs((probed.gateway_time - datetime.now(UTC)).total_seconds()) < 3

    run(scenario)


@pytest.mark.req("CON-9", "GW-8")
def test_a_probe_that_is_not_answered_fails_and_the_session_lives_on() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            simulator.faults.silence()
            late_s = await _fails_at_deadline(driver, Probe(**driver.header(0.2)))
            simulator.faults.speak()

            assert 0 <= late_s < 0.05
            assert driver.of(CONNECTION, SessionEnded) == []
            assert (await driver.ask(Probe(**driver.header()), Probed)).latency_ms >= 0

    run(scenario)


@pytest.mark.req("CON-9")
def test_two_probes_at_once_are_both_answered() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            simulator.faults.latency(0.05)
            first, second = await asyncio.gather(
                driver.ask(Probe(**driver.header()), Probed),
                driver.ask(Probe(**driver.header()), Probed),
            )

            assert first.latency_ms >= 50
            assert second.latency_ms >= 50

    run(scenario)


@pytest.mark.req("GW-8")
@pytest.mark.parametrize("kind", ["reqContractDetails", "reqMktData"])
def test_a_request_ends_at_its_deadline_and_its_late_answer_changes_nothing(kind: str) -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy = await driver.qualify()
            simulator.faults.latency(0.4)
            header = driver.header(0.2)
            request: Request = (
                QualifyContract(**header, query=ContractQuery(symbol="SPY"))
                if kind == "reqContractDetails"
                else TakeSnapshot(**header, contract=spy)
            )
            late_s = await _fails_at_deadline(driver, request)
            await asyncio.sleep(0.4)
            simulator.faults.latency(0.0)

            assert 0 <= late_s < 0.05
            assert (await driver.qualify()) == spy
            assert driver.of(CONNECTION, SessionEnded) == []

    run(scenario)


@pytest.mark.req("CON-11")
@pytest.mark.parametrize(
    "unanswered",
    [
        "reqPositions",
        "reqOpenOrders",
        "reqAllOpenOrders",
    ],
)
def test_a_request_without_an_id_that_is_not_answered_ends_the_session(unanswered: str) -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            simulator.faults.ignore_requests(unanswered)
            late_s = await _fails_at_deadline(driver, ReadBrokerState(**driver.header(0.3)))
            (ended,) = driver.of(CONNECTION, SessionEnded)

            assert late_s < 0.05
            assert ended.cause is DisconnectCause.REQUEST_UNANSWERED

    run(scenario)


@pytest.mark.req("CON-11")
def test_states_that_are_read_at_the_same_time_do_not_mix() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            simulator.faults.trade_elsewhere("SPY", 100)
            await driver.open(simulator.port)
            states = await asyncio.gather(*(driver.read_state() for _ in range(4)))

            for state in states:
                assert [holding.quantity for holding in state.holdings] == [100]

    run(scenario)


@pytest.mark.req("GW-12", "CON-2")
@pytest.mark.parametrize("reset", [True, False])
def test_a_disconnect_in_the_middle_fails_everything_that_waits(reset: bool) -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            spy = await driver.qualify()
            simulator.faults.silence()
            waiting = [
                driver.post(Probe(**driver.header())),
                driver.post(ReadBrokerState(**driver.header())),
                driver.post(QualifyContract(**driver.header(), query=ContractQuery(symbol="QQQ"))),
                driver.post(TakeSnapshot(**driver.header(), contract=spy)),
            ]
            await asyncio.sleep(0.1)
            simulator.faults.drop_connections(reset=reset)
            replies = await asyncio.wait_for(asyncio.gather(*waiting), 1.0)

            for reply in replies:
                assert isinstance(reply, RequestFailed)
                assert reply.error.kind == GatewayConnectionError.__name__
            (ended,) = driver.of(CONNECTION, SessionEnded)
            assert ended.cause is DisconnectCause.SOCKET_CLOSED

    run(scenario)


@pytest.mark.req("CON-10")
def test_notices_are_handed_to_the_connection() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            opened = await driver.open(simulator.port)
            simulator.faults.farm(2103, "usfarm")
            notice = await driver.until(
                lambda: next(
                    (each for each in driver.of(CONNECTION, NoticeReceived) if each.code == 2103),
                    None,
                )
            )

            assert notice.link_session == opened.link_session
            assert notice.text == "Market data farm connection is broken:usfarm"

    run(scenario)


# --- pacing at the link -----------------------------------------------------------------------------------------------


@pytest.mark.req("CON-14")
def test_a_burst_of_requests_never_exceeds_the_gateways_limit() -> None:
    """The simulated gateway counts 50 messages a second as IB does, and drops whoever exceeds that."""

    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            began = _now()
            await asyncio.gather(*(driver.qualify() for _ in range(100)))

            codes = {notice.code for notice in driver.of(CONNECTION, NoticeReceived)}
            assert 100 not in codes
            assert 1.5 < _now() - began < 4.0

    run(scenario)


@pytest.mark.req("CON-14", "CON-9")
def test_a_heartbeat_is_not_delayed_by_waiting_data() -> None:
    async def scenario() -> None:
        async with world(limits=UNLIMITED) as (driver, simulator):
            await driver.open(simulator.port)
            waiting = [
                driver.post(
                    QualifyContract(**driver.header(1.0), query=ContractQuery(symbol="SPY"))
                )
                for _ in range(500)
            ]
            began = _now()
            await driver.ask(Probe(**driver.header()), Probed)

            assert _now() - began < 0.5
            await asyncio.gather(*waiting)

    run(scenario)


def test_too_many_waiting_requests_are_refused_and_those_that_wait_end_at_their_deadline() -> None:
    async def scenario() -> None:
        settings = LinkSettings(pacing=Pacing(max_waiting=10))
        async with world(settings, limits=UNLIMITED) as (driver, simulator):
            await driver.open(simulator.port)
            replies = await asyncio.gather(
                *(
                    driver.post(
                        QualifyContract(**driver.header(0.5), query=ContractQuery(symbol="SPY"))
                    )
                    for _ in range(100)
                )
            )
            kinds = [reply.error.kind for reply in replies if isinstance(reply, RequestFailed)]

            assert kinds.count(MailboxFullError.__name__) >= 50
            assert kinds.count(GatewayTimeoutError.__name__) == 10

    run(scenario)
