"""A batch of journal entries: gathered in memory, checked one by one, committed together (group commit)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType

from actors.errors import JournalError
from supervision.store.journal_rows import Rows, Statement
from supervision.store.journal_values import Writer


class Batch:
    """Entries that become durable together when the ``with`` block ends, or not at all when it raises.

    Nothing touches the file before the end, so that whoever hangs inside the block holds nothing.
    """

    def __init__(
        self,
        *,
        refuse_superseded: Callable[[Writer], None],
        knows: Callable[[str], bool],
        commit: Callable[[list[Statement]], None],
    ) -> None:
        """Gather; ``knows`` tells whether an order has an intent, ``commit`` makes the statements durable."""
        self._refuse_superseded = refuse_superseded
        self._knows = knows
        self._commit = commit
        self._statements: list[Statement] = []
        self._new_orders: set[str] = set()

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

    def add(self, writer: Writer, rows: Rows) -> tuple[Statement, ...]:
        """Gather an entry; returns its statements as they will be executed.

        Refuses at once, and leaves the batch as it was: `WriterReplacedError` when ``writer`` has been replaced,
        `JournalError` when the entry contradicts the journal.
        """
        if rows.new_order is not None and self._has_intent(rows.new_order):
            raise JournalError(
                f"order_ref {rows.new_order} has an intent already; each is used once"
            )
        if rows.known_order is not None and not self._has_intent(rows.known_order):
            raise JournalError(f"order_ref {rows.known_order} has no intent that could be modified")
        self._refuse_superseded(writer)
        statements = signed(writer, rows)
        self._statements.extend(statements)
        if rows.new_order is not None:
            self._new_orders.add(rows.new_order)
        return statements

    def put(self, statements: Iterable[Statement]) -> None:
        """Gather what was checked before."""
        self._statements.extend(statements)

    def _has_intent(self, order_ref: str) -> bool:
        return order_ref in self._new_orders or self._knows(order_ref)


def signed(writer: Writer, rows: Rows) -> tuple[Statement, ...]:
    """Put the writer's name into an entry's statements."""
    who = {"writer": writer.name, "incarnation": writer.incarnation}
    return tuple((sql, values | who) for sql, values in rows.statements)
