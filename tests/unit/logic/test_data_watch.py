"""Since when the data of what is held is stale, judged by stamps and answers alone (STC-1, MKT-12)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.logic.freshness import Bars, Standing
from actors.logic.regular_hours import regular_session, session_of
from actors.model.contracts import Contract
from actors.model.market import Bar, DataSource, DataType, Pace, Quote
from actors.sections.strategy_c import StrategyC
from supervision.strategy_c import data_age as data_watch
from supervision.strategy_c.data_age import VAIN_READS, DataWatch, Watched
from tests.unit.logic.values import SPY, SPY_CALL

CON_ID: Final = SPY.con_id
LIMITS: Final = StrategyC()
LOOK_S: Final = LIMITS.data_watch_every_s
LIMIT_S: Final = LIMITS.data_quarantine_after_s
OPEN_SINCE: Final = -3600.0
NEW_YORK: Final = ZoneInfo("America/New_York")
NOW: Final = datetime(2025, 11, 21, 15, 0, tzinfo=UTC)
OPEN: Final[dict[int, float | None]] = {CON_ID: OPEN_SINCE}
CLOSED: Final[dict[int, float | None]] = {CON_ID: None}


def watched(until: float, session: dict[int, float | None] = OPEN) -> DataWatch:
    """Watch SPY, which was fresh at 0 for the last time, asked in vain every two seconds since."""
    state = data_watch.looked(DataWatch(), -1.0, session, LIMITS)
    state = data_watch.answered(state, CON_ID, 0.0)
    state = data_watch.looked(state, 0.0, session, LIMITS)
    return go_on(lively(state) if session is OPEN else state, 0.0, until, session)


def lively(state: DataWatch, bars: Bars = Bars.TRADES) -> DataWatch:
    """Let SPY be lively, and its bars say this; who goes on is told so again."""
    held = attrs.evolve(state.watched[CON_ID], suspect_after_s=60.0, bars=bars)
    return attrs.evolve(state, watched={**state.watched, CON_ID: held})


def go_on(
    state: DataWatch, since: float, until: float, session: dict[int, float | None] = OPEN
) -> DataWatch:
    """Look every two seconds, and ask in vain."""
    now = since
    while now + LOOK_S <= until:
        now += LOOK_S
        state = data_watch.looked(state, now, session, LIMITS)
        state, due = data_watch.due_reads(state, now, LIMITS, ())
        for con_id in due:
            state = data_watch.answered(state, con_id, None)
    return data_watch.looked(state, until, session, LIMITS)


def stale_s(state: DataWatch, now: float) -> float | None:
    """Tell for how long the data of SPY, which is lively and trades, is frozen when that is too long, else None."""
    _, found = data_watch.quarantined(lively(state), now, LIMITS)
    return found[0][1] if found else None


# --- what counts ----------------------------------------------------------------------------------------------------


@pytest.mark.req("STC-1")
@pytest.mark.parametrize(("at", "expected"), [(LIMIT_S, None), (LIMIT_S + 0.1, LIMIT_S + 0.1)])
def test_more_than_the_limit_is_too_long_and_the_limit_itself_is_not(
    at: float, expected: float | None
) -> None:
    assert expected == stale_s(watched(at), at)


@pytest.mark.req("STC-1")
def test_a_stamp_counts_from_its_own_moment_and_not_from_its_receipt() -> None:
    state = data_watch.answered(watched(100.0), CON_ID, 40.0)
    at = 40.0 + LIMIT_S + 0.1

    assert stale_s(go_on(state, 100.0, at), at) == pytest.approx(LIMIT_S + 0.1)


@pytest.mark.req("STC-1")
def test_the_first_stamp_may_be_older_than_the_watch_and_is_believed_when_it_is_told_twice() -> (
    None
):
    state = data_watch.looked(DataWatch(), 0.0, OPEN, LIMITS)
    once = data_watch.answered(state, CON_ID, -LIMIT_S - 10.0)
    twice = data_watch.answered(once, CON_ID, -LIMIT_S - 10.0)

    assert stale_s(once, 1.0) is None
    assert stale_s(twice, 1.0) == pytest.approx(LIMIT_S + 11.0)


@pytest.mark.req("STC-1", "MKT-12")
def test_a_stamp_of_before_the_session_counts_from_the_open() -> None:
    opened_now: dict[int, float | None] = {CON_ID: -5.0}
    state = data_watch.looked(DataWatch(), 0.0, opened_now, LIMITS)
    for _ in range(VAIN_READS):
        state = data_watch.answered(state, CON_ID, -50_000.0)

    assert stale_s(state, 1.0) is None
    assert state.watched[CON_ID].fresh_at == -5.0


@pytest.mark.req("STC-1")
def test_an_older_stamp_takes_nothing_back() -> None:
    state = data_watch.answered(watched(100.0), CON_ID, 90.0)

    assert data_watch.answered(state, CON_ID, 10.0).watched[CON_ID].fresh_at == 90.0


@pytest.mark.req("STC-1", "MKT-12")
def test_the_opening_begins_the_count_exactly_however_late_it_is_seen() -> None:
    closed = watched(1000.0, CLOSED)
    opened: dict[int, float | None] = {CON_ID: 1002.0}

    state = data_watch.looked(closed, 1004.0, opened, LIMITS)

    assert state.watched[CON_ID].fresh_at == 1002.0


@pytest.mark.req("STC-1", "STC-5")
def test_time_in_which_nobody_looked_is_not_counted_and_ib_is_asked_anew() -> None:
    state, back = watched(LIMIT_S - 10.0), LIMIT_S - 10.0 + 3600.0

    resumed = data_watch.looked(state, back, OPEN, LIMITS)

    assert resumed.watched[CON_ID].fresh_at == 3600.0
    assert stale_s(resumed, back + 11.0) is None
    assert stale_s(go_on(resumed, back, back + 11.0), back + 11.0) is not None


@pytest.mark.req("STC-1")
def test_a_question_that_an_ended_incarnation_left_open_was_asked_in_vain() -> None:
    state = data_watch.looked(DataWatch(), 0.0, OPEN, LIMITS)
    for now in (0.0, 2.0, 4.0):
        state, _ = data_watch.due_reads(state, now, LIMITS, ())

    assert state.watched[CON_ID].vain_reads == 2


@pytest.mark.req("STC-1", "STC-4")
def test_a_latch_begins_the_count_anew() -> None:
    state = data_watch.begun_anew(watched(LIMIT_S + 10.0), LIMIT_S + 10.0)

    assert stale_s(go_on(state, LIMIT_S + 10.0, 2 * LIMIT_S), 2 * LIMIT_S) is None


@pytest.mark.req("STC-1")
def test_what_was_told_is_told_again_after_a_while() -> None:
    at = LIMIT_S + 1.0
    state, first = data_watch.quarantined(watched(at), at, LIMITS)
    state, at_once = data_watch.quarantined(state, at + 1.0, LIMITS)
    _, later = data_watch.quarantined(state, at + data_watch.TELL_AGAIN_S, LIMITS)

    assert [len(first), len(at_once), len(later)] == [1, 0, 1]


@pytest.mark.req("STC-1")
def test_what_is_held_no_more_is_forgotten() -> None:
    state = data_watch.looked(watched(200.0), 201.0, {}, LIMITS)
    again = data_watch.looked(state, 202.0, OPEN, LIMITS)

    assert again.watched[CON_ID] == Watched(fresh_at=202.0, opened_at=OPEN_SINCE)


@pytest.mark.req("STC-1", "MKT-13")
@pytest.mark.parametrize("stamped_at", [None, OPEN_SINCE - 60.0])
def test_what_had_no_stamp_in_the_session_is_quiet_and_never_too_old(
    stamped_at: float | None,
) -> None:
    state = data_watch.looked(DataWatch(), 0.0, OPEN, LIMITS)
    state = go_on(data_watch.answered(state, CON_ID, stamped_at), 0.0, 10 * LIMIT_S)

    assert data_watch.quarantined(state, 10 * LIMIT_S, LIMITS)[1] == ()
    _, warned = data_watch.growing_stale(state, 10 * LIMIT_S, LIMITS)
    assert [con_id for con_id, _ in warned] == [CON_ID]


AT: Final = 2 * LIMIT_S
BAR: Final = Bar(start=NOW, open=1.0, high=1.0, low=1.0, close=1.0, volume=100.0)
NEXT: Final = attrs.evolve(BAR, start=NOW + timedelta(minutes=1))
MORE: Final = attrs.evolve(BAR, volume=101.0)
EMPTY: Final = attrs.evolve(NEXT, volume=0.0)


@pytest.mark.req("STC-1", "MKT-13")
@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([(BAR,), (BAR, NEXT)], Standing.FROZEN),
        ([(BAR,), (MORE,)], Standing.FROZEN),
        ([(BAR,)], Standing.SUSPECT),
        ([(BAR,), (BAR,)], Standing.SUSPECT),
        ([(BAR,), (BAR, EMPTY)], Standing.SUSPECT),
        ([(), ()], Standing.SUSPECT),
        ([(), (BAR,), (BAR,)], Standing.SUSPECT),
        ([Bars.REFUSED, Bars.REFUSED], Standing.SUSPECT),
        ([Bars.SILENT, Bars.SILENT], Standing.SUSPECT),
        ([(BAR,), Bars.REFUSED, (NEXT,)], Standing.FROZEN),
    ],
)
def test_only_trades_in_its_own_bars_say_that_data_is_frozen(
    answers: list[tuple[Bar, ...] | Bars], expected: Standing
) -> None:
    state = lively(watched(AT), Bars.UNASKED)
    for answer in answers:
        state = data_watch.bars_answered(state, CON_ID, answer, AT)

    assert data_watch.standing_of(state, CON_ID, AT, LIMITS) is expected


@pytest.mark.req("STC-1", "MKT-13")
@pytest.mark.parametrize(
    ("witnesses", "other_at", "expected"),
    [
        ({"SPY": 2, "QQQ": 2}, None, Standing.DEAD),
        ({"SPY": 2, "QQQ": 1}, None, Standing.SUSPECT),
        ({"SPY": 2, "QQQ": 0}, None, Standing.SUSPECT),
        ({}, None, Standing.SUSPECT),
        ({"SPY": 2, "QQQ": 2}, AT - 1.0, Standing.SUSPECT),
        ({"SPY": 2, "QQQ": 2}, AT - 100.0, Standing.DEAD),
    ],
)
def test_a_feed_is_dead_when_nothing_lives_and_bars_are_silent(
    witnesses: dict[str, int], other_at: float | None, expected: Standing
) -> None:
    state = attrs.evolve(lively(watched(AT), Bars.SILENT), witnesses=witnesses)
    if other_at is not None:
        other = Watched(fresh_at=other_at, opened_at=OPEN_SINCE)
        state = attrs.evolve(state, watched={**state.watched, 2: other})

    assert data_watch.standing_of(state, CON_ID, AT, LIMITS) is expected


@pytest.mark.req("STC-1", "MKT-13")
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Standing.FROZEN),
        ({"opened_at": AT - 119.0}, Standing.SUSPECT),
        ({"halted_at": AT - 119.0}, Standing.SUSPECT),
        ({"halted_at": AT - 120.0}, Standing.FROZEN),
        ({"suspect_after_s": None}, Standing.UNKNOWN),
        ({"suspect_after_s": float("inf")}, Standing.QUIET),
        ({"fresh_at": AT - 60.0}, Standing.LIVELY),
    ],
)
def test_nothing_is_called_frozen_before_it_could_settle(
    changes: dict[str, Any], expected: Standing
) -> None:
    state = lively(watched(AT))
    held = attrs.evolve(state.watched[CON_ID], **changes)
    state = attrs.evolve(state, watched={CON_ID: held})

    assert data_watch.standing_of(state, CON_ID, AT, LIMITS) is expected


@pytest.mark.req("MKT-12", "MKT-13")
def test_how_lively_data_is_outlives_who_told_it_and_delayed_data_is_never_frozen() -> None:
    paced = Quote(contract=SPY, received_at=NOW, pace=Pace(typical_s=1.0, suspect_after_s=60.0))
    unpaced = attrs.evolve(paced, pace=Pace())
    delayed = attrs.evolve(paced, data_type=DataType.DELAYED)
    state = data_watch.looked(DataWatch(), 0.0, OPEN, LIMITS)

    state = data_watch.paced(data_watch.paced(state, CON_ID, paced, 0.0), CON_ID, unpaced, 1.0)

    assert state.watched[CON_ID].suspect_after_s == 60.0
    assert data_watch.paced(state, CON_ID, delayed, 2.0).watched[CON_ID].suspect_after_s is None


# --- pacing ---------------------------------------------------------------------------------------------------------


@pytest.mark.req("STC-1", "CON-14")
def test_many_contracts_take_turns_and_none_is_left_out() -> None:
    many: dict[int, float | None] = dict.fromkeys(range(1, 101), OPEN_SINCE)
    state = data_watch.looked(DataWatch(), 0.0, many, LIMITS)
    asked: list[int] = []
    for turn in range(5):
        state, due = data_watch.due_reads(state, 2.0 * turn, LIMITS, ())
        assert len(due) == data_watch.READS_PER_LOOK
        asked += due

    assert sorted(asked) == sorted(many)


@pytest.mark.req("STC-1")
def test_a_contract_that_is_asked_about_already_or_is_closed_is_not_asked_about() -> None:
    state = data_watch.looked(DataWatch(), 0.0, OPEN | {2: None}, LIMITS)

    assert data_watch.due_reads(state, 0.0, LIMITS, (CON_ID,))[1] == ()


@pytest.mark.req("STC-1")
@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (10.0, LOOK_S),
        (LIMIT_S - 1.0, 1.1),
        (LIMIT_S, 0.1),
        (LIMIT_S + 1.0, LOOK_S),
    ],
)
def test_it_looks_right_after_the_moment_that_counts(now: float, expected: float) -> None:
    assert data_watch.next_look_s(watched(2.0), now, LIMITS) == pytest.approx(expected)


# --- properties -----------------------------------------------------------------------------------------------------

Step = tuple[float, float | None, bool]
STEPS = st.lists(
    st.tuples(
        st.floats(0.1, data_watch.max_gap_s(LIMITS)),
        st.one_of(st.none(), st.floats(0.0, 1000.0)),
        st.booleans(),
    ),
    max_size=120,
)
"""Seconds that pass, the age of the stamp that is read then (None: none), and whether the market is open."""


@pytest.mark.req("STC-1", "MKT-12")
@given(STEPS)
def test_it_is_too_long_exactly_when_the_newest_stamp_of_the_session_is_too_old(
    steps: list[Step],
) -> None:
    """Against a model that keeps all stamps of the session, and the time since which it watches."""
    now, state = 0.0, data_watch.looked(DataWatch(), 0.0, OPEN, LIMITS)
    opened_at, begun_at, stamps, vain = OPEN_SINCE, 0.0, list[float](), 0
    was_open = True
    for passed_s, age_s, is_open in steps:
        now += passed_s
        if is_open and not was_open:
            opened_at = begun_at = now
            stamps, vain = [now], 0
        was_open = is_open
        state = data_watch.looked(state, now, {CON_ID: opened_at if is_open else None}, LIMITS)
        stamped_at = None if age_s is None else now - age_s
        state = data_watch.answered(state, CON_ID, stamped_at)
        if is_open:
            newest = max(stamps, default=begun_at)
            if stamped_at is not None:
                stamps.append(max(stamped_at, opened_at))
            vain = 0 if max(stamps, default=begun_at) > newest else vain + 1
            too_old = now - max(stamps, default=begun_at) > LIMIT_S
            assert (stale_s(state, now) is not None) == (too_old and vain >= VAIN_READS)
        else:
            assert stale_s(state, now) is None


@pytest.mark.req("STC-1")
@given(st.floats(1.0, 10_000.0), st.floats(0.0, 4.0))
def test_no_data_that_is_read_fresh_every_few_seconds_is_ever_too_old(
    for_s: float, age_s: float
) -> None:
    now, state = 0.0, data_watch.looked(DataWatch(), 0.0, OPEN, LIMITS)
    while now < for_s:
        now += for_s / 50
        state = data_watch.looked(state, now, OPEN, LIMITS)
        state = data_watch.answered(state, CON_ID, now - age_s)
        assert stale_s(state, now) is None


# --- evidence -------------------------------------------------------------------------------------------------------

LIVE: Final = Quote(contract=SPY, received_at=NOW, bid=10.0, ask=10.1, pace=Pace(changed_at=100.0))
MINUTE: Final = timedelta(minutes=1)


@pytest.mark.req("STC-1", "MKT-11", "MKT-12")
@pytest.mark.parametrize(
    ("quote", "age_s"),
    [
        (LIVE, 60.0),
        (attrs.evolve(LIVE, pace=Pace(changed_at=40.0)), 120.0),
        (attrs.evolve(LIVE, pace=Pace()), None),
        (attrs.evolve(LIVE, pace=None), None),
        (attrs.evolve(LIVE, data_type=DataType.DELAYED), None),
        (attrs.evolve(LIVE, data_type=DataType.FROZEN), None),
        (attrs.evolve(LIVE, source=DataSource.ALPHA_VANTAGE), None),
        (attrs.evolve(LIVE, pace=None, halted=True), 60.0),
        (attrs.evolve(LIVE, halted=True, data_type=DataType.DELAYED), None),
        (attrs.evolve(LIVE, halted=True, source=DataSource.ALPHA_VANTAGE), None),
    ],
)
def test_only_what_ib_says_live_is_evidence(quote: Quote, age_s: float | None) -> None:
    found = data_watch.evidence_age_s(quote, NOW + MINUTE, 160.0)

    assert found == (float("inf") if age_s is None else age_s)


# --- sessions -------------------------------------------------------------------------------------------------------


def at(text: str) -> datetime:
    """Read a moment of the clock in New York."""
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).astimezone(UTC)


HALF_DAY: Final = attrs.evolve(
    SPY,
    liquid_hours="20251127:CLOSED;20251128:0930-20251128:1300",
    time_zone="US/Eastern",
)


@pytest.mark.req("STC-1", "MKT-12")
@pytest.mark.parametrize(
    ("contract", "moment", "is_open"),
    [
        (HALF_DAY, "2025-11-27T11:00", False),
        (HALF_DAY, "2025-11-28T12:59", True),
        (HALF_DAY, "2025-11-28T13:00", False),
        (HALF_DAY, "2025-12-01T10:00", True),  # a day that the broker did not speak of
        (HALF_DAY, "2025-12-01T17:00", False),
        (SPY, "2025-11-21T09:29", False),
        (SPY, "2025-11-21T09:30", True),
        (SPY, "2025-11-22T12:00", False),
        (attrs.evolve(SPY_CALL, expiry=date(2025, 11, 20)), "2025-11-21T12:00", False),
        (attrs.evolve(SPY_CALL, expiry=date(2025, 11, 21)), "2025-11-21T12:00", True),
    ],
)
def test_a_session_is_the_brokers_and_new_yorks_where_it_told_none(
    contract: Contract, moment: str, is_open: bool
) -> None:
    assert is_open == (session_of(contract, at(moment)) is not None)


@pytest.mark.req("MKT-12")
@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [
        ("2025-10-31", "13:30", "20:00"),  # summer time
        ("2025-11-03", "14:30", "21:00"),  # the clock went back the day before
        ("2026-03-06", "14:30", "21:00"),
        ("2026-03-09", "13:30", "20:00"),  # and forward
        ("2025-11-28", "14:30", "18:00"),  # the day after Thanksgiving
        ("2025-12-24", "14:30", "18:00"),
        ("2025-07-03", "13:30", "17:00"),
    ],
)
def test_the_regular_hours_of_new_york_know_summer_time_and_half_days(
    day: str, opens: str, closes: str
) -> None:
    begin = datetime.fromisoformat(f"{day}T{opens}").replace(tzinfo=UTC)
    end = datetime.fromisoformat(f"{day}T{closes}").replace(tzinfo=UTC)
    second = timedelta(seconds=1)

    assert regular_session(begin - second) is None
    found = regular_session(begin)
    assert found is not None
    assert (found.opens_at, found.closes_at) == (begin, end)
    assert regular_session(end - second) == found
    assert regular_session(end) is None


@pytest.mark.req("MKT-12")
@pytest.mark.parametrize("day", ["2025-11-27", "2025-12-25", "2026-01-01", "2026-04-03"])
def test_a_holiday_has_no_session(day: str) -> None:
    assert regular_session(at(f"{day}T11:00")) is None
