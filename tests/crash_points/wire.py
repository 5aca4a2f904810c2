"""A wire between us and the gateway that counts whole messages, and kills us at the n-th in a direction."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable

import attrs

from tests.crash_points.points import Kind

_GREETING = b"API\0"
_LENGTH = struct.Struct(">I")

Step = Callable[[Kind], bool]
"""Hears of each step of a message; True: our process is dead now."""


async def _whole_message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(_LENGTH.size)
    return head + await reader.readexactly(_LENGTH.unpack(head)[0])


@attrs.define
class Wire:
    """Listens for our process and passes its messages on, one by one."""

    gateway_port: int
    on_step: Step
    _server: asyncio.Server | None = None
    _passing: set[asyncio.Task[None]] = attrs.field(factory=set)

    async def start(self) -> int:
        """Listen; returns the port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """End everything."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._passing):
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", self.gateway_port)
        greeting = asyncio.ensure_future(reader.readexactly(len(_GREETING)))
        task = asyncio.ensure_future(self._both(reader, writer, theirs, ours, greeting))
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    async def _both(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        theirs: asyncio.StreamReader,
        ours: asyncio.StreamWriter,
        greeting: Awaitable[bytes],
    ) -> None:
        """Pass both directions on until one ends; then the other has ended too."""

        async def outbound() -> None:
            ours.write(await greeting)
            while True:
                message = await _whole_message(reader)
                if self.on_step(Kind.SENDING):
                    return
                is_dead = self.on_step(Kind.SENT)
                ours.write(message)
                await ours.drain()
                if is_dead:
                    return

        async def inbound() -> None:
            while True:
                message = await _whole_message(theirs)
                if self.on_step(Kind.RECEIVING):
                    return
                writer.write(message)
                await writer.drain()

        ways = [asyncio.ensure_future(outbound()), asyncio.ensure_future(inbound())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (ours, writer):
                end.close()
