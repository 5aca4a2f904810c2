"""What may trigger Strategy C: every row of the table, when it acts and when it stays still (RULES 3)."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.model.connection import OUR_OWN, DisconnectCause, FailedAttempt
from actors.sections.strategy_c import StrategyC
from supervision.strategy_c.triggers import (
    TABLE,
    Incident,
    Loss,
    Row,
    Tolerance,
    after_attempt,
    tolerance,
)

pytestmark = pytest.mark.req("STC-10", "STC-5")

README: Final = Path(__file__).parents[3] / "README.md"
LIMITS: Final = StrategyC()
AT: Final = datetime(2026, 3, 4, 15, 0, tzinfo=UTC)
THEIRS: Final = sorted(set(DisconnectCause) - OUR_OWN - {DisconnectCause.ASKED})
ONE: Final = Incident().lost(0.0, LIMITS)


def lost(cause: DisconnectCause = DisconnectCause.SOCKET_CLOSED, **fields: Any) -> Loss:
    return attrs.evolve(Loss(at=AT, cause=cause), **fields)


def later(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


@pytest.mark.parametrize("cause", THEIRS)
def test_what_the_brokers_side_shows_acts_at_once(cause: DisconnectCause) -> None:
    assert tolerance(lost(cause), Incident(), LIMITS) == Tolerance(row=Row.LINK_LOST, for_s=0.0)


@pytest.mark.parametrize("cause", sorted(OUR_OWN))
def test_our_own_defect_gets_its_budget(cause: DisconnectCause) -> None:
    assert tolerance(lost(cause), ONE, LIMITS) == Tolerance(row=Row.OWN_DEFECT, for_s=15.0)


@pytest.mark.parametrize(
    ("fields", "row", "for_s"),
    [
        ({"planned_until": later(600)}, Row.PLANNED_WINDOW, 600.0),
        ({"planned_until": later(-1)}, Row.LINK_LOST, 0.0),
        ({"session_at": later(3600)}, Row.OUT_OF_SESSION, 2700.0),
        ({"session_at": later(900)}, Row.LINK_LOST, 0.0),
        ({"session_at": later(901)}, Row.OUT_OF_SESSION, 1.0),
        ({"planned_until": later(600), "session_at": later(3600)}, Row.OUT_OF_SESSION, 2700.0),
        ({"planned_until": later(3000), "session_at": later(3600)}, Row.PLANNED_WINDOW, 3000.0),
    ],
)
@pytest.mark.parametrize("cause", [DisconnectCause.SILENCE, DisconnectCause.LINK_FAILED])
def test_windows_and_sessions_come_first(
    fields: dict[str, datetime], row: Row, for_s: float, cause: DisconnectCause
) -> None:
    found = tolerance(lost(cause, **fields), ONE, LIMITS)

    if row is Row.LINK_LOST and cause in OUR_OWN:
        row, for_s = Row.OWN_DEFECT, 15.0
    if for_s < 15.0 and cause in OUR_OWN:
        row, for_s = Row.OWN_DEFECT, 15.0
    assert found == Tolerance(row=row, for_s=for_s)


@pytest.mark.parametrize(
    ("grace_s", "covered_s", "is_covered", "for_s"),
    [
        (0, 60, False, 0),
        (0, 60, True, 60),
        (30, 0, True, 30),
        (30, 60, True, 60),
        (90, 60, True, 90),
    ],
)
def test_the_grace_and_the_one_of_what_is_covered(
    grace_s: float, covered_s: float, is_covered: bool, for_s: float
) -> None:
    limits = StrategyC(grace_seconds=grace_s, covered_grace_s=covered_s)

    found = tolerance(lost(is_covered=is_covered), Incident(), limits)

    assert found == Tolerance(row=Row.LINK_LOST, for_s=for_s)


# --- our own defects --------------------------------------------------------------------------------------------------


def test_the_third_failure_within_a_minute_acts_at_once() -> None:
    incident = Incident()
    left = []
    for at in (0.0, 20.0, 40.0):
        incident = incident.lost(at, LIMITS)
        left.append(incident.left_s(LIMITS))
        incident = incident.restored(at + 2.0)

    assert left == [15.0, 13.0, 0.0]


def test_three_failures_in_more_than_a_minute_use_up_one_budget_but_do_not_act_by_their_number() -> (
    None
):
    incident = Incident()
    left = []
    for at in (0.0, 50.0, 100.0, 150.0):
        incident = incident.lost(at, LIMITS)
        left.append(incident.left_s(LIMITS))
        incident = incident.restored(at + 5.0)

    assert left == [15.0, 10.0, 5.0, 0.0]


def test_a_stable_minute_begins_a_new_incident() -> None:
    first = Incident().lost(0.0, LIMITS).restored(10.0)

    assert first.lost(69.9, LIMITS).left_s(LIMITS) == 5.0
    assert first.lost(70.0, LIMITS).left_s(LIMITS) == 15.0


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.floats(0.0, 120.0), st.floats(0.0, 20.0)), max_size=12))
def test_no_incident_is_unsound_for_longer_than_its_budget_or_fails_three_times_in_a_minute(
    losses: list[tuple[float, float]],
) -> None:
    """Whatever happens, what is tolerated in a stretch without a stable minute is bounded."""
    incident, now, unsound = Incident(), 0.0, 0.0
    times: list[float] = []
    for stable_s, away_s in losses:
        now += stable_s
        if stable_s >= 60.0:
            unsound, times = 0.0, []
        incident = incident.lost(now, LIMITS)
        times.append(now)
        tolerated = incident.left_s(LIMITS)
        assert unsound + tolerated <= 15.0 + 1e-6
        if sum(now - at < 60.0 for at in times) >= 3:
            assert tolerated == 0.0
        if away_s >= tolerated:
            return  # it acts
        now += away_s
        unsound += away_s
        incident = incident.restored(now)


OWN: Final = Tolerance(row=Row.OWN_DEFECT, for_s=15.0)
HELD: Final = Tolerance(row=Row.CLIENT_ID_HELD, for_s=60.0)


@pytest.mark.parametrize(
    ("running", "attempt", "expected"),
    [
        (OWN, FailedAttempt.REFUSED, Tolerance(row=Row.LINK_LOST, for_s=0.0)),
        (OWN, FailedAttempt.CLIENT_ID_HELD, HELD),
        (OWN, FailedAttempt.NOT_OURS, OWN),
        (HELD, FailedAttempt.REFUSED, Tolerance(row=Row.LINK_LOST, for_s=0.0)),
        (HELD, FailedAttempt.CLIENT_ID_HELD, HELD),
    ],
)
def test_what_a_failed_attempt_makes_of_an_own_defect(
    running: Tolerance, attempt: FailedAttempt, expected: Tolerance
) -> None:
    loss = lost(DisconnectCause.LINK_FAILED)

    assert after_attempt(attempt, loss, running, LIMITS) == expected


@pytest.mark.parametrize(
    ("row", "attempt"),
    list(
        itertools.product(
            [Row.PLANNED_WINDOW, Row.OUT_OF_SESSION, Row.LINK_LOST], list(FailedAttempt)
        )
    ),
)
def test_an_attempt_in_vain_changes_no_other_row(row: Row, attempt: FailedAttempt) -> None:
    running = Tolerance(row=row, for_s=100.0)

    assert after_attempt(attempt, lost(), running, LIMITS) == running


def test_a_refusal_leaves_an_own_defect_what_windows_and_sessions_give() -> None:
    loss = lost(DisconnectCause.LINK_FAILED, planned_until=later(10))

    found = after_attempt(FailedAttempt.REFUSED, loss, OWN, LIMITS)

    assert found == Tolerance(row=Row.PLANNED_WINDOW, for_s=10.0)


# --- the table --------------------------------------------------------------------------------------------------------


def test_every_row_says_cause_evidence_and_reaction() -> None:
    assert set(TABLE) == set(Row)
    for rule in TABLE.values():
        assert all(attrs.astuple(rule))


def test_readme_prints_the_table() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", README.read_text(), re.MULTILINE)

    found = [row for row in rows if row in {attrs.astuple(rule) for rule in TABLE.values()}]
    assert found == [attrs.astuple(rule) for rule in TABLE.values()]
