"""The process that is killed in reality: a facade with default settings, one JSON command a line in, answers out.

Run as ``python -m tests.kills.trader CONFIG``. Commands are begun and not awaited, but for ``status``: whoever kills it
does so while they are under way.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from actors.errors import GatewayError
from supervision import IBKRGateway
from tests.worlds import CONTEXT, buy, sell

PATIENCE_S = 300.0


async def _trade(gateway: IBKRGateway, symbol: str, quantity: float) -> None:
    signal = (buy if quantity > 0 else sell)(abs(quantity), symbol)
    await gateway.submit_order(signal, CONTEXT)


async def _rest(gateway: IBKRGateway) -> None:
    signal = buy(10, order_type="LMT", limit_price=400.0)
    await gateway.submit_order(signal, CONTEXT, wait_for="ack")


async def _cancel(gateway: IBKRGateway) -> None:
    orders = await gateway.get_open_orders()
    await asyncio.gather(*(gateway.cancel_order(order.order_id) for order in orders))


async def _liquidate(gateway: IBKRGateway) -> None:
    await gateway.liquidate("a test")


COMMANDS: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
    "trade": _trade,
    "rest": _rest,
    "cancel": _cancel,
    "liquidate": _liquidate,
}


async def _quietly(work: Any) -> None:
    with suppress(GatewayError):
        await work


async def _status(gateway: IBKRGateway) -> None:
    told: dict[str, Any] = {"connected": gateway.is_connected, "latched": None, "ready": False}
    with suppress(GatewayError):
        status = await gateway.status()
        told |= {"latched": status.latched, "ready": not status.opening_blocked_by}
    print(json.dumps(told), flush=True)


async def serve(config: str) -> None:
    """Connect, however long that takes, while commands are carried out, until the input ends."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, "")

    threading.Thread(target=read, daemon=True).start()
    gateway = IBKRGateway(config, mode="paper")
    begun = {asyncio.create_task(_quietly(gateway.connect(PATIENCE_S)))}
    while line := await lines.get():
        name, *arguments = json.loads(line)
        if name == "status":
            await _status(gateway)
        else:
            begun.add(asyncio.create_task(_quietly(COMMANDS[name](gateway, *arguments))))


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
