"""What the control loop of one contract does next for each thing that it may see, and when it says flat."""

from __future__ import annotations

import math
from datetime import date
from types import MappingProxyType
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.logic import flattening
from actors.logic.flattening import (
    Action,
    Alarm,
    Answer,
    Cancel,
    CancelGlobally,
    Close,
    Held,
    Mandate,
    Outcome,
    Pending,
    Phase,
    Progress,
    Read,
    Sight,
    answered,
    covering,
    fitting_closes,
    free_quantity,
    is_covered,
    next_step,
    situation,
    unlinked,
    woken,
)
from actors.model.contracts import Contract, Right, SecurityType
from actors.model.orders import OrderAction
from actors.sections.flattening import Flattening
from tests.unit.logic.values import QQQ, SPY, SPY_CALL

BUY, SELL = OrderAction.BUY, OrderAction.SELL
LIMITS = Flattening()
NOW = 1_000.0
LONG_AGO = -math.inf
NEVER = math.inf
ALL_ORDERS = Mandate(foreign=True)


def pending(
    reference: str = "o", remaining: float = 10.0, action: OrderAction = SELL, **fields: Any
) -> Pending:
    return Pending(reference=reference, action=action, remaining=remaining, **fields)


def close_order(remaining: float, reference: str = "c", **fields: Any) -> Pending:
    return pending(reference, remaining, **({"is_close": True} | fields))


def sight(quantity: float = 100.0, *orders: Pending, **fields: Any) -> Sight:
    """A contract that trades, whose newest read began after the broker's last word."""
    values: dict[str, Any] = {"contract": SPY, "read_at": NOW - 1.0, "word_at": NOW - 5.0}
    values |= fields
    return Sight(quantity=quantity, orders=orders, **({"ended_at": values["word_at"]} | values))


def step(
    seen: Sight, progress: Progress | None = None, mandate: Mandate | None = None, at: float = NOW
) -> Outcome:
    return next_step(progress or Progress(), seen, mandate or Mandate(), at, LIMITS)


def asked(*references: str, first: float = NOW, last: float | None = None) -> Progress:
    """Cancels of these orders were asked for."""
    times = (first, first if last is None else last)
    return Progress(cancels=MappingProxyType(dict.fromkeys(references, times)))


def changed(before: Progress, after: Progress) -> dict[str, Any]:
    return {
        field.name: getattr(after, field.name)
        for field in attrs.fields(Progress)
        if getattr(before, field.name) != getattr(after, field.name)
    }


FULL = Progress(
    phase=Phase.RESTING,
    cancels=MappingProxyType({"o": (1.0, 2.0)}),
    in_flight=True,
    kept_back=True,
    refusals=3,
    words="no",
    rest_until=NOW + 4.0,
    closed_at=4.0,
    able_since=5.0,
    alarmed_at=6.0,
    read_asked_at=7.0,
    misfit_since=8.0,
    found_flat_at=9.0,
)
"""Progress of which every field says something."""


# --- closing ----------------------------------------------------------------------------------------------------------


@pytest.mark.req("STC-6", "STC-12")
@pytest.mark.parametrize(
    ("quantity", "action", "closed"),
    [(100.0, SELL, 100.0), (-7.0, BUY, 7.0), (100.37, SELL, 100.0), (1.0, SELL, 1.0)],
)
def test_what_is_held_and_free_is_closed_in_whole_units(
    quantity: float, action: OrderAction, closed: float
) -> None:
    outcome = step(sight(quantity))

    assert outcome == Outcome(
        progress=Progress(phase=Phase.CLOSING, in_flight=True, able_since=NOW, closed_at=NOW),
        actions=(Close(action=action, quantity=closed),),
        look_in_s=LIMITS.look_every_s,
    )


@pytest.mark.req("STC-6")
def test_one_close_is_under_way_at_most() -> None:
    outcome = step(sight(), Progress(in_flight=True))

    assert (outcome.actions, outcome.progress.phase) == ((), Phase.CLOSING)
    assert outcome.progress.in_flight


@pytest.mark.req("STC-12")
@pytest.mark.parametrize("quantity", [0.37, -0.5])
def test_a_fraction_alone_is_left_to_a_hand_which_is_called_at_once(quantity: float) -> None:
    outcome = step(sight(quantity))

    assert outcome.progress.phase is Phase.BY_HAND
    (alarm,) = outcome.actions
    assert isinstance(alarm, Alarm)
    assert outcome.progress.alarmed_at == NOW


@pytest.mark.req("STC-9")
def test_what_cannot_be_ordered_is_left_to_a_hand() -> None:
    outcome = step(sight(100.0, closable=False))

    assert outcome.progress.phase is Phase.BY_HAND
    assert [type(each) for each in outcome.actions] == [Alarm]


