"""The executor actor: one road from a wish to the broker, and the true story of every order.

::

    SubmitOrder → contract → quote → RequestApproval (risk) → RecordIntent (journal) → SendOrder (gate) → the broker

No step is skipped and none is taken twice: what was refused or became unknown is never sent again (D15). The states are
in `logic.order_state`; who comes after whom is here.
"""

from __future__ import annotations

from datetime import datetime

import attrs

from actors.errors import (
    ContractQualificationError,
    ErrorInfo,
    GatewayError,
    GatewayNotConnectedError,
    GatewayTimeoutError,
    ModeError,
    ReadOnlyError,
    restore,
)
from actors.executor.changes import CancelDue
from actors.executor.order_book import Tracked
from actors.executor.record import (
    mark_sent,
    move,
    new_record,
)
from actors.executor.recovery import OrderRecovery
from actors.executor.result import result
from actors.kernel.handlers import handles
from actors.kernel.messages import Message, Reply, Request
from actors.kernel.stories import root_id
from actors.logic.order_ids import close_order_id, new_order_id, order_ref
from actors.logic.order_table import UNSENT, OrderState
from actors.logic.order_validation import contract_query, request_fault
from actors.messages.addresses import (
    JOURNAL,
    LINK,
    RISK,
    STRATEGY_C,
)
from actors.messages.journal import (
    RaiseOrderIdFloor,
    RecordIntent,
)
from actors.messages.market_data import (
    ContractDescribed,
    ContractQualified,
    QualifyContract,
)
from actors.messages.orders import (
    OrderConcluded,
    OrderRefusedAtGate,
    OrderSent,
    OrderSimulated,
    SendOrder,
    SubmitOrder,
)
from actors.messages.risk import OrderApproved, OrderRejected, RequestApproval
from actors.model.contracts import Contract
from actors.model.market import Quote
from actors.model.orders import (
    OrderStatus,
    Purpose,
    TradeRequest,
    WaitFor,
    WireOrder,
)


