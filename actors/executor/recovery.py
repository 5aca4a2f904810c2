"""How the executor finds out what became of its orders: after a restart, and on every reconnection (ORD-9, CON-11)."""

from __future__ import annotations

import attrs

from actors.errors import (
    ErrorInfo,
    GatewayError,
)
from actors.executor.changes import OrderChanges
from actors.executor.order_book import Tracked
from actors.executor.reconcile import (
    GateKnowledge,
    foreign_working,
    from_journal,
    reconcile_orders,
    working_orders,
)
from actors.kernel.handlers import handles
from actors.kernel.messages import Message, Reply
from actors.logic.executions import LISTED_FOR, count_all, since
from actors.logic.order_table import OrderState
from actors.messages.addresses import (
    CONNECTION,
    JOURNAL,
    LINK,
    RISK,
)
from actors.messages.connection import (
    NothingToReconcile,
    Reconcile,
    Reconciled,
    ReconciliationCompleted,
)
from actors.messages.journal import (
    JournalRead,
    ReadJournal,
)
from actors.messages.orders import (
    GateAnswered,
    QueryGate,
    WorkingOrdersKnown,
)
from actors.model.orders import WaitFor

RECOVERY_S = 10.0
"""How long a restarted executor waits for the journal and the gate."""


@attrs.frozen(kw_only=True)
class AskAgain(Message):
    """The broker shall be asked again about orders whose fate is unknown."""


class OrderRecovery(OrderChanges):
    """Journal, then gate, then broker; business waits until the three agree (SUP-6)."""

    # --- recovery -------------------------------------------------------------------------------------------------

    def started(self) -> None:
        """Learn from the journal what was under way (SUP-6)."""
        self.conversations.ask(
            JOURNAL,
            ReadJournal(**self.conversations.of_our_own("journal", RECOVERY_S)),
            self._on_journal,
            lambda error: self._cannot_recover("journal", error),
        )

    def _on_journal(self, reply: Reply) -> None:
        assert isinstance(reply, JournalRead)  # noqa: S101 - the journal answers in kind
        self.executions = count_all(self.executions, reply.executions)
        for record in from_journal(reply.ended, reply.executions):
            self.book.add(Tracked(record=record))
        records = from_journal(reply.orders, reply.executions)
        for held, record in zip(reply.orders, records, strict=True):
            # Who waited for its fill does not wait any more, so that a remainder must not stay behind (ORD-6).
            self.book.add(Tracked(record=record, owes_cancel=held.wait_for is WaitFor.FILL))
        if not reply.orders:
            self._go_on()
            return
        self.ask_gate(tuple(held.order.order_ref for held in reply.orders))

    def ask_gate(self, references: tuple[str, ...]) -> None:
        """Ask the gate, then the broker, what became of these orders; those not sent never will be (D5)."""
        self.conversations.ask(
            LINK,
            QueryGate(**self.conversations.of_our_own("gate", RECOVERY_S), order_refs=references),
            lambda reply: self._on_gate_answered(reply, frozenset(references)),
            lambda error: self._cannot_recover("gate", error),
        )

    def _on_gate_answered(self, reply: Reply, asked: frozenset[str]) -> None:
        assert isinstance(reply, GateAnswered)  # noqa: S101 - the link answers in kind
        known = GateKnowledge(sent=dict(reply.sent), since=reply.gate_started_at, asked=asked)
        self.gate = known if self.gate is None else self.gate.joined(known)
        self._go_on()

    def _go_on(self) -> None:
        """The past is known: take over the broker's state that came early, or ask for it."""
        self.knows_its_orders = True
        early, self.early_reconcile = self.early_reconcile, None
        if early is not None:
            self.on_reconcile(early)
        self.ask_for_reconciliation()

    def _cannot_recover(self, step: str, error: ErrorInfo) -> None:
        """Without its past an executor would send orders twice: it fails, and the supervisor tries again."""
        raise GatewayError(f"the executor cannot recover from the {step}: {error.text}")

    @handles(NothingToReconcile)
    def on_nothing_to_reconcile(self, _: NothingToReconcile) -> None:
        """There is no session: serve what needs none. The reconciliation comes with the next session."""
        self.recovered()

    @handles(ReconciliationCompleted)
    def on_reconciliation_completed(self, _: ReconciliationCompleted) -> None:
        """The gate is open. Business waits until now, so that what waited for a restarted executor can be sent."""
        self.connected = True
        self.recovered()

    @handles(Reconcile)
    def on_reconcile(self, message: Reconcile) -> None:
        """Take over the broker's state: adopt what works, end what ended, count every execution (CON-11).

        One that comes before this incarnation has learnt of its orders waits until then.
        """
        if not self.knows_its_orders:
            self.early_reconcile = message
            return
        self.account = message.account
        self.client_id = message.client_id
        self.is_fallback = message.client_id_is_fallback
        self.connected = self.connected or message.is_connected
        for execution in message.state.executions:
            self.record_execution(execution)
        self.executions = since(self.executions, self.clock.now() - LISTED_FOR)
        outcome = reconcile_orders(
            [tracked.record for tracked in self.book],
            message.state,
            self.settings.operator_id,
            self.clock.now(),
            gate=self.gate,
            patience_s=self.settings.lost_after_s,
        )
        self.gate = None
        for record in outcome.records:
            tracked = self.book.by_ref(record.order_ref)
            if tracked is None:
                self.book.add(Tracked(record=record))
            else:
                self.update(tracked, record, "reconciled")
                self.cancel_what_is_owed(tracked)
        for extra in outcome.extras:
            tracked = self.book.by_ref(extra.order_ref)
            if tracked is not None:
                self.cancel_double(tracked, extra)
        working = working_orders(tracked.committed for tracked in self.book)
        foreign = foreign_working((*outcome.foreign, *outcome.extras))
        self.tell(RISK, WorkingOrdersKnown(number=message.number, orders=(*working, *foreign)))
        self.tell(
            CONNECTION,
            Reconciled(number=message.number, sender=self.name, differences=outcome.differences),
        )
        if not self.asks_again and self._has_unknown():
            self.asks_again = True
            self.schedule(self.settings.unknown_after_s, AskAgain())

    @handles(AskAgain)
    def on_ask_again(self, _: AskAgain) -> None:
        """Ask the broker again about what is still unknown."""
        self.asks_again = False
        if self._has_unknown():
            self.ask_for_reconciliation()

    def _has_unknown(self) -> bool:
        return any(tracked.record.state is OrderState.UNKNOWN for tracked in self.book)
