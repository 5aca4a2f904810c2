"""How the world is read and taken over before anything may be sent, after every (re)connection (CON-11)."""

from __future__ import annotations

from typing import Final

import attrs

from actors.connection.heartbeat import BeatDue, ConnectionHealth
from actors.errors import ErrorInfo
from actors.kernel.handlers import handles
from actors.kernel.messages import Message, Reply
from actors.messages.addresses import (
    EXECUTOR,
    LINK,
    POSITION,
    RISK,
    STRATEGY_C,
)
from actors.messages.connection import (
    BrokerStateRead,
    NothingToReconcile,
    ReadBrokerState,
    Reconcile,
    Reconciled,
    ReconciliationCompleted,
    RequestReconciliation,
)
from actors.messages.orders import SetGate
from actors.model.connection import BrokerState, ConnectionState, DisconnectCause

RECONCILED_BY: Final = (STRATEGY_C, RISK, EXECUTOR, POSITION)
"""Who has to take over the broker's state before orders flow (CON-11); risk before the executor, which tells it its
working orders: so risk has them before it judges any order that is not among them."""


@attrs.frozen(kw_only=True)
class ReconciliationOverdue(Message):
    """Reconciliation ``number`` should have been done by now."""

    number: int


class ConnectionReconciliation(ConnectionHealth):
    """Reads the broker's state, has everybody take it over, and opens the gate when all have."""

    @handles(RequestReconciliation)
    def on_request_reconciliation(self, message: RequestReconciliation) -> None:
        """Read the world again for an actor that was restarted, or that has to know how it is now.

        One that was told the state and has not answered may have failed with it in its hands: this is begun anew.
        """
        if self.session is None or self.upstream_lost:
            self.tell(message.sender, NothingToReconcile())
            return
        self.next_requesters.add(message.sender)
        if not self.outstanding or (self.state_told and message.sender in self.outstanding):
            self.reconcile()

    def reconcile(self) -> None:
        """Read the broker's state; nothing is opened while that is under way (CON-11)."""
        self.requesters |= self.next_requesters
        self.next_requesters = set()
        self.number += 1
        self.outstanding, self.state_told = set(RECONCILED_BY), False
        self.tell(LINK, SetGate(open=False, reason="reconciling"))
        number, now = self.number, self.clock.monotonic()
        ends_at = self.effort_ends_at if self.attempting else now + self.settings.timeout_s
        self.schedule(max(0.0, ends_at - now), ReconciliationOverdue(number=number))
        self.ask(
            LINK,
            ReadBrokerState(
                **self.header("state", ends_at),
                account=self.account,
            ),
            lambda reply: self._on_broker_state(number, reply),
            lambda error: self._state_unread(number, error),
        )

    def _state_unread(self, number: int, error: ErrorInfo) -> None:
        """A read that still matters and has no answer is a link that does not work."""
        if number == self.number:
            self.lost(DisconnectCause.REQUEST_UNANSWERED, error.text)

    def _on_broker_state(self, number: int, reply: Reply) -> None:
        assert isinstance(reply, BrokerStateRead)  # noqa: S101 - it answers in kind
        if self.session is None or self.account is None or number != self.number:
            return
        self.answered_at = self.clock.monotonic()
        message = Reconcile(
            number=self.number,
            state=reply.state,
            account=self.account,
            client_id=self.session.client_id,
            client_id_is_fallback=self.client_ids.is_fallback,
            is_connected=self.machine.state is ConnectionState.CONNECTED,
        )
        self.state_told = True
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

    @handles(Reconciled)
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
            self.reconcile()
            return
        self._established()

    @handles(ReconciliationOverdue)
    def on_reconciliation_overdue(self, message: ReconciliationOverdue) -> None:
        """A reconciliation that does not end is a link that does not work."""
        if message.number == self.number and self.outstanding and self.session is not None:
            missing = ", ".join(sorted(self.outstanding))
            self.lost(DisconnectCause.REQUEST_UNANSWERED, f"not reconciled in time: {missing}")

    def _established(self) -> None:
        """Open the gate, then say so: whoever hears of it can act at once."""
        if self.upstream_lost:
            self.wait_for_upstream()
            return
        self.tell(LINK, SetGate(open=True, reason="reconciled"))
        for requester in sorted(self.requesters | {EXECUTOR}):
            self.tell(requester, ReconciliationCompleted(number=self.number))
        self.requesters.clear()
        if self.machine.state is ConnectionState.CONNECTED:
            self.tell_readiness()  # to a risk actor that was restarted meanwhile
            return
        self.missed = 0
        self.last_error = self.trouble = None
        self.next_epoch()
        self.move(ConnectionState.CONNECTED, "reconciled")
        if self.attempting:
            self.attempting = False
            self.tell_breaker(self.breaker.succeeded, "a connection was established")
        self.timer = self.schedule(self.settings.heartbeat_s, BeatDue(epoch=self.epoch))
        self.demand_a_tick()
