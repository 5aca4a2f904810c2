"""Cancelling orders: one, those of one side of a contract, or all; a cancel needs no permit (ORD-6, STC-2)."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from actors import messages as m
from actors.errors import (
    GatewayError,
    GatewayNotConnectedError,
    GatewayTimeoutError,
    OrderNotFoundError,
)
from actors.executor.acknowledgements import Acknowledgements
from actors.executor.answers import ANSWER_MARGIN_S, Answers
from actors.executor.order_book import OrderBook, Tracked
from actors.executor.publishing import Publishing
from actors.executor.record import is_settled, request_cancel
from actors.executor.session_facts import SessionFacts
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.kernel.messages import Request
from actors.logic.order_table import OrderState
from actors.messages.addresses import LINK
from actors.model.orders import Purpose
from actors.model.trading import Trading
from actors.sections.orders import Orders

DISOBEYED = frozenset({OrderState.ACKNOWLEDGED, OrderState.HELD})
"""Where an order stands that lives on although its cancel was sent."""


LOOK_S = 0.05
"""So often the ends of closes are looked for that are being cancelled."""


class Cancels(Part):
    """Sends cancels, and keeps at it until the order is at its end. Owns which of them wait to be repeated."""

    def __init__(
        self,
        actor: SupervisedActor,
        settings: Orders,
        trading: Trading,
        book: OrderBook,
        session: SessionFacts,
        answers: Answers,
        publishing: Publishing,
        acknowledgements: Acknowledgements,
    ) -> None:
        self._actor = actor
        self._settings = settings
        self._trading = trading
        self._book = book
        self._session = session
        self._answers = answers
        self._publishing = publishing
        self._acknowledgements = acknowledgements
        self._repeating: set[str] = set()

    # --- one order ------------------------------------------------------------------------------------------------

    @handles(m.CancelOrder)
    def on_cancel_order(self, cancel: m.CancelOrder) -> None:
        """Cancel one order; needs no permit, and is answered once the order is at its end."""
        tracked = self._book.by_order_id(cancel.order_id)
        if tracked is None:
            unknown = OrderNotFoundError(f"no order has the id {cancel.order_id}")
            self._actor.refuse(cancel, unknown)
            return
        tracked.cancels.append(cancel)
        if not tracked.record.is_terminal:
            self._answers.answer_by(cancel.deadline, tracked)
        self.cancel(tracked, "cancel asked for")

    def cancel(self, tracked: Tracked, why: str) -> None:
        """Ask for the cancel of one order: in its record, and at the broker when it is there.

        One that cannot be sent yet is owed: at the gate an order has no address yet, and a lost link sends nothing.
        """
        record = request_cancel(tracked.record, self._actor.clock.now())
        is_owed = record.is_live
        address = record.broker_order_id
        if record.is_live and address is not None and self._session.is_addressable(record):
            is_owed = not self._session.connected
            cancel = m.SendCancel(order_ref=record.order_ref, broker_order_id=address)
            self._actor.tell(LINK, cancel)
            if tracked.case is not None:
                tracked.case.probed(self._actor.clock.monotonic())
            self._acknowledgements.expect_acknowledgement(tracked)
        tracked.cancel = tracked.cancel.owed(is_owed)
        self._publishing.update(tracked, record, why)

    def cancel_what_is_owed(self, tracked: Tracked) -> None:
        """Send a cancel that could not be sent before: a remainder must not stay behind unnoticed (ORD-6).

        One that the broker refused or never saw is sent again after a while, for as long as the order lives.
        """
        record = tracked.record
        if tracked.cancel.is_owed:
            self.cancel(tracked, "the cancel is made up for")
        elif record.cancel_requested and record.state in DISOBEYED:
            self._repeat_later(tracked)

    def _repeat_later(self, tracked: Tracked) -> None:
        if tracked.record.order_ref not in self._repeating:
            self._repeating.add(tracked.record.order_ref)
            self._actor.begin_story(self._repeat(tracked))

    async def _repeat(self, tracked: Tracked) -> None:
        """Repeat a cancel that the broker did not obey."""
        await self._actor.sleep(self._settings.cancel_again_after_s)
        self._repeating.discard(tracked.record.order_ref)
        if tracked.record.state in DISOBEYED:
            self.cancel(tracked, "the broker did not cancel it")

    # --- several orders -------------------------------------------------------------------------------------------

    @handles(m.CancelAllOrders)
    async def on_cancel_all_orders(self, message: m.CancelAllOrders) -> None:
        """Cancel whatever works, and answer when all of it is at its end (STC-2)."""
        if not self._trading.sends_orders:
            nothing = m.AllOrdersCancelled(
                correlation_id=message.correlation_id, cancelled=(), simulated=True
            )
            self._actor.reply(message, nothing)
            return
        self._cancel_each(message, self._can_fill(), message.why)
        if message.whole_account or self._session.is_fallback:
            self._actor.tell(LINK, m.SendGlobalCancel())
        if self._session.is_fallback:  # the orders of the first id end without a word to this one
            self._session.ask_for_reconciliation()
        self._answers.answer_cancel_alls()
        await self._give_up_in_time(message)

    @handles(m.CancelCloses)
    async def on_cancel_closes(self, message: m.CancelCloses) -> None:
        """End every close that is not filled; one that is still on its way here is turned away.

        What is asked for afterwards is somebody else's new wish, and left alone. With the link down what was sent is
        owed its cancel, which goes first when the link is back.
        """
        self._book.call_off_what_comes(message.why)
        closes = self._living_closes()
        for tracked in closes:
            self._cancel_for(tracked, message.why)
        while living := [held for held in closes if not is_settled(held.record)]:
            why = self._why_they_live(living, message.deadline)
            if why is not None:
                self._actor.refuse(message, why)
                return
            await self._actor.sleep(LOOK_S)
        ended = tuple(map(self._answers.result_of, closes))
        self._actor.reply(
            message, m.ClosesEnded(correlation_id=message.correlation_id, ended=ended)
        )

    def _living_closes(self) -> list[Tracked]:
        return [
            tracked
            for tracked in self._book
            if tracked.record.purpose is Purpose.CLOSE and not is_settled(tracked.record)
        ]

    def _why_they_live(self, living: Iterable[Tracked], deadline: float) -> GatewayError | None:
        """Say why nothing more is waited for; None while it is worth it."""
        if not self._session.connected:
            return GatewayNotConnectedError("the link is down: nothing can be cancelled")
        if self._actor.clock.monotonic() < deadline - ANSWER_MARGIN_S:
            return None
        names = ", ".join(tracked.record.order_id for tracked in living)
        return GatewayTimeoutError(f"not confirmed ended: {names}")

    @handles(m.CancelRestingOrders)
    async def on_cancel_resting_orders(self, message: m.CancelRestingOrders) -> None:
        """Clear the way of a close, and answer when what stood in it is at its end."""
        resting = [
            tracked
            for tracked in self._can_fill()
            if tracked.record.purpose is Purpose.OPEN
            and tracked.record.order.contract.con_id == message.con_id
            and tracked.record.order.action is message.action
        ]
        self._cancel_each(message, resting, "a close of the position needs its quantity")
        self._answers.answer_cancel_alls()
        await self._give_up_in_time(message)

    def _can_fill(self) -> list[Tracked]:
        """What works as far as is known; the broker is being asked about the rest."""
        return [
            tracked
            for tracked in self._book
            if not is_settled(tracked.record) and tracked.record.state is not OrderState.UNKNOWN
        ]

    def _cancel_each(self, request: Request, orders: Iterable[Tracked], why: str) -> None:
        """Cancel these, and remember who waits for the end of them all."""
        references = frozenset(tracked.record.order_ref for tracked in orders)
        self._answers.wait_for_ends(request, references)
        for tracked in orders:
            self._cancel_for(tracked, why)

    def _cancel_for(self, tracked: Tracked, why: str) -> None:
        """Cancel one order, unless it is at its end, and keep the reason for its caller."""
        if not tracked.record.is_terminal:
            tracked.cancel = attrs.evolve(tracked.cancel, reason=why)
            self.cancel(tracked, why)

    async def _give_up_in_time(self, request: Request) -> None:
        """Name the orders whose end was not confirmed by the deadline."""
        left_s = request.deadline - self._actor.clock.monotonic() - ANSWER_MARGIN_S
        await self._actor.sleep(max(0.0, left_s))
        left = self._answers.give_up_waiting(request)
        if left is not None:
            late = GatewayTimeoutError(f"not confirmed cancelled: {left}")
            self._actor.refuse(request, late)
            self._session.ask_for_reconciliation()  # the confirmations may be lost: the next try has to know
