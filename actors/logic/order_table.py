"""The order state machine as tables: which step may follow which, and where the broker's statuses lead.

::

    NEW → AWAITING_APPROVAL → AWAITING_JOURNAL → AT_GATE → SENT → ACKNOWLEDGED → FILLED
     │           │                   │              │        │     ↕  HELD        CANCELLED
     └───────────┴── REJECTED, FAILED, CANCELLED ───┤        └── CANCELLING       FAILED
                                                SIMULATED       UNKNOWN           LOST

Before AT_GATE nothing can have reached the broker, so a status of such an order is a defect and raises. An order that
is AT_GATE may have been sent while the gate's answer is still on its way: it counts as live, and a status of the broker
may overtake that answer. From UNKNOWN (the broker is asked) every live and final state can follow; LOST is an UNKNOWN
that nobody could explain.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from actors.errors import IllegalTransitionError
from actors.logic.broker_codes import Meaning


class OrderState(StrEnum):
    """Where an order is for us, step by step, inside the executor; callers see the coarser `OrderStatus`."""

    NEW = "NEW"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    AWAITING_JOURNAL = "AWAITING_JOURNAL"
    AT_GATE = "AT_GATE"
    SENT = "SENT"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    HELD = "HELD"
    CANCELLING = "CANCELLING"
    UNKNOWN = "UNKNOWN"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"
    SIMULATED = "SIMULATED"
    LOST = "LOST"


class BrokerStatus(StrEnum):
    """What a status text of the broker means, synonyms taken together."""

    PENDING = "pending"
    WORKING = "working"
    HELD = "held"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    FILLED = "filled"
    INACTIVE = "inactive"


S = OrderState
B = BrokerStatus

UNSENT: Final = frozenset({S.NEW, S.AWAITING_APPROVAL, S.AWAITING_JOURNAL})
"""Nothing can be at the broker yet."""

LIVE: Final = frozenset({S.AT_GATE, S.SENT, S.ACKNOWLEDGED, S.HELD, S.CANCELLING, S.UNKNOWN})
"""The order may be at the broker and may fill."""

TERMINAL: Final = frozenset({S.FILLED, S.CANCELLED, S.REJECTED, S.FAILED, S.SIMULATED, S.LOST})
"""The order is at its end, as far as is known."""

WORKING: Final = frozenset({S.ACKNOWLEDGED, S.HELD, S.CANCELLING})
"""The broker has acknowledged the order."""

_AT_BROKER: Final = frozenset({S.SENT, S.ACKNOWLEDGED, S.HELD, S.CANCELLING, S.UNKNOWN})
_ENDS: Final = frozenset({S.FILLED, S.CANCELLED, S.FAILED})

TRANSITIONS: Final[Mapping[OrderState, frozenset[OrderState]]] = MappingProxyType(
    {
        S.NEW: frozenset({S.AWAITING_APPROVAL, S.REJECTED, S.FAILED, S.CANCELLED}),
        S.AWAITING_APPROVAL: frozenset({S.AWAITING_JOURNAL, S.REJECTED, S.FAILED, S.CANCELLED}),
        S.AWAITING_JOURNAL: frozenset(
            {S.AT_GATE, S.REJECTED, S.FAILED, S.CANCELLED, S.UNKNOWN, S.LOST}
        ),
        S.AT_GATE: _AT_BROKER | _ENDS | {S.REJECTED, S.SIMULATED, S.LOST},
        S.SENT: (_AT_BROKER | _ENDS | {S.LOST}) - {S.SENT},
        S.ACKNOWLEDGED: frozenset({S.HELD, S.CANCELLING, S.UNKNOWN}) | _ENDS,
        S.HELD: frozenset({S.ACKNOWLEDGED, S.CANCELLING, S.UNKNOWN}) | _ENDS,
        S.CANCELLING: frozenset({S.ACKNOWLEDGED, S.UNKNOWN}) | _ENDS,
        S.UNKNOWN: (_AT_BROKER | _ENDS | {S.LOST}) - {S.UNKNOWN},
        S.FILLED: frozenset(),
        S.CANCELLED: frozenset({S.FILLED}),
        S.REJECTED: frozenset(),
        S.FAILED: frozenset({S.FILLED, S.CANCELLED, S.UNKNOWN}),
        S.SIMULATED: frozenset(),
        S.LOST: _AT_BROKER | _ENDS,
    }
)
"""The steps that exist. What an end allows is the broker's correction of it: a fill that came after all."""

