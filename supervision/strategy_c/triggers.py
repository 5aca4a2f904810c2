"""What may trigger Strategy C: cause × evidence → reaction (D20, RULES 3). Pure; README prints the same table.

Only what the broker's side shows liquidates at once. Our own defects reconnect first, on one budget per incident; data,
accounts, callers and operators have rows of their own. Rows about windows and sessions come before the others: where
several tolerate a loss of the link, it is tolerated for the longest of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import attrs

from actors.model.connection import OUR_OWN, DisconnectCause, FailedAttempt
from actors.sections.strategy_c import StrategyC


class Row(StrEnum):
    """The rows of the table by name; logs and `explain` use these words."""

    PLANNED_WINDOW = "planned window"
    OUT_OF_SESSION = "out of session"
    LINK_LOST = "link lost"
    OWN_DEFECT = "own defect"
    CLIENT_ID_HELD = "client id held"
    DUTY_UNDONE = "duty undone"
    RESTART_LIMIT = "restart limit"
    DATA_DEAD = "data frozen or dead"
    DATA_QUIET = "data quiet"
    LOSS_LIMIT = "loss limit"
    RESIDUAL = "residual"
    OTHER_ACCOUNT = "other account"
    NONSENSE = "nonsense"
    OPERATOR = "operator"


@attrs.frozen
class Rule:
    """One row in words: what was seen, what proves it, and what is done then."""

    cause: str
    evidence: str
    reaction: str


TABLE: Final[Mapping[Row, Rule]] = MappingProxyType(
    {
        Row.PLANNED_WINDOW: Rule(
            "the link is lost inside planned maintenance",
            "the window's end has passed, and nothing is reconciled",
            "liquidate",
        ),
        Row.OUT_OF_SESSION: Rule(
            "the link is lost while nothing that is held is in session",
            "not reconciled 15 minutes before the first such session",
            "liquidate at that open; else it is told",
        ),
        Row.LINK_LOST: Rule(
            "the socket is closed or reset by the other side, silence, IB's 1100",
            "none of the rows above, and `grace_seconds` (with everything covered: `covered_grace_s`) are over",
            "liquidate",
        ),
        Row.OWN_DEFECT: Rule(
            "our own defect: an actor of the link was restarted, a task failed, broken framing, an overflow",
            "15 s unsound in sum, or three within 60 s; a refused or timed-out connect makes it the row above",
            "reconnect first, then liquidate",
        ),
        Row.CLIENT_ID_HELD: Rule(
            "after that the client id is still held (326)",
            "60 s",
            "reconnect first, then liquidate",
        ),
        Row.DUTY_UNDONE: Rule(
            "a duty is undone while something is held in session: prices and stops, losses, the truth of orders",
            "60 s; 180 s",
            "call a person; rebuild, then liquidate",
        ),
        Row.RESTART_LIMIT: Rule(
            "an actor passed its restart limit", "at once", "rebuild, liquidate, stop"
        ),
        Row.DATA_DEAD: Rule(
            "data of what is held or traded is frozen or dead",
            "300 s of an open session without a halt",
            "liquidate",
        ),
        Row.DATA_QUIET: Rule(
            "one contract is quiet, suspect, without definition or quotes",
            "-",
            "nothing is sold; told, nothing is opened in it",
        ),
        Row.LOSS_LIMIT: Rule("a daily or weekly loss limit is passed", "two looks", "liquidate"),
        Row.RESIDUAL: Rule(
            "the account changed by what positions and transfers do not explain",
            "more than 0.5 % and 100, for 60 s",
            "nothing is sold; nothing is opened, a person is called until it is acknowledged",
        ),
        Row.OTHER_ACCOUNT: Rule(
            "another account answers at the reconnect", "-", "nothing is sent; call a person"
        ),
        Row.NONSENSE: Rule(
            "nonsense of a caller, an operator, or the broker's data",
            "-",
            "answered, or put aside",
        ),
        Row.OPERATOR: Rule(
            "an operator asks for it", "-", "liquidate; answered when the latch is durable"
        ),
    }
)


@attrs.frozen(kw_only=True)
class Loss:
    """What is known when the link is lost. ``session_at``: the first session of what is held; None: one is on.

    ``at`` and ``session_at`` are wall-clock times: windows and sessions are told so. ``is_covered``: stops that rest at
    the broker cover all that is held, confirmed.
    """

    at: datetime
    cause: DisconnectCause
    planned_until: datetime | None = None
    session_at: datetime | None = None
    is_covered: bool = False


@attrs.frozen(kw_only=True)
class Incident:
    """Our own defects that belong together, in monotonic seconds: one budget, which is new after a stable minute.

    ``unsound_s``: how long the link was unsound before the running loss, in sum. ``lost_at``: since when it is now.
    """

    failures: tuple[float, ...] = ()
    unsound_s: float = 0.0
    lost_at: float | None = None
    sound_at: float | None = None

    def lost(self, now: float, limits: StrategyC) -> Incident:
        """Count one more failure; a link that was sound for long enough has begun a new incident."""
        is_new = self.sound_at is not None and now - self.sound_at >= limits.own_stable_s
        before = Incident() if is_new else self
        recent = tuple(at for at in before.failures if now - at < limits.own_window_s)
        return attrs.evolve(before, failures=(*recent, now), lost_at=now, sound_at=None)

    def restored(self, now: float) -> Incident:
        """The link is sound again."""
        if self.lost_at is None:
            return self
        unsound_s = self.unsound_s + now - self.lost_at
        return attrs.evolve(self, unsound_s=unsound_s, lost_at=None, sound_at=now)

    def left_s(self, limits: StrategyC) -> float:
        """How long the running loss may go on from its begin."""
        if len(self.failures) >= limits.own_failures:
            return 0.0
        return max(0.0, limits.own_unsound_s - self.unsound_s)


@attrs.frozen(kw_only=True)
class Tolerance:
    """For how many seconds from its begin a loss is tolerated, and by which row; 0: it triggers now."""

    row: Row
    for_s: float


def tolerance(loss: Loss, incident: Incident, limits: StrategyC) -> Tolerance:
    """Say how long a loss of the link is tolerated. ``incident`` counts it already where it is our own."""
    if loss.cause in OUR_OWN:
        last = Tolerance(row=Row.OWN_DEFECT, for_s=incident.left_s(limits))
    else:
        covered_s = limits.covered_grace_s if loss.is_covered else 0.0
        last = Tolerance(row=Row.LINK_LOST, for_s=max(limits.grace_seconds, covered_s))
    return max((*_by_the_clock(loss, limits), last), key=lambda each: each.for_s)


def after_attempt(
    attempt: FailedAttempt, loss: Loss, running: Tolerance, limits: StrategyC
) -> Tolerance:
    """Say how long a loss of our own is tolerated from its begin, once an attempt to reconnect has failed."""
    if running.row not in (Row.OWN_DEFECT, Row.CLIENT_ID_HELD):
        return running
    if attempt is FailedAttempt.CLIENT_ID_HELD:
        held = Tolerance(row=Row.CLIENT_ID_HELD, for_s=limits.client_id_held_s)
        return max((running, held), key=lambda each: each.for_s)
    if attempt is FailedAttempt.NOT_OURS:
        return running
    theirs = attrs.evolve(loss, cause=DisconnectCause.CONNECT_FAILED)
    return tolerance(theirs, Incident(), limits)


def _by_the_clock(loss: Loss, limits: StrategyC) -> tuple[Tolerance, ...]:
    """The rows about windows and sessions, in the table's order."""
    found = []
    if loss.planned_until is not None:
        for_s = (loss.planned_until - loss.at).total_seconds()
        found.append(Tolerance(row=Row.PLANNED_WINDOW, for_s=for_s))
    if loss.session_at is not None:
        acts_at = loss.session_at - timedelta(seconds=limits.before_session_s)
        for_s = (acts_at - loss.at).total_seconds()
        found.append(Tolerance(row=Row.OUT_OF_SESSION, for_s=for_s))
    return tuple(each for each in found if each.for_s > 0.0)
