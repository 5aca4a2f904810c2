"""What the evidence says of an order that the broker does not show: the rules of `docs/rules.md` 1, as one function.

Two questions are kept apart. *Can it still fill?* decides what is reserved: DEAD and FILLED reserve nothing. *Did it
fill?* is answered by executions and, where those do not come, by the position.

::

    the word about it            two reads apart    the second begins          besides
    refused, code not listed     2 s                after the refusal          -
    lost with its session        5 s                8 s after bytes, session,  10147 where it is not wanted any more
                                                    1101 or 1102
    silence in a living session  5 s                8 s after the same         10 s of silence, and 10147
    of another client id         5 s                60 s after the same        10147 cannot be had
    of the first id, and the session has a fallback id: nothing is proved, and the first id is tried again every 60 s

Each of these presupposes reads that are complete and a position that is what it was. Where it is not, or where
completed orders or executions stay silent: 10147, and a position that has not changed for 30 s. A position that moved
by exactly the order's remainder: it filled. What is sent after an order of its contract was declared dead by absence is
not declared so itself for 60 s: being wrong turns a position once, not twice.

Pure: evidence in, verdict out. Times are monotonic seconds. The numbers are `Limits`; what no gateway has confirmed is
in `docs/assumptions.md`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import attrs

from actors.logic.frozen import evolve

QUANTITY_TOLERANCE: Final = 1e-6


class Fate(StrEnum):
    """Whether an order can still fill; FILLED: it cannot, and what was left of it filled, unproven by an execution."""

    UNKNOWN = "unknown"
    DEAD = "dead"
    FILLED = "filled"


class Why(StrEnum):
    """The row of the rules that a verdict follows."""

    CUT_OFF = "the gateway is cut off from IB"
    NOT_READ = "no read since then has been without it"
    FALLBACK_ID = (
        "the session has a fallback client id, which proves nothing of the first one's orders"
    )
    SILENT_NOT_LONG = "the broker is silent about it, but not for long enough"
    READ_AGAIN = "a later read has to agree"
    POSITION_SETTLES = "the position has not stood still for long enough"
    PROBE = "a cancel has to be answered with 10147"
    PROBE_SILENT = "even its cancel is not answered in this session"
    OUTSTANDING = "another order of the contract was declared dead by its absence a moment ago"
    REFUSED = "refused, and two reads do not show it"
    ABSENT = "the broker knows nothing of it; it is not resent"
    MOVED = "the position moved by exactly its remainder"


class Client(StrEnum):
    """Whose order it is, seen from the session that was read."""

    SAME = "same"
    OTHER = "other"
    """The session has the configured id again; the order was sent under a fallback."""
    FALLBACK = "fallback"
    """The session has a fallback id; the order was sent under another one."""


class Position(StrEnum):
    """How the contract's position compares with what it was at sending plus the known executions."""

    SAME = "same"
    FILLED = "filled"
    """It moved by exactly the order's remainder."""
    MOVED = "moved"
    UNKNOWN = "unknown"


class Probe(StrEnum):
    """The cancel of an order that nobody shows."""

    IMPOSSIBLE = "impossible"
    """Its id is not known, names another order, or belongs to another client id."""
    NOT_ASKED = "not_asked"
    ASKED = "asked"
    GONE = "gone"
    """The broker answered 10147: it knows no such order."""


class Step(StrEnum):
    """What would bring the next piece of evidence."""

    WAIT = "wait"
    READ = "read"
    PROBE = "probe"
    NEW_SESSION = "new_session"


@attrs.frozen(kw_only=True)
class Limits:
    """The rules' numbers, in seconds; see `actors.sections.orders`."""

    unknown_after_s: float
    absent_apart_s: float
    absent_after_s: float
    other_client_after_s: float
    refused_apart_s: float
    probe_answer_s: float
    position_unchanged_s: float
    outstanding_s: float
    first_id_again_s: float


