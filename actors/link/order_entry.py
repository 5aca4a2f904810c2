"""Where orders meet the gate and the wire: judged and written in one call (D13).

Proof of life and turn at the wire first, then the gate, then the bytes: nothing sits between "allowed" and "sent".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from actors import messages as m
from actors.errors import GatewayError, GatewayTimeoutError
from actors.kernel.handlers import Part, handles
from actors.kernel.loop_actor import LoopActor
from actors.kernel.mailbox import Sender
from actors.link.deadlines import left_s
from actors.link.memory import OrderIds
from actors.link.order_gate import Attempt, OrderGate
from actors.link.orders import OrderSender
from actors.link.pacing import WINDOW_S, PacingLane
from actors.link.session import Session
from actors.link.sessions import Sessions
from actors.model.connection import GateState
from actors.model.orders import GateRefusal, Purpose, WireOrder
from actors.ports import EventLog

POSITION_CONFIRMED_S: Final = 5.0
"""Positions come as they change, in the order of all bytes: any byte says that none had changed before it."""


TURN_HOLDS_S: Final = WINDOW_S - 1.0
"""Messages are counted over so much more than IB's second: one that leaves so late is within what was counted.

A wire at its limit is silent for a second after each burst, so that every order has to ask for a proof of life when its
turn comes. Were that turn lost, each order would need two."""


class OrderEntry(Part):
    """Sends orders and cancels. ``sender`` None: there is nothing behind the gate (MODE-1)."""

    def __init__(
        self,
        link: LoopActor,
        *,
        sessions: Sessions,
        gate: OrderGate,
        sender: OrderSender | None,
        order_ids: OrderIds,
        log: EventLog,
    ) -> None:
        self._link = link
        self._sessions = sessions
        self._gate = gate
        self._sender = sender
        self._order_ids = order_ids
        self._log = log
        self._moved = asyncio.Event()
        self._waiting = 0  # so many orders wait for a proof of life or a turn: none overtakes them

    # --- orders ---------------------------------------------------------------------------------------------------

    @handles(m.SendOrder)
    def on_send_order(self, request: m.SendOrder) -> None:
        """Pass the gate and write in one step; or wait for a proof of life and a turn at the wire first."""
        sender, session = self._link.sender, self._sessions.current
        closing = request.order.purpose is Purpose.CLOSE
        lane = PacingLane.CLOSE if closing else PacingLane.OPENING
        closed = self._gate.state is GateState.CLOSED and not self._gate.is_paused
        if session is None or closed or (self._gate.is_restricted and not closing):
            self._pass(request, sender)  # which says why not
        elif self._gate.is_paused:
            self._waiting += 1
            self._link.spawn(self._pass_later(request, sender, session, lane))
        elif not self._waiting and _is_proved(session, closing) and session.pacer.try_now(lane):
            self._pass(request, sender)
        else:
            self._waiting += 1
            self._link.spawn(self._pass_later(request, sender, session, lane))

    async def _pass_later(
        self, request: m.SendOrder, sender: Sender, session: Session, lane: PacingLane
    ) -> None:
        """Wait for proof and turn; the gate judges when both have come, so that what happened meanwhile counts."""
        restrictions = self._gate.restrictions
        try:
            await self._wait_while_paused(request)
            await self._prove_life(request, session)
            turn_at = await self._take_turn(request, session, lane)
            closing = request.order.purpose is Purpose.CLOSE
            while not _is_proved(session, closing):  # the turn was long in coming
                await self._prove_life(request, session)
                if self._link.clock.monotonic() - turn_at > TURN_HOLDS_S:
                    turn_at = await self._take_turn(request, session, lane)
        except GatewayError as error:
            self._give_up(request, str(error))
        else:
            forbidden = restrictions != self._gate.restrictions and not self._gate.is_restricted
            if forbidden and request.order.purpose is Purpose.OPEN:
                why = "opening was forbidden while the order waited at the gate"
                self._give_up(request, why)
            else:
                self._pass(request, sender)
        finally:
            self._waiting -= 1

    def gate_moved(self) -> None:
        """Let those who wait for the gate look again."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def _wait_while_paused(self, request: m.SendOrder) -> None:
        """Hold the order while the broker's state is read in a healthy session: a moment, and no reason to refuse.

        It waits no longer than its permit is good; the gate says then what it thinks of it.
        """
        ends_at = min(request.deadline, request.permit.expires_at)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, ends_at - self._link.clock.monotonic())):
                while self._gate.is_paused:
                    await self._moved.wait()

    async def _take_turn(self, request: m.SendOrder, session: Session, lane: PacingLane) -> float:
        """Wait for a turn; returns when it came."""
        try:
            async with asyncio.timeout(left_s(request, self._link.clock)):
                await session.pacer.turn(lane)
        except TimeoutError:
            raise GatewayTimeoutError(
                "its turn at the wire did not come before the deadline"
            ) from None
        return self._link.clock.monotonic()

    async def _prove_life(self, request: m.SendOrder, session: Session) -> None:
        """Hold the order until a gateway that was silent has answered; known not sent is better than unknown.

        Raises `GatewayTimeoutError` when its deadline or its permit ends first, or the gateway does not answer.
        """
        if _is_proved(session, request.order.purpose is Purpose.CLOSE):
            return
        silent_s = session.liveness.silent_s
        began_at = self._link.clock.monotonic()
        ends_at = min(request.deadline, request.permit.expires_at)
        try:
            async with asyncio.timeout(max(0.0, ends_at - began_at)):
                await session.liveness.ask(before_an_order=True)
        except TimeoutError:
            waited_s = self._link.clock.monotonic() - began_at
            raise GatewayTimeoutError(
                f"not sent: the gateway had been silent for {silent_s:.3f} s and gave no proof of life "
                f"in {waited_s:.3f} s"
            ) from None

    def _pass(self, request: m.SendOrder, sender: Sender) -> None:
        order, session = request.order, self._sessions.current
        attempt = Attempt(
            order=order,
            permit=request.permit,
            deadline=request.deadline,
            sender_superseded=sender.superseded,
        )
        refusal = self._gate.refusal(attempt, self._link.clock.monotonic())
        if refusal is not None:
            self._refuse(request, refusal.reason, refusal.kind)
        elif session is None or not session.client.can_write:
            self._give_up(request, "the connection takes no bytes")
        elif self._sender is None:
            self._simulate(request, order)
        else:
            self._write(request, order, session, self._sender)

    def _write(
        self, request: m.SendOrder, order: WireOrder, session: Session, sender: OrderSender
    ) -> None:
        order_id = order.broker_order_id
        if order_id is None:
            try:
                order_id = self._order_ids.draw()
            except GatewayError as error:
                self._give_up(request, str(error))
                return
        now = self._link.clock.now()
        sequence = self._gate.passed(order, order_id, now)
        self._sessions.repeats.forget(order_id)
        sender.place(session.client, order_id, order)
        self._link.reply(
            request,
            m.OrderSent(
                correlation_id=request.correlation_id,
                order_ref=order.order_ref,
                broker_order_id=order_id,
                gate_sequence=sequence,
                sent_at=now,
            ),
        )

    def _simulate(self, request: m.SendOrder, order: WireOrder) -> None:
        sequence = self._gate.passed(order, None, self._link.clock.now())
        self._link.reply(
            request,
            m.OrderSimulated(
                correlation_id=request.correlation_id,
                order_ref=order.order_ref,
                gate_sequence=sequence,
            ),
        )

    def _give_up(self, request: m.SendOrder, reason: str) -> None:
        now = self._link.clock.monotonic()
        self._refuse(request, self._gate.give_up(request.order, request.permit, reason, now))

    def _refuse(
        self, request: m.SendOrder, reason: str, kind: GateRefusal = GateRefusal.OTHER
    ) -> None:
        self._link.reply(
            request,
            m.OrderRefusedAtGate(
                correlation_id=request.correlation_id,
                order_ref=request.order.order_ref,
                reason=reason,
                kind=kind,
            ),
        )

    # --- cancels --------------------------------------------------------------------------------------------------

    @handles(m.SendCancel)
    def on_send_cancel(self, message: m.SendCancel) -> None:
        """Cancel one order; needs no permit."""
        sender = self._sender
        if sender is not None:
            self._cancel(lambda session: sender.cancel(session.client, message.broker_order_id))

    @handles(m.SendGlobalCancel)
    def on_send_global_cancel(self, _: m.SendGlobalCancel) -> None:
        """Cancel every order of the account, those of other clients too."""
        sender = self._sender
        if sender is not None:
            self._cancel(lambda session: sender.cancel_all(session.client))

    def _cancel(self, write: Callable[[Session], None]) -> None:
        """Write at once, or with the first turn; without a session there is nothing to write to.

        What the gateway says next is an answer, also when it says the same as before.
        """
        session = self._sessions.current
        if session is None or not session.is_ready or session.readonly:
            self._log("cancel_not_sent", level="WARNING", reason="no session takes orders")
        elif session.pacer.try_now(PacingLane.CLOSE):
            with suppress(GatewayError):  # the end of the session follows, and is reported
                self._sessions.repeats.forget_all()
                write(session)
        else:
            self._link.spawn(self._cancel_later(session, write))

    async def _cancel_later(self, session: Session, write: Callable[[Session], None]) -> None:
        with suppress(
            GatewayError
        ):  # the session ended: its orders are read again after the next one began
            await session.pacer.turn(PacingLane.CLOSE)
            self._sessions.repeats.forget_all()
            write(session)


def _is_proved(session: Session, closing: bool) -> bool:
    """Whether the gateway lives, and for a close, that the stream of positions was heard of lately."""
    heard = session.liveness.silent_s <= POSITION_CONFIRMED_S
    return session.liveness.is_proved and (heard or not closing)
