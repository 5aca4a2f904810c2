"""What tests watch besides results: messages that pass, and how a call ended and when."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import attrs

from actors.addresses import TapRecord
from actors.messages.lifecycle import Message
from supervision.process import Process
from tests.worlds import ProofWorld


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
