"""The supervisor: it keeps the children running, and decides when that no longer helps.

It is an actor like its children. After every message it compares what is with what should be and takes the next steps
(`_advance`), so that starting, restarting, rebuilding and stopping are one mechanism::

    leaving and nobody who depends on it still leaves  → tell it to stop, fence it after shutdown_s
    down, wanted, rested, its dependencies up          → start the next incarnation

Guarantees: dependencies start before dependents and stop after them; reports of replaced incarnations change nothing;
a hung child is fenced and replaced; more failures than the policy allows escalate (`EscalationPlan`), once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs

from actors.kernel.actor import ActorContext, SupervisedActor
from actors.kernel.errors import ActorFailedError, describe
from actors.kernel.failure import presentable
from actors.kernel.handlers import handles
from actors.kernel.mailbox import KERNEL, Sender
from actors.kernel.messages import (
    ActorEnded,
    ActorFailed,
    ActorGaveUp,
    ActorRestarted,
    ActorRestarting,
    ActorStarted,
    Escalated,
    Message,
    StopActor,
    StopTree,
    SystemMessage,
    TreeStopped,
)
from supervision.tree.child_spec import EscalationPlan, Restart
from supervision.tree.children import Child, Children, ChildState
from supervision.tree.driver import Driver
from supervision.tree.restart_policy import Escalate, RestartPolicy, Strategy, decide

SUPERVISOR = "supervisor"
"""The supervisor's address."""

_WATCH_AT_LEAST_S = 0.01
_WATCH_AT_MOST_S = 1.0


@attrs.frozen(kw_only=True)
class Watch(SystemMessage):
    """Look for hung children now. ``again``: and again after a while."""

    again: bool = False


@attrs.frozen(kw_only=True)
class TimerDied(SystemMessage):
    """The timer's thread ended with an error."""

    reason: str


@attrs.frozen(kw_only=True)
class _Rested(SystemMessage):
    """A child's backoff after the failure of this incarnation is over."""

    name: str
    incarnation: int


@attrs.frozen(kw_only=True)
class _StopIsDue(SystemMessage):
    """A child's time for an orderly stop is over."""

    name: str
    incarnation: int


