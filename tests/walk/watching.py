"""What tests watch besides results: messages that pass, and how a call ended and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import attrs

from actors.kernel.addresses import TapRecord
from actors.kernel.messages import Message
from supervision.process.handle import Process
from tests.worlds import ProofWorld

T = TypeVar("T")


def tapped(process: Process, *kinds: type[Message]) -> list[Any]:
    """Collect every message of these kinds that passes from now on."""
    seen: list[Any] = []

    def tap(record: TapRecord) -> None:
        if isinstance(record.message, kinds):
            seen.append(record.message)

    process.tap(tap)
    return seen


@attrs.frozen
class Ending:
    """How a call ended, and after how many virtual seconds."""

    result: Any
    error: Exception | None
    after_s: float


async def ending(world: ProofWorld, call: Awaitable[Any]) -> Ending:
    """Wait for a call to end."""
    began_at = world.proof.loop.time()
    result, error = None, None
    try:
        result = await call
    except Exception as raised:  # noqa: BLE001 - the test says what it expects
        error = raised
    return Ending(result, error, world.proof.loop.time() - began_at)


async def taken(stream: AsyncIterator[T], count: int, within_s: float = 30.0) -> list[T]:
    """Take the next ``count`` values of a stream; TimeoutError when they do not come."""
    async with asyncio.timeout(within_s):
        return [await anext(stream) for _ in range(count)]


async def until(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    """Wait in real time until ``condition`` holds; TimeoutError after ``within_s``."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)
