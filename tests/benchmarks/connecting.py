"""Connecting on loopback, beside a raw socket that makes the same requests.

The requests are recorded once from our own session, by a relay; the raw client then sends the same bytes one request
after the other and reads each answer to its end marker, without decoding anything.
"""

# mypy: disable-error-code="no-untyped-call"
# ib_insync's methods have no annotations.

from __future__ import annotations

import asyncio
from pathlib import Path
from time import perf_counter_ns

import attrs
from ib_insync import IB

from actors.kernel.addresses import TapRecord
from actors.messages.addresses import CONNECTION, FACADE
from actors.messages.connection import (
    Connect,
    ConnectionStateChanged,
    Disconnect,
    SessionOpened,
)
from supervision import IBKRGateway
from tests.benchmarks.orders import BARE_CLIENT_ID
from tests.benchmarks.server import Server
from tests.benchmarks.table import Row, Summary, summarize
from tests.worlds import a_config

CONNECTIONS = 50
STARTS = 10
WAIT_S = 10.0
AIM = 2.0

_HELLO_BYTES = 4
_START_API = "71"
_DATA_REQUESTS = frozenset({"9", "1"})
_ENDS = {
    "71": "9",
    "7": "55",
    "61": "62",
    "5": "53",
    "16": "53",
    "99": "102",
    "6": "54",
    "9": "52",
    "1": "57",
    "49": "49",
}
"""Request → the message that ends its answer (TWS_WIRE §4)."""


async def measure(core: int | None, state_dir: Path) -> list[Row]:
    """Connect again and again within one running tree, and a few times from nothing."""
    raw, bare, ours, whole = [], [], [], []
    with Server(core) as server:
        requests = await _record(server.port, state_dir / "recorded")
        async with _gateway(server.port, state_dir / "tree") as gateway:
            stages = _Stages(gateway)
            for _ in range(CONNECTIONS):
                await _leave(gateway)
                raw.append(await _raw_ms(server.port, requests))
                bare.append(await _bare_ms(server.port))
                ours.append(await stages.connect_ms())
        for number in range(STARTS):
            whole.append(await _start_ms(server.port, state_dir / f"start-{number}"))
    return _rows(raw, ours, summarize(bare), summarize(whole), len(requests))


@attrs.frozen
class _Moments:
    """Milliseconds since the beginning, of ours and of the raw client alike."""

    opened: float
    reconciled: float
    ready: float


def _rows(
    raw: list[_Moments], ours: list[_Moments], library: Summary, started: Summary, requests: int
) -> list[Row]:
    rows = []
    for stage, what in (
        ("opened", "session opened (median)"),
        ("reconciled", "connected and reconciled (median)"),
        ("ready", "connect, data proved (median)"),
    ):
        floor = summarize([getattr(moments, stage) for moments in raw])
        taken = summarize([getattr(moments, stage) for moments in ours])
        rows.append(
            Row(
                what=what,
                unit="ms",
                floor=floor.median,
                ours=taken.median,
                aim=AIM,
                is_disturbed=floor.is_disturbed,
                note=f"p95 {taken.p95:.1f} ({floor.p95:.1f}), least {taken.least:.1f} ({floor.least:.1f})",
            )
        )
    return [
        *rows,
        Row(
            what="connect, data proved (p95)",
            unit="ms",
            ours=taken.p95,
            aim_value=250.0,
            note=f"{requests} requests; ib_insync's own {library.median:.1f}",
        ),
        Row(
            what="connect, with the start of the tree (median)",
            unit="ms",
            floor=floor.median,
            ours=started.median,
            note=f"p95 {started.p95:.1f}",
        ),
    ]