@attrs.frozen(kw_only=True)
class Absences:
    """The reads of one session, in a row, that do not show the order; each number is when a read began.

    ``first`` and ``last`` are of all of them, ``first_complete`` and ``last_complete`` of the complete ones.
    ``unchanged_since`` is the first of those in a row that told the last one's position.
    """

    first: float
    last: float
    first_complete: float | None
    last_complete: float | None
    quantity: float
    unchanged_since: float

    @classmethod
    def begin(cls, began_at: float, *, complete: bool, quantity: float) -> Absences:
        """Note the first read without the order."""
        return cls(
            first=began_at,
            last=began_at,
            first_complete=began_at if complete else None,
            last_complete=began_at if complete else None,
            quantity=quantity,
            unchanged_since=began_at,
        )

    def then(self, began_at: float, *, complete: bool, quantity: float) -> Absences:
        """Note one more."""
        known = self.first_complete
        moved = abs(quantity - self.quantity) > QUANTITY_TOLERANCE
        return evolve(
            self,
            last=began_at,
            first_complete=began_at if complete and known is None else known,
            last_complete=began_at if complete else self.last_complete,
            quantity=quantity,
            unchanged_since=began_at if moved else self.unchanged_since,
        )


@attrs.frozen(kw_only=True)
class Evidence:
    """What is known of an order that is not shown.

    ``bytes_at``: when the last bytes left that could have made it. ``heard_at``: the last word about it, its bytes
    included. ``sound_since``: the latest of the session's begin, 1101 and 1102; None while the gateway is cut off.
    ``is_refused``: the broker refused it with a code that does not say what became of it. ``is_wanted``: nobody asked
    for its cancel. ``outstanding_since``: when an order of the contract was declared dead by its absence, before this
    one left: those that were lost together reserved no more than what was held, and are settled together.
    """

    now: float
    bytes_at: float
    heard_at: float
    session_began_at: float
    sound_since: float | None
    client: Client = Client.SAME
    is_refused: bool = False
    is_wanted: bool = True
    absences: Absences | None = None
    position: Position = Position.SAME
    probe: Probe = Probe.NOT_ASKED
    probed_at: float | None = None
    outstanding_since: float | None = None

    @property
    def is_lost_with_its_session(self) -> bool:
        """Whether nothing has been sent or heard of it in this session."""
        return max(self.bytes_at, self.heard_at) < self.session_began_at


@attrs.frozen(kw_only=True)
class Verdict:
    """What became of the order, why, and the next step; ``at`` is when that step is due (monotonic seconds)."""

    fate: Fate
    why: Why
    step: Step = Step.WAIT
    at: float | None = None


def judge(evidence: Evidence, limits: Limits) -> Verdict:
    """Say what became of an order, or what has to be done to know it."""
    if evidence.sound_since is None:
        return Verdict(fate=Fate.UNKNOWN, why=Why.CUT_OFF)
    if evidence.client is Client.FALLBACK and not evidence.is_refused:
        due_at = evidence.session_began_at + limits.first_id_again_s
        return _unknown(Why.FALLBACK_ID, Step.NEW_SESSION, due_at)
    if evidence.absences is None:
        silent = _not_silent_for_long(evidence, limits)
        return silent or _unknown(Why.NOT_READ, Step.READ, evidence.now)
    if evidence.position is Position.FILLED:
        return _if_filled(evidence.absences, limits)
    silent = _not_silent_for_long(evidence, limits)
    unread = _without_reads(evidence, evidence.absences, limits)
    unproved = _without_probe(evidence, limits)
    # The cancel of an order that is wanted may end one that lives: first the reads have to agree that it is gone.
    first, second = (unread, unproved) if evidence.is_wanted else (unproved, unread)
    return (
        silent
        or first
        or second
        or _while_position_moves(evidence, evidence.absences, limits)
        or _while_another_is_out(evidence, limits)
        or Verdict(fate=Fate.DEAD, why=Why.REFUSED if evidence.is_refused else Why.ABSENT)
    )


def _unknown(why: Why, step: Step, at: float) -> Verdict:
    return Verdict(fate=Fate.UNKNOWN, why=why, step=step, at=at)


