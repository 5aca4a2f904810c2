"""Addresses: names that outlive actors, and the post that moves messages between them.

An address is a bounded mailbox, from which the current incarnation of an actor takes, or a callback, which is called in
the sender's thread. Guarantees:

* "is the sender still valid?" and "put" are one step, so a fenced incarnation cannot slip a message in;
* a refusal is an answer: the requester gets `RequestFailed`, anything else goes to dead letters with its reason;
* taps see every message before it arrives, so that a cause is always seen before its effect.

Refuses: messages to unknown addresses, messages beyond a bound, anything after the tree has stopped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

import attrs

from actors.kernel.clock import Clock
from actors.kernel.dead_letters import DeadLetters
from actors.kernel.errors import (
    GatewayError,
    GatewayStoppedError,
    MailboxFullError,
    SupersededError,
    UnknownMessageError,
    describe,
)
from actors.kernel.failure import presentable
from actors.kernel.mailbox import (
    KERNEL,
    Lease,
    Mailbox,
    Parcel,
    Sender,
    Verdict,
    conflation_key,
)
from actors.kernel.messages import (
    MailboxOverflowed,
    Message,
    Overflow,
    Reply,
    Request,
    RequestFailed,
)

LIFECYCLE = "lifecycle"
"""The address to which supervision tells its events; register a callback there to hear them."""

_ACCEPTED, _REFUSED, _CONFLATE = Verdict.ACCEPTED, Verdict.REFUSED, Overflow.CONFLATE


class Cancellable(Protocol):
    """Something that can be called off; a second call does nothing."""

    def cancel(self) -> None:
        """Call it off."""
        ...


@attrs.frozen(kw_only=True)
class TapRecord:
    """One message that passed; ``sender`` and ``recipient`` are addresses."""

    at: datetime
    sender: str
    sender_incarnation: int
    recipient: str
    message: Any


Callback = Callable[[Any, Sender], None]
Tap = Callable[[TapRecord], None]


class _Removal:
    """Takes one entry out again."""

    def __init__(self, remove: Callable[[], None]) -> None:
        self._remove: Callable[[], None] | None = remove

    def cancel(self) -> None:
        remove, self._remove = self._remove, None
        if remove is not None:
            remove()


class AddressBook:
    """All addresses of one tree, under one lock that is never held while foreign code runs."""

    def __init__(self, clock: Clock, dead_letters: DeadLetters) -> None:
        self.clock = clock
        self.dead_letters = dead_letters
        self._lock = threading.Lock()
        self._mailboxes: dict[str, Mailbox] = {}
        self._callbacks: dict[str, Callback] = {}
        self._taps: tuple[Tap, ...] = ()
        self._closed: str | None = None

    # -- setting up -------------------------------------------------------------------------------------------------

    def open_mailbox(
        self, name: str, bound: int, on_overflow: tuple[str, Message] | None = None
    ) -> None:
        """Create the mailbox of an address; raises ValueError when the name is taken."""
        with self._lock:
            self._check_free(name)
            self._mailboxes[name] = Mailbox(name, bound, on_overflow)

    def register(self, name: str, callback: Callback) -> Cancellable:
        """Make an address of a callback; raises ValueError when the name is taken.

        The callback runs in the sender's thread and must return at once. What it raises goes to dead letters.
        """
        with self._lock:
            self._check_free(name)
            self._callbacks[name] = callback
        return _Removal(lambda: self._unregister(name, callback))

    def _unregister(self, name: str, callback: Callback) -> None:
        with self._lock:
            if self._callbacks.get(name) is callback:
                del self._callbacks[name]

    def _check_free(self, name: str) -> None:
        if name in self._mailboxes or name in self._callbacks:
            raise ValueError(f"the address {name!r} is taken; choose another name")

    def tap(self, tap: Tap) -> Cancellable:
        """Show every message to ``tap``, in the sender's thread; a tap that raises is removed."""
        with self._lock:
            self._taps = (*self._taps, tap)
        return _Removal(lambda: self._untap(tap))

    def _untap(self, tap: Tap) -> None:
        with self._lock:
            self._taps = tuple(other for other in self._taps if other is not tap)

    def depth(self, name: str) -> int:
        """Count the messages that wait at an address."""
        return self._mailboxes[name].depth()

    def handled(self, name: str) -> tuple[int, float]:
        """Count the messages that were handled at an address, and the seconds that took."""
        mailbox = self._mailboxes[name]
        return mailbox.handled, mailbox.busy_s

    # -- leases -----------------------------------------------------------------------------------------------------

    def lease(self, name: str, incarnation: int, handler_limit_s: float) -> Lease:
        """Give the mailbox to a new incarnation; the previous lease must have been revoked."""
        sender = Sender(name, incarnation)
        mailbox = self._mailboxes[name]
        lease = Lease(mailbox, sender, self._lock, self.clock, self._post_outside, handler_limit_s)
        with self._lock:
            mailbox.lease = lease
        return lease

    def revoke(self, lease: Lease, *, superseded: bool) -> bool:
        """End an incarnation's right to take and to send; False when that has happened before.

        ``superseded`` also marks what it sent earlier as coming from an incarnation that failed.
        """
        with self._lock:
            if lease.revoked:
                return False
            lease.revoked = True
            lease.sender.closed = True
            lease.sender.superseded = superseded
            ring = lease.claim_ring()
        if ring is not None:
            ring()
        return True

    def hold(self, lease: Lease, holding: bool) -> None:
        """Hold business messages back, or let them through again; raises `SupersededError`."""
        with self._lock:
            self.check(lease.sender)
            lease.holding = holding
            ring = lease.claim_ring()
        if ring is not None:
            ring()

    # -- posting ----------------------------------------------------------------------------------------------------

    def tell(self, sender: Sender, name: str, message: Message) -> None:
        """Send on behalf of an actor; raises only `SupersededError`, every other refusal is answered."""
        parcel = Parcel(message, sender)
        problem = self._post(name, parcel)
        if problem is not None:
            self._give_back(name, parcel, problem)

    def inject(self, name: str, message: Message, sender: Sender) -> None:
        """Send from outside; raises `MailboxFullError`, `UnknownMessageError` or `GatewayStoppedError`."""
        problem = self._post(name, Parcel(message, sender))
        if problem is not None:
            raise problem

    def announce(self, message: Message) -> None:
        """Tell an event of supervision to the taps and to whoever registered `LIFECYCLE`."""
        self._show(LIFECYCLE, Parcel(message, KERNEL))
        if (callback := self._callbacks.get(LIFECYCLE)) is not None:
            self._call(LIFECYCLE, callback, Parcel(message, KERNEL))

    def answer(self, sender: Sender, request: Any, answer: Message) -> None:
        """Answer a request on behalf of an incarnation that cannot do so itself."""
        self.tell(Sender(sender.name, sender.incarnation), request.reply_to, answer)

    def refuse(self, sender: Sender, message: Any, error: BaseException) -> None:
        """Answer with the error if ``message`` is a request; otherwise nobody waits."""
        if isinstance(message, Request):
            failed = RequestFailed(correlation_id=message.correlation_id, error=describe(error))
            self.answer(sender, message, failed)

    def _post(self, name: str, parcel: Parcel) -> GatewayError | None:
        # Every message comes through here: no call more than needed.
        sender = parcel.sender
        if sender.closed:
            self.check(sender)
        if self._taps:
            self._show(name, parcel)
        mailbox = self._mailboxes.get(name)
        if mailbox is None:
            return self._post_to_callback(name, parcel)
        if getattr(parcel.body, "overflow", None) is _CONFLATE:
            parcel.key = conflation_key(parcel.body)
        with self._lock:
            if sender.closed:
                self.check(sender)
            if self._closed is not None:
                return GatewayStoppedError(self._closed)
            verdict = mailbox.put(parcel)
            lease = mailbox.lease
            ring = lease.claim_ring() if lease is not None and lease.waiting else None
        if ring is not None:
            ring()
        if verdict is _ACCEPTED:
            return None
        if verdict is _REFUSED:
            return MailboxFullError(f"the mailbox of {name!r} holds its bound of {mailbox.bound}")
        self._tell_overflow(mailbox)
        return None

    def _post_to_callback(self, name: str, parcel: Parcel) -> GatewayError | None:
        callback = self._callbacks.get(name)
        if callback is None:
            return UnknownMessageError(f"there is no address {name!r}")
        if self._closed is not None and not isinstance(parcel.body, Reply):
            return GatewayStoppedError(self._closed)  # late answers still reach who waits for them
        self._call(name, callback, parcel)
        return None

    def _post_outside(self, mailbox: Mailbox, parcel: Parcel) -> None:
        """Accept what came in through a pykka reference, under the same rules as `inject`."""
        problem = self._post(mailbox.name, parcel)
        if problem is not None:
            raise problem

    def deliver(self, lease: Lease, message: Message) -> None:
        """Give an incarnation its own message, if it still lives: what a timer calls."""
        if lease.revoked:
            return
        try:
            self.tell(lease.sender, lease.mailbox.name, message)
        except SupersededError:
            return  # it ended between the check and the put, which is the same as having ended before

    def check(self, sender: Sender) -> None:
        """Raise `SupersededError` when the incarnation has ended."""
        if sender.closed:
            raise SupersededError(
                f"incarnation {sender.incarnation} of {sender.name!r} has ended and may not act"
            )

    def _call(self, name: str, callback: Callback, parcel: Parcel) -> None:
        try:
            callback(parcel.body, parcel.sender)
        except BaseException as error:  # noqa: BLE001 - it must not reach the sender
            reason = f"the callback raised {type(error).__name__}: {presentable(error)}"
            self.dead_letters.add(parcel.body, name, reason, parcel.sender.name)

    def _show(self, name: str, parcel: Parcel) -> None:
        sender = parcel.sender
        record = TapRecord(
            at=self.clock.now(),
            sender=sender.name,
            sender_incarnation=sender.incarnation,
            recipient=name,
            message=parcel.body,
        )
        for tap in self._taps:
            try:
                tap(record)
            except BaseException as error:  # noqa: BLE001 - it must not reach the sender
                self._untap(tap)
                reason = (
                    f"a tap raised {type(error).__name__}: {presentable(error)}; it was removed"
                )
                self.dead_letters.add(parcel.body, name, reason, sender.name)

    def _tell_overflow(self, mailbox: Mailbox) -> None:
        self.announce(
            MailboxOverflowed(name=mailbox.name, depth=mailbox.depth(), bound=mailbox.bound)
        )
        if mailbox.on_overflow is not None:
            address, message = mailbox.on_overflow
            self.tell(KERNEL, address, message)

    def _give_back(self, name: str, parcel: Parcel, problem: GatewayError) -> None:
        """Answer the requester of a refused message; what is no request becomes a dead letter."""
        reason = f"{type(problem).__name__}: {problem}"
        self.dead_letters.add(parcel.body, name, reason, parcel.sender.name)
        self.refuse(Sender(name), parcel.body, problem)

    # -- the end ----------------------------------------------------------------------------------------------------

    def close(self, reason: str) -> None:
        """Refuse everything from now on; every request that still waits is answered with `GatewayStoppedError`."""
        with self._lock:
            if self._closed is not None:
                return
            self._closed = reason
            waiting = [(box.name, box.empty_out()) for box in self._mailboxes.values()]
        error = GatewayStoppedError(reason)
        for name, parcels in waiting:
            for parcel in parcels:
                self._return_at_the_end(name, parcel, error)

    def _return_at_the_end(self, name: str, parcel: Parcel, error: GatewayStoppedError) -> None:
        self.dead_letters.add(parcel.body, name, f"the tree stopped: {error}", parcel.sender.name)
        if parcel.future is not None:
            parcel.future.set_exception((type(error), error, None))
        body = parcel.body
        if isinstance(body, Request) and (callback := self._callbacks.get(body.reply_to)):
            failed = RequestFailed(correlation_id=body.correlation_id, error=describe(error))
            self._call(body.reply_to, callback, Parcel(failed, Sender(name)))
