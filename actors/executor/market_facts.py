"""What the executor has learnt of contracts and their prices in this session."""

from __future__ import annotations

from typing import Final

from actors import messages as m
from actors.errors import GatewayError
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.kernel.messages import Request
from actors.logic import freshness
from actors.messages.addresses import LINK, MARKET_DATA, STRATEGY_C
from actors.model.contracts import Contract, ContractQuery
from actors.model.market import Quote

FRESH_QUOTE_S: Final = 5.0
"""A quote that is no older serves as it is; else another one is read."""


class MarketFacts(Part):
    """Qualified contracts and newest quotes; both are forgotten with the session that they were told in."""

    def __init__(self, actor: SupervisedActor) -> None:
        self._actor = actor
        self._contracts: dict[ContractQuery, Contract] = {}
        self._quotes: dict[int, Quote] = {}

    async def qualified(self, request: Request, query: ContractQuery) -> Contract:
        """Find the contract that is meant; raises what the link says of it."""
        held = self._contracts.get(query)
        if held is not None:
            return held
        header = self._actor.on_behalf(request, "contract")
        question = m.QualifyContract(**header, query=query)
        answer = await self._actor.asked(LINK, question, m.ContractQualified, watched=False)
        self._contracts[query] = answer.contract
        self._actor.tell(STRATEGY_C, m.ContractDescribed(contract=answer.contract))
        return answer.contract

    async def fresh_quote(self, request: Request, contract: Contract) -> Quote | None:
        """Get a quote of just now that something dates; where none can be had the last one, for risk to judge."""
        held = self.last_quote(contract)
        if held is not None and self._is_fresh(held):
            return held
        header = self._actor.on_behalf(request, "quote")
        question = m.GetQuote(**header, contract=contract, for_opening=True)
        try:
            answer = await self._actor.asked(MARKET_DATA, question, m.QuoteRead, watched=False)
        except GatewayError:
            return self.last_quote(contract)
        return answer.quote

    def last_quote(self, contract: Contract) -> Quote | None:
        """Give the newest quote that is known, of any age."""
        return self._quotes.get(contract.con_id)

    def forget(self) -> None:
        """Let go of everything: the session in which it was true is over."""
        self._contracts.clear()
        self._quotes.clear()

    @handles(m.QuoteUpdated)
    def on_quote_updated(self, event: m.QuoteUpdated) -> None:
        """Remember the newest quote."""
        self._quotes[event.quote.contract.con_id] = event.quote

    def _is_fresh(self, quote: Quote) -> bool:
        is_dated = quote.pace is not None and quote.pace.changed_at is not None
        now = self._actor.clock.monotonic()
        return is_dated and freshness.is_seen_within(quote, now, FRESH_QUOTE_S)
