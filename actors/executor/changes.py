"""Changing and cancelling orders, and what happens when a caller's deadline comes (ORD-3, ORD-6, STC-2)."""

from __future__ import annotations

import attrs

from actors.errors import (
    GatewayError,
    GatewayTimeoutError,
    ModeError,
    OrderNotFoundError,
    restore,
)
from actors.executor.audit_notes import change_sent
from actors.executor.broker_reports import OrderReports
from actors.executor.order_book import Tracked
from actors.executor.record import (
    begin_change,
    is_settled,
    request_cancel,
    signed_remaining,
)
from actors.kernel.handlers import handles
from actors.kernel.messages import Message, Reply, Request
from actors.logic.order_table import WORKING, OrderState
from actors.logic.order_validation import validate_modification
from actors.messages.addresses import (
    JOURNAL,
    LINK,
    RISK,
)
from actors.messages.journal import (
    RecordModification,
)
from actors.messages.orders import (
    AllOrdersCancelled,
    CancelAllOrders,
    CancelOrder,
    CancelRestingOrders,
    GetOpenOrders,
    ModifyOrder,
    OpenOrdersRead,
    OrderRefusedAtGate,
    OrderSent,
    SendCancel,
    SendGlobalCancel,
    SendOrder,
)
from actors.messages.risk import OrderApproved, OrderRejected, RequestApproval
from actors.model.market import Quote
from actors.model.orders import (
    Permit,
    Purpose,
    TradeRequest,
    WaitFor,
    WireOrder,
)

ANSWER_MARGIN_S = 0.005
"""The caller is answered this much before its deadline, so that the answer is there in time."""

DISOBEYED = frozenset({OrderState.ACKNOWLEDGED, OrderState.HELD})
"""Where an order stands that lives on although its cancel was sent."""


@attrs.frozen(kw_only=True)
class CancelDue(Message):
    """The order's remainder shall be cancelled now (ORD-6)."""

    order_ref: str


@attrs.frozen(kw_only=True)
class CancelAgain(Message):
    """The broker left alive what was to be cancelled; it shall be told once more."""

    order_ref: str


@attrs.frozen(kw_only=True)
class AnswerDue(Message):
    """Whoever waits for the order has to be answered now."""

    order_ref: str


@attrs.frozen(kw_only=True)
class CancelAllDue(Message):
    """Whoever waits for all cancels has to be answered now."""

    correlation_id: str


def _is_being_cancelled(tracked: Tracked) -> bool:
    return tracked.owes_cancel or tracked.record.state is OrderState.CANCELLING


