"""The order state machine as tables: which step may follow which, and where the broker's words lead.

::

    NEW → AWAITING_APPROVAL → AWAITING_JOURNAL → AT_GATE → SENT → ACKNOWLEDGED → FILLED
     │           │                   │              │        │     ↕  HELD        CANCELLED
     └───────────┴── REJECTED, FAILED, CANCELLED ───┤        └── CANCELLING       FAILED
                                                SIMULATED       UNKNOWN           LOST

Nothing has reached the broker before SENT, so a broker's word about such an order is a defect and raises. From UNKNOWN
(the broker is asked) every live and final state can follow; LOST is an UNKNOWN that nobody could explain.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from actors.errors import IllegalTransitionError
from actors.logic.broker_codes import Meaning


class OrderState(StrEnum):
    """Where an order is within this process (the caller sees the coarser `OrderStatus`)."""

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


class BrokerWord(StrEnum):
    """What a broker's status says, with the synonyms taken together."""

    PENDING = "pending"
    WORKING = "working"
    HELD = "held"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    FILLED = "filled"
    INACTIVE = "inactive"


S = OrderState
W = BrokerWord

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

_WORDS: Final[Mapping[str, BrokerWord]] = MappingProxyType(
    {
        "ApiPending": W.PENDING,
        "PendingSubmit": W.PENDING,
        "PreSubmitted": W.WORKING,
        "Submitted": W.WORKING,
        "PendingCancel": W.CANCELLING,
        "ApiCancelled": W.CANCELLED,
        "Cancelled": W.CANCELLED,
        "Filled": W.FILLED,
        "Inactive": W.INACTIVE,
    }
)

_FIRST_NEWS: Final = {
    W.PENDING: S.SENT,
    W.WORKING: S.ACKNOWLEDGED,
    W.HELD: S.HELD,
    W.CANCELLING: S.CANCELLING,
    W.CANCELLED: S.CANCELLED,
    W.FILLED: S.FILLED,
    W.INACTIVE: S.FAILED,
}


def _stays(state: OrderState) -> dict[BrokerWord, OrderState]:
    return dict.fromkeys(BrokerWord, state)


NEXT_BY_WORD: Final[Mapping[OrderState, Mapping[BrokerWord, OrderState]]] = MappingProxyType(
    {
        S.AT_GATE: _FIRST_NEWS,
        S.SENT: _FIRST_NEWS,
        S.ACKNOWLEDGED: {**_FIRST_NEWS, W.PENDING: S.ACKNOWLEDGED},
        S.HELD: {**_FIRST_NEWS, W.PENDING: S.HELD},
        # A status that was on its way when the cancel left must not look like a refusal of the cancel.
        S.CANCELLING: {
            **_FIRST_NEWS,
            W.PENDING: S.CANCELLING,
            W.WORKING: S.CANCELLING,
            W.HELD: S.CANCELLING,
        },
        S.UNKNOWN: _FIRST_NEWS,
        S.LOST: _FIRST_NEWS,
        S.FILLED: _stays(S.FILLED),
        # Only executions can turn a cancelled order into a filled one, never a status (ORD-5).
        S.CANCELLED: _stays(S.CANCELLED),
        # A refused order that works after all: our reading of the refusal was wrong, so the broker is asked.
        S.FAILED: {
            **_stays(S.FAILED),
            W.WORKING: S.UNKNOWN,
            W.HELD: S.UNKNOWN,
            W.CANCELLING: S.UNKNOWN,
            W.CANCELLED: S.CANCELLED,
        },
    }
)
"""Where a broker's word leads; states that are missing here cannot be known to the broker."""

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


def word_of(status: str, why_held: str = "") -> BrokerWord | None:
    """Read a broker's status; None for one that does not exist. Held for a locate is not the end (PEERS 22)."""
    word = _WORDS.get(status)
    if word in (W.INACTIVE, W.WORKING) and "locate" in why_held.lower():
        return W.HELD
    return word


def next_by_word(state: OrderState, word: BrokerWord) -> OrderState:
    """Tell where a broker's word leads; raise `IllegalTransitionError` for an order that was never sent."""
    row = NEXT_BY_WORD.get(state)
    if row is None:
        raise IllegalTransitionError(f"the broker says {word!r} of an order that is {state}")
    return row[word]


def check_step(state: OrderState, to: OrderState) -> None:
    """Raise `IllegalTransitionError` unless the table has a step from ``state`` to ``to``."""
    if to not in TRANSITIONS[state]:
        raise IllegalTransitionError(f"an order cannot go from {state} to {to}")
