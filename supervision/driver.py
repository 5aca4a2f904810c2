"""Who runs the actors: threads in reality mode; `supervision.proof` has the other driver."""

from __future__ import annotations

import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any, Protocol

from actors.base import SupervisedActor
from actors.clock import Clock
from actors.context import Timer
from supervision.timer import ThreadTimer


class Waiter(Protocol):
    """A value that comes once."""

    def set(self, value: Any = None) -> None:
        """Give the value; later ones are ignored. From any thread."""
        ...

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until the value is there; False after ``timeout_s``."""
        ...

    @property
    def value(self) -> Any:
        """The value, once it is there."""
        ...


class Driver(Protocol):
    """What a tree needs to run: a way to start actors, a timer, and a way to wait for them from outside."""

    timer: Timer
    loop: AbstractEventLoop | None
    """The loop that every `LoopActor` shares; None where each has its own."""
    watches: bool
    """Whether the supervisor has to look for hung actors by itself."""

    def open(self, clock: Clock, on_timer_died: Callable[[BaseException], None]) -> None:
        """Get ready; called once, before the first actor."""
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

    def waiter(self) -> Waiter:
        """Make something to wait for, outside of actors."""
        ...


class ThreadWaiter:
    """A `Waiter` for threads."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._value: Any = None

    def set(self, value: Any = None) -> None:
        """Give the value; later ones are ignored."""
        with self._lock:
            if not self._event.is_set():
                self._value = value
                self._event.set()

    def wait(self, timeout_s: float | None) -> bool:
        """Block until the value is there; False after ``timeout_s``."""
        return self._event.wait(timeout_s)

    @property
    def value(self) -> Any:
        """The value, once it is there."""
        return self._value


class ThreadDriver:
    """Reality: each actor in its own pykka thread, one timer thread. All are daemons. One driver serves one tree."""

    loop: AbstractEventLoop | None = None
    watches = True
    timer: Timer
    _timer: ThreadTimer

    def open(self, clock: Clock, on_timer_died: Callable[[BaseException], None]) -> None:
        """Start the timer."""
        self.timer = self._timer = ThreadTimer(clock)
        self._timer.on_died = on_timer_died
        self._timer.start()

    def close(self) -> None:
        """End the timer."""
        self._timer.close()

    def launch(self, actor: SupervisedActor) -> None:
        """Start the actor's thread."""
        actor.launch()

    def aside(self, work: Callable[[], None]) -> None:
        """Run ``work`` in a daemon thread of its own."""
        threading.Thread(target=work, name="aside", daemon=True).start()

    def restart_timer(self) -> None:
        """Start another timer thread over the same heap."""
        self._timer.start()

    def waiter(self) -> Waiter:
        """Make something that a thread can wait for."""
        return ThreadWaiter()
