"""The connection's nine transitions, and its waits."""

from __future__ import annotations

import itertools

import attrs
import pytest

from actors.connection.states import (
    TRANSITIONS,
    ConnectionMachine,
    begin_attempt,
    begin_slow_retry,
    is_exhausted,
    retry_number,
    state_after_failure,
    transition,
)
from actors.errors import IllegalTransitionError
from actors.logic.backoff import retry_delay_s
from actors.model.connection import ConnectionState

C = ConnectionState
SESSION = "6f1f6a9e-6a55-4d43-b7f4-2f6f3b0f7b1c"

# CON-1, with "any → DISCONNECTED" written out.
EXPECTED = {
    (C.DISCONNECTED, C.CONNECTING),
    (C.CONNECTING, C.CONNECTED),
    (C.CONNECTING, C.RECONNECTING),
    (C.CONNECTING, C.FAILED),
    (C.CONNECTED, C.RECONNECTING),
    (C.RECONNECTING, C.CONNECTED),
    (C.RECONNECTING, C.FAILED),
    (C.FAILED, C.CONNECTING),
    (C.CONNECTING, C.DISCONNECTED),
    (C.CONNECTED, C.DISCONNECTED),
    (C.RECONNECTING, C.DISCONNECTED),
    (C.FAILED, C.DISCONNECTED),
}


def machine(state: ConnectionState, attempts: int = 0) -> ConnectionMachine:
    session_id = SESSION if state is C.CONNECTED else None
    return ConnectionMachine(state=state, session_id=session_id, attempts=attempts)


@pytest.mark.req("CON-1")
@pytest.mark.parametrize(("state", "to"), list(itertools.product(C, C)))
def test_a_transition_exists_exactly_when_the_requirement_has_it(
    state: ConnectionState, to: ConnectionState
) -> None:
    session_id = SESSION if to is C.CONNECTED else None

    if (state, to) in EXPECTED:
        assert to is transition(machine(state), to, 1.0, session_id).state
    else:
        with pytest.raises(IllegalTransitionError):
            transition(machine(state), to, 1.0, session_id)


@pytest.mark.req("CON-1")
def test_the_table_has_a_row_for_every_state() -> None:
    assert set(ConnectionState) == set(TRANSITIONS)


@pytest.mark.req("CON-2")
def test_a_session_id_exists_exactly_while_connected() -> None:
    with pytest.raises(IllegalTransitionError):
        transition(machine(C.CONNECTING, 1), C.CONNECTED, 1.0)
    with pytest.raises(IllegalTransitionError):
        transition(machine(C.CONNECTING, 1), C.FAILED, 1.0, SESSION)


@pytest.mark.req("CON-2")
@pytest.mark.parametrize(
    ("state", "attempts"), [(C.CONNECTED, 1), (C.RECONNECTING, 8), (C.CONNECTING, -1)]
)
def test_attempts_stay_within_their_bounds(state: ConnectionState, attempts: int) -> None:
    with pytest.raises(IllegalTransitionError):
        machine(state, attempts)


@pytest.mark.req("CON-5")
def test_one_attempt_and_six_retries_end_in_failed() -> None:
    state = transition(machine(C.DISCONNECTED), C.CONNECTING, 0.0)
    waits = []
    while state_after_failure(state, retryable=True) is C.RECONNECTING:
        if state.state is C.CONNECTING:
            state = transition(state, C.RECONNECTING, 1.0)
        waits.append(retry_delay_s(retry_number(state), 1.0, 32.0))
        state = begin_attempt(state)

    failed = transition(state, C.FAILED, 2.0)

    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    assert is_exhausted(state)
    assert not failed.needs_operator
    with pytest.raises(IllegalTransitionError):
        begin_attempt(state)


@pytest.mark.req("CON-5")
def test_an_error_not_worth_trying_again_waits_for_the_operator() -> None:
    connecting = transition(machine(C.DISCONNECTED), C.CONNECTING, 0.0)

    failed = transition(connecting, C.FAILED, 1.0, retryable=False)

    assert C.FAILED is state_after_failure(connecting, retryable=False)
    assert failed.needs_operator
    with pytest.raises(IllegalTransitionError):
        begin_slow_retry(failed, 2.0)
    assert transition(failed, C.CONNECTING, 3.0).attempts == 1


@pytest.mark.req("CON-5")
def test_a_slow_retry_that_fails_leads_back_to_failed_at_once() -> None:
    retried = begin_slow_retry(machine(C.FAILED, 7), 2.0)

    assert C.CONNECTING is retried.state
    assert C.FAILED is state_after_failure(retried, retryable=True)


@pytest.mark.req("CON-5")
@pytest.mark.parametrize(("lasted_s", "expected"), [(9.0, 4), (10.0, 0)])
def test_a_connection_that_did_not_last_goes_on_counting(lasted_s: float, expected: int) -> None:
    trying = attrs.evolve(machine(C.RECONNECTING), attempts=4)
    connected = transition(trying, C.CONNECTED, 100.0, SESSION)

    lost = transition(connected, C.RECONNECTING, 100.0 + lasted_s, lasting_s=10.0)

    assert connected.attempts == 0
    assert expected == lost.attempts


@pytest.mark.req("CON-5")
@pytest.mark.parametrize(("jitter", "expected"), [(-1.0, 3.2), (0.0, 4.0), (1.0, 4.8)])
def test_jitter_widens_the_wait_by_its_ratio(jitter: float, expected: float) -> None:
    assert expected == pytest.approx(retry_delay_s(3, 1.0, 32.0, 0.2, jitter))


@pytest.mark.req("CON-5")
def test_the_wait_is_capped_however_many_attempts_there_were() -> None:
    assert retry_delay_s(100_000, 1.0, 32.0) == 32.0


@pytest.mark.parametrize(("attempt", "jitter"), [(0, 0.0), (1, 1.1), (1, -1.1)])
def test_a_wait_for_no_attempt_or_with_odd_jitter_is_refused(attempt: int, jitter: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        retry_delay_s(attempt, 1.0, 32.0, 0.2, jitter)
