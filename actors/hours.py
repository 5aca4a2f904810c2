"""The trading hours of what is held, for actors that have to wait for an open (STC-7).

Positions come from the broker without hours. An actor learns them from contracts that the executor had qualified, and
asks the link for those that are missing, one after the other: nobody waits for them, and hours that are not known yet
make no order wait. What was learnt is read again after half a day.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import attrs

from actors import messages as m
from actors.errors import GatewayError
from actors.kernel.actor import SupervisedActor
from actors.logic.order_validation import query_of
from actors.logic.sessions import waits_until
from actors.messages.addresses import LINK
from actors.model.contracts import Contract

KEPT_FOR: Final = timedelta(hours=12)
RETRIED_AFTER: Final = timedelta(minutes=5)
TIMEOUT_S: Final = 10.0
BETWEEN_S: Final = 0.1
"""Between two questions: they share the wire with orders."""


@attrs.frozen
class _Known:
    """What was learnt, and until when it counts; None was asked for in vain."""

    contract: Contract | None
    until: datetime


class HoursKeeper:
    """Knows the hours of contracts by con_id, on behalf of one actor and in its thread."""

    def __init__(self, actor: SupervisedActor) -> None:
        self._actor = actor
        self._known: dict[int, _Known] = {}
        self._missing: dict[int, Contract] = {}
        self._is_asking = False

    def learn(self, contract: Contract) -> None:
        """Take over a contract that was qualified, hours and all."""
        self._missing.pop(contract.con_id, None)
        self._known[contract.con_id] = _Known(contract, self._actor.clock.now() + KEPT_FOR)

    def want(self, contracts: Iterable[Contract]) -> None:
        """Let go of what nobody wants any more, and ask for the hours that are missing or old."""
        held = {contract.con_id: contract for contract in contracts}
        now = self._actor.clock.now()
        self._known = {
            con_id: known
            for con_id, known in self._known.items()
            if con_id in held or (known.contract is not None and now < known.until)
        }
        self._missing = {
            con_id: contract for con_id, contract in held.items() if self._is_old(con_id, now)
        }
        if self._missing and not self._is_asking:
            self._is_asking = True
            self._actor.begin_story(self._ask_for_missing())

    def described(self, contract: Contract) -> Contract:
        """Give a contract with its hours and its exchange where they were learnt, else as it is."""
        known = self._known.get(contract.con_id)
        return contract if known is None or known.contract is None else known.contract

    async def looked_up(self, contract: Contract, timeout_s: float) -> Contract:
        """Give a contract with its hours and its exchange, asking now where they are not known; else as it is."""
        if contract.con_id not in self._known:
            await self._ask_about(contract, timeout_s)
        return self.described(contract)

    def waits_until(self, con_id: int) -> datetime | None:
        """The opening that an order of this contract has to wait for; None when it trades now, or nobody knows."""
        known = self._known.get(con_id)
        if known is None or known.contract is None:
            return None
        return waits_until(known.contract, self._actor.clock.now())

    def _is_old(self, con_id: int, now: datetime) -> bool:
        known = self._known.get(con_id)
        return known is None or now >= known.until

    async def _ask_for_missing(self) -> None:
        """Ask about the missing, one after the other; what is wanted may change meanwhile."""
        while self._missing:
            _, contract = self._missing.popitem()
            await self._ask_about(contract, TIMEOUT_S)
            await self._actor.sleep(BETWEEN_S)
        self._is_asking = False

    async def _ask_about(self, contract: Contract, timeout_s: float) -> None:
        con_id = contract.con_id
        header = self._actor.of_our_own(f"hours-{con_id}", timeout_s)
        question = m.QualifyContract(**header, query=query_of(contract))
        try:
            self.learn((await self._actor.asked(LINK, question, m.ContractQualified)).contract)
        except GatewayError:
            if con_id not in self._known:
                self._known[con_id] = _Known(None, self._actor.clock.now() + RETRIED_AFTER)
