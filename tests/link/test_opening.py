"""Opening and ending sessions, and every way in which that fails (CON-7)."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from actors.errors import (
    ClientIDInUseError,
    GatewayAuthenticationError,
    GatewayConnectionError,
    GatewayNotConnectedError,
    GatewayTimeoutError,
    IncompatibleVersionError,
    NetworkUnreachableError,
    TooManyLinksError,
)
from actors.link.opening import open_failure
from actors.link.registry import PROCESS_LINKS, LinkRegistry
from actors.messages.addresses import CONNECTION
from actors.messages.connection import (
    AdoptSession,
    EndSession,
    NoticeReceived,
    OpenSession,
    Probe,
    Probed,
    SessionEnded,
    SessionOpened,
)
from actors.model.connection import DisconnectCause

from .driver import ACCOUNT, LinkDriver
from .worlds import run, world


def _request(**fields: Any) -> OpenSession:
    values: dict[str, Any] = {
        "correlation_id": "c",
        "deadline": 0.0,
        "reply_to": "test",
        "host": "gateway",
        "port": 4002,
        "client_id": 1,
        "readonly": False,
    }
    return OpenSession(**(values | fields))


async def _open_error(driver: LinkDriver, port: int, timeout_s: float = 3.0) -> BaseException:
    return await driver.failure(
        OpenSession(
            **driver.header(timeout_s), host="127.0.0.1", port=port, client_id=1, readonly=False
        )
    )


@pytest.mark.req("CON-4")
def test_a_session_opens_with_accounts_and_the_next_order_id() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            opened = await driver.open(simulator.port, client_id=7, order_id_floor=42)

            assert opened.accounts == (ACCOUNT,)
            assert opened.next_order_id == 42
            assert opened.client_id == 7
            assert opened.server_version == 176
            assert opened.link_session == 1
            assert simulator.client_ids() == (7,)

    run(scenario)


@pytest.mark.req("CON-7")
def test_a_refused_connection_is_a_connection_error() -> None:
    async def scenario() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        error = await _open_error(LinkDriver(), port)

        assert type(error) is GatewayConnectionError
        assert "refused the connection" in str(error)

    run(scenario)


@pytest.mark.req("CON-7")
@pytest.mark.parametrize(
    "error",
    [
        socket.gaierror(-2, "Name or service not known"),
        OSError(101, "Network is unreachable"),
        OSError(113, "No route to host"),
        TimeoutError(110, "Connection timed out"),
    ],
    ids=str,
)
def test_an_unreachable_host_is_a_network_error(error: OSError) -> None:
    found = open_failure(error, _request(), timed_out=False)

    assert type(found) is NetworkUnreachableError


@pytest.mark.req("CON-7")
def test_a_name_that_nobody_knows_is_a_network_error() -> None:
    async def scenario() -> None:
        driver = LinkDriver()
        error = await driver.failure(
            _request(**driver.header(5.0), host="no-such-host.invalid", port=4002)
        )

        assert isinstance(error, NetworkUnreachableError | GatewayTimeoutError)

    run(scenario)


@pytest.mark.req("CON-7", "CON-8")
def test_a_client_id_that_is_taken_has_its_own_error_at_once() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            simulator.faults.client_id_taken(1)
            began = asyncio.get_running_loop().time()
            error = await _open_error(driver, simulator.port)

            assert type(error) is ClientIDInUseError
            assert asyncio.get_running_loop().time() - began < 0.5

    run(scenario)


@pytest.mark.req("CON-7")
@pytest.mark.parametrize("version", [76, 156, 177, 220])
def test_a_version_that_we_do_not_speak_is_refused(version: int) -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            simulator.faults.version_too_old(version)

            error = await _open_error(driver, simulator.port)

            assert type(error) is IncompatibleVersionError
            assert str(version) in str(error)

    run(scenario)


@pytest.mark.req("CON-7")
def test_a_disclaimer_that_was_not_accepted_is_an_authentication_error() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            simulator.faults.authentication_failure("disclaimer")

            assert type(await _open_error(driver, simulator.port)) is GatewayAuthenticationError

    run(scenario)


@pytest.mark.req("CON-7")
def test_a_close_before_the_api_is_ready_is_a_connection_error() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            simulator.faults.authentication_failure("close")

            error = await _open_error(driver, simulator.port)

            assert type(error) is GatewayConnectionError
            assert "before the API was ready" in str(error)

    run(scenario)


@pytest.mark.req("CON-7", "GW-8")
def test_a_gateway_that_says_nothing_is_a_timeout_at_the_deadline() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            simulator.faults.authentication_failure("silence")
            began = asyncio.get_running_loop().time()

            error = await _open_error(driver, simulator.port, timeout_s=0.3)

            assert type(error) is GatewayTimeoutError
            assert 0.29 < asyncio.get_running_loop().time() - began < 0.35
            assert driver.of(CONNECTION, SessionEnded) == []

    run(scenario)


@pytest.mark.req("CON-7")
@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\0", b"\0\0\0\5hello", b"\xff\xff\xff\xff", b""],
    ids=repr,
)
def test_something_that_is_no_gateway_is_a_connection_error(answer: bytes) -> None:
    async def scenario() -> None:
        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(answer)
            writer.write_eof()
            await asyncio.sleep(0.05)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            error = await _open_error(LinkDriver(), server.sockets[0].getsockname()[1])

        assert type(error) is GatewayConnectionError

    run(scenario)


@pytest.mark.req("CON-2")
def test_opening_another_session_ends_the_first() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            first = await driver.open(simulator.port)
            second = await driver.open(simulator.port, client_id=2)
            await asyncio.sleep(0.05)

            ended = driver.of(CONNECTION, SessionEnded)
            assert [event.link_session for event in ended] == [first.link_session]
            assert second.link_session == first.link_session + 1
            assert simulator.client_ids() == (2,)

    run(scenario)


def test_an_order_id_is_never_used_again_in_a_later_session() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.trade_ready(simulator.port)
            spy = await driver.qualify()
            for _ in range(3):
                await driver.post(driver.send_order(driver.order(spy)))
            again = await driver.open(simulator.port, client_id=9)

            assert again.next_order_id == 4

    run(scenario)


@pytest.mark.req("CON-13")
def test_a_graceful_end_cancels_subscriptions_and_says_so() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            opened = await driver.open(simulator.port)
            await driver.read_state()
            before = simulator.faults.state.messages_received
            driver.tell(EndSession(cause=DisconnectCause.ASKED, reason="bye", graceful=True))
            ended = await driver.until(lambda: driver.of(CONNECTION, SessionEnded))
            await asyncio.sleep(0.05)

            assert [(each.link_session, each.cause) for each in ended] == [
                (opened.link_session, DisconnectCause.ASKED)
            ]
            assert simulator.faults.state.messages_received == before + 2
            assert simulator.client_ids() == ()

    run(scenario)


def test_a_session_that_is_open_can_be_adopted() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            error = await driver.failure(AdoptSession(**driver.header()))
            opened = await driver.open(simulator.port)
            adopted = await driver.ask(AdoptSession(**driver.header()), SessionOpened)

            assert type(error) is GatewayNotConnectedError
            assert adopted.link_session == opened.link_session
            assert adopted.accounts == opened.accounts

    run(scenario)


def test_what_is_asked_without_a_session_is_refused() -> None:
    async def scenario() -> None:
        driver = LinkDriver()

        assert type(await driver.failure(Probe(**driver.header()))) is GatewayNotConnectedError

    run(scenario)


@pytest.mark.req("CON-10")
def test_a_notice_that_follows_the_handshake_comes_after_the_answer() -> None:
    """1100 right behind nextValidId must find a connection that knows its session."""

    async def scenario() -> None:
        async with world() as (driver, simulator):
            simulator.faults.connectivity_lost()
            order: list[str] = []
            driver.book.tap(lambda record: order.append(type(record.message).__name__))
            await driver.open(simulator.port)
            notices = await driver.until(lambda: driver.of(CONNECTION, NoticeReceived))

            assert order.index("SessionOpened") < order.index("NoticeReceived")
            assert 1100 in {notice.code for notice in notices}

    run(scenario)


def test_a_restarted_link_says_that_the_session_is_gone() -> None:
    async def scenario() -> None:
        driver = LinkDriver(incarnation=2)
        (ended,) = driver.of(CONNECTION, SessionEnded)

        assert ended.link_session is None
        assert ended.cause is DisconnectCause.LINK_FAILED

    run(scenario)


@pytest.mark.req("CON-12")
def test_the_eleventh_link_of_a_process_is_refused() -> None:
    registry = LinkRegistry()
    links = [object() for _ in range(11)]
    for link in links[:10]:
        registry.claim(link)
        registry.claim(link)

    with pytest.raises(TooManyLinksError, match="10 links open"):
        registry.claim(links[10])
    registry.release(links[0])
    registry.release(links[0])
    registry.claim(links[10])


@pytest.mark.req("CON-12")
def test_the_link_keeps_the_limit_and_gives_its_place_back() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            others = [object() for _ in range(10)]
            for other in others:
                PROCESS_LINKS.claim(other)
            try:
                error = await _open_error(driver, simulator.port)
                PROCESS_LINKS.release(others.pop())
                await driver.open(simulator.port)
            finally:
                for other in others:
                    PROCESS_LINKS.release(other)

            assert type(error) is TooManyLinksError
            assert (await driver.ask(Probe(**driver.header()), Probed)).latency_ms >= 0

    run(scenario)
