"""Who lives through trouble: a trader who goes on trading, and an operator who looks after the gateway now and then."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from typing import Any, Final

import attrs

from actors.errors import GatewayError
from actors.model.orders import OrderResult, OrderStatus, TradingSignal
from supervision import IBKRGateway
from tests.faults.witness import Witness
from tests.worlds import CONTEXT

SYMBOLS: Final = ("SPY", "AAPL", "MSFT")


@attrs.define
class Trader:
    """Trades now and then, whatever comes of it; ``gap_s`` is the mean time between two orders."""

    gateway: IBKRGateway
    rng: random.Random
    gap_s: float
    timeout_s: float
    outcomes: Counter[str] = attrs.field(factory=Counter)
    under_way: set[asyncio.Task[None]] = attrs.field(factory=set)

    async def trade(self) -> None:
        """Go on until cancelled."""
        while True:
            await asyncio.sleep(self.rng.uniform(0.0, 2 * self.gap_s))
            self.under_way.add(asyncio.create_task(self._once()))

    async def finish(self) -> None:
        """Wait for what is under way; raises what nobody expects."""
        await asyncio.gather(*self.under_way)

    async def _once(self) -> None:
        try:
            result = await self.rng.choice((self._buy_or_sell, self._rest, self._close))()
        except GatewayError as error:
            self.outcomes[type(error).__name__] += 1
            return
        self.outcomes[result.status] += 1

    def _signal(self, **fields: Any) -> TradingSignal:
        defaults = {
            "symbol": self.rng.choice(SYMBOLS),
            "action": self.rng.choice(("BUY", "SELL")),
            "quantity": float(self.rng.randint(1, 20)),
        }
        return TradingSignal(**(defaults | fields))

    async def _buy_or_sell(self) -> OrderResult:
        return await self.gateway.submit_order(self._signal(), CONTEXT, self.timeout_s)

    async def _rest(self) -> OrderResult:
        """Let an order rest away from the market, then cancel it."""
        signal = self._signal(action="BUY", order_type="LMT", limit_price=1.0)
        result = await self.gateway.submit_order(signal, CONTEXT, self.timeout_s, wait_for="ack")
        if result.status is not OrderStatus.PENDING:
            return result
        await asyncio.sleep(self.rng.uniform(0.0, self.gap_s))
        return await self.gateway.cancel_order(result.order_id, self.timeout_s)

    async def _close(self) -> OrderResult:
        held = await self.gateway.get_positions(self.timeout_s)
        if not held:
            return await self._buy_or_sell()
        position = self.rng.choice(sorted(held, key=lambda item: item.position_id))
        return await self.gateway.close_position(position.position_id, timeout=self.timeout_s)


@attrs.define
class Operator:
    """Does what only a person may: connects after a login was mended, re-arms when Strategy C is done."""

    gateway: IBKRGateway
    witness: Witness
    every_s: float
    rearmed: int = 0

    async def look_after(self) -> None:
        """Go on until cancelled."""
        while True:
            await asyncio.sleep(self.every_s)
            with suppress(GatewayError):
                await self.look()

    async def look(self) -> None:
        """Look once."""
        status = await self.gateway.status()
        if status.connection == "FAILED" and self.witness.needs_operator:
            await self.gateway.connect(self.every_s)
        if status.latched and status.liquidation_step == "DONE":
            await self.gateway.rearm("operator", "the link is back")
            self.rearmed += 1
