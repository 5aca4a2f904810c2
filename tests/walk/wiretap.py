"""A witness on the wire itself: everything that our side sends to the gateway goes through here and is kept.

It shares no code with either side: it cuts the bytes into messages by IB's framing alone (four bytes of length, fields
that end with NUL, after ``API`` NUL and the offer of versions).
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import attrs

from supervision import IBKRGateway
from supervision.simulator import SimulatorConfig, ThreadedSimulator
from tests.worlds import SIMULATED, a_config

REQ_MARKET_DATA: Final = "1"
PLACE_ORDER: Final = "3"
CANCEL_ORDER: Final = "4"
REQ_CONTRACT_DETAILS: Final = "9"
REQ_HISTORY: Final = "20"
GLOBAL_CANCEL: Final = "58"
TICK_BY_TICK: Final = "97"
REAL_TIME_BARS: Final = "50"
ORDER_MESSAGES: Final = frozenset({PLACE_ORDER, CANCEL_ORDER, GLOBAL_CANCEL})

Fields = list[str]


@attrs.define
class Wiretap:
    """The bytes of each connection, from our side to the gateway's."""

    connections: list[bytearray] = attrs.field(factory=list)

    def messages(self) -> list[Fields]:
        """Cut all connections into messages."""
        return [message for raw in self.connections for message in _messages(bytes(raw))]

    def of_kind(self, *kinds: str) -> list[Fields]:
        """Keep the messages whose number is one of these."""
        return [message for message in self.messages() if message[0] in kinds]


def _messages(raw: bytes) -> list[Fields]:
    assert raw.startswith(b"API\0"), "no handshake of IB's protocol"
    position, found = 4, []
    while position < len(raw):
        (length,) = struct.unpack_from(">I", raw, position)
        payload = raw[position + 4 : position + 4 + length]
        position += 4 + length
        found.append(payload.decode().split("\0")[:-1])
    return found[1:]  # the first is the offer of versions


@attrs.frozen
class TappedWorld:
    """A gateway in reality mode whose wire is tapped."""

    gateway: IBKRGateway
    simulator: ThreadedSimulator
    wire: Wiretap


@asynccontextmanager
async def tapped_world(
    state_dir: Path,
    *,
    mode: str,
    simulated: SimulatorConfig = SIMULATED,
    **sections: Any,
) -> AsyncIterator[TappedWorld]:
    """Set up gateway, wiretap and simulator; nothing is connected yet."""
    simulator = ThreadedSimulator(simulated)
    port = simulator.start()
    wire = Wiretap()
    server = await asyncio.start_server(_forward_to(port, wire), "127.0.0.1", 0)
    config = a_config(**sections)
    config = attrs.evolve(
        config,
        general=attrs.evolve(config.general, state_dir=str(state_dir)),
        gateway=attrs.evolve(
            config.gateway, endpoint="external", port=server.sockets[0].getsockname()[1]
        ),
    )
    gateway = IBKRGateway(config, mode=mode)
    try:
        yield TappedWorld(gateway, simulator, wire)
    finally:
        await gateway.disconnect()
        server.close()
        simulator.stop()


def _forward_to(port: int, wire: Wiretap) -> Any:
    async def forward(ours: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        kept = bytearray()
        wire.connections.append(kept)
        theirs, out = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_copy(ours, out, kept), _copy(theirs, back, bytearray()))

    return forward


async def _copy(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, kept: bytearray
) -> None:
    with suppress(ConnectionError):
        while data := await source.read(65536):
            kept += data
            target.write(data)
            await target.drain()
    target.close()
