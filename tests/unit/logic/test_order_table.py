"""Every pair of the order tables is walked."""

from __future__ import annotations

import itertools

import pytest

from actors.errors import IllegalTransitionError
from actors.executor.record import move
from actors.logic.broker_codes import Meaning
from actors.logic.order_table import (
    LIVE,
    NEXT_BY_MEANING,
    NEXT_BY_STATUS,
    TERMINAL,
    TRANSITIONS,
    UNSENT,
    WORKING,
    BrokerStatus,
    OrderState,
    check_step,
    next_by_status,
    status_of,
)
from tests.unit.logic.values import LATER, record

pytestmark = pytest.mark.req("ORD-5")

PAIRS = list(itertools.product(OrderState, OrderState))


@pytest.mark.parametrize(("state", "to"), PAIRS)
def test_a_step_is_taken_exactly_when_the_table_has_it(state: OrderState, to: OrderState) -> None:
    before = record(state)

    if to in TRANSITIONS[state]:
        assert to is move(before, to, LATER).state
    else:
        with pytest.raises(IllegalTransitionError):
            move(before, to, LATER)


@pytest.mark.parametrize(("state", "status"), list(itertools.product(NEXT_BY_STATUS, BrokerStatus)))
def test_every_status_of_the_broker_leads_to_a_step_that_exists(
    state: OrderState, status: BrokerStatus
) -> None:
    to = next_by_status(state, status)

    assert to is state or to in TRANSITIONS[state]


@pytest.mark.parametrize("state", sorted(set(OrderState) - set(NEXT_BY_STATUS)))
@pytest.mark.parametrize("status", list(BrokerStatus))
def test_the_broker_cannot_speak_of_an_order_that_was_never_sent(
    state: OrderState, status: BrokerStatus
) -> None:
    with pytest.raises(IllegalTransitionError):
        next_by_status(state, status)


@pytest.mark.parametrize(
    ("state", "meaning"), list(itertools.product(sorted(LIVE), NEXT_BY_MEANING))
)
def test_every_code_leads_a_live_order_to_a_step_that_exists(
    state: OrderState, meaning: Meaning
) -> None:
    to = NEXT_BY_MEANING[meaning]
    is_guarded = state is OrderState.CANCELLING and to is OrderState.HELD

    assert to is state or is_guarded or to in TRANSITIONS[state]


def test_a_step_that_does_not_exist_is_named() -> None:
    with pytest.raises(IllegalTransitionError, match=r"^an order cannot go from FILLED to SENT$"):
        check_step(OrderState.FILLED, OrderState.SENT)
    with pytest.raises(IllegalTransitionError) as raised:
        next_by_status(OrderState.NEW, BrokerStatus.FILLED)
    said = f"the broker says {BrokerStatus.FILLED!r} of an order that is NEW"
    assert str(raised.value) == said


FIRST_NEWS = "SENT ACKNOWLEDGED HELD CANCELLING CANCELLED FILLED FAILED"
WRITTEN_TWICE = {
    "AT_GATE": FIRST_NEWS,
    "SENT": FIRST_NEWS,
    "ACKNOWLEDGED": "ACKNOWLEDGED ACKNOWLEDGED HELD CANCELLING CANCELLED FILLED FAILED",
    "HELD": "HELD ACKNOWLEDGED HELD CANCELLING CANCELLED FILLED FAILED",
    "CANCELLING": "CANCELLING CANCELLING CANCELLING CANCELLING CANCELLED FILLED FAILED",
    "UNKNOWN": FIRST_NEWS,
    "LOST": FIRST_NEWS,
    "FILLED": "FILLED FILLED FILLED FILLED FILLED FILLED FILLED",
    "CANCELLED": "CANCELLED CANCELLED CANCELLED CANCELLED CANCELLED CANCELLED CANCELLED",
    "FAILED": "FAILED UNKNOWN UNKNOWN UNKNOWN CANCELLED FAILED FAILED",
}
"""State → where PENDING, WORKING, HELD, CANCELLING, CANCELLED, FILLED and INACTIVE lead."""


def test_the_table_of_statuses_is_the_one_that_is_written_here() -> None:
    columns = [
        BrokerStatus[name]
        for name in ["PENDING", "WORKING", "HELD", "CANCELLING", "CANCELLED", "FILLED", "INACTIVE"]
    ]

    found = {
        state.value: " ".join(NEXT_BY_STATUS[state][status] for status in columns)
        for state in NEXT_BY_STATUS
    }

    assert found == WRITTEN_TWICE


def test_every_state_is_unsent_live_or_at_its_end() -> None:
    assert set(OrderState) == UNSENT | LIVE | TERMINAL
    assert not UNSENT & LIVE
    assert not LIVE & TERMINAL
    assert WORKING < LIVE


def test_no_status_makes_an_order_filled_that_is_at_another_end() -> None:
    for state in (OrderState.CANCELLED, OrderState.FAILED):
        assert next_by_status(state, BrokerStatus.FILLED) is state


@pytest.mark.parametrize(
    ("text", "why_held", "expected"),
    [
        ("ApiPending", "", BrokerStatus.PENDING),
        ("PendingSubmit", "", BrokerStatus.PENDING),
        ("PreSubmitted", "", BrokerStatus.WORKING),
        ("PreSubmitted", "trigger", BrokerStatus.WORKING),
        ("PreSubmitted", "locate", BrokerStatus.HELD),
        ("Submitted", "", BrokerStatus.WORKING),
        ("PendingCancel", "", BrokerStatus.CANCELLING),
        ("ApiCancelled", "", BrokerStatus.CANCELLED),
        ("Cancelled", "", BrokerStatus.CANCELLED),
        ("Filled", "", BrokerStatus.FILLED),
        ("Inactive", "", BrokerStatus.INACTIVE),
        ("Inactive", "locate", BrokerStatus.HELD),
        ("Nonsense", "", None),
    ],
)
def test_a_status_text_is_read(text: str, why_held: str, expected: BrokerStatus | None) -> None:
    assert status_of(text, why_held) == expected
    assert why_held or status_of(text) == expected
