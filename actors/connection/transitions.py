"""The steps of the connection's state: who is told of each, once, what is recorded, and what the log says (CON-2)."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from actors import messages as m
from actors.connection.link_state import LinkState
from actors.connection.states import ConnectionMachine, transition
from actors.kernel.actor import SupervisedActor
from actors.messages.addresses import (
    EXECUTOR,
    FACADE,
    MARKET_DATA,
    POSITION,
    RECORDS,
    RISK,
    STRATEGY_C,
)
from actors.model.connection import ConnectionState, DisconnectCause
from actors.ports import EventLog

LISTENERS: Final = (RISK, EXECUTOR, STRATEGY_C, POSITION, MARKET_DATA, FACADE)
"""Who is told of every transition, those who refuse orders first."""


class Transitions:
    """Takes the steps of the table, and publishes, records and logs each of them once."""

    def __init__(self, actor: SupervisedActor, link: LinkState, log: EventLog) -> None:
        self._actor = actor
        self._link = link
        self._log = log

    def move(
        self,
        state: ConnectionState,
        reason: str,
        cause: DisconnectCause | None = None,
        *,
        retryable: bool = True,
    ) -> None:
        """Take a step of the table."""
        session_id = self._actor.entropy.uuid4() if state is ConnectionState.CONNECTED else None
        machine = transition(
            self._link.machine,
            state,
            self._actor.clock.monotonic(),
            session_id,
            retryable=retryable,
            lasting_s=self._link.settings.connection.lasting_s,
        )
        self.take_over(machine, reason, cause)

    def take_over(
        self, machine: ConnectionMachine, reason: str, cause: DisconnectCause | None
    ) -> None:
        """Publish a transition and log it, once (CON-2)."""
        link = self._link
        previous, link.machine = link.machine, machine
        event = self._event(previous, machine, reason, cause)
        for address in LISTENERS:
            self._actor.tell(address, event)
        # An incarnation that failed leaves its session behind: its row and its line end now.
        left = link.memory.values.session_id
        if event.session_id is not None:
            link.session_errors = 0
        self._record(left, event)
        self._log_transition(previous, left, event)
        link.remember(session_id=event.session_id, session_began_at=machine.since, session_errors=0)

    def tell_loss(self, reason: str) -> None:
        """Tell that a session is lost after all that was given up for a new one: whoever acts on losses does so now."""
        cause, machine = DisconnectCause.CONNECT_FAILED, self._link.machine
        event = attrs.evolve(
            self._event(machine, machine, reason, cause),
            previous=ConnectionState.CONNECTED,
            planned_until=self._planned_until(ConnectionState.CONNECTED, cause),
        )
        for address in LISTENERS:
            self._actor.tell(address, event)

    def _event(
        self,
        previous: ConnectionMachine,
        machine: ConnectionMachine,
        reason: str,
        cause: DisconnectCause | None,
    ) -> m.ConnectionStateChanged:
        session = self._link.session
        return m.ConnectionStateChanged(
            previous=previous.state,
            state=machine.state,
            session_id=machine.session_id,
            cause=cause,
            reason=reason + self._likely_restart(previous.state, cause),
            at=self._actor.clock.now(),
            account=self._link.account if session else None,
            accounts=session.accounts if session else (),
            client_id_is_fallback=self._link.client_ids.is_fallback,
            planned_until=self._planned_until(previous.state, cause),
        )

    def _planned_until(
        self, left: ConnectionState, cause: DisconnectCause | None
    ) -> datetime | None:
        """Tell when the maintenance ends within which a session is lost; None for every other transition."""
        window = self._link.planned
        is_loss = left is ConnectionState.CONNECTED and cause is not DisconnectCause.ASKED
        return window.ends_at if is_loss and window is not None else None

    def _likely_restart(self, left: ConnectionState, cause: DisconnectCause | None) -> str:
        """Name the likely cause where the gateway closes the socket outside every window (CON-15)."""
        is_closed = left is ConnectionState.CONNECTED and cause is DisconnectCause.SOCKET_CLOSED
        maintenance = self._link.settings.maintenance
        if not is_closed or not maintenance.rules or self._link.planned is not None:
            return ""
        when = (
            "at another time than planned"
            if maintenance.plans_a_restart
            else "which is not planned"
        )
        return f" (likely the gateway's own restart, {when}: set AUTO_RESTART_TIME)"

    # --- records (CON-13) -----------------------------------------------------------------------------------------

    def _record(self, left: str | None, event: m.ConnectionStateChanged) -> None:
        """Close the row of the session that was left, and open that of a new one."""
        if left is not None:
            self._record_end(left, event.state, event.at)
        link, session = self._link, self._link.session
        if event.session_id is None or session is None:
            return
        self._actor.tell(
            RECORDS,
            m.SessionStarted(
                session_id=event.session_id,
                client_id=session.client_id,
                host=link.settings.host,
                port=link.ports.current,
                server_version=session.server_version,
                readonly=link.settings.gateway.readonly,
                at=event.at,
            ),
        )

    def _record_end(self, session_id: str, state: ConnectionState, at: datetime) -> None:
        self._actor.tell(
            RECORDS,
            m.SessionFinished(
                session_id=session_id,
                final_state=state,
                error_count=self._link.memory.values.session_errors,
                at=at,
            ),
        )

    def close_row(self) -> None:
        """Close the row of a session that ends with the tree, without a `Disconnect`."""
        session_id = self._link.memory.values.session_id
        if session_id is not None:
            now = self._actor.clock.now()
            self._record_end(session_id, ConnectionState.DISCONNECTED, now)
            self._link.remember(session_id=None)

    # --- the log (OBS-2) ------------------------------------------------------------------------------------------

    def note(self, event: str, *, level: str = "INFO", **fields: object) -> None:
        """Log an event with where and under which id; its correlation id is the trail."""
        self._log(
            event,
            level=level,
            correlation_id=self._link.trail or None,
            host=self._link.settings.host,
            port=self._link.ports.current,
            client_id=self._link.client_ids.current,
            **fields,
        )

    @property
    def level_of_alarms(self) -> str:
        """How loud a failure is: that the gateway is away during planned maintenance alarms nobody (CON-15)."""
        return "ERROR" if self._link.planned is None else "INFO"

    def _log_transition(
        self, previous: ConnectionMachine, left: str | None, event: m.ConnectionStateChanged
    ) -> None:
        link = self._link
        now = self._actor.clock.monotonic()
        states = {
            "old_state": previous.state.value,
            "new_state": event.state.value,
            "reason": event.reason,
        }
        if event.session_id is not None:
            self.note(
                "connection_success",
                session_id=event.session_id,
                duration=round(now - link.effort_began_at, 3),
                retry_count=max(0, previous.attempts - 1),
                **states,
            )
        elif left is not None:
            self.note(
                "disconnection",
                session_id=left,
                duration=round(now - link.memory.values.session_began_at, 3),
                error_type=(event.cause or DisconnectCause.ACTOR_FAILED).value,
                **states,
            )
        else:
            trail = link.trail or None
            self._log("connection_state", level="DEBUG", correlation_id=trail, **states)
