"""What the journal has to know of a kind of entry."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import datetime
from typing import Any, Generic, TypeVar

import attrs

from actors import messages as m
from actors.kernel.messages import Reply
from supervision.store.journal_rows import Query, Rows
from supervision.store.volatile_store import VolatileStore

M = TypeVar("M")


@attrs.frozen(kw_only=True)
class Horizon:
    """How far back a restarted actor reads: executions, and orders that have ended."""

    executions_since: datetime
    ended_since: datetime


def _no_more(told: m.JournalRead, *_: Any) -> m.JournalRead:
    return told


@attrs.frozen(kw_only=True)
class EntryKind(Generic[M]):
    """One kind of entry: all that the journal, on the disk or without, has to know of it."""

    message: type[M]
    """What says one: a message to the journal, or a part of an `OrderUpdated`."""

    rows: Callable[[M, datetime], Rows]
    """How it is put into rows, given the present time; raises ValueError or TypeError for what cannot be stored."""

    hold: Callable[[VolatileStore, M], None]
    """How a journal without a disk holds it."""

    answer: Callable[[M], Reply] | None = None
    """What answers a request, once the entry is durable; None for what nobody waits for."""

    urgent: bool = True
    """False: it may wait a moment for a commit that it can share; nobody needs it at once."""

    is_kept: Callable[[M], bool] = lambda _: True
    """Whether it is written later when the disk refuses it now: what has happened is; what is only asked for is not."""

    kept_once: Callable[[M], Hashable] = lambda _: None
    """Under which key it is kept only once, since its asker repeats it; None: each one is kept."""

    from_the_dead: Callable[[M], bool] = lambda _: False
    """Whether it is accepted from an incarnation that was replaced right after it said so."""

    read: Callable[[m.JournalRead, Query, Horizon], m.JournalRead] = _no_more
    """Adds to what a restarted actor is told, from the rows."""

    recall: Callable[[m.JournalRead, VolatileStore], m.JournalRead] = _no_more
    """Adds to what a restarted actor is told, without a disk."""


def nothing_known(correlation_id: str) -> m.JournalRead:
    """Begin an answer that each kind of entry adds to."""
    return m.JournalRead(
        correlation_id=correlation_id,
        orders=(),
        executions=(),
        latched=False,
        latch_reason=None,
        liquidation_id=None,
        liquidation_step=None,
        baselines=(),
        order_id_floors=(),
    )
