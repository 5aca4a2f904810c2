"""The records actor: it writes sessions behind the trading, when the database lets it (DB-4).

::

    SessionStarted, SessionFinished ──▶ backlog (bounded, one row a session) ──▶ save, a batch a transaction
                                             ▲                                      │ fails, or takes too long
                                             └── rows stay ◀── wait, longer each time ◀┘

Guarantees: a handler only puts a row into the backlog, so nobody waits for a database; every attempt is cut off after
`Database.statement_timeout_s`; rows leave the backlog when they are committed, never before. An attempt whose
outcome is unknown is repeated: written rows merge.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import attrs

from actors import messages as m
from actors.errors import InvalidRecordError, RecordsError
from actors.kernel.actor import ActorContext
from actors.kernel.handlers import handles
from actors.kernel.loop_actor import LoopActor
from actors.kernel.messages import Message
from actors.logic.backoff import retry_delay_s
from actors.ports import EventLog, no_log
from supervision.config.sections import Database
from supervision.store.records_backlog import Backlog
from supervision.store.records_opening import OpenRecords
from supervision.store.records_port import ConnectionRecords
from supervision.store.records_values import Endpoint, SessionRecord

T = TypeVar("T")

ROWS_PER_TRANSACTION: Final = 500
MOST_ABANDONED: Final = 3
"""So many attempts may hang beyond their cut before no further one is begun."""

SETTLE_S: Final = 1.0
"""So long an attempt may take that runs when the time for the stop is over."""

_SHOWN: Final = 20
"""So many sessions are named in a log line."""

_TURN_S: Final = 0.001


@attrs.frozen(kw_only=True)
class _SignOfLifeDue(Message):
    """The open session's row has to be renewed."""


