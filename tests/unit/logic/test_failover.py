"""Failover goes to the second source when IB fails, comes back when IB is fresh, and never flaps (MKT-10)."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.logic.quality import quote_age_s
from actors.market_data.failover import (
    LINK_FAILED,
    Failover,
    FailoverLimits,
    Route,
    Switch,
    due_probes,
    forgotten,
    is_served,
    link_changed,
    saw_fresh,
    saw_second,
    saw_stale,
    was_fresh_within,
)
from actors.model.connection import ConnectionState
from actors.model.market import DataType, Pace, Quote
from actors.sections import market_data as sections
from tests.unit.logic.values import NOW, SPY

AFTER_S, BACK_AFTER_S = 60.0, 30.0
LIMITS = FailoverLimits(
    settings=sections.Failover(after_s=AFTER_S, back_after_s=BACK_AFTER_S), max_symbols=5
)
CONNECTED = Failover(has_link=True)


@attrs.define
class Story:
    """One symbol's life, told second by second."""

    state: Failover = CONNECTED
    now: float = 0.0
    switches: list[tuple[float, Route]] = attrs.field(factory=list)

    def fresh(self, after_s: float = 1.0, symbol: str = "SPY") -> Story:
        """Let time pass, then see fresh data."""
        self.now += after_s
        return self._take(saw_fresh(self.state, symbol, self.now, LIMITS))

    def stale(self, after_s: float = 1.0, symbol: str = "SPY", is_open: bool = True) -> Story:
        """Let time pass, then see nothing fresh."""
        self.now += after_s
        return self._take(saw_stale(self.state, symbol, self.now, LIMITS, session_open=is_open))

    def link(self, state: ConnectionState, after_s: float = 0.0) -> Story:
        """Let time pass, then change the link's state."""
        self.now += after_s
        return self._take(link_changed(self.state, state))

    def _take(self, step: tuple[Failover, tuple[Switch, ...]]) -> Story:
        self.state, switches = step
        self.switches += [(self.now, switch.route) for switch in switches]
        return self

    def is_over(self) -> bool:
        """Whether the second source serves SPY."""
        return self.state.is_over("SPY")


def failed_over() -> Story:
    """A symbol whose data was stale for long enough."""
    story = Story().fresh()
    while not story.is_over():
        story.stale(10.0)
    return story


@pytest.mark.req("MKT-10")
def test_a_symbol_goes_over_when_its_data_is_stale_for_longer_than_the_limit() -> None:
    story = Story().fresh()

    assert not story.stale(AFTER_S).is_over()
    assert story.stale(0.1).is_over()
    assert not story.state.is_over("QQQ")


@pytest.mark.req("MKT-10")
def test_a_symbol_that_was_never_fresh_is_stale_from_the_first_question_on() -> None:
    story = Story()

    assert not story.stale(1000.0).is_over()
    assert not story.stale(AFTER_S).is_over()
    assert story.stale(0.1).is_over()


@pytest.mark.req("MKT-10")
def test_time_in_which_nobody_asked_is_not_stale() -> None:
    assert not Story().fresh().stale(3600.0).is_over()


@pytest.mark.req("MKT-10", "MKT-12")
def test_nothing_goes_over_while_its_market_is_closed_and_the_count_begins_at_the_open() -> None:
    story = Story().fresh()
    for _ in range(100):
        story.stale(10.0, is_open=False)
    assert not story.is_over()

    story.stale(1.0).stale(AFTER_S)
    assert not story.is_over()
    assert story.stale(0.1).is_over()


@pytest.mark.req("MKT-10")
def test_one_fresh_quote_begins_the_count_anew() -> None:
    story = Story().fresh().stale(50.0).fresh(5.0)

    assert not story.stale(AFTER_S).is_over()


@pytest.mark.req("MKT-10")
def test_everything_goes_over_when_the_retries_are_used_up_and_stays_while_it_is_tried_again() -> (
    None
):
    story = Story().fresh().link(ConnectionState.RECONNECTING)
    assert not story.is_over()

    story.link(ConnectionState.FAILED)
    assert story.is_over()
    assert story.state.is_over("NEVER SEEN")
    for state in (ConnectionState.CONNECTING, ConnectionState.FAILED) * 3:
        assert story.link(state, 30.0).is_over()
    assert [route for _, route in story.switches] == [Route.SECOND]
    assert LINK_FAILED in link_changed(CONNECTED, ConnectionState.FAILED)[1][0].reason


@pytest.mark.req("MKT-10")
def test_a_link_that_is_back_brings_a_symbol_back_only_when_its_data_was_fresh_for_long_enough() -> (
    None
):
    story = Story().fresh().link(ConnectionState.FAILED)
    story.link(ConnectionState.CONNECTING).link(ConnectionState.CONNECTED)
    assert story.is_over()
    assert not story.state.is_over("NEVER SEEN")

    story.fresh(1.0)
    assert story.fresh(BACK_AFTER_S - 0.1).is_over()
    assert not story.fresh(0.1).is_over()


@pytest.mark.req("MKT-10")
def test_one_stale_answer_or_a_gap_begins_the_way_back_anew() -> None:
    story = failed_over().fresh().fresh(20.0).stale(1.0).fresh(1.0)
    assert story.fresh(BACK_AFTER_S - 1.0).is_over()

    gap = failed_over().fresh().fresh(AFTER_S + 1.0)
    assert gap.is_over()
    assert not gap.fresh(BACK_AFTER_S).is_over()


