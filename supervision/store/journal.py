"""The journal actor: the one thread that owns the journal file (D14).

Records that arrive together become durable together: handlers only gather, and `drained` commits once for all of them
and then answers those who wait. A record that is refused does not spoil the batch, and a commit that fails answers
every waiting request with its reason: no durable intent, no order.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import attrs

from actors import messages as m
from actors.errors import GatewayError, WriterReplacedError
from actors.kernel.actor import ActorContext, SupervisedActor
from actors.kernel.handlers import handles
from actors.kernel.messages import Message, Reply, Request
from actors.logic.executions import LISTED_FOR
from actors.ports import EventLog, no_log
from supervision.store.entries import ENTRIES
from supervision.store.entries.kind import Horizon, nothing_known
from supervision.store.journal_batch import Batch
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

    @handles(*ENTRIES)
    def on_entry(self, message: Message) -> None:
        """Put an entry into the batch, unless its writer was replaced or it contradicts the journal.

        One that is not urgent becomes durable with the next that is, or `NOTES_WAIT_S` later.
        """
        kind = ENTRIES[type(message)]
        try:
            writer = self._writer(from_the_dead=kind.from_the_dead(message))
            self._open_batch().add(writer, kind.rows(message, self.clock.now()))
        except (GatewayError, ValueError, TypeError) as error:
            self.log("journal_refused", level="ERROR", what=type(message).__name__, why=str(error))
            if isinstance(message, Request):
                self.refuse(message, error)
            return
        self._urgent |= kind.urgent
        if kind.answer is not None and isinstance(message, Request):
            self._answers.append((message, kind.answer(message)))

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

    @handles(m.ReadJournal)
    def on_read_journal(self, request: m.ReadJournal) -> None:
        """Tell what still matters, after making durable what was gathered before the question."""
        self._commit()
        now = self.clock.now()
        horizon = Horizon(executions_since=now - LISTED_FOR, ended_since=now - ENDED_READ_BACK)
        told = nothing_known(request.correlation_id)
        with self._opened().reading() as query:
            for kind in ENTRIES.values():
                told = kind.read(told, query, horizon)
        self.reply(request, told)