@pytest.mark.req("STC-6")
@pytest.mark.parametrize(
    ("read_at", "expected"),
    [
        (NOW - 5.0 + flattening.SETTLED_S, Phase.CLOSING),
        (NOW - 5.0, Phase.READING),
        (LONG_AGO, Phase.READING),
    ],
)
def test_it_is_closed_by_a_read_that_began_after_the_brokers_last_word(
    read_at: float, expected: Phase
) -> None:
    outcome = step(sight(read_at=read_at))

    assert outcome.progress.phase is expected
    if expected is Phase.READING:
        assert outcome.actions == (Read(),)
        assert outcome.progress.read_asked_at == NOW


@pytest.mark.req("STC-6")
def test_a_read_waits_until_what_belongs_together_has_come() -> None:
    word = NOW - 0.01
    early = step(sight(word_at=word, read_at=NOW - 1.0))
    due = step(sight(word_at=word, read_at=NOW - 1.0), at=word + flattening.SETTLED_S)

    assert early.actions == ()
    assert early.look_in_s == pytest.approx(0.01)
    assert early.progress.phase is Phase.READING
    assert due.actions == (Read(),)


@pytest.mark.req("STC-6")
@pytest.mark.parametrize(
    ("asked_at", "reads"),
    [
        (NOW - 1.0, False),
        (NOW - LIMITS.read_again_after_s, True),
        (NOW - 4.0, True),
        (NOW - 4.99, True),
    ],
)
def test_a_read_that_is_under_way_is_waited_for_unless_it_began_too_early(
    asked_at: float, reads: bool
) -> None:
    seen = sight(read_at=LONG_AGO)

    outcome = step(seen, Progress(read_asked_at=asked_at))

    assert (outcome.actions == (Read(),)) is reads
    assert outcome.progress.read_asked_at == (NOW if reads else asked_at)


def test_a_read_that_was_asked_for_before_the_last_word_does_not_hold_up_another() -> None:
    seen = sight(read_at=NOW - 2.0, word_at=NOW - 0.5)

    outcome = step(seen, Progress(read_asked_at=NOW - 1.0))

    assert outcome.actions == (Read(),)


def test_one_looks_again_when_a_read_should_have_come() -> None:
    limits = attrs.evolve(LIMITS, look_every_s=60.0)
    seen = sight(read_at=LONG_AGO)

    fresh = next_step(Progress(), seen, Mandate(), NOW, limits)
    under_way = next_step(Progress(read_asked_at=NOW - 0.5), seen, Mandate(), NOW, limits)

    assert fresh.look_in_s == LIMITS.read_again_after_s
    assert under_way.look_in_s == pytest.approx(LIMITS.read_again_after_s - 0.5)


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.req("STC-6")
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer.TAKEN, {"refusals": 0, "rest_until": LONG_AGO, "words": ""}),
        (Answer.MOVED, {}),
        (Answer.UNKNOWN, {"words": "hm"}),
        (Answer.REFUSED, {"refusals": 4, "words": "hm", "rest_until": NOW + 8.0}),
    ],
)
def test_an_answer_lands_the_close_and_changes_what_it_is_about(
    answer: Answer, expected: dict[str, Any]
) -> None:
    after = answered(FULL, answer, "hm", NOW, LIMITS)

    assert changed(FULL, after) == {"in_flight": False} | expected


@pytest.mark.req("STC-8")
@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(Answer), st.sampled_from([0.0, 0.001, 0.03, 0.5]), st.booleans()),
        min_size=30,
        max_size=200,
    )
)
def test_whatever_is_answered_how_fast_no_contract_is_closed_more_than_ten_times_a_second(
    happenings: list[tuple[Answer, float, bool]],
) -> None:
    progress, now, closes = Progress(), NOW, []
    for answer, after_s, is_lost in happenings:
        now += after_s
        outcome = step(sight(read_at=now, told_at=now, word_at=now), progress, at=now)
        progress = outcome.progress
        if any(isinstance(each, Close) for each in outcome.actions):
            closes.append(now)
            progress = answered(progress, answer, "", now, LIMITS)
        if is_lost:
            progress = woken(unlinked(progress), now)

    in_a_second = [sum(at <= each < at + 0.999 for each in closes) for at in closes]
    assert max(in_a_second, default=0) <= 10


@pytest.mark.req("STC-6")
def test_a_close_for_the_open_that_is_refused_is_kept_back_and_does_not_rest() -> None:
    queued = attrs.evolve(FULL, kept_back=False)

    after = answered(queued, Answer.NOT_KEPT, "hm", NOW, LIMITS)

    assert changed(queued, after) == {"in_flight": False, "kept_back": True, "words": "hm"}


@pytest.mark.req("STC-6")
@pytest.mark.parametrize(
    ("before", "rest_s"), [(0, 1.0), (1, 2.0), (2, 4.0), (3, 8.0), (4, 10.0), (5000, 10.0)]
)
def test_refusals_rest_longer_each_time_up_to_a_cap_without_end(before: int, rest_s: float) -> None:
    after = answered(Progress(refusals=before), Answer.REFUSED, "no", NOW, LIMITS)

    assert (after.refusals, after.rest_until) == (before + 1, NOW + rest_s)


