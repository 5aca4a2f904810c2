"""Every kind of entry that the journal takes, each described in one place.

To add a kind: write its message, describe it with an `EntryKind`, list it here, and append a step to
`supervision.store.journal_schema.MIGRATIONS` if it needs a table. The journal's handlers, its batch, the journal
without a disk and what a restarted actor reads back all walk this table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs

from actors import messages as m
from actors.kernel.messages import Message
from supervision.store.entries.accounts import PIN
from supervision.store.entries.executions import EXECUTION
from supervision.store.entries.kind import EntryKind
from supervision.store.entries.limits import BASELINE, ORDER_ID_FLOOR
from supervision.store.entries.liquidations import GRACE, LATCH, STEP
from supervision.store.entries.orders import (
    INTENT,
    MODIFICATION,
    NOT_SENT,
    NOTE,
    TRANSITION,
    UNDONE,
    UNJOURNALED,
)
from supervision.store.volatile_store import VolatileStore

_KINDS: Final[tuple[EntryKind[Any], ...]] = (
    INTENT,
    UNJOURNALED,
    MODIFICATION,
    UNDONE,
    TRANSITION,
    NOTE,
    NOT_SENT,
    EXECUTION,
    LATCH,
    STEP,
    GRACE,
    BASELINE,
    ORDER_ID_FLOOR,
    PIN,
)

ENTRIES: Final[Mapping[type, EntryKind[Any]]] = MappingProxyType(
    {kind.message: kind for kind in _KINDS}
)
"""By what says one."""

TOLD_ALONE: Final[tuple[type[Message], ...]] = tuple(
    kind for kind in ENTRIES if issubclass(kind, Message)
)
"""The messages that are one entry each; the other kinds come in an `OrderUpdated` only."""


def with_uncommitted(told: m.JournalRead, entries: Iterable[object]) -> m.JournalRead:
    """Add to what was read of the file what is kept in memory until the disk takes it."""
    store = VolatileStore.of(told)
    for entry in entries:
        ENTRIES[type(entry)].hold(store, entry)
    added = told
    for kind in ENTRIES.values():
        added = kind.recall(added, store)
    return attrs.evolve(added, traded=tuple(dict.fromkeys((*told.traded, *added.traded))))
