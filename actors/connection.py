"""The connection actor: it owns the link's state and never gives up on it.

It opens sessions, proves their health, has the world reconciled before anything may be sent, keeps the heartbeat, and
publishes every transition once (CON-2). What state may follow which is in `logic.connection_state`; here is only who is
asked and who is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Final

import attrs

from actors.addresses import Cancellable
from actors.base import ActorContext
from actors.conversations import (
    ANSWERS,
    ConversingActor,
    child_id,
)
from actors.errors import (
    ClientIDInUseError,
    ErrorInfo,
    GatewayConnectionError,
    GatewayError,
    GatewayTimeoutError,
    restore,
)
from actors.logic.accounts import choose_account
from actors.logic.backoff import retry_delay_s
from actors.logic.broker_codes import NoticeMeaning, notice_meaning
from actors.logic.client_ids import ClientIds
from actors.logic.connection_state import (
    ConnectionMachine,
    begin_attempt,
    begin_slow_retry,
    retry_number,
    state_after_failure,
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
    AdoptSession,
    BrokerStateRead,
    Connect,
    Connected,
    ConnectionStateChanged,
    ConnectionStatus,
    ConnectionVerified,
    Disconnect,
    Disconnected,
    EndSession,
    GetConnectionStatus,
    NothingToReconcile,
    NoticeReceived,
    OpeningReadinessChanged,
    OpenSession,
    Probe,
    Probed,
    ProveMarketData,
    ReadBrokerState,
    Reconcile,
    Reconciled,
    ReconciliationCompleted,
    RequestReconciliation,
    SessionEnded,
    SessionOpened,
    VerifyConnection,
)
from actors.messages.journal import JournalRead, RaiseOrderIdFloor, ReadJournal, RecordSession
from actors.messages.lifecycle import Message, Reply, Request
from actors.messages.market_data import QuoteRead
from actors.messages.orders import SetGate
from actors.model.connection import BrokerState, ConnectionState, DisconnectCause
from actors.ports import EventLog, no_log

LISTENERS: Final = (RISK, EXECUTOR, STRATEGY_C, POSITION, MARKET_DATA, GATEWAY)
"""Who is told of every transition, those who refuse orders first."""

RECONCILED_BY: Final = (STRATEGY_C, EXECUTOR, POSITION, RISK)
"""Who has to take over the broker's state before orders flow (CON-11)."""

ANSWER_MARGIN_S: Final = 0.01
"""A `Connect` that waits is answered this much before its deadline, with the last error in the text."""


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


@attrs.frozen(kw_only=True)
class _AttemptDue(Message):
    """It is time for the next attempt of ``epoch``."""

    epoch: int


@attrs.frozen(kw_only=True)
class _ReopenDue(Message):
    """Another try within the attempt of ``epoch``, since the client id was taken."""

    epoch: int


@attrs.frozen(kw_only=True)
class _BeatDue(Message):
    """It is time for the next heartbeat of ``epoch``."""

    epoch: int


@attrs.frozen(kw_only=True)
class _ReconciliationOverdue(Message):
    """Reconciliation ``number`` should have been done by now."""

    number: int


@attrs.frozen(kw_only=True)
class _ProofDue(Message):
    """Market data shall be proved again for ``epoch``."""

    epoch: int


@attrs.frozen(kw_only=True)
class _ConnectOverdue(Message):
    """A `Connect` that waits is about to reach its deadline."""

    correlation_id: str


