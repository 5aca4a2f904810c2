"""The fate of an order by evidence: the whole table is walked against the rules of the documents (ORD-11)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import attrs
import pytest

from actors.executor.case_file import CaseFile
from actors.executor.fate import (
    Absences,
    Client,
    Evidence,
    Fate,
    Limits,
    Position,
    Probe,
    Step,
    Why,
    judge,
)
from actors.sections.orders import Orders

pytestmark = pytest.mark.req("ORD-9", "ORD-11")

ORDERS = Orders()
LIMITS = Limits(
    unknown_after_s=ORDERS.unknown_after_s,
    absent_apart_s=ORDERS.absent_apart_s,
    absent_after_s=ORDERS.absent_after_s,
    other_client_after_s=ORDERS.other_client_after_s,
    refused_apart_s=ORDERS.refused_apart_s,
    probe_answer_s=ORDERS.probe_answer_s,
    position_unchanged_s=ORDERS.position_unchanged_s,
    outstanding_s=ORDERS.absence_outstanding_s,
    first_id_again_s=ORDERS.first_id_again_s,
)
BYTES_AT = 100.0
SESSION_AT = 200.0
"""When the session began that an order was lost before."""

A_MOMENT_S = 0.5
NOW_S = (A_MOMENT_S, 9.0, 11.0, 65.0)
"""So long after its bytes, or after the session that it was lost before."""


def reads(begins_at: float, now: float) -> Iterator[Absences | None]:
    """Every kind of absence until ``now``: none, one, two near or apart; complete or not; moving or at rest."""
    yield None
    for gap_s, complete, moved in itertools.product(
        (0.0, 1.0, 2.0, 5.0, 8.0, 60.0), (True, False), (True, False)
    ):
        first = begins_at
        if first + gap_s <= now:
            found = Absences.begin(first, complete=True, quantity=10.0)
            if gap_s:
                quantity = 11.0 if moved else 10.0
                found = found.then(first + gap_s, complete=complete, quantity=quantity)
            yield found


def whole_table() -> Iterator[Evidence]:
    """Every combination of what can be known of an order that is not shown."""
    probes = [(probe, 1.0) for probe in Probe] + [(Probe.ASKED, 10.0)]
    for (
        lost,
        after_s,
        client,
        refused,
        wanted,
        position,
        (probe, probed_s),
        out_s,
    ) in itertools.product(
        (True, False),
        NOW_S,
        Client,
        (True, False),
        (True, False),
        Position,
        probes,
        (None, 1.0, 60.0),
    ):
        sound_since, begins_at = (SESSION_AT,) * 2 if lost else (BYTES_AT - 50.0, BYTES_AT)
        now = begins_at + after_s
        for absences in reads(begins_at, now):
            yield Evidence(
                now=now,
                bytes_at=BYTES_AT,
                heard_at=BYTES_AT,
                session_began_at=sound_since,
                sound_since=sound_since,
                client=client,
                is_refused=refused,
                is_wanted=wanted,
                absences=absences,
                position=position,
                probe=probe,
                probed_at=now - probed_s if probe in (Probe.ASKED, Probe.GONE) else None,
                outstanding_since=None if out_s is None else now - out_s,
            )


def may_be_dead(e: Evidence) -> bool:
    """The rules once more, as sentences: each must hold before an order is called dead."""
    reads, probed = e.absences, e.probe is Probe.GONE
    if reads is None:
        return False
    assert e.sound_since is not None
    complete = reads.last_complete == reads.last
    at_rest = e.position is Position.SAME
    no_probe_possible = e.probe is Probe.IMPOSSIBLE
    no_probe_answered = e.probe is Probe.ASKED and e.now - (e.probed_at or 0.0) >= 10.0
    excused = no_probe_possible or no_probe_answered
    first = reads.first if not (complete and at_rest) else reads.first_complete
    assert first is not None
    apart_s = reads.last - first
    stands_still = (complete and at_rest) or reads.last - reads.unchanged_since >= 30.0
    doubt_is_probed = (complete and at_rest) or probed or excused
    if e.position is Position.FILLED:
        return False
    if e.is_refused:
        return apart_s >= 2.0 and stands_still and doubt_is_probed
    if e.outstanding_since is not None and e.now - e.outstanding_since < 60.0:
        return False
    waits_s = {Client.SAME: 8.0, Client.OTHER: 60.0, Client.FALLBACK: float("inf")}[e.client]
    late_enough = reads.last >= max(e.bytes_at, e.sound_since) + waits_s
    if e.session_began_at > e.bytes_at:
        unwanted_is_probed = e.is_wanted or probed or excused
        proved = unwanted_is_probed and doubt_is_probed
    else:
        proved = e.now - e.heard_at >= 10.0 and probed
    return apart_s >= 5.0 and late_enough and stands_still and proved


def test_the_whole_table_says_dead_where_every_rule_holds_and_nowhere_else() -> None:
    counted = dict.fromkeys(Fate, 0)
    for evidence in whole_table():
        verdict = judge(evidence, LIMITS)
        counted[verdict.fate] += 1
        assert may_be_dead(evidence) is (verdict.fate is Fate.DEAD), (evidence, verdict)
        if verdict.fate is Fate.FILLED:
            found = evidence.absences
            assert evidence.position is Position.FILLED
            assert found is not None
            assert found.last - found.unchanged_since >= 2.0
        if verdict.fate is not Fate.UNKNOWN:
            assert evidence.client is not Client.FALLBACK or evidence.is_refused
        else:
            assert verdict.at is not None, "what is not settled has a next step"
            assert verdict.at <= evidence.now + 61.0, "no further away than the longest rule"
    assert min(counted.values()) > 1000, counted


def test_nothing_is_proved_while_the_gateway_is_cut_off() -> None:
    found = itertools.islice(whole_table(), 0, None, 97)
    whys = {judge(attrs.evolve(evidence, sound_since=None), LIMITS).why for evidence in found}

    assert whys == {Why.CUT_OFF}


@attrs.define
class Broker:
    """One that shows nothing of an order; whatever the verdicts ask for is done at once, and takes ``delay_s``."""

    lost: bool = True
    refused: bool = False
    wanted: bool = True
    answers_probes: bool = True
    is_complete: bool = True
    position: Position = Position.SAME
    client: Client = Client.SAME
    delay_s: float = 0.05

    def settled_after_s(self) -> tuple[float, Fate, int]:
        """Follow the steps until the fate is known: seconds, fate, and new sessions that it took."""
        now, session_at = (SESSION_AT, SESSION_AT) if self.lost else (BYTES_AT, BYTES_AT - 50.0)
        case, began, sessions = CaseFile.opened(BYTES_AT), now, 0
        if self.refused:
            now += self.delay_s
            case.refused(now)
        case.in_session(session_at, session_at)
        while now < began + 1000.0:
            verdict = judge(self._evidence(case, now, session_at), LIMITS)
            if verdict.fate is not Fate.UNKNOWN:
                return now - began, verdict.fate, sessions
            assert verdict.at is not None, verdict
            now = max(now, verdict.at)
            if verdict.step is Step.READ:
                case.absent(now, complete=self.is_complete, quantity=10.0)
                now += self.delay_s
            elif verdict.step is Step.PROBE:
                case.probed(now)
                if self.answers_probes:
                    case.not_found()
            elif verdict.step is Step.NEW_SESSION:
                sessions += 1
                session_at = now = now + self.delay_s
                case.in_session(session_at, session_at)
        raise AssertionError("the fate is never settled")

    def _evidence(self, case: CaseFile, now: float, session_at: float) -> Evidence:
        return Evidence(
            now=now,
            bytes_at=case.bytes_at,
            heard_at=case.heard_at,
            session_began_at=session_at,
            sound_since=session_at,
            client=self.client,
            is_refused=case.is_refused,
            is_wanted=self.wanted and case.probe is Probe.NOT_ASKED,
            absences=case.absences,
            position=self.position,
            probe=case.probe,
            probed_at=case.probed_at,
        )


@pytest.mark.parametrize(
    ("broker", "at_least_s", "within_s"),
    [
        (Broker(), 8.0, 8.2),
        (Broker(wanted=False), 8.0, 8.2),
        (Broker(wanted=False, answers_probes=False), 10.0, 10.2),
        (Broker(lost=False, refused=True), 2.0, 2.3),
        (Broker(lost=False), 15.0, 15.3),
        (Broker(position=Position.FILLED), 2.0, 2.2),
        (Broker(is_complete=False), 30.0, 30.2),
        (Broker(position=Position.MOVED), 30.0, 30.2),
        (Broker(client=Client.OTHER), 60.0, 60.2),
    ],
    ids=str,
)
def test_an_order_that_nobody_shows_is_settled_in_time_by_the_steps_that_are_asked_for(
    broker: Broker, at_least_s: float, within_s: float
) -> None:
    took_s, fate, sessions = broker.settled_after_s()

    assert at_least_s <= took_s <= within_s
    assert fate is (Fate.FILLED if broker.position is Position.FILLED else Fate.DEAD)
    assert sessions == 0


def test_silence_even_about_the_cancel_costs_one_new_session_with_the_same_id() -> None:
    took_s, fate, sessions = Broker(lost=False, answers_probes=False).settled_after_s()

    assert (fate, sessions) == (Fate.DEAD, 1)
    assert took_s <= 36.0


def test_an_order_that_is_wanted_is_not_cancelled_because_one_read_misses_it() -> None:
    case = CaseFile.opened(BYTES_AT)
    case.absent(BYTES_AT + 1000.0, complete=True, quantity=0.0)

    once = judge(_living(case, BYTES_AT + 1000.1), LIMITS)
    case.absent(BYTES_AT + 1006.0, complete=True, quantity=0.0)
    twice = judge(_living(case, BYTES_AT + 1006.1), LIMITS)

    assert (once.step, twice.step) == (Step.READ, Step.PROBE)


def _living(case: CaseFile, now: float) -> Evidence:
    return Evidence(
        now=now,
        bytes_at=case.bytes_at,
        heard_at=case.heard_at,
        session_began_at=BYTES_AT - 50.0,
        sound_since=BYTES_AT - 50.0,
        absences=case.absences,
    )


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("position", list(Position))
@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("refused", [True, False])
@pytest.mark.parametrize("lost", [True, False])
def test_no_combination_stays_unsettled(
    lost: bool, refused: bool, wanted: bool, answers: bool, position: Position, complete: bool
) -> None:
    broker = Broker(
        lost=lost,
        refused=refused,
        wanted=wanted,
        answers_probes=answers,
        position=position,
        is_complete=complete,
    )

    took_s, _, sessions = broker.settled_after_s()

    assert took_s <= 65.0
    assert sessions <= 1


def test_a_read_that_began_before_the_bytes_says_nothing() -> None:
    case = CaseFile.opened(BYTES_AT)

    case.absent(BYTES_AT - 0.1, complete=True, quantity=0.0)

    assert case.absences is None


def test_a_word_about_the_order_makes_what_was_missing_old() -> None:
    case = CaseFile.opened(BYTES_AT)
    case.absent(BYTES_AT + 1.0, complete=True, quantity=0.0)

    case.heard(BYTES_AT + 2.0)
    case.absent(BYTES_AT + 1.5, complete=True, quantity=0.0)

    assert case.absences is None


def test_what_one_session_said_proves_nothing_in_the_next() -> None:
    case = CaseFile.opened(BYTES_AT)
    case.in_session(BYTES_AT - 50.0, BYTES_AT - 50.0)
    case.absent(BYTES_AT + 1.0, complete=True, quantity=0.0)
    case.probed(BYTES_AT + 1.0)
    case.not_found()

    case.in_session(SESSION_AT, SESSION_AT)

    assert (case.absences, case.probe) == (None, Probe.NOT_ASKED)


def test_a_read_before_the_gateway_was_back_does_not_count() -> None:
    case = CaseFile.opened(BYTES_AT)
    case.in_session(BYTES_AT - 50.0, BYTES_AT - 50.0)
    case.absent(BYTES_AT + 1.0, complete=True, quantity=0.0)

    case.in_session(BYTES_AT - 50.0, BYTES_AT + 20.0)
    case.absent(BYTES_AT + 21.0, complete=True, quantity=0.0)

    assert case.absences is not None
    assert case.absences.first == BYTES_AT + 21.0
