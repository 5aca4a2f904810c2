"""A batch of journal records: gathered in memory, checked one by one, committed together (group commit)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from actors.errors import JournalError
from supervision.store.journal_values import Writer

if TYPE_CHECKING:
    from supervision.store.journal_file import JournalFile

Statement = tuple[str, tuple[Any, ...]]

TRADED: Final = """
    INSERT OR IGNORE INTO traded
    SELECT substr(order_ref, 1, instr(order_ref, ':') - 1), json_extract(content, '$.contract.con_id')
    FROM executions WHERE exec_id = ?
    AND instr(order_ref, ':') > 1 AND json_extract(content, '$.contract.con_id') IS NOT NULL"""
"""Remembers operator and contract of an execution for good, whatever is forgotten of the orders."""


class Batch:
    """Records that become durable together when the ``with`` block ends, or not at all when it raises.

    Every ``record_…`` refuses at once, and leaves the batch as it was: `WriterReplacedError` when ``writer`` has been
    replaced, `JournalError` when the record contradicts the journal, ValueError or TypeError when it is not storable
    (a naive time, NaN, a payload that is no JSON). Nothing touches the file before the end, so that whoever hangs
    inside the block holds nothing.
    """

    def __init__(self, journal: JournalFile, commit: Callable[[list[Statement]], None]) -> None:
        """Gather for ``journal``; ``commit`` makes the statements durable."""
        self._journal = journal
        self._commit = commit
        self._statements: list[Statement] = []
        self._new_refs: set[str] = set()

    def __enter__(self) -> Batch:
        """Begin to gather."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit what was gathered, unless the block raised."""
        if kind is None and self._statements:
            self._commit(self._statements)

    def __len__(self) -> int:
        """Count the statements gathered so far."""
        return len(self._statements)

    def record_intent(
        self,
        writer: Writer,
        *,
        order_ref: str,
        order_id: str,
        correlation_id: str,
        purpose: str,
        content: Any,
        at: datetime,
        approval: Any = None,
    ) -> None:
        """Record that an order is about to be sent. An ``order_ref`` is used once; ``purpose`` is open or close.

        ``approval`` is risk's decision and its permit; in the order's row they cost no page of their own.
        """
        if purpose not in ("open", "close"):
            raise ValueError(f"purpose must be open or close (was {purpose!r})")
        if order_ref in self._new_refs or self._journal.knows(order_ref):
            raise JournalError(f"order_ref {order_ref} has an intent already; each is used once")
        self._add(
            writer,
            "INSERT INTO intents (order_ref, order_id, correlation_id, purpose, content, created_at, approval,"
            " writer, incarnation) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                order_ref,
                order_id,
                correlation_id,
                purpose,
                _json(content),
                as_text(at),
                _json(approval),
            ),
        )
        self._new_refs.add(order_ref)

    def record_modification(
        self,
        writer: Writer,
        *,
        order_ref: str,
        content: Any,
        at: datetime,
        approval: Any = None,
    ) -> None:
        """Record that an order is about to be modified: the new content takes the old one's place, which is kept."""
        if order_ref not in self._new_refs and not self._journal.knows(order_ref):
            raise JournalError(f"order_ref {order_ref} has no intent that could be modified")
        self._add(
            writer,
            "INSERT INTO modifications (order_ref, replaced, at, approval, writer, incarnation)"
            " SELECT order_ref, content, ?, ?, ?, ? FROM intents WHERE order_ref = ?",
            (as_text(at), _json(approval)),
            (order_ref,),
        )
        self._statements.append(
            (
                "UPDATE intents SET content = ?, is_open = 1 WHERE order_ref = ?",
                (_json(content), order_ref),
            )
        )

    def record_transition(
        self,
        writer: Writer,
        *,
        order_ref: str,
        at: datetime,
        state: str,
        final: bool,
        detail: Any = None,
        source: str = "broker",
    ) -> None:
        """Append an order's new state; ``final`` says that nothing is expected after it. Unknown orders are allowed."""
        self._add(
            writer,
            "INSERT INTO transitions (order_ref, at, state, is_final, detail, source, writer, incarnation)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (order_ref, as_text(at), state, int(final), _json(detail), source),
        )
        self._statements.append(
            ("UPDATE intents SET is_open = ? WHERE order_ref = ?", (int(not final), order_ref))
        )

    def record_execution(
        self,
        writer: Writer,
        *,
        exec_id: str,
        order_ref: str,
        content: Any,
        at: datetime,
        received_at: datetime | None = None,
    ) -> None:
        """Append an execution; one whose ``exec_id`` is known changes nothing (ORD-7)."""
        received = None if received_at is None else as_text(received_at)
        self._add(
            writer,
            "INSERT OR IGNORE INTO executions (exec_id, order_ref, content, at, received_at, writer, incarnation)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (exec_id, order_ref, _json(content), as_text(at), received),
        )
        self._statements.append((TRADED, (exec_id,)))

    def record_note(
        self, writer: Writer, *, order_ref: str, kind: str, content: Any, at: datetime
    ) -> None:
        """Append what was said of an order, such as a message of the broker."""
        self._add(
            writer,
            "INSERT INTO notes (order_ref, at, kind, content, writer, incarnation) VALUES (?, ?, ?, ?, ?, ?)",
            (order_ref, as_text(at), kind, _json(content)),
        )

    def record_not_sent(
        self,
        writer: Writer,
        *,
        order_ref: str,
        order_id: str,
        correlation_id: str,
        status: str,
        reason: str,
        content: Any,
        at: datetime,
    ) -> None:
        """Append why an order was not sent. ``order_ref`` and ``order_id`` are empty where it had none yet."""
        self._add(
            writer,
            "INSERT INTO not_sent (order_ref, order_id, correlation_id, at, status, reason, content,"
            " writer, incarnation) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (order_ref, order_id, correlation_id, as_text(at), status, reason, _json(content)),
        )

    def record_latch(
        self,
        writer: Writer,
        *,
        latched: bool,
        liquidation_id: str,
        reason: str,
        who: str,
        why: str,
        at: datetime,
        close_reason: str = "DISCONNECT",
    ) -> None:
        """Append that Strategy C latched, or that an operator re-armed it."""
        self._add(
            writer,
            "INSERT INTO latch (latched, liquidation_id, reason, who, why, at, close_reason, writer, incarnation)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (int(latched), liquidation_id, reason, who, why, as_text(at), close_reason),
        )

    def record_step(
        self, writer: Writer, *, run_id: str, step: str, detail: Any, at: datetime
    ) -> None:
        """Append a step of a liquidation, before it is taken (D16)."""
        self._add(
            writer,
            "INSERT INTO steps (run_id, step, detail, at, writer, incarnation) VALUES (?, ?, ?, ?, ?, ?)",
            (run_id, step, _json(detail), as_text(at)),
        )

    def record_baseline(
        self, writer: Writer, *, kind: str, key: str, value: float, at: datetime
    ) -> None:
        """Set a risk baseline; the newest value of a kind and key counts (RSK-5)."""
        if not math.isfinite(value):
            raise ValueError(f"value must be finite (was {value})")
        self._add(
            writer,
            "INSERT OR REPLACE INTO baselines (kind, key, value, at, writer, incarnation)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (kind, key, float(value), as_text(at)),
        )

    def record_grace(
        self, writer: Writer, *, trigger: str, until: datetime | None, at: datetime
    ) -> None:
        """Append that a grace is running until then, or that it is over; the newest entry counts."""
        self._add(
            writer,
            "INSERT INTO graces (reason, until, at, writer, incarnation) VALUES (?, ?, ?, ?, ?)",
            (trigger, None if until is None else as_text(until), as_text(at)),
        )

    def record_audit(
        self, writer: Writer, *, at: datetime, kind: str, who: str, why: str, detail: Any = None
    ) -> None:
        """Append to the audit trail."""
        self._add(
            writer,
            "INSERT INTO audit (at, kind, who, why, detail, writer, incarnation) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (as_text(at), kind, who, why, _json(detail)),
        )

    def raise_floor(self, writer: Writer, *, client_id: int, highest: int) -> None:
        """Remember the highest order id that was used; a lower one changes nothing (D15)."""
        self._journal.refuse_superseded(writer)
        self._statements.append(
            (
                "INSERT INTO floors VALUES (?, ?) ON CONFLICT (client_id)"
                " DO UPDATE SET highest = max(highest, excluded.highest)",
                (client_id, highest),
            )
        )

    def _add(
        self, writer: Writer, sql: str, before: tuple[Any, ...], after: tuple[Any, ...] = ()
    ) -> None:
        self._journal.refuse_superseded(writer)
        self._statements.append((sql, (*before, writer.name, writer.incarnation, *after)))


def as_text(at: datetime) -> str:
    """Write an aware time as the journal keeps it: in UTC, so that texts sort like times."""
    if at.tzinfo is None:
        raise ValueError(f"at must be an aware time (was {at.isoformat()})")
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _json(payload: Any) -> str:
    return json.dumps(payload, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
