"""A bare client for tests, written from the protocol and not from the gateway's own code.

Also a loop whose time jumps ahead whenever nothing is ready, so that a test of minutes takes
milliseconds.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from supervision.simulator import Simulator, SimulatorConfig

T = TypeVar("T")
START = dt.datetime(2026, 3, 4, 15, 30, 20, tzinfo=dt.UTC)
SPY = 756733
_GRACE_S = 0.002
_kept: list[Wire] = []
"""A stream writer that nobody holds closes its connection, so the test's wires are held here."""


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.time_s = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        ready = super().select(_GRACE_S)
        if not ready:
            self.time_s += 0.0 if timeout is None else timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer when nothing is ready."""

    def __init__(self) -> None:
        self.jumping = _JumpingSelector()
        super().__init__(self.jumping)

    def time(self) -> float:
        return self.jumping.time_s


def run(body: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a test's coroutine in virtual time, for at most an hour of it."""

    async def bounded() -> T:
        return await asyncio.wait_for(body(), 3600.0)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        try:
            return runner.run(bounded())
        finally:
            _kept.clear()


def virtual_now() -> dt.datetime:
    """The wall clock that goes with the running virtual loop."""
    return START + dt.timedelta(seconds=asyncio.get_running_loop().time() - 1000.0)


class Wire:
    """One connection to a gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.version = 0
        self.next_id = 0
        self.greeting: list[list[str]] = []
        self.raw = bytearray()

    def send_bytes(self, data: bytes) -> None:
        self.writer.write(data)

    def send(self, *fields: object) -> None:
        payload = b"".join(str(field).encode() + b"\x00" for field in fields)
        self.send_bytes(len(payload).to_bytes(4, "big") + payload)

    async def read(self, timeout_s: float = 30.0) -> list[str]:
        async with asyncio.timeout(timeout_s):
            header = await self.reader.readexactly(4)
            payload = await self.reader.readexactly(int.from_bytes(header, "big"))
        self.raw += header + payload
        assert payload[-1:] == b"\x00"
        return payload[:-1].decode().split("\x00")

    async def read_or_end(self) -> list[str] | None:
        """Read a message; `None` when the connection ends instead."""
        try:
            return await self.read()
        except asyncio.IncompleteReadError:
            return None

    async def until(self, message_id: str, timeout_s: float = 30.0) -> list[list[str]]:
        """Read up to and including the first message of a kind."""
        seen: list[list[str]] = []
        async with asyncio.timeout(timeout_s):
            while True:
                seen.append(await self.read(timeout_s))
                if seen[-1][0] == message_id:
                    return seen

    async def quiet(self, wait_s: float = 0.3) -> list[list[str]]:
        """Read whatever comes until nothing has come for a while."""
        seen: list[list[str]] = []
        while True:
            try:
                seen.append(await self.read(wait_s))
            except TimeoutError:
                return seen

    async def error(self, timeout_s: float = 30.0) -> tuple[int, int, str]:
        """Read up to the next error: id, code, text."""
        message = (await self.until("4", timeout_s))[-1]
        return int(message[2]), int(message[3]), message[4]

    async def closed(self, timeout_s: float = 30.0) -> bool:
        """Whether the gateway closes the connection."""
        try:
            async with asyncio.timeout(timeout_s):
                while await self.reader.read(65536):
                    pass
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True

    def close(self) -> None:
        self.writer.close()


async def open_wire(
    port: int, client_id: int = 1, version: str = "v157..176", *, ready: bool = True
) -> Wire:
    """Connect and, unless told otherwise, wait until the greeting is complete."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    wire = Wire(reader, writer)
    _kept.append(wire)
    text = version.encode()
    wire.send_bytes(b"API\x00" + len(text).to_bytes(4, "big") + text)
    wire.version = int((await wire.read())[0])
    wire.send(71, 2, client_id, "")
    if ready:
        wire.greeting = await wire.until("9")
        wire.next_id = int(wire.greeting[-1][2])
        for _ in range(3):
            wire.greeting += await wire.until("4")
    return wire


@asynccontextmanager
async def gateway(**settings: Any) -> AsyncIterator[Simulator]:
    """A started gateway in the running virtual loop."""
    simulator = Simulator(SimulatorConfig(**settings), now=virtual_now)
    await simulator.start()
    try:
        yield simulator
    finally:
        await simulator.stop()


def stock(symbol: str = "SPY", con_id: int = 0, currency: str = "USD") -> list[object]:
    """The twelve contract fields of a stock."""
    return [con_id, symbol, "STK", "", "0.0", "", "", "SMART", "", currency, "", ""]


def option(expiry: str, strike: float, right: str, symbol: str = "SPY") -> list[object]:
    """The twelve contract fields of an option."""
    return [0, symbol, "OPT", expiry, strike, right, "100", "SMART", "", "USD", "", ""]


def order(
    order_id: int,
    action: str = "BUY",
    quantity: object = 100,
    kind: str = "MKT",
    *,
    limit: object = "",
    stop: object = "",
    tif: str = "DAY",
    account: str = "",
    ref: str = "",
    transmit: int = 1,
    parent: int = 0,
    what_if: int = 0,
    operator: str = "",
    contract: list[object] | None = None,
    oca: str = "",
    version: int = 176,
) -> list[object]:
    """A PLACE_ORDER with the values one of the clients sends for what is not given."""
    head: list[object] = [3, order_id, *(contract or stock()), "", "", action, quantity, kind]
    body: list[object] = [
        *[limit, stop, tif, oca, account, "O", 0, ref, transmit, parent],
        *[0, 0, 0, 0, 0, 0],
        *["", "0.0", "", "", "", "", "", "", "", 0, "", -1, 0, "", "", 0, "", "", 0, 0, "", 0],
        *["", "", "", "", "", 0, "", "", "", "", 0, "", "", "", "", "", "", "", "", "", ""],
        *[0, "", "", 0, 0, "", "", what_if, "", 0, 0, 0, 0, "", "", "", "", "", "", 0, operator],
        *["", "", "", "", "", "", "", 0, 0, 0, 0],
    ]
    tail: list[object] = ["", "", 0, "", ""]
    message = head + body
    return message + tail if version >= 170 else message
