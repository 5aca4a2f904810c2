"""Our process: a run with every kind of order, and the process that comes after it, to find out what became of all.

Both are started by `tests.crash_points.trial` as processes of their own and speak with it through a pipe.
"""

from __future__ import annotations

import asyncio
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from actors.errors import GatewayError
from actors.model.orders import ExecutionMode, OrderStatus
from supervision import Config, IBKRGateway
from supervision.process import Process
from supervision.runtime import build_process
from tests.crash_points.places import settings
from tests.crash_points.points import Countdown, Point, WatchedJournal
from tests.worlds import CONTEXT, buy, sell

SHARES = 30.0
CONTRACTS = 2.0
RESTING_PRICE, MOVED_PRICE, CANCELLED_PRICE, STOP_PRICE = 585.0, 584.0, 583.0, 560.0
STRIKE = 600.0
TIMEOUT_S = 100.0
SETTLING_S = 100.0
"""Long: a machine that is busy with other things is no finding."""
POLL_S = 0.02
SAFELY_DONE = "DONE"


def trade(root: Path, port: int, expiry: str, point: Point | None, pipe: Connection) -> None:
    """Run the whole day of orders, to its end or to the crash; then tell how many steps of each kind there were."""
    countdown = Countdown(point)

    def make(config: Config, mode: ExecutionMode, operator_id: str, consults: bool) -> Process:
        return build_process(
            config,
            mode=mode,
            operator_id=operator_id,
            has_risk_manager=consults,
            open_journal=partial(WatchedJournal, on_step=countdown),
        )

    async def day() -> None:
        async with IBKRGateway(settings(root, port), mode="paper", process=make) as gateway:
            await _orders(gateway, expiry)
            await gateway.liquidate("the end of the run")
            await _until_safe(gateway)

    asyncio.run(day())
    pipe.send(countdown.counts)


async def _orders(gateway: IBKRGateway, expiry: str) -> None:
    """Entries of every type, on stock and option, some at once; a modify, a cancel, fills in parts."""

    async def submit(signal: Any, wait_for: str) -> Any:
        return await gateway.submit_order(signal, CONTEXT, TIMEOUT_S, wait_for=wait_for)

    option = buy(CONTRACTS, expiry=expiry, strike=STRIKE, right="C")
    resting = buy(10, order_type="LMT", limit_price=RESTING_PRICE)
    leaving = buy(5, order_type="LMT", limit_price=CANCELLED_PRICE)
    protective = sell(10, order_type="STP", stop_price=STOP_PRICE)
    shares, _ = await asyncio.gather(submit(buy(SHARES), "fill"), submit(option, "fill"))
    assert shares.status is OrderStatus.FILLED, shares
    working = await submit(resting, "ack")
    await submit(protective, "ack")
    await gateway.modify_order(working.order_id, limit_price=MOVED_PRICE, timeout=TIMEOUT_S)
    left = await submit(leaving, "ack")
    await gateway.cancel_order(left.order_id, timeout=TIMEOUT_S)


async def _until_safe(gateway: IBKRGateway) -> str:
    """Wait for the end of a liquidation."""
    async with asyncio.timeout(SETTLING_S):
        while (status := (await gateway.status()).liquidation_step) != SAFELY_DONE:
            await asyncio.sleep(POLL_S)
    return status


def recover(root: Path, port: int, pipe: Connection) -> None:
    """Be the next process: find out, tell, and when asked to, go on to the end of the run."""

    async def after() -> None:
        async with IBKRGateway(settings(root, port), mode="paper") as gateway:
            await _explained(gateway)
            pipe.send(await _what_we_believe(gateway))
            while await asyncio.to_thread(pipe.recv) == "again":
                pipe.send(await _what_we_believe(gateway))
            if (await gateway.status()).latched:
                refused = await gateway.submit_order(buy(1), CONTEXT, TIMEOUT_S)
                assert refused.status is OrderStatus.REJECTED, refused
            else:
                await gateway.liquidate("the end of the run, by the next process")
            await _until_safe(gateway)
            pipe.send(await _what_we_believe(gateway))

    try:
        asyncio.run(after())
    except (GatewayError, TimeoutError, AssertionError) as error:
        pipe.send({"error": repr(error)})


async def _explained(gateway: IBKRGateway) -> None:
    """Wait until no order's fate is unknown."""
    async with asyncio.timeout(SETTLING_S):
        while any(order.status is OrderStatus.UNKNOWN for order in await gateway.get_open_orders()):
            await asyncio.sleep(POLL_S)


async def _what_we_believe(gateway: IBKRGateway) -> dict[str, Any]:
    positions = await gateway.get_positions()
    account = await gateway.get_account()
    return {
        "positions": {item.contract.con_id: item.quantity for item in positions},
        "cash": account.cash,
        "working": sorted(order.order_id for order in await gateway.get_open_orders()),
    }
