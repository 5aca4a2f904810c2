"""Who waits for what of an order, and what each of them is told when it has happened, or when the time is up."""

from __future__ import annotations

import attrs

from actors import messages as m
from actors.executor.market_facts import MarketFacts
from actors.executor.order_book import OrderBook, Tracked
from actors.executor.record import is_settled, lacks_reason, signed_remaining
from actors.executor.result import result
from actors.executor.session_facts import SessionFacts
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.kernel.messages import Message, Request
from actors.kernel.stories import root_id
from actors.logic.order_table import WORKING, OrderState
from actors.model.orders import OrderResult, OrderStatus, RejectionKind, WaitFor
from actors.model.trading import Trading

REASON_S = 0.1
"""How long an answer waits for the reason of a rejection, which the broker sends in a message of its own."""

ANSWER_MARGIN_S = 0.005
"""The caller is answered this much before its deadline, so that the answer is there in time."""


@attrs.frozen(kw_only=True)
class AnswerDue(Message):
    """Told to oneself: whoever waits for the order has to be answered now.

    A message and no story's sleep: it serves all who wait for the order, and holds none of them in memory.
    """

    order_ref: str


class Answers(Part):
    """Answers each request once. Owns the list of those who wait for several orders to end."""

    def __init__(
        self,
        actor: SupervisedActor,
        trading: Trading,
        book: OrderBook,
        market: MarketFacts,
        session: SessionFacts,
    ) -> None:
        self._actor = actor
        self._trading = trading
        self._book = book
        self._market = market
        self._session = session
        self._cancel_alls: dict[str, tuple[Request, frozenset[str]]] = {}

    # --- one order ------------------------------------------------------------------------------------------------

    def settle(self, tracked: Tracked) -> None:
        """Answer those who waited for what has now happened."""
        record = tracked.record
        over = is_settled(record) and not self._awaits_reason(tracked)
        submit = tracked.submit
        if submit is not None and (
            over or (submit.wait_for is WaitFor.ACK and record.state in WORKING)
        ):
            self.conclude(tracked)
        change = tracked.change
        if change is not None and change.is_sent and record.pending_change is None:
            tracked.change = None
            if change.modify is not None:
                self.answer(change.modify, tracked)
        if over:
            for cancel in tracked.cancels:
                self.answer(cancel, tracked)
            tracked.cancels.clear()
        if self._cancel_alls:
            self.answer_cancel_alls()

    def _awaits_reason(self, tracked: Tracked) -> bool:
        """The answer to a broker's bare "Inactive" waits a moment for the error that says why."""
        if not lacks_reason(tracked.record):
            return False
        if tracked.awaits_reason is None:
            tracked.awaits_reason = True
            self._actor.begin_story(self._without_reason(tracked))
        return tracked.awaits_reason

    async def _without_reason(self, tracked: Tracked) -> None:
        """Answer without a reason when none came."""
        await self._actor.sleep(REASON_S)
        tracked.awaits_reason = False
        self.settle(tracked)

    def conclude(self, tracked: Tracked) -> None:
        """Answer the submitter."""
        submit, tracked.submit = tracked.submit, None
        if submit is not None:
            self.answer(submit, tracked)

    def answer(self, request: Request, tracked: Tracked) -> None:
        """Answer a request with the order's result as it stands."""
        answer = m.OrderConcluded(
            correlation_id=request.correlation_id, result=self.result_of(tracked)
        )
        self._actor.reply(request, answer)

    def answer_untaken(self, submit: m.SubmitOrder, status: OrderStatus, reason: str) -> None:
        """Answer for an order that never got an id at the broker, nor with us."""
        request = submit.request
        ending = OrderResult(
            order_id="",
            status=status,
            symbol=request.symbol,
            action=request.action,
            quantity=request.quantity,
            rejection_reason=reason,
            rejection_kind=RejectionKind.NOT_SENT,
            execution_mode=self._trading.mode,
            timestamp=self._actor.clock.now(),
            correlation_id=root_id(submit.correlation_id),
        )
        self._actor.reply(
            submit, m.OrderConcluded(correlation_id=submit.correlation_id, result=ending)
        )

    def answer_by(self, deadline: float, tracked: Tracked) -> None:
        """See to it that whoever waits for the order is answered just before ``deadline`` (monotonic seconds)."""
        left_s = deadline - self._actor.clock.monotonic() - ANSWER_MARGIN_S
        self._actor.schedule(max(0.0, left_s), AnswerDue(order_ref=tracked.record.order_ref))

    def result_of(self, tracked: Tracked) -> OrderResult:
        """What the caller is told of the order now."""
        quote = self._market.last_quote(tracked.record.order.contract) or tracked.quote
        return result(
            tracked.record,
            self._trading.mode,
            self._actor.clock.now(),
            tracked.validation,
            timed_out=tracked.cancel.at_deadline,
            cancelled_for=tracked.cancel.reason,
            quote_price=quote.price if quote else None,
        )

    @handles(m.GetOpenOrders)
    def on_get_open_orders(self, request: m.GetOpenOrders) -> None:
        """List what works or is being asked for."""
        orders = tuple(
            self.result_of(tracked) for tracked in self._book if not tracked.record.is_terminal
        )
        self._actor.reply(
            request, m.OpenOrdersRead(correlation_id=request.correlation_id, orders=orders)
        )

    @handles(m.GetLiveOrders)
    def on_get_live_orders(self, request: m.GetLiveOrders) -> None:
        """List what can still fill, for whoever has to close a position beside it."""
        records = (tracked.record for tracked in self._book)
        orders = tuple(
            m.LiveOrder(
                order_id=record.order_id,
                order=record.order,
                remaining=left,
                is_unknown=record.state is OrderState.UNKNOWN,
                is_confirmed=record.state in WORKING,
                is_addressable=self._session.is_addressable(record),
            )
            for record in records
            if (left := abs(signed_remaining(record)))
        )
        self._actor.reply(
            request, m.LiveOrdersRead(correlation_id=request.correlation_id, orders=orders)
        )

    # --- several orders -------------------------------------------------------------------------------------------

    def wait_for_ends(self, request: Request, references: frozenset[str]) -> None:
        """Remember who waits for the end of all these orders."""
        self._cancel_alls[request.correlation_id] = (request, references)

    def answer_cancel_alls(self) -> None:
        """Answer those whose orders are all at their end."""
        for correlation_id, (request, references) in tuple(self._cancel_alls.items()):
            if all(self._is_over(reference) for reference in references):
                del self._cancel_alls[correlation_id]
                cancelled = tuple(sorted(references))
                self._actor.reply(
                    request,
                    m.AllOrdersCancelled(correlation_id=correlation_id, cancelled=cancelled),
                )

    def give_up_waiting(self, request: Request) -> list[str] | None:
        """Forget who waits for the end of several orders, and name those that go on; None: it was answered."""
        held = self._cancel_alls.pop(request.correlation_id, None)
        if held is None:
            return None
        return sorted(reference for reference in held[1] if not self._is_over(reference))

    def _is_over(self, reference: str) -> bool:
        """Whether nothing of the order can fill any more."""
        tracked = self._book.by_ref(reference)
        return tracked is None or is_settled(tracked.record)
