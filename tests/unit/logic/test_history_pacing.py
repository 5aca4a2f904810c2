"""IB's three rules on requests of history, kept by pure functions."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.link.history_pacing import (
    NOTHING_ASKED,
    Asked,
    HistoryQuestion,
    history_wait,
    record_history,
)
from actors.sections.pacing import Pacing

LIMITS = Pacing()
WINDOW_S = 600.0
WINDOW_MOST = 60
IDENTICAL_S = 15.0
ALIKE_S = 2.0
ALIKE_MOST = 5


def question(con_id: int = 1, minutes: int = 60) -> HistoryQuestion:
    """Make a question."""
    return HistoryQuestion(
        con_id=con_id, exchange="SMART", ticks="TRADES", minutes=minutes, bar_size="1 min"
    )


def _asked(*questions: tuple[float, HistoryQuestion]) -> Asked:
    asked = NOTHING_ASKED
    for at, each in questions:
        asked = record_history(asked, each, at, LIMITS)
    return asked


@pytest.mark.req("CON-14")
def test_an_identical_request_waits_fifteen_seconds_and_another_one_does_not() -> None:
    asked = _asked((100.0, question()))

    held = history_wait(asked, question(), 104.0, LIMITS)
    assert held is not None
    assert "identical" in held.rule
    assert held.wait_s == pytest.approx(IDENTICAL_S - 4.0, abs=0.2)
    assert held.wait_s >= IDENTICAL_S - 4.0
    assert history_wait(asked, question(minutes=30), 104.0, LIMITS) is None
    assert history_wait(asked, question(), 104.0 + held.wait_s, LIMITS) is None


@pytest.mark.req("CON-14")
def test_the_sixth_request_for_one_contract_within_two_seconds_waits() -> None:
    asked = _asked(*((100.0, question(minutes=minutes)) for minutes in range(1, ALIKE_MOST + 1)))

    held = history_wait(asked, question(minutes=50), 101.0, LIMITS)
    assert held is not None
    assert "for one contract" in held.rule
    assert 1.0 <= held.wait_s <= 1.2
    assert history_wait(asked, question(con_id=2), 101.0, LIMITS) is None


@pytest.mark.req("CON-14")
def test_the_sixty_first_request_in_ten_minutes_waits_for_the_first_to_be_forgotten() -> None:
    asked = _asked(*((100.0 + con_id, question(con_id)) for con_id in range(WINDOW_MOST)))

    held = history_wait(asked, question(1000), 200.0, LIMITS)
    assert held is not None
    assert "60 requests of history in 600 s" in held.rule
    assert held.wait_s == pytest.approx(WINDOW_S - 100.0, abs=0.2)


@pytest.mark.req("CON-14")
@given(
    st.lists(
        st.tuples(st.floats(0.0, 12.0), st.integers(1, 4), st.integers(1, 4)),
        min_size=1,
        max_size=200,
    )
)
def test_whoever_waits_as_told_never_breaks_a_rule(
    arrivals: list[tuple[float, int, int]],
) -> None:
    """And what is remembered stays bounded."""
    now, asked = 0.0, NOTHING_ASKED
    sent: list[tuple[float, HistoryQuestion]] = []
    for gap_s, con_id, minutes in arrivals:
        now += gap_s
        mine = question(con_id, minutes)
        while (held := history_wait(asked, mine, now, LIMITS)) is not None:
            now += held.wait_s
        asked = record_history(asked, mine, now, LIMITS)
        sent.append((now, mine))
        assert len(asked) <= WINDOW_MOST

    for index, (begin, _) in enumerate(sent):
        assert sum(at < begin + WINDOW_S for at, _ in sent[index:]) <= WINDOW_MOST
    for each in {mine for _, mine in sent}:
        times = [at for at, mine in sent if mine == each]
        assert all(later - earlier >= IDENTICAL_S for earlier, later in pairwise(times))
    for con_id in {mine.con_id for _, mine in sent}:
        times = [at for at, mine in sent if mine.con_id == con_id]
        for index, begin in enumerate(times):
            assert sum(at < begin + ALIKE_S for at in times[index:]) <= ALIKE_MOST
