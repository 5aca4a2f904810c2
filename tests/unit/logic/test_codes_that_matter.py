"""Every code that PEERS and the requirements name has a decided meaning for each request and state where it occurs."""

from __future__ import annotations

from typing import Final

import attrs
import pytest

from actors.executor.record import OrderRecord, apply_error, begin_change, request_cancel
from actors.logic.broker_codes import KNOWN_CODES, Meaning, RequestKind, meaning
from actors.logic.order_table import LIVE, TERMINAL, OrderState
from actors.model.orders import RejectionKind
from tests.unit.logic.values import LATER, record

pytestmark = pytest.mark.req("ORD-8")

M, K, S = Meaning, RequestKind, OrderState

PEERS: Final = frozenset(
    {100, 103, 104, 105, 110, 135, 161, 162, 200, 201, 202, 320, 321, 322, 326, 354, 366, 399, 404}
    | {434, 436, 502, 504, 1100, 1101, 1102, 1300, 2103, 2104, 2105, 2106, 2107, 2108, 2109, 2110}
    | {2119, 2157, 2158, 10089, 10090, 10147, 10148, 10167, 10168, 10182, 10197, 10225, 10349}
)
"""The list "Codes that matter"."""

REFUSALS: Final = (104, 105, 110, 200, 320, 321, 322, 434, 436)
"""They end a new order, say nothing certain of one that works, and leave a changed one as it was."""

OPEN_FATE: Final = (135, 161, 10147, 10148)
"""Whatever was asked for: the order may be filled, so the broker is asked."""

ADVISORIES: Final = (399, 2109, 10349)
LINK_ONLY: Final = tuple(
    code
    for code in sorted(PEERS)
    if code in (326, 502, 504) or (1000 <= code < 2200 and code != 2109)
)

Decision = tuple[Meaning, OrderState | None]
"""What a code means, and the state that an order is in afterwards; None: the one it was in."""

ASKS: Final = (M.QUERY, S.UNKNOWN)
STAYS: Final = (M.LIVES_ON, None)

# (a new order, one that works, one with a change under way, one with a cancel under way)
DECISIONS: Final[dict[int, tuple[Decision, Decision, Decision, Decision]]] = {
    **dict.fromkeys((104, 105, 110, 200, 434, 436), ((M.REJECTED, S.FAILED), ASKS, STAYS, ASKS)),
    **dict.fromkeys((320, 321, 322), ((M.OUR_DEFECT, S.FAILED), ASKS, STAYS, ASKS)),
    **dict.fromkeys(OPEN_FATE, (ASKS, ASKS, ASKS, ASKS)),
    **dict.fromkeys(ADVISORIES, ((M.ADVISORY, None),) * 4),
    **dict.fromkeys(LINK_ONLY, ((M.NOTICE, None),) * 4),
    100: ((M.THROTTLE, None),) * 4,
    103: ((M.DUPLICATE_ID, S.UNKNOWN), (M.DUPLICATE_ID, S.UNKNOWN), ASKS, ASKS),
    201: ((M.REJECTED, S.FAILED), (M.REJECTED, S.FAILED), STAYS, ASKS),
    202: ((M.CANCELLED, S.CANCELLED),) * 4,
    404: ((M.HELD, S.HELD), (M.HELD, S.HELD), (M.HELD, S.HELD), (M.ADVISORY, None)),
    999_999: (ASKS, ASKS, ASKS, ASKS),
}

DATA_ONLY: Final = frozenset({162, 354, 366, 10089, 10090, 10167, 10168, 10182, 10197, 10225})
"""These never come under an order's id; if one did, the broker would be asked."""


def orders() -> tuple[OrderRecord, OrderRecord, OrderRecord, OrderRecord]:
    """One order for each column."""
    working = record(S.ACKNOWLEDGED)
    change = attrs.evolve(working.order, quantity=50.0)
    return (
        record(S.SENT),
        working,
        begin_change(working, change),
        request_cancel(working, LATER),
    )


KINDS: Final = ((K.NEW, False), (K.NEW, True), (K.MODIFY, True), (K.CANCEL, True))


def test_no_code_of_the_list_is_unknown() -> None:
    assert PEERS <= KNOWN_CODES
    assert (DECISIONS.keys() | DATA_ONLY) - {999_999} == PEERS


@pytest.mark.parametrize("column", range(4), ids=["new", "working", "modify", "cancel"])
@pytest.mark.parametrize("code", [*DECISIONS, *sorted(DATA_ONLY)])
def test_a_code_is_decided_for_each_request_and_state(code: int, column: int) -> None:
    before, (kind, working) = orders()[column], KINDS[column]
    expected, state = DECISIONS[code][column] if code in DECISIONS else ASKS

    after = apply_error(before, code, "text", LATER)

    assert expected is meaning(code, kind, working)
    assert (state or before.state) is after.state
    assert after.last_notice == f"{code}: text"
    if after.state is S.FAILED:
        assert after.rejection_reason == f"{code}: text"
        assert (after.rejection_kind, after.rejection_code) == (RejectionKind.BROKER, code)
    if expected is M.LIVES_ON:
        assert (after.pending_change, after.order) == (None, before.order)


@pytest.mark.parametrize("state", sorted(LIVE), ids=str)
@pytest.mark.parametrize("code", sorted(DECISIONS))
def test_no_code_makes_an_order_filled_and_only_refusals_and_cancels_end_one(
    code: int, state: OrderState
) -> None:
    after = apply_error(record(state), code, "text", LATER)

    assert after.state is not S.FILLED
    if after.is_terminal:
        said = meaning(code, K.NEW, state in (S.ACKNOWLEDGED, S.HELD, S.CANCELLING))
        assert said in (M.REJECTED, M.OUR_DEFECT, M.CANCELLED)


@pytest.mark.parametrize("state", sorted(TERMINAL), ids=str)
@pytest.mark.parametrize("code", sorted(DECISIONS))
def test_no_code_wakes_an_order_that_is_at_its_end(code: int, state: OrderState) -> None:
    assert state is apply_error(record(state), code, "text", LATER).state
