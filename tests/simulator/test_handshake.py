"""The handshake, versions, client ids and what is pushed first."""

from __future__ import annotations

import asyncio

import pytest

from supervision.simulator import Limits

from .wire import gateway, open_wire, order, run


@pytest.mark.req("SIM-1")
@pytest.mark.parametrize(
    ("offered", "expected"),
    [("v157..176", 176), ("v157..178", 176), ("v100..157", 157), ("v100..225", 176), ("v160", 160)],
)
def test_version_is_the_lower_of_the_two_maxima(offered: str, expected: int) -> None:
    async def body() -> int:
        async with gateway() as simulator:
            return (await open_wire(simulator.port, version=offered)).version

    assert run(body) == expected


@pytest.mark.req("SIM-1")
def test_client_below_the_oldest_version_is_closed() -> None:
    async def body() -> bool:
        async with gateway() as simulator:
            reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
            writer.write(b"API\x00\x00\x00\x00\x09v100..150")
            data = await reader.read()
            writer.close()
            return data[4:7] == b"150"

    assert run(body)


@pytest.mark.req("SIM-1")
def test_greeting_is_accounts_then_order_id_then_notices() -> None:
    async def body() -> list[list[str]]:
        async with gateway(account="DU7") as simulator:
            return (await open_wire(simulator.port)).greeting

    greeting = run(body)

    assert greeting[:2] == [["15", "1", "DU7"], ["9", "1", "1"]]
    assert [message[3] for message in greeting[2:]] == ["2104", "2106", "2158"]
    assert all(len(message) == 6 for message in greeting[2:])


@pytest.mark.req("SIM-1")
def test_error_has_five_fields_at_157_and_six_at_176() -> None:
    async def body() -> tuple[int, int]:
        async with gateway() as simulator:
            old = await open_wire(simulator.port, 1, "v100..157")
            new = await open_wire(simulator.port, 2)
            return len(old.greeting[-1]), len(new.greeting[-1])

    assert run(body) == (5, 6)


@pytest.mark.req("SIM-1")
def test_nothing_is_sent_between_version_and_start() -> None:
    async def body() -> bytes:
        async with gateway() as simulator:
            reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
            writer.write(b"API\x00\x00\x00\x00\x09v157..176")
            await reader.readexactly(4 + int.from_bytes(await reader.readexactly(4), "big") - 4)
            try:
                async with asyncio.timeout(2):
                    return await reader.read(1)
            except TimeoutError:
                return b""
            finally:
                writer.close()

    assert run(body) == b""


@pytest.mark.req("SIM-2")
def test_second_holder_of_a_client_id_gets_326_and_is_closed_later() -> None:
    async def body() -> tuple[tuple[int, int, str], float, tuple[int, ...]]:
        async with gateway() as simulator:
            await open_wire(simulator.port, 5)
            second = await open_wire(simulator.port, 5, ready=False)
            error = await second.error()
            before_s = simulator.loop.time()
            assert await second.closed()
            return error, simulator.loop.time() - before_s, simulator.client_ids()

    error, waited_s, client_ids = run(body)

    assert error[:2] == (-1, 326)
    assert waited_s == pytest.approx(0.7, abs=0.1)
    assert client_ids == (5,)


@pytest.mark.req("SIM-2")
def test_client_id_is_free_again_after_a_disconnect() -> None:
    async def body() -> int:
        async with gateway() as simulator:
            first = await open_wire(simulator.port, 5)
            first.close()
            await asyncio.sleep(0.1)
            return (await open_wire(simulator.port, 5)).next_id

    assert run(body) == 1


@pytest.mark.req("SIM-6")
def test_no_more_clients_than_the_limit() -> None:
    async def body() -> tuple[int, bool]:
        async with gateway(limits=Limits(clients=2)) as simulator:
            await open_wire(simulator.port, 1)
            await open_wire(simulator.port, 2)
            third = await open_wire(simulator.port, 3, ready=False)
            closed = await third.closed()
            return len(simulator.client_ids()), closed

    assert run(body) == (2, True)


@pytest.mark.req("SIM-2")
def test_live_orders_come_before_everything_on_reconnect() -> None:
    async def body() -> list[str]:
        async with gateway() as simulator:
            wire = await open_wire(simulator.port, 3)
            wire.send(*order(9, "BUY", 10, "LMT", limit=500))
            await wire.until("3")
            wire.close()
            await asyncio.sleep(0.1)
            again = await open_wire(simulator.port, 3)
            assert again.next_id == 10
            return [message[0] for message in again.greeting]

    assert run(body) == ["5", "3", "53", "15", "9", "4", "4", "4"]


@pytest.mark.req("SIM-2")
def test_several_accounts_are_announced_together() -> None:
    async def body() -> list[str]:
        async with gateway(accounts=("DU1", "DU2")) as simulator:
            return (await open_wire(simulator.port)).greeting[0]

    assert run(body) == ["15", "1", "DU1,DU2"]
