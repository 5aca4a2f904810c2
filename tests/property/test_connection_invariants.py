"""CON-2's invariants hold along every path that the connection can take."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

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
CAP_S = 32.0


class Connection(RuleBasedStateMachine):
    """A connection that is steered at random, and counts what is published."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = ConnectionMachine()
        self.now = 0.0
        self.published: list[tuple[ConnectionState, ConnectionState]] = []
        self.sessions: list[str] = []

    def go(
        self, to: ConnectionState, session_id: str | None = None, retryable: bool = True
    ) -> None:
        before = self.machine.state
        self.machine = transition(
            self.machine, to, self.now, session_id, retryable=retryable, lasting_s=30.0
        )
        self.published.append((before, to))

    @rule(seconds=st.floats(0.0, 60.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.machine.state in (C.DISCONNECTED, C.FAILED))
    @rule()
    def connect(self) -> None:
        self.go(C.CONNECTING)

    @precondition(lambda self: self.machine.state in (C.CONNECTING, C.RECONNECTING))
    @rule()
    def succeed(self) -> None:
        session_id = str(uuid.uuid4())
        self.sessions.append(session_id)
        self.go(C.CONNECTED, session_id)

    @precondition(lambda self: self.machine.state in (C.CONNECTING, C.RECONNECTING))
    @rule(retryable=st.booleans())
    def fail(self, retryable: bool) -> None:
        to = state_after_failure(self.machine, retryable)
        if to is not self.machine.state:
            self.go(to, retryable=retryable)

    @precondition(
        lambda self: self.machine.state is C.RECONNECTING and not is_exhausted(self.machine)
    )
    @rule()
    def try_again(self) -> None:
        self.machine = begin_attempt(self.machine)

    @precondition(lambda self: self.machine.state is C.CONNECTED)
    @rule()
    def lose_the_link(self) -> None:
        self.go(C.RECONNECTING)

    @precondition(lambda self: self.machine.state is C.FAILED and not self.machine.needs_operator)
    @rule()
    def retry_slowly(self) -> None:
        self.machine = begin_slow_retry(self.machine, self.now)
        self.published.append((C.FAILED, C.CONNECTING))

    @precondition(lambda self: self.machine.state is not C.DISCONNECTED)
    @rule()
    def disconnect(self) -> None:
        self.go(C.DISCONNECTED)

    @rule(to=st.sampled_from(C))
    def an_illegal_step_raises_and_changes_nothing(self, to: ConnectionState) -> None:
        if to not in TRANSITIONS[self.machine.state]:
            with pytest.raises(IllegalTransitionError):
                transition(self.machine, to, self.now)

    @invariant()
    def a_session_exists_exactly_while_connected(self) -> None:
        is_connected = self.machine.state is C.CONNECTED
        assert (self.machine.session_id is not None) is is_connected
        if is_connected:
            assert self.machine.session_id == self.sessions[-1]

    @invariant()
    def attempts_are_bounded_and_zero_while_connected(self) -> None:
        highest = 0 if self.machine.state is C.CONNECTED else self.machine.max_attempts
        assert 0 <= self.machine.attempts <= highest
        assert retry_delay_s(retry_number(self.machine), 1.0, CAP_S) <= CAP_S

    @invariant()
    def every_transition_is_published_once_and_follows_the_last(self) -> None:
        state = C.DISCONNECTED
        for before, after in self.published:
            assert before is state
            assert after in TRANSITIONS[before]
            state = after
        assert state is self.machine.state


Connection.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.req("CON-2")
class TestConnection(Connection.TestCase):  # type: ignore[misc, valid-type]  # made at run time
    """The stateful test, collected by pytest."""
