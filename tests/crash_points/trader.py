"""Our process on a day that ends with its death, and the process that comes after it, to find out what became of all.

Both are started by `tests.crash_points.trial` as processes of their own and speak with it through a pipe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from actors.errors import GatewayError
from actors.model.orders import ExecutionMode, OrderStatus
from supervision import Config, IBKRGateway
from supervision.process import build_process
from supervision.process.handle import Process
from supervision.store.journal_file import JournalFile
from tests.crash_points.days import POLL_S, SETTINGS, SETTLING_S, TIMEOUT_S, until_safe
from tests.crash_points.places import SharedClock, settings
from tests.crash_points.points import Countdown, Day, Point, WatchedJournal
from tests.worlds import CONTEXT, buy


def trade(
    root: Path, port: int, clock: SharedClock, day: Day, point: Point | None, pipe: Connection
) -> None:
    """Run a whole day, to its end or to the crash; then tell how many steps of each kind there were."""
    countdown = Countdown(point)
    open_journal = partial(WatchedJournal, on_step=countdown)

    async def live() -> None:
        async with _gateway(root, port, clock, open_journal) as gateway:
            await SETTINGS[day].run(gateway, clock)

    asyncio.run(live())
    pipe.send(countdown.counts)


def _gateway(
    root: Path, port: int, clock: SharedClock, open_journal: Callable[..., JournalFile]
) -> IBKRGateway:
    def make(config: Config, mode: ExecutionMode, operator_id: str, consults: bool) -> Process:
        return build_process(
            config,
            mode=mode,
            operator_id=operator_id,
            has_risk_manager=consults,
            open_journal=open_journal,
            clock=clock,
        )

    return IBKRGateway(settings(root, port), mode="paper", process=make)


def recover(
    root: Path, port: int, clock: SharedClock, point: Point | None, pipe: Connection
) -> None:
    """Be the next process: find out, tell, and when asked to, go on to the end of the run, or to the next crash."""
    open_journal = partial(WatchedJournal, on_step=Countdown(point))

    async def after() -> None:
        async with _gateway(root, port, clock, open_journal) as gateway:
            await _explained(gateway)
            pipe.send(await _what_we_believe(gateway))
            while await asyncio.to_thread(pipe.recv) == "again":
                pipe.send(await _what_we_believe(gateway))
            if (await gateway.status()).latched:
                refused = await gateway.submit_order(buy(1), CONTEXT, TIMEOUT_S)
                assert refused.status is OrderStatus.REJECTED, refused
            else:
                await gateway.liquidate("the end of the run, by the next process")
            await until_safe(gateway, clock)
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
        "latched": (await gateway.status()).latched,
    }
