"""A journal without a disk: for measurements and proofs of what is not the journal (``[journal] enabled = false``).

It answers like the real one, at once, and what it holds survives its own actor but not the process.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from actors.kernel.actor import ActorContext, SupervisedActor
from actors.kernel.handlers import handles
from actors.kernel.stories import root_id
from actors.logic.order_ids import operator_of
from actors.logic.order_table import TERMINAL
from actors.messages.journal import (
    IntentDurable,
    JournaledOrder,
    JournalRead,
    LatchDurable,
    RaiseOrderIdFloor,
    ReadJournal,
    RecordBaseline,
    RecordExecution,
    RecordGrace,
    RecordIntent,
    RecordLatch,
    RecordModification,
    RecordNote,
    RecordNotSent,
    RecordStep,
    RecordTransition,
    StepDurable,
)
from actors.model.orders import Execution
from supervision.store.journal_file import MOST_ENDED

ENDED: Final = frozenset(state.value for state in TERMINAL)


@attrs.define
class VolatileStore:
    """What a volatile journal holds; it belongs to the process, since actors come and go."""

    orders: dict[str, JournaledOrder] = attrs.field(factory=dict)
    executions: dict[str, Execution] = attrs.field(factory=dict)
    latch: RecordLatch | None = None
    step: str | None = None
    baselines: dict[tuple[str, str], float] = attrs.field(factory=dict)
    floors: dict[int, int] = attrs.field(factory=dict)
    grace: tuple[str, datetime] | None = None


class VolatileJournalActor(SupervisedActor):
    """See the module's docstring."""

    def __init__(self, context: ActorContext, store: VolatileStore) -> None:
        super().__init__(context)
        self.store = store

    @handles(RecordIntent)
    def on_record_intent(self, message: RecordIntent) -> None:
        """Hold an intent, and let go of the oldest that ended when there are many."""
        if len(self.store.orders) > MOST_ENDED:
            for order_ref in [key for key, held in self.store.orders.items() if _has_ended(held)]:
                if len(self.store.orders) <= MOST_ENDED // 2:
                    break
                del self.store.orders[order_ref]
        order = message.order
        self.store.orders[order.order_ref] = JournaledOrder(
            order=order,
            request=message.request,
            order_id=message.order_id,
            correlation_id=root_id(message.correlation_id),
            close_reason=message.close_reason,
            wait_for=message.wait_for,
            state="INTENT",
            broker_order_id=None,
            filled=0.0,
            at=message.at,
        )
        self.reply(
            message,
            IntentDurable(correlation_id=message.correlation_id, order_ref=order.order_ref),
        )

    @handles(RecordModification)
    def on_record_modification(self, message: RecordModification) -> None:
        """Hold an order's new terms."""
        order = message.order
        held = self.store.orders.get(order.order_ref)
        if held is not None:
            self.store.orders[order.order_ref] = attrs.evolve(
                held, order=order, request=message.request
            )
        self.reply(
            message,
            IntentDurable(correlation_id=message.correlation_id, order_ref=order.order_ref),
        )

    @handles(RecordTransition)
    def on_record_transition(self, message: RecordTransition) -> None:
        """Follow an order."""
        held = self.store.orders.get(message.order_ref)
        if held is None:
            return
        self.store.orders[message.order_ref] = attrs.evolve(
            held,
            state=message.state,
            broker_order_id=message.broker_order_id,
            client_id=message.client_id,
            perm_id=message.perm_id,
            filled=message.filled,
        )

    @handles(RecordExecution)
    def on_record_execution(self, message: RecordExecution) -> None:
        """Hold an execution."""
        self.store.executions.setdefault(message.execution.exec_id, message.execution)

    @handles(RecordNote, RecordNotSent)
    def on_record_for_the_audit(self, _: RecordNote | RecordNotSent) -> None:
        """Let go of what only the audit trail wants: there is none without a file."""

    @handles(RecordLatch)
    def on_record_latch(self, message: RecordLatch) -> None:
        """Hold the latch."""
        self.store.latch = message
        self.store.step = None
        self.reply(
            message,
            LatchDurable(correlation_id=message.correlation_id, latched=message.latched),
        )

    @handles(RecordStep)
    def on_record_step(self, message: RecordStep) -> None:
        """Hold a liquidation's step."""
        self.store.step = message.step
        self.reply(message, StepDurable(correlation_id=message.correlation_id, step=message.step))

    @handles(RecordGrace)
    def on_record_grace(self, message: RecordGrace) -> None:
        """Hold the grace that is running."""
        until = message.until
        self.store.grace = None if until is None else (message.trigger, until)

    @handles(RecordBaseline)
    def on_record_baseline(self, message: RecordBaseline) -> None:
        """Hold a risk baseline."""
        self.store.baselines[message.kind, message.key] = message.value

    @handles(RaiseOrderIdFloor)
    def on_raise_order_id_floor(self, message: RaiseOrderIdFloor) -> None:
        """Hold the highest order id that was used."""
        floors = self.store.floors
        floors[message.client_id] = max(floors.get(message.client_id, 0), message.floor)

    @handles(ReadJournal)
    def on_read_journal(self, request: ReadJournal) -> None:
        """Tell what is held."""
        store, latch = self.store, self.store.latch
        latched = bool(latch and latch.latched)
        self.reply(
            request,
            JournalRead(
                correlation_id=request.correlation_id,
                orders=tuple(order for order in store.orders.values() if not _has_ended(order)),
                ended=tuple(filter(_has_ended, store.orders.values())),
                executions=tuple(store.executions.values()),
                latched=latched,
                latch_reason=latch.reason if latch else None,
                liquidation_id=latch.liquidation_id if latch and latched else None,
                liquidation_step=store.step,
                close_reason=latch.close_reason if latch and latched else None,
                baselines=tuple((*key, value) for key, value in store.baselines.items()),
                order_id_floors=tuple(store.floors.items()),
                traded=tuple(
                    (operator_of(item.order_ref) or "", item.contract.con_id)
                    for item in store.executions.values()
                ),
                grace=store.grace,
            ),
        )


def _has_ended(order: JournaledOrder) -> bool:
    return order.state in ENDED
