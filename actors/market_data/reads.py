"""Contracts and snapshots, asked of the link on behalf of a request (CON-13, MKT-5)."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from actors import messages as m
from actors.errors import GatewayError
from actors.kernel.actor import SupervisedActor
from actors.kernel.messages import Request
from actors.kernel.stories import RequestHeader
from actors.market_data.quotes import NewestQuotes
from actors.market_data.remembered import Remembered
from actors.messages.addresses import LINK
from actors.model.contracts import Contract, ContractQuery
from actors.model.market import Quote


@contextmanager
def refused_on_error(actor: SupervisedActor, request: Request) -> Generator[None]:
    """Answer a request with the error that one of its steps ends in."""
    try:
        yield
    except GatewayError as error:
        actor.refuse(request, error)


class LinkReads:
    """Owns the contracts that were qualified. Every read raises what the link answers, or a timeout."""

    def __init__(self, actor: SupervisedActor, quotes: NewestQuotes, most: int) -> None:
        self._actor = actor
        self._quotes = quotes
        self.contracts: Remembered[ContractQuery, Contract] = Remembered(most)

    async def qualified(self, request: Request, query: ContractQuery) -> Contract:
        """Give the one contract that fits, from memory where it was qualified before."""
        held = self.contracts.get(query)
        if held is not None:
            return held
        contract = await self.ask_contract(self._actor.on_behalf(request, "contract"), query)
        self.contracts.keep(query, contract)
        return contract

    async def ask_contract(self, header: RequestHeader, query: ContractQuery) -> Contract:
        """Ask which contract fits, and remember nothing."""
        question = m.QualifyContract(**header, query=query)
        return (await self._actor.asked(LINK, question, m.ContractQualified)).contract

    async def snapshot(self, request: Request, contract: Contract) -> Quote:
        """Read a fresh snapshot; it is published, and a read in vain is taken note of."""
        header = self._actor.on_behalf(request, "quote")
        return self._quotes.publish(await self.ask_quote(header, contract))

    async def ask_quote(
        self, header: RequestHeader, contract: Contract, *, for_feed: bool = False
    ) -> Quote:
        """Ask for a snapshot; a read in vain is taken note of, a quote is the caller's to publish."""
        question = m.TakeSnapshot(**header, contract=contract, for_feed=for_feed)
        try:
            return (await self._actor.asked(LINK, question, m.SnapshotTaken)).quote
        except GatewayError as error:
            self._quotes.unanswered(contract, error)
            raise
