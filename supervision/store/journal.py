"""The journal actor: the one thread that owns the journal file (D14).

Records that arrive together become durable together: handlers only gather, and `drained` commits once for all of them
and then answers those who wait. A record that is refused does not spoil the batch, and a commit that fails answers
every waiting request with its reason: no durable intent, no order.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import attrs

from actors.errors import GatewayError, WriterReplacedError
from actors.kernel.actor import ActorContext, SupervisedActor
from actors.kernel.handlers import handles
from actors.kernel.messages import Message, Reply, Request
from actors.kernel.stories import root_id
from actors.logic.executions import LISTED_FOR
from actors.logic.order_table import TERMINAL, OrderState
from actors.messages.journal import (
    IntentDurable,
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
from actors.model.orders import CloseReason
from actors.ports import EventLog, no_log
from supervision.store.journal_batch import Batch
from supervision.store.journal_codec import (
    approval_content,
    execution_content,
    intent_content,
    not_sent_content,
    read_execution,
    read_order,
)
from supervision.store.journal_file import JournalFile
from supervision.store.journal_values import Writer

RETENTION = timedelta(days=400)
"""What is older and over is forgotten, unless the configuration says otherwise."""

ENDED_READ_BACK = timedelta(days=1)
"""Orders that ended are read back when they are no older: a fill that comes late finds its order."""

FORGET_EVERY_S = 3600.0
NOTES_WAIT_S = 0.1
"""So long a note waits for a commit that it can share: one of its own would stand in the way of the next intent."""

FORGET_AT_A_TIME = 500
"""Orders that go in one transaction, so that an intent never waits long behind it."""


@attrs.frozen(kw_only=True)
class _ForgetDue(Message):
    """What is older than the retention shall go."""


@attrs.frozen(kw_only=True)
class _CommitDue(Message):
    """What was gathered without haste shall become durable."""


class JournalActor(SupervisedActor):
    """See the module's docstring. ``open_file`` opens the file for one incarnation and supersedes earlier owners."""

    def __init__(
        self,
        context: ActorContext,
        *,
        open_file: Callable[[int], JournalFile],
        retention: timedelta = RETENTION,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context)
        self.log = log
        self._retention = retention
        self._open_file = open_file
        self._file: JournalFile | None = None
        self._gathered: Batch | None = None
        self._commits = True
        self._urgent = False
        self._commit_is_due = False
        self._answers: list[tuple[Request, Reply]] = []
        self._incarnations: dict[str, int] = {}

    def started(self) -> None:
        """Open the file in this actor's own thread."""
        self._file = self._open_file(self.incarnation)
        self.schedule(FORGET_EVERY_S, _ForgetDue())

    def stopping(self) -> None:
        """Make durable what was gathered, and close."""
        self._commit()
        if self._file is not None:
            self._file.close()

    def abandoned(self) -> None:
        """Leave nothing locked that the successor needs."""
        if self._file is not None:
            self._file.abandon()

    # --- gathering ------------------------------------------------------------------------------------------------

    @handles(RecordIntent)
    def on_record_intent(self, message: RecordIntent) -> None:
        """Gather an intent; answered once it is durable."""
        self._gather(
            message,
            lambda batch, writer: batch.record_intent(
                writer,
                order_ref=message.order.order_ref,
                order_id=message.order_id,
                correlation_id=root_id(message.correlation_id),
                purpose=message.order.purpose.value,
                content=intent_content(
                    message.order, message.request, message.close_reason, message.wait_for
                ),
                at=message.at,
                approval=approval_content(message.approval),
            ),
            IntentDurable(correlation_id=message.correlation_id, order_ref=message.order.order_ref),
        )

    @handles(RecordModification)
    def on_record_modification(self, message: RecordModification) -> None:
        """Gather the new terms of an order; answered once they are durable."""
        self._gather(
            message,
            lambda batch, writer: batch.record_modification(
                writer,
                order_ref=message.order.order_ref,
                content=intent_content(
                    message.order, message.request, message.close_reason, message.wait_for
                ),
                at=message.at,
                approval=approval_content(message.approval),
            ),
            IntentDurable(correlation_id=message.correlation_id, order_ref=message.order.order_ref),
        )

    @handles(RecordTransition)
    def on_record_transition(self, message: RecordTransition) -> None:
        """Gather an order's new state."""
        self._gather(
            message,
            lambda batch, writer: batch.record_transition(
                writer,
                order_ref=message.order_ref,
                at=message.at,
                state=message.state,
                final=OrderState(message.state) in TERMINAL,
                detail={
                    "text": message.detail,
                    "broker_order_id": message.broker_order_id,
                    "client_id": message.client_id,
                    "perm_id": message.perm_id,
                    "filled": message.filled,
                },
            ),
        )

    @handles(RecordExecution)
    def on_record_execution(self, message: RecordExecution) -> None:
        """Gather an execution."""
        execution = message.execution
        self._gather(
            message,
            lambda batch, writer: batch.record_execution(
                writer,
                exec_id=execution.exec_id,
                order_ref=execution.order_ref,
                content=execution_content(execution),
                at=execution.executed_at or self.clock.now(),
                received_at=message.received_at,
            ),
        )

    @handles(RecordNote)
    def on_record_note(self, message: RecordNote) -> None:
        """Gather what was said of an order."""
        self._gather(
            message,
            lambda batch, writer: batch.record_note(
                writer,
                order_ref=message.order_ref,
                kind=message.kind,
                content=dict(message.facts),
                at=message.at,
            ),
            urgent=False,
        )

    @handles(RecordNotSent)
    def on_record_not_sent(self, message: RecordNotSent) -> None:
        """Gather why an order was not sent."""
        self._gather(
            message,
            lambda batch, writer: batch.record_not_sent(
                writer,
                order_ref=message.order_ref,
                order_id=message.order_id,
                correlation_id=message.correlation_id,
                status=message.status,
                reason=message.reason,
                content=not_sent_content(message),
                at=message.at,
            ),
            urgent=False,
        )

    @handles(RecordLatch)
    def on_record_latch(self, message: RecordLatch) -> None:
        """Gather the latch's new state, with its entry in the audit trail."""

        def record(batch: Batch, writer: Writer) -> None:
            batch.record_latch(
                writer,
                latched=message.latched,
                liquidation_id=message.liquidation_id,
                reason=message.reason,
                who=message.who,
                why=message.why,
                at=message.at,
                close_reason=message.close_reason.value,
            )
            batch.record_audit(
                writer,
                at=message.at,
                kind="latched" if message.latched else "rearmed",
                who=message.who,
                why=message.why or message.reason,
                detail={"liquidation_id": message.liquidation_id},
            )

        answer = LatchDurable(correlation_id=message.correlation_id, latched=message.latched)
        # Latching is always safe: it is accepted from an incarnation that failed right after it said so.
        self._gather(message, record, answer, from_the_dead=message.latched)

    @handles(RecordStep)
    def on_record_step(self, message: RecordStep) -> None:
        """Gather a step of a liquidation."""
        self._gather(
            message,
            lambda batch, writer: batch.record_step(
                writer,
                run_id=message.liquidation_id,
                step=message.step,
                detail=message.detail,
                at=message.at,
            ),
            StepDurable(correlation_id=message.correlation_id, step=message.step),
        )

    @handles(RecordGrace)
    def on_record_grace(self, message: RecordGrace) -> None:
        """Gather that a grace is running, or is over."""
        self._gather(
            message,
            lambda batch, writer: batch.record_grace(
                writer, trigger=message.trigger, until=message.until, at=message.at
            ),
        )

    @handles(RecordBaseline)
    def on_record_baseline(self, message: RecordBaseline) -> None:
        """Gather a risk baseline."""
        self._gather(
            message,
            lambda batch, writer: batch.record_baseline(
                writer, kind=message.kind, key=message.key, value=message.value, at=message.at
            ),
        )

    @handles(RaiseOrderIdFloor)
    def on_raise_order_id_floor(self, message: RaiseOrderIdFloor) -> None:
        """Gather the highest order id that was used."""
        self._gather(
            message,
            lambda batch, writer: batch.raise_floor(
                writer, client_id=message.client_id, highest=message.floor
            ),
        )

    def _gather(
        self,
        message: Message,
        record: Callable[[Batch, Writer], None],
        answer: Reply | None = None,
        *,
        from_the_dead: bool = False,
        urgent: bool = True,
    ) -> None:
        """Put a record into the batch, unless its writer was replaced or it contradicts the journal.

        One that is not ``urgent`` becomes durable with the next that is, or `NOTES_WAIT_S` later.
        """
        try:
            record(self._open_batch(), self._writer(from_the_dead=from_the_dead))
        except (GatewayError, ValueError, TypeError) as error:
            self.log("journal_refused", level="ERROR", what=type(message).__name__, why=str(error))
            if isinstance(message, Request):
                self.refuse(message, error)
            return
        self._urgent |= urgent
        if answer is not None and isinstance(message, Request):
            self._answers.append((message, answer))

    def _open_batch(self) -> Batch:
        if self._gathered is None:
            self._gathered = self._opened().batch()
        return self._gathered

    def _writer(self, *, from_the_dead: bool = False) -> Writer:
        """Name who writes; a successor's first record shuts out its predecessors for good (D6)."""
        sender = self.sender
        if sender.superseded and not from_the_dead:
            raise WriterReplacedError(
                f"incarnation {sender.incarnation} of {sender.name} was replaced"
            )
        known = self._incarnations.get(sender.name, 1)
        if sender.incarnation > known:
            self._opened().begin_incarnation(sender.name, sender.incarnation)
            self._incarnations[sender.name] = sender.incarnation
        return Writer(name=sender.name, incarnation=sender.incarnation)

    def _opened(self) -> JournalFile:
        if self._file is None:
            raise GatewayError("the journal is not open")
        return self._file

    # --- committing -----------------------------------------------------------------------------------------------

    def drained(self) -> None:
        """Commit what has been gathered, then answer; what nobody is in a hurry for may wait a moment."""
        if self._urgent:
            self._commit()
        elif self._gathered is not None and not self._commit_is_due:
            self._commit_is_due = True
            self.schedule(NOTES_WAIT_S, _CommitDue())

    @handles(_CommitDue)
    def on_commit_due(self, _: _CommitDue) -> None:
        """Make durable what has waited long enough."""
        self._commit_is_due = False
        self._commit()

    def _commit(self) -> None:
        self._urgent = False
        batch, self._gathered = self._gathered, None
        answers, self._answers = self._answers, []
        if batch is None:
            return
        try:
            with batch:
                pass
        except GatewayError as error:
            self._commits = False
            self.log("journal_commit_failed", level="ERROR", why=str(error))
            for request, _ in answers:
                self.refuse(request, error)
            return
        if not self._commits:
            self._commits = True
            self.log("journal_commits_again")
        for request, answer in answers:
            self.reply(request, answer)

    @handles(_ForgetDue)
    def on_forget_due(self, _: _ForgetDue) -> None:
        """Let go of what ended longer ago than the retention, a part at a time."""
        self._commit()
        gone = self._opened().forget(self.clock.now() - self._retention, FORGET_AT_A_TIME)
        if gone:
            self.log("journal_forgot", level="DEBUG", rows=gone)
        self.schedule(0.0 if gone else FORGET_EVERY_S, _ForgetDue())

    @handles(ReadJournal)
    def on_read_journal(self, request: ReadJournal) -> None:
        """Tell what still matters, after making durable what was gathered before the question."""
        self._commit()
        now = self.clock.now()
        state = self._opened().load(
            executions_since=now - LISTED_FOR, ended_since=now - ENDED_READ_BACK
        )
        latch = state.latch
        steps = [step for step in state.steps if latch and step.run_id == latch.liquidation_id]
        self.reply(
            request,
            JournalRead(
                correlation_id=request.correlation_id,
                orders=tuple(read_order(order) for order in state.orders),
                ended=tuple(read_order(order) for order in state.ended),
                executions=tuple(read_execution(stored) for stored in state.executions),
                latched=bool(latch and latch.latched),
                latch_reason=latch.reason if latch else None,
                liquidation_id=latch.liquidation_id if latch and latch.latched else None,
                liquidation_step=steps[-1].step if steps else None,
                close_reason=CloseReason(latch.close_reason) if latch and latch.latched else None,
                baselines=tuple((row.kind, row.key, row.value) for row in state.baselines),
                order_id_floors=state.floors,
                traded=state.traded,
                grace=(state.grace.trigger, state.grace.until) if state.grace else None,
            ),
        )
