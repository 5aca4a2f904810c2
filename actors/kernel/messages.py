"""What every message is, and the messages that keep actors alive.

Every message type derives from `Message`. Two class variables say how the post treats it:

==========  =============================================================================================
lane        SYSTEM overtakes everything; RECOVERY overtakes BUSINESS; BUSINESS waits while an actor recovers
overflow    what happens when the mailbox is at its bound: REFUSE it, CONFLATE (the newest per key takes
            the waiting one's place, at any depth), SIGNAL (always accepted; the overflow is told once)
==========  =============================================================================================

SYSTEM messages are never refused: only supervision sends them, a bounded number for each actor.
"""

from __future__ import annotations

from collections.abc import Hashable
from datetime import datetime
from enum import Enum
from typing import ClassVar

import attrs

from actors.kernel.errors import ErrorInfo


class Lane(Enum):
    """Which queue of a mailbox a message waits in."""

    SYSTEM = "system"
    RECOVERY = "recovery"
    BUSINESS = "business"


class Overflow(Enum):
    """What happens to a message that meets a full mailbox."""

    REFUSE = "refuse"
    CONFLATE = "conflate"
    SIGNAL = "signal"


@attrs.frozen(kw_only=True)
class Message:
    """The root of all messages: immutable plain data."""

    lane: ClassVar[Lane] = Lane.BUSINESS
    overflow: ClassVar[Overflow] = Overflow.REFUSE

    def conflation_key(self) -> Hashable:
        """Name what the message is about; used only where ``overflow`` is CONFLATE, within one type."""
        return None


@attrs.frozen(kw_only=True)
class Request(Message):
    """A message that wants exactly one `Reply`; ``deadline`` is in monotonic seconds, ``reply_to`` an address."""

    correlation_id: str
    deadline: float
    reply_to: str


@attrs.frozen(kw_only=True)
class Reply(Message):
    """The answer to the request with the same ``correlation_id``."""

    correlation_id: str


@attrs.frozen(kw_only=True)
class RequestFailed(Reply):
    """There is no proper answer: the request was refused, came too late, or its handler failed.

    It travels in the recovery lane, since an actor that recovers by asking others must learn of a refusal.
    """

    lane: ClassVar[Lane] = Lane.RECOVERY

    error: ErrorInfo


@attrs.frozen(kw_only=True)
class SystemMessage(Message):
    """Supervision's own messages: they overtake everything and are never refused."""

    lane: ClassVar[Lane] = Lane.SYSTEM


@attrs.frozen(kw_only=True)
class StopActor(SystemMessage):
    """Stop in order: `stopping` runs, waiting messages stay in the mailbox, what is in hand is answered with why."""

    reason: str = "it was asked to"


@attrs.frozen(kw_only=True)
class StopTree(SystemMessage):
    """Stop every actor in reverse order of dependency; for the supervisor."""

    reason: str


@attrs.frozen(kw_only=True)
class ActorStarted(SystemMessage):
    """An incarnation finished its `started` hook."""

    name: str
    incarnation: int


@attrs.frozen(kw_only=True)
class ActorEnded(SystemMessage):
    """An incarnation ended in order."""

    name: str
    incarnation: int


@attrs.frozen(kw_only=True)
class ActorFailed(SystemMessage):
    """An incarnation failed and ended. The first four fields are the same for every kind of failure.

    ``context`` says where: ``started``, ``handler``, ``drained``, ``stopping``, ``task``, ``callback``,
    ``factory``, ``hung``, ``thread`` (its thread ended) or ``ended`` (it stopped although it should stay).
    """

    supervisor: str
    context: str
    reason: ErrorInfo
    offender: str
    incarnation: int
    at: datetime
    message_type: str = ""
    trace: str = ""


@attrs.frozen(kw_only=True)
class ActorRestarting(SystemMessage):
    """A failed actor will be started again after ``delay_s``; ``attempt`` counts failures without a quiet period."""

    name: str
    attempt: int
    delay_s: float


@attrs.frozen(kw_only=True)
class ActorRestarted(SystemMessage):
    """A new incarnation of the actor is up; ``restarts`` counts them since the tree started."""

    name: str
    incarnation: int
    restarts: int


@attrs.frozen(kw_only=True)
class ActorGaveUp(SystemMessage):
    """The actor stays down: it is not to be restarted, or it failed too often."""

    name: str
    reason: str


@attrs.frozen(kw_only=True)
class Escalated(SystemMessage):
    """An actor failed too often. ``rebuilt`` is the group that gets a fresh start; empty: the tree stops."""

    offender: str
    reason: str
    rebuilt: tuple[str, ...]


@attrs.frozen(kw_only=True)
class MailboxOverflowed(SystemMessage):
    """Messages that may not be refused went beyond the bound; told once until the mailbox is half empty."""

    name: str
    depth: int
    bound: int


@attrs.frozen(kw_only=True)
class TreeStopped(SystemMessage):
    """No actor runs any more. ``failed`` tells a stop after failures from one that was asked for."""

    reason: str
    failed: bool
