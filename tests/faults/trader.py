"""A process of its own that trades through the facade: one JSON command a line in, one JSON answer a line out.

Run as ``python -m tests.faults.trader CONFIG``; the tests kill it, as an orchestrator may be killed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from actors.errors import GatewayError
from supervision import IBKRGateway
from tests.worlds import CONTEXT, buy

Answer = dict[str, Any]


async def _buy(gateway: IBKRGateway, quantity: float) -> Answer:
    result = await gateway.submit_order(buy(quantity), CONTEXT, 10.0)
    return {"status": result.status.value, "reason": result.rejection_reason}


async def _report(gateway: IBKRGateway, _: float) -> Answer:
    reports = gateway.liquidation_reports
    if not reports:
        return {}
    return {"flat": reports[-1].flat, "trigger": reports[-1].trigger}


async def _connected(gateway: IBKRGateway, _: float) -> Answer:
    return {"connected": gateway.is_connected}


COMMANDS: dict[str, Callable[[IBKRGateway, float], Coroutine[Any, Any, Answer]]] = {
    "buy": _buy,
    "report": _report,
    "connected": _connected,
}


async def serve(config: str) -> None:
    """Connect, then answer commands until the input ends."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)

    async with IBKRGateway(config, mode="paper") as gateway:
        threading.Thread(target=read, daemon=True).start()
        print(json.dumps({"ready": True}), flush=True)
        while True:
            name, argument = json.loads(await lines.get())
            try:
                answer = await COMMANDS[name](gateway, argument)
            except GatewayError as error:
                answer = {"error": type(error).__name__, "reason": str(error)}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
