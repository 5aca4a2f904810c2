"""How the connection wins a session: attempts, retries, breaker, client ids; and how it gives one up (CON-5, 6, 8).

::

    attempt ──▶ opens a session ──▶ reconciles ──▶ CONNECTED                       breaker: a success
       ▲              └──────────────┴──▶ failed                                   breaker: a failure
       │                                    ├─ worth a retry: the longer of backoff and breaker, then again
       └────────────────────────────────────┤     (FAILED once the retries are used up: then at the cap, for ever)
                                            └─ not worth one: FAILED until an operator asks to connect

Client ids that are taken are tried in turn within one attempt. The half-open breaker counts a second success when the
connection's heartbeat is answered: so it closes on one connection that lasts, as well as on two that do not.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from actors.connection.accounts import choose_account
from actors.connection.data_health import DataHealth
from actors.connection.health_layers import failed_layer
from actors.connection.states import (
    begin_attempt,
    begin_slow_retry,
    retry_number,
    state_after_failure,
)
from actors.connection.transitions import ConnectionDesk
from actors.errors import (
    ClientIDInUseError,
    GatewayError,
    restore,
)
from actors.kernel.handlers import handles
from actors.kernel.messages import Message, Reply
from actors.logic.backoff import retry_delay_s
from actors.messages.addresses import (
    JOURNAL,
    LINK,
)
from actors.messages.connection import (
    Disconnected,
    OpenSession,
    OrderIdsLeapt,
    SessionOpened,
    SocketOpened,
)
from actors.messages.journal import RaiseOrderIdFloor
from actors.model.connection import ConnectionState, DisconnectCause, HealthLayer, LayerHealth


@attrs.frozen(kw_only=True)
class AttemptDue(Message):
    """It is time for the next attempt of ``epoch``."""

    epoch: int


@attrs.frozen(kw_only=True)
class ReopenDue(Message):
    """Another try within the attempt of ``epoch``, since the client id was taken."""

    epoch: int


class ConnectionAttempts(ConnectionDesk):
    """Retries what is worth it for as long as the process lives, and waits for an operator where it is not."""

    # --- attempts -------------------------------------------------------------------------------------------------

    @handles(AttemptDue)
    def on_attempt_due(self, message: AttemptDue) -> None:
        """Try again, unless something else happened meanwhile."""
        if message.epoch == self.epoch and self.wanted:
            self.attempt()

    def attempt(self) -> None:
        """Begin one attempt, or wait for the breaker; from FAILED it is one of the slow ones that never end (CON-5)."""
        now = self.clock.monotonic()
        rest_s = self.breaker.rest_s(now)
        if rest_s > 0.0:
            self.schedule_attempt(rest_s)
            return
        self.client_ids = self.client_ids.from_the_start()
        if self.machine.state is ConnectionState.RECONNECTING:
            self.machine = begin_attempt(self.machine)
        elif self.machine.state is ConnectionState.FAILED and not self.machine.needs_operator:
            self.take_over(begin_slow_retry(self.machine, now), "trying again", None)
        else:
            self.move(ConnectionState.CONNECTING, "connecting")
        self.begin_attempt()

    def begin_attempt(self) -> None:
        """Open a session as an attempt that the machine has counted."""
        self.begin_effort(self.settings.timeout_s)
        self.attempting = True
        self.tell_breaker(self.breaker.begin, "it has rested, and an attempt begins")
        self.open_session()

    def begin_effort(self, limit_s: float) -> None:
        """Note when the way to a session begins, and when it has to end."""
        self.effort_began_at = self.clock.monotonic()
        self.effort_ends_at = self.effort_began_at + limit_s

    def tell_breaker(self, tell: Callable[[float], None], reason: str) -> None:
        """Feed the breaker, and log what it makes of it."""
        before = self.breaker.state
        tell(self.clock.monotonic())
        if self.breaker.state is not before:
            self.note(
                "circuit_breaker_state_change",
                level=self.level_of_alarms,
                old_state=before.value,
                new_state=self.breaker.state.value,
                reason=reason,
            )

    @property
    def level_of_alarms(self) -> str:
        """How loud a failure is: that the gateway is away during planned maintenance alarms nobody (CON-15)."""
        return "ERROR" if self.planned is None else "INFO"

    @handles(ReopenDue)
    def on_reopen_due(self, message: ReopenDue) -> None:
        """Try again under the client id that is due; each id is given the whole time of an attempt."""
        if message.epoch == self.epoch and self.wanted:
            self.effort_ends_at = self.clock.monotonic() + self.settings.timeout_s
            self.open_session()

    def open_session(self) -> None:
        """Ask the link for a session under the client id that is due."""
        self.next_epoch()
        self.note("connection_attempt", retry_count=self.retry_count)
        request = OpenSession(
            **self.header("open", self.effort_ends_at),
            host=self.settings.host,
            port=self.ports.current,
            client_id=self.client_ids.current,
            readonly=self.settings.readonly,
            order_id_floor=self.floors.get(self.client_ids.current, 0) + 1,
        )
        self.opening_id, self.socket_was_open = request.correlation_id, False
        self.remember(data=DataHealth())  # of the farms, the gateway tells each session anew
        self.ask(
            LINK,
            request,
            self.on_session_opened,
            lambda error: self.attempt_failed(restore(error)),
        )

    @handles(SocketOpened)
    def on_socket_opened(self, message: SocketOpened) -> None:
        """Know that a failure from now on is not the network's."""
        if message.correlation_id == self.opening_id:
            self.socket_was_open = True

    def on_session_opened(self, reply: Reply) -> None:
        """Check and choose the account, then reconcile."""
        assert isinstance(reply, SessionOpened)  # noqa: S101 - it answers in kind
        self.session, self.upstream_lost = reply, reply.upstream_lost
        self.answered_at = self.latency_ms = self.ticked_at = None
        self.remember(ports=self.ports.after_success())
        self.raise_floor(reply.client_id, reply.next_order_id - 1)
        try:
            self.account = choose_account(
                reply.accounts,
                configured=self.settings.account,
                operator_id=self.settings.operator_id,
                require_paper=self.settings.require_paper,
            )
        except GatewayError as error:
            self.attempt_failed(error, HealthLayer.HANDSHAKE)
            return
        self.reconcile()

    @handles(OrderIdsLeapt)
    def on_order_ids_leapt(self, message: OrderIdsLeapt) -> None:
        """Make a new floor durable."""
        self.raise_floor(message.client_id, message.highest)

    def raise_floor(self, client_id: int, highest: int) -> None:
        """Never use an order id again, whatever the gateway says later (D15)."""
        if highest > self.floors.get(client_id, 0):
            self.floors[client_id] = highest
            self.tell(JOURNAL, RaiseOrderIdFloor(client_id=client_id, floor=highest))

    # --- failure --------------------------------------------------------------------------------------------------

    def attempt_failed(self, error: GatewayError, layer: HealthLayer | None = None) -> None:
        """Retry what is worth it, at growing intervals; rest at the cap once the retries are used up (CON-5)."""
        self.last_error = str(error)
        layer = layer or failed_layer(
            error,
            socket_was_open=self.socket_was_open,
            session_was_open=self.session is not None,
        )
        self.trouble = LayerHealth(layer=layer, ok=False, detail=str(error))
        if isinstance(error, ClientIDInUseError) and self._try_other_id(error):
            return
        self._note_failure(error)
        self.attempting = False
        self.tell_breaker(self.breaker.failed, f"attempts failed, the last one with: {error}")
        self.remember(ports=self.ports.after_failure())
        if not self.wanted:
            self.disconnected("asked")
        elif not error.retryable:
            self.fail_for_good(error)
        elif state_after_failure(self.machine, retryable=True) is ConnectionState.FAILED:
            self.drop_session(DisconnectCause.LINK_FAILED, str(error))
            self.move(ConnectionState.FAILED, str(error))
            self._retry_after(self.settings.max_delay_s, error)
        else:
            self.drop_session(DisconnectCause.LINK_FAILED, str(error))
            if self.machine.state is ConnectionState.CONNECTING:
                self.move(ConnectionState.RECONNECTING, str(error))
            self._retry_after(self.retry_delay_s(), error)

    def _note_failure(self, error: GatewayError) -> None:
        self.note(
            "connection_failure",
            level=self.level_of_alarms,
            duration=round(self.clock.monotonic() - self.effort_began_at, 3),
            error_type=type(error).__name__,
            error_message=str(error),
            retry_count=self.retry_count,
        )

    def _try_other_id(self, error: ClientIDInUseError) -> bool:
        """Try the same id again for a while, since its old session may be dying, then the next ones (CON-8)."""
        taken = self.client_ids.current
        self.note(
            "client_id_conflict",
            level="WARNING",
            error_type=type(error).__name__,
            error_message=str(error),
            retry_count=self.retry_count,
        )
        following = self.client_ids.after_conflict()
        if following.is_exhausted or not self.wanted:
            return False
        self.client_ids = following
        self.next_epoch()
        delay_s = self.settings.same_id_delay_s if following.current == taken else 0.0
        self.timer = self.schedule(delay_s, ReopenDue(epoch=self.epoch))
        return True

    def retry_delay_s(self) -> float:
        """Draw the wait before the next retry of this round."""
        settings = self.settings
        return retry_delay_s(
            retry_number(self.machine),
            settings.first_delay_s,
            settings.max_delay_s,
            settings.jitter_ratio,
            self.entropy.uniform(-1.0, 1.0),
        )

    def _retry_after(self, backoff_s: float, error: GatewayError) -> None:
        """Wait for the longer of backoff and breaker."""
        delay_s = max(backoff_s, self.breaker.rest_s(self.clock.monotonic()))
        self.note(
            "connection_retry",
            error_type=type(error).__name__,
            delay_s=round(delay_s, 3),
            retry_count=self.machine.attempts,
        )
        self.schedule_attempt(delay_s)

    def fail_for_good(self, error: GatewayError) -> None:
        """Stop trying: an operator has to mend this first, and says so by asking to connect."""
        self.last_error = str(error)
        self.remember(wanted=False, last_error=self.last_error)
        self.end_reconciliation()
        self.drop_session(DisconnectCause.LINK_FAILED, str(error))
        self.next_epoch()
        self.move(ConnectionState.FAILED, str(error), retryable=False)
        self.refuse_connects(error)

    def schedule_attempt(self, delay_s: float) -> None:
        """Try again after a delay."""
        self.next_epoch()
        self.timer = self.schedule(delay_s, AttemptDue(epoch=self.epoch))

    def disconnected(self, reason: str) -> None:
        """Settle in DISCONNECTED and answer who asked for it."""
        self.next_epoch()
        self.attempting = False
        if self.machine.state is not ConnectionState.DISCONNECTED:
            self.move(ConnectionState.DISCONNECTED, reason, DisconnectCause.ASKED)
        for request in self.disconnects:
            self.reply(request, Disconnected(correlation_id=request.correlation_id))
        self.disconnects.clear()
