"""What our process does until it dies: a day of orders of every kind, and a night over which a close is queued."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo

import attrs

from actors.model.orders import OrderStatus
from supervision import IBKRGateway
from tests.crash_points.places import SharedClock
from tests.crash_points.points import Day
from tests.worlds import CONTEXT, buy, sell

SHARES = 30.0
CONTRACTS = 2.0
RESTING_PRICE, MOVED_PRICE, CANCELLED_PRICE, STOP_PRICE = 585.0, 584.0, 583.0, 560.0
STRIKE = 600.0
TIMEOUT_S = 100.0
SETTLING_S = 100.0
"""Long: a machine that is busy with other things is no finding."""
POLL_S = 0.02
OPTION_DAYS = 30
SAFELY_DONE = "DONE"
QUEUED = "QUEUED"

NEW_YORK = ZoneInfo("America/New_York")
AFTERNOON: Final = datetime(2025, 11, 20, 15, 50, tzinfo=NEW_YORK).astimezone(UTC)
EVENING: Final = datetime(2025, 11, 20, 16, 5, tzinfo=NEW_YORK).astimezone(UTC)
NEXT_OPEN: Final = datetime(2025, 11, 21, 9, 30, tzinfo=NEW_YORK).astimezone(UTC)
JUST_BEFORE: Final = timedelta(seconds=1)
MORNING: Final = NEXT_OPEN + timedelta(seconds=5)


@attrs.frozen
class Setting:
    """Where a day takes place: the hours of its market, when it begins (None: now), and what is done on it."""

    hours: str | None
    begins_at: datetime | None
    run: Callable[[IBKRGateway, SharedClock], Awaitable[None]]


async def trading_day(gateway: IBKRGateway, clock: SharedClock) -> None:
    """Entries of every type, on stock and option, some at once; a modify, a cancel, fills in parts; a liquidation."""
    submit = partial(_submit, gateway)
    option = buy(CONTRACTS, expiry=expiry(), strike=STRIKE, right="C")
    resting = buy(10, order_type="LMT", limit_price=RESTING_PRICE)
    leaving = buy(5, order_type="LMT", limit_price=CANCELLED_PRICE)
    shares, _ = await asyncio.gather(submit(buy(SHARES), "fill"), submit(option, "fill"))
    assert shares.status is OrderStatus.FILLED, shares
    working = await submit(resting, "ack")
    await submit(_protective(), "ack")
    await gateway.modify_order(working.order_id, limit_price=MOVED_PRICE, timeout=TIMEOUT_S)
    left = await submit(leaving, "ack")
    await gateway.cancel_order(left.order_id, timeout=TIMEOUT_S)
    await gateway.liquidate("the end of the run")
    await until_safe(gateway, clock)


async def over_night(gateway: IBKRGateway, clock: SharedClock) -> None:
    """A position, protected by a stop, whose liquidation begins after the close: it is queued for the open (STC-7)."""
    shares = await _submit(gateway, buy(SHARES), "fill")
    assert shares.status is OrderStatus.FILLED, shares
    await _submit(gateway, _protective(), "ack")
    clock.go_to(EVENING)
    await gateway.liquidate("after the close")
    await until_safe(gateway, clock)
    assert clock.now() >= NEXT_OPEN, "it did not wait for the open"


def _protective() -> Any:
    return sell(10, order_type="STP", stop_price=STOP_PRICE)


async def _submit(gateway: IBKRGateway, signal: Any, wait_for: str) -> Any:
    return await gateway.submit_order(signal, CONTEXT, TIMEOUT_S, wait_for=wait_for)


async def until_safe(gateway: IBKRGateway, clock: SharedClock) -> None:
    """Wait for the end of a liquidation; one that is queued need not wait for the open as long as we would."""
    async with asyncio.timeout(SETTLING_S):
        while (step := (await gateway.status()).liquidation_step) != SAFELY_DONE:
            if step == QUEUED:
                clock.go_to(NEXT_OPEN - JUST_BEFORE)
            await asyncio.sleep(POLL_S)


def expiry() -> str:
    """Name an expiry about a month away on which options are listed: a Friday."""
    day = datetime.now(UTC).date() + timedelta(days=OPTION_DAYS)
    return f"{day + timedelta(days=(4 - day.weekday()) % 7):%Y%m%d}"


SETTINGS: Final[Mapping[Day, Setting]] = {
    Day.TRADING: Setting(hours=None, begins_at=None, run=trading_day),
    Day.OVER_NIGHT: Setting(hours="0930-1600", begins_at=AFTERNOON, run=over_night),
}
