"""A journal without a disk: for measurements and proofs of what is not the journal (``[journal] enabled = false``).

It answers like the real one, at once, and what it holds survives its own actor but not the process.
"""

from __future__ import annotations

from actors import messages as m
from actors.kernel.actor import ActorContext, SupervisedActor
from actors.kernel.handlers import handles
from actors.kernel.messages import Message, Request
from supervision.store.entries import ENTRIES, TOLD_ALONE
from supervision.store.entries.kind import nothing_known
from supervision.store.volatile_store import VolatileStore


class VolatileJournalActor(SupervisedActor):
    """See the module's docstring."""

    def __init__(self, context: ActorContext, store: VolatileStore) -> None:
        super().__init__(context)
        self.store = store

    @handles(m.OrderUpdated)
    def on_order_updated(self, event: m.OrderUpdated) -> None:
        """Hold what is to be kept of an order's change."""
        for entry in event.entries:
            ENTRIES[type(entry)].hold(self.store, entry)

    @handles(*TOLD_ALONE)
    def on_entry(self, message: Message) -> None:
        """Hold an entry, and answer who waits for it."""
        kind = ENTRIES[type(message)]
        kind.hold(self.store, message)
        if isinstance(message, m.RecordLatch):
            self.reply(message, _in_memory(message))
        elif kind.answer is not None and isinstance(message, Request):
            self.reply(message, kind.answer(message))

    @handles(m.ProveJournal)
    def on_prove_journal(self, request: m.ProveJournal) -> None:
        """Say that it holds what it is given."""
        self.reply(request, m.JournalWrites(correlation_id=request.correlation_id))

    @handles(m.GetJournalStatus)
    def on_get_journal_status(self, request: m.GetJournalStatus) -> None:
        """Say that it takes what it is given."""
        status = m.JournalStatus(correlation_id=request.correlation_id, degraded_by=None)
        self.reply(request, status)

    @handles(m.ReadJournal)
    def on_read_journal(self, request: m.ReadJournal) -> None:
        """Tell what is held."""
        told = nothing_known(request.correlation_id)
        for kind in ENTRIES.values():
            told = kind.recall(told, self.store)
        self.reply(request, told)


def _in_memory(message: m.RecordLatch) -> m.LatchDurable:
    """Say that a latch is held, and on no disk."""
    return m.LatchDurable(
        correlation_id=message.correlation_id, latched=message.latched, on_disk=False
    )