class _Stages:
    """Says when our side had its session and when it was CONNECTED."""

    def __init__(self, gateway: IBKRGateway) -> None:
        self._gateway = gateway
        self._opened_ns = self._reconciled_ns = 0
        gateway.process.tap(self)

    def __call__(self, record: TapRecord) -> None:
        """Take note of one message."""
        message = record.message
        if type(message) is SessionOpened:
            self._opened_ns = perf_counter_ns()
        elif type(message) is ConnectionStateChanged and record.recipient == FACADE:
            self._reconciled_ns = perf_counter_ns()

    async def connect_ms(self) -> _Moments:
        """Connect, until it is known whether market data answers."""
        began_ns = perf_counter_ns()
        await _connect(self._gateway)
        return _Moments(
            *(
                (at_ns - began_ns) / 1e6
                for at_ns in (self._opened_ns, self._reconciled_ns, perf_counter_ns())
            )
        )


def _gateway(port: int, state_dir: Path) -> IBKRGateway:
    config = a_config()
    return IBKRGateway(
        attrs.evolve(
            config,
            general=attrs.evolve(config.general, state_dir=str(state_dir)),
            gateway=attrs.evolve(config.gateway, endpoint="external", port=port),
        ),
        mode="paper",
    )


async def _connect(gateway: IBKRGateway) -> None:
    await gateway.process.tree.ask_async(
        CONNECTION,
        lambda id_, deadline, reply_to: Connect(
            correlation_id=id_, deadline=deadline, reply_to=reply_to
        ),
        WAIT_S,
    )


async def _leave(gateway: IBKRGateway) -> None:
    await gateway.process.tree.ask_async(
        CONNECTION,
        lambda id_, deadline, reply_to: Disconnect(
            correlation_id=id_, deadline=deadline, reply_to=reply_to
        ),
        WAIT_S,
    )
    await asyncio.sleep(0.02)


async def _start_ms(port: int, state_dir: Path) -> float:
    gateway = _gateway(port, state_dir)
    began = perf_counter_ns()
    await gateway.connect(WAIT_S)
    taken = (perf_counter_ns() - began) / 1e6
    await gateway.disconnect()
    return taken


async def _bare_ms(port: int) -> float:
    ib = IB()
    began = perf_counter_ns()
    await ib.connectAsync("127.0.0.1", port, clientId=BARE_CLIENT_ID)
    taken = (perf_counter_ns() - began) / 1e6
    ib.disconnect()
    await asyncio.sleep(0.01)
    return taken


async def _raw_ms(port: int, requests: list[bytes]) -> _Moments:
    """Say the same, one request after the other, and read each answer to its end.

    The session is open with the last word of the handshake; the world is read before the first request of data.
    """
    began_ns = perf_counter_ns()
    opened_ns = reconciled_ns = 0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(requests[0])
    await _frame(reader)
    for request in requests[1:]:
        number = _number(request[4:])
        if number in _DATA_REQUESTS and not reconciled_ns:
            reconciled_ns = perf_counter_ns()
        writer.write(request)
        end = _ENDS.get(number)
        while end is not None and _number(await _frame(reader)) != end:
            pass
        if number == _START_API:
            opened_ns = perf_counter_ns()
    ready_ns = perf_counter_ns()
    writer.close()
    await asyncio.sleep(0.01)
    return _Moments(*((at_ns - began_ns) / 1e6 for at_ns in (opened_ns, reconciled_ns, ready_ns)))


async def _record(port: int, state_dir: Path) -> list[bytes]:
    """Connect through a relay and keep every message that our side sends until it is connected."""
    sent: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", port)
        answers = asyncio.create_task(_copy(back, writer))
        try:
            head = await reader.readexactly(_HELLO_BYTES)
            while True:
                payload = await _frame(reader)
                message = head + len(payload).to_bytes(4, "big") + payload
                head = b""
                sent.append(message)
                forth.write(message)
        except asyncio.IncompleteReadError:
            forth.close()
            await answers

    relay = await asyncio.start_server(serve, "127.0.0.1", 0)
    gateway = _gateway(relay.sockets[0].getsockname()[1], state_dir)
    await gateway.connect(WAIT_S)
    requests = list(sent)
    await gateway.disconnect()
    relay.close()
    return requests


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))


def _number(payload: bytes) -> str:
    return payload.partition(b"\0")[0].decode()
