"""A gateway that cannot be trusted: an honest one behind a relay that spoils a message, and frames from nowhere."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import attrs
from hypothesis import strategies as st

Fields = list[bytes]
Spoil = Callable[[Fields], bytes]
"""From the fields of an honest message to the bytes that are sent instead."""

MAX_FRAME_BYTES = 65_536

NONSENSE = (
    b"",
    b"x",
    b"nan",
    b"inf",
    b"-inf",
    b"-1",
    b"1e400",
    b"9" * 30,
    b"-" + b"9" * 5000,
    b"1.7976931348623157E308",
    b"0x10",
    b"\xff\xfe\xc0",
    "\u2028\U0001f4a9".encode(),
    b"1_000",
    b" 1",
    b"2147483648",
)
"""Texts in the place of a field: no number, no finite one, too large, or no UTF-8."""


def framed(fields: Sequence[bytes]) -> bytes:
    """Make one message."""
    payload = b"".join(field + b"\0" for field in fields)
    return struct.pack(">I", len(payload)) + payload


@attrs.frozen
class Spoiled:
    """One way to spoil a message, with a name for the failure's text."""

    name: str
    spoil: Spoil

    def __repr__(self) -> str:
        """Show the name."""
        return self.name


def _replace(place: int, text: bytes) -> Spoiled:
    def spoil(fields: Fields) -> bytes:
        at = place % len(fields)
        return framed([*fields[:at], text, *fields[at + 1 :]])

    return Spoiled(f"replace({place}, {text[:20]!r})", spoil)


def _drop(place: int) -> Spoiled:
    def spoil(fields: Fields) -> bytes:
        at = place % len(fields)
        return framed([*fields[:at], *fields[at + 1 :]])

    return Spoiled(f"drop({place})", spoil)


def _insert(place: int, text: bytes) -> Spoiled:
    def spoil(fields: Fields) -> bytes:
        at = place % (len(fields) + 1)
        return framed([*fields[:at], text, *fields[at:]])

    return Spoiled(f"insert({place}, {text[:20]!r})", spoil)


def _cut(share: float) -> Spoiled:
    def spoil(fields: Fields) -> bytes:
        whole = framed(fields)
        return whole[: int(len(whole) * share)]

    return Spoiled(f"cut({share:.2f})", spoil)


def _before(garbage: bytes) -> Spoiled:
    return Spoiled(f"before({garbage[:20]!r})", lambda fields: garbage + framed(fields))


PLACES = st.integers(0, 130)
SPOILED = st.one_of(
    st.builds(_replace, PLACES, st.sampled_from(NONSENSE)),
    st.builds(_drop, PLACES),
    st.builds(_insert, PLACES, st.sampled_from(NONSENSE)),
    st.builds(_cut, st.floats(0.0, 0.99)),
    st.builds(_before, st.binary(min_size=1, max_size=40)),
    st.just(Spoiled("swallow", lambda _: b"")),
    st.just(Spoiled("no-nul", lambda fields: struct.pack(">I", 3) + b"abc")),
    st.just(Spoiled("2 GiB", lambda _: b"\x7f\xff\xff\xff" + b"x" * 1000)),
)
"""Every way in which one message of a valid session is spoiled."""


@attrs.frozen
class Target:
    """The message to spoil: the how-manieth, of one kind or of all."""

    nth: int
    kind: bytes | None = None


class Relay:
    """Stands between a link and a gateway, and spoils one message of those that the gateway says."""

    def __init__(self, port: int, spoiled: Spoiled) -> None:
        self.port = 0
        self.hit: Fields | None = None
        self._gateway_port = port
        self._spoiled = spoiled
        self._kind: bytes | None = None
        self._left = 0

    def aim(self, target: Target) -> None:
        """Spoil a message that is still to come."""
        self._kind, self._left = target.kind, target.nth

    async def serve(self, ours: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        with suppress(OSError):
            theirs, out = await asyncio.open_connection("127.0.0.1", self._gateway_port)
            await asyncio.gather(self._forth(ours, out), self._back(theirs, back))

    @staticmethod
    async def _forth(ours: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await ours.read(65_536):
                out.write(data)
        out.close()

    async def _back(self, theirs: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                (length,) = struct.unpack(">I", await theirs.readexactly(4))
                fields = (await theirs.readexactly(length)).split(b"\0")[:-1]
                back.write(self._pass(fields))
        back.close()

    def _pass(self, fields: Fields) -> bytes:
        self._left -= self._kind in (None, fields[0])
        if self._left or self.hit is not None or self._kind not in (None, fields[0]):
            return framed(fields)
        self.hit = fields
        return self._spoiled.spoil(fields)


@asynccontextmanager
async def relay(port: int, spoiled: Spoiled) -> AsyncIterator[Relay]:
    """Listen until the test ends."""
    made = Relay(port, spoiled)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


ORDER_KINDS = (b"3", b"5", b"11", b"59", b"4")
KINDS = (*ORDER_KINDS, *(str(kind).encode() for kind in (1, 2, 6, 9, 10, 15, 17, 46, 49, 52)))
KINDS += tuple(str(kind).encode() for kind in (53, 54, 55, 57, 58, 61, 62, 75, 76, 102, 176))
"""What the gateway says in the script: orders, executions, errors, data, ends, and the handshake."""

TARGETS = st.builds(Target, st.integers(1, 6), st.sampled_from(KINDS))
ORDER_TARGETS = st.builds(Target, st.integers(1, 3), st.sampled_from(ORDER_KINDS))

FIELD = st.one_of(
    st.sampled_from(NONSENSE),
    st.integers(-(2**70), 2**70).map(lambda value: str(value).encode()),
    st.floats(allow_nan=True, allow_infinity=True).map(lambda value: str(value).encode()),
    st.binary(max_size=20).map(lambda value: value.replace(b"\0", b"")),
)
FRAME = st.one_of(
    st.binary(max_size=200),
    st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=100)).map(
        lambda pair: struct.pack(">I", pair[0]) + pair[1]
    ),
    st.tuples(st.integers(-5, 120), st.lists(FIELD, max_size=40)).map(
        lambda pair: framed([str(pair[0]).encode(), *pair[1]])
    ),
)
"""Bytes from nowhere: noise, wrong lengths, and whole messages with any number and any fields."""
