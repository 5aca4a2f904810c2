"""Who runs the actors: threads in reality mode; `supervision.proof.driver` has the other driver."""

from __future__ import annotations

import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Protocol

from actors.kernel.actor import SupervisedActor
from actors.kernel.clock import Clock
from actors.kernel.context import Timer
from supervision.tree.timer import ThreadTimer
from supervision.tree.waiter import Waiter


class Driver(Protocol):
    """What a tree needs to run: a way to start actors, a timer, and a way to wait for them from outside."""

    @property
    def timer(self) -> Timer:
        """What actors schedule with; there once opened."""
        ...

    loop: AbstractEventLoop | None
    """The loop that every `LoopActor` shares; None where each has its own."""
    watches: bool
    """Whether the supervisor has to look for hung actors by itself."""

    def open(
        self,
        clock: Clock,
        on_timer_died: Callable[[BaseException], None],
        look: Callable[[], None],
    ) -> None:
        """Get ready; called once, before the first actor. ``look`` makes the supervisor look for hung actors."""
        ...

    def close(self) -> None:
        """Let go; called once, after the last actor."""
        ...

    def launch(self, actor: SupervisedActor) -> None:
        """Run an actor until it ends."""
        ...

    def aside(self, work: Callable[[], None]) -> None:
        """Run foreign code that may block, away from the supervisor."""
        ...

    def restart_timer(self) -> None:
        """Make the timer run again after it died."""
        ...

    def wait(self, waiter: Waiter, timeout_s: float | None) -> bool:
        """Wait for a value from outside of the actors; False after ``timeout_s``."""
        ...


class ThreadDriver:
    """Reality: each actor in its own pykka thread, one timer thread. All are daemons. One driver serves one tree."""

    loop: AbstractEventLoop | None = None
    watches = True
    timer: ThreadTimer

    def open(
        self,
        clock: Clock,
        on_timer_died: Callable[[BaseException], None],
        look: Callable[[], None],
    ) -> None:
        """Start the timer."""
        del look  # the supervisor looks by itself
        self.timer = ThreadTimer(clock)
        self.timer.on_died = on_timer_died
        self.timer.start()

    def close(self) -> None:
        """End the timer."""
        self.timer.close()

    def launch(self, actor: SupervisedActor) -> None:
        """Start the actor's thread."""
        actor.launch()

    def aside(self, work: Callable[[], None]) -> None:
        """Run ``work`` in a daemon thread of its own."""
        threading.Thread(target=work, name="aside", daemon=True).start()

    def restart_timer(self) -> None:
        """Start another timer thread over the same heap."""
        self.timer.start()

    def wait(self, waiter: Waiter, timeout_s: float | None) -> bool:
        """Block the calling thread."""
        return waiter.block(timeout_s)
