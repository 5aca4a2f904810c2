"""What an actor gets from whoever starts it."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Protocol

import attrs

from actors.kernel.addresses import AddressBook, Cancellable
from actors.kernel.clock import Clock, Entropy
from actors.kernel.mailbox import Lease
from actors.kernel.messages import Message


class Timer(Protocol):
    """Calls back later; ``delay_s`` in seconds of the tree's clock. The callback must return at once."""

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Cancellable:
        """Call ``callback`` once after ``delay_s``."""
        ...


@attrs.frozen(kw_only=True)
class ActorContext:
    """What supervision hands to an actor's factory. A factory passes it on, and reads the first four
    fields at most.

    ``report`` carries the actor's own fate to its supervisor. ``loop`` is the shared event loop in proof mode; None
    means that a `LoopActor` makes its own.
    """

    name: str
    incarnation: int
    clock: Clock
    entropy: Entropy
    lease: Lease
    book: AddressBook
    timer: Timer
    supervisor: str
    report: Callable[[Message], None]
    loop: AbstractEventLoop | None = None
