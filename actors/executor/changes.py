"""Changing the terms of a working order: like a new order it needs a permit and a durable intent (ORD-3)."""

from __future__ import annotations

import attrs

from actors import messages as m
from actors.errors import GatewayError, GatewayTimeoutError, ModeError, OrderNotFoundError
from actors.executor.acknowledgements import Acknowledgements
from actors.executor.answers import Answers
from actors.executor.audit_notes import (
    approval_of,
    change_refused,
    change_sent,
    change_undone,
    with_terms_of,
)
from actors.executor.market_facts import MarketFacts
from actors.executor.order_book import Change, OrderBook, Tracked
from actors.executor.publishing import Publishing
from actors.executor.record import OrderRecord, begin_change, signed_remaining
from actors.executor.session_facts import SessionFacts
from actors.executor.wire_window import WireWindow
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.logic.order_table import WORKING
from actors.logic.order_validation import validate_modification
from actors.logic.ticks import on_tick
from actors.messages.addresses import JOURNAL, LINK, RISK
from actors.model.market import Quote
from actors.model.orders import Purpose, TradeRequest, WireOrder


class _NotSentError(Exception):
    """The change is durable and will certainly not be sent, for the reason that ``error`` gives."""

    def __init__(self, error: GatewayError) -> None:
        super().__init__(str(error))
        self.error = error


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
            request = on_tick(_new_terms(tracked.record, modify), tracked.record.order.contract)
        except GatewayError as error:
            self._actor.refuse(modify, error)
            return
        order = _with_terms(tracked.record, request)
        tracked.change = Change(modify=modify)
        self._answers.answer_by(modify.deadline, tracked)
        quote = await self._market.fresh_quote(modify, order.contract)
        try:
            await self._window.enter(modify, order.purpose)
        except GatewayError as error:
            self._end(tracked, error)
            return
        try:
            await self._bring(tracked, modify, order, request, quote)
        except _NotSentError as ending:
            self._undo(tracked)
            self._end(tracked, ending.error)
        except GatewayError as error:
            self._end(tracked, error)
        self._window.leave(order.purpose)

    async def _bring(
        self,
        tracked: Tracked,
        modify: m.ModifyOrder,
        order: WireOrder,
        request: TradeRequest,
        quote: Quote | None,
    ) -> None:
        """Have the change approved, make it durable, go through the gate; raises why it was not sent."""
        _expect_wanted(tracked, modify)
        tracked.change = Change(modify=modify, asked=order)
        question = m.RequestApproval(
            **self._actor.on_behalf(modify, "risk"),
            order=order,
            request=request,
            quote=quote,
            replaced=signed_remaining(tracked.record),
        )
        approved = await self._approved(tracked, modify, question)
        intent = self._intent(tracked, modify, question, approved)
        await self._actor.asked(JOURNAL, intent, m.IntentDurable, watched=False)
        try:
            _expect_wanted(tracked, modify)
        except GatewayError as error:
            raise _NotSentError(error) from error
        self._sent(tracked, order, await self._passed(modify, approved, order))

    async def _approved(
        self, tracked: Tracked, modify: m.ModifyOrder, question: m.RequestApproval
    ) -> m.OrderApproved:
        judged = await self._actor.asked(
            RISK, question, m.OrderApproved, m.OrderRejected, watched=False
        )
        if isinstance(judged, m.OrderRejected):
            reasons = "; ".join(judged.validation.rejection_reasons)
            raise ModeError(f"the change was rejected by risk: {reasons}")
        _expect_wanted(tracked, modify)
        return judged

    async def _passed(
        self, modify: m.ModifyOrder, approved: m.OrderApproved, order: WireOrder
    ) -> m.OrderSent | m.OrderSimulated:
        send = m.SendOrder(
            **self._actor.on_behalf(modify, "gate"), permit=approved.permit, order=order
        )
        answer = await self._actor.asked(
            LINK, send, m.OrderSent, m.OrderSimulated, m.OrderRefusedAtGate, watched=False
        )
        if isinstance(answer, m.OrderRefusedAtGate):
            raise _NotSentError(ModeError(f"refused at the gate: {answer.reason}"))
        return answer

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
        if tracked.change is not None:
            raise ModeError(f"a change of order {modify.order_id} is under way")
        return tracked

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
            position_base=tracked.record.position_base,
            wait_for=tracked.wait_for,
        )

    def _sent(
        self, tracked: Tracked, order: WireOrder, answer: m.OrderSent | m.OrderSimulated
    ) -> None:
        """The bytes left: the terms may be in force, whether somebody still waits for them or not."""
        if isinstance(answer, m.OrderSent):
            self._publishing.note(change_sent(answer))
        modify = tracked.change.modify if tracked.change is not None else None
        tracked.change = None if modify is None else Change(modify=modify, is_sent=True)
        if tracked.case is not None:
            tracked.case.sent(self._actor.clock.monotonic())
        self._acknowledgements.expect_acknowledgement(tracked)
        self._publishing.update(tracked, begin_change(tracked.record, order), "change sent")

    def give_up_waiting(self, tracked: Tracked, error: GatewayError) -> None:
        """Tell whoever waits for a change that its end is not known; one that is under way goes on."""
        change = tracked.change
        if change is not None:
            tracked.change = None if change.is_sent else attrs.evolve(change, modify=None)
            self._refuse(tracked, change, error)

    def _end(self, tracked: Tracked, error: GatewayError) -> None:
        """The change was not sent: whoever wanted it is told, and risk gets back what it reserved for it."""
        change, tracked.change = tracked.change, None
        if change is not None:
            self._refuse(tracked, change, error)
        self._publishing.correct_risk(tracked)

    def _refuse(self, tracked: Tracked, change: Change, error: GatewayError) -> None:
        if change.modify is not None:
            now = self._actor.clock.now()
            refused = change_refused(tracked.record.order_ref, change.modify, error, now)
            self._publishing.note(refused)
            self._actor.refuse(change.modify, error)

    def _undo(self, tracked: Tracked) -> None:
        """Put back in the journal the terms that hold: those that were made durable never left."""
        record = tracked.record
        order = record.pending_change or record.order
        self._publishing.keep(
            tracked,
            change_undone(record, order, tracked.wait_for),
        )


def _expect_wanted(tracked: Tracked, modify: m.ModifyOrder) -> None:
    """Raise why the change is not to be sent any more.

    Nothing is sent for an order at its end: it is over, and only an error could be the answer.
    """
    if tracked.record.state not in WORKING:
        raise OrderNotFoundError(f"order {modify.order_id} is not working any more")
    if tracked.is_being_cancelled:
        raise OrderNotFoundError(f"order {modify.order_id} is being cancelled")
    if tracked.change is None or tracked.change.modify is not modify:
        raise GatewayTimeoutError(f"nobody waits any more for the change of {modify.order_id}")


def _new_terms(record: OrderRecord, modify: m.ModifyOrder) -> TradeRequest:
    """Put the new terms beside those in force; raises `OrderValidationError` for what cannot be asked."""
    return validate_modification(
        with_terms_of(record.order, record.request),
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
