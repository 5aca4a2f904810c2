"""Entries of orders: intents, changes, states, what was said of them, and those that were not sent."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import attrs

from actors import messages as m
from actors.kernel.stories import root_id
from actors.logic.order_table import TERMINAL, OrderState
from supervision.store.entries.kind import EntryKind, Horizon
from supervision.store.journal_codec import (
    approval_content,
    intent_content,
    not_sent_content,
    read_order,
)
from supervision.store.journal_rows import Query, Rows, as_text, decode, encode, insert
from supervision.store.journal_values import StoredOrder, StoredTransition
from supervision.store.volatile_store import VolatileStore, has_ended

MOST_ENDED: Final = 1000
"""So many orders that have ended are read back at most, and held without a disk."""

# --- intents --------------------------------------------------------------------------------------------------------


def intent_rows(
    *,
    order_ref: str,
    order_id: str,
    correlation_id: str,
    purpose: str,
    content: Any,
    at: datetime,
    approval: Any = None,
    conflict: str = "",
) -> Rows:
    """Write that an order is about to be sent. An ``order_ref`` is used once; ``purpose`` is open or close.

    ``conflict`` IGNORE leaves an intent that is there as it is.

    ``approval`` is risk's decision and its permit; in the order's row they cost no page of their own.
    """
    if purpose not in ("open", "close"):
        raise ValueError(f"purpose must be open or close (was {purpose!r})")
    row = insert(
        "intents",
        conflict,
        order_ref=order_ref,
        order_id=order_id,
        correlation_id=correlation_id,
        purpose=purpose,
        content=content,
        created_at=at,
        approval=approval,
    )
    return Rows(statements=(row,), new_order=None if conflict else order_ref)


def _intent_rows(message: m.RecordIntent, _: datetime, conflict: str = "") -> Rows:
    return intent_rows(
        order_ref=message.order.order_ref,
        order_id=message.order_id,
        correlation_id=root_id(message.correlation_id),
        purpose=message.order.purpose.value,
        content=_terms(message),
        at=message.at,
        approval=approval_content(message.approval),
        conflict=conflict,
    )


def _terms(message: m.RecordIntent | m.RecordModification | m.ChangeUndone) -> Any:
    return intent_content(
        message.order,
        message.request,
        message.close_reason,
        message.wait_for,
        message.position_base,
    )


def _hold_intent(store: VolatileStore, message: m.RecordIntent) -> None:
    _let_go_of_the_oldest(store.orders)
    store.orders[message.order.order_ref] = m.JournaledOrder(
        order=message.order,
        request=message.request,
        order_id=message.order_id,
        correlation_id=root_id(message.correlation_id),
        close_reason=message.close_reason,
        wait_for=message.wait_for,
        state="INTENT",
        broker_order_id=None,
        filled=0.0,
        at=message.at,
        position_base=message.position_base,
    )


def _let_go_of_the_oldest(orders: dict[str, m.JournaledOrder]) -> None:
    """Of those that ended, when there are many."""
    if len(orders) > MOST_ENDED:
        for order_ref in [key for key, held in orders.items() if has_ended(held)]:
            if len(orders) <= MOST_ENDED // 2:
                break
            del orders[order_ref]


def _intent_durable(message: m.RecordIntent | m.RecordModification) -> m.IntentDurable:
    return m.IntentDurable(correlation_id=message.correlation_id, order_ref=message.order.order_ref)


def _read_orders(told: m.JournalRead, query: Query, horizon: Horizon) -> m.JournalRead:
    return attrs.evolve(
        told,
        orders=tuple(map(read_order, open_orders(query))),
        ended=tuple(map(read_order, ended_orders(query, horizon.ended_since))),
    )


def _recall_orders(told: m.JournalRead, store: VolatileStore) -> m.JournalRead:
    held = store.orders.values()
    return attrs.evolve(
        told,
        orders=tuple(order for order in held if not has_ended(order)),
        ended=tuple(filter(has_ended, held)),
    )


INTENT: Final = EntryKind(
    message=m.RecordIntent,
    rows=_intent_rows,
    answer=_intent_durable,
    is_kept=lambda _: False,
    hold=_hold_intent,
    read=_read_orders,
    recall=_recall_orders,
)


# --- intents that were not durable when the order went ----------------------------------------------------------------

UNJOURNALED_NOTE: Final = "unjournaled"
"""The kind of the note that says why an order went without a durable intent."""


def _unjournaled_rows(message: m.RecordUnjournaled, now: datetime) -> Rows:
    """Write the intent that came too late, with why; one that became durable after all is left as it is."""
    intent = message.intent
    (row,) = _intent_rows(intent, now, "IGNORE").statements
    (note,) = note_rows(
        order_ref=intent.order.order_ref,
        kind=UNJOURNALED_NOTE,
        content={"reason": message.reason},
        at=intent.at,
    ).statements
    return Rows(statements=(row, note))


UNJOURNALED: Final = EntryKind(
    message=m.RecordUnjournaled,
    rows=_unjournaled_rows,
    hold=lambda store, message: _hold_intent(store, message.intent),
)

# --- changes --------------------------------------------------------------------------------------------------------

_KEEP_THE_REPLACED: Final = (
    "INSERT INTO modifications (order_ref, replaced, at, approval, writer, incarnation)"
    " SELECT order_ref, content, :at, :approval, :writer, :incarnation FROM intents"
    " WHERE order_ref = :order_ref"
)
_PUT_BACK: Final = "UPDATE intents SET content = :content WHERE order_ref = :order_ref"
_TAKE_ITS_PLACE: Final = (
    "UPDATE intents SET content = :content, is_open = 1 WHERE order_ref = :order_ref"
)


def modification_rows(*, order_ref: str, content: Any, at: datetime, approval: Any = None) -> Rows:
    """Write that an order is about to be modified: the new content takes the old one's place, which is kept."""
    kept = {"order_ref": order_ref, "at": as_text(at), "approval": encode("approval", approval)}
    placed = {"order_ref": order_ref, "content": encode("content", content)}
    return Rows(
        statements=((_KEEP_THE_REPLACED, kept), (_TAKE_ITS_PLACE, placed)), known_order=order_ref
    )


