"""Every kind of entry that the journal takes, each described in one place.

To add a kind: write its message, describe it with an `EntryKind`, list it here, and append a step to
`supervision.store.journal_schema.MIGRATIONS` if it needs a table. The journal's handlers, its batch, the journal
without a disk and what a restarted actor reads back all walk this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from actors.kernel.messages import Message
from supervision.store.entries.executions import EXECUTION
from supervision.store.entries.kind import EntryKind
from supervision.store.entries.limits import BASELINE, ORDER_ID_FLOOR
from supervision.store.entries.liquidations import GRACE, LATCH, STEP
from supervision.store.entries.orders import INTENT, MODIFICATION, NOT_SENT, NOTE, TRANSITION

_KINDS: Final[tuple[EntryKind[Any], ...]] = (
    INTENT,
    MODIFICATION,
    TRANSITION,
    NOTE,
    NOT_SENT,
    EXECUTION,
    LATCH,
    STEP,
    GRACE,
    BASELINE,
    ORDER_ID_FLOOR,
)

ENTRIES: Final[Mapping[type[Message], EntryKind[Any]]] = MappingProxyType(
    {kind.message: kind for kind in _KINDS}
)
"""By the message that records one."""