class Supervisor(SupervisedActor):
    """Starts, watches, restarts and stops the children of one tree."""

    def __init__(
        self,
        context: ActorContext,
        children: Children,
        driver: Driver,
        plan: EscalationPlan | None,
        on_started: Callable[[], None],
        on_stopped: Callable[[TreeStopped], None],
    ) -> None:
        super().__init__(context)
        self._children = children
        self._driver = driver
        self._plan = plan
        self._on_started = on_started
        self._on_stopped = on_stopped
        self._was_up = False
        self.looked_at: float | None = (
            None  # monotonic seconds; None where it does not look by itself
        )
        self._timer_failures: deque[float] = deque(maxlen=RestartPolicy().max_restarts + 1)

    def started(self) -> None:
        """Start the children, or stop them when a predecessor failed."""
        if self._driver.watches:
            self.looked_at = self.clock.monotonic()
            self._watch_later()
        if self._children.stop_reason is not None:
            self._begin_stop(self._children.stop_reason, failed=True)
            return
        self._advance()

    # -- reports ----------------------------------------------------------------------------------------------------

    @handles(ActorStarted)
    def on_actor_started(self, message: ActorStarted) -> None:
        """A child is up: whoever waited for it may start."""
        child = self._current(message.name, message.incarnation)
        if child is None or child.state is not ChildState.STARTING:
            return
        child.state = ChildState.UP
        if child.restarts:
            self._book.announce(
                ActorRestarted(
                    name=child.name, incarnation=child.incarnation, restarts=child.restarts
                )
            )
        self._remind(child)
        self._advance()

    @handles(ActorEnded)
    def on_actor_ended(self, message: ActorEnded) -> None:
        """A child ended in order: as it was told, or by itself."""
        child = self._current(message.name, message.incarnation)
        if child is None:
            return
        asked = child.leaving
        actor = child.actor
        child.mark_down()
        if not asked and child.spec.restart is Restart.PERMANENT and actor is not None:
            early = ActorFailedError(f"{child.name} stopped by itself and should stay")
            self._take_failure(child, actor.failure(early, "ended"))
        elif not asked:
            child.wanted = False
        self._advance()

    @handles(ActorFailed)
    def on_actor_failed(self, message: ActorFailed) -> None:
        """A child failed: restart it, give it up, or escalate."""
        child = self._current(message.offender, message.incarnation)
        if child is None:
            return
        asked = child.leaving and message.context == "stopping"
        child.mark_down()
        if asked:
            self._book.announce(
                message
            )  # it was to go anyway: no reason to hesitate with its successor
        else:
            self._take_failure(child, message)
        self._advance()

    @handles(StopTree)
    def on_stop_tree(self, message: StopTree) -> None:
        """Stop everything in reverse order."""
        self._begin_stop(message.reason, failed=False)

    @handles(_Rested)
    def on_rested(self, message: _Rested) -> None:
        """A backoff is over, even if the clock should say that a nanosecond is missing."""
        child = self._children.get(message.name)
        if child is not None and child.incarnation == message.incarnation:
            child.not_before = 0.0
        self._advance()

    @handles(_StopIsDue)
    def on_stop_is_due(self, message: _StopIsDue) -> None:
        """A child did not stop in time: leave it behind."""
        child = self._current(message.name, message.incarnation)
        if child is None or child.state is not ChildState.STOPPING:
            return
        late = ActorFailedError(f"{child.name} did not stop within {child.spec.shutdown_s} s")
        self._fence(child, late, "stopping")
        self._advance()

    @handles(TimerDied)
    def on_timer_died(self, message: TimerDied) -> None:
        """The timer is a child too, with the default policy but without a backoff: that would need a timer."""
        now = self.clock.monotonic()
        self._timer_failures.append(now)
        decision = decide(self._timer_failures, now, RestartPolicy(), 0.0)
        if isinstance(decision, Escalate):
            self._driver.restart_timer()  # the stop below needs deadlines
            self._begin_stop(f"the timer keeps failing: {message.reason}", failed=True)
            return
        self._driver.restart_timer()

    # -- watching ---------------------------------------------------------------------------------------------------

    def _watch_later(self) -> None:
        limits = [child.spec.handler_limit_s for child in self._children]
        period_s = min(limits, default=_WATCH_AT_MOST_S) / 4
        self.schedule(min(max(period_s, _WATCH_AT_LEAST_S), _WATCH_AT_MOST_S), Watch(again=True))

    @handles(Watch)
    def on_watch(self, message: Watch) -> None:
        """Replace every child whose handler is older than its limit, or whose thread is gone."""
        now = self.clock.monotonic()
        for child in self._children:
            if child.is_alive and child.actor is not None:
                self._look_at(child, child.actor, now)
        if message.again:
            self.looked_at = now
            self._watch_later()
        self._advance()

    def _look_at(self, child: Child, actor: SupervisedActor, now: float) -> None:
        limit_s = child.spec.handler_limit_s
        since = actor.busy_since(now)
        if since is not None and now - since > limit_s:
            hung = ActorFailedError(f"{child.name} was busy with one message for over {limit_s} s")
            self._replace(child, hung, "hung")
        elif actor.thread is not None and not actor.thread.is_alive() and not actor.has_ended:
            gone = ActorFailedError(f"the thread of {child.name} is gone")
            self._replace(child, gone, "thread")

    def _replace(self, child: Child, error: ActorFailedError, context: str) -> None:
        failed = self._fence(child, error, context)
        if failed is not None:
            self._take_failure(child, failed)

    def _fence(self, child: Child, error: ActorFailedError, context: str) -> ActorFailed | None:
        """Cut an incarnation off and leave its thread behind. What it had in hand is answered away from here."""
        actor, lease = child.actor, child.lease
        if actor is None or lease is None:
            return None
        unfinished = actor.unfinished()
        first = self._book.revoke(lease, superseded=True)
        actor.end()
        failed = actor.failure(error, context, unfinished)
        child.mark_down()
        if first:
            self._driver.aside(lambda: actor.give_up(error, unfinished))
        return failed

    # -- deciding ---------------------------------------------------------------------------------------------------

    def _take_failure(self, child: Child, failed: ActorFailed) -> None:
        self._book.announce(failed)
        if self._children.stop_reason is not None or not child.wanted:
            return
        if child.spec.restart is Restart.TEMPORARY:
            self._give_up(child, f"failed in {failed.context}: {failed.reason.text}")
            return
        now = self.clock.monotonic()
        child.failures.append(now)
        decision = decide(child.failures, now, child.policy, self.entropy.uniform(-1.0, 1.0))
        if isinstance(decision, Escalate):
            self._escalate(
                child,
                f"{child.name} failed {decision.failures} times within {decision.within_s} s, "
                f"last in {failed.context}: {failed.reason.kind}: {failed.reason.text}",
            )
            return
        child.not_before = now + decision.delay_s
        if child.policy.strategy is Strategy.REST_FOR_ONE:
            self._ask_to_leave(self._children.dependents(child))
        self._book.announce(
            ActorRestarting(name=child.name, attempt=decision.attempt, delay_s=decision.delay_s)
        )
        if decision.delay_s > 0:
            rested = _Rested(name=child.name, incarnation=child.incarnation)
            self.schedule(decision.delay_s, rested)

    def _escalate(self, child: Child, reason: str) -> None:
        plan = self._plan
        if plan is None or self._children.escalated is not None:
            self._book.announce(Escalated(offender=child.name, reason=reason, rebuilt=()))
            self._begin_stop(reason, failed=True)
            return
        event = Escalated(offender=child.name, reason=reason, rebuilt=plan.rebuild)
        self._children.escalated = event
        self._book.announce(event)
        self._book.tell(KERNEL, plan.notify, plan.message_factory(event))
        if child.name not in plan.rebuild:
            self._give_up(child, reason)
        group = self._children.named(plan.rebuild)
        for other in group:
            other.failures.clear()
            other.not_before = 0.0
            other.wanted = True
        self._ask_to_leave(group)

    def _remind(self, child: Child) -> None:
        """Tell of the escalation at every start of whoever has to act on it: it is rebuilt itself, and forgets."""
        plan, event = self._plan, self._children.escalated
        if plan is not None and event is not None and child.name == plan.notify:
            self._book.tell(KERNEL, plan.notify, plan.message_factory(event))

    def _give_up(self, child: Child, reason: str) -> None:
        child.wanted = False
        self._book.announce(ActorGaveUp(name=child.name, reason=reason))

    def _ask_to_leave(self, children: list[Child]) -> None:
        for child in children:
            child.leaving = child.is_alive

    def _begin_stop(self, reason: str, *, failed: bool) -> None:
        if self._children.stop_reason is None:
            self._children.stop_reason = reason
            self._children.stop_failed = failed
        for child in self._children:
            child.wanted = False
            child.leaving = child.is_alive
        self._advance()

    # -- acting -----------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Take every step that is possible now."""
        for child in reversed(self._children):
            if self._children.may_stop(child):
                self._stop_child(child)
        if self._children.stop_reason is not None:
            if not any(child.is_alive for child in self._children):
                self._finish(self._children.stop_reason)
            return
        for child in self._children:
            if self._children.may_start(child, self.clock.monotonic()):
                self._start_child(child)
        if not self._was_up and all(
            child.state is ChildState.UP for child in self._children if child.wanted
        ):
            self._was_up = True
            self._on_started()

    def _start_child(self, child: Child) -> None:
        child.incarnation += 1
        child.restarts = child.incarnation - 1
        child.state = ChildState.STARTING
        spec = child.spec
        child.lease = self._book.lease(spec.name, child.incarnation, spec.handler_limit_s)
        try:
            child.actor = self._make(child)
            self._driver.launch(child.actor)
        except BaseException as error:  # noqa: BLE001 - a factory's failure is its child's
            self._book.revoke(child.lease, superseded=True)
            failed = ActorFailed(
                supervisor=self.name,
                context="factory",
                reason=describe(presentable(error)),
                offender=child.name,
                incarnation=child.incarnation,
                at=self.clock.now(),
            )
            self.tell(self.name, failed)

    def _make(self, child: Child) -> SupervisedActor:
        name, incarnation, lease = child.name, child.incarnation, child.lease
        assert lease is not None  # noqa: S101 - made by the caller, one line before
        voice = Sender(name, incarnation)

        def report(message: Message) -> None:
            self._book.tell(voice, self.name, message)

        context = ActorContext(
            name=name,
            incarnation=incarnation,
            clock=self.clock,
            entropy=self.entropy,
            lease=lease,
            book=self._book,
            timer=self._driver.timer,
            supervisor=self.name,
            report=report,
            loop=self._driver.loop,
        )
        return child.spec.factory(context)

    def _stop_child(self, child: Child) -> None:
        child.state = ChildState.STOPPING
        reason = self._children.stop_reason or "the tree is rebuilt"
        self.tell(child.name, StopActor(reason=reason))
        self.schedule(
            child.spec.shutdown_s, _StopIsDue(name=child.name, incarnation=child.incarnation)
        )

    def _finish(self, reason: str) -> None:
        event = TreeStopped(reason=reason, failed=self._children.stop_failed)
        self._book.close(reason)
        self._book.announce(event)
        self._book.revoke(self._lease, superseded=False)
        self.end()
        self._on_stopped(event)

    def _current(self, name: str, incarnation: int) -> Child | None:
        """Find the child that a report is about; None when that incarnation is history."""
        child = self._children.get(name)
        return child if child is not None and child.is_current(incarnation) else None
