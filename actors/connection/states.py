"""The connection's states and their nine transitions (CON-1), with the invariants that a value can keep (CON-2).

::

    DISCONNECTED ──→ CONNECTING ──→ CONNECTED ←──┐
                      │      │          │        │
                      │      └──────→ RECONNECTING
                      ↓                 ↓
                    FAILED ←────────────┘            FAILED ──→ CONNECTING; any other ──→ DISCONNECTED (asked)

Guarantees: a session id exists exactly while CONNECTED; the attempt count is 0 while CONNECTED and never above the
maximum. Refuses every other step, one to the same state included, with `IllegalTransitionError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from actors.errors import IllegalTransitionError
from actors.model.connection import ConnectionState

C = ConnectionState

TRANSITIONS: Final[Mapping[ConnectionState, frozenset[ConnectionState]]] = MappingProxyType(
    {
        C.DISCONNECTED: frozenset({C.CONNECTING}),
        C.CONNECTING: frozenset({C.CONNECTED, C.RECONNECTING, C.FAILED, C.DISCONNECTED}),
        C.CONNECTED: frozenset({C.RECONNECTING, C.DISCONNECTED}),
        C.RECONNECTING: frozenset({C.CONNECTED, C.FAILED, C.DISCONNECTED}),
        C.FAILED: frozenset({C.CONNECTING, C.DISCONNECTED}),
    }
)

DEFAULT_MAX_ATTEMPTS: Final = 7
"""One attempt and six retries (CON-5)."""


@attrs.frozen(kw_only=True)
class ConnectionMachine:
    """Where the connection stands. ``since`` is in monotonic seconds.

    ``attempts`` counts those of this round, the running one included. ``carried_attempts`` are those that a connection
    took: when it breaks before it lasted, the count goes on from there, so that flapping backs off.
    ``needs_operator``: FAILED after an error that is not worth trying again.
    """

    state: ConnectionState = C.DISCONNECTED
    session_id: str | None = None
    attempts: int = 0
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    since: float = 0.0
    carried_attempts: int = 0
    needs_operator: bool = False

    def __attrs_post_init__(self) -> None:
        if (self.session_id is not None) != (self.state is C.CONNECTED):
            raise IllegalTransitionError(
                f"a session id must exist exactly while CONNECTED (state {self.state})"
            )
        highest = 0 if self.state is C.CONNECTED else self.max_attempts
        if not 0 <= self.attempts <= highest:
            raise IllegalTransitionError(
                f"attempts must be from 0 to {highest} while {self.state} (was {self.attempts})"
            )


def transition(
    machine: ConnectionMachine,
    to: ConnectionState,
    now: float,
    session_id: str | None = None,
    *,
    retryable: bool = True,
    lasting_s: float = 0.0,
) -> ConnectionMachine:
    """Take one step of the table at ``now`` (monotonic seconds).

    ``session_id`` is needed for, and only for, CONNECTED. ``retryable`` matters for FAILED. ``lasting_s`` is how long
    a connection has to stand before its loss starts counting attempts from 0 again.
    """
    if to not in TRANSITIONS[machine.state]:
        raise IllegalTransitionError(f"the connection cannot go from {machine.state} to {to}")
    return attrs.evolve(
        machine,
        state=to,
        session_id=session_id,
        attempts=_attempts_after(machine, to, now, lasting_s),
        carried_attempts=(
            min(machine.attempts, machine.max_attempts - 1) if to is C.CONNECTED else 0
        ),
        since=now,
        needs_operator=to is C.FAILED and not retryable,
    )


def begin_attempt(machine: ConnectionMachine) -> ConnectionMachine:
    """Count one more attempt of a RECONNECTING connection; raise when the round has none left."""
    if machine.state is not C.RECONNECTING or is_exhausted(machine):
        raise IllegalTransitionError(
            f"no attempt may begin while {machine.state} after {machine.attempts} attempts"
        )
    return attrs.evolve(machine, attempts=machine.attempts + 1)


def begin_slow_retry(machine: ConnectionMachine, now: float) -> ConnectionMachine:
    """Try once more from FAILED: the round counts as used up, so that a failure leads back to FAILED at once.

    This is how the supervisor keeps trying at the cap for as long as the process lives (CON-5). Raises while an
    operator has to act first.
    """
    if machine.needs_operator:
        raise IllegalTransitionError("the connection failed for good: an operator has to act first")
    return attrs.evolve(transition(machine, C.CONNECTING, now), attempts=machine.max_attempts)


def is_exhausted(machine: ConnectionMachine) -> bool:
    """Tell whether the round has used up its attempts."""
    return machine.attempts >= machine.max_attempts


def state_after_failure(machine: ConnectionMachine, retryable: bool) -> ConnectionState:
    """Where a failed attempt leads: to another try, or to FAILED."""
    if retryable and not is_exhausted(machine):
        return C.RECONNECTING
    return C.FAILED


def retry_number(machine: ConnectionMachine) -> int:
    """The number of the retry that comes next, from 1, for `backoff.retry_delay_s`."""
    return max(1, machine.attempts)


def _attempts_after(
    machine: ConnectionMachine, to: ConnectionState, now: float, lasting_s: float
) -> int:
    if to is C.CONNECTING:
        return 1
    if to in (C.CONNECTED, C.DISCONNECTED):
        return 0
    if machine.state is C.CONNECTED:
        return 0 if now - machine.since >= lasting_s else machine.carried_attempts
    return machine.attempts
