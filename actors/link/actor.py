"""The link actor: the one thread that speaks to the gateway (D1, D8).

It opens one session at a time, answers what is asked of the gateway, hands on what the gateway says, and holds the
order gate. What it shall do comes as a message; what it has to say goes out as one.

Guarantees: nothing reaches the wire as an order unless `order_gate` let it pass in the same call; the gate closes in
the call in which a loss is seen; every request ends at its deadline, and all of them when the session ends.
"""

from __future__ import annotations

import threading

from actors import messages as m
from actors.errors import OutcomeUnknownError, describe
from actors.kernel.actor import ActorContext
from actors.kernel.handlers import handles
from actors.kernel.loop_actor import LoopActor
from actors.kernel.messages import Message, RequestFailed
from actors.link.memory import LinkMemory
from actors.link.order_entry import OrderEntry
from actors.link.order_gate import OrderGate
from actors.link.orders import OrderSender
from actors.link.requests import Requests
from actors.link.sessions import Sessions
from actors.link.settings import LinkSettings
from actors.messages.addresses import CONNECTION
from actors.model.connection import DisconnectCause
from actors.ports import EventLog, no_log


class LinkActor(LoopActor):
    """See the module's docstring. Everything here runs on the link's loop, `abandoned` excepted."""

    parts = (Sessions, Requests, OrderEntry)

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: LinkSettings,
        memory: LinkMemory | None = None,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context)
        self.memory = memory or LinkMemory()
        self._log = log
        self.gate = OrderGate(
            settings.trading.operator_id, self.clock.now(), positions=self.memory.positions
        )
        self.sessions = self.own(
            Sessions(
                self, settings=settings, gate=self.gate, order_ids=self.memory.order_ids, log=log
            )
        )
        self.own(
            Requests(
                self,
                sessions=self.sessions,
                gate=self.gate,
                history=self.memory.history,
                log=log,
            )
        )
        self.order_entry = self.own(
            OrderEntry(
                self,
                sessions=self.sessions,
                gate=self.gate,
                sender=OrderSender() if settings.trading.sends_orders else None,
                order_ids=self.memory.order_ids,
                log=log,
            )
        )

    def started(self) -> None:
        """Say that whatever session an earlier incarnation had is gone; the gate is closed and has no key."""
        if self.incarnation > 1:
            self.tell(
                CONNECTION,
                m.SessionEnded(
                    link_session=None,
                    cause=DisconnectCause.LINK_FAILED,
                    reason="the link was restarted",
                ),
            )

    def stopping(self) -> None:
        """Close in order."""
        self.sessions.end(DisconnectCause.ASKED, "the link stops", graceful=True)

    def abandoned(self) -> None:
        """Cut the connection; where the actor hung, this runs in another thread than its own."""
        elsewhere = self._own_loop and threading.current_thread() is not self.thread
        self.sessions.abandon(in_another_thread=elsewhere)

    def failure_answer(self, message: Message, error: BaseException) -> Message | None:
        """An order that was at the gate when something broke may have been sent: its fate has to be asked for."""
        if not isinstance(message, m.SendOrder):
            return None
        unknown = OutcomeUnknownError(f"the link failed at the gate: {type(error).__name__}")
        return RequestFailed(correlation_id=message.correlation_id, error=describe(unknown))

    # --- the gate -------------------------------------------------------------------------------------------------

    @handles(m.InstallPermitKey)
    def on_install_permit_key(self, message: m.InstallPermitKey) -> None:
        """Take the key of a new incarnation of risk."""
        self.gate.install_key(message.key)

    @handles(m.SetGate)
    def on_set_gate(self, message: m.SetGate) -> None:
        """Open or close for the connection."""
        if not self.gate.set_open(message.open, message.reason):
            self._log("gate_stays_closed", level="WARNING", reason="the state was not read yet")
        self.order_entry.gate_moved()

    @handles(m.LatchChanged)
    def on_latch_changed(self, message: m.LatchChanged) -> None:
        """Let only closes pass while latched."""
        self.gate.set_latched(message.latched, message.answered_disconnects)

    @handles(m.CloseSettled)
    def on_close_settled(self, message: m.CloseSettled) -> None:
        """Reckon no longer with a close that the executor knows to be dead."""
        self.gate.positions.close_is_dead(message.order_ref)

    @handles(m.WorkingOrdersKnown)
    def on_working_orders_known(self, message: m.WorkingOrdersKnown) -> None:
        """Reckon with the closes that the executor cannot prove dead; those of earlier processes are among them."""
        for order in message.orders:
            self.gate.positions.close_reserved(order)

    @handles(m.QueryGate)
    def on_query_gate(self, request: m.QueryGate) -> None:
        """Tell which orders were sent; the others never will be."""
        self.reply(
            request,
            m.GateAnswered(
                correlation_id=request.correlation_id,
                sent=self.gate.answer(request.order_refs),
                gate_started_at=self.gate.knows_since,
            ),
        )


__all__ = ["LinkActor", "LinkSettings"]
