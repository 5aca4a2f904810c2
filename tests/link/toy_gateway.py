"""A gateway that says exactly the bytes it is told to say: for what a proper gateway never does."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

VERSION = 176


def frame(*fields: object) -> bytes:
    """Make one message."""
    payload = "".join(f"{field}\0" for field in fields).encode()
    return struct.pack(">I", len(payload)) + payload


class ToyGateway:
    """Completes the handshake, swallows requests, and sends raw bytes."""

    def __init__(self, accounts: str = "DU1234567", next_id: str = "1") -> None:
        self.received: list[list[str]] = []
        self.port = 0
        self._accounts = accounts
        self._next_id = next_id
        self._writer: asyncio.StreamWriter | None = None

    def say(self, data: bytes) -> None:
        """Send bytes."""
        assert self._writer is not None
        self._writer.write(data)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak with one client."""
        self._writer = writer
        try:
            assert await reader.readexactly(4) == b"API\0"
            await self._read(reader)
            writer.write(frame(VERSION, "20260302 15:00:00 GMT"))
            await self._read(reader)
            writer.write(frame(15, 1, self._accounts) + frame(9, 1, self._next_id))
            while True:
                self.received.append(await self._read(reader))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    @staticmethod
    async def _read(reader: asyncio.StreamReader) -> list[str]:
        (length,) = struct.unpack(">I", await reader.readexactly(4))
        return (await reader.readexactly(length)).decode().split("\0")


@asynccontextmanager
async def toy_gateway(accounts: str = "DU1234567", next_id: str = "1") -> AsyncIterator[ToyGateway]:
    """Listen until the test ends."""
    gateway = ToyGateway(accounts, next_id)
    server = await asyncio.start_server(gateway.serve, "127.0.0.1", 0)
    gateway.port = server.sockets[0].getsockname()[1]
    async with server:
        yield gateway
