"""What probes of assumptions have in common: the broker's state as it is read now, and what it says meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

import pytest

from actors import messages as m
from actors.kernel.messages import Message
from actors.logic.sessions import is_session_open
from actors.messages.addresses import LINK
from actors.model.connection import BrokerState
from supervision import IBKRGateway, OrderResult
from tests.paper_gateway.conftest import PATIENCE_S, SYMBOL

LOOK_S: Final = 0.25


def by_hand(how: str) -> NoReturn:
    """Skip a probe that only a person can make, and say how."""
    pytest.skip(f"by hand: {how}")


async def is_in_session(gateway: IBKRGateway) -> bool:
    """Whether the suite's symbol trades now; hours that are not known count as open."""
    contract = (await gateway.get_market_data(SYMBOL, PATIENCE_S)).contract
    now = gateway.process.clock.now()
    return contract is None or is_session_open(contract, now) is not False


async def read_state(gateway: IBKRGateway, since: m.ExecutionsSince | None = None) -> BrokerState:
    """Read everything from the broker now; executions ``since`` a moment, or all."""
    account = (await gateway.get_account()).account_id
    read = await gateway.ask(
        LINK,
        m.ReadBrokerState,
        m.BrokerStateRead,
        PATIENCE_S,
        account=account,
        executions_since=since,
    )
    return read.state


async def seconds_until(
    gateway: IBKRGateway, shown: Callable[[BrokerState], bool], within_s: float
) -> float:
    """Read again and again until ``shown``; gives after how many seconds the read that showed it began."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while loop.time() - begun < within_s:
        asked = loop.time()
        if shown(await read_state(gateway)):
            return asked - begun
        await asyncio.sleep(LOOK_S)
    raise AssertionError(f"not shown within {within_s:g} s")


def shows(order: OrderResult) -> Callable[[BrokerState], bool]:
    """Whether a read shows this order among the open ones."""
    return lambda state: any(each.order_ref.endswith(order.order_id) for each in state.open_orders)


@contextmanager
def codes_heard(gateway: IBKRGateway) -> Iterator[list[tuple[int, int]]]:
    """Collect the (order id, code) pairs that the broker says meanwhile."""
    heard: list[tuple[int, int]] = []

    def note(message: Message) -> None:
        if isinstance(message, m.OrderErrorReported):
            heard.append((message.broker_order_id, message.code))

    tap = gateway.process.tap(lambda record: note(record.message))
    try:
        yield heard
    finally:
        tap.cancel()
