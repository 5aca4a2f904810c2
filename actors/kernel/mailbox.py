"""The mailbox of an address, and the lease through which one incarnation takes from it.

The mailbox outlives actors. What is in it waits for whichever incarnation holds the lease; a revoked lease hands out
`STOP` and reports itself empty, so that neither pykka (which drains the inbox of an actor that ends) nor a thread that
hung and wakes up later can take a message away from the successor.

Nothing here locks by itself, except the methods of `Lease`: a mailbox is changed under the one lock of its address
book, which makes "is the sender still valid?" and "put" one step. No foreign code runs under that lock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable
from enum import Enum, auto
from queue import SimpleQueue
from typing import Any

from actors.kernel.clock import Clock
from actors.kernel.messages import Lane, Message, Overflow

# Bound once, since a lookup on an Enum class is slow and these are read for every message.
_SYSTEM, _RECOVERY = Lane.SYSTEM, Lane.RECOVERY
_SIGNAL = Overflow.SIGNAL


class Sender:
    """Who sent a message: an address and the number of its incarnation.

    ``superseded`` turns true when that incarnation failed or was replaced; a receiver may ask it at any time.
    ``closed`` is also true after an orderly end: nothing more can be sent.
    """

    __slots__ = ("closed", "incarnation", "name", "superseded")

    def __init__(self, name: str, incarnation: int = 0) -> None:
        self.name = name
        self.incarnation = incarnation
        self.superseded = False
        self.closed = False

    def __repr__(self) -> str:
        return f"Sender({self.name!r}, {self.incarnation}, superseded={self.superseded})"


class Parcel:
    """A message on its way, shaped so that pykka's loop takes it for its envelope.

    pykka hands ``envelope.message`` to `on_receive` and answers ``envelope.reply_to`` by itself. We want the whole
    parcel there and answer ourselves (a future that is answered twice would kill pykka's thread), so ``message`` is
    the parcel and ``reply_to`` is None; the pykka future of an ``ask`` travels as ``future``.
    """

    __slots__ = ("body", "future", "key", "sender")
    reply_to = None

    def __init__(self, body: Any, sender: Sender, future: Any = None) -> None:
        self.body = body
        self.sender = sender
        self.future = future
        self.key: Hashable | None = None

    @property
    def message(self) -> Parcel:
        """Hand pykka the parcel itself."""
        return self


KERNEL = Sender("kernel")
STOP = Parcel(None, KERNEL)


class Verdict(Enum):
    """What became of a message that was put."""

    ACCEPTED = auto()
    OVERFLOWED = auto()  # accepted, and the first one beyond the bound
    REFUSED = auto()


_ACCEPTED, _OVERFLOWED, _REFUSED = Verdict.ACCEPTED, Verdict.OVERFLOWED, Verdict.REFUSED


class Mailbox:
    """Three queues of one address; ``bound`` holds for the business and for the recovery queue, each by itself.

    ``handled`` counts the messages that were handled here, by whichever incarnation; ``busy_s`` is how long that took.
    """

    __slots__ = (
        "_business",
        "_by_key",
        "_overflowing",
        "_recovery",
        "_system",
        "bound",
        "busy_s",
        "handled",
        "lease",
        "name",
        "on_overflow",
    )

    def __init__(
        self, name: str, bound: int, on_overflow: tuple[str, Message] | None = None
    ) -> None:
        self.name = name
        self.bound = bound
        self.on_overflow = on_overflow
        self.lease: Lease | None = None
        self.handled = 0
        self.busy_s = 0.0
        self._system: deque[Parcel] = deque()
        self._recovery: deque[Parcel] = deque()
        self._business: deque[Parcel] = deque()
        self._by_key: dict[Hashable, Parcel] = {}
        self._overflowing = False

    def depth(self) -> int:
        """Count what waits."""
        return len(self._system) + len(self._recovery) + len(self._business)

    def ready(self, holding: bool) -> bool:
        """Tell whether something could be taken; while ``holding``, business does not count."""
        return bool(self._system or self._recovery or (self._business and not holding))

    def put(self, parcel: Parcel) -> Verdict:
        """Queue a parcel as its lane and overflow demand; a conflated one takes the waiting one's place."""
        body = parcel.body
        lane = getattr(body, "lane", None)  # pykka's own messages have none: business
        if lane is _SYSTEM:
            self._system.append(parcel)
            return _ACCEPTED
        queue = self._recovery if lane is _RECOVERY else self._business
        key = parcel.key
        if key is not None and (waiting := self._by_key.get(key)) is not None:
            waiting.body, waiting.sender = body, parcel.sender
            return _ACCEPTED
        verdict = _ACCEPTED
        if len(queue) >= self.bound:
            if getattr(body, "overflow", None) is not _SIGNAL:
                return _REFUSED
            if not self._overflowing:
                self._overflowing = True
                verdict = _OVERFLOWED
        if key is not None:
            self._by_key[key] = parcel
        queue.append(parcel)
        return verdict

    def pop(self, holding: bool) -> Parcel | None:
        """Take the next parcel: system before recovery before business."""
        if self._system:
            return self._system.popleft()
        if self._recovery:
            parcel = self._recovery.popleft()
        elif self._business and not holding:
            parcel = self._business.popleft()
        else:
            return None
        if parcel.key is not None:
            del self._by_key[parcel.key]
        if self._overflowing and self._half_empty():
            self._overflowing = False
        return parcel

    def _half_empty(self) -> bool:
        half = self.bound // 2
        return len(self._business) <= half and len(self._recovery) <= half

    def empty_out(self) -> list[Parcel]:
        """Take everything, for a tree that has stopped."""
        parcels = [*self._system, *self._recovery, *self._business]
        for queue in (self._system, self._recovery, self._business):
            queue.clear()
        self._by_key.clear()
        return parcels


def conflation_key(message: Message) -> Hashable:
    """Compute the key under which a message that conflates replaces a waiting one."""
    return (type(message), message.conflation_key())


class Lease:
    """One incarnation's right to take from a mailbox; it is what pykka loops over as ``actor_inbox``.

    ``current`` and ``since`` (monotonic seconds) show the message that is being handled and since when; the
    supervisor reads them to find a hung actor. ``waiting`` says that the holder looked and found nothing; then
    ``ring`` is called, once and outside the lock, as soon as something can be taken.
    """

    __slots__ = (
        "_bell",
        "_clock",
        "_hangs",
        "_lock",
        "_post",
        "current",
        "handler_limit_s",
        "holding",
        "mailbox",
        "revoked",
        "ring",
        "sender",
        "since",
        "waiting",
    )

    def __init__(
        self,
        mailbox: Mailbox,
        sender: Sender,
        lock: threading.Lock,
        clock: Clock,
        post: Callable[[Mailbox, Parcel], None],
        handler_limit_s: float,
    ) -> None:
        self.mailbox = mailbox
        self.sender = sender
        self.handler_limit_s = handler_limit_s
        self.revoked = False
        self.holding = False
        self.current: Parcel | None = None
        self.since: float | None = None
        self._lock = lock
        self._clock = clock
        self._post = post
        self.waiting = False
        self._hangs = False
        self._bell: SimpleQueue[None] = SimpleQueue()
        self.ring: Callable[[], None] = self._ring_bell

    def _ring_bell(self) -> None:
        self._bell.put(None)

    def put(self, envelope: Any) -> None:
        """Accept pykka's own ``tell`` and ``ask``; raises `MailboxFullError` or `GatewayStoppedError`."""
        self._post(self.mailbox, Parcel(envelope.message, Sender("pykka"), envelope.reply_to))

    def get(self) -> Parcel:
        """Block for the next parcel; `STOP` once revoked."""
        while True:
            parcel = self.take()
            if parcel is not None:
                return parcel
            self._bell.get()

    def take(self) -> Parcel | None:
        """Take without blocking; None arms ``ring``."""
        with self._lock:
            if self.revoked:
                return STOP
            parcel = self.mailbox.pop(self.holding)
            if parcel is None:
                self.waiting = True
                return None
            self.current = parcel
        if not self._hangs:
            self.since = self._clock.monotonic()
        return parcel

    def done(self) -> None:
        """Note that the current parcel was handled, and how long it took.

        Only the holder counts, so no lock is needed; one that was revoked meanwhile has a successor that counts.
        """
        since = self.since
        if since is not None and self.current is not None and not self.revoked:
            mailbox = self.mailbox
            mailbox.handled += 1
            mailbox.busy_s += self._clock.monotonic() - since
        self.current = None
        self.since = None

    def hang(self) -> None:
        """Look busy from now on: a fault for proofs, where no handler really hangs."""
        self._hangs = True
        self.since = self._clock.monotonic()

    def empty(self) -> bool:
        """Tell pykka whether to drain: a revoked lease has nothing to drain."""
        return self.revoked or not self.mailbox.ready(self.holding)

    def claim_ring(self) -> Callable[[], None] | None:
        """Under the lock, after a put: who must be woken. Each arming is used once."""
        if self.waiting and (self.revoked or self.mailbox.ready(self.holding)):
            self.waiting = False
            return self.ring
        return None