_STATUSES: Final[Mapping[str, BrokerStatus]] = MappingProxyType(
    {
        "ApiPending": B.PENDING,
        "PendingSubmit": B.PENDING,
        "PreSubmitted": B.WORKING,
        "Submitted": B.WORKING,
        "PendingCancel": B.CANCELLING,
        "ApiCancelled": B.CANCELLED,
        "Cancelled": B.CANCELLED,
        "Filled": B.FILLED,
        "Inactive": B.INACTIVE,
    }
)

_FIRST_NEWS: Final = {
    B.PENDING: S.SENT,
    B.WORKING: S.ACKNOWLEDGED,
    B.HELD: S.HELD,
    B.CANCELLING: S.CANCELLING,
    B.CANCELLED: S.CANCELLED,
    B.FILLED: S.FILLED,
    B.INACTIVE: S.FAILED,
}


def _stays(state: OrderState) -> dict[BrokerStatus, OrderState]:
    return dict.fromkeys(BrokerStatus, state)


NEXT_BY_STATUS: Final[Mapping[OrderState, Mapping[BrokerStatus, OrderState]]] = MappingProxyType(
    {
        S.AT_GATE: _FIRST_NEWS,
        S.SENT: _FIRST_NEWS,
        S.ACKNOWLEDGED: {**_FIRST_NEWS, B.PENDING: S.ACKNOWLEDGED},
        S.HELD: {**_FIRST_NEWS, B.PENDING: S.HELD},
        # A status that was on its way when the cancel left must not look like a refusal of the cancel.
        S.CANCELLING: {
            **_FIRST_NEWS,
            B.PENDING: S.CANCELLING,
            B.WORKING: S.CANCELLING,
            B.HELD: S.CANCELLING,
        },
        S.UNKNOWN: _FIRST_NEWS,
        S.LOST: _FIRST_NEWS,
        S.FILLED: _stays(S.FILLED),
        # Only executions can turn a cancelled order into a filled one, never a status (ORD-5).
        S.CANCELLED: _stays(S.CANCELLED),
        # A refused order that works after all: our reading of the refusal was wrong, so the broker is asked.
        S.FAILED: {
            **_stays(S.FAILED),
            B.WORKING: S.UNKNOWN,
            B.HELD: S.UNKNOWN,
            B.CANCELLING: S.UNKNOWN,
            B.CANCELLED: S.CANCELLED,
        },
    }
)
"""Where a broker's status leads; an order in a state that is missing here cannot be known to the broker."""

NEXT_BY_MEANING: Final[Mapping[Meaning, OrderState]] = MappingProxyType(
    {
        Meaning.REJECTED: S.FAILED,
        Meaning.OUR_DEFECT: S.FAILED,
        Meaning.NO_CONTRACT: S.FAILED,
        Meaning.CANCELLED: S.CANCELLED,
        Meaning.HELD: S.HELD,
        Meaning.QUERY: S.UNKNOWN,
        Meaning.DUPLICATE_ID: S.UNKNOWN,
    }
)
"""Where a code's meaning leads a live order; meanings that are missing here leave its state alone."""


def status_of(text: str, why_held: str = "") -> BrokerStatus | None:
    """Read a broker's status text; None for one that does not exist. Held for a locate is not the end (PEERS 22)."""
    status = _STATUSES.get(text)
    if status in (B.INACTIVE, B.WORKING) and "locate" in why_held.lower():
        return B.HELD
    return status


def next_by_status(state: OrderState, status: BrokerStatus) -> OrderState:
    """Tell where a broker's status leads; raise `IllegalTransitionError` for an order that was never sent."""
    row = NEXT_BY_STATUS.get(state)
    if row is None:
        raise IllegalTransitionError(f"the broker says {status!r} of an order that is {state}")
    return row[status]


def check_step(state: OrderState, to: OrderState) -> None:
    """Raise `IllegalTransitionError` unless the table has a step from ``state`` to ``to``."""
    if to not in TRANSITIONS[state]:
        raise IllegalTransitionError(f"an order cannot go from {state} to {to}")