class ExecutorActor(OrderRecovery):
    """See the module's docstring. Recovery, changes, and what the broker says are in files of their own."""

    recovers = True

    def failure_answer(self, message: Message, error: BaseException) -> Message | None:
        """What had passed the gate has an unknown outcome; its successor will ask for it (D5)."""
        tracked = next((held for held in self.book if held.submit is message), None)
        if tracked is None or tracked.record.state in UNSENT or not isinstance(message, Request):
            return None
        unknown = attrs.evolve(tracked.record, state=OrderState.UNKNOWN)
        reason = f"the executor failed ({type(error).__name__}); the broker is asked"
        told = attrs.evolve(
            result(unknown, self.settings.mode, self.clock.now(), tracked.validation),
            rejection_reason=reason,
        )
        return OrderConcluded(correlation_id=message.correlation_id, result=told)

    # --- the road of an order -------------------------------------------------------------------------------------

    @handles(SubmitOrder)
    def on_submit_order(self, submit: SubmitOrder) -> None:
        """Begin with an order: refuse what cannot be, then find its contract."""
        refusal = self._refusal(submit)
        if isinstance(refusal, GatewayError):
            self.refuse_early(submit, refusal)
        elif isinstance(refusal, str):
            self._conclude_early(submit, OrderStatus.REJECTED, refusal)
        elif submit.contract is not None:
            self._with_contract(submit, submit.contract)
        else:
            self._qualify(submit)

    def _refusal(self, submit: SubmitOrder) -> GatewayError | str | None:
        opening = submit.purpose is Purpose.OPEN
        fault = request_fault(submit.request)
        if fault is not None:
            return fault
        if opening and self.latched is not None:
            return f"Strategy C is latched: {self.latched}; re-arm before opening anything"
        if self.settings.readonly:
            return ReadOnlyError("gateway.readonly is true: orders are refused")
        if not self.connected:
            return GatewayNotConnectedError("the link is down: nothing can be sent")
        if opening and self.book.live_count() >= self.settings.max_working:
            return ModeError(f"orders.max_working is reached ({self.settings.max_working})")
        return None

    def _qualify(self, submit: SubmitOrder) -> None:
        query = contract_query(submit.request)
        held = self.contracts.get(query)
        if held is not None:
            self._with_contract(submit, held)
            return

        def keep(reply: Reply) -> None:
            assert isinstance(reply, ContractQualified)  # noqa: S101 - the link answers in kind
            self.contracts[query] = reply.contract
            self.tell(STRATEGY_C, ContractDescribed(contract=reply.contract))
            self._with_contract(submit, reply.contract)

        self.ask(
            LINK,
            QualifyContract(**self.conversations.on_behalf(submit, "contract"), query=query),
            keep,
            lambda error: self._not_qualified(submit, error),
        )

    def _not_qualified(self, submit: SubmitOrder, error: ErrorInfo) -> None:
        if error.kind == ContractQualificationError.__name__:
            self._conclude_early(submit, OrderStatus.FAILED, error.text)
        elif error.kind == GatewayTimeoutError.__name__:
            self._conclude_early(submit, OrderStatus.TIMEOUT, error.text)
        else:
            self.refuse_early(submit, restore(error))

    def _with_contract(self, submit: SubmitOrder, contract: Contract) -> None:
        """An opening order is judged by a fresh quote; a closing one needs none (RSK-7)."""
        if submit.purpose is Purpose.CLOSE:
            self._ask_approval(submit, contract, self.quotes.get(contract.con_id))
        else:
            self.with_quote(
                submit, contract, lambda quote: self._ask_approval(submit, contract, quote)
            )

    def _ask_approval(self, submit: SubmitOrder, contract: Contract, quote: Quote | None) -> None:
        if self.account is None:
            self.refuse_early(submit, GatewayNotConnectedError("no account is known yet"))
            return
        if submit.deadline <= self.clock.monotonic():
            self._conclude_early(submit, OrderStatus.TIMEOUT, "no quote came before the deadline")
            return
        now = self.clock.now()
        order_id = self._order_id(submit, contract, now)
        order = wire_order(
            submit.request,
            order_ref=order_ref(self.settings.operator_id, order_id),
            contract=contract,
            account=self.account,
            operator_id=self.settings.operator_id,
            purpose=submit.purpose,
        )
        record = new_record(
            order,
            submit.request,
            order_id,
            now,
            state=OrderState.AWAITING_APPROVAL,
            correlation_id=root_id(submit.correlation_id),
            close_reason=submit.close_reason,
        )
        tracked = Tracked(record=record, submit=submit, quote=quote)
        self.book.add(tracked)
        self.ask(
            RISK,
            RequestApproval(
                **self.conversations.on_behalf(submit, "risk"),
                order=order,
                request=submit.request,
                quote=quote,
                close_reason=submit.close_reason,
            ),
            lambda reply: self._on_judged(tracked, reply),
            lambda error: self._not_answered(tracked, error),
        )
        self.watch_deadline(tracked, submit)

    def _order_id(self, submit: SubmitOrder, contract: Contract, now: datetime) -> str:
        self.sequence += 1
        if submit.purpose is Purpose.CLOSE:
            return close_order_id(contract.position_id, f"{self.sequence:04d}_{self.suffix}")
        return new_order_id(now, self.sequence, self.suffix)

    def watch_deadline(self, tracked: Tracked, submit: SubmitOrder) -> None:
        """Come back before the caller's deadline: to cancel the remainder, and to answer."""
        left_s = max(0.0, submit.deadline - self.clock.monotonic())
        lead_s = min(self.settings.cancel_before_deadline_s, left_s / 2)
        if submit.wait_for is WaitFor.FILL:
            self.schedule(left_s - lead_s, CancelDue(order_ref=tracked.record.order_ref))
        else:
            self.answer_by(submit.deadline, tracked)

    def _on_judged(self, tracked: Tracked, reply: Reply) -> None:
        if isinstance(reply, OrderRejected):
            tracked.validation = reply.validation
            reasons = "; ".join(reply.validation.rejection_reasons)
            self._stopped_short(tracked, OrderState.REJECTED, reasons)
            return
        assert isinstance(reply, OrderApproved)  # noqa: S101 - risk answers in kind
        tracked.validation = reply.validation
        if tracked.record.state is not OrderState.AWAITING_APPROVAL or tracked.submit is None:
            self.settle(tracked)
            return
        tracked.record = move(tracked.record, OrderState.AWAITING_JOURNAL, self.clock.now())
        self.ask(
            JOURNAL,
            RecordIntent(
                **self.conversations.on_behalf(tracked.submit, "intent"),
                order=tracked.record.order,
                request=tracked.record.request,
                order_id=tracked.record.order_id,
                incarnation=self.incarnation,
                approval=self.approval(
                    reply, tracked.quote, tracked.record.created_at, tracked.submit.submitted_at
                ),
                at=self.clock.now(),
                close_reason=tracked.record.close_reason,
                wait_for=tracked.submit.wait_for,
            ),
            lambda _: self._send(tracked, reply),
            lambda error: self._not_answered(tracked, error, "no durable intent, no order: "),
        )

    def _send(self, tracked: Tracked, approved: OrderApproved) -> None:
        """The intent is durable: go through the gate, unless the caller gave up meanwhile."""
        if tracked.record.state is not OrderState.AWAITING_JOURNAL or tracked.submit is None:
            self.settle(tracked)
            return
        tracked.record = move(tracked.record, OrderState.AT_GATE, self.clock.now())
        self.ask(
            LINK,
            SendOrder(
                **self.conversations.on_behalf(tracked.submit, "gate"),
                permit=approved.permit,
                order=tracked.record.order,
            ),
            lambda reply: self._on_gate(tracked, reply),
            lambda error: self._gate_silent(tracked, error),
        )

    def _on_gate(self, tracked: Tracked, reply: Reply) -> None:
        now = self.clock.now()
        if isinstance(reply, OrderSent):
            sent = mark_sent(tracked.record, reply.broker_order_id, now, self.client_id)
            self.update(tracked, sent, "sent", at=reply.sent_at)
            self.expect_word(tracked)
            self.cancel_what_is_owed(tracked)
            if self.client_id is not None:
                self.tell(
                    JOURNAL,
                    RaiseOrderIdFloor(client_id=self.client_id, floor=reply.broker_order_id),
                )
        elif isinstance(reply, OrderSimulated):
            self.update(tracked, move(tracked.record, OrderState.SIMULATED, now), "simulated")
        elif isinstance(reply, OrderRefusedAtGate):
            self._stopped_short(tracked, OrderState.REJECTED, reply.reason)

    def _gate_silent(self, tracked: Tracked, error: ErrorInfo) -> None:
        """The gate did not say: the order may have been sent, so its fate is asked for."""
        if tracked.record.state is OrderState.AT_GATE:
            record = move(tracked.record, OrderState.UNKNOWN, self.clock.now())
            self.update(tracked, record, f"the gate did not answer: {error.text}")
            self.ask_gate((record.order_ref,))

    def _not_answered(self, tracked: Tracked, error: ErrorInfo, what: str = "") -> None:
        """Risk or the journal did not answer in kind; when that is for want of time, it is the deadline's end."""
        if error.kind == GatewayTimeoutError.__name__:
            tracked.timed_out = True
            self._stopped_short(tracked, OrderState.CANCELLED, f"{what}{error.text}")
        else:
            self._stopped_short(tracked, OrderState.FAILED, f"{what}{error.text}")

    def _stopped_short(self, tracked: Tracked, state: OrderState, reason: str) -> None:
        """The order ends before it reached the broker."""
        if tracked.record.is_terminal:
            self.settle(tracked)
            return
        self.update(tracked, move(tracked.record, state, self.clock.now(), reason), reason)


def wire_order(
    request: TradeRequest,
    *,
    order_ref: str,
    contract: Contract,
    account: str,
    operator_id: str,
    purpose: Purpose,
) -> WireOrder:
    """Make of a validated request exactly what goes to the broker."""
    return WireOrder(
        order_ref=order_ref,
        contract=contract,
        action=request.action,
        quantity=request.quantity,
        order_type=request.order_type,
        limit_price=request.limit_price,
        stop_price=request.stop_price,
        time_in_force=request.time_in_force,
        account=account,
        operator_id=operator_id,
        purpose=purpose,
    )
