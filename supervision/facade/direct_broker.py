"""Quotes and positions straight from the link, for a process without its integration layer (MODE-4).

No history, no indicators, no risk, no orders: what these need is refused by the facade. Positions come without prices,
so that what they are worth is None.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from actors import messages as m
from actors.kernel.clock import Clock
from actors.logic import freshness
from actors.logic.quality import market_data
from actors.messages.addresses import LINK
from actors.model.account import Position
from actors.model.contracts import ContractQuery
from actors.model.market import MarketData, Quote
from actors.position.pnl import position_view
from actors.position.valuation import Valued
from actors.sections import market_data as settings
from actors.sections.positions import Positions

Read = Callable[..., Awaitable[Any]]
"""`Gateway.read`: address, kind of request, expected reply, timeout, fields."""


class DirectBroker:
    """Asks the link what otherwise the actors are asked."""

    def __init__(self, read: Read, account: str) -> None:
        self._read = read
        self._account = account or None

    async def market_data(self, symbol: str, timeout_s: float, clock: Clock) -> MarketData:
        """Read a quote with its quality; every indicator is missing."""
        quote = await self.quote(ContractQuery(symbol=symbol), timeout_s)
        # There is no quote before it to compare with: only the stamp of its trade can date it.
        now, limits = clock.monotonic(), settings.MarketData()
        pulse = freshness.looked(freshness.NEVER_SEEN, quote, now, None, limits)
        dated = attrs.evolve(quote, pace=freshness.pace_of(pulse, limits))
        return market_data(dated, None, clock.now(), now)

    async def quote(self, query: ContractQuery, timeout_s: float) -> Quote:
        """Find the contract and read a snapshot of it, both within one deadline."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + timeout_s
        found = await self._read(
            LINK, m.QualifyContract, m.ContractQualified, timeout_s, query=query
        )
        left_s = ends_at - loop.time()
        taken = await self._read(
            LINK, m.TakeSnapshot, m.SnapshotTaken, left_s, contract=found.contract
        )
        quote: Quote = taken.quote
        return quote

    async def positions(self, timeout_s: float, clock: Clock) -> list[Position]:
        """Read the broker's holdings."""
        read = await self._read(
            LINK, m.ReadBrokerState, m.BrokerStateRead, timeout_s, account=self._account
        )
        now, unpriced = clock.now(), Valued(why="no quotes are read on this road")
        return [
            position_view(holding, unpriced, now, Positions())
            for holding in read.state.holdings
            if holding.quantity
        ]
