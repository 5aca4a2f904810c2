"""Proof mode: the same actors on one event loop, scheduled by a seeded random number generator.

No actor is started as a thread. The driver calls the same `on_start` and `on_receive` as pykka's loop; each turn of
the event loop one actor that is ready handles one message, and which one is drawn from the generator. With a loop on
virtual time (`supervision.proof.loop`) one seed gives one trace.

A hang is a fault that a test asks for: `hang` makes an incarnation keep its next message in hand until supervision
replaces it, `wake` lets the abandoned one go on, to prove that it changes nothing. `slow` makes an actor take its time
before each batch, as one does whose disk is slow with the one before: it is busy for so long, then handles all that has
come meanwhile. One that is busy for longer than its handler limit is replaced like one that hangs. Tasks that a
`LoopActor` spawned keep running while it "hangs", since they share the loop.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial

import attrs

from actors.kernel.actor import SupervisedActor
from actors.kernel.addresses import Cancellable
from actors.kernel.clock import Clock
from actors.kernel.mailbox import STOP, Parcel
from supervision.tree.waiter import Waiter

_HANG_GRACE_S = 0.001
"""How long after the handler limit supervision looks: the limit itself is still allowed."""


class LoopTimer:
    """The timer of proof mode: the loop's own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Cancellable:
        """Call ``callback`` once after ``delay_s`` seconds of the loop's time."""
        return self._loop.call_later(max(delay_s, 0.0), callback)


@attrs.define(eq=False)
class _Running:
    """One incarnation on the loop; ``held`` is the message that a hanging one has in hand."""

    actor: SupervisedActor
    hangs: bool = False
    held: Parcel | None = None
    has_begun: bool = False
    is_slow: bool = False


class ProofDriver:
    """Runs a tree on one loop, in an order that ``rng`` decides. One driver serves one tree."""

    watches = False

    def __init__(self, loop: asyncio.AbstractEventLoop, rng: random.Random) -> None:
        self.loop: asyncio.AbstractEventLoop | None = loop
        self._loop = loop
        self._rng = rng
        self.timer: LoopTimer = LoopTimer(loop)
        self._look: Callable[[], None] = lambda: None
        self._ready: list[_Running] = []
        self._current: dict[str, _Running] = {}
        self._hung: dict[str, _Running] = {}
        self._slow_s: dict[str, float] = {}
        self._is_scheduled = False

    def open(
        self,
        clock: Clock,
        on_timer_died: Callable[[BaseException], None],
        look: Callable[[], None],
    ) -> None:
        """Remember how to make supervision look for hung actors; the loop needs no timer thread."""
        del clock, on_timer_died
        self._look = look

    def close(self) -> None:
        """Nothing to let go of: the loop belongs to the test."""

    def launch(self, actor: SupervisedActor) -> None:
        """Put an actor on the loop; it begins in a turn of its own, when it is drawn."""
        running = _Running(actor)
        self._current[actor.name] = running
        actor.lease.ring = partial(self._make_ready, running)
        self._make_ready(running)

    def aside(self, work: Callable[[], None]) -> None:
        """Run ``work`` in a turn of the loop."""
        self._loop.call_soon(work)

    def restart_timer(self) -> None:
        """Nothing to do: the loop's timer does not die."""

    def wait(self, waiter: Waiter, timeout_s: float | None) -> bool:
        """Run the loop until the value is there; raises RuntimeError inside the loop: await there."""
        if self._loop.is_running():
            raise RuntimeError("the loop runs already: await the tree's ..._async method instead")
        return self._loop.run_until_complete(waiter.arrive(timeout_s))

    # -- scheduling -------------------------------------------------------------------------------------------------

    def _make_ready(self, running: _Running) -> None:
        self._ready.append(running)
        self._schedule()

    def _schedule(self) -> None:
        if self._ready and not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._step)

    def _step(self) -> None:
        """Let one of those that are ready do one thing."""
        self._is_scheduled = False
        if self._ready:
            index = self._rng.randrange(len(self._ready))
            running = self._ready[index]
            if not self._let(running):
                self._ready.remove(running)
        self._schedule()

    def _let(self, running: _Running) -> bool:
        """Begin, or handle one message; False when there is nothing more to do for now."""
        if running.held is not None or running.is_slow:
            return False
        if not running.has_begun:
            running.has_begun = True
            running.actor.on_start()
            return True
        slow_s = self._slow_s.get(running.actor.name, 0.0)
        if slow_s and not running.hangs and not running.actor.lease.empty():
            self._be_slow(running, slow_s)
            return False
        parcel = running.actor.lease.take()
        if parcel is None:
            return False
        if running.hangs and parcel is not STOP:
            running.held = parcel
            return False
        running.actor.on_receive(parcel)
        return parcel is not STOP

    # -- faults -----------------------------------------------------------------------------------------------------

    def hang(self, name: str) -> None:
        """Let the current incarnation hang with the next message it takes, or with none, until it is replaced."""
        running = self._current[name]
        if running.actor.has_ended:
            raise ValueError(f"{name!r} has no living incarnation that could hang")
        running.hangs = True
        running.actor.lease.hang()
        self._hung[name] = running
        self._loop.call_later(running.actor.lease.handler_limit_s + _HANG_GRACE_S, self._look)

    def slow(self, name: str, each_batch_s: float) -> None:
        """Let an actor take so many seconds for each batch of messages from now on; 0 ends that."""
        self._slow_s[name] = each_batch_s

    def _be_slow(self, running: _Running, for_s: float) -> None:
        lease = running.actor.lease
        running.is_slow, lease.since = True, running.actor.clock.monotonic()
        if for_s > lease.handler_limit_s:
            self._loop.call_later(lease.handler_limit_s + _HANG_GRACE_S, self._look)
        self._loop.call_later(for_s, self._catch_up, running)

    def _catch_up(self, running: _Running) -> None:
        """Handle all that has come meanwhile; one that was replaced finds nothing."""
        running.is_slow = False
        running.actor.lease.done()
        while (parcel := running.actor.lease.take()) is not None:
            running.actor.on_receive(parcel)
            if parcel is STOP:
                return

    def wake(self, name: str) -> None:
        """Let the incarnation that hung go on with the message it had in hand, as a woken thread would."""
        running = self._hung.pop(name)
        running.hangs = False
        running.actor.lease.done()
        parcel, running.held = running.held, None
        if parcel is not None:
            running.actor.on_receive(parcel)
        self._make_ready(running)
