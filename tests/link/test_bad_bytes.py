"""Garbage from the gateway: a typed error or an ended session, never a hang, never a lost order."""

from __future__ import annotations

import asyncio
import random

import pytest

from actors.errors import GatewayConnectionError, GatewayError
from actors.link.frames import FrameBuffer, FrameError
from actors.link.quarantine import odd_message
from actors.link.settings import LinkSettings
from actors.messages.addresses import CONNECTION, EXECUTOR, RISK
from actors.messages.connection import (
    OpenSession,
    Probe,
    Probed,
    RequestReconciliation,
    SessionEnded,
)
from actors.messages.market_data import QualifyContract
from actors.messages.orders import ExecutionReported
from actors.messages.risk import ContractUnsure
from actors.model.connection import DisconnectCause
from actors.model.contracts import ContractQuery

from .driver import LinkDriver
from .toy_gateway import frame, toy_gateway
from .worlds import run

EXECUTION = (
    *(11, -1, 5, 756733, "SPY", "STK", "", "0.0", "", "", "SMART", "USD", "SPY", "SPY"),
    *("0001.01.01", "20260302 10:00:00 US/Eastern", "DU1234567", "ARCA", "BOT", "10"),
    *("600.5", "99", "1", "0", "10", "600.5", "CSATSPRIM:A", "", "", "", "1"),
)
STATUS = (3, 5, "Submitted", 0, 10, 0, 99, 0, 0, 1, "", 0)
COMMISSION = (59, 1, "0001.01.01", "1.0", "USD", "1.7976931348623157E308", "", "")
POSITION = (
    *(61, 3, "DU1234567", 756733, "SPY", "STK", "", "0.0", "", "", "", "USD", "SPY", "SPY"),
    *("10", "600.6"),
)


def _with(message: tuple[object, ...], index: int, value: object) -> tuple[object, ...]:
    return (*message[:index], value, *message[index + 1 :])


async def _ended(driver: LinkDriver) -> SessionEnded:
    events = await driver.until(lambda: driver.of(CONNECTION, SessionEnded), 2.0)
    ended = events[0]
    assert isinstance(ended, SessionEnded)
    return ended


def test_the_messages_of_this_file_are_good_ones() -> None:
    async def scenario() -> None:
        async with toy_gateway() as gateway:
            driver = LinkDriver()
            await driver.open(gateway.port)
            for message in (EXECUTION, STATUS, COMMISSION, POSITION):
                gateway.say(frame(*message))
            await asyncio.sleep(0.1)

            assert driver.of(CONNECTION, SessionEnded) == []
            (report,) = driver.of(EXECUTOR, ExecutionReported)
            assert report.execution.quantity == 10
            assert report.execution.executed_at is not None
            driver.actor.abandoned()

    run(scenario)


@pytest.mark.req("ORD-7", "ORD-9", "CON-17")
@pytest.mark.parametrize(
    "message",
    [
        (*EXECUTION, "one more"),
        EXECUTION[:-1],
        _with(EXECUTION, 19, "many"),
        _with(EXECUTION, 19, "nan"),
        _with(EXECUTION, 19, "-5"),
        _with(EXECUTION, 20, "inf"),
        _with(EXECUTION, 18, "HELD"),
        _with(EXECUTION, 14, ""),
        _with(EXECUTION, 3, "0"),
        (*STATUS, "x"),
        STATUS[:-1],
        _with(STATUS, 2, "12"),
        _with(STATUS, 3, "nan"),
        (*COMMISSION, ""),
        _with(COMMISSION, 3, "free"),
        (*POSITION, "x"),
        _with(POSITION, 14, "nan"),
        _with(POSITION, 3, "-1"),
        (4, 2, 5, 201, "Order rejected"),
        (4, 2, "five", 201, "Order rejected", ""),
        (5, 29, 756733, "SPY"),
        (101, 756733),
        (62,),
    ],
    ids=lambda message: f"{message[0]}-{len(message)}",
)
def test_an_odd_message_about_orders_is_put_aside_and_the_session_lives(
    message: tuple[object, ...],
) -> None:
    """What it said is read again, and nothing is opened in what it was about (D22)."""

    async def scenario() -> None:
        async with toy_gateway() as gateway:
            driver = LinkDriver()
            await driver.open(gateway.port)
            gateway.say(frame(*message))
            waiting = driver.post(Probe(**driver.header()))
            await asyncio.sleep(0.05)
            gateway.say(frame(49, 1, 1_772_463_600))

            assert isinstance(await waiting, Probed)
            assert driver.of(EXECUTOR, ExecutionReported) == []
            ((event, facts),) = driver.logged
            assert event == "message_quarantined"
            odd = odd_message([str(field) for field in message])
            unsure = [each.con_id for each in driver.of(RISK, ContractUnsure)]
            assert unsure == ([odd.con_id] if odd.concerns_trading and odd.con_id else [])
            asked = driver.of(CONNECTION, RequestReconciliation)
            wants = odd.concerns_trading and not odd.is_answer
            assert len(asked) == int(wants)
            assert facts["kind"] == odd.kind
            driver.actor.abandoned()

    run(scenario)