@pytest.mark.req("STC-6")
@pytest.mark.parametrize(("left_s", "closes"), [(0.5, False), (0.0, True), (-1.0, True)])
def test_a_refused_close_rests_and_is_tried_again(left_s: float, closes: bool) -> None:
    outcome = step(sight(), Progress(refusals=1, rest_until=NOW + left_s))

    assert bool(outcome.actions) is closes
    assert outcome.progress.phase is (Phase.CLOSING if closes else Phase.RESTING)
    if not closes:
        assert outcome.look_in_s == left_s


@pytest.mark.req("STC-6")
@pytest.mark.parametrize(("rest_s", "after_s"), [(8.0, 1.0), (0.3, 0.3), (-5.0, -5.0)])
def test_a_change_that_may_let_it_through_wakes_it_within_a_second(
    rest_s: float, after_s: float
) -> None:
    resting = attrs.evolve(FULL, rest_until=NOW + rest_s)

    assert woken(resting, NOW) == attrs.evolve(resting, rest_until=NOW + after_s)


def test_a_lost_link_keeps_what_was_said_and_forgets_what_was_asked() -> None:
    expected = Progress(phase=Phase.UNLINKED, refusals=3, words="no", alarmed_at=6.0, closed_at=4.0)

    assert unlinked(FULL) == expected
    assert step(sight(linked=False), FULL) == Outcome(progress=expected)


# --- what is free -----------------------------------------------------------------------------------------------------

references = st.sampled_from(["a", "b", "c", "d"])
drawn_orders = st.lists(
    st.builds(
        lambda reference, remaining, action, is_close, unknown, ours: pending(
            reference,
            remaining / 2,
            action,
            is_close=is_close,
            unknown=unknown,
            ours=ours,
        ),
        references,
        st.integers(1, 40),
        st.sampled_from([BUY, SELL]),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    max_size=4,
    unique_by=lambda order: order.reference,
)


@pytest.mark.req("RSK-4", "STC-12")
@settings(max_examples=80)
@given(
    quantity=st.integers(-80, 80).map(lambda number: number / 2),
    orders=drawn_orders,
    stays=st.integers(0, 20).map(float),
    over=st.sets(references),
)
def test_what_is_free_equals_a_recomputation(
    quantity: float, orders: list[Pending], stays: float, over: set[str]
) -> None:
    side = SELL if quantity > 0 else BUY
    counted = [
        order.remaining
        for order in orders
        if order.action is side and (order.reference not in over or order.is_close or order.unknown)
    ]
    seen = sight(quantity, *orders, stays=stays)

    found = free_quantity(seen, [order for order in orders if order.reference in over])

    assert found == math.floor(max(0.0, abs(quantity) - stays - sum(counted)))
    assert free_quantity(attrs.evolve(seen, closable=False)) == 0.0


@pytest.mark.req("RSK-4")
@settings(max_examples=80)
@given(
    quantity=st.integers(-40, 40).map(float),
    orders=drawn_orders,
    stays=st.integers(0, 5).map(float),
    mandate=st.builds(
        Mandate, both_sides=st.booleans(), foreign=st.booleans(), queues=st.booleans()
    ),
    opens_in_s=st.none() | st.just(60.0),
    halted=st.booleans(),
)
def test_no_step_asks_for_more_than_is_free_of_all_that_can_fill(
    quantity: float,
    orders: list[Pending],
    stays: float,
    mandate: Mandate,
    opens_in_s: float | None,
    halted: bool,
) -> None:
    seen = sight(quantity, *orders, stays=stays, opens_in_s=opens_in_s, halted=halted)

    outcome = step(seen, mandate=mandate)

    closes = [each for each in outcome.actions if isinstance(each, Close)]
    assert len(closes) <= 1
    for close in closes:
        assert not halted
        assert close.action is seen.closing_action
        assert 0 < close.quantity <= free_quantity(seen)
        assert close.queued is (opens_in_s is not None)
    for each in outcome.actions:
        if isinstance(each, Cancel):
            (order,) = [order for order in orders if order.reference == each.reference]
            assert order.ours
            assert not order.unknown
        if isinstance(each, CancelGlobally):
            assert mandate.foreign
    assert outcome.progress.phase is not Phase.FLAT


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (sight(10.0, pending(remaining=10.0, unknown=True)), Phase.SETTLING),
        (sight(10.0, close_order(10.0)), Phase.CLOSING),
        (sight(10.0, stays=10.0), Phase.COVERING),
        (sight(10.0, stays=9.5), Phase.COVERING),
        (sight(1.5, stays=1.0), Phase.COVERING),
        (sight(1.5, stays=0.9), Phase.BY_HAND),
        (sight(10.0, pending(remaining=10.0, ours=False)), Phase.CANCELLING),
        (sight(10.0, pending(remaining=10.0, ours=False), closable=False), Phase.BY_HAND),
        (sight(0.5, pending(remaining=10.0, ours=False, action=BUY)), Phase.BY_HAND),
    ],
)
def test_a_position_of_which_nothing_is_free_says_what_it_waits_for(
    seen: Sight, expected: Phase
) -> None:
    outcome = step(seen)

    assert outcome.progress.phase is expected
    assert not [each for each in outcome.actions if isinstance(each, Close)]