def _if_filled(absences: Absences, limits: Limits) -> Verdict:
    """Absent twice, and the position says that it filled; both reads have to say so."""
    due_at = absences.unchanged_since + limits.refused_apart_s
    if absences.last < due_at:
        return _unknown(Why.READ_AGAIN, Step.READ, due_at)
    return Verdict(fate=Fate.FILLED, why=Why.MOVED)


def _not_silent_for_long(evidence: Evidence, limits: Limits) -> Verdict | None:
    """In a session that lives on, the broker gets its time to speak of the order."""
    due_at = evidence.heard_at + limits.unknown_after_s
    if evidence.is_refused or evidence.is_lost_with_its_session or evidence.now >= due_at:
        return None
    return _unknown(Why.SILENT_NOT_LONG, Step.READ, due_at)


def _is_doubtful(evidence: Evidence, absences: Absences) -> bool:
    """Whether the position, or a part that stayed silent, leaves open that it filled."""
    return evidence.position is not Position.SAME or absences.last_complete != absences.last


def _without_probe(evidence: Evidence, limits: Limits) -> Verdict | None:
    """Ask for the probe where it is required, and say while its answer is missing."""
    absences = evidence.absences
    doubtful = absences is not None and _is_doubtful(evidence, absences)
    lives_on = not (evidence.is_refused or evidence.is_lost_with_its_session)
    unwanted = not (evidence.is_wanted or evidence.is_refused)
    if not (lives_on or unwanted or doubtful) or evidence.probe is Probe.GONE:
        return None
    if evidence.probe is Probe.NOT_ASKED:
        return _unknown(Why.PROBE, Step.PROBE, evidence.now)
    if evidence.probe is Probe.ASKED:
        due_at = (evidence.probed_at or 0.0) + limits.probe_answer_s
        if evidence.now < due_at:
            return _unknown(Why.PROBE, Step.WAIT, due_at)
    if lives_on:
        return _unknown(Why.PROBE_SILENT, Step.NEW_SESSION, evidence.now)
    return None  # a new session that does not answer either, or no id to ask about: the reads have to do


def _without_reads(evidence: Evidence, absences: Absences, limits: Limits) -> Verdict | None:
    """Ask for the second read where the two that there are do not suffice."""
    doubtful = _is_doubtful(evidence, absences)
    first = absences.first if doubtful else absences.first_complete
    last = absences.last if doubtful else absences.last_complete
    if first is None or last is None:  # never: the last read is complete where nothing is doubtful
        return _unknown(Why.NOT_READ, Step.READ, evidence.now)
    due_at = max(first + _apart_s(evidence, limits), _earliest(evidence, limits))
    if last < due_at:
        return _unknown(Why.READ_AGAIN, Step.READ, due_at)
    return None


def _while_position_moves(evidence: Evidence, absences: Absences, limits: Limits) -> Verdict | None:
    """Where it may have filled unseen, the position has to stand still."""
    settled_at = absences.unchanged_since + limits.position_unchanged_s
    if _is_doubtful(evidence, absences) and absences.last < settled_at:
        return _unknown(Why.POSITION_SETTLES, Step.READ, settled_at)
    return None


def _apart_s(evidence: Evidence, limits: Limits) -> float:
    return limits.refused_apart_s if evidence.is_refused else limits.absent_apart_s


def _earliest(evidence: Evidence, limits: Limits) -> float:
    """When the second read may begin at the earliest; a refusal came on the order's own way, and waits for nothing."""
    if evidence.is_refused:
        return evidence.bytes_at
    other = evidence.client is Client.OTHER
    after_s = limits.other_client_after_s if other else limits.absent_after_s
    return max(evidence.bytes_at, evidence.sound_since or 0.0) + after_s


def _while_another_is_out(evidence: Evidence, limits: Limits) -> Verdict | None:
    """The bound on being wrong: one order at a time is dead by nothing but its absence."""
    if evidence.is_refused or evidence.outstanding_since is None:
        return None
    due_at = evidence.outstanding_since + limits.outstanding_s
    if evidence.now >= due_at:
        return None
    return _unknown(Why.OUTSTANDING, Step.READ, due_at)
