"""How the journal keeps the latch in two places, its own file and the marker, and what it says of both (D14).

::

    to latch           the marker first, then the journal's commit; one of the two is enough to answer
    to take it back    the journal's commit first, then the marker; only both are enough
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

import attrs

from actors import messages as m
from actors.errors import JournalError
from actors.kernel.messages import Reply, Request
from actors.model.orders import CloseReason
from actors.ports import EventLog
from supervision.store.entries.liquidations import is_to_be_kept
from supervision.store.journal_rows import Query
from supervision.store.latch_marker import LatchMarker, Mark
from supervision.store.latch_verdict import latch_of

_KNOWS_SOMETHING: Final = (
    "SELECT EXISTS (SELECT 1 FROM intents) OR EXISTS (SELECT 1 FROM traded)"
    " OR EXISTS (SELECT 1 FROM latch) OR EXISTS (SELECT 1 FROM executions)"
)


class LatchKeeper:
    """Used by the journal's actor, in its thread. ``marker`` None: the latch has its place in the journal alone."""

    def __init__(self, marker: LatchMarker | None, log: EventLog) -> None:
        self._marker = marker
        self._log = log
        self._marked: set[str] = set()

    def prepare(self) -> None:
        """Take the marker's room; raises `JournalError`."""
        if self._marker is not None:
            self._marker.prepare()

    # --- writing --------------------------------------------------------------------------------------------------

    def gathered(self, message: object) -> None:
        """Mark a latch before anything else happens with it; what the disk does not take is left to the journal."""
        if self._marker is None or not isinstance(message, m.RecordLatch):
            return
        if not is_to_be_kept(message):
            return
        try:
            self._marker.write(_mark(message))
        except JournalError as error:
            self._log("latch_marker_failed", level="ERROR", why=str(error))
        else:
            self._marked.add(message.correlation_id)

    def committed(self, request: Request, answer: Reply) -> Reply:
        """Give the answer to what the journal has committed; raises `JournalError` where the marker is still owed."""
        is_marked = request.correlation_id in self._marked
        self._marked.discard(request.correlation_id)
        if self._marker is not None and isinstance(request, m.RecordLatch) and not is_marked:
            # It comes off last; and what the disk did not take when it came is taken now.
            self._marker.write(_mark(request))
        return answer

    def refused(self, request: Request) -> Reply | None:
        """Give the answer to what the journal could not commit: a latch that is marked is durable; else None."""
        if request.correlation_id not in self._marked:
            return None
        self._marked.discard(request.correlation_id)
        return m.LatchDurable(correlation_id=request.correlation_id, latched=True, in_journal=False)

    # --- reading --------------------------------------------------------------------------------------------------

    def told(self, read: m.JournalRead, now: datetime, new_id: Callable[[], str]) -> m.JournalRead:
        """Add what the marker says to what the journal says; ``new_id`` names a latch that nothing else is known of."""
        if self._marker is None:
            return read
        unknown = Mark(latched=True, liquidation_id=new_id(), reason="", at=now)
        verdict = latch_of(_in_journal(read, now), self._marker.read(), unknown)
        if verdict.mark is None:
            return attrs.evolve(read, latch_agrees=verdict.agrees)
        mark = verdict.mark
        return attrs.evolve(
            read,
            latched=True,
            latch_reason=mark.reason,
            liquidation_id=mark.liquidation_id,
            liquidation_step=(
                read.liquidation_step if mark.liquidation_id == read.liquidation_id else None
            ),
            close_reason=mark.close_reason,
            latch_standing=mark.standing,
            latch_by=(mark.who, mark.why),
            latch_agrees=verdict.agrees,
        )


def is_empty(query: Query) -> bool:
    """Whether the journal knows of no order and no latch."""
    return not query(_KNOWS_SOMETHING)[0][0]


def _mark(message: m.RecordLatch) -> Mark:
    return Mark(
        latched=message.latched,
        liquidation_id=message.liquidation_id,
        reason=message.reason,
        at=message.at,
        account=message.account,
        standing=message.standing,
        close_reason=message.close_reason,
        who=message.who,
        why=message.why,
    )


def _in_journal(read: m.JournalRead, now: datetime) -> Mark | None:
    if read.latch_id is None:
        return None
    return Mark(
        latched=read.latched,
        liquidation_id=read.latch_id,
        reason=read.latch_reason or "",
        at=now,
        standing=read.latch_standing,
        close_reason=read.close_reason or CloseReason.DISCONNECT,
        who=read.latch_by[0],
        why=read.latch_by[1],
    )