def test_the_same_odd_message_has_the_state_read_once() -> None:
    async def scenario() -> None:
        async with toy_gateway() as gateway:
            driver = LinkDriver()
            await driver.open(gateway.port)
            gateway.say(frame(*_with(POSITION, 14, "nan")) * 3)
            await driver.until(lambda: len(driver.logged) == 3)

            assert len(driver.of(CONNECTION, RequestReconciliation)) == 1
            driver.actor.abandoned()

    run(scenario)


def test_an_execution_in_a_zone_that_nobody_knows_is_kept() -> None:
    async def scenario() -> None:
        async with toy_gateway() as gateway:
            driver = LinkDriver()
            await driver.open(gateway.port)
            gateway.say(frame(*_with(EXECUTION, 15, "20260302 10:00:00 Mars/Olympus")))
            (report,) = await driver.until(lambda: driver.of(EXECUTOR, ExecutionReported))

            assert report.execution.executed_at is None
            assert report.execution.price == 600.5
            driver.actor.abandoned()

    run(scenario)


@pytest.mark.parametrize(
    "message",
    [(1, 6, 1_000_000_000, 1), (46, 6, "x", 45, "1"), (17, 1_000_000_000, "a", "b", 3, 1), (10, 7)],
)
def test_undecodable_data_is_counted_and_reported_and_the_session_lives(
    message: tuple[object, ...],
) -> None:
    async def scenario() -> None:
        async with toy_gateway() as gateway:
            driver = LinkDriver()
            await driver.open(gateway.port)
            gateway.say(frame(*message))
            waiting = driver.post(Probe(**driver.header()))
            await asyncio.sleep(0.05)
            gateway.say(frame(49, 1, 1_772_463_600))
            reply = await waiting

            assert isinstance(reply, Probed)
            assert [event for event, _ in driver.logged] == ["message_quarantined"]
            driver.actor.abandoned()

    run(scenario)


def test_however_much_is_odd_only_broken_framing_ends_the_session() -> None:
    async def scenario() -> None:
        async with toy_gateway() as gateway:
            driver = LinkDriver()
            await driver.open(gateway.port)
            gateway.say(frame(46, 6, "x", 45, "1") * 500)
            waiting = driver.post(Probe(**driver.header()))
            await asyncio.sleep(0.05)
            gateway.say(frame(49, 1, 1_772_463_600))

            assert isinstance(await waiting, Probed)
            assert driver.actor.sessions.undecodable_count == 500
            driver.actor.abandoned()

    run(scenario)


def test_messages_that_we_have_no_use_for_are_skipped() -> None:
    async def scenario() -> None:
        async with toy_gateway() as gateway:
            driver = LinkDriver()
            await driver.open(gateway.port)
            gateway.say(frame(108, "whatever") + frame(999, 1) + frame(107, 1, "") + frame(81))
            waiting = driver.post(Probe(**driver.header()))
            await asyncio.sleep(0.05)
            gateway.say(frame(49, 1, 1_772_463_600))

            assert isinstance(await waiting, Probed)
            assert driver.logged == []
            driver.actor.abandoned()

    run(scenario)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xff\xff\xff" + b"x" * 100,
        b"\0\0\0\0",
        b"\0\0\0\4abcd",
        frame("order", 1),
        b"\x7f\xff\xff\xff",
        random.Random(7).randbytes(4096),
    ],
    ids=["absurd", "empty", "no-nul", "no-number", "2GiB", "noise"],
)
def test_bytes_that_are_no_messages_end_the_session(garbage: bytes) -> None:
    async def scenario() -> None:
        async with toy_gateway() as gateway:
            driver = LinkDriver()
            await driver.open(gateway.port)
            gateway.say(garbage)

            assert (await _ended(driver)).cause is DisconnectCause.LINK_FAILED

    run(scenario)


