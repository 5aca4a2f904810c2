"""What all parts of the connection actor stand on: its state, and who is told of every transition, once (CON-2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from actors.addresses import Cancellable
from actors.base import ActorContext
from actors.conversations import (
    ConversingActor,
)
from actors.errors import (
    ErrorInfo,
    GatewayConnectionError,
    GatewayError,
)
from actors.logic.client_ids import ClientIds
from actors.logic.connection_state import (
    ConnectionMachine,
    transition,
)
from actors.messages.addresses import (
    EXECUTOR,
    GATEWAY,
    JOURNAL,
    LINK,
    MARKET_DATA,
    POSITION,
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
from actors.messages.journal import RecordSession
from actors.messages.lifecycle import Reply, Request
from actors.model.connection import ConnectionState, DisconnectCause
from actors.ports import EventLog, no_log

LISTENERS: Final = (RISK, EXECUTOR, STRATEGY_C, POSITION, MARKET_DATA, GATEWAY)
"""Who is told of every transition, those who refuse orders first."""


@attrs.frozen(kw_only=True)
class ConnectionSettings:
    """What the actor needs of ``[gateway]`` and ``[connection]``; times in seconds."""

    host: str
    port: int
    client_id: int = 1
    timeout_s: float = 30.0
    readonly: bool = False
    account: str = ""
    operator_id: str = ""
    require_paper: bool = False
    retries: int = 6
    first_delay_s: float = 1.0
    max_delay_s: float = 32.0
    jitter_ratio: float = 0.2
    lasting_s: float = 60.0
    heartbeat_s: float = 30.0
    heartbeat_timeout_s: float = 5.0
    missed_beats: int = 2
    same_id_retries: int = 3
    same_id_delay_s: float = 1.0
    client_id_tries: int = 10
    probe_symbol: str = "SPY"
    probe_retry_s: float = 5.0
    connect_at_start: bool = True


class ConnectionDesk(ConversingActor):
    """The state of the connection.

    ``epoch`` counts attempts and sessions: a timer or an answer that belongs to an earlier one changes nothing.
    """

    def __init__(
        self, context: ActorContext, *, settings: ConnectionSettings, log: EventLog = no_log
    ) -> None:
        super().__init__(context)
        self.settings = settings
        self.log = log
        self.machine = ConnectionMachine(max_attempts=settings.retries + 1)
        self.ready = False
        self.wanted = settings.connect_at_start
        self.epoch = 0
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
        self.missed = 0
        self.missed_at: float | None = None
        self.is_beating = False
        self.opening_blocked_by: str | None = "not connected yet"
        self.last_error: str | None = None
        self.connects: dict[str, Connect] = {}
        self.disconnects: list[Disconnect] = []
        self.timer: Cancellable | None = None

    def reconcile(self) -> None:
        """Have the world reconciled, since a session was opened; the actor says how."""
        raise NotImplementedError

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
        )
        for address in LISTENERS:
            self.tell(address, event)
        self._record(previous.session_id, event)
        self._log_transition(previous, event)

    def _record(self, left: str | None, event: ConnectionStateChanged) -> None:
        """Open or close the session's row (CON-13)."""
        session_id = left or event.session_id
        if session_id is not None:
            self.tell(
                JOURNAL,
                RecordSession(
                    session_id=session_id, state=event.state, detail=event.reason, at=event.at
                ),
            )

    def _log_transition(self, previous: ConnectionMachine, event: ConnectionStateChanged) -> None:
        settings = self.settings
        if ConnectionState.CONNECTED not in (event.state, previous.state):
            self.log(
                "connection_state",
                level="DEBUG",
                old_state=previous.state.value,
                new_state=event.state.value,
                reason=event.reason,
            )
            return
        connected = event.state is ConnectionState.CONNECTED
        self.log(
            "connection_success" if connected else "disconnection",
            host=settings.host,
            port=settings.port,
            client_id=self.client_ids.current,
            session_id=event.session_id or previous.session_id,
            old_state=previous.state.value,
            new_state=event.state.value,
            reason=event.reason,
        )

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

    def tell_readiness(self) -> None:
        """Tell risk whether anything may be opened."""
        blocked_by = self.opening_blocked_by
        self.tell(RISK, OpeningReadinessChanged(ready=blocked_by is None, reason=blocked_by))

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
