"""Flattening beside orders of another client id, ours too: no number reaches them, and nobody tells their end."""

from __future__ import annotations

import pytest

from actors.logic.flattening import (
    Cancel,
    CancelGlobally,
    Close,
    Mandate,
    Outcome,
    Pending,
    Phase,
    Progress,
    Read,
    Sight,
    next_step,
)
from actors.model.orders import OrderAction
from actors.sections.flattening import Flattening
from tests.unit.logic.values import SPY

pytestmark = pytest.mark.req("STC-2", "CON-8")

LIMITS = Flattening()
ACCOUNT, MANAGED = Mandate(foreign=True), Mandate(foreign=False)
BEGUN = 1_000.0


def order(*, addressable: bool, action: OrderAction = OrderAction.SELL) -> Pending:
    return Pending(reference="ORD_1", action=action, remaining=10.0, addressable=addressable)


def look(progress: Progress, pending: Pending, mandate: Mandate, after_s: float) -> Outcome:
    now = BEGUN + after_s
    sight = Sight(contract=SPY, quantity=10.0, read_at=now, orders=(pending,))
    return next_step(progress, sight, mandate, now, LIMITS)


def test_an_order_that_cannot_be_addressed_is_cancelled_with_all_at_once_and_read_for() -> None:
    outcome = look(Progress(), order(addressable=False), ACCOUNT, 0.0)

    assert {type(action) for action in outcome.actions} == {CancelGlobally, Read}
    assert outcome.progress.phase is Phase.CANCELLING


def test_one_that_can_be_addressed_is_cancelled_by_its_number_and_tells_its_end() -> None:
    outcome = look(Progress(), order(addressable=True), ACCOUNT, 0.0)

    assert outcome.actions == (Cancel(reference="ORD_1"),)


def test_who_manages_only_his_own_never_cancels_all_but_reads_and_waits() -> None:
    outcome = look(Progress(), order(addressable=False), MANAGED, 0.0)

    assert outcome.actions == (Read(),)


@pytest.mark.parametrize("addressable", [True, False])
def test_the_end_of_a_cancel_that_nobody_tells_is_read_for(addressable: bool) -> None:
    """The word of it may be lost, too: waiting for it alone would have no end."""
    pending = order(addressable=addressable)
    begun = look(Progress(), pending, ACCOUNT, 0.0)

    overdue = look(begun.progress, pending, ACCOUNT, LIMITS.cancel_again_after_s)

    assert Read() in overdue.actions
    assert not [action for action in overdue.actions if isinstance(action, Close)]


def test_after_its_end_was_read_the_position_is_closed() -> None:
    begun = look(Progress(), order(addressable=False), ACCOUNT, 0.0)
    now = BEGUN + 5.0
    free = Sight(contract=SPY, quantity=10.0, read_at=now)

    outcome = next_step(begun.progress, free, ACCOUNT, now, LIMITS)

    assert outcome.actions == (Close(action=OrderAction.SELL, quantity=10.0),)