@pytest.mark.parametrize(
    ("accounts", "next_id"), [("", "1"), ("DU1", "one"), ("DU1", "")], ids=repr
)
def test_a_handshake_that_makes_no_sense_fails(accounts: str, next_id: str) -> None:
    async def scenario() -> None:
        async with toy_gateway(accounts, next_id) as gateway:
            driver = LinkDriver()
            error = await driver.failure(
                OpenSession(
                    **driver.header(0.3),
                    host="127.0.0.1",
                    port=gateway.port,
                    client_id=1,
                    readonly=False,
                )
            )

            assert isinstance(error, GatewayError)
            assert error.retryable

    run(scenario)


def test_an_answer_without_end_fails_its_request() -> None:
    async def scenario() -> None:
        async with toy_gateway() as gateway:
            driver = LinkDriver(LinkSettings(max_items_per_answer=100))
            await driver.open(gateway.port)
            waiting = driver.post(
                QualifyContract(**driver.header(), query=ContractQuery(symbol="SPY"))
            )
            await asyncio.sleep(0.05)
            details = frame(
                *(10, 1_000_000_000, "SPY", "STK", "", 0, "", "SMART", "USD", "SPY", "SPY"),
                *("SPY", 756733, 0.01, "", "", "", 1, 0, "SPY", "ARCA", "", "", "", "", "", "", ""),
                *("", "", 0, 1, "", "", "", "", "COMMON", 1, 1, 100),
            )
            gateway.say(details * 200)
            reply = await waiting

            assert "more than 100 parts" in str(reply)
            driver.actor.abandoned()

    run(scenario)


def test_random_bytes_never_hang_and_never_fail_the_actor() -> None:
    async def scenario() -> None:
        for seed in range(40):
            rng = random.Random(seed)
            async with toy_gateway() as gateway:
                driver = LinkDriver()
                await driver.open(gateway.port)
                message = [str(field) for field in rng.choice((EXECUTION, STATUS, POSITION))]
                for _ in range(rng.randint(1, 3)):
                    message[rng.randrange(len(message))] = rng.choice(
                        ["", "x", "-1", "1e309", "99999999999999999999", "\u2028", "nan", "0"]
                    )
                gateway.say(frame(*message) + rng.randbytes(rng.randint(0, 40)))
                error = await driver.failure(Probe(**driver.header(0.05)))

                assert isinstance(error, GatewayError), seed
                kinds = [type(report).__name__ for report in driver.reports]
                assert "ActorFailed" not in kinds, (seed, driver.reports)
                driver.actor.abandoned()

    run(scenario)


# --- frames -----------------------------------------------------------------------------------------------------------


def test_messages_come_out_whole_however_the_bytes_are_cut() -> None:
    data = frame(1, "a") + frame(2, "ü€") + frame(3)
    for size in range(1, len(data)):
        buffer = FrameBuffer(1000)
        found = []
        for begin in range(0, len(data), size):
            buffer.feed(data[begin : begin + size])
            found += list(buffer.messages())

        assert found == [["1", "a"], ["2", "ü€"], ["3"]]


def test_the_longest_message_passes_and_one_byte_more_does_not() -> None:
    buffer = FrameBuffer(8)
    buffer.feed(frame("1234567"))
    assert list(buffer.messages()) == [["1234567"]]

    buffer.feed(frame("12345678"))
    with pytest.raises(FrameError, match="1 to 8 bytes"):
        list(buffer.messages())


@pytest.mark.req("GW-12")
def test_half_a_message_and_a_closed_socket_end_the_session() -> None:
    async def scenario() -> None:
        async with toy_gateway() as gateway:
            driver = LinkDriver()
            await driver.open(gateway.port)
            waiting = driver.post(Probe(**driver.header()))
            gateway.say(frame(*EXECUTION)[:20])
            await asyncio.sleep(0.05)
            assert gateway._writer is not None
            gateway._writer.close()
            ended = await _ended(driver)
            reply = await waiting

            assert ended.cause is DisconnectCause.SOCKET_CLOSED
            assert GatewayConnectionError.__name__ in str(reply)

    run(scenario)