# --- orders that have to go -------------------------------------------------------------------------------------------


@pytest.mark.req("STC-6")
def test_what_rests_is_cancelled_and_the_close_waits_a_moment_for_its_end() -> None:
    stop = pending("stop", 100.0, is_stop=True)

    outcome = step(sight(100.0, stop, pending("entry", 5.0, BUY)))

    assert outcome.actions == (Cancel(reference="stop"), Cancel(reference="entry"))
    assert outcome.progress == Progress(
        phase=Phase.CANCELLING,
        cancels=MappingProxyType({"stop": (NOW, NOW), "entry": (NOW, NOW)}),
        able_since=NOW,
    )


@pytest.mark.req("STC-6")
@pytest.mark.parametrize(
    ("waited_s", "closed"),
    [(LIMITS.cancel_patience_s - 0.1, None), (LIMITS.cancel_patience_s, 60.0), (9.0, 60.0)],
)
def test_after_a_moment_the_part_that_is_free_of_a_pending_order_is_closed(
    waited_s: float, closed: float | None
) -> None:
    seen = sight(100.0, pending("slow", 40.0), pending("entry", 3.0, BUY))

    outcome = step(seen, asked("slow", "entry", first=NOW - waited_s))

    expected = () if closed is None else (Close(action=SELL, quantity=closed),)
    assert outcome.actions == expected


@pytest.mark.req("STC-6")
def test_the_moment_counts_from_the_first_cancel_of_all() -> None:
    progress = Progress(cancels=MappingProxyType({"old": (NOW - 5.0, NOW - 5.0)}))

    outcome = step(sight(100.0, pending("old", 30.0), pending("new", 30.0)), progress)

    assert Close(action=SELL, quantity=40.0) in outcome.actions
    assert Cancel(reference="new") in outcome.actions


@pytest.mark.req("STC-6")
def test_an_option_has_nothing_free_beside_another_order_however_long_it_takes() -> None:
    seen = sight(10.0, pending("entry", 3.0, BUY), contract=SPY_CALL)
    waited = asked("entry", first=NOW - 9.0)

    narrow = Mandate(both_sides=False)
    assert step(seen, waited, narrow).actions == ()
    assert step(seen, None, narrow).actions == (Cancel(reference="entry"),)


@pytest.mark.req("STC-6")
@pytest.mark.parametrize(
    ("mandate", "closed"), [(Mandate(over_pending=True), 100.0), (Mandate(), None)]
)
def test_the_operator_may_close_over_orders_that_do_not_end(
    mandate: Mandate, closed: float | None
) -> None:
    seen = sight(100.0, pending("stuck", 100.0))

    outcome = step(seen, asked("stuck", first=NOW - 9.0), mandate)

    closes = [each for each in outcome.actions if isinstance(each, Close)]
    assert closes == ([] if closed is None else [Close(action=SELL, quantity=closed)])


@pytest.mark.req("STC-6", "RSK-4")
def test_over_pending_never_passes_over_a_close_or_an_order_whose_fate_is_unknown() -> None:
    seen = sight(
        100.0,
        pending("stuck", 100.0),
        pending("lost", 30.0, unknown=True),
        close_order(20.0),
    )

    outcome = step(seen, asked("stuck", first=NOW - 9.0), Mandate(over_pending=True))

    assert outcome.actions == (Close(action=SELL, quantity=50.0),)


@pytest.mark.req("STC-6")
@pytest.mark.parametrize(
    ("since_s", "again"), [(9.9, False), (LIMITS.cancel_again_after_s, True), (15.0, True)]
)
def test_a_cancel_without_an_end_is_repeated_after_a_while(since_s: float, again: bool) -> None:
    first = NOW - 100.0
    before = asked("stuck", first=first, last=NOW - since_s)

    outcome = step(sight(10.0, pending("stuck", 10.0)), before)

    assert (Cancel(reference="stuck") in outcome.actions) is again
    last = NOW if again else NOW - since_s
    assert dict(outcome.progress.cancels) == {"stuck": (first, last)}


@pytest.mark.req("STC-6")
@pytest.mark.parametrize(
    ("since_s", "mandate", "all_go"),
    [
        (LIMITS.cancel_globally_after_s, ALL_ORDERS, True),
        (19.9, ALL_ORDERS, False),
        (60.0, Mandate(), False),
    ],
)
def test_a_cancel_that_has_no_effect_becomes_a_cancel_of_all_where_that_is_allowed(
    since_s: float, mandate: Mandate, all_go: bool
) -> None:
    before = asked("stuck", first=NOW - since_s, last=NOW - 10.0)

    outcome = step(sight(10.0, pending("stuck", 10.0)), before, mandate)

    single: tuple[Action, ...] = (Cancel(reference="stuck"),)
    all_orders = (CancelGlobally(why="a single cancel had no effect"),)
    assert outcome.actions == (*single, *(all_orders if all_go else ()), Read())