def _modification_rows(message: m.RecordModification, _: datetime) -> Rows:
    return modification_rows(
        order_ref=message.order.order_ref,
        content=_terms(message),
        at=message.at,
        approval=approval_content(message.approval),
    )


def undone_rows(*, order_ref: str, content: Any) -> Rows:
    """Write that the terms which hold are these again; that a change was asked for stays in the audit trail."""
    values = {"order_ref": order_ref, "content": encode("content", content)}
    return Rows(statements=((_PUT_BACK, values),))


def _hold_modification(
    store: VolatileStore, message: m.RecordModification | m.ChangeUndone
) -> None:
    order = message.order
    held = store.orders.get(order.order_ref)
    if held is not None:
        store.orders[order.order_ref] = attrs.evolve(held, order=order, request=message.request)


MODIFICATION: Final = EntryKind(
    message=m.RecordModification,
    rows=_modification_rows,
    answer=_intent_durable,
    is_kept=lambda _: False,
    hold=_hold_modification,
)

UNDONE: Final = EntryKind(
    message=m.ChangeUndone,
    rows=lambda message, _: undone_rows(order_ref=message.order.order_ref, content=_terms(message)),
    hold=_hold_modification,
)

# --- states ---------------------------------------------------------------------------------------------------------

_OPEN_OR_ENDED: Final = "UPDATE intents SET is_open = :is_open WHERE order_ref = :order_ref"


def transition_rows(
    *,
    order_ref: str,
    at: datetime,
    state: str,
    final: bool,
    detail: Any = None,
    source: str = "broker",
) -> Rows:
    """Write an order's new state; ``final`` says that nothing is expected after it. Unknown orders are allowed."""
    row = insert(
        "transitions",
        order_ref=order_ref,
        at=at,
        state=state,
        is_final=int(final),
        detail=detail,
        source=source,
    )
    ended = {"order_ref": order_ref, "is_open": int(not final)}
    return Rows(statements=(row, (_OPEN_OR_ENDED, ended)))


def _transition_rows(message: m.Transition, _: datetime) -> Rows:
    return transition_rows(
        order_ref=message.order_ref,
        at=message.at,
        state=message.state,
        final=OrderState(message.state) in TERMINAL,
        detail={
            "text": message.detail,
            "broker_order_id": message.broker_order_id,
            "client_id": message.client_id,
            "perm_id": message.perm_id,
            "filled": message.filled,
        },
    )


def _hold_transition(store: VolatileStore, message: m.Transition) -> None:
    held = store.orders.get(message.order_ref)
    if held is not None:
        store.orders[message.order_ref] = attrs.evolve(
            held,
            state=message.state,
            broker_order_id=message.broker_order_id,
            client_id=message.client_id,
            perm_id=message.perm_id,
            filled=message.filled,
        )


