"""What the audit trail keeps of an order besides its states: the broker's messages, and why something was not sent.

Fields that were not set are left out; the broker's words are kept as they came.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import attrs

from actors import messages as m
from actors.errors import GatewayError
from actors.executor.record import OrderRecord
from actors.kernel.clock import Clock
from actors.model.market import Quote
from actors.model.orders import BrokerOrder, TradeRequest, ValidationResult, WaitFor, WireOrder

OPEN_ORDER: Final = "openOrder"
ORDER_STATUS: Final = "orderStatus"
ERROR: Final = "error"
COMMISSION_REPORT: Final = "commissionReport"
CHANGE_SENT: Final = "change_sent"
CHANGE_REFUSED: Final = "change_refused"
"""The kinds of notes; the first four are IB's own names of its messages."""

_TERMS: Final = ("quantity", "order_type", "limit_price", "stop_price")
_PROGRESS: Final = ("filled", "remaining", "average_fill_price", "why_held")
_ADDRESS: Final = ("order_id", "client_id", "perm_id")

_Fact = str | float | None


def order_note(order_ref: str, reported: BrokerOrder, at: datetime) -> m.Note:
    """Keep an openOrder, which repeats the terms, or an orderStatus, which says how far it got."""
    has_terms = reported.contract is not None
    fields = ("status", *(_TERMS if has_terms else _PROGRESS), *_ADDRESS)
    facts = {name: getattr(reported, name) for name in fields}
    return _note(order_ref, OPEN_ORDER if has_terms else ORDER_STATUS, facts, at)


def error_note(order_ref: str, event: m.OrderErrorReported) -> m.Note:
    """Keep an error or an advisory."""
    return _note(order_ref, ERROR, {"code": event.code, "text": event.text}, event.received_at)


def commission_note(order_ref: str, event: m.CommissionReported, at: datetime) -> m.Note:
    """Keep the commission of an execution."""
    facts: dict[str, _Fact] = {
        "exec_id": event.exec_id,
        "commission": event.commission,
        "realized_pnl": event.realized_pnl,
    }
    return _note(order_ref, COMMISSION_REPORT, facts, at)


def change_sent(sent: m.OrderSent) -> m.Note:
    """Keep when a change's bytes were handed to the socket."""
    facts: dict[str, _Fact] = {"broker_order_id": sent.broker_order_id}
    return _note(sent.order_ref, CHANGE_SENT, facts, sent.sent_at)


def change_refused(
    order_ref: str, modify: m.ModifyOrder, error: GatewayError, at: datetime
) -> m.Note:
    """Keep that a change was asked for and not made."""
    facts: dict[str, _Fact] = {
        "reason": str(error),
        "quantity": modify.quantity,
        "limit_price": modify.limit_price,
        "stop_price": modify.stop_price,
    }
    return _note(order_ref, CHANGE_REFUSED, facts, at)


def change_undone(record: OrderRecord, order: WireOrder, wait_for: WaitFor) -> m.ChangeUndone:
    """Put back in the journal the terms that hold: those that were made durable are not in force."""
    return m.ChangeUndone(
        order=order,
        request=with_terms_of(order, record.request),
        close_reason=record.close_reason,
        wait_for=wait_for,
        position_base=record.position_base,
    )


def with_terms_of(order: WireOrder, request: TradeRequest) -> TradeRequest:
    """The caller's request with the terms of ``order``: its own may be terms that the broker refused."""
    return attrs.evolve(
        request,
        quantity=order.quantity,
        limit_price=order.limit_price,
        stop_price=order.stop_price,
    )


def transition(record: OrderRecord, detail: str, at: datetime) -> m.Transition:
    """Keep the state that an order has taken, and how far it has got."""
    return m.Transition(
        order_ref=record.order_ref,
        state=record.state,
        detail=detail,
        at=at,
        broker_order_id=record.broker_order_id,
        client_id=record.client_id,
        perm_id=record.perm_id,
        filled=record.known_filled,
    )


def not_sent(
    record: OrderRecord,
    validation: ValidationResult | None,
    reason: str,
    submitted_at: datetime | None,
    at: datetime,
) -> m.RecordNotSent:
    """Keep why an order ended that was never intended: risk rejected it, or nobody answered in time."""
    return m.RecordNotSent(
        correlation_id=record.correlation_id,
        request=record.request,
        status=record.state.value,
        reason=reason,
        at=at,
        order_id=record.order_id,
        order_ref=record.order_ref,
        close_reason=record.close_reason,
        validation=validation,
        submitted_at=submitted_at,
    )


def approval_of(
    approved: m.OrderApproved,
    quote: Quote | None,
    clock: Clock,
    asked_at: datetime | None = None,
    submitted_at: datetime | None = None,
) -> m.Approval:
    """Put together what the audit trail keeps of a permit that has just been given."""
    now = clock.now()
    left_s = approved.permit.expires_at - clock.monotonic()
    return m.Approval(
        validation=approved.validation,
        permit_id=approved.permit.permit_id,
        permit_expires_at=now + timedelta(seconds=left_s),
        asked_at=asked_at,
        given_at=now,
        submitted_at=submitted_at,
        quote=quote,
    )


def _note(order_ref: str, kind: str, facts: dict[str, _Fact], at: datetime) -> m.Note:
    said = tuple((name, fact) for name, fact in facts.items() if fact not in (None, ""))
    return m.Note(order_ref=order_ref, kind=kind, facts=said, at=at)
