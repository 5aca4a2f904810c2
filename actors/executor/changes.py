"""Changing the terms of a working order: like a new order it needs a permit and a durable intent (ORD-3)."""

from __future__ import annotations

import attrs

from actors import messages as m
from actors.errors import GatewayError, ModeError, OrderNotFoundError
from actors.executor.acknowledgements import Acknowledgements
from actors.executor.answers import Answers
from actors.executor.audit_notes import approval_of, change_refused, change_sent
from actors.executor.market_facts import MarketFacts
from actors.executor.order_book import OrderBook, Tracked
from actors.executor.publishing import Publishing
from actors.executor.record import OrderRecord, begin_change, signed_remaining
from actors.executor.session_facts import SessionFacts
from actors.executor.wire_window import WireWindow
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.logic.order_table import WORKING
from actors.logic.order_validation import validate_modification
from actors.messages.addresses import JOURNAL, LINK, RISK
from actors.model.market import Quote
from actors.model.orders import Purpose, TradeRequest, WaitFor, WireOrder


class Changes(Part):
    """Has new terms approved and sends them under the order's own broker id, one change of an order at a time."""

    def __init__(
        self,
        actor: SupervisedActor,
        book: OrderBook,
        market: MarketFacts,
        session: SessionFacts,
        answers: Answers,
        publishing: Publishing,
        acknowledgements: Acknowledgements,
        window: WireWindow,
    ) -> None:
        self._actor = actor
        self._book = book
        self._market = market
        self._session = session
        self._answers = answers
        self._publishing = publishing
        self._acknowledgements = acknowledgements
        self._window = window

    @handles(m.ModifyOrder)
    async def on_modify_order(self, modify: m.ModifyOrder) -> None:
        """Bring new terms of an order to the broker; after each step the order may have ended, or the time be up."""
        try:
            tracked = self._changeable(modify)
            request = _new_terms(tracked.record, modify)
        except GatewayError as error:
            self._actor.refuse(modify, error)
            return
        order = _with_terms(tracked.record, request)
        tracked.modify, tracked.change_sent = modify, False
        self._answers.answer_by(modify.deadline, tracked)
        quote = await self._market.fresh_quote(modify, order.contract)
        try:
            await self._window.enter(modify, order.purpose)
        except GatewayError as error:
            self.fail(tracked, error)
            return
        await self._change(tracked, modify, order, request, quote)
        self._window.leave(order.purpose)

    async def _change(
        self,
        tracked: Tracked,
        modify: m.ModifyOrder,
        order: WireOrder,
        request: TradeRequest,
        quote: Quote | None,
    ) -> None:
        if not self._is_wanted(tracked, modify):
            return
        question = m.RequestApproval(
            **self._actor.on_behalf(modify, "risk"),
            order=order,
            request=request,
            quote=quote,
            replaced=signed_remaining(tracked.record),
        )
        tracked.change_asked = order
        try:
            answer = await self._passed(tracked, modify, question)
        except GatewayError as error:
            self.fail(tracked, error)
        else:
            if answer is not None:
                self._sent(tracked, order, answer)

    def _changeable(self, modify: m.ModifyOrder) -> Tracked:
        """Find the order; raises why it cannot be changed now."""
        tracked = self._book.by_order_id(modify.order_id)
        if tracked is None or tracked.record.state not in WORKING:
            state = "unknown" if tracked is None else tracked.record.state
            raise OrderNotFoundError(f"order {modify.order_id} is not working (it is {state})")
        if self._session.latched is not None and tracked.record.purpose is Purpose.OPEN:
            raise ModeError(f"Strategy C is latched: {self._session.latched}")
        if tracked.is_being_cancelled:
            raise ModeError(f"order {modify.order_id} is being cancelled")
        if not self._session.is_addressable(tracked.record):
            raise ModeError(
                f"order {modify.order_id} belongs to another client id than this session's"
            )
        if tracked.modify is not None:
            raise ModeError(f"a change of order {modify.order_id} is under way")
        return tracked

    async def _passed(
        self, tracked: Tracked, modify: m.ModifyOrder, question: m.RequestApproval
    ) -> m.OrderSent | m.OrderSimulated | None:
        """Have the change approved, make it durable, go through the gate; None: it is not wanted any more.

        Raises why it was not sent.
        """
        judged = await self._actor.asked(
            RISK, question, m.OrderApproved, m.OrderRejected, watched=False
        )
        if isinstance(judged, m.OrderRejected):
            reasons = "; ".join(judged.validation.rejection_reasons)
            raise ModeError(f"the change was rejected by risk: {reasons}")
        if not self._is_wanted(tracked, modify):
            return None
        intent = self._intent(tracked, modify, question, judged)
        await self._actor.asked(JOURNAL, intent, m.IntentDurable, watched=False)
        if not self._is_wanted(tracked, modify):
            return None
        send = m.SendOrder(
            **self._actor.on_behalf(modify, "gate"), permit=judged.permit, order=question.order
        )
        answer = await self._actor.asked(
            LINK, send, m.OrderSent, m.OrderSimulated, m.OrderRefusedAtGate, watched=False
        )
        if isinstance(answer, m.OrderRefusedAtGate):
            raise ModeError(f"refused at the gate: {answer.reason}")
        return answer

    def _is_wanted(self, tracked: Tracked, modify: m.ModifyOrder) -> bool:
        """Whether the change can still be made; whoever wants one that cannot is told, and risk gets back its part.

        Nothing is sent for an order at its end: it is over, and only an error could be the answer.
        """
        record = tracked.record
        if tracked.modify is not modify:
            if tracked.modify is None:
                self._publishing.correct_risk(tracked)
            return False
        if record.state in WORKING and not tracked.is_being_cancelled:
            return True
        why = "is being cancelled" if record.state in WORKING else "is not working any more"
        self.fail(tracked, OrderNotFoundError(f"order {modify.order_id} {why}"))
        return False

    def _intent(
        self,
        tracked: Tracked,
        modify: m.ModifyOrder,
        question: m.RequestApproval,
        approved: m.OrderApproved,
    ) -> m.RecordModification:
        return m.RecordModification(
            **self._actor.on_behalf(modify, "intent"),
            order=question.order,
            request=question.request,
            approval=approval_of(approved, question.quote, self._actor.clock),
            at=self._actor.clock.now(),
            close_reason=tracked.record.close_reason,
            wait_for=tracked.submit.wait_for if tracked.submit else WaitFor.ACK,
        )

    def _sent(
        self, tracked: Tracked, order: WireOrder, answer: m.OrderSent | m.OrderSimulated
    ) -> None:
        if isinstance(answer, m.OrderSent):
            self._publishing.note(change_sent(answer))
        tracked.change_sent, tracked.change_asked = True, None
        self._acknowledgements.expect_acknowledgement(tracked)
        self._publishing.update(tracked, begin_change(tracked.record, order), "change sent")

    def fail(self, tracked: Tracked, error: GatewayError) -> None:
        """Tell whoever wanted a change that it was not made; what risk reserved for it is released."""
        modify, tracked.modify, tracked.change_asked = tracked.modify, None, None
        if modify is not None:
            now = self._actor.clock.now()
            refused = change_refused(tracked.record.order_ref, modify, error, now)
            self._publishing.note(refused)
            self._actor.refuse(modify, error)
        self._publishing.correct_risk(tracked)


def _new_terms(record: OrderRecord, modify: m.ModifyOrder) -> TradeRequest:
    """Put the new terms beside those in force; raises `OrderValidationError` for what cannot be asked."""
    in_force = attrs.evolve(  # the request may hold terms that the broker refused
        record.request,
        quantity=record.order.quantity,
        limit_price=record.order.limit_price,
        stop_price=record.order.stop_price,
    )
    return validate_modification(
        in_force,
        quantity=modify.quantity,
        limit_price=modify.limit_price,
        stop_price=modify.stop_price,
    )


def _with_terms(record: OrderRecord, request: TradeRequest) -> WireOrder:
    return attrs.evolve(
        record.order,
        quantity=request.quantity,
        limit_price=request.limit_price,
        stop_price=request.stop_price,
        broker_order_id=record.broker_order_id,
    )