@pytest.mark.req("STC-6")
@pytest.mark.parametrize(
    ("waited_s", "reads"), [(0.0, False), (9.9, False), (LIMITS.cancel_again_after_s, True)]
)
def test_a_read_tells_of_an_end_that_is_overdue(waited_s: float, reads: bool) -> None:
    before = asked("stuck", first=NOW - waited_s, last=NOW)

    outcome = step(sight(10.0, pending("stuck", 10.0)), before)

    assert outcome.actions == ((Read(),) if reads else ())
    assert outcome.progress.phase is Phase.CANCELLING


@pytest.mark.req("STC-6")
@pytest.mark.parametrize(
    ("fields", "forbidden"),
    [
        ({"ours": False}, ()),
        ({"ours": False, "addressable": False}, ()),
        ({"addressable": False}, (Read(),)),
    ],
)
def test_orders_of_other_clients_go_by_one_cancel_of_all_and_a_read_tells_when(
    fields: dict[str, Any], forbidden: tuple[Action, ...]
) -> None:
    seen = sight(10.0, pending("a", 10.0, **fields), pending("b", 1.0, **fields))

    allowed = step(seen, mandate=ALL_ORDERS)

    assert allowed.actions == (
        CancelGlobally(why="only so can orders of other clients be reached"),
        Read(),
    )
    assert allowed.progress.phase is Phase.CANCELLING
    assert step(seen).actions == forbidden


@pytest.mark.req("STC-6")
@pytest.mark.parametrize(
    ("mandate", "contract", "quantity", "gone"),
    [
        (Mandate(), SPY, 10.0, {"sale", "purchase"}),
        (Mandate(both_sides=False), SPY, 10.0, {"sale"}),
        (Mandate(both_sides=False), SPY, -10.0, {"purchase"}),
        (Mandate(both_sides=False), SPY_CALL, 10.0, {"sale", "purchase"}),
        (Mandate(both_sides=False), SPY, 0.0, {"sale", "purchase"}),
    ],
)
def test_which_sides_go_is_the_mandates_matter_except_where_one_cannot_choose(
    mandate: Mandate, contract: Contract, quantity: float, gone: set[str]
) -> None:
    orders = (pending("sale", 1.0), pending("purchase", 1.0, BUY))

    outcome = step(sight(quantity, *orders, contract=contract), mandate=mandate)

    cancelled = {each.reference for each in outcome.actions if isinstance(each, Cancel)}
    assert cancelled == gone


@pytest.mark.req("STC-6")
def test_an_order_whose_fate_is_unknown_is_not_cancelled_and_its_part_is_not_closed() -> None:
    outcome = step(sight(100.0, pending("lost", 30.0, unknown=True)))

    assert outcome.actions == (Close(action=SELL, quantity=70.0),)


@pytest.mark.req("STC-6")
@pytest.mark.parametrize(
    ("held", "closes", "fit"),
    [
        (100.0, (100.0,), True),
        (100.0, (60.0, 40.0), True),
        (100.0, (60.0, 40.5), False),
        (-100.0, (100.0,), False),
        (0.0, (1.0,), False),
    ],
)
def test_a_close_of_ours_that_works_goes_on_as_long_as_it_fits(
    held: float, closes: tuple[float, ...], fit: bool
) -> None:
    orders = [close_order(quantity, f"c{number}") for number, quantity in enumerate(closes)]
    seen = sight(held, *orders, pending("other", 1.0))

    assert bool(fitting_closes(seen)) is fit
    late = Progress(misfit_since=NOW - LIMITS.look_every_s)
    cancelled = {each.reference for each in step(seen, late).actions if isinstance(each, Cancel)}
    assert cancelled == ({"other"} if fit else {"other"} | {order.reference for order in orders})


@pytest.mark.req("STC-6")
@pytest.mark.parametrize(("since_s", "goes"), [(0.0, False), (0.9, False), (1.0, True)])
def test_a_close_that_does_not_fit_has_a_moment_in_which_its_fill_may_come(
    since_s: float, goes: bool
) -> None:
    seen = sight(5.0, close_order(10.0))

    first = step(seen)
    later = step(seen, Progress(misfit_since=NOW - since_s))

    assert (first.progress.misfit_since, first.actions) == (NOW, ())
    assert later.progress.misfit_since == NOW - since_s
    assert (Cancel(reference="c") in later.actions) is goes
    assert step(sight(10.0, close_order(10.0)), later.progress).progress.misfit_since is None


def test_a_close_of_somebody_else_is_no_close_of_ours() -> None:
    assert fitting_closes(sight(10.0, close_order(10.0, ours=False))) == ()
    assert fitting_closes(sight(10.0, pending())) == ()


