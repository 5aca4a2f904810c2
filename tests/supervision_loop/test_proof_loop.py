"""Time, order and endings on the virtual loop."""

from __future__ import annotations

import asyncio
import struct
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from ib_insync import IB, util

from supervision.proof.loop import Proof, ProofDeadlockError, run_proof
from supervision.proof.time import EPOCH
from supervision.proof.wire import WINDOW_BYTES

DAY_S = 24 * 3600.0
REAL_LIMIT_S = 5.0

Session = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def frame(*fields: object) -> bytes:
    """Make one message of IB's protocol: a length, then fields that end in NUL."""
    body = b"".join(str(field).encode() + b"\0" for field in fields)
    return struct.pack(">I", len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """Read one message, without its length."""
    (length,) = struct.unpack(">I", await reader.readexactly(4))
    return await reader.readexactly(length)


async def handshake(
    proof: Proof, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Let a client in, with a virtual delay before each answer."""
    await reader.readexactly(4)
    await read_frame(reader)
    await asyncio.sleep(proof.entropy.uniform(0.01, 2.0))
    writer.write(frame(176, "20251121 10:00:00 EST"))
    await read_frame(reader)
    await asyncio.sleep(proof.entropy.uniform(0.01, 2.0))
    writer.write(frame(15, 1, "DU1234567") + frame(9, 1, 1))


async def serve(session: Session) -> tuple[asyncio.Server, int]:
    """Listen on a free port; give the server and the port."""

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await session(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


@pytest.mark.req("SUP-11")
def test_a_day_of_timers_passes_in_real_moments() -> None:
    async def scenario(proof: Proof) -> int:
        beats = 0
        while proof.loop.time() < DAY_S:
            await asyncio.sleep(30.0)
            beats += 1
        assert proof.clock.now() == EPOCH + timedelta(seconds=DAY_S)
        return beats

    started = time.perf_counter()
    beats = run_proof(scenario, seed=1)
    took_s = time.perf_counter() - started

    assert beats == DAY_S / 30
    assert took_s < REAL_LIMIT_S


@pytest.mark.req("SUP-11")
def test_time_stands_still_while_bytes_are_under_way() -> None:
    async def scenario(proof: Proof) -> list[float]:
        arrivals: list[float] = []

        async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.read(1000):
                arrivals.append(proof.loop.time())
            writer.close()

        _, port = await serve(session)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(b"x")
            await asyncio.sleep(1.0)
        return arrivals

    assert run_proof(scenario, seed=1) == [0.0, 1.0, 2.0]


@pytest.mark.req("SUP-11")
def test_many_single_bytes_and_large_writes_cross_in_order() -> None:
    sent = b"".join(bytes([n % 251]) for n in range(4 * WINDOW_BYTES))

    async def scenario(proof: Proof) -> bytes:
        received = bytearray()

        async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(5.0)  # lets the window fill
            while chunk := await reader.read(7919):
                received.extend(chunk)
            writer.close()

        _, port = await serve(session)
        _, writer = await asyncio.open_connection("localhost", port)
        for n in range(WINDOW_BYTES):
            writer.write(sent[n : n + 1])
        writer.write(sent[WINDOW_BYTES:])
        await writer.drain()
        writer.close()
        await asyncio.sleep(60.0)
        return bytes(received)

    assert run_proof(scenario, seed=1) == sent


@pytest.mark.req("SUP-11")
def test_a_thousand_reconnects_of_the_real_client_library() -> None:
    async def scenario(proof: Proof) -> tuple[int, float]:
        async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await handshake(proof, reader, writer)
            await reader.read()
            writer.close()

        assert util.getLoop() is proof.loop  # type: ignore[no-untyped-call]  # ib_insync has no types
        _, port = await serve(session)
        accounts = 0
        ib: Any = IB()  # type: ignore[no-untyped-call]  # ib_insync has no types
        for _ in range(1000):
            await ib.client.connectAsync("127.0.0.1", port, 1, timeout=10.0)
            accounts += len(ib.client.getAccounts())
            ib.client.disconnect()
            await asyncio.sleep(1.0)
        return accounts, proof.loop.time()

    accounts, virtual_s = run_proof(scenario, seed=3)

    assert accounts == 1000
    assert virtual_s > 1000.0


@pytest.mark.req("SUP-11")
def test_one_seed_gives_one_trace_under_random_drops() -> None:
    traces = {run_proof(_drops, seed=11) for _ in range(10)}

    assert len(traces) == 1
    assert run_proof(_drops, seed=12) not in traces


async def _drops(proof: Proof) -> tuple[tuple[float, str], ...]:
    """Let five clients send to a server that closes or aborts at seeded moments; write down what each end sees."""
    trace: list[tuple[float, str]] = []

    def note(text: str) -> None:
        trace.append((proof.loop.time(), text))

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        timer = proof.loop.call_later(
            proof.entropy.uniform(0.0, 3.0),
            writer.transport.abort if proof.entropy.uniform(0, 1) < 0.5 else writer.close,
        )
        while chunk := await reader.read(100_000):
            note(f"server read {len(chunk)}")
            writer.write(chunk[: len(chunk) // 2])
        timer.cancel()
        note("server saw the end")
        writer.close()

    _, port = await serve(session)

    async def listen(name: int, reader: asyncio.StreamReader) -> None:
        try:
            while chunk := await reader.read(100_000):
                note(f"client {name} read {len(chunk)}")
            note(f"client {name} saw the end")
        except ConnectionError as error:
            note(f"client {name}: {error}")

    async def client(name: int) -> None:
        while proof.loop.time() < 20.0:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            listener = asyncio.create_task(listen(name, reader), name=f"listener {name}")
            while not listener.done():
                writer.write(b"z" * int(proof.entropy.uniform(1, 3 * WINDOW_BYTES)))
                await asyncio.sleep(proof.entropy.uniform(0.0, 0.5))
            writer.transport.abort()

    await asyncio.gather(*(client(name) for name in range(5)))
    return tuple(trace)


@pytest.mark.req("SUP-11")
def test_a_silent_peer_lets_time_go_on() -> None:
    async def scenario(proof: Proof) -> float:
        async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            reader._transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's own
            await asyncio.sleep(1000.0)

        _, port = await serve(session)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"anybody?")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), timeout=10.0)
        return proof.loop.time()

    assert run_proof(scenario, seed=1) == 10.0


@pytest.mark.req("SUP-11")
def test_a_port_where_nothing_listens_refuses_at_once() -> None:
    async def scenario(proof: Proof) -> int:
        async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server, port = await serve(session)
        await (await asyncio.open_connection("127.0.0.1", port))[0].read()
        server.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        again = await asyncio.start_server(session, "127.0.0.1", port)
        reader, _ = await asyncio.open_connection("127.0.0.1", port)
        again.close()
        return len(await reader.read())

    assert run_proof(scenario, seed=1) == 0


@pytest.mark.req("SUP-11")
def test_closing_with_bytes_unread_resets_the_peer() -> None:
    async def scenario(proof: Proof) -> str:
        async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            reader._transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's own
            await asyncio.sleep(1.0)
            writer.transport.abort()

        _, port = await serve(session)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(0.5)
        writer.write(b"never read")
        try:
            await reader.read()
        except ConnectionResetError:
            return "reset"
        return "ended"

    assert run_proof(scenario, seed=1) == "reset"


def test_a_half_closed_stream_still_carries_the_answer() -> None:
    async def scenario(proof: Proof) -> bytes:
        async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            question = await reader.read()
            await asyncio.sleep(3.0)
            writer.write(question.upper())
            writer.close()

        _, port = await serve(session)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"flat?")
        writer.write_eof()
        return await reader.read()

    assert run_proof(scenario, seed=1) == b"FLAT?"


def test_a_standstill_is_an_error_that_names_who_waits_and_the_seed() -> None:
    async def scenario(proof: Proof) -> None:
        await asyncio.sleep(2.0)
        await proof.loop.create_future()

    with pytest.raises(ProofDeadlockError, match=r"at 2\.0 s") as caught:
        run_proof(scenario, seed=99)

    assert "scenario" in str(caught.value)
    assert "seed 99" in caught.value.__notes__[0]


def test_blocking_work_runs_inline_and_its_error_reaches_the_caller() -> None:
    async def scenario(proof: Proof) -> int:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return await asyncio.to_thread(threading.get_ident)

    assert run_proof(scenario, seed=1) == threading.get_ident()


def test_another_thread_may_not_schedule() -> None:
    async def scenario(proof: Proof) -> list[str]:
        errors: list[str] = []

        def intrude() -> None:
            try:
                proof.loop.call_soon_threadsafe(print)
            except RuntimeError as error:
                errors.append(str(error))

        intruder = threading.Thread(target=intrude)
        intruder.start()
        intruder.join()
        return errors

    assert "one thread" in run_proof(scenario, seed=1)[0]


def test_leftover_tasks_and_connections_end_with_the_proof() -> None:
    ended: list[str] = []
    kept: list[object] = []

    async def scenario(proof: Proof) -> None:
        async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.read()
            finally:
                ended.append("session")
                writer.close()

        async def left_over() -> None:
            try:
                await asyncio.sleep(1000)
            finally:
                ended.append("task")

        _, port = await serve(session)
        kept.append(await asyncio.open_connection("127.0.0.1", port))
        kept.append(asyncio.create_task(left_over()))
        await asyncio.sleep(1)

    run_proof(scenario, seed=1)

    assert sorted(ended) == ["session", "task"]