@pytest.mark.req("MKT-10")
def test_a_symbol_that_was_first_read_from_the_second_source_comes_back_like_every_other() -> None:
    story = Story().link(ConnectionState.FAILED)
    story.state = saw_second(story.state, "SPY", story.now, LIMITS)

    story.link(ConnectionState.CONNECTING).link(ConnectionState.CONNECTED)
    assert story.is_over()
    assert not story.fresh().fresh(BACK_AFTER_S).is_over()


@pytest.mark.req("MKT-10")
def test_a_symbol_that_ib_does_not_know_is_watched_no_longer() -> None:
    assert forgotten(failed_over().state, "SPY").watches == {}


@pytest.mark.req("MKT-10")
def test_fresh_data_of_a_session_that_is_gone_brings_nothing_back() -> None:
    story = failed_over().link(ConnectionState.RECONNECTING)

    for _ in range(10):
        story.fresh(10.0)

    assert story.is_over()


@pytest.mark.req("MKT-10")
def test_an_operator_who_disconnects_ends_failover() -> None:
    story = failed_over().link(ConnectionState.DISCONNECTED)

    assert not story.is_over()
    assert story.state == Failover()


@pytest.mark.req("MKT-10")
def test_the_number_of_watched_symbols_is_bounded_and_those_that_are_over_stay() -> None:
    story = failed_over()

    for number in range(50):
        story.fresh(0.1, symbol=f"S{number}")

    assert len(story.state.watches) == LIMITS.max_symbols
    assert story.is_over()


@pytest.mark.req("MKT-10")
def test_only_what_is_over_and_was_not_seen_lately_is_probed_and_only_over_a_link() -> None:
    story = failed_over().fresh(0.1, symbol="QQQ")

    assert due_probes(story.state, story.now + 1.0, 5.0) == ()
    assert due_probes(story.state, story.now + 6.0, 5.0) == ("SPY",)
    lost = story.link(ConnectionState.RECONNECTING)
    assert due_probes(lost.state, lost.now + 6.0, 5.0) == ()


@pytest.mark.req("MKT-10", "MKT-12")
def test_what_is_delayed_or_quiet_is_served_and_what_is_suspect_or_has_no_price_is_not() -> None:
    lively = Pace(changed_at=0.0, typical_s=1.0, suspect_after_s=60.0)
    live = Quote(contract=SPY, received_at=NOW, bid=600.0, pace=lively)
    quiet = attrs.evolve(live, pace=Pace(changed_at=0.0, typical_s=30.0))
    delayed = attrs.evolve(live, data_type=DataType.DELAYED)

    assert is_served(live, quote_age_s(live, 60.0))
    assert not is_served(live, quote_age_s(live, 61.0))
    assert is_served(quiet, quote_age_s(quiet, 6000.0))
    assert not is_served(attrs.evolve(quiet, bid=None), 0.0)
    assert is_served(delayed, quote_age_s(delayed, 0.0))
    assert not is_served(attrs.evolve(delayed, bid=None), quote_age_s(delayed, 0.0))


def test_what_is_fresh_all_the_time_need_not_be_noted_each_time() -> None:
    story = Story().fresh()

    assert was_fresh_within(story.state, "SPY", story.now + 0.5, 1.0)
    assert not was_fresh_within(story.state, "SPY", story.now + 1.0, 1.0)
    assert not was_fresh_within(story.stale().state, "SPY", story.now, 1.0)
    assert not was_fresh_within(failed_over().state, "SPY", story.now, 1.0)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["fresh", "stale", "closed", *ConnectionState]),
        st.sampled_from([0.0, 0.1, 1.0, 5.0, 29.9, 30.0, 59.9, 60.0, 61.0, 300.0]),
    ),
    max_size=120,
)


def lived(events: list[tuple[str, float]], states: set[ConnectionState]) -> Story:
    """Live through events; link states that are not in ``states`` are left out."""
    story = Story()
    for event, after_s in events:
        if event == "fresh":
            story.fresh(after_s)
        elif event in ("stale", "closed"):
            story.stale(after_s, is_open=event == "stale")
        elif event in states:
            story.link(ConnectionState(event), after_s)
    return story


@pytest.mark.req("MKT-10")
@settings(max_examples=200, deadline=None)
@given(EVENTS)
def test_who_went_over_stays_there_and_who_came_back_stays_unless_the_link_fails(
    events: list[tuple[str, float]],
) -> None:
    story = lived(events, {ConnectionState.CONNECTED, ConnectionState.RECONNECTING})

    for (began, route), (ended, after) in zip(story.switches, story.switches[1:], strict=False):
        assert route is not after
        least_s = BACK_AFTER_S if route is Route.SECOND else AFTER_S
        assert ended - began >= least_s - 1e-6


@pytest.mark.req("MKT-10")
@settings(max_examples=200, deadline=None)
@given(EVENTS)
def test_whatever_happens_a_symbol_is_over_for_the_time_of_hysteresis_at_least(
    events: list[tuple[str, float]],
) -> None:
    story = Story()
    over_since: float | None = None
    for event, after_s in events:
        before = story.is_over()
        if event == "fresh":
            story.fresh(after_s)
        elif event in ("stale", "closed"):
            story.stale(after_s, is_open=event == "stale")
        elif event != ConnectionState.DISCONNECTED:  # who asked for the end wants no data
            story.link(ConnectionState(event), after_s)
        if before and not story.is_over() and over_since is not None:
            assert story.now - over_since >= BACK_AFTER_S - 1e-6
            assert event == "fresh"
        elif story.is_over() and not before:
            # Somebody reads it, so that it is watched.
            story.state = saw_second(story.state, "SPY", story.now, LIMITS)
            over_since = story.now