# --- what does not trade now ------------------------------------------------------------------------------------------

STOP = pending("stop", 100.0, is_stop=True)


@pytest.mark.req("STC-6", "STC-13")
@pytest.mark.parametrize(
    ("stops", "covered"),
    [
        ((STOP,), True),
        ((attrs.evolve(STOP, remaining=99.0),), False),
        ((attrs.evolve(STOP, remaining=60.0), attrs.evolve(STOP, remaining=40.0)), True),
        ((attrs.evolve(STOP, confirmed=False),), False),
        ((attrs.evolve(STOP, is_stop=False),), False),
        ((attrs.evolve(STOP, action=BUY),), False),
        ((), False),
    ],
)
def test_a_confirmed_stop_covers_what_it_would_close(
    stops: tuple[Pending, ...], covered: bool
) -> None:
    assert is_covered(sight(100.0, *stops)) is covered
    assert not is_covered(sight(0.0, *stops))


@pytest.mark.req("STC-6", "STC-13")
def test_outside_its_session_what_protects_rests_and_what_would_open_goes() -> None:
    seen = sight(100.0, STOP, pending("entry", 5.0, BUY), opens_in_s=500.0)

    outcome = step(seen, FULL, Mandate(queues=True))

    assert outcome.actions == (Cancel(reference="entry"),)
    assert outcome.progress == attrs.evolve(
        FULL,
        phase=Phase.WAITING,
        cancels=MappingProxyType({"entry": (NOW, NOW)}),
        able_since=None,
        refusals=0,
        rest_until=LONG_AGO,
        found_flat_at=None,
    )
    assert outcome.look_in_s == LIMITS.look_every_s


@pytest.mark.req("STC-6")
def test_orders_of_others_rest_outside_the_session() -> None:
    seen = sight(100.0, pending("theirs", 5.0, BUY, ours=False), opens_in_s=500.0)

    assert step(seen, mandate=ALL_ORDERS).actions == ()


@pytest.mark.req("STC-6")
def test_without_a_position_every_order_goes_while_it_is_closed() -> None:
    seen = sight(0.0, pending("a", 5.0, BUY), pending("b", 5.0), opens_in_s=500.0)

    assert step(seen).actions == (Cancel(reference="a"), Cancel(reference="b"))


@pytest.mark.parametrize(
    ("opens_in_s", "halted", "look_in_s"),
    [
        (500.0, False, LIMITS.look_while_closed_s),
        (30.0, False, 30.0),
        (0.2, False, LIMITS.look_every_s),
        (None, True, LIMITS.look_every_s),
    ],
)
def test_one_looks_seldom_at_what_is_closed_until_shortly_before_it_opens(
    opens_in_s: float | None, halted: bool, look_in_s: float
) -> None:
    outcome = step(sight(100.0, opens_in_s=opens_in_s, halted=halted))

    assert outcome.progress.phase is Phase.WAITING
    assert outcome.look_in_s == look_in_s


@pytest.mark.req("STC-6", "STC-13")
@pytest.mark.parametrize(
    ("seen", "progress", "queues"),
    [
        (sight(100.0, opens_in_s=500.0), Progress(), True),
        (sight(100.0, opens_in_s=500.0), Progress(kept_back=True), False),
        (sight(100.0, opens_in_s=500.0, halted=True), Progress(), False),
        (sight(100.0, STOP, opens_in_s=500.0), Progress(), False),
    ],
)
def test_what_nothing_protects_is_left_at_the_broker_for_the_open_where_it_may(
    seen: Sight, progress: Progress, queues: bool
) -> None:
    outcome = step(seen, progress, Mandate(queues=True))

    close = Close(action=SELL, quantity=100.0, queued=True)
    assert outcome.actions == ((close,) if queues else ())
    assert outcome.progress.in_flight is queues
    assert step(seen, progress).actions == ()


@pytest.mark.req("STC-6")
def test_a_close_that_rests_at_the_broker_for_the_open_is_queued_and_nobody_is_called() -> None:
    seen = sight(100.0, close_order(100.0), opens_in_s=500.0)

    outcome = step(seen, Progress(able_since=NOW - 900.0), Mandate(queues=True))

    assert outcome.actions == ()
    assert outcome.progress == Progress(phase=Phase.WAITING)
    assert outcome.look_in_s == LIMITS.look_while_closed_s


@pytest.mark.req("STC-6")
def test_what_was_kept_back_is_tried_when_it_trades() -> None:
    outcome = step(sight(), Progress(kept_back=True))

    assert outcome.actions == (Close(action=SELL, quantity=100.0),)
    assert not outcome.progress.kept_back


# --- proving it -------------------------------------------------------------------------------------------------------

GAP_S = LIMITS.verify_gap_s


def empty(read_at: float, word_at: float = LONG_AGO) -> Sight:
    return sight(0.0, read_at=read_at, word_at=word_at)


