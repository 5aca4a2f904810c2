"""A tree in proof mode that dies or stands still as a process does: at once, all actors together, without a word."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from actors.kernel.actor import SupervisedActor
from actors.kernel.addresses import Cancellable
from actors.kernel.clock import Clock
from supervision.proof.driver import LoopTimer, ProofDriver


class MortalTimer(LoopTimer):
    """The loop's timer, which rings for nobody who is dead, and later for whoever stands still."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.stands = False
        self.missed: list[Callable[[], None]] = []

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Cancellable:
        """Call ``callback`` once after ``delay_s`` seconds of the loop's time, if somebody is there."""
        return super().call_later(delay_s, lambda: self._ring(callback))

    def _ring(self, callback: Callable[[], None]) -> None:
        if self.stands:
            self.missed.append(callback)
        else:
            callback()


class MortalDriver(ProofDriver):
    """One process. What is dead is never woken: SIGKILL is a SIGSTOP without an end."""

    def __init__(self, loop: asyncio.AbstractEventLoop, rng: random.Random) -> None:
        super().__init__(loop, rng)
        self._mortal = MortalTimer(loop)
        self.timer = self._mortal
        self._living: dict[str, SupervisedActor] = {}

    def open(
        self,
        clock: Clock,
        on_timer_died: Callable[[BaseException], None],
        look: Callable[[], None],
    ) -> None:
        """Look for hung actors, unless it is the whole process that stands still."""
        super().open(clock, on_timer_died, lambda: None if self._mortal.stands else look())

    def launch(self, actor: SupervisedActor) -> None:
        """Put an actor on the loop."""
        self._living[actor.name] = actor
        super().launch(actor)

    def stop_all(self) -> None:
        """Stand still from now on."""
        if self._mortal.stands:
            return
        self._mortal.stands = True
        for name, actor in self._living.items():
            if not actor.has_ended:
                self.hang(name)

    def wake_all(self) -> None:
        """Go on, with all that came meanwhile."""
        self._mortal.stands = False
        for name in tuple(self._hung):
            self.wake(name)
        missed, self._mortal.missed = self._mortal.missed, []
        for callback in missed:
            callback()