TRANSITION: Final = EntryKind(message=m.Transition, rows=_transition_rows, hold=_hold_transition)

# --- for the audit trail --------------------------------------------------------------------------------------------


def note_rows(*, order_ref: str, kind: str, content: Any, at: datetime) -> Rows:
    """Write what was said of an order, such as a message of the broker."""
    return Rows(
        statements=(insert("notes", order_ref=order_ref, at=at, kind=kind, content=content),)
    )


def not_sent_rows(
    *,
    order_ref: str,
    order_id: str,
    correlation_id: str,
    status: str,
    reason: str,
    content: Any,
    at: datetime,
) -> Rows:
    """Write why an order was not sent. ``order_ref`` and ``order_id`` are empty where it had none yet."""
    row = insert(
        "not_sent",
        order_ref=order_ref,
        order_id=order_id,
        correlation_id=correlation_id,
        at=at,
        status=status,
        reason=reason,
        content=content,
    )
    return Rows(statements=(row,))


def _not_sent_rows(message: m.RecordNotSent, _: datetime) -> Rows:
    return not_sent_rows(
        order_ref=message.order_ref,
        order_id=message.order_id,
        correlation_id=message.correlation_id,
        status=message.status,
        reason=message.reason,
        content=not_sent_content(message),
        at=message.at,
    )


def _let_go(_: VolatileStore, __: m.Note | m.RecordNotSent) -> None:
    """Without a file there is no audit trail."""


NOTE: Final = EntryKind(
    message=m.Note,
    rows=lambda message, _: note_rows(
        order_ref=message.order_ref,
        kind=message.kind,
        content=dict(message.facts),
        at=message.at,
    ),
    hold=_let_go,
    urgent=False,
)

NOT_SENT: Final = EntryKind(
    message=m.RecordNotSent, rows=_not_sent_rows, hold=_let_go, urgent=False
)

# --- reading back ---------------------------------------------------------------------------------------------------

_ORDERS: Final = (
    "SELECT i.order_ref, i.order_id, i.correlation_id, i.purpose, i.content, i.created_at,"
    " t.order_ref, t.at, t.state, t.is_final, t.detail, t.source FROM intents i"
    " LEFT JOIN transitions t ON t.seq ="
    " (SELECT max(seq) FROM transitions WHERE order_ref = i.order_ref)"
)
_OPEN: Final = _ORDERS + " WHERE i.is_open ORDER BY i.created_at, i.rowid"
_ENDED: Final = (
    _ORDERS + " WHERE NOT i.is_open AND i.created_at >= ? ORDER BY i.created_at DESC LIMIT ?"
)
_TRANSITIONS: Final = (
    "SELECT order_ref, at, state, is_final, detail, source FROM transitions"
    " WHERE order_ref = ? ORDER BY seq"
)


def open_orders(query: Query) -> tuple[StoredOrder, ...]:
    """Read the intents whose newest transition is not final, oldest first."""
    return tuple(_order(row) for row in query(_OPEN))


def ended_orders(query: Query, since: datetime, most: int = MOST_ENDED) -> tuple[StoredOrder, ...]:
    """Read the newest orders that ended, of those made since then, oldest first."""
    return tuple(_order(row) for row in reversed(query(_ENDED, as_text(since), most)))


def one_order(query: Query, order_ref: str) -> StoredOrder | None:
    """Read one order; None when it has no intent."""
    rows = query(_ORDERS + " WHERE i.order_ref = ?", order_ref)
    return _order(rows[0]) if rows else None


def orders_history(query: Query, order_ref: str) -> tuple[StoredTransition, ...]:
    """Read an order's transitions, oldest first."""
    return tuple(_transition(row) for row in query(_TRANSITIONS, order_ref))


def _order(row: tuple[Any, ...]) -> StoredOrder:
    order_ref, order_id, correlation_id, purpose, content, created_at = row[:6]
    return StoredOrder(
        order_ref=order_ref,
        order_id=order_id,
        correlation_id=correlation_id,
        purpose=purpose,
        content=decode("content", content),
        created_at=decode("created_at", created_at),
        last=None if row[6] is None else _transition(row[6:]),
    )


def _transition(row: tuple[Any, ...]) -> StoredTransition:
    order_ref, at, state, final, detail, source = row
    return StoredTransition(
        order_ref=order_ref,
        at=decode("at", at),
        state=state,
        final=bool(final),
        detail=decode("detail", detail),
        source=source,
    )