@pytest.mark.req("STC-6")
def test_flat_is_said_after_two_reads_apart_that_begin_well_after_the_last_word() -> None:
    word = 100.0
    first = step(empty(90.0, word), at=word + 1.0)
    asks = step(empty(90.0, word), first.progress, at=word + GAP_S)
    found = step(empty(word + GAP_S, word), asks.progress, at=word + GAP_S + 0.5)
    second = step(empty(word + GAP_S, word), found.progress, at=word + 2 * GAP_S)
    flat = step(empty(word + 2 * GAP_S, word), second.progress, at=word + 2 * GAP_S + 0.5)

    assert (first.actions, first.look_in_s) == ((), GAP_S - 1.0)
    assert (asks.actions, asks.progress.found_flat_at) == ((Read(),), None)
    assert (found.actions, found.progress.found_flat_at) == ((), word + GAP_S)
    assert found.look_in_s == pytest.approx(GAP_S - 0.5)
    assert second.actions == (Read(),)
    phases = [each.progress.phase for each in (first, asks, found, second)]
    assert phases == [Phase.VERIFYING] * 4
    assert flat.progress.phase is Phase.FLAT
    assert (flat.actions, flat.look_in_s) == ((), NEVER)


@pytest.mark.req("STC-6")
@settings(max_examples=80)
@given(
    word=st.integers(0, 40),
    reads=st.lists(st.integers(0, 40), min_size=1, max_size=6),
    words_at=st.sets(st.integers(0, 5), max_size=2),
)
def test_flat_is_never_said_without_two_reads_that_prove_it(
    word: int, reads: list[int], words_at: set[int]
) -> None:
    progress, last = Progress(), float(word)
    seen: list[float] = []
    for number, read_at in enumerate(sorted(reads)):
        if number in words_at:
            last, seen = max(last, read_at + 0.5), []
        seen.append(float(read_at))
        progress = step(empty(float(read_at), last), progress, at=read_at + 1.0).progress
        if progress.phase is Phase.FLAT:
            break

    good = [at for at in seen if at >= last + GAP_S]
    proved = len(good) > 1 and good[-1] - good[0] >= GAP_S
    assert (progress.phase is Phase.FLAT) is proved


@pytest.mark.req("STC-6")
def test_a_word_of_the_broker_begins_the_proof_anew() -> None:
    before = Progress(phase=Phase.VERIFYING, found_flat_at=100.0, read_asked_at=LONG_AGO)

    outcome = step(empty(100.0, 99.0), before, at=110.0)

    assert outcome.progress.found_flat_at is None
    assert outcome.actions == (Read(),)


@pytest.mark.req("STC-6")
def test_what_is_nothing_forgets_what_was_tried_and_what_appears_again_is_closed() -> None:
    clean = step(empty(LONG_AGO, NOW), FULL, at=NOW).progress
    flat = Progress(phase=Phase.FLAT, found_flat_at=NOW - 50.0)

    assert clean == attrs.evolve(
        FULL,
        phase=Phase.VERIFYING,
        cancels=MappingProxyType({}),
        refusals=0,
        words="",
        alarmed_at=None,
        able_since=None,
        found_flat_at=None,
    )
    assert step(empty(LONG_AGO, NOW), flat) == Outcome(progress=flat)
    again = step(sight(5.0), flat)
    assert again.actions == (Close(action=SELL, quantity=5.0),)
    assert again.progress.found_flat_at is None
    assert step(sight(1e-9)).progress.phase is Phase.VERIFYING


# --- calling a person -------------------------------------------------------------------------------------------------


@pytest.mark.req("STC-6", "OBS-4")
@pytest.mark.parametrize(
    ("fields", "calls"),
    [
        ({"refusals": 4}, False),
        ({"refusals": 5}, True),
        ({"able_since": NOW - 59.9}, False),
        ({"able_since": NOW - 60.0}, True),
        ({"refusals": 5, "alarmed_at": NOW - 899.0}, False),
        ({"refusals": 5, "alarmed_at": NOW - 900.0}, True),
    ],
)
def test_a_person_is_called_at_the_fifth_refusal_or_after_a_minute_and_then_again(
    fields: dict[str, Any], calls: bool
) -> None:
    resting = Progress(rest_until=NOW + 5.0, words="no", **fields)

    outcome = step(sight(), resting)

    assert [type(each) for each in outcome.actions] == ([Alarm] if calls else [])
    expected = NOW if calls else fields.get("alarmed_at")
    assert outcome.progress.alarmed_at == expected
    assert outcome.progress.able_since == fields.get("able_since", NOW)


