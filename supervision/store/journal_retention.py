"""What the journal forgets: orders that ended long ago, with all that belongs to them.

It keeps whatever a recovery may need however old it is: open orders, the newest latch and its steps, risk baselines,
order id floors, which contracts were ever traded, and the audit trail of who latched and re-armed. Of orders that were
never sent it keeps a bounded number.
"""

from __future__ import annotations

from typing import Any, Final

_OLD_ORDERS: Final = (
    "(SELECT order_ref FROM intents WHERE NOT is_open AND created_at < ? ORDER BY created_at LIMIT ?)"
)
_OF_OLD_ORDERS: Final = (
    "DELETE FROM transitions WHERE order_ref IN " + _OLD_ORDERS,  # noqa: S608 - constants
    "DELETE FROM modifications WHERE order_ref IN " + _OLD_ORDERS,  # noqa: S608 - constants
    "DELETE FROM notes WHERE order_ref IN " + _OLD_ORDERS,  # noqa: S608 - constants
    "DELETE FROM intents WHERE order_ref IN " + _OLD_ORDERS,  # noqa: S608 - constants
)
"""What belongs to an order goes before the order itself."""

_ORPHANS: Final = (
    "DELETE FROM transitions WHERE seq IN (SELECT seq FROM transitions ORDER BY seq LIMIT ?)"
    " AND at < ? AND order_ref NOT IN (SELECT order_ref FROM intents)"
)
"""Transitions of adopted orders, which have no intent; only the oldest rows are looked at, whatever the size."""

_ORPHANED_NOTES: Final = _ORPHANS.replace("transitions", "notes")

MOST_NOT_SENT: Final = 100_000
"""So many orders that were not sent are kept, the newest: a strategy that runs wild must not fill the disk."""

_NOT_SENT: Final = "DELETE FROM not_sent WHERE at < ? OR seq <= (SELECT max(seq) FROM not_sent) - ?"

_EXECUTIONS: Final = "DELETE FROM executions WHERE at < ?"
_STEPS: Final = (
    "DELETE FROM steps WHERE at < ?"
    " AND run_id IS NOT (SELECT liquidation_id FROM latch ORDER BY seq DESC LIMIT 1)"
)


def forgetting(before: str, most: int) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """Name the deletions, in their order.

    ``before`` is a time as the journal writes it; ``most`` bounds the orders, so that one call stays short.
    """
    return (
        *((sql, (before, most)) for sql in _OF_OLD_ORDERS),
        (_ORPHANS, (most, before)),
        (_ORPHANED_NOTES, (most, before)),
        (_NOT_SENT, (before, MOST_NOT_SENT)),
        (_EXECUTIONS, (before,)),
        (_STEPS, (before,)),
    )
