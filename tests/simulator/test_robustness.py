"""Nonsense of every kind: it is answered or the socket is closed, and the next client is served."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervision.simulator import Limits, ThreadedSimulator
from supervision.simulator.config import SimulatorConfig

from .wire import gateway, open_wire, order, run, stock

pytestmark = pytest.mark.req("SIM-1")


def frame(*fields: object) -> bytes:
    payload = b"".join(str(field).encode() + b"\x00" for field in fields)
    return len(payload).to_bytes(4, "big") + payload


HELLO = b"API\x00\x00\x00\x00\x09v157..176"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"API\x00\x00\x00\x00\x00",
        b"API\x00\xff\xff\xff\xff",
        b"API\x00\x00\x00\x00\x04beta",
        HELLO + b"\x00\x00\x00\x00",
        HELLO + b"\x01\x00\x00\x00rest",
        HELLO + frame(61, 1),
        HELLO + frame(71, 2),
        HELLO + frame(71, 2, "one", ""),
        HELLO + frame(71, 2, 8, "") + b"\xff\xff\xff\xff",
    ],
)
def test_bad_bytes_close_the_connection_and_the_next_client_is_served(data: bytes) -> None:
    async def body() -> tuple[bool, int]:
        async with gateway() as simulator:
            reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
            writer.write(data)
            try:
                async with asyncio.timeout(60):
                    while await reader.read(4096):
                        pass
                closed = True
            except ConnectionError:
                closed = True
            except TimeoutError:
                closed = False
            writer.close()
            return closed, (await open_wire(simulator.port)).version

    assert run(body) == (True, 176)


def test_half_a_message_is_waited_for() -> None:
    async def body() -> str:
        async with gateway() as simulator:
            wire = await open_wire(simulator.port)
            data = frame(49, 1)
            for index in range(len(data)):
                wire.send_bytes(data[index : index + 1])
                await asyncio.sleep(0.01)
            return (await wire.read())[0]

    assert run(body) == "49"


@pytest.mark.parametrize(
    ("fields", "request_id"),
    [
        (["x"], -1),
        ([""], -1),
        ([1, 11], -1),
        ([1, 11, "five"], -1),
        ([1, 11, 5, *stock()[:6]], 5),
        ([1, 11, 5, *stock(), 0, "", "maybe", 0, ""], 5),
        ([9, 8, 6, "abc", *stock()[1:], 0, "", "", ""], 6),
        ([9, 8, 6, "9" * 30, *stock()[1:], 0, "", "", ""], 6),
        ([20, 7, *stock(), 0, "", "1 min", "60 S", "x", "TRADES", 1, 0, ""], 7),
        ([7, 3, 8], 8),
        ([3, 9, *stock()], 9),
        ([4, 1, "nine"], -1),
        ([91, "rule"], -1),
    ],
)
def test_malformed_request_gets_320(fields: list[object], request_id: int) -> None:
    async def body() -> tuple[int, int, str]:
        async with gateway() as simulator:
            wire = await open_wire(simulator.port)
            wire.send(*fields)
            return await wire.error()

    assert run(body)[:2] == (request_id, 320)


def test_absurd_counts_in_an_order_get_320() -> None:
    fields = order(1)
    fields[90] = 100_000_000
    algorithm = order(2)
    algorithm[83:84] = ["Adaptive", 999_999]

    async def body() -> list[int]:
        async with gateway() as simulator:
            wire = await open_wire(simulator.port)
            wire.send(*fields)
            wire.send(*algorithm)
            return [(await wire.error())[1], (await wire.error())[1]]

    assert run(body) == [320, 320]


def test_order_with_every_optional_block_is_understood() -> None:
    fields = order(1, operator="ME")
    fields[90:91] = [2, 1, "a", 1, 500.0, 756733, "SMART", 0, 3, "o", 1, "20260101", 0, 0]
    fields[83:84] = ["Adaptive", 1, "adaptivePriority", "Normal"]
    fields[77:78] = ["D", "0.5"]

    async def body() -> tuple[str, str]:
        async with gateway() as simulator:
            wire = await open_wire(simulator.port)
            wire.send(*fields)
            await wire.quiet()
            return simulator.ledger[0].outcome, simulator.ledger[0].ext_operator

    assert run(body) == ("accepted", "ME")


def test_unknown_requests_are_skipped() -> None:
    async def body() -> str:
        async with gateway() as simulator:
            wire = await open_wire(simulator.port)
            wire.send(12345, "what", "ever")
            wire.send(-3)
            wire.send(49, 1)
            return (await wire.read())[0]

    assert run(body) == "49"


def test_reader_that_never_reads_is_disconnected_before_memory_grows() -> None:
    async def body() -> tuple[int, int]:
        limits = Limits(write_buffer_bytes=200_000, messages_per_second=0)
        async with gateway(limits=limits) as simulator:
            _reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port, limit=1)
            writer.write(HELLO + frame(71, 2, 8, ""))
            await asyncio.sleep(0.5)
            request = frame(9, 8, 1, 0, "SPY", "OPT", *[""] * 9, 0, "", "", "")
            for _ in range(10):
                writer.write(request)
            await asyncio.sleep(5.0)
            left = len(simulator.client_ids())
            writer.close()
            return left, (await open_wire(simulator.port)).version

    assert run(body) == (0, 176)


def test_burst_never_ends_on_the_chunk_size_of_the_official_clients() -> None:
    async def body() -> list[int]:
        async with gateway() as simulator:
            wire = await open_wire(simulator.port)
            sizes = []
            for filler in range(4096):
                if len(frame("4", "2", "-1", "1", "x" * filler, "")) == 4096:
                    simulator.faults.send_error(1, "x" * filler)
            await asyncio.sleep(0.1)
            while True:
                try:
                    async with asyncio.timeout(0.2):
                        sizes.append(len(await wire.reader.read(65536)))
                except TimeoutError:
                    return sizes

    assert sum(run(body)) % 4096 != 0


FIELD = st.one_of(
    st.sampled_from(
        ["", "0", "1", "-1", "1.5", "SPY", "STK", "OPT", "BUY", "nan", "inf", "1e999", "9" * 30]
    ),
    st.text(max_size=12),
    st.integers().map(str),
)
MESSAGE = st.lists(FIELD, max_size=40)
REQUEST = st.tuples(st.integers(1, 105).map(str), MESSAGE).map(lambda pair: [pair[0], *pair[1]])


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)
@given(
    st.lists(
        st.one_of(
            REQUEST.map(lambda fields: frame(*fields)),
            MESSAGE.map(lambda fields: frame(*fields)),
            st.binary(max_size=60),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_whatever_arrives_the_next_client_is_served(messages: list[bytes]) -> None:
    failures: list[dict[str, object]] = []

    async def body() -> int:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: failures.append(context)
        )
        limits = Limits(messages_per_second=0)
        async with gateway(limits=limits) as simulator:
            first = await open_wire(simulator.port, 1)
            for data in messages:
                first.send_bytes(data)
            await asyncio.sleep(1.0)
            second = await open_wire(simulator.port, 2)
            second.send(49, 1)
            await second.until("49")
            return len(simulator.ledger)

    run(body)

    assert failures == []


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(0, 114), FIELD), min_size=1, max_size=4),
    st.integers(1, 115),
)
def test_every_broken_order_is_in_the_ledger_and_harms_nothing(
    changes: list[tuple[int, str]], length: int
) -> None:
    fields = order(1, "BUY", 10, "LMT", limit=500)
    for index, value in changes:
        fields[index] = value
    fields = ["3", *fields[1:length]]
    failures: list[dict[str, object]] = []

    async def body() -> list[str]:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: failures.append(context)
        )
        async with gateway() as simulator:
            wire = await open_wire(simulator.port)
            wire.send(*fields)
            await wire.quiet(0.1)
            return [entry.outcome for entry in simulator.ledger]

    outcomes = run(body)

    assert failures == []
    assert len(outcomes) == 1
    assert outcomes[0] != "received"


def test_many_clients_may_come_and_go() -> None:
    async def body(port: int) -> None:
        for client_id in range(40):
            wire = await open_wire(port, client_id)
            wire.close()

    threaded = ThreadedSimulator(SimulatorConfig())
    port = threaded.start()
    try:
        asyncio.run(body(port))
    finally:
        threaded.stop()
