"""What a liquidation is about (STC-6): the whole account, or what this operator's orders ever traded."""

from __future__ import annotations

from collections.abc import Iterable

from actors import messages as m
from actors.errors import GatewayError
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part
from actors.logic.order_ids import operator_of
from actors.messages.addresses import JOURNAL
from actors.model.account import Holding
from actors.model.connection import BrokerState
from actors.model.trading import Trading
from actors.sections.strategy_c import StrategyC


class Scope(Part):
    """Owns which contracts are ours."""

    def __init__(self, actor: SupervisedActor, settings: StrategyC, trading: Trading) -> None:
        self._actor = actor
        self._settings = settings
        self._ours = trading.operator_id
        self._managed: set[int] = set()

    @property
    def whole_account(self) -> bool:
        """Whether whatever the account holds is in scope."""
        return self._settings.whole_account

    def learn(self, read: m.JournalRead) -> None:
        """Learn from the journal which contracts our orders ever traded."""
        self._managed |= {con_id for operator, con_id in read.traded if operator == self._ours}

    def learn_of(self, state: BrokerState) -> None:
        """Learn from the day's executions, which the journal may not have yet."""
        self._managed |= {
            execution.contract.con_id
            for execution in state.executions
            if operator_of(execution.order_ref) == self._ours
        }

    def orders_of_ours(self, state: BrokerState) -> frozenset[str]:
        """The references of our operator's orders that the broker tells of: those that work, and the day's executed."""
        told = {order.order_ref for order in state.open_orders}
        told |= {execution.order_ref for execution in state.executions}
        return frozenset(reference for reference in told if operator_of(reference) == self._ours)

    async def refresh(self) -> None:
        """Ask the journal again, where it matters; one that does not answer leaves what is known."""
        if self.whole_account:
            return
        question = m.ReadJournal(**self._actor.of_our_own("managed", self._settings.step_timeout_s))
        try:
            self.learn(await self._actor.asked(JOURNAL, question, m.JournalRead))
        except GatewayError:
            return

    def has(self, con_id: int) -> bool:
        """Whether a contract is in scope."""
        return self.whole_account or con_id in self._managed

    def of(self, holdings: Iterable[Holding]) -> tuple[Holding, ...]:
        """The positions in scope."""
        return tuple(held for held in holdings if held.quantity and self.has(held.contract.con_id))

    def is_ours(self, con_id: int, order_refs: Iterable[str]) -> bool:
        """Whether a contract or one of these orders is in scope."""
        return self.has(con_id) or any(operator_of(ref) == self._ours for ref in order_refs)
