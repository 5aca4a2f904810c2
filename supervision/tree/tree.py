"""The tree: the handle by which a process starts, watches, steers and stops its actors.

::

    tree = Tree(specs, ThreadDriver(), clock, entropy, RestartPolicy())
    tree.start(timeout_s=10)
    reply = tree.ask("counter", lambda id_, deadline, reply_to: GetTotal(...), timeout_s=1)
    tree.stop("the day is over", timeout_s=10)

Guarantees: after the stop, whatever the reason, `inject` and `ask` raise `GatewayStoppedError`, and every request that
waited has been answered with it. A supervisor that fails or hangs is replaced by one that stops the tree in order.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from actors.kernel.actor import ActorContext, SupervisedActor, current_actor
from actors.kernel.addresses import AddressBook, Callback, Cancellable, Tap
from actors.kernel.clock import Clock, Entropy
from actors.kernel.dead_letters import DeadLetters
from actors.kernel.errors import (
    GatewayStoppedError,
    GatewayTimeoutError,
    SupervisionError,
    describe,
    restore,
)
from actors.kernel.failure import presentable
from actors.kernel.mailbox import KERNEL, Sender
from actors.kernel.messages import (
    ActorEnded,
    ActorFailed,
    Message,
    Reply,
    Request,
    RequestFailed,
    StopTree,
    TreeStopped,
)
from supervision.tree.child_spec import ChildSpec, EscalationPlan, check_plan
from supervision.tree.children import Child, Children, ChildStatus
from supervision.tree.driver import Driver
from supervision.tree.restart_policy import RestartPolicy
from supervision.tree.supervisor import SUPERVISOR, Supervisor, TimerDied, Watch
from supervision.tree.waiter import Waiter

OUTSIDE = "outside"
"""The address that answers to `Tree.ask` come back to, and the sender of what is injected."""

_SLOW_START = "the start took too long"
_SUPERVISOR_BOUND = 100_000
_SUPERVISOR_LIMIT_S = 30.0


class Tree:
    """One tree of actors. Everything here may be called from any thread, but not from an actor where it waits."""

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        driver: Driver,
        clock: Clock,
        entropy: Entropy,
        policy: RestartPolicy | None = None,
        *,
        escalation: EscalationPlan | None = None,
        tap: Tap | None = None,
        on_stopped: Callable[[TreeStopped], None] | None = None,
        dead_letter_capacity: int = 1_000,
    ) -> None:
        """Check the specs and open the addresses; nothing runs yet. Raises `ChildSpecError`."""
        self.clock = clock
        self.entropy = entropy
        self.dead_letters = DeadLetters(clock, dead_letter_capacity)
        self._driver = driver
        self._children = Children(specs, policy or RestartPolicy())
        check_plan(escalation, specs)
        self._plan = escalation
        self._on_stopped = on_stopped
        self._lock = threading.Lock()
        self._supervisor: Supervisor | None = None
        self._supervisor_lease_count = 0
        self._stopped: TreeStopped | None = None
        self._started_waiter = Waiter()
        self._stopped_waiter = Waiter()
        self._asks: dict[str, Waiter] = {}
        self._outside = Sender(OUTSIDE)
        self._book = AddressBook(clock, self.dead_letters)
        self._book.open_mailbox(SUPERVISOR, _SUPERVISOR_BOUND)
        self._book.register(OUTSIDE, self._on_reply)
        for spec in specs:
            self._book.open_mailbox(spec.name, spec.mailbox_bound, spec.on_overflow)
        if tap is not None:
            self._book.tap(tap)

    # -- life -------------------------------------------------------------------------------------------------------

    def start(self, timeout_s: float = 30.0) -> None:
        """Start and wait until every child is up.

        Raises `GatewayTimeoutError` (after a stop) when that takes too long, `GatewayStoppedError` when it gave up.
        """
        self.open()
        if not self._driver.wait(self._started_waiter, timeout_s):
            self.stop(_SLOW_START, timeout_s)
        self._check_start(timeout_s)

    async def start_async(self, timeout_s: float = 30.0) -> None:
        """Do what `start` does, without blocking the loop of the caller."""
        self.open()
        if not await self._started_waiter.arrive(timeout_s):
            await self.stop_async(_SLOW_START, timeout_s)
        self._check_start(timeout_s)

    def _check_start(self, timeout_s: float) -> None:
        if self._stopped is not None and self._stopped.reason == _SLOW_START:
            raise GatewayTimeoutError(f"the tree was not up within {timeout_s} s")
        if self._stopped is not None:
            raise GatewayStoppedError(self._stopped.reason)

    def open(self) -> None:
        """Start without waiting; raises `SupervisionError` when it has been started before."""
        with self._lock:
            if self._supervisor_lease_count:
                raise SupervisionError("a tree is started once; make a new one")
            self._supervisor_lease_count = 1
        self._driver.open(self.clock, self._on_timer_died, self._look)
        self._launch_supervisor()
        if self._driver.watches:
            self._watch_supervisor_later()

    def stop(self, reason: str = "a stop was asked for", timeout_s: float = 30.0) -> bool:
        """Stop every actor in order and wait; False when something had to be cut off after ``timeout_s``."""
        self.close(reason)
        return self._driver.wait(self._stopped_waiter, timeout_s) or self._stop_late(reason)

    async def stop_async(
        self, reason: str = "a stop was asked for", timeout_s: float = 30.0
    ) -> bool:
        """Do what `stop` does, without blocking the loop of the caller."""
        self.close(reason)
        return await self._stopped_waiter.arrive(timeout_s) or self._stop_late(reason)

    def _stop_late(self, reason: str) -> bool:
        self._cut_off(f"{reason} (it took too long, the rest was cut off)")
        return False

    def close(self, reason: str = "a stop was asked for") -> None:
        """Ask for an orderly stop without waiting; a tree that never ran is closed at once."""
        if self._supervisor_lease_count == 0:
            self._supervisor_lease_count = 1
            self._book.close(reason)
            self._finish(TreeStopped(reason=reason, failed=False))
            return
        self._book.tell(KERNEL, SUPERVISOR, StopTree(reason=reason))

    def wait_stopped(self, timeout_s: float | None = None) -> TreeStopped | None:
        """Wait for the end, whatever its reason; None after ``timeout_s``."""
        self._driver.wait(self._stopped_waiter, timeout_s)
        return self._stopped

    async def wait_stopped_async(self, timeout_s: float | None = None) -> TreeStopped | None:
        """Do what `wait_stopped` does, without blocking the loop of the caller."""
        await self._stopped_waiter.arrive(timeout_s)
        return self._stopped

    @property
    def is_running(self) -> bool:
        """Whether the tree has been started and has not stopped."""
        return self._supervisor_lease_count > 0 and self._stopped is None

    @property
    def stopped(self) -> TreeStopped | None:
        """Why the tree stopped; None while it has not."""
        return self._stopped

    # -- steering ---------------------------------------------------------------------------------------------------

    def tell(self, name: str, message: Message) -> None:
        """Send any message to any address.

        Raises `MailboxFullError`, `UnknownMessageError` (no such address) or `GatewayStoppedError`.
        """
        self._book.inject(name, message, self._outside)

    def ask(
        self,
        name: str,
        make_request: Callable[[str, float, str], Request],
        timeout_s: float,
    ) -> Reply:
        """Send a request and block for its reply; never for actors.

        ``make_request`` gets correlation id, deadline (monotonic seconds) and reply address. Raises what the other
        side answered, `GatewayTimeoutError` at ``timeout_s``, `SupervisionError` in an actor's thread, and whatever
        `inject` raises.
        """
        if (actor := current_actor()) is not None:
            raise SupervisionError(
                f"{actor!r} may not wait for {name!r}: tell it a request instead"
            )
        correlation_id, waiter = self._send_ask(name, make_request, timeout_s)
        try:
            self._driver.wait(waiter, timeout_s)
        finally:
            self._asks.pop(correlation_id, None)
        return _reply(waiter, name, timeout_s)

    async def ask_async(
        self,
        name: str,
        make_request: Callable[[str, float, str], Request],
        timeout_s: float,
    ) -> Reply:
        """Do what `ask` does, without blocking the loop of the caller."""
        correlation_id, waiter = self._send_ask(name, make_request, timeout_s)
        try:
            await waiter.arrive(timeout_s)
        finally:
            self._asks.pop(correlation_id, None)
        return _reply(waiter, name, timeout_s)

    def _send_ask(
        self, name: str, make_request: Callable[[str, float, str], Request], timeout_s: float
    ) -> tuple[str, Waiter]:
        correlation_id = self.entropy.uuid4()
        request = make_request(correlation_id, self.clock.monotonic() + timeout_s, OUTSIDE)
        waiter = self._asks[correlation_id] = Waiter()
        try:
            self.tell(name, request)
        except BaseException:
            del self._asks[correlation_id]
            raise
        return correlation_id, waiter

    def register(self, name: str, callback: Callback) -> Cancellable:
        """Make an address of ``callback(message, sender)``; it runs in the sender's thread and must return at once."""
        return self._book.register(name, callback)

    def tap(self, tap: Tap) -> Cancellable:
        """Show every message that passes to ``tap``, in the sender's thread."""
        return self._book.tap(tap)

    def status(self) -> tuple[ChildStatus, ...]:
        """Describe every child, in start order."""
        now = self.clock.monotonic()
        return tuple(self._status_of(child, now) for child in self._children)

    def _status_of(self, child: Child, now: float) -> ChildStatus:
        actor = child.actor  # read once: the supervisor may take it away meanwhile
        handled, busy_s = self._book.handled(child.name)
        return ChildStatus(
            name=child.name,
            state=child.state.value,
            incarnation=child.incarnation,
            restarts=child.restarts,
            mailbox_depth=self._book.depth(child.name),
            handler_age_s=_age(actor.busy_since(now) if actor else None, now),
            handled=handled,
            busy_s=busy_s,
        )

    def supervisor_silent_s(self) -> float | None:
        """Tell for how many seconds the supervisor has not looked after its children.

        None where it does not look by itself (proof mode), and before the start.
        """
        supervisor = self._supervisor
        if supervisor is None or supervisor.looked_at is None:
            return None
        return self.clock.monotonic() - supervisor.looked_at

    # -- the supervisor's fate --------------------------------------------------------------------------------------

    def _launch_supervisor(self) -> None:
        incarnation = self._supervisor_lease_count
        lease = self._book.lease(SUPERVISOR, incarnation, _SUPERVISOR_LIMIT_S)
        context = ActorContext(
            name=SUPERVISOR,
            incarnation=incarnation,
            clock=self.clock,
            entropy=self.entropy,
            lease=lease,
            book=self._book,
            timer=self._driver.timer,
            supervisor="tree",
            report=self._on_supervisor_report,
            loop=self._driver.loop,
        )
        self._supervisor = Supervisor(
            context,
            self._children,
            self._driver,
            self._plan,
            on_started=self._started_waiter.set,
            on_stopped=self._finish,
        )
        self._driver.launch(self._supervisor)

    def _on_supervisor_report(self, message: Message) -> None:
        if isinstance(message, ActorFailed):
            self._replace_supervisor(
                f"the supervisor failed in {message.context}: "
                f"{message.reason.kind}: {message.reason.text}"
            )
        elif isinstance(message, ActorEnded):
            self._replace_supervisor("the supervisor was told to stop", failed=False)

    def _replace_supervisor(self, reason: str, *, failed: bool = True) -> None:
        """Let a successor stop the tree in order; when that fails too, cut everything off."""
        if self._supervisor_lease_count > 1:
            self._cut_off(reason)
            return
        self._supervisor_lease_count += 1
        if self._children.stop_reason is None:
            self._children.stop_reason = reason
            self._children.stop_failed = failed
        self._launch_supervisor()

    def _watch_supervisor_later(self) -> None:
        self._driver.timer.call_later(1.0, self._watch_supervisor)

    def _watch_supervisor(self) -> None:
        supervisor = self._supervisor
        if supervisor is None or self._stopped is not None:
            return
        now = self.clock.monotonic()
        since = supervisor.busy_since(now)
        hung = since is not None and now - since > _SUPERVISOR_LIMIT_S
        if hung and supervisor.fence():
            self._replace_supervisor(f"the supervisor hung for over {_SUPERVISOR_LIMIT_S} s")
        self._watch_supervisor_later()

    def _look(self) -> None:
        self._book.tell(KERNEL, SUPERVISOR, Watch())

    def _on_timer_died(self, error: BaseException) -> None:
        reason = f"{type(error).__name__}: {presentable(error)}"
        self._book.tell(KERNEL, SUPERVISOR, TimerDied(reason=reason))

    # -- the end ----------------------------------------------------------------------------------------------------

    def _cut_off(self, reason: str) -> None:
        """Fence everything without waiting for anybody."""
        if self._supervisor is not None:
            self._supervisor.fence()
        for child in reversed(self._children):
            if child.actor is not None:
                self._leave_behind(child.actor, GatewayStoppedError(reason))
        self._book.close(reason)
        event = TreeStopped(reason=reason, failed=True)
        self._book.announce(event)
        self._finish(event)

    def _leave_behind(self, actor: SupervisedActor, error: GatewayStoppedError) -> None:
        unfinished = actor.unfinished()
        if actor.fence():
            self._driver.aside(lambda: actor.give_up(error, unfinished))

    def _finish(self, event: TreeStopped) -> None:
        with self._lock:
            if self._stopped is not None:
                return
            self._stopped = event
        if self._supervisor is not None:
            self._driver.close()
        error = describe(GatewayStoppedError(event.reason))
        for correlation_id, waiter in tuple(self._asks.items()):
            waiter.set(RequestFailed(correlation_id=correlation_id, error=error))
        try:
            if self._on_stopped is not None:
                self._on_stopped(event)
        finally:
            self._stopped_waiter.set()
            self._started_waiter.set()

    def _on_reply(self, message: Any, _sender: Sender) -> None:
        waiter = self._asks.get(getattr(message, "correlation_id", ""))
        if waiter is None:
            self.dead_letters.add(message, OUTSIDE, "nobody waits for this answer any more")
            return
        waiter.set(message)


def _reply(waiter: Waiter, name: str, timeout_s: float) -> Reply:
    if not waiter.is_set:
        raise GatewayTimeoutError(f"{name!r} did not answer within {timeout_s} s")
    reply: Reply = waiter.value
    if isinstance(reply, RequestFailed):
        raise restore(reply.error)
    return reply


def _age(since: float | None, now: float) -> float | None:
    return None if since is None else now - since
