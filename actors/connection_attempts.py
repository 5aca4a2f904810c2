"""How the connection wins a session: attempts, retries, client ids; and how it gives one up (CON-5, CON-8)."""

from __future__ import annotations

import attrs

from actors.connection_desk import ConnectionDesk
from actors.errors import (
    ClientIDInUseError,
    GatewayError,
    restore,
)
from actors.logic.accounts import choose_account
from actors.logic.backoff import retry_delay_s
from actors.logic.connection_state import (
    begin_attempt,
    begin_slow_retry,
    retry_number,
    state_after_failure,
)
from actors.messages.addresses import (
    JOURNAL,
    LINK,
)
from actors.messages.connection import (
    Disconnected,
    OpenSession,
    SessionOpened,
)
from actors.messages.journal import RaiseOrderIdFloor
from actors.messages.lifecycle import Message, Reply
from actors.model.connection import ConnectionState, DisconnectCause


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

    def on_attempt_due(self, message: AttemptDue) -> None:
        """Try again, unless something else happened meanwhile."""
        if message.epoch == self.epoch and self.wanted:
            self.attempt()

    def attempt(self) -> None:
        """Begin one attempt; from FAILED it is one of the slow ones that never end (CON-5)."""
        if self.machine.state is ConnectionState.RECONNECTING:
            self.machine = begin_attempt(self.machine)
        elif self.machine.state is ConnectionState.FAILED and not self.machine.needs_operator:
            self.take_over(
                begin_slow_retry(self.machine, self.clock.monotonic()), "trying again", None
            )
        else:
            self.move(ConnectionState.CONNECTING, "connecting")
        self.open_session()

    def on_reopen_due(self, message: ReopenDue) -> None:
        """Try again under the client id that is due."""
        if message.epoch == self.epoch and self.wanted:
            self.open_session()

    def open_session(self) -> None:
        """Ask the link for a session under the client id that is due."""
        self.next_epoch()
        settings = self.settings
        self.log(
            "connection_attempt",
            host=settings.host,
            port=settings.port,
            client_id=self.client_ids.current,
            retry_count=self.machine.attempts - 1,
        )
        self.ask(
            LINK,
            OpenSession(
                **self.conversations.of_our_own("open", self.settings.timeout_s),
                host=settings.host,
                port=settings.port,
                client_id=self.client_ids.current,
                readonly=settings.readonly,
                order_id_floor=self.floors.get(self.client_ids.current, 0) + 1,
            ),
            self.on_session_opened,
            lambda error: self.attempt_failed(restore(error)),
        )

    def on_session_opened(self, reply: Reply) -> None:
        """Check and choose the account, then reconcile."""
        assert isinstance(reply, SessionOpened)  # noqa: S101 - the link answers in kind
        self.session, self.upstream_lost = reply, False
        self.raise_floor(reply.client_id, reply.next_order_id - 1)
        try:
            self.account = choose_account(
                reply.accounts,
                configured=self.settings.account,
                operator_id=self.settings.operator_id,
                require_paper=self.settings.require_paper,
            )
        except GatewayError as error:
            self.fail_for_good(error)
            return
        self.reconcile()

    def raise_floor(self, client_id: int, highest: int) -> None:
        """Never use an order id again, whatever the gateway says later (D15)."""
        if highest > self.floors.get(client_id, 0):
            self.floors[client_id] = highest
            self.tell(JOURNAL, RaiseOrderIdFloor(client_id=client_id, floor=highest))

    def attempt_failed(self, error: GatewayError) -> None:
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
            self.disconnected("asked")
        elif not error.retryable:
            self.fail_for_good(error)
        elif state_after_failure(self.machine, retryable=True) is ConnectionState.FAILED:
            self.drop_session(DisconnectCause.LINK_FAILED, str(error))
            self.move(ConnectionState.FAILED, str(error))
            self.schedule_attempt(self.settings.max_delay_s)
        else:
            self.drop_session(DisconnectCause.LINK_FAILED, str(error))
            if self.machine.state is ConnectionState.CONNECTING:
                self.move(ConnectionState.RECONNECTING, str(error))
            self.schedule_attempt(self._retry_delay_s())

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
        self.next_epoch()
        delay_s = self.settings.same_id_delay_s if following.current == taken else 0.0
        self.timer = self.schedule(delay_s, ReopenDue(epoch=self.epoch))
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

    def fail_for_good(self, error: GatewayError) -> None:
        """Stop trying: an operator has to mend this first."""
        self.last_error = str(error)
        self.end_reconciliation()
        self.drop_session(DisconnectCause.LINK_FAILED, str(error))
        self.next_epoch()
        if self.machine.state is ConnectionState.DISCONNECTED:
            self.move(ConnectionState.CONNECTING, "connecting")
        self.move(ConnectionState.FAILED, str(error), retryable=False)
        self.refuse_connects(error)

    def schedule_attempt(self, delay_s: float) -> None:
        """Try again after a delay."""
        self.next_epoch()
        self.timer = self.schedule(delay_s, AttemptDue(epoch=self.epoch))

    def disconnected(self, reason: str) -> None:
        """Settle in DISCONNECTED and answer who asked for it."""
        self.next_epoch()
        if self.machine.state is not ConnectionState.DISCONNECTED:
            self.move(ConnectionState.DISCONNECTED, reason, DisconnectCause.ASKED)
        for request in self.disconnects:
            self.reply(request, Disconnected(correlation_id=request.correlation_id))
        self.disconnects.clear()
