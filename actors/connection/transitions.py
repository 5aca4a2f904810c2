"""What all parts of the connection actor stand on: its state, and who is told of every transition, once (CON-2)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from actors.connection.client_ids import ClientIds
from actors.connection.data_health import DataHealth
from actors.connection.gateway_ports import GatewayPorts
from actors.connection.memory import ConnectionMemory
from actors.connection.settings import ConnectionSettings
from actors.connection.states import (
    ConnectionMachine,
    transition,
)
from actors.errors import (
    ErrorInfo,
    GatewayConnectionError,
    GatewayError,
)
from actors.kernel.actor import ActorContext
from actors.kernel.addresses import Cancellable
from actors.kernel.conversations import ConversingActor
from actors.kernel.messages import Reply, Request
from actors.kernel.stories import RequestHeader, child_id
from actors.logic.maintenance import Window
from actors.messages.addresses import (
    EXECUTOR,
    FACADE,
    LINK,
    MARKET_DATA,
    POSITION,
    RECORDS,
    RISK,
    STRATEGY_C,
)
from actors.messages.connection import (
    Connect,
    Connected,
    ConnectionStateChanged,
    Disconnect,
    EndSession,
    NothingToReconcile,
    OpeningReadinessChanged,
    SessionOpened,
)
from actors.messages.records import SessionFinished, SessionStarted
from actors.model.connection import ConnectionState, DisconnectCause, LayerHealth
from actors.ports import Breaker, EventLog, MemoryReading, no_log, no_memory_reading

LISTENERS: Final = (RISK, EXECUTOR, STRATEGY_C, POSITION, MARKET_DATA, FACADE)
"""Who is told of every transition, those who refuse orders first."""


class ConnectionDesk(ConversingActor):
    """The state of the connection.

    ``epoch`` counts attempts and sessions: a timer or an answer that belongs to an earlier one changes nothing.
    ``attempting``: an attempt began and has neither failed nor led to a session that is reconciled. ``trail`` is the
    correlation id of what goes on: the caller's who asked to connect, or one of our own since the last loss.
    ``session_errors`` counts missed beats, notices of trouble and unanswered requests of the established session.
    """

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: ConnectionSettings,
        breaker: Breaker,
        memory: ConnectionMemory,
        read_memory_mb: MemoryReading = no_memory_reading,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context)
        self.settings = settings
        self.breaker = breaker
        self.memory = memory
        self.read_memory_mb = read_memory_mb
        self.log = log
        self.machine = ConnectionMachine(max_attempts=settings.retries + 1)
        self.ready = False
        self.epoch = 0
        self.trail = ""
        self.questions = 0
        self.attempting = False
        self.effort_began_at = 0.0
        self.effort_ends_at = 0.0
        self.opening_id: str | None = None
        self.socket_was_open = False
        self.trouble: LayerHealth | None = None
        self.session: SessionOpened | None = None
        self.account: str | None = None
        self.floors: dict[int, int] = {}
        self.client_ids = ClientIds.starting_at(
            settings.client_id, settings.same_id_retries, settings.client_id_tries
        )
        self.number = 0
        self.outstanding: set[str] = set()
        self.state_told = False
        self.requesters: set[str] = set()
        self.next_requesters: set[str] = set()
        self.upstream_lost = False
        self.upstream_lost_at = 0.0
        self.missed = 0
        self.missed_at: float | None = None
        self.is_beating = False
        self.answered_at: float | None = None
        self.latency_ms: float | None = None
        self.ticked_at: float | None = None
        self.proof = 0
        self.proof_asked_at = self.clock.now()
        self.proof_timer: Cancellable | None = None
        self.readiness_known = False
        self.obstacle_told: str | None = None
        self.session_errors = 0
        self.last_error: str | None = None
        self.connects: dict[str, Connect] = {}
        self.disconnects: list[Disconnect] = []
        self.timer: Cancellable | None = None

    def reconcile(self) -> None:
        """Have the world reconciled, since a session was opened; the actor says how."""
        raise NotImplementedError

    # --- what outlives this incarnation ---------------------------------------------------------------------------

    @property
    def wanted(self) -> bool:
        """Whether somebody wants a connection."""
        return self.memory.values.wanted

    @property
    def ports(self) -> GatewayPorts:
        """Where the gateway listens."""
        return self.memory.values.ports

    @property
    def data(self) -> DataHealth:
        """What is known of market data."""
        return self.memory.values.data

    def remember(self, **changes: object) -> None:
        """Keep values for a successor."""
        self.memory.keep(self.incarnation, **changes)

    def count_error(self) -> None:
        """Count one more error of the session."""
        self.session_errors += 1
        self.remember(session_errors=self.session_errors)

    # --- telling --------------------------------------------------------------------------------------------------

    def move(
        self,
        state: ConnectionState,
        reason: str,
        cause: DisconnectCause | None = None,
        *,
        retryable: bool = True,
    ) -> None:
        """Take a step of the table."""
        session_id = self.entropy.uuid4() if state is ConnectionState.CONNECTED else None
        now = self.clock.monotonic()
        machine = transition(
            self.machine,
            state,
            now,
            session_id,
            retryable=retryable,
            lasting_s=self.settings.lasting_s,
        )
        self.take_over(machine, reason, cause)

    def take_over(
        self, machine: ConnectionMachine, reason: str, cause: DisconnectCause | None
    ) -> None:
        """Publish a transition and log it, once (CON-2)."""
        previous, self.machine = self.machine, machine
        session = self.session
        event = ConnectionStateChanged(
            previous=previous.state,
            state=machine.state,
            session_id=machine.session_id,
            cause=cause,
            reason=reason,
            at=self.clock.now(),
            account=self.account if session else None,
            accounts=session.accounts if session else (),
            client_id_is_fallback=self.client_ids.is_fallback,
            planned_until=self._planned_until(previous.state, cause),
        )
        for address in LISTENERS:
            self.tell(address, event)
        # An incarnation that failed leaves its session behind: its row and its line end now.
        left = self.memory.values.session_id
        if event.session_id is not None:
            self.session_errors = 0
        self._record(left, event)
        self._log_transition(previous, left, event)
        self.remember(session_id=event.session_id, session_began_at=machine.since, session_errors=0)

    def _planned_until(
        self, left: ConnectionState, cause: DisconnectCause | None
    ) -> datetime | None:
        """Tell when the maintenance ends within which a session is lost; None for every other transition."""
        window = self.planned
        is_loss = left is ConnectionState.CONNECTED and cause is not DisconnectCause.ASKED
        return window.ends_at if is_loss and window is not None else None

    @property
    def planned(self) -> Window | None:
        """The maintenance that is going on."""
        return self.settings.maintenance.window_at(self.clock.now())

    def _record(self, left: str | None, event: ConnectionStateChanged) -> None:
        """Close the row of the session that was left, and open that of a new one (CON-13)."""
        if left is not None:
            self._record_end(left, event.state, event.at)
        session = self.session
        if event.session_id is not None and session is not None:
            self.tell(
                RECORDS,
                SessionStarted(
                    session_id=event.session_id,
                    client_id=session.client_id,
                    host=self.settings.host,
                    port=self.ports.current,
                    server_version=session.server_version,
                    readonly=self.settings.readonly,
                    at=event.at,
                ),
            )

    def _record_end(self, session_id: str, state: ConnectionState, at: datetime) -> None:
        self.tell(
            RECORDS,
            SessionFinished(
                session_id=session_id,
                final_state=state,
                error_count=self.memory.values.session_errors,
                at=at,
            ),
        )

    def stopping(self) -> None:
        """Close the row of a session that ends with the tree, without a `Disconnect` (CON-13)."""
        session_id = self.memory.values.session_id
        if session_id is not None:
            self._record_end(session_id, ConnectionState.DISCONNECTED, self.clock.now())
            self.remember(session_id=None)

    # --- the log (OBS-2) ------------------------------------------------------------------------------------------

    @property
    def retry_count(self) -> int:
        """How many retries this round has had, the running attempt included."""
        return max(0, self.machine.attempts - 1)

    def note(self, event: str, *, level: str = "INFO", **fields: object) -> None:
        """Log an event with where and under which id; its correlation id is the trail."""
        self.log(
            event,
            level=level,
            correlation_id=self.trail or None,
            host=self.settings.host,
            port=self.ports.current,
            client_id=self.client_ids.current,
            **fields,
        )

    def _log_transition(
        self, previous: ConnectionMachine, left: str | None, event: ConnectionStateChanged
    ) -> None:
        now = self.clock.monotonic()
        states = {
            "old_state": previous.state.value,
            "new_state": event.state.value,
            "reason": event.reason,
        }
        if event.session_id is not None:
            self.note(
                "connection_success",
                session_id=event.session_id,
                duration=round(now - self.effort_began_at, 3),
                retry_count=max(0, previous.attempts - 1),
                **states,
            )
        elif left is not None:
            self.note(
                "disconnection",
                session_id=left,
                duration=round(now - self.memory.values.session_began_at, 3),
                error_type=(event.cause or DisconnectCause.ACTOR_FAILED).value,
                **states,
            )
        else:
            self.log("connection_state", level="DEBUG", correlation_id=self.trail or None, **states)

    def answer_connect(self, request: Connect) -> None:
        """Answer a `Connect` with the session, or with its loss."""
        session_id = self.machine.session_id
        if session_id is None:
            self.refuse(request, GatewayConnectionError("the link was lost again"))
            return
        self.reply(request, Connected(correlation_id=request.correlation_id, session_id=session_id))

    def refuse_connects(self, error: GatewayError) -> None:
        """Tell everybody who waits for a connection why there is none."""
        for request in self.connects.values():
            self.refuse(request, error)
        self.connects.clear()

    def ask(
        self,
        to: str,
        request: Request,
        on_reply: Callable[[Reply], None],
        on_failure: Callable[[ErrorInfo], None],
    ) -> None:
        """Ask, and continue only while the epoch that asked still lasts."""
        epoch = self.epoch

        def replied(reply: Reply) -> None:
            if epoch == self.epoch:
                on_reply(reply)

        def failed(error: ErrorInfo) -> None:
            if epoch == self.epoch:
                on_failure(error)

        self.conversations.ask(to, request, replied, failed)

    def header(self, step: str, ends_at: float) -> RequestHeader:
        """Head a request of what goes on now; ``ends_at`` is its deadline in monotonic seconds."""
        self.questions += 1
        return {
            "correlation_id": child_id(self.trail, f"{step}-{self.incarnation}-{self.questions}"),
            "deadline": ends_at,
            "reply_to": self.name,
        }

    # --- readiness ------------------------------------------------------------------------------------------------

    @property
    def opening_blocked_by(self) -> str | None:
        """Say what forbids opening now, the gravest reason first; None when nothing does."""
        window = self.settings.maintenance.obstacle(self.clock.now())
        if window is not None:
            return str(window)
        if self.machine.state is not ConnectionState.CONNECTED:
            return self.last_error or "not connected yet"
        if self.client_ids.is_fallback:
            return self.client_ids.explanation
        return self.data.obstacle

    def tell_readiness(self) -> None:
        """Tell risk whether anything may be opened, and log it when that changed."""
        blocked_by = self.opening_blocked_by
        self.tell(RISK, OpeningReadinessChanged(ready=blocked_by is None, reason=blocked_by))
        if blocked_by == self.obstacle_told:
            return
        self.obstacle_told = blocked_by
        if blocked_by is None:
            self.log("opening_allowed")
        else:
            level = "WARNING" if self.planned is None else "INFO"
            self.log("opening_blocked", level=level, reason=blocked_by)

    def end_reconciliation(self) -> None:
        """Give up a reconciliation that is under way: whoever waits for it may serve what needs no session."""
        self.number += 1
        self.outstanding.clear()
        for requester in sorted(self.requesters | self.next_requesters):
            self.tell(requester, NothingToReconcile())
        self.requesters.clear()
        self.next_requesters.clear()

    def next_epoch(self) -> None:
        """Leave behind the timers and answers of what was under way."""
        self.epoch += 1
        self.is_beating = False
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def drop_session(self, cause: DisconnectCause, reason: str) -> None:
        """Have the link end the session, when there is one."""
        if self.session is not None:
            self.session = None
            self.tell(LINK, EndSession(cause=cause, reason=reason))