class ConnectionActor(ConversingActor):
    """See the module's docstring.

    ``epoch`` counts attempts and sessions: a timer or an answer that belongs to an earlier one changes nothing.
    """

    handlers: ClassVar[Mapping[type[Message], str]] = {
        Connect: "on_connect",
        Disconnect: "on_disconnect",
        VerifyConnection: "on_verify_connection",
        GetConnectionStatus: "on_get_connection_status",
        RequestReconciliation: "on_request_reconciliation",
        Reconciled: "on_reconciled",
        SessionEnded: "on_session_ended",
        NoticeReceived: "on_notice_received",
        _AttemptDue: "on_attempt_due",
        _ReopenDue: "on_reopen_due",
        _BeatDue: "on_beat_due",
        _ReconciliationOverdue: "on_reconciliation_overdue",
        _ProofDue: "on_proof_due",
        _ConnectOverdue: "on_connect_overdue",
        JournalRead: "on_answer",
        SessionOpened: "on_answer",
        BrokerStateRead: "on_answer",
        Probed: "on_answer",
        QuoteRead: "on_answer",
        **ANSWERS,
    }

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
        self.requesters: set[str] = set()
        self.next_requesters: set[str] = set()
        self.missed = 0
        self.opening_blocked_by: str | None = "not connected yet"
        self.last_error: str | None = None
        self.connects: dict[str, Connect] = {}
        self.disconnects: list[Disconnect] = []
        self.timer: Cancellable | None = None

    def started(self) -> None:
        """Learn the order id floor, then connect, or take over the session that an earlier incarnation left."""
        self._ask(
            JOURNAL,
            ReadJournal(**self.conversations.of_our_own("journal", self.settings.timeout_s)),
            self._on_journal,
            lambda error: self._give_up(restore(error)),
        )

    def _on_journal(self, reply: Reply) -> None:
        assert isinstance(reply, JournalRead)  # noqa: S101 - the journal answers in kind
        self.floors = dict(reply.order_id_floors)
        self.ready = True
        if self.incarnation == 1:
            if self.wanted:
                self._attempt()
            return
        self.wanted = True
        self._move(ConnectionState.CONNECTING, "restarted")
        self._ask(
            LINK,
            AdoptSession(**self.conversations.of_our_own("adopt", self.settings.timeout_s)),
            self._on_session_opened,
            lambda _: self._open_session(),
        )

    # --- commands -------------------------------------------------------------------------------------------------

    def on_connect(self, request: Connect) -> None:
        """Connect unless that is done or under way; answered once opening readiness is known."""
        self.wanted = True
        if self.machine.state is ConnectionState.CONNECTED and self.opening_blocked_by is None:
            self._answer_connect(request)
            return
        self.connects[request.correlation_id] = request
        left_s = request.deadline - self.clock.monotonic() - ANSWER_MARGIN_S
        self.schedule(max(0.0, left_s), _ConnectOverdue(correlation_id=request.correlation_id))
        resting = self.machine.state in (ConnectionState.DISCONNECTED, ConnectionState.FAILED)
        if self.ready and resting:
            self._attempt()

    def on_connect_overdue(self, message: _ConnectOverdue) -> None:
        """Say why it took so long; the retrying goes on (GW-12)."""
        request = self.connects.pop(message.correlation_id, None)
        if request is None:
            return
        if self.machine.state is ConnectionState.CONNECTED:
            self._answer_connect(request)
            return
        why = f"; the last error was: {self.last_error}" if self.last_error else ""
        self.refuse(
            request,
            GatewayTimeoutError(f"not connected before the deadline, still trying{why}"),
        )

    def on_disconnect(self, request: Disconnect) -> None:
        """End the session in order and stay away (CON-13)."""
        self.wanted = False
        self.disconnects.append(request)
        self._refuse_connects(GatewayConnectionError("disconnect was asked for"))
        self._end_reconciliation()
        self.tell(LINK, SetGate(open=False, reason=request.reason))
        if self.session is None:
            self._disconnected(request.reason)
            return
        self.tell(
            LINK, EndSession(cause=DisconnectCause.ASKED, reason=request.reason, graceful=True)
        )

    def _disconnected(self, reason: str) -> None:
        self._next_epoch()
        if self.machine.state is not ConnectionState.DISCONNECTED:
            self._move(ConnectionState.DISCONNECTED, reason, DisconnectCause.ASKED)
        for request in self.disconnects:
            self.reply(request, Disconnected(correlation_id=request.correlation_id))
        self.disconnects.clear()

    def on_verify_connection(self, request: VerifyConnection) -> None:
        """Make one round trip on the caller's behalf."""
        self.conversations.ask(
            LINK,
            Probe(
                correlation_id=child_id(request.correlation_id, "probe"),
                deadline=request.deadline,
                reply_to=self.name,
            ),
            lambda reply: self._verified(request, reply),
            lambda error: self.refuse(request, restore(error)),
        )

    def _verified(self, request: VerifyConnection, reply: Reply) -> None:
        assert isinstance(reply, Probed)  # noqa: S101 - the link answers in kind
        self.reply(
            request,
            ConnectionVerified(correlation_id=request.correlation_id, latency_ms=reply.latency_ms),
        )

    def on_get_connection_status(self, request: GetConnectionStatus) -> None:
        """Tell where the connection stands."""
        session = self.session
        self.reply(
            request,
            ConnectionStatus(
                correlation_id=request.correlation_id,
                state=self.machine.state,
                session_id=self.machine.session_id,
                attempts=self.machine.attempts,
                server_version=session.server_version if session else None,
                accounts=session.accounts if session else (),
                last_error=self.last_error,
                opening_blocked_by=self.opening_blocked_by,
            ),
        )

    # --- attempts -------------------------------------------------------------------------------------------------

    def on_attempt_due(self, message: _AttemptDue) -> None:
        """Try again, unless something else happened meanwhile."""
        if message.epoch == self.epoch and self.wanted:
            self._attempt()

    def _attempt(self) -> None:
        """Begin one attempt; from FAILED it is one of the slow ones that never end (CON-5)."""
        if self.machine.state is ConnectionState.RECONNECTING:
            self.machine = begin_attempt(self.machine)
        elif self.machine.state is ConnectionState.FAILED and not self.machine.needs_operator:
            self._take_over(
                begin_slow_retry(self.machine, self.clock.monotonic()), "trying again", None
            )
        else:
            self._move(ConnectionState.CONNECTING, "connecting")
        self._open_session()

    def on_reopen_due(self, message: _ReopenDue) -> None:
        """Try again under the client id that is due."""
        if message.epoch == self.epoch and self.wanted:
            self._open_session()

    def _open_session(self) -> None:
        self._next_epoch()
        settings = self.settings
        self.log(
            "connection_attempt",
            host=settings.host,
            port=settings.port,
            client_id=self.client_ids.current,
            retry_count=self.machine.attempts - 1,
        )
        self._ask(
            LINK,
            OpenSession(
                **self.conversations.of_our_own("open", self.settings.timeout_s),
                host=settings.host,
                port=settings.port,
                client_id=self.client_ids.current,
                readonly=settings.readonly,
                order_id_floor=self.floors.get(self.client_ids.current, 0) + 1,
            ),
            self._on_session_opened,
            lambda error: self._attempt_failed(restore(error)),
        )

    def _on_session_opened(self, reply: Reply) -> None:
        assert isinstance(reply, SessionOpened)  # noqa: S101 - the link answers in kind
        self.session = reply
        self._raise_floor(reply.client_id, reply.next_order_id - 1)
        try:
            self.account = choose_account(
                reply.accounts,
                configured=self.settings.account,
                operator_id=self.settings.operator_id,
                require_paper=self.settings.require_paper,
            )
        except GatewayError as error:
            self._give_up(error)
            return
        self._reconcile()

    def _raise_floor(self, client_id: int, highest: int) -> None:
        """Never use an order id again, whatever the gateway says later (D15)."""
        if highest > self.floors.get(client_id, 0):
            self.floors[client_id] = highest
            self.tell(JOURNAL, RaiseOrderIdFloor(client_id=client_id, floor=highest))

    def _attempt_failed(self, error: GatewayError) -> None:
        """Retry what is worth it, at growing intervals; rest at the cap once the retries are used up (CON-5)."""
        self.last_error = str(error)
        if isinstance(error, ClientIDInUseError) and self._try_other_id():
            return
        self.log(
            "connection_failure",
            level="ERROR",
            host=self.settings.host,
            port=self.settings.port,
            client_id=self.client_ids.current,
            error_type=type(error).__name__,
            error_message=str(error),
            retry_count=self.machine.attempts - 1,
        )
        if not self.wanted:
            self._disconnected("asked")
        elif not error.retryable:
            self._give_up(error)
        elif state_after_failure(self.machine, retryable=True) is ConnectionState.FAILED:
            self._drop_session(DisconnectCause.LINK_FAILED, str(error))
            self._move(ConnectionState.FAILED, str(error))
            self._schedule_attempt(self.settings.max_delay_s)
        else:
            self._drop_session(DisconnectCause.LINK_FAILED, str(error))
            if self.machine.state is ConnectionState.CONNECTING:
                self._move(ConnectionState.RECONNECTING, str(error))
            self._schedule_attempt(self._retry_delay_s())

    def _try_other_id(self) -> bool:
        """Try the same id again for a while, since its old session may be dying, then the next ones (CON-8)."""
        taken = self.client_ids.current
        following = self.client_ids.after_conflict()
        self.log(
            "client_id_conflict", level="WARNING", client_id=taken, conflicts=following.conflicts
        )
        self.client_ids = following
        if following.is_exhausted or not self.wanted:
            self.client_ids = self.client_ids.from_the_start()
            return False
        self._next_epoch()
        delay_s = self.settings.same_id_delay_s if following.current == taken else 0.0
        self.timer = self.schedule(delay_s, _ReopenDue(epoch=self.epoch))
        return True

    def _retry_delay_s(self) -> float:
        settings = self.settings
        return retry_delay_s(
            retry_number(self.machine),
            settings.first_delay_s,
            settings.max_delay_s,
            settings.jitter_ratio,
            self.entropy.uniform(-1.0, 1.0),
        )

    def _give_up(self, error: GatewayError) -> None:
        """Stop trying: an operator has to mend this first."""
        self.last_error = str(error)
        self._end_reconciliation()
        self._drop_session(DisconnectCause.LINK_FAILED, str(error))
        self._next_epoch()
        if self.machine.state is ConnectionState.DISCONNECTED:
            self._move(ConnectionState.CONNECTING, "connecting")
        self._move(ConnectionState.FAILED, str(error), retryable=False)
        self._refuse_connects(error)

    def _schedule_attempt(self, delay_s: float) -> None:
        self._next_epoch()
        self.timer = self.schedule(delay_s, _AttemptDue(epoch=self.epoch))

    def _next_epoch(self) -> None:
        self.epoch += 1
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _drop_session(self, cause: DisconnectCause, reason: str) -> None:
        if self.session is not None:
            self.session = None
            self.tell(LINK, EndSession(cause=cause, reason=reason))

    # --- reconciliation -------------------------------------------------------------------------------------------

    def on_request_reconciliation(self, message: RequestReconciliation) -> None:
        """Read the world again for an actor that was restarted."""
        if self.session is None:
            self.tell(message.sender, NothingToReconcile())
            return
        self.next_requesters.add(message.sender)
        if not self.outstanding:
            self._reconcile()

    def _reconcile(self) -> None:
        """Read the broker's state; nothing is opened while that is under way (CON-11)."""
        self.requesters |= self.next_requesters
        self.next_requesters = set()
        self.number += 1
        self.outstanding = set(RECONCILED_BY)
        self.tell(LINK, SetGate(open=False, reason="reconciling"))
        self.schedule(self.settings.timeout_s, _ReconciliationOverdue(number=self.number))
        self._ask(
            LINK,
            ReadBrokerState(
                **self.conversations.of_our_own("state", self.settings.timeout_s),
                account=self.account,
            ),
            lambda reply: self._on_broker_state(reply),
            lambda error: self._lost(DisconnectCause.REQUEST_UNANSWERED, error.text),
        )

    def _on_broker_state(self, reply: Reply) -> None:
        assert isinstance(reply, BrokerStateRead)  # noqa: S101 - the link answers in kind
        if self.session is None or self.account is None:
            return
        message = Reconcile(
            number=self.number,
            state=reply.state,
            account=self.account,
            client_id=self.session.client_id,
            client_id_is_fallback=self.client_ids.is_fallback,
        )
        self._log_state(reply.state)
        for address in RECONCILED_BY:
            self.tell(address, message)

    def _log_state(self, state: BrokerState) -> None:
        self.log(
            "broker_state_read",
            positions=len(state.holdings),
            open_orders=len(state.open_orders),
            executions=len(state.executions),
        )

    def _end_reconciliation(self) -> None:
        """Give up a reconciliation that is under way: whoever waits for it may serve what needs no session."""
        self.number += 1
        self.outstanding.clear()
        for requester in sorted(self.requesters | self.next_requesters):
            self.tell(requester, NothingToReconcile())
        self.requesters.clear()
        self.next_requesters.clear()

    def on_reconciled(self, message: Reconciled) -> None:
        """Open the gate once everybody has taken over the broker's state."""
        if message.number != self.number or self.session is None:
            return
        for difference in message.differences:
            self.log("reconciled", level="WARNING", actor=message.sender, difference=difference)
        self.outstanding.discard(message.sender)
        if self.outstanding:
            return
        if self.next_requesters:
            self._reconcile()
            return
        self._established()

    def on_reconciliation_overdue(self, message: _ReconciliationOverdue) -> None:
        """A reconciliation that does not end is a link that does not work."""
        if message.number == self.number and self.outstanding and self.session is not None:
            missing = ", ".join(sorted(self.outstanding))
            self._lost(DisconnectCause.REQUEST_UNANSWERED, f"not reconciled in time: {missing}")

    def _established(self) -> None:
        """Open the gate, then say so: whoever hears of it can act at once."""
        self.tell(LINK, SetGate(open=True, reason="reconciled"))
        for requester in sorted(self.requesters):
            self.tell(requester, ReconciliationCompleted(number=self.number))
        self.requesters.clear()
        if self.machine.state is ConnectionState.CONNECTED:
            self._tell_readiness()  # to a risk actor that was restarted meanwhile
            return
        self.missed = 0
        self.last_error = None
        self._next_epoch()
        self._move(ConnectionState.CONNECTED, "reconciled")
        self.timer = self.schedule(self.settings.heartbeat_s, _BeatDue(epoch=self.epoch))
        self._prove_market_data()

    # --- health ---------------------------------------------------------------------------------------------------

    def on_beat_due(self, message: _BeatDue) -> None:
        """Make a round trip; a link that does not answer is lost even while its socket is open (CON-9)."""
        if message.epoch != self.epoch or self.session is None:
            return
        epoch = self.epoch
        self._ask(
            LINK,
            Probe(
                correlation_id=self.entropy.uuid4(),
                deadline=self.clock.monotonic() + self.settings.heartbeat_timeout_s,
                reply_to=self.name,
            ),
            lambda reply: self._beat_answered(epoch, reply),
            lambda error: self._beat_missed(epoch, error),
        )

    def _beat_answered(self, epoch: int, reply: Reply) -> None:
        assert isinstance(reply, Probed)  # noqa: S101 - the link answers in kind
        if epoch != self.epoch:
            return
        self.missed = 0
        self.log("heartbeat", level="DEBUG", latency_ms=round(reply.latency_ms, 3))
        self.timer = self.schedule(self.settings.heartbeat_s, _BeatDue(epoch=epoch))

    def _beat_missed(self, epoch: int, error: ErrorInfo) -> None:
        if epoch != self.epoch:
            return
        self.missed += 1
        self.log("heartbeat_missed", level="WARNING", missed=self.missed, reason=error.text)
        if self.missed >= self.settings.missed_beats:
            self._lost(DisconnectCause.SILENCE, f"{self.missed} heartbeats were not answered")
        else:
            self.tell(self.name, _BeatDue(epoch=epoch))

    def on_proof_due(self, message: _ProofDue) -> None:
        """Prove market data again."""
        if message.epoch == self.epoch and self.machine.state is ConnectionState.CONNECTED:
            self._prove_market_data()

    def _prove_market_data(self) -> None:
        """Only opening needs market data: a gateway without it must still let us close (CON-4)."""
        epoch = self.epoch
        self._ask(
            MARKET_DATA,
            ProveMarketData(
                **self.conversations.of_our_own("proof", self.settings.timeout_s),
                symbol=self.settings.probe_symbol,
            ),
            lambda _: self._readiness(epoch, None),
            lambda error: self._readiness(epoch, f"market data does not answer: {error.text}"),
        )

    def _readiness(self, epoch: int, blocked_by: str | None) -> None:
        if epoch != self.epoch:
            return
        if self.client_ids.is_fallback:
            blocked_by = blocked_by or self.client_ids.explanation
        self.opening_blocked_by = blocked_by
        self._tell_readiness()
        if blocked_by is not None:
            self.log("opening_blocked", level="WARNING", reason=blocked_by)
            self.schedule(self.settings.probe_retry_s, _ProofDue(epoch=epoch))
        for request in self.connects.values():
            self._answer_connect(request)
        self.connects.clear()

    def _tell_readiness(self) -> None:
        blocked_by = self.opening_blocked_by
        self.tell(RISK, OpeningReadinessChanged(ready=blocked_by is None, reason=blocked_by))

    # --- loss -----------------------------------------------------------------------------------------------------

    def on_session_ended(self, message: SessionEnded) -> None:
        """Take note that the socket is gone."""
        if self.disconnects:
            self.session = None
            self._disconnected("asked")
            return
        if self.session is None:
            return
        if message.link_session in (None, self.session.link_session):
            self.session = None
            self._lost(message.cause, message.reason)

    def on_notice_received(self, message: NoticeReceived) -> None:
        """Obey the gateway's notices on connectivity (CON-10)."""
        if self.session is None or message.link_session != self.session.link_session:
            return
        meaning = notice_meaning(message.code, message.text).meaning
        self.log("notice", level="DEBUG", code=message.code, text=message.text)
        if meaning is NoticeMeaning.UPSTREAM_LOST:
            self._upstream_lost(message.text)
        elif meaning in (NoticeMeaning.RESTORED, NoticeMeaning.RESTORED_DATA_LOST):
            if self.machine.state is ConnectionState.RECONNECTING:
                self._reconcile()
        elif meaning is NoticeMeaning.PORT_RESET:
            self._lost(DisconnectCause.PORT_RESET, message.text)

    def _upstream_lost(self, text: str) -> None:
        """The socket stays, and IB will say when it is back; the heartbeat goes on watching the socket."""
        if self.machine.state is ConnectionState.CONNECTED:
            self.opening_blocked_by = text
            self._move(ConnectionState.RECONNECTING, text, DisconnectCause.UPSTREAM_LOST)

    def _lost(self, cause: DisconnectCause, reason: str) -> None:
        """Leave a session that does not work, and try for another at once."""
        self.last_error = reason
        self.client_ids = self.client_ids.from_the_start()
        self._end_reconciliation()
        self.opening_blocked_by = reason
        self._drop_session(cause, reason)
        self._next_epoch()
        if self.machine.state is ConnectionState.CONNECTED:
            self._move(ConnectionState.RECONNECTING, reason, cause)
            self._schedule_attempt(0.0)
        elif self.machine.state in (ConnectionState.CONNECTING, ConnectionState.RECONNECTING):
            self._attempt_failed(GatewayConnectionError(reason))

    # --- telling --------------------------------------------------------------------------------------------------

    def _move(
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
        self._take_over(machine, reason, cause)

    def _take_over(
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

    def _answer_connect(self, request: Connect) -> None:
        session_id = self.machine.session_id
        if session_id is None:
            self.refuse(request, GatewayConnectionError("the link was lost again"))
            return
        self.reply(request, Connected(correlation_id=request.correlation_id, session_id=session_id))

    def _refuse_connects(self, error: GatewayError) -> None:
        for request in self.connects.values():
            self.refuse(request, error)
        self.connects.clear()

    def _ask(
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
