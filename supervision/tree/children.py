"""What the supervisor knows about its children, kept apart from it so that a successor can stop them in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from enum import Enum

import attrs

from actors.kernel.actor import SupervisedActor
from actors.kernel.mailbox import Lease
from actors.kernel.messages import Escalated
from supervision.tree.child_spec import ChildSpec, dependents, start_order
from supervision.tree.restart_policy import RestartPolicy


class ChildState(Enum):
    """Where a child stands.

    ::

        DOWN ──started──▶ STARTING ──▶ UP ──told to stop──▶ STOPPING ──▶ DOWN
          ▲                  │          │                      │
          └─── failed ───────┴──────────┴──────────────────────┘
    """

    DOWN = "down"
    STARTING = "starting"
    UP = "up"
    STOPPING = "stopping"


@attrs.define(eq=False)
class Child:
    """One child and its fate. ``wanted``: it should run. ``leaving``: this incarnation has to stop."""

    spec: ChildSpec
    policy: RestartPolicy
    failures: deque[float]
    state: ChildState = ChildState.DOWN
    wanted: bool = True
    leaving: bool = False
    not_before: float = 0.0
    incarnation: int = 0
    restarts: int = 0
    actor: SupervisedActor | None = None
    lease: Lease | None = None

    @property
    def name(self) -> str:
        """The child's address."""
        return self.spec.name

    @property
    def is_alive(self) -> bool:
        """Whether an incarnation exists that has not ended."""
        return self.state is not ChildState.DOWN

    def is_current(self, incarnation: int) -> bool:
        """Tell whether a report is about the incarnation that lives now."""
        return self.is_alive and incarnation == self.incarnation

    def mark_down(self) -> None:
        """Note that the incarnation has ended."""
        self.state = ChildState.DOWN
        self.leaving = False
        self.actor = None


@attrs.frozen(kw_only=True)
class ChildStatus:
    """A child as operators see it. ``handler_age_s`` is the age of the handler that runs now; None: idle.

    ``handled`` counts the messages that its incarnations handled, ``busy_s`` the seconds that took them.
    """

    name: str
    state: str
    incarnation: int
    restarts: int
    mailbox_depth: int
    handler_age_s: float | None
    handled: int = 0
    busy_s: float = 0.0


class Children:
    """The children in start order, and what has been decided about all of them."""

    def __init__(self, specs: Sequence[ChildSpec], policy: RestartPolicy) -> None:
        order = start_order(specs)
        by_name = {spec.name: spec for spec in specs}
        self._children = {name: _child(by_name[name], policy) for name in order}
        self._dependents = {name: dependents(specs, name) for name in order}
        self.escalated: Escalated | None = None
        self.stop_reason: str | None = None
        self.stop_failed = False

    def __iter__(self) -> Iterator[Child]:
        return iter(self._children.values())

    def __reversed__(self) -> Iterator[Child]:
        return reversed(self._children.values())

    def get(self, name: str) -> Child | None:
        """Find a child by its name."""
        return self._children.get(name)

    def named(self, names: Sequence[str]) -> list[Child]:
        """List the children of these names, in start order."""
        return [child for child in self if child.name in names]

    def dependents(self, child: Child) -> list[Child]:
        """List what depends on a child, directly or through others, in start order."""
        return [self._children[name] for name in self._dependents[child.name]]

    def may_start(self, child: Child, now: float) -> bool:
        """Tell whether a child that is down should be started: wanted, rested, its dependencies up."""
        if child.is_alive or not child.wanted or now < child.not_before:
            return False
        if any(other.leaving for other in self.dependents(child)):
            return False  # the old world is still being taken down
        return all(self._serves(name) for name in child.spec.depends_on)

    def may_stop(self, child: Child) -> bool:
        """Tell whether a child that has to leave may be told so: those that depend on it or go before it have left."""
        if not child.leaving or child.state is ChildState.STOPPING or not child.is_alive:
            return False
        earlier = self.named(child.spec.outlives)
        return not any(other.leaving for other in (*self.dependents(child), *earlier))

    def _serves(self, name: str) -> bool:
        other = self._children[name]
        return not other.wanted or (other.state is ChildState.UP and not other.leaving)


def _child(spec: ChildSpec, policy: RestartPolicy) -> Child:
    chosen = spec.policy or policy
    # Enough history to count to the limit, and to reach the longest backoff.
    history: deque[float] = deque(maxlen=chosen.max_restarts + 64)
    return Child(spec=spec, policy=chosen, failures=history)
