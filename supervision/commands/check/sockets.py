"""The steps below a session: who listens, and whether it speaks IB's protocol."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Final

from actors.errors import (
    GatewayConnectionError,
    GatewayTimeoutError,
    IncompatibleVersionError,
    NetworkUnreachableError,
)
from actors.link.client import SessionClient
from actors.link.frames import FrameBuffer, FrameError, prefix
from actors.link.opening import UNREACHABLE as UNREACHABLE_ERRORS
from supervision.commands.check.remedies import (
    API_DISABLED,
    API_SILENT,
    LIVE_PORTS,
    NOT_IB,
    NOTHING_LISTENS,
    PAPER_PORTS,
    UNKNOWN_HOST,
    UNREACHABLE,
    UPGRADE,
)
from supervision.commands.check.report import StepFailed

LOOK_AROUND_S: Final = 0.3
"""How long IB's usual ports are tried when the configured one is closed."""

GREETING_BYTES: Final = 4096
"""More than any server's first message has."""


async def find_listener(host: str, port: int, timeout_s: float) -> None:
    """Open the port and close it again; raises `StepFailed` that tells apart why it cannot be reached."""
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        raise StepFailed(
            f"{host}:{port} did not answer within {timeout_s:g} s",
            UNREACHABLE,
            NetworkUnreachableError,
        ) from None
    except socket.gaierror as error:
        raise StepFailed(
            f"the host name {host!r} is not known: {error.strerror or error}",
            UNKNOWN_HOST,
            NetworkUnreachableError,
        ) from None
    except OSError as error:
        if error.errno in UNREACHABLE_ERRORS:
            raise StepFailed(
                f"{host} cannot be reached: {error.strerror or error}",
                UNREACHABLE,
                NetworkUnreachableError,
            ) from None
        raise StepFailed(
            f"nothing listens on {host}:{port}",
            NOTHING_LISTENS + await _elsewhere(host, port),
            GatewayConnectionError,
        ) from None
    writer.close()


async def _elsewhere(host: str, port: int) -> str:
    """Name those of IB's usual ports that are open instead."""
    usual = [each for each in (*PAPER_PORTS, *LIVE_PORTS) if each != port]
    answers = await asyncio.gather(*(_is_open(host, each) for each in usual))
    found = [
        f"{each} ({_program(each)})"
        for each, is_open in zip(usual, answers, strict=True)
        if is_open
    ]
    return f"; something listens on {' and '.join(found)}" if found else ""


def _program(port: int) -> str:
    paper = PAPER_PORTS.get(port)
    return f"{paper}, paper" if paper else f"{LIVE_PORTS[port]}, live"


async def _is_open(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(LOOK_AROUND_S):
            _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


async def greet(host: str, port: int, timeout_s: float) -> int:
    """Say hello, read the server's version and hang up: no session begins. Raises `StepFailed`."""
    lowest, highest = SessionClient.MinClientVersion, SessionClient.MaxClientVersion
    try:
        async with asyncio.timeout(timeout_s):
            version = await _server_version(host, port, b"v%d..%d" % (lowest, highest))
    except TimeoutError:
        raise StepFailed(
            f"accepted, then silent for {timeout_s:g} s", API_SILENT, GatewayTimeoutError
        ) from None
    except OSError as error:
        raise StepFailed(
            f"the connection broke: {error.strerror or error}", API_DISABLED, GatewayConnectionError
        ) from None
    if not lowest <= version <= highest:
        raise StepFailed(
            f"server version {version}, needed {lowest} to {highest}",
            UPGRADE,
            IncompatibleVersionError,
        )
    return version


async def _server_version(host: str, port: int, offer: bytes) -> int:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"API\0" + prefix(offer))
        frames = FrameBuffer(GREETING_BYTES)
        while data := await reader.read(GREETING_BYTES):
            frames.feed(data)
            for fields in frames.messages():
                return _version(fields)
    except FrameError:
        raise StepFailed(
            "what answers does not speak IB's protocol", NOT_IB, GatewayConnectionError
        ) from None
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    raise StepFailed("accepted, then closed without a word", API_DISABLED, GatewayConnectionError)


def _version(fields: list[str]) -> int:
    if len(fields) != 2 or not (fields[0].isascii() and fields[0].isdigit()):
        raise FrameError("no greeting")
    return int(fields[0][:9])
