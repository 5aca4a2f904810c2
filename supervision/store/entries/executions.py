"""Entries of executions, and with them which contracts were ever traded."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import attrs

from actors import messages as m
from actors.logic.order_ids import operator_of
from supervision.store.entries.kind import EntryKind, Horizon
from supervision.store.journal_codec import execution_content, read_execution
from supervision.store.journal_rows import Query, Rows, as_text, decode, insert
from supervision.store.journal_values import StoredExecution
from supervision.store.volatile_store import VolatileStore

_TRADED: Final = """
    INSERT OR IGNORE INTO traded (operator, con_id)
    SELECT substr(order_ref, 1, instr(order_ref, ':') - 1), json_extract(content, '$.contract.con_id')
    FROM executions WHERE exec_id = :exec_id
    AND instr(order_ref, ':') > 1 AND json_extract(content, '$.contract.con_id') IS NOT NULL"""
"""Remembers operator and contract of an execution for good, whatever is forgotten of the orders."""


def execution_rows(
    *,
    exec_id: str,
    order_ref: str,
    content: Any,
    at: datetime,
    received_at: datetime | None = None,
) -> Rows:
    """Write an execution; one whose ``exec_id`` is known changes nothing (ORD-7)."""
    row = insert(
        "executions",
        "IGNORE",
        exec_id=exec_id,
        order_ref=order_ref,
        content=content,
        at=at,
        received_at=received_at,
    )
    return Rows(statements=(row, (_TRADED, {"exec_id": exec_id})))


def _rows(message: m.Executed, now: datetime) -> Rows:
    execution = message.execution
    return execution_rows(
        exec_id=execution.exec_id,
        order_ref=execution.order_ref,
        content=execution_content(execution),
        at=execution.executed_at or now,
        received_at=message.received_at,
    )


def _hold(store: VolatileStore, message: m.Executed) -> None:
    store.executions.setdefault(message.execution.exec_id, message.execution)


def _read(told: m.JournalRead, query: Query, horizon: Horizon) -> m.JournalRead:
    return attrs.evolve(
        told,
        executions=tuple(map(read_execution, executions(query, since=horizon.executions_since))),
        traded=traded(query),
    )


def _recall(told: m.JournalRead, store: VolatileStore) -> m.JournalRead:
    held = tuple(store.executions.values())
    return attrs.evolve(
        told,
        executions=held,
        traded=tuple((operator_of(item.order_ref) or "", item.contract.con_id) for item in held),
    )


EXECUTION: Final = EntryKind(message=m.Executed, rows=_rows, hold=_hold, read=_read, recall=_recall)


def executions(query: Query, *, since: datetime | None = None) -> tuple[StoredExecution, ...]:
    """Read executions, oldest first; ``since`` keeps those at or after it."""
    sql = "SELECT exec_id, order_ref, content, at FROM executions"
    rows = (
        query(sql + " ORDER BY at, rowid")
        if since is None
        else query(sql + " WHERE at >= ? ORDER BY at, rowid", as_text(since))
    )
    return tuple(
        StoredExecution(
            exec_id=exec_id,
            order_ref=order_ref,
            content=decode("content", content),
            at=decode("at", at),
        )
        for exec_id, order_ref, content, at in rows
    )


def traded(query: Query) -> tuple[tuple[str, int], ...]:
    """Read every contract that was ever traded, with the operator id at the head of its orders."""
    return tuple(
        (operator, con_id)
        for operator, con_id in query("SELECT operator, con_id FROM traded ORDER BY 1, 2")
    )
