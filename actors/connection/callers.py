"""Who waits for the connection to come, or to go."""

from __future__ import annotations

from typing import Final

import attrs

from actors import messages as m
from actors.connection.link_state import LinkState
from actors.errors import GatewayConnectionError, GatewayError, GatewayTimeoutError
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.kernel.messages import Message

ANSWER_MARGIN_S: Final = 0.01
"""A `Connect` that waits is answered this much before its deadline, with the last error in the text."""


@attrs.frozen(kw_only=True)
class ConnectOverdue(Message):
    """A `Connect` that waits is about to reach its deadline; told to oneself."""

    correlation_id: str


class Callers(Part):
    """The requests to connect and to disconnect that are not answered yet."""

    def __init__(self, actor: SupervisedActor, link: LinkState) -> None:
        self._actor = actor
        self._link = link
        self._connects: dict[str, m.Connect] = {}
        self._disconnects: list[m.Disconnect] = []

    @property
    def want_to_disconnect(self) -> bool:
        """Whether somebody waits for the end of the session."""
        return bool(self._disconnects)

    def wait_for_connection(self, request: m.Connect) -> None:
        """Answer later: when opening readiness is known, or just before the deadline."""
        self._connects[request.correlation_id] = request
        left_s = request.deadline - self._actor.clock.monotonic() - ANSWER_MARGIN_S
        overdue = ConnectOverdue(correlation_id=request.correlation_id)
        self._actor.schedule(max(0.0, left_s), overdue)

    @handles(ConnectOverdue)
    def on_connect_overdue(self, message: ConnectOverdue) -> None:
        """Say why it took so long; the retrying goes on (GW-12)."""
        request = self._connects.pop(message.correlation_id, None)
        if request is None:
            return
        if self._link.is_connected:
            self.answer_connect(request)
            return
        last_error = self._link.last_error
        why = f"; the last error was: {last_error}" if last_error else ""
        text = f"not connected before the deadline, still trying{why}"
        self._actor.refuse(request, GatewayTimeoutError(text))

    def answer_connect(self, request: m.Connect) -> None:
        """Answer a `Connect` with the session, or with its loss."""
        session_id = self._link.machine.session_id
        if session_id is None:
            self._actor.refuse(request, GatewayConnectionError("the link was lost again"))
            return
        connected = m.Connected(correlation_id=request.correlation_id, session_id=session_id)
        self._actor.reply(request, connected)

    def answer_connects(self) -> None:
        """Answer everybody who waits for a connection."""
        for request in self._connects.values():
            self.answer_connect(request)
        self._connects.clear()

    def refuse_connects(self, error: GatewayError) -> None:
        """Tell everybody who waits for a connection why there is none."""
        for request in self._connects.values():
            self._actor.refuse(request, error)
        self._connects.clear()

    def wait_for_end(self, request: m.Disconnect) -> None:
        """Answer once there is no session any more."""
        self._disconnects.append(request)

    def answer_disconnects(self) -> None:
        """Answer everybody who waited for the end of the session."""
        for request in self._disconnects:
            self._actor.reply(request, m.Disconnected(correlation_id=request.correlation_id))
        self._disconnects.clear()
