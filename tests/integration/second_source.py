"""A second source that fails on command: a fake at the port `SecondSource`, for proofs."""

from __future__ import annotations

import asyncio
from enum import Enum

from actors.errors import FeedDailyLimitError, FeedSymbolError, FeedUnreachableError
from actors.kernel.clock import Clock
from actors.model.market import Bar, DataSource, FeedQuote

PRICE = 555.5
"""Unlike any price of the simulator."""


class Fault(Enum):
    """What is wrong with the source."""

    NONE = "none"
    DOWN = "down"
    HANGING = "hanging"
    DAILY_LIMIT = "daily limit"
    BROKEN_CODE = "broken code"


class FakeSource:
    """Knows every symbol but XXXX; notes when it was asked, in monotonic seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.fault = Fault.NONE
        self.asked: list[tuple[float, str]] = []

    async def quote(self, symbol: str) -> FeedQuote:
        """Do as the fault says, then answer."""
        self.asked.append((self._clock.monotonic(), symbol))
        await asyncio.sleep(0.2)
        if self.fault is Fault.DOWN:
            raise FeedUnreachableError("ConnectError: nobody is there")
        if self.fault is Fault.DAILY_LIMIT:
            raise FeedDailyLimitError("it says: 25 requests per day")
        if self.fault is Fault.BROKEN_CODE:
            raise RuntimeError("a defect")
        while self.fault is Fault.HANGING:
            await asyncio.sleep(1.0)
        if symbol == "XXXX":
            raise FeedSymbolError("it does not know XXXX")
        now = self._clock.now()
        return FeedQuote(
            symbol=symbol,
            source=DataSource.ALPHA_VANTAGE,
            received_at=now,
            traded_on=now.date(),
            price=PRICE,
            volume=1000.0,
        )

    async def bars(self, symbol: str) -> tuple[Bar, ...]:
        """Answer with no bars."""
        self.asked.append((self._clock.monotonic(), symbol))
        return ()

    async def close(self) -> None:
        """Nothing to let go of."""