class OrderChanges(OrderReports):
    """A change needs a permit for its new content; a cancel needs none."""

    # --- changing and cancelling ----------------------------------------------------------------------------------

    @handles(ModifyOrder)
    def on_modify_order(self, modify: ModifyOrder) -> None:
        """Have the new terms approved and send them under the same broker order id (ORD-3)."""
        tracked = self.book.by_order_id(modify.order_id)
        if tracked is None or tracked.record.state not in WORKING:
            state = "unknown" if tracked is None else tracked.record.state
            self.refuse(
                modify,
                OrderNotFoundError(f"order {modify.order_id} is not working (it is {state})"),
            )
            return
        if self.latched is not None and tracked.record.purpose is Purpose.OPEN:
            self.refuse(modify, ModeError(f"Strategy C is latched: {self.latched}"))
            return
        if _is_being_cancelled(tracked):
            self.refuse(modify, ModeError(f"order {modify.order_id} is being cancelled"))
            return
        if not self.is_addressable(tracked.record):
            why = f"order {modify.order_id} belongs to another client id than this session's"
            self.refuse(modify, ModeError(why))
            return
        if tracked.modify is not None:
            self.refuse(modify, ModeError(f"a change of order {modify.order_id} is under way"))
            return
        record = tracked.record
        in_force = attrs.evolve(  # the request may hold terms that the broker refused
            record.request,
            quantity=record.order.quantity,
            limit_price=record.order.limit_price,
            stop_price=record.order.stop_price,
        )
        try:
            request = validate_modification(
                in_force,
                quantity=modify.quantity,
                limit_price=modify.limit_price,
                stop_price=modify.stop_price,
            )
        except GatewayError as error:
            self.refuse(modify, error)
            return
        order = attrs.evolve(
            record.order,
            quantity=request.quantity,
            limit_price=request.limit_price,
            stop_price=request.stop_price,
            broker_order_id=record.broker_order_id,
        )
        tracked.modify, tracked.change_sent = modify, False
        self.answer_by(modify.deadline, tracked)
        self.with_quote(
            modify,
            order.contract,
            lambda quote: self._ask_change(tracked, modify, request, order, quote),
        )

    def _ask_change(
        self,
        tracked: Tracked,
        modify: ModifyOrder,
        request: TradeRequest,
        order: WireOrder,
        quote: Quote | None,
    ) -> None:
        """Have the change approved, unless the order ended or the caller's time was up while the quote was read."""
        if not self._still_wanted(tracked, modify):
            return
        asked = RequestApproval(
            **self.conversations.on_behalf(modify, "risk"),
            order=order,
            request=request,
            quote=quote,
            replaced=signed_remaining(tracked.record),
        )
        tracked.asked = order
        self.ask(
            RISK,
            asked,
            lambda reply: self._modify_judged(tracked, modify, asked, reply),
            lambda error: self.change_failed(tracked, restore(error)),
        )

    def _still_wanted(self, tracked: Tracked, modify: ModifyOrder) -> bool:
        """Whether the change can still be made; whoever wants one that cannot is told, and risk gets back its part.

        Nothing is sent for an order at its end: it is over, and only an error could be the answer.
        """
        record = tracked.record
        if tracked.modify is not modify:
            if tracked.modify is None:
                self.tell_risk(tracked, force=True)
            return False
        if record.state in WORKING and not _is_being_cancelled(tracked):
            return True
        why = "is being cancelled" if record.state in WORKING else "is not working any more"
        self.change_failed(tracked, OrderNotFoundError(f"order {modify.order_id} {why}"))
        return False

    def _modify_judged(
        self,
        tracked: Tracked,
        modify: ModifyOrder,
        asked: RequestApproval,
        reply: Reply,
    ) -> None:
        if isinstance(reply, OrderRejected):
            reasons = "; ".join(reply.validation.rejection_reasons)
            self.change_failed(tracked, ModeError(f"the change was rejected by risk: {reasons}"))
            return
        assert isinstance(reply, OrderApproved)  # noqa: S101 - risk answers in kind
        if not self._still_wanted(tracked, modify):
            return
        permit = reply.permit
        self.ask(
            JOURNAL,
            RecordModification(
                **self.conversations.on_behalf(modify, "intent"),
                order=asked.order,
                request=asked.request,
                approval=self.approval(reply, asked.quote),
                at=self.clock.now(),
                close_reason=tracked.record.close_reason,
                wait_for=tracked.submit.wait_for if tracked.submit else WaitFor.ACK,
            ),
            lambda _: self._send_change(tracked, modify, asked.order, permit),
            lambda error: self.change_failed(tracked, restore(error)),
        )

    def _send_change(
        self, tracked: Tracked, modify: ModifyOrder, order: WireOrder, permit: Permit
    ) -> None:
        """The new terms are durable: go through the gate, unless the order ended meanwhile."""
        if not self._still_wanted(tracked, modify):
            return
        self.ask(
            LINK,
            SendOrder(**self.conversations.on_behalf(modify, "gate"), permit=permit, order=order),
            lambda answer: self._modify_sent(tracked, order, answer),
            lambda error: self.change_failed(tracked, restore(error)),
        )

    def _modify_sent(self, tracked: Tracked, order: WireOrder, reply: Reply) -> None:
        if isinstance(reply, OrderRefusedAtGate):
            self.change_failed(tracked, ModeError(f"refused at the gate: {reply.reason}"))
            return
        if isinstance(reply, OrderSent):
            self.tell(JOURNAL, change_sent(reply))
        tracked.change_sent, tracked.asked = True, None
        self.expect_word(tracked)
        self.update(tracked, begin_change(tracked.record, order), "change sent")

    @handles(CancelOrder)
    def on_cancel_order(self, cancel: CancelOrder) -> None:
        """Cancel one order; needs no permit, and is answered once the order is at its end."""
        tracked = self.book.by_order_id(cancel.order_id)
        if tracked is None:
            self.refuse(cancel, OrderNotFoundError(f"no order has the id {cancel.order_id}"))
            return
        tracked.cancels.append(cancel)
        if not tracked.record.is_terminal:
            self.answer_by(cancel.deadline, tracked)
        self.cancel(tracked, "cancel asked for")

    def cancel(self, tracked: Tracked, why: str) -> None:
        """Ask for the cancel of one order: in its record, and at the broker when it is there.

        One that cannot be sent yet is owed: at the gate an order has no address yet, and a lost link sends nothing.
        """
        record = request_cancel(tracked.record, self.clock.now())
        tracked.owes_cancel = record.is_live
        if record.is_live and record.broker_order_id is not None and self.is_addressable(record):
            tracked.owes_cancel = not self.connected
            self.tell(
                LINK,
                SendCancel(order_ref=record.order_ref, broker_order_id=record.broker_order_id),
            )
            self.expect_word(tracked)
        self.update(tracked, record, why)

    def cancel_what_is_owed(self, tracked: Tracked) -> None:
        """Send a cancel that could not be sent before: a remainder must not stay behind unnoticed (ORD-6).

        One that the broker refused or never saw is sent again after a while, for as long as the order lives.
        """
        record = tracked.record
        if tracked.owes_cancel:
            self.cancel(tracked, "the cancel is made up for")
        elif record.cancel_requested and record.state in DISOBEYED and not tracked.cancels_again:
            tracked.cancels_again = True
            self.schedule(
                self.settings.cancel_again_after_s, CancelAgain(order_ref=record.order_ref)
            )

    @handles(CancelAgain)
    def on_cancel_again(self, message: CancelAgain) -> None:
        """Repeat a cancel that the broker did not obey."""
        tracked = self.book.by_ref(message.order_ref)
        if tracked is None:
            return
        tracked.cancels_again = False
        if tracked.record.state in DISOBEYED:
            self.cancel(tracked, "the broker did not cancel it")

    @handles(CancelAllOrders)
    def on_cancel_all_orders(self, message: CancelAllOrders) -> None:
        """Cancel whatever works, and answer when all of it is at its end (STC-2)."""
        if not self.settings.sends_orders:
            self.reply(
                message,
                AllOrdersCancelled(
                    correlation_id=message.correlation_id, cancelled=(), simulated=True
                ),
            )
            return
        self._cancel_each(message, self._can_fill(), message.why)
        if message.whole_account or self.is_fallback:
            self.tell(LINK, SendGlobalCancel())
        if self.is_fallback:  # the orders of the first id end without a word to this one
            self.ask_for_reconciliation()
        self.answer_cancel_alls()

    @handles(CancelRestingOrders)
    def on_cancel_resting_orders(self, message: CancelRestingOrders) -> None:
        """Clear the way of a close, and answer when what stood in it is at its end."""
        resting = [
            tracked
            for tracked in self._can_fill()
            if tracked.record.purpose is Purpose.OPEN
            and tracked.record.order.contract.con_id == message.con_id
            and tracked.record.order.action is message.action
        ]
        self._cancel_each(message, resting, "a close of the position needs its quantity")
        self.answer_cancel_alls()

    def _can_fill(self) -> list[Tracked]:
        """What works as far as is known; the broker is being asked about the rest."""
        return [
            tracked
            for tracked in self.book
            if not is_settled(tracked.record) and tracked.record.state is not OrderState.UNKNOWN
        ]

    def _cancel_each(self, request: Request, orders: list[Tracked], why: str) -> None:
        """Cancel these, and remember who waits for the end of them all."""
        references = frozenset(tracked.record.order_ref for tracked in orders)
        self.cancel_alls[request.correlation_id] = (request, references)
        for tracked in orders:
            if not tracked.record.is_terminal:
                tracked.cancelled_for = why
                self.cancel(tracked, why)
        left_s = request.deadline - self.clock.monotonic() - ANSWER_MARGIN_S
        self.schedule(max(0.0, left_s), CancelAllDue(correlation_id=request.correlation_id))

    @handles(CancelAllDue)
    def on_cancel_all_due(self, message: CancelAllDue) -> None:
        """Name the orders whose end was not confirmed in time."""
        held = self.cancel_alls.pop(message.correlation_id, None)
        if held is not None:
            request, references = held
            left = sorted(reference for reference in references if not self.is_over(reference))
            self.refuse(request, GatewayTimeoutError(f"not confirmed cancelled: {left}"))
            self.ask_for_reconciliation()  # the confirmations may be lost: the next try has to know

    @handles(GetOpenOrders)
    def on_get_open_orders(self, request: GetOpenOrders) -> None:
        """List what works or is being asked for."""
        orders = tuple(
            self.result_of(tracked) for tracked in self.book if not tracked.record.is_terminal
        )
        self.reply(request, OpenOrdersRead(correlation_id=request.correlation_id, orders=orders))

    # --- deadlines ------------------------------------------------------------------------------------------------

    @handles(CancelDue)
    def on_cancel_due(self, message: CancelDue) -> None:
        """Cancel the remainder shortly before the deadline, so that nothing stays behind unnoticed (ORD-6)."""
        tracked = self.book.by_ref(message.order_ref)
        if tracked is None or tracked.submit is None:
            return
        self.answer_by(tracked.submit.deadline, tracked)
        if not tracked.record.is_terminal:
            tracked.timed_out = True
            self.cancel(tracked, "the deadline is near")

    def answer_by(self, deadline: float, tracked: Tracked) -> None:
        left_s = deadline - self.clock.monotonic() - ANSWER_MARGIN_S
        self.schedule(max(0.0, left_s), AnswerDue(order_ref=tracked.record.order_ref))

    @handles(AnswerDue)
    def on_answer_due(self, message: AnswerDue) -> None:
        """Answer with the quantities that are known now."""
        tracked = self.book.by_ref(message.order_ref)
        if tracked is None:
            return
        now = self.clock.monotonic() + 2 * ANSWER_MARGIN_S
        if tracked.submit is not None and tracked.submit.deadline <= now:
            tracked.timed_out = True
            if not (tracked.record.is_terminal or tracked.record.cancel_requested):
                self.cancel(tracked, "the deadline came before it was acknowledged")
            self.conclude(tracked)
        for cancel in tuple(tracked.cancels):
            if cancel.deadline <= now:
                tracked.cancels.remove(cancel)
                self.refuse(
                    cancel,
                    GatewayTimeoutError(f"the cancel of {cancel.order_id} is not confirmed yet"),
                )
        if tracked.modify is not None and tracked.modify.deadline <= now:
            self.change_failed(tracked, GatewayTimeoutError("the change is not confirmed yet"))
