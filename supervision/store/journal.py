"""The journal actor: the one thread that owns the journal file (D14).

Records that arrive together become durable together: handlers only gather, and `drained` commits once for all of them
and then answers those who wait. A record that is refused does not spoil the batch, and a commit that fails answers
every waiting request with its reason: no durable intent, no opening order.

A disk that refuses (full, read-only, broken) makes nobody fail. What has happened is kept in memory, in order, and
written with the next commit that succeeds; until then reads tell it beside what the file says (`uncommitted`). A slow
disk is borne for as long as the child's handler limit says (60 s); whoever asks has a patience of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs

from actors import messages as m
from actors.errors import GatewayError, JournalError, WriterReplacedError
from actors.kernel.actor import ActorContext, SupervisedActor
from actors.kernel.handlers import handles
from actors.kernel.messages import Message, Reply, Request
from actors.logic.executions import LISTED_FOR
from actors.ports import EventLog, no_log
from supervision.store.entries import ENTRIES, TOLD_ALONE, with_uncommitted
from supervision.store.entries.kind import EntryKind, Horizon, nothing_known
from supervision.store.entries.liquidations import audit_rows
from supervision.store.journal_batch import Batch, signed
from supervision.store.journal_file import JournalFile, contradicts, numbered
from supervision.store.journal_rows import Rows
from supervision.store.journal_values import Writer
from supervision.store.latch_keeper import LatchKeeper, is_empty
from supervision.store.latch_marker import LatchMarker
from supervision.store.uncommitted import Gathered, Uncommitted

RETENTION = timedelta(days=400)
"""What is older and over is forgotten, unless the configuration says otherwise."""

ENDED_READ_BACK = timedelta(days=1)
"""Orders that ended are read back when they are no older: a fill that comes late finds its order."""

FORGET_EVERY_S = 3600.0
NOTES_WAIT_S = 0.1
"""So long a note waits for a commit that it can share: one of its own would stand in the way of the next intent."""

AGAIN_S = 1.0
"""A disk that refused is tried again after so long."""

FORGET_AT_A_TIME = 500
"""Orders that go in one transaction, so that an intent never waits long behind it."""


@attrs.frozen(kw_only=True)
class _ForgetDue(Message):
    """What is older than the retention shall go."""


@attrs.frozen(kw_only=True)
class _CommitDue(Message):
    """What was gathered without haste, or was refused before, shall become durable."""


@attrs.frozen(kw_only=True)
class _OpenDue(Message):
    """The file could not be opened; it is tried again."""


class JournalActor(SupervisedActor):
    """See the module's docstring. ``open_file`` opens the file for one incarnation and supersedes earlier owners.

    ``uncommitted`` belongs to the process; None: this actor has no predecessor that could have left anything.
    ``marker`` is the latch's own file; None: it has none.
    """

    def __init__(
        self,
        context: ActorContext,
        *,
        open_file: Callable[[int], JournalFile],
        retention: timedelta = RETENTION,
        uncommitted: Uncommitted | None = None,
        marker: LatchMarker | None = None,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context)
        self.log = log
        self._latch = LatchKeeper(marker, log)
        self._retention = retention
        self._open_file = open_file
        self._uncommitted = uncommitted if uncommitted is not None else Uncommitted()
        self._file: JournalFile | None = None
        self._gathered: Batch | None = None
        self._trouble: str | None = None
        self._urgent = False
        self._commit_is_due = False
        self._answers: list[tuple[Request, Reply]] = []
        self._incarnations: dict[str, int] = {}

    def started(self) -> None:
        """Open the file in this actor's own thread.

        At the start of a process a file that cannot be opened stops it, with the remedy. Later it is a disk that
        refuses: it is tried again, and meanwhile what happens is kept.
        """
        self.schedule(FORGET_EVERY_S, _ForgetDue())
        if self._uncommitted.was_open:
            self.on_open_due(_OpenDue())
        else:
            self._open()

    @handles(_OpenDue)
    def on_open_due(self, _: _OpenDue) -> None:
        """Open the file, now or later."""
        try:
            self._open()
        except WriterReplacedError:
            raise
        except JournalError as error:
            self._note_trouble(str(error))
            self.schedule(AGAIN_S, _OpenDue())

    def _open(self) -> None:
        self._latch.prepare()
        self._file = self._open_file(self.incarnation)
        self._uncommitted.take_over(self._file.last_batch)
        if len(self._uncommitted):
            self._commit()

    def stopping(self) -> None:
        """Make durable what was gathered, and close; what the disk does not take even now is lost, and said."""
        self._commit()
        if len(self._uncommitted):
            self.log("journal_lost", level="CRITICAL", entries=len(self._uncommitted))
        if self._file is not None:
            self._file.close()

    def abandoned(self) -> None:
        """Leave nothing locked that the successor needs."""
        if self._file is not None:
            self._file.abandon()

    # --- gathering ------------------------------------------------------------------------------------------------

    @handles(*TOLD_ALONE)
    def on_entry(self, message: Message) -> None:
        """Gather one entry."""
        self._take(message)

    @handles(m.OrderUpdated)
    def on_order_updated(self, event: m.OrderUpdated) -> None:
        """Gather what is to be kept of an order's change; an entry that cannot be kept takes no other with it."""
        for entry in event.entries:
            self._take(entry)

    def _take(self, message: object) -> None:
        """Put an entry into the batch, unless its writer was replaced or it contradicts the journal.

        One that is not urgent becomes durable with the next that is, or `NOTES_WAIT_S` later.
        """
        kind = ENTRIES[type(message)]
        try:
            self._gather(message, kind)
        except (GatewayError, ValueError, TypeError) as error:
            self.log("journal_refused", level="ERROR", what=type(message).__name__, why=str(error))
            if isinstance(message, Request):
                self.refuse(message, error)
            return
        self._urgent |= kind.urgent
        if kind.answer is not None and isinstance(message, Request):
            self._answers.append((message, kind.answer(message)))

    def _gather(self, message: object, kind: EntryKind[Any]) -> None:
        self._latch.gathered(message)
        rows = kind.rows(message, self.clock.now())
        is_kept = kind.is_kept(message)
        if self._file is None and not is_kept:
            raise JournalError(self._trouble or "the journal is not open")
        writer = self._writer(from_the_dead=kind.from_the_dead(message))
        key = kind.kept_once(message)
        if self._uncommitted.holds(key):
            return
        batch = self._open_batch()
        statements = signed(writer, rows) if batch is None else batch.add(writer, rows)
        self._uncommitted.gather(
            Gathered(
                message=message,
                statements=statements,
                key=key,
                is_kept=is_kept,
                is_note=not kind.urgent,
            )
        )

    def _open_batch(self) -> Batch | None:
        """The batch that is being gathered, behind what an earlier one left; None while the file is not open."""
        if self._gathered is None and self._file is not None:
            self._gathered = self._file.batch()
            for entry in self._uncommitted.entries:
                self._gathered.put(entry.statements)
        return self._gathered

    def _writer(self, *, from_the_dead: bool = False) -> Writer:
        """Name who writes; a successor's first record shuts out its predecessors for good (D6)."""
        sender = self.sender
        if sender.superseded and not from_the_dead:
            raise WriterReplacedError(
                f"incarnation {sender.incarnation} of {sender.name} was replaced"
            )
        known = self._incarnations.get(sender.name, 1)
        batch = self._open_batch()
        if sender.incarnation > known and self._file is not None and batch is not None:
            statement = self._file.shut_out(sender.name, sender.incarnation)
            batch.put((statement,))
            self._uncommitted.gather(Gathered(message=None, statements=(statement,)))
            self._incarnations[sender.name] = sender.incarnation
        return Writer(name=sender.name, incarnation=sender.incarnation)

    def _opened(self) -> JournalFile:
        if self._file is None:
            raise JournalError(self._trouble or "the journal is not open")
        return self._file

    # --- committing -----------------------------------------------------------------------------------------------

    def drained(self) -> None:
        """Commit what has been gathered, then answer; what nobody is in a hurry for may wait a moment."""
        if self._urgent:
            self._commit()
        elif self._gathered is not None:
            self._commit_later(NOTES_WAIT_S)

    def _commit_later(self, delay_s: float) -> None:
        if not self._commit_is_due:
            self._commit_is_due = True
            self.schedule(delay_s, _CommitDue())

    @handles(_CommitDue)
    def on_commit_due(self, _: _CommitDue) -> None:
        """Make durable what has waited long enough."""
        self._commit_is_due = False
        self._commit()

    def _commit(self) -> None:
        self._urgent = False
        batch, self._gathered = self._batch_to_commit(), None
        answers, self._answers = self._answers, []
        if batch is None:
            self._refuse(answers, JournalError(self._trouble or "the journal is not open"))
            return
        number = self._uncommitted.begin()
        lost = self._uncommitted.lost
        batch.put((numbered(number), *self._losses(lost)))
        try:
            with batch:
                pass
        except GatewayError as error:
            self._not_committed(number, error, answers)
            return
        self._uncommitted.committed(number)
        self._uncommitted.told_of_losses(lost)
        if self._trouble is not None:
            self._trouble = None
            self.log("journal_commits_again", lost=lost)
        for request, answer in answers:
            self._answer(request, answer)

    def _answer(self, request: Request, answer: Reply) -> None:
        try:
            told = self._latch.committed(request, answer)
        except JournalError as error:
            self.refuse(request, error)
        else:
            self.reply(request, told)

    def _batch_to_commit(self) -> Batch | None:
        return self._open_batch() if len(self._uncommitted) or self._answers else None

    @handles(m.ProveJournal)
    def on_prove_journal(self, request: m.ProveJournal) -> None:
        """Write now, with whatever has been gathered: the number of the batch, if nothing else."""
        self._answers.append((request, m.JournalWrites(correlation_id=request.correlation_id)))
        self._urgent = True

    def _losses(self, lost: int) -> tuple[tuple[str, dict[str, object]], ...]:
        """Say in the audit trail that the journal has a gap."""
        if not lost:
            return ()
        why = f"{lost} entries were lost while the disk refused them"
        rows: Rows = audit_rows(at=self.clock.now(), kind="journal_gap", who=self.name, why=why)
        return signed(Writer(name=self.name, incarnation=self.incarnation), rows)

    def _not_committed(
        self, number: int, error: GatewayError, answers: list[tuple[Request, Reply]]
    ) -> None:
        """Keep what has happened, refuse what was asked for, and try again later."""
        self._uncommitted.refused(number)
        self._note_trouble(str(error))
        if contradicts(error):
            self._part_with_what_contradicts()
        if len(self._uncommitted):
            self._commit_later(AGAIN_S)
        self._refuse(answers, error)

    def _refuse(self, answers: list[tuple[Request, Reply]], error: GatewayError) -> None:
        for request, _ in answers:
            told = self._latch.refused(request)
            if told is None:
                self.refuse(request, error)
            else:
                self.reply(request, told)

    def _part_with_what_contradicts(self) -> None:
        """Write entry by entry: one that the file never takes must not keep the others out.

        Where none goes through it is the file that refuses, and all are kept.
        """
        entries = self._uncommitted.entries
        went = self._opened().each_alone(entry.statements for entry in entries)
        if not any(went):
            return
        for entry, is_in in zip(entries, went, strict=True):
            if not is_in:
                self.log("journal_refused", level="ERROR", what=type(entry.message).__name__)
        self._uncommitted.replace(())

    def _note_trouble(self, why: str) -> None:
        """Log what is wrong with the disk, once until that changes; each further try is a detail."""
        level = "DEBUG" if why == self._trouble else "ERROR"
        self._trouble = why
        self.log("journal_commit_failed", level=level, why=why, kept=len(self._uncommitted))

    @handles(_ForgetDue)
    def on_forget_due(self, _: _ForgetDue) -> None:
        """Let go of what ended longer ago than the retention, a part at a time."""
        self._commit()
        try:
            gone = self._opened().forget(self.clock.now() - self._retention, FORGET_AT_A_TIME)
        except JournalError as error:
            self._note_trouble(str(error))
            gone = 0
        if gone:
            self.log("journal_forgot", level="DEBUG", rows=gone)
        self.schedule(0.0 if gone else FORGET_EVERY_S, _ForgetDue())

    @handles(m.GetJournalStatus)
    def on_get_journal_status(self, request: m.GetJournalStatus) -> None:
        """Say whether the disk takes what it is given."""
        status = m.JournalStatus(
            correlation_id=request.correlation_id,
            degraded_by=self._trouble,
            kept=len(self._uncommitted),
        )
        self.reply(request, status)

    @handles(m.ReadJournal)
    def on_read_journal(self, request: m.ReadJournal) -> None:
        """Tell what still matters, after making durable what was gathered before the question."""
        self._commit()
        now = self.clock.now()
        horizon = Horizon(executions_since=now - LISTED_FOR, ended_since=now - ENDED_READ_BACK)
        told = nothing_known(request.correlation_id)
        try:
            with self._opened().reading() as query:
                for kind in ENTRIES.values():
                    told = kind.read(told, query, horizon)
                knows_nothing = is_empty(query)
        except JournalError as error:
            self.refuse(request, error)
            return
        uncommitted = self._uncommitted.messages
        if uncommitted:
            told = with_uncommitted(told, uncommitted)
        told = attrs.evolve(told, is_empty=knows_nothing and not uncommitted)
        self.reply(request, self._latch.told(told, self.clock.now(), self.entropy.uuid4))
