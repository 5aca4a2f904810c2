"""Who is told of what becomes of an order: the journal, the event stream, the log, and risk's reservation.

Each version of a record goes through `Publishing.update`; no other file of this room tells what happened to an order.
One `OrderUpdated` says it to all whom it concerns.
"""

from __future__ import annotations

from datetime import datetime

from actors import messages as m
from actors.executor.answers import Answers
from actors.executor.audit_notes import change_undone, not_sent, transition
from actors.executor.order_book import OrderBook, Tracked
from actors.executor.record import OrderRecord, is_settled, same_terms, signed_remaining
from actors.executor.telling import Telling
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part
from actors.kernel.stories import root_id
from actors.logic.order_table import LIVE, OrderState
from actors.messages.addresses import JOURNAL, LINK
from actors.model.orders import Execution, OrderResult, OrderStatus, Purpose
from actors.ports import EventLog

NEVER_JOURNALED = frozenset({OrderState.NEW, OrderState.AWAITING_APPROVAL})
"""The journal has no intent of such an order."""


class Publishing(Part):
    """Tells of every change; those who wait for one are answered after it was told."""

    def __init__(
        self,
        actor: SupervisedActor,
        log: EventLog,
        book: OrderBook,
        answers: Answers,
        telling: Telling,
    ) -> None:
        self._actor = actor
        self._log = log
        self._book = book
        self._answers = answers
        self._telling = telling

    # --- what changed ---------------------------------------------------------------------------------------------

    def update(
        self,
        tracked: Tracked,
        record: OrderRecord,
        detail: str,
        *,
        at: datetime | None = None,
        fill: Execution | None = None,
        floor: m.RaiseOrderIdFloor | None = None,
    ) -> None:
        """Take over a record's new version and tell everybody whom it concerns.

        ``at`` None: it happened now. ``fill`` is the execution that counts from now on, ``floor`` the order id that is
        used from now on.
        """
        before, tracked.record = tracked.record, record
        self._book.index(tracked)
        is_step = record.state is not before.state or record.known_filled != before.known_filled
        is_shown = is_step or (
            record.executions is not before.executions
            or record.rejection_reason != before.rejection_reason
        )
        outcome = self._answers.result_of(tracked) if is_shown else None
        kept = (
            self._executed(fill),
            _terms_in_force(tracked, before),
            self._step(tracked, before.state, detail, at) if is_step else None,
            floor,
        )
        self._telling.tell(
            m.OrderUpdated(
                order_ref=record.order_ref,
                at=at or self._actor.clock.now(),
                detail=detail,
                entries=tuple(entry for entry in kept if entry is not None),
                execution=fill,
                signed_remaining=self._news_for_risk(tracked),
                result=outcome,
            )
        )
        if outcome is not None:
            level = "INFO" if is_step else "DEBUG"
            self._log_state(tracked, outcome, detail, before.state, level=level)
        self._tell_gate(record, before)
        self._answers.settle(tracked)

    def _tell_gate(self, record: OrderRecord, before: OrderRecord) -> None:
        """Let the gate reckon no longer with a close that is settled; it believes nobody else who says so (RSK-4)."""
        if record.purpose is Purpose.CLOSE and is_settled(record) and not is_settled(before):
            self._actor.tell(LINK, m.CloseSettled(order_ref=record.order_ref))

    def show(self, tracked: Tracked, detail: str) -> None:
        """Tell the event stream and the log what is new of an order besides its state."""
        outcome = self._answers.result_of(tracked)
        self._telling.tell(
            m.OrderUpdated(
                order_ref=tracked.record.order_ref,
                at=outcome.timestamp,
                detail=detail,
                result=outcome,
            )
        )
        self._log_state(tracked, outcome, detail, tracked.record.state, level="DEBUG")

    def correct_risk(self, tracked: Tracked) -> None:
        """Tell risk again what can still fill: it may reckon with a change that will not be made."""
        self._telling.tell(
            m.OrderUpdated(
                order_ref=tracked.record.order_ref,
                at=self._actor.clock.now(),
                signed_remaining=self._news_for_risk(tracked, always=True),
            )
        )

    def execution(self, execution: Execution) -> None:
        """Tell of an execution that changes no record here; as a rule the order is somebody else's."""
        executed = self._executed(execution)
        self._telling.tell(
            m.OrderUpdated(
                order_ref=execution.order_ref,
                at=self._actor.clock.now(),
                entries=() if executed is None else (executed,),
                execution=execution,
            )
        )

    def _executed(self, execution: Execution | None) -> m.Executed | None:
        if execution is None:
            return None
        return m.Executed(execution=execution, received_at=self._actor.clock.now())

    def _step(
        self, tracked: Tracked, came_from: OrderState, detail: str, at: datetime | None
    ) -> m.Transition | m.RecordNotSent | None:
        """What the journal keeps of a new state; of one without intent only its end."""
        record, now = tracked.record, self._actor.clock.now()
        if came_from not in NEVER_JOURNALED:
            return transition(record, detail, at or now)
        if not record.is_terminal:
            return None
        submitted_at = tracked.submit.submitted_at if tracked.submit else None
        return not_sent(record, tracked.validation, detail, submitted_at, now)

    def _news_for_risk(self, tracked: Tracked, *, always: bool = False) -> float | None:
        """What can still fill, unless risk knows; a reservation shrinks only by what certainly cannot (RSK-6)."""
        record = tracked.record
        if record.is_terminal and not is_settled(record):
            return None
        remaining = signed_remaining(tracked.committed)
        if remaining == tracked.remaining_at_risk and not always:
            return None
        tracked.remaining_at_risk = remaining
        return remaining

    def _log_state(
        self,
        tracked: Tracked,
        outcome: OrderResult,
        detail: str,
        came_from: OrderState,
        *,
        level: str,
    ) -> None:
        record = tracked.record
        self._log(
            f"order_{record.state.lower()}",
            level="DEBUG" if record.state in LIVE else level,
            correlation_id=record.correlation_id,
            order_id=record.order_id,
            symbol=str(record.order.contract),
            action=record.order.action.value,
            quantity=record.order.quantity,
            filled=outcome.fill_quantity,
            old_state=came_from.value,
            new_state=record.state.value,
            detail=detail,
        )

    # --- the audit trail ------------------------------------------------------------------------------------------

    def note(self, note: m.Note) -> None:
        """Keep what was said of an order, or done about it, for the audit trail."""
        self._telling.keep(note)

    def keep(self, tracked: Tracked, entry: m.OrderEntry) -> None:
        """Have the journal keep something of an order that changes nothing for anybody else."""
        reference, now = tracked.record.order_ref, self._actor.clock.now()
        self._telling.tell(m.OrderUpdated(order_ref=reference, at=now, entries=(entry,)))

    def note_news(self, tracked: Tracked, note: m.Note) -> None:
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


def _terms_in_force(tracked: Tracked, before: OrderRecord) -> m.ChangeUndone | None:
    """What the journal has to learn of an order's terms: it holds the newest that were asked for, made or not."""
    record = tracked.record
    if record.pending_change is not None or before.state in NEVER_JOURNALED:
        return None
    if same_terms(before.pending_change or before.order, record.order):
        return None
    return change_undone(record, record.order, tracked.wait_for)