@pytest.mark.parametrize(
    ("phase", "why"),
    [
        (Phase.SETTLING, "the fate of an order is not known yet"),
        (Phase.CANCELLING, "orders in it do not end"),
        (Phase.READING, "the broker's state is read"),
        (Phase.CLOSING, "its close works and is not filled"),
        (Phase.COVERING, "it covers a short that is not closed"),
        (Phase.BY_HAND, "it cannot be ordered by this program: close it by hand"),
        (Phase.WAITING, "it does not trade now"),
        (Phase.RESTING, "refused 3 times, next try in 4 s"),
    ],
)
def test_the_call_says_what_is_left_why_and_what_the_broker_said(phase: Phase, why: str) -> None:
    progress = attrs.evolve(FULL, phase=phase)
    what = f"not flat: 100 {SPY} ({SPY.position_id}): {why}"

    told = situation(progress, sight(100.0, pending("a"), pending("b")), NOW)

    assert told == f"{what} (a, b); the broker: no"
    assert situation(attrs.evolve(progress, words=""), sight(), NOW) == what


def test_a_try_that_is_due_is_not_in_the_past() -> None:
    resting = Progress(phase=Phase.RESTING, rest_until=NOW - 3.0, refusals=1)

    assert situation(resting, sight(), NOW).endswith("refused 1 times, next try in 0 s")


# --- shorts before longs ----------------------------------------------------------------------------------------------


def option(con_id: int, right: Right, **fields: Any) -> Contract:
    return attrs.evolve(SPY_CALL, con_id=con_id, right=right, **fields)


CALL, PUT = option(1, Right.CALL), option(2, Right.PUT)
OTHER_CALL = option(3, Right.CALL, expiry=date(2026, 4, 17))
FOREIGN = option(4, Right.CALL, currency="EUR")
LATE = NOW - LIMITS.cover_wait_s


def kept(*held: tuple[Contract, float], since: float | None = LATE) -> dict[int, float]:
    positions = [
        Held(contract=contract, quantity=quantity, closing_since=since if quantity < 0 else None)
        for contract, quantity in held
    ]
    return covering(positions, NOW, LIMITS)


@pytest.mark.req("STC-6")
@pytest.mark.parametrize("since", [None, NOW, LATE + 0.1])
def test_all_longs_of_an_underlying_wait_a_while_for_its_shorts(since: float | None) -> None:
    found = kept((CALL, -1.0), (PUT, 3.0), (SPY, 250.0), (QQQ, 9.0), (FOREIGN, 2.0), since=since)

    assert found == {PUT.con_id: 3.0, SPY.con_id: 250.0}


@pytest.mark.req("STC-6")
@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (((CALL, -1.0), (SPY, 250.0)), {SPY.con_id: 100.0}),
        (((CALL, -1.0), (SPY, 40.0)), {SPY.con_id: 40.0}),
        (((CALL, -2.0), (OTHER_CALL, 1.0), (SPY, 250.0)), {3: 1.0, SPY.con_id: 100.0}),
        (((CALL, -1.0), (OTHER_CALL, 1.0), (SPY, 250.0)), {3: 1.0}),
        (((CALL, -1.0), (PUT, 5.0)), {}),
        (((PUT, -1.0), (SPY, 250.0)), {}),
        (((PUT, -1.0), (option(5, Right.PUT), 3.0)), {5: 1.0}),
        (((SPY, -150.0), (CALL, 5.0)), {1: 2.0}),
        (((SPY, -100.0), (PUT, 5.0)), {2: 1.0}),
        (((SPY, -100.0), (QQQ, 5.0)), {}),
        (((CALL, -1.0), (OTHER_CALL, -1.0), (SPY, 150.0)), {SPY.con_id: 150.0}),
        (((CALL, -1.0), (OTHER_CALL, -1.0), (SPY, 250.0)), {SPY.con_id: 200.0}),
        (((CALL, 1.0), (SPY, 100.0)), {}),
        (((CALL, 0.0), (SPY, 100.0)), {}),
    ],
)
def test_later_only_what_covers_the_short_stays(
    held: tuple[tuple[Contract, float], ...], expected: dict[int, float]
) -> None:
    assert kept(*held) == expected
    assert kept(*reversed(held)) == expected


@pytest.mark.req("STC-6")
@settings(max_examples=60)
@given(
    quantities=st.tuples(*[st.integers(-4, 4)] * 5),
    waited_s=st.none() | st.sampled_from([0.0, 31.0]),
)
def test_never_more_stays_than_is_held_and_nothing_without_a_short(
    quantities: tuple[int, ...], waited_s: float | None
) -> None:
    contracts = (CALL, PUT, OTHER_CALL, SPY, QQQ)
    since = None if waited_s is None else NOW - waited_s
    held = list(zip(contracts, map(float, quantities), strict=True))

    found = kept(*held, since=since)

    for contract, quantity in held:
        assert 0.0 <= found.get(contract.con_id, 0.0) <= max(0.0, quantity)
    if all(quantity >= 0 for quantity in quantities):
        assert found == {}


def test_a_future_is_no_option() -> None:
    future = attrs.evolve(SPY, security_type=SecurityType.FUTURE)
    narrow = Mandate(both_sides=False)

    assert step(sight(10.0, pending("e", 1.0, BUY), contract=future), mandate=narrow).actions == (
        Close(action=SELL, quantity=10.0),
    )
