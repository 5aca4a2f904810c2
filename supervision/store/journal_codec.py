"""How orders and executions are written into the journal's JSON columns, and read back.

Enums go by value, dates and times in ISO form. What cannot be read back raises: a journal that lost its meaning must
not be taken for an empty one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, TypeVar

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn

from actors import messages as m
from actors.errors import JournalError
from actors.model.market import Quote
from actors.model.orders import (
    CloseReason,
    Execution,
    TradeRequest,
    ValidationResult,
    WaitFor,
    WireOrder,
)
from supervision.store.journal_values import StoredExecution, StoredOrder

T = TypeVar("T")


def _make_converter() -> Converter:
    converter = Converter(prefer_attrib_converters=False)
    converter.register_unstructure_hook(datetime, lambda value: value.isoformat())
    converter.register_structure_hook(datetime, lambda value, _: datetime.fromisoformat(value))
    converter.register_unstructure_hook(date, lambda value: value.isoformat())
    converter.register_structure_hook(date, lambda value, _: date.fromisoformat(value))
    for kind in (WireOrder, TradeRequest, Execution):
        converter.register_structure_hook(kind, make_dict_structure_fn(kind, converter))
    return converter


_CONVERTER = _make_converter()


@attrs.frozen(kw_only=True)
class Intent:
    """What an intent's content column holds."""

    order: WireOrder
    request: TradeRequest
    close_reason: CloseReason | None = None
    wait_for: WaitFor = WaitFor.ACK
    position_base: float | None = None


def intent_content(
    order: WireOrder,
    request: TradeRequest,
    close_reason: CloseReason | None = None,
    wait_for: WaitFor = WaitFor.ACK,
    position_base: float | None = None,
) -> Any:
    """Write an intent."""
    return _CONVERTER.unstructure(
        Intent(
            order=order,
            request=request,
            close_reason=close_reason,
            wait_for=wait_for,
            position_base=position_base,
        )
    )


def execution_content(execution: Execution) -> Any:
    """Write an execution."""
    return _CONVERTER.unstructure(execution)


def approval_content(approval: m.Approval | None) -> Any:
    """Write how an order got its permit; None where nobody said."""
    if approval is None:
        return None
    return {
        "submitted_at": _time(approval.submitted_at),
        "asked_at": _time(approval.asked_at),
        "given_at": _time(approval.given_at),
        "permit_id": approval.permit_id,
        "permit_expires_at": _time(approval.permit_expires_at),
        "quote": _quote_content(approval.quote),
        **_validation_content(approval.validation),
    }


def not_sent_content(record: m.RecordNotSent) -> Any:
    """Write what is known of an order that was not sent."""
    return {
        "request": _CONVERTER.unstructure(record.request),
        "close_reason": record.close_reason,
        "submitted_at": _time(record.submitted_at),
        **(_validation_content(record.validation) if record.validation else {}),
    }


def _validation_content(validation: ValidationResult) -> dict[str, Any]:
    return {
        "numbers": _storable(validation.risk_metrics),
        "notes": list(validation.notes),
        "rejected_by": list(validation.rejected_by),
        "reasons": list(validation.rejection_reasons),
    }


def _quote_content(quote: Quote | None) -> Any:
    if quote is None:
        return None
    numbers = {"bid": quote.bid, "ask": quote.ask, "last": quote.last}
    known = {name: number for name, number in numbers.items() if number is not None}
    return {**_storable(known), "received_at": _time(quote.received_at)}


def _storable(numbers: Mapping[str, float]) -> dict[str, Any]:
    """Write numbers; JSON knows neither infinity nor NaN, and no order shall fail for that."""
    return {name: value if math.isfinite(value) else str(value) for name, value in numbers.items()}


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def read_order(stored: StoredOrder) -> m.JournaledOrder:
    """Read an order back; raises `JournalError` naming it when that cannot be done."""
    intent = _read(stored.content, Intent, stored.order_ref)
    detail = stored.last.detail if stored.last and isinstance(stored.last.detail, dict) else {}
    return m.JournaledOrder(
        order=intent.order,
        request=intent.request,
        order_id=stored.order_id,
        correlation_id=stored.correlation_id,
        close_reason=intent.close_reason,
        wait_for=intent.wait_for,
        state=stored.last.state if stored.last else "INTENT",
        broker_order_id=detail.get("broker_order_id"),
        client_id=detail.get("client_id"),
        perm_id=detail.get("perm_id"),
        filled=detail.get("filled", 0.0),
        at=stored.created_at,
        position_base=intent.position_base,
    )


def read_execution(stored: StoredExecution) -> Execution:
    """Read an execution back; raises `JournalError` naming it when that cannot be done."""
    return _read(stored.content, Execution, stored.exec_id)


def _read(content: Any, kind: type[T], what: str) -> T:
    try:
        return _CONVERTER.structure(content, kind)
    except Exception as error:
        raise JournalError(f"the journal's record of {what} cannot be read: {error!r}") from error