class RecordsActor(LoopActor):
    """See the module's docstring. ``open_records`` makes the database's side for one incarnation.

    ``endpoint`` tells which sessions are ours. ``is_private``: no other process writes to the database, so whatever it
    holds open is over.
    """

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: Database,
        endpoint: Endpoint,
        backlog: Backlog,
        open_records: OpenRecords,
        is_private: bool = False,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context)
        self.settings = settings
        self._sessions_of = None if is_private else endpoint
        self.log = log
        self._backlog = backlog
        self._open_records = open_records
        self._records: ConnectionRecords | None = None
        self._is_prepared = False
        self._failures = 0
        self._abandoned: set[asyncio.Task[Any]] = set()
        self._ends_at: float | None = None
        self._stopping: asyncio.Event
        self._wake: asyncio.Event
        self._writer: asyncio.Task[Any]

    def started(self) -> None:
        """Begin to write: the schema first, then what earlier processes left open, then what waits."""
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._wake.set()
        self._writer = self.spawn(self._write())
        self.schedule(self.settings.alive_every_s, _SignOfLifeDue())

    # --- what is told ---------------------------------------------------------------------------------------------

    @handles(m.SessionStarted)
    def on_session_started(self, message: m.SessionStarted) -> None:
        """Put the session into the backlog."""
        try:
            record = SessionRecord(
                session_id=message.session_id,
                client_id=message.client_id,
                host=message.host,
                port=message.port,
                server_version=message.server_version,
                readonly=message.readonly,
                connection_time=message.at,
            )
        except InvalidRecordError as error:
            self._backlog.refuse(1)
            self._log_refused(message.session_id, str(error))
            return
        self._backlog.start(record)
        self._wake.set()

    @handles(m.SessionFinished)
    def on_session_finished(self, message: m.SessionFinished) -> None:
        """Put its end there."""
        known = self._backlog.finish(
            message.session_id, message.final_state.value, message.error_count, message.at
        )
        if not known:
            self._log_refused(message.session_id, "its start was not told")
        self._wake.set()

    @handles(_SignOfLifeDue)
    def on_sign_of_life_due(self, _: _SignOfLifeDue) -> None:
        """Keep others from taking our session for one that was left behind."""
        if self._backlog.give_sign_of_life():
            self._wake.set()
        self.schedule(self.settings.alive_every_s, _SignOfLifeDue())

    @handles(m.GetRecordsStatus)
    def on_get_records_status(self, request: m.GetRecordsStatus) -> None:
        """Tell how the writing goes."""
        backlog = self._backlog
        self.reply(
            request,
            m.RecordsStatus(
                correlation_id=request.correlation_id,
                degraded_by=backlog.degraded_by,
                waiting=backlog.waiting,
                dropped=backlog.dropped,
            ),
        )

    # --- writing --------------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        """Write whenever something waits; after a stop until nothing does, or the time for it is over."""
        while self._ends_at is None or (self._backlog.waiting and self.loop.time() < self._ends_at):
            await self._wake.wait()
            self._wake.clear()
            if not await self._try_to_write():
                await self._rest()
                self._wake.set()

    async def _rest(self) -> None:
        """Wait before the next attempt. A stop ends the wait, and those after it are short."""
        if self._ends_at is not None:
            await asyncio.sleep(self.settings.first_delay_s)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._delay_s()):
                await self._stopping.wait()

    def _delay_s(self) -> float:
        settings = self.settings
        return retry_delay_s(
            self._failures,
            settings.first_delay_s,
            settings.max_delay_s,
            settings.jitter_ratio,
            self.entropy.uniform(-1.0, 1.0),
        )

    async def _try_to_write(self) -> bool:
        """Write all that waits; False when the database does not let us."""
        try:
            await self._write_all()
        except RecordsError as error:
            self._is_prepared = False  # it may come back as another one, without our table
            self._failures += 1
            self._say_degraded(str(error))
            return False
        self._failures = 0
        self._say_recovered()
        return True

    async def _write_all(self) -> None:
        if self._records is None:
            self._records = await self._open_records()
        records = self._records
        if not self._is_prepared:
            await self._cut(records.prepare())
            self._is_prepared = True
        if not self._backlog.is_swept:
            await self._sweep(records)
        while rows := self._backlog.next_rows(ROWS_PER_TRANSACTION):
            refused = await self._cut(records.save(rows))
            self._backlog.forget(rows)
            self._backlog.refuse(len(refused))
            for each in refused:
                self._log_refused(each.session_id, each.reason)

    async def _sweep(self, records: ConnectionRecords) -> None:
        """Close what earlier processes left open: ours at once, others' when they give no sign of life."""
        settings, spare = self.settings, self._backlog.alive
        ours = self._sessions_of
        closed = await self._cut(records.cleanup_stale_connections(0.0, endpoint=ours, spare=spare))
        closed += await self._cut(
            records.cleanup_stale_connections(settings.stale_after_s, spare=spare)
        )
        self._backlog.is_swept = True
        if closed:
            self.log("records_closed_stale", level="WARNING", sessions=closed)

    async def _cut(self, work: Coroutine[Any, Any, T]) -> T:
        """Give one call of the database its time, and leave it behind when it does not even let itself be cancelled."""
        if len(self._abandoned) >= MOST_ABANDONED:
            work.close()
            raise RecordsError(f"the database hangs: {MOST_ABANDONED} calls have not come back")
        timeout_s = self.settings.statement_timeout_s
        task = self.loop.create_task(work)
        self._abandoned.add(task)
        task.add_done_callback(self._let_go)
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout_s)
        finally:
            task.cancel()
        if not done:
            raise RecordsError(f"the database did not answer within {timeout_s:g} s")
        return task.result()

    def _let_go(self, task: asyncio.Task[Any]) -> None:
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not complain of an attempt that was left behind

    # --- saying ---------------------------------------------------------------------------------------------------

    def _say_degraded(self, reason: str) -> None:
        if self.has_ended:
            return  # a successor speaks
        if self._backlog.degraded_by is None:
            self.log("records_degraded", level="WARNING", reason=reason, rows=self._backlog.waiting)
        self._backlog.degraded_by = reason

    def _say_recovered(self) -> None:
        if self._backlog.degraded_by is not None and not self.has_ended:
            self._backlog.degraded_by = None
            self.log("records_recovered", dropped=self._backlog.dropped)

    def _log_refused(self, session_id: str, reason: str) -> None:
        self.log("records_refused", level="ERROR", session_id=session_id, reason=reason)

    # --- the end --------------------------------------------------------------------------------------------------

    async def winding_down(self) -> None:
        """Take in what was told before the stop, write what can be written, and name what could not."""
        ends_at = self.loop.time() + self.settings.drain_s
        while self._has_mail() and self.loop.time() < ends_at:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(_TURN_S)
        self._ends_at = ends_at
        self._stopping.set()
        self._wake.set()
        # An attempt that runs is not called off at once: SQLite's driver would leave a thread behind that complains.
        left_s = ends_at - self.loop.time() + SETTLE_S
        await asyncio.wait({self._writer}, timeout=left_s)
        self._writer.cancel()
        self._say_unwritten()
        if self._records is not None:
            with contextlib.suppress(RecordsError):
                await self._cut(self._records.close())

    def _has_mail(self) -> bool:
        return not self.lease.empty()

    def _say_unwritten(self) -> None:
        left = self._backlog.next_rows(_SHOWN)
        if left:
            self.log(
                "records_unwritten",
                level="ERROR",
                rows=self._backlog.waiting,
                sessions=tuple(f"{row.session_id} {row.final_state or 'open'}" for row in left),
            )
