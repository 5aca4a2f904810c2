"""What the journal forgets, and what it never does."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from supervision.store.entries.executions import execution_rows, executions, traded
from supervision.store.entries.limits import baseline_rows, baselines, floor_rows, floors
from supervision.store.entries.liquidations import latch_rows, newest_latch, step_rows, steps
from supervision.store.entries.orders import (
    ended_orders,
    intent_rows,
    modification_rows,
    not_sent_rows,
    note_rows,
    open_orders,
    orders_history,
    transition_rows,
)
from supervision.store.journal_file import JournalFile
from supervision.store.journal_lock import JournalLock
from supervision.store.journal_values import Writer

AT = datetime(2025, 11, 21, 15, 0, tzinfo=UTC)
LATER = AT + timedelta(days=500)
HORIZON = AT + timedelta(days=100)
EXECUTOR = Writer(name="executor", incarnation=1)
MOST = 100


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[JournalFile]:
    """Open a journal."""
    with JournalLock(tmp_path / "journal.sqlite") as lock:
        opened = JournalFile(lock)
        yield opened
        opened.close()


def record_order(journal: JournalFile, ref: str, at: datetime, *, ended: bool) -> None:
    """Record an order with a change, an execution, and perhaps its end."""
    reference = f"OP:{ref}"
    with journal.batch() as batch:
        batch.add(
            EXECUTOR,
            intent_rows(
                order_ref=reference,
                order_id=ref,
                correlation_id="c",
                purpose="open",
                content={"symbol": "SPY"},
                at=at,
            ),
        )
        batch.add(
            EXECUTOR, modification_rows(order_ref=reference, content={"symbol": "SPY"}, at=at)
        )
        batch.add(
            EXECUTOR,
            execution_rows(
                exec_id=f"{ref}.01",
                order_ref=reference,
                content={"contract": {"con_id": 756733}},
                at=at,
            ),
        )
        batch.add(
            EXECUTOR,
            transition_rows(
                order_ref=reference, at=at, state="FILLED" if ended else "SENT", final=ended
            ),
        )
        batch.add(
            EXECUTOR, note_rows(order_ref=reference, kind="error", content={"code": 399}, at=at)
        )
        batch.add(
            EXECUTOR,
            not_sent_rows(
                order_ref="",
                order_id="",
                correlation_id=ref,
                status="REJECTED",
                reason="a limit",
                content={},
                at=at,
            ),
        )


def record_latch(journal: JournalFile, run: str, at: datetime, close_reason: str) -> None:
    """Record that a liquidation latched and took a step."""
    with journal.batch() as batch:
        batch.add(
            EXECUTOR,
            latch_rows(
                latched=True,
                liquidation_id=run,
                reason="r",
                who="w",
                why="",
                at=at,
                close_reason=close_reason,
            ),
        )
        batch.add(EXECUTOR, step_rows(run_id=run, step="CLOSING", detail="", at=at))


def forget_all(journal: JournalFile, most: int = MOST) -> int:
    """Forget until nothing is left to forget; returns how many calls that took."""
    calls = 1
    while journal.forget(HORIZON, most):
        calls += 1
    return calls


@pytest.mark.req("ORD-9")
def test_orders_that_ended_long_ago_are_forgotten_with_all_that_belongs_to_them(
    journal: JournalFile,
) -> None:
    record_order(journal, "old", AT, ended=True)
    record_order(journal, "young", LATER, ended=True)

    forget_all(journal)

    assert not journal.knows("OP:old")
    assert orders_history(journal.read, "OP:old") == ()
    assert [item.exec_id for item in executions(journal.read)] == ["young.01"]
    assert journal.knows("OP:young")


@pytest.mark.req("ORD-9", "STC-6")
def test_what_a_recovery_needs_is_kept_however_old_it_is(journal: JournalFile) -> None:
    record_order(journal, "open", AT, ended=False)
    record_order(journal, "ended", AT, ended=True)
    record_latch(journal, "first", AT, "DISCONNECT")
    record_latch(journal, "newest", AT, "DAILY_LOSS_LIMIT")
    with journal.batch() as batch:
        batch.add(EXECUTOR, baseline_rows(kind="daily", key="2025-11-21", value=1.0, at=AT))
        batch.add(EXECUTOR, floor_rows(client_id=1, highest=77))

    forget_all(journal)

    latch = newest_latch(journal.read)
    assert [order.order_ref for order in open_orders(journal.read)] == ["OP:open"]
    assert orders_history(journal.read, "OP:open") != ()
    assert ended_orders(journal.read, AT) == ()
    assert latch is not None
    assert latch.close_reason == "DAILY_LOSS_LIMIT"
    assert [step.run_id for step in steps(journal.read)] == ["newest"]
    assert steps(journal.read, "first") == ()
    assert len(baselines(journal.read)) == 1
    assert floors(journal.read) == ((1, 77),)
    assert traded(journal.read) == (("OP", 756733),)


@pytest.mark.req("ORD-9")
def test_what_was_said_of_an_order_goes_with_it_and_what_was_not_sent_by_its_age(
    journal: JournalFile, tmp_path: Path
) -> None:
    record_order(journal, "open", AT, ended=False)
    record_order(journal, "old", AT, ended=True)
    record_order(journal, "young", LATER, ended=True)

    forget_all(journal, most=1)

    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as reader:
        noted = [row[0] for row in reader.execute("SELECT order_ref FROM notes")]
        unsent = [row[0] for row in reader.execute("SELECT correlation_id FROM not_sent")]
    assert noted == ["OP:open", "OP:young"]
    assert unsent == ["young"]


def test_it_forgets_a_bounded_number_of_orders_at_a_time(journal: JournalFile) -> None:
    for number in range(7):
        record_order(journal, f"R{number}", AT, ended=True)

    assert forget_all(journal, most=2) >= 4
    assert not any(journal.knows(f"OP:R{number}") for number in range(7))


@pytest.mark.req("ORD-7", "SUP-6")
def test_the_newest_orders_that_ended_are_read_back_oldest_first(journal: JournalFile) -> None:
    for number in range(5):
        record_order(journal, f"R{number}", AT + timedelta(hours=number), ended=number != 2)

    found = ended_orders(journal.read, AT + timedelta(hours=1), most=2)

    assert [order.order_id for order in found] == ["R3", "R4"]
