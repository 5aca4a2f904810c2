"""What happens when a deadline comes: the remainder is cancelled before it, and the answer is there in time (ORD-6)."""

from __future__ import annotations

import attrs

from actors import messages as m
from actors.errors import GatewayTimeoutError
from actors.executor.answers import ANSWER_MARGIN_S, AnswerDue, Answers
from actors.executor.cancels import Cancels
from actors.executor.changes import Changes
from actors.executor.order_book import OrderBook, Tracked
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.kernel.messages import Message
from actors.model.orders import WaitFor
from actors.sections.orders import Orders


@attrs.frozen(kw_only=True)
class CancelDue(Message):
    """Told to oneself: the order's remainder shall be cancelled now (ORD-6).

    A message and no story's sleep: orders end long before it, and their stories with them.
    """

    order_ref: str


class Deadlines(Part):
    """Watches the deadlines of those who wait for an order; has no state of its own."""

    def __init__(
        self,
        actor: SupervisedActor,
        settings: Orders,
        book: OrderBook,
        answers: Answers,
        cancels: Cancels,
        changes: Changes,
    ) -> None:
        self._actor = actor
        self._settings = settings
        self._book = book
        self._answers = answers
        self._cancels = cancels
        self._changes = changes

    def watch(self, tracked: Tracked, submit: m.SubmitOrder) -> None:
        """Come back before the caller's deadline: to cancel the remainder, and to answer."""
        left_s = max(0.0, submit.deadline - self._actor.clock.monotonic())
        lead_s = min(self._settings.cancel_before_deadline_s, left_s / 2)
        if submit.wait_for is WaitFor.FILL and not submit.rests:
            due = CancelDue(order_ref=tracked.record.order_ref)
            self._actor.schedule(left_s - lead_s, due)
        else:
            self._answers.answer_by(submit.deadline, tracked)

    @handles(CancelDue)
    def on_cancel_due(self, message: CancelDue) -> None:
        """Cancel the remainder shortly before the deadline, so that nothing stays behind unnoticed (ORD-6)."""
        tracked = self._book.by_ref(message.order_ref)
        if tracked is None or tracked.submit is None:
            return
        self._answers.answer_by(tracked.submit.deadline, tracked)
        if not tracked.record.is_terminal:
            tracked.cancel = tracked.cancel.by_deadline()
            self._cancels.cancel(tracked, "the deadline is near")

    @handles(AnswerDue)
    def on_answer_due(self, message: AnswerDue) -> None:
        """Answer with the quantities that are known now."""
        tracked = self._book.by_ref(message.order_ref)
        if tracked is None:
            return
        now = self._actor.clock.monotonic() + 2 * ANSWER_MARGIN_S
        if tracked.submit is not None and tracked.submit.deadline <= now:
            self._answer_submitter(tracked)
        for cancel in tuple(tracked.cancels):
            if cancel.deadline <= now:
                tracked.cancels.remove(cancel)
                late = f"the cancel of {cancel.order_id} is not confirmed yet"
                self._actor.refuse(cancel, GatewayTimeoutError(late))
        modify = tracked.change.modify if tracked.change is not None else None
        if modify is not None and modify.deadline <= now:
            unconfirmed = GatewayTimeoutError("the change is not confirmed yet")
            self._changes.give_up_waiting(tracked, unconfirmed)

    def _answer_submitter(self, tracked: Tracked) -> None:
        rests = tracked.submit is not None and tracked.submit.rests
        if not rests:
            tracked.cancel = tracked.cancel.by_deadline()
        if not (rests or tracked.record.is_terminal or tracked.record.cancel_requested):
            self._cancels.cancel(tracked, "the deadline came before it was acknowledged")
        self._answers.conclude(tracked)
