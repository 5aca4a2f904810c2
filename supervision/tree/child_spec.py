"""What the supervisor has to know about a child, as data that is checked before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

import attrs

from actors.kernel.actor import ActorContext, SupervisedActor
from actors.kernel.messages import Escalated, Message
from supervision.tree.restart_policy import RestartPolicy


class Restart(Enum):
    """Which ends lead to a restart."""

    PERMANENT = "permanent"
    """Every end, an orderly one too."""

    TRANSIENT = "transient"
    """A failure; an orderly end is final."""

    TEMPORARY = "temporary"
    """None."""


@attrs.frozen(kw_only=True)
class ChildSpec:
    """One child. ``factory`` runs in the supervisor's thread and must only construct.

    ``depends_on`` names what has to be up before it starts and is stopped after it; ``outlives`` names what only has to
    be stopped before it. ``shutdown_s`` is its time for an orderly stop, ``handler_limit_s`` the time for one message
    before it counts as hung. ``on_overflow`` is told, once per episode, when messages that cannot be refused go beyond
    ``mailbox_bound``.
    """

    name: str = attrs.field(validator=attrs.validators.min_len(1))
    factory: Callable[[ActorContext], SupervisedActor]
    restart: Restart = Restart.PERMANENT
    depends_on: tuple[str, ...] = ()
    outlives: tuple[str, ...] = ()
    shutdown_s: float = attrs.field(default=5.0, validator=attrs.validators.ge(0))
    mailbox_bound: int = attrs.field(default=10_000, validator=attrs.validators.ge(1))
    handler_limit_s: float = attrs.field(default=5.0, validator=attrs.validators.gt(0))
    on_overflow: tuple[str, Message] | None = None
    policy: RestartPolicy | None = None


@attrs.frozen(kw_only=True)
class EscalationPlan:
    """What the first escalation does: rebuild a group with a fresh history, and tell ``notify`` why.

    The message for ``notify`` is sent before anything is rebuilt; it waits in the mailbox when ``notify`` is part of
    the group. An offender outside the group stays down. A second escalation stops the tree.
    """

    rebuild: tuple[str, ...]
    notify: str
    message_factory: Callable[[Escalated], Message]


class ChildSpecError(ValueError):
    """The child specs cannot be started; the text lists every fault."""


def start_order(specs: Sequence[ChildSpec]) -> tuple[str, ...]:
    """Put dependencies before dependents, and what outlives others before them; otherwise keep the given order.

    The stop goes the other way. Raises `ChildSpecError` with every fault.
    """
    names = [spec.name for spec in specs]
    faults = [f"the name {name!r} is used twice" for name in _repeated(names)]
    for spec in specs:
        for dependency in spec.depends_on:
            if dependency not in names:
                faults.append(f"{spec.name!r} depends on {dependency!r}, which is not a child")
        for other in spec.outlives:
            if other not in names:
                faults.append(f"{spec.name!r} outlives {other!r}, which is not a child")
    if faults:
        raise ChildSpecError("; ".join(faults))
    earlier = {spec.name: set(spec.depends_on) for spec in specs}
    for spec in specs:
        for other in spec.outlives:
            earlier[other].add(spec.name)
    order: list[str] = []
    waiting = list(specs)
    while waiting:
        ready = next((spec for spec in waiting if earlier[spec.name] <= set(order)), None)
        if ready is None:
            circle = ", ".join(repr(spec.name) for spec in waiting)
            raise ChildSpecError(f"these depend on each other in a circle: {circle}")
        order.append(ready.name)
        waiting.remove(ready)
    return tuple(order)


def check_plan(plan: EscalationPlan | None, specs: Sequence[ChildSpec]) -> None:
    """Check that the plan speaks of children; raises `ChildSpecError` with every fault."""
    if plan is None:
        return
    names = {spec.name for spec in specs}
    unknown = [name for name in (*plan.rebuild, plan.notify) if name not in names]
    if unknown:
        raise ChildSpecError(f"the escalation plan names {unknown}, which are not children")


def dependents(specs: Sequence[ChildSpec], name: str) -> tuple[str, ...]:
    """List what depends on ``name``, directly or through others, in start order."""
    affected = {name}
    by_name = {spec.name: spec for spec in specs}
    order = start_order(specs)
    for other in order:
        if affected & set(by_name[other].depends_on):
            affected.add(other)
    return tuple(other for other in order if other in affected and other != name)


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})
