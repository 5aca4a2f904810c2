"""How the executor finds out what became of its orders: after a restart, and on every reconnection (ORD-9, CON-11)."""

from __future__ import annotations

from actors import messages as m
from actors.executor.broker_reports import BrokerReports
from actors.executor.cancels import Cancels
from actors.executor.fates import Fates
from actors.executor.order_book import CancelIntent, OrderBook, Tracked
from actors.executor.publishing import Publishing
from actors.executor.reconcile import (
    GateKnowledge,
    OrderReconciliation,
    from_journal,
    reconcile_orders,
)
from actors.executor.session_facts import SessionFacts
from actors.executor.working_orders import foreign_working, working_orders
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.logic.order_table import OrderState
from actors.messages.addresses import CONNECTION, LINK, RISK
from actors.model.orders import WaitFor
from actors.model.trading import Trading
from actors.recovery import RECOVERY_S, Past


class Recovery(Part):
    """Journal, then gate, then broker; business waits until the three agree (SUP-6).

    Owns what the gate said until it is used.
    """

    def __init__(
        self,
        actor: SupervisedActor,
        trading: Trading,
        book: OrderBook,
        session: SessionFacts,
        publishing: Publishing,
        reports: BrokerReports,
        cancels: Cancels,
        fates: Fates,
    ) -> None:
        self._actor = actor
        self._trading = trading
        self._book = book
        self._session = session
        self._publishing = publishing
        self._reports = reports
        self._cancels = cancels
        self._fates = fates
        self._gate: GateKnowledge | None = None
        self._past = Past(actor, "the executor", self.on_reconcile)

    # --- after a restart ------------------------------------------------------------------------------------------

    async def recover(self) -> None:
        """Learn from the journal what was under way, and from the gate what of it was sent (SUP-6)."""
        journal = await self._past.from_journal()
        self._take_in(journal)
        if journal.orders:
            await self.ask_gate(tuple(held.order.order_ref for held in journal.orders))
        else:
            self._go_on()

    def _take_in(self, journal: m.JournalRead) -> None:
        self._reports.remember_executions(journal.executions)
        for record in from_journal(journal.ended, journal.executions):
            self._book.add(Tracked(record=record))
        records = from_journal(journal.orders, journal.executions)
        for held, record in zip(journal.orders, records, strict=True):
            # Who waited for its fill does not wait any more, so that a remainder must not stay behind (ORD-6).
            intent = CancelIntent(is_owed=held.wait_for is WaitFor.FILL)
            self._book.add(Tracked(record=record, cancel=intent))

    async def ask_gate(self, references: tuple[str, ...]) -> None:
        """Ask the gate, then the broker, what became of these orders; those not sent never will be (D5)."""
        header = self._actor.of_our_own("gate", RECOVERY_S)
        question = m.QueryGate(**header, order_refs=references)
        answer = await self._past.asked("gate", LINK, question, m.GateAnswered)
        known = GateKnowledge(
            sent=dict(answer.sent), since=answer.gate_started_at, asked=frozenset(references)
        )
        self._gate = known if self._gate is None else self._gate.joined(known)
        self._go_on()

    def _go_on(self) -> None:
        """The past is known: take over the broker's state that came early, or ask for it."""
        self._past.learnt()
        self._past.ask_for_reconciliation()

    @handles(m.ConnectionStateChanged)
    def on_connection_state_changed(self, event: m.ConnectionStateChanged) -> None:
        """Know whether anything can be sent, and that a lost link leaves open what became of the newest orders."""
        self._session.connection_changed(event)
        self._fates.settle()

    @handles(m.NothingToReconcile)
    def on_nothing_to_reconcile(self, _: m.NothingToReconcile) -> None:
        """There is no session: serve what needs none. The reconciliation comes with the next session."""
        self._past.nothing_to_reconcile()

    @handles(m.ReconciliationCompleted)
    def on_reconciliation_completed(self, _: m.ReconciliationCompleted) -> None:
        """The gate is open. Business waits until now, so that what waited for a restarted executor can be sent."""
        self._session.opened()
        self._actor.recovered()
        self._fates.settle()

    # --- with every read of the broker's state --------------------------------------------------------------------

    @handles(m.Reconcile)
    def on_reconcile(self, message: m.Reconcile) -> None:
        """Take over the broker's state: adopt what works, end what ended, count every execution (CON-11).

        One that comes before this incarnation has learnt of its orders waits until then.
        """
        if self._past.keeps_waiting(message):
            return
        self._session.take_over(message)
        for execution in message.state.executions:
            self._reports.record_execution(execution)
        self._reports.forget_executions(self._actor.clock.now())
        self._fates.begin_read(message)
        outcome = reconcile_orders(
            [tracked.record for tracked in self._book],
            message.state,
            self._trading.operator_id,
            self._actor.clock.now(),
            gate=self._gate,
        )
        self._gate = None
        self._adopt(outcome)
        if not self._trading.readonly:  # else open orders are not read
            self._fates.end_read(message.state, outcome.absent)
        self._tell(message, outcome)

    def _adopt(self, outcome: OrderReconciliation) -> None:
        for record in outcome.records:
            tracked = self._book.by_ref(record.order_ref)
            if tracked is None:
                self._book.add(Tracked(record=record))
            else:
                was_lost = tracked.record.state is OrderState.LOST
                self._publishing.update(tracked, record, "reconciled")
                if was_lost and record.is_live:
                    self._fates.lives(tracked)
                self._cancels.cancel_what_is_owed(tracked)
        for extra in outcome.extras:
            tracked = self._book.by_ref(extra.order_ref)
            if tracked is not None:
                self._reports.cancel_double(tracked, extra)

    def _tell(self, message: m.Reconcile, outcome: OrderReconciliation) -> None:
        working = working_orders(tracked.committed for tracked in self._book)
        foreign = foreign_working((*outcome.foreign, *outcome.extras))
        orders = (*working, *foreign)
        known = m.WorkingOrdersKnown(number=message.number, orders=orders)
        for address in (
            RISK,
            LINK,
        ):  # the gate opens once everybody has taken over, with these closes known
            self._actor.tell(address, known)
        unknown = [
            record.sent_at or record.created_at
            for record in outcome.records
            if record.state is OrderState.UNKNOWN
        ]
        reconciled = m.Reconciled(
            number=message.number,
            sender=self._actor.name,
            differences=outcome.differences,
            unknown_since=min(unknown, default=None),
        )
        self._actor.tell(CONNECTION, reconciled)
