"""Prices for closes: which kind of order, at which limit, and how it follows the market (RULES 2, "Order type").

The rule is `actors.logic.close_prices`; here the quotes for it are asked for, and limits that work are moved.
"""

from __future__ import annotations

from typing import Final

from actors import messages as m
from actors.closing.task import Task
from actors.errors import GatewayError
from actors.kernel.actor import SupervisedActor
from actors.logic.close_prices import ClosePrice, close_price, takes_any_price
from actors.logic.sessions import is_regular
from actors.messages.addresses import EXECUTOR, MARKET_DATA
from actors.model.contracts import Contract, SecurityType
from actors.model.market import Quote
from actors.model.orders import OrderAction, OrderResult, OrderType, WireOrder
from actors.ports import EventLog
from actors.sections.close import Close

QUOTE_TIMEOUT_S: Final = 2.0
CHANGE_TIMEOUT_S: Final = 5.0
OFF_ITS_TICK: Final = 110
"""IB's code for a price that does not conform to the contract's variation."""


class Pricing:
    """Prices the closes of one actor, in its thread; the state of a walk is the task's."""

    def __init__(self, actor: SupervisedActor, settings: Close, log: EventLog) -> None:
        self._actor = actor
        self._settings = settings
        self._log = log

    async def price(self, task: Task, action: OrderAction, *, queued: bool) -> ClosePrice:
        """Say how to close now; without an order type nothing is sent, for the reason given."""
        quote = None if queued else await self._quote(task.contract)
        now = self._actor.clock.monotonic()
        if task.priced_since is None:
            task.priced_since = now
        priced = close_price(
            task.contract,
            action,
            quote,
            now - task.priced_since,
            settings=self._settings,
            any_price=takes_any_price(
                self._settings,
                task.contract,
                quote,
                self._actor.clock.now(),
                strategy_c=task.by_strategy_c,
            ),
            regular_hours=is_regular(task.contract, self._actor.clock.now()) is not False,
            coarse_ticks=task.coarse_ticks,
        )
        self._note(task, priced, now)
        return priced

    def learn(self, task: Task, result: OrderResult) -> None:
        """A price that is off its tick would be refused again and again: take steps that hold everywhere."""
        task.coarse_ticks = task.coarse_ticks or result.rejection_code == OFF_ITS_TICK

    def is_due(self, task: Task, now: float) -> bool:
        """Whether the limit of a close that works has to follow the market now."""
        return task.reprice_at is not None and now >= task.reprice_at

    async def follow(self, task: Task, order_id: str, order: WireOrder) -> None:
        """Move the limit of a close that works; one that may go to the market by now is cancelled, and sent anew."""
        task.reprice_at = None
        priced = await self.price(task, order.action, queued=False)
        header = self._actor.of_our_own("reprice", CHANGE_TIMEOUT_S)
        change: m.ModifyOrder | m.CancelOrder
        if priced.order_type is not OrderType.LIMIT:
            change = m.CancelOrder(**header, order_id=order_id)
        elif priced.limit_price == order.limit_price:
            return
        else:
            change = m.ModifyOrder(**header, order_id=order_id, limit_price=priced.limit_price)
        try:
            self.learn(task, (await self._actor.asked(EXECUTOR, change, m.OrderConcluded)).result)
        except GatewayError as error:
            self._log(
                "close_not_repriced",
                level="WARNING",
                position_id=task.contract.position_id,
                why=str(error),
            )

    async def _quote(self, contract: Contract) -> Quote | None:
        """Ask for a quote where the price depends on it; None where there is none, or it does not."""
        if contract.security_type is SecurityType.STOCK:
            return None
        question = m.GetQuote(
            **self._actor.of_our_own("price", QUOTE_TIMEOUT_S),
            contract=contract,
            max_age_s=QUOTE_TIMEOUT_S,
        )
        try:
            return (await self._actor.asked(MARKET_DATA, question, m.QuoteRead)).quote
        except GatewayError:
            return None

    def _note(self, task: Task, priced: ClosePrice, now: float) -> None:
        """Remember when to price it again, and call a person once when it goes no further by itself."""
        task.reprice_at = None if priced.reprice_in_s is None else now + priced.reprice_in_s
        if priced.rests and not task.rests_told:
            self._log(
                "close_rests",
                level="CRITICAL",
                position_id=task.contract.position_id,
                limit_price=priced.limit_price,
                why=priced.why,
            )
        task.rests_told = priced.rests
