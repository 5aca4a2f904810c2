"""What is done when the broker says nothing of what was sent: the order is asked for, and nothing is sent twice."""

from __future__ import annotations

import attrs

from actors.executor.order_book import OrderBook, Tracked
from actors.executor.publishing import Publishing
from actors.executor.record import OrderRecord, move
from actors.executor.session_facts import SessionFacts
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.kernel.messages import Message
from actors.logic.order_table import OrderState
from actors.sections.orders import Orders

UNANSWERED = frozenset({OrderState.SENT, OrderState.CANCELLING})
"""The broker has not said what it makes of the last thing that was sent."""


@attrs.frozen(kw_only=True)
class AcknowledgementOverdue(Message):
    """Told to oneself: the broker had its time to answer what was sent about the order.

    A message and no story's sleep: one is under way for everything that was sent lately, and it holds a name only.
    """

    order_ref: str


class Acknowledgements(Part):
    """Waits for the broker's acknowledgement; after `unknown_after_s` the order is UNKNOWN and asked for (PEERS 6)."""

    def __init__(
        self,
        actor: SupervisedActor,
        settings: Orders,
        book: OrderBook,
        session: SessionFacts,
        publishing: Publishing,
    ) -> None:
        self._actor = actor
        self._settings = settings
        self._book = book
        self._session = session
        self._publishing = publishing

    def expect_acknowledgement(self, tracked: Tracked) -> None:
        """Come back to the order in case that the broker does not answer what was just sent."""
        overdue = AcknowledgementOverdue(order_ref=tracked.record.order_ref)
        self._actor.schedule(self._settings.unknown_after_s, overdue)

    @handles(AcknowledgementOverdue)
    def on_acknowledgement_overdue(self, message: AcknowledgementOverdue) -> None:
        """Ask about an order, a cancel or a change that was never answered; nothing is sent twice."""
        tracked = self._book.by_ref(message.order_ref)
        if tracked is None or not self._session.connected:
            return
        record = tracked.record
        if record.state in UNANSWERED or _is_held_by_a_code_alone(record):
            unknown = move(record, OrderState.UNKNOWN, self._actor.clock.now())
            self._publishing.update(tracked, unknown, "no word from the broker")
        elif record.pending_change is None:
            return
        self._session.ask_for_reconciliation()


def _is_held_by_a_code_alone(record: OrderRecord) -> bool:
    """Whether a code said that it waits (for a locate), and no status ever showed the order."""
    return record.state is OrderState.HELD and not record.last_status
