"""Who is told of what becomes of an order: the journal, the event stream, the log, and risk's reservation.

Each version of a record goes through `Publishing.update`; no other file of this room tells the journal what happened.
"""

from __future__ import annotations

from datetime import datetime

from actors import messages as m
from actors.executor.answers import Answers
from actors.executor.audit_notes import not_sent
from actors.executor.order_book import OrderBook, Tracked
from actors.executor.record import OrderRecord, is_settled, signed_remaining
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part
from actors.kernel.stories import root_id
from actors.logic.order_table import LIVE, OrderState
from actors.messages.addresses import FACADE, JOURNAL, RISK
from actors.model.orders import Execution, OrderStatus
from actors.ports import EventLog

NEVER_JOURNALED = frozenset({OrderState.NEW, OrderState.AWAITING_APPROVAL})
"""The journal has no intent of such an order."""


class Publishing(Part):
    """Tells of every change; those who wait for one are answered after it was told."""

    def __init__(
        self, actor: SupervisedActor, log: EventLog, book: OrderBook, answers: Answers
    ) -> None:
        self._actor = actor
        self._log = log
        self._book = book
        self._answers = answers

    def update(
        self, tracked: Tracked, record: OrderRecord, detail: str, at: datetime | None = None
    ) -> None:
        """Take over a record's new version and tell everybody whom it concerns; ``at`` None: it happened now."""
        before, tracked.record = tracked.record, record
        self._book.index(tracked)
        if record.state is not before.state or record.known_filled != before.known_filled:
            if before.state not in NEVER_JOURNALED:
                self._journal(tracked, detail, at or self._actor.clock.now())
            elif record.is_terminal:
                self._journal_not_sent(tracked, detail)
            self.tell_change(tracked, detail, came_from=before.state)
        elif (
            record.executions is not before.executions
            or record.rejection_reason != before.rejection_reason
        ):
            self.tell_change(tracked, detail, level="DEBUG")
        self.tell_risk(tracked)
        self._answers.settle(tracked)

    def _journal(self, tracked: Tracked, detail: str, at: datetime) -> None:
        record = tracked.record
        self._actor.tell(
            JOURNAL,
            m.RecordTransition(
                order_ref=record.order_ref,
                state=record.state,
                detail=detail,
                at=at,
                broker_order_id=record.broker_order_id,
                client_id=record.client_id,
                perm_id=record.perm_id,
                filled=record.known_filled,
            ),
        )

    def _journal_not_sent(self, tracked: Tracked, detail: str) -> None:
        submitted_at = tracked.submit.submitted_at if tracked.submit else None
        now = self._actor.clock.now()
        self._actor.tell(
            JOURNAL, not_sent(tracked.record, tracked.validation, detail, submitted_at, now)
        )

    def tell_change(
        self,
        tracked: Tracked,
        detail: str,
        level: str = "INFO",
        came_from: OrderState | None = None,
    ) -> None:
        """Tell the event stream and the log of an order's state; ``came_from`` None: it has not changed."""
        record, outcome = tracked.record, self._answers.result_of(tracked)
        self._actor.tell(
            FACADE, m.OrderChanged(result=outcome, detail=detail, at=outcome.timestamp)
        )
        self._log(
            f"order_{record.state.lower()}",
            level="DEBUG" if record.state in LIVE else level,
            correlation_id=record.correlation_id,
            order_id=record.order_id,
            symbol=str(record.order.contract),
            action=record.order.action.value,
            quantity=record.order.quantity,
            filled=outcome.fill_quantity,
            old_state=(came_from or record.state).value,
            new_state=record.state.value,
            detail=detail,
        )

    def tell_risk(self, tracked: Tracked, *, force: bool = False) -> None:
        """A reservation shrinks only by what can certainly not fill any more (RSK-6)."""
        record = tracked.record
        if record.is_terminal and not is_settled(record):
            return
        remaining = signed_remaining(tracked.committed)
        if remaining != tracked.remaining_at_risk or force:
            tracked.remaining_at_risk = remaining
            settled = m.OrderSettled(order_ref=record.order_ref, signed_remaining=remaining)
            self._actor.tell(RISK, settled)

    # --- the audit trail ------------------------------------------------------------------------------------------

    def note(self, note: m.RecordNote) -> None:
        """Keep what was said of an order, or done about it, for the audit trail."""
        self._actor.tell(JOURNAL, note)

    def note_news(self, tracked: Tracked, note: m.RecordNote) -> None:
        """Keep what the broker said of an order, unless it repeats itself, as it often does."""
        if tracked.last_notes.get(note.kind) != note.facts:
            tracked.last_notes[note.kind] = note.facts
            self.note(note)

    def note_untaken(
        self, submit: m.SubmitOrder, status: OrderStatus, reason: str, *, log: bool
    ) -> None:
        """Keep why an order was turned away before it had an id."""
        request, correlation_id = submit.request, root_id(submit.correlation_id)
        self._actor.tell(
            JOURNAL,
            m.RecordNotSent(
                correlation_id=correlation_id,
                request=request,
                status=status.value,
                reason=reason,
                at=self._actor.clock.now(),
                close_reason=submit.close_reason,
                submitted_at=submit.submitted_at,
            ),
        )
        if log:
            self._log(
                f"order_{status.lower()}",
                level="WARNING",
                correlation_id=correlation_id,
                symbol=request.symbol,
                action=request.action.value,
                old_state=None,
                new_state=status.value,
                reason=reason,
            )

    def execution(
        self, execution: Execution, replaces: Execution | None, correlation_id: str
    ) -> None:
        """Tell everybody of an execution that was counted; ``replaces`` is the one that it corrects."""
        recorded = m.ExecutionRecorded(
            execution=execution, replaces=replaces, correlation_id=correlation_id
        )
        for address in (RISK, FACADE):
            self._actor.tell(address, recorded)
        now = self._actor.clock.now()
        self._actor.tell(JOURNAL, m.RecordExecution(execution=execution, received_at=now))
