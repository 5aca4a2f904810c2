"""The order journal on a real disk: what was acknowledged is there, whoever dies or hangs."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actors.errors import JournalError, JournalLockedError, WriterReplacedError
from supervision.store.entries.executions import execution_rows, executions
from supervision.store.entries.limits import baseline_rows
from supervision.store.entries.liquidations import (
    audit_rows,
    audit_trail,
    grace,
    grace_rows,
    latch_rows,
    newest_latch,
    step_rows,
    steps,
)
from supervision.store.entries.orders import (
    intent_rows,
    modification_rows,
    one_order,
    open_orders,
)
from supervision.store.journal_batch import Batch
from supervision.store.journal_file import JournalFile
from supervision.store.journal_lock import JournalLock
from supervision.store.journal_schema import APPLICATION_ID, MIGRATIONS
from supervision.store.journal_values import Writer

AT = datetime(2025, 11, 21, 15, 0, tzinfo=UTC)
EXECUTOR = Writer(name="executor", incarnation=1)
KILLS = 6
ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"

WRITER_PROCESS = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from supervision.store.entries.orders import intent_rows, transition_rows
from supervision.store.journal_file import JournalFile
from supervision.store.journal_lock import JournalLock
from supervision.store.journal_values import Writer

journal = JournalFile(JournalLock(Path(sys.argv[1])).acquire())
writer = Writer(name="executor", incarnation=1)
number = int(sys.argv[2])
print("open", flush=True)
while True:
    with journal.batch() as batch:
        for _ in range(1 + number % 5):
            at = datetime.now(UTC)
            batch.add(writer, intent_rows(order_ref=f"R{number}", order_id="o", correlation_id="c",
                                purpose="open", content={"n": number}, at=at))
            batch.add(writer, transition_rows(order_ref=f"R{number}", at=at, state="SENT", final=False))
            number += 1
    print(number, flush=True)
"""


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[JournalLock]:
    """Hold the lock of a journal in a directory of its own."""
    with JournalLock(tmp_path / "state" / "journal.sqlite") as held:
        yield held


@pytest.fixture
def journal(lock: JournalLock) -> Iterator[JournalFile]:
    """Open that journal."""
    opened = JournalFile(lock)
    yield opened
    opened.close()


def add_intent(batch: Batch, ref: str, writer: Writer = EXECUTOR) -> None:
    """Record an intent of no interest beyond its reference."""
    batch.add(
        writer,
        intent_rows(
            order_ref=ref,
            order_id=f"ORD_{ref}",
            correlation_id="c",
            purpose="open",
            content={"symbol": "SPY"},
            at=AT,
        ),
    )


def spawn_writer(path: Path, first: int) -> subprocess.Popen[str]:
    """Start a process that writes until it is killed, and prints how far it was acknowledged."""
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER_PROCESS, str(path), str(first)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


@pytest.mark.req("ORD-9")
def test_a_killed_process_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    seed = 20251121
    moments = random.Random(seed)
    acknowledged = 0

    for _ in range(KILLS):
        process = spawn_writer(path, acknowledged)
        killer = threading.Timer(moments.uniform(0.02, 0.3), process.kill)
        killer.start()
        output, _ = process.communicate()
        acknowledged = int((output.split("\n")[:-1] or [str(acknowledged)])[-1])
        with JournalLock(path) as lock:
            journal = JournalFile(lock)
            stored = [order.content["n"] for order in open_orders(journal.read)]
            states = {order.last.state for order in open_orders(journal.read) if order.last}
            journal.close()
        assert stored == list(range(len(stored))), f"seed {seed}"
        assert len(stored) >= acknowledged, f"seed {seed}"
        assert states == {"SENT"} or not stored
        acknowledged = len(stored)

    assert acknowledged > KILLS


@pytest.mark.req("SUP-12", "ORD-9")
def test_a_second_process_is_refused_and_told_who_holds_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    process = spawn_writer(path, 0)

    with pytest.raises(JournalLockedError) as caught:
        JournalLock(path).acquire()
    process.kill()
    process.communicate()

    assert str(path) in str(caught.value)
    assert f"process {process.pid}" in str(caught.value)
    assert "another state_dir" in str(caught.value)
    with JournalLock(path) as lock:
        assert lock.is_held


@pytest.mark.req("SUP-12")
def test_a_second_lock_in_the_same_process_is_refused(lock: JournalLock) -> None:
    with pytest.raises(JournalLockedError, match=f"process {os.getpid()}"):
        JournalLock(lock.path).acquire()


def test_a_journal_does_not_open_without_its_lock(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="acquire it first"):
        JournalFile(JournalLock(tmp_path / "journal.sqlite"))


@pytest.mark.req("ORD-9")
def test_a_batch_that_raises_leaves_nothing(journal: JournalFile) -> None:
    with suppress(ZeroDivisionError), journal.batch() as batch:
        add_intent(batch, "A")
        raise ZeroDivisionError

    assert open_orders(journal.read) == ()


@pytest.mark.req("ORD-9")
def test_an_order_reference_is_used_once(journal: JournalFile) -> None:
    with journal.batch() as batch:
        add_intent(batch, "A")
        with pytest.raises(JournalError, match="used once"):
            add_intent(batch, "A")

    with journal.batch() as batch, pytest.raises(JournalError, match="used once"):
        add_intent(batch, "A")

    assert [order.order_ref for order in open_orders(journal.read)] == ["A"]


@pytest.mark.req("ORD-9", "SUP-4")
def test_a_superseded_actor_is_refused_and_the_rest_of_the_batch_is_kept(
    journal: JournalFile,
) -> None:
    journal.begin_incarnation("executor", 2)

    with journal.batch() as batch:
        with pytest.raises(
            WriterReplacedError, match="incarnation 1 of executor was replaced by 2"
        ):
            add_intent(batch, "OLD")
        add_intent(batch, "NEW", Writer(name="executor", incarnation=2))

    assert [order.order_ref for order in open_orders(journal.read)] == ["NEW"]
    with pytest.raises(WriterReplacedError):
        journal.begin_incarnation("executor", 1)


@pytest.mark.req("SUP-4")
def test_a_replaced_journal_writes_no_more(lock: JournalLock, journal: JournalFile) -> None:
    successor = JournalFile(lock, incarnation=2)

    with pytest.raises(WriterReplacedError), journal.batch() as batch:
        add_intent(batch, "LATE")
    with pytest.raises(WriterReplacedError):
        JournalFile(lock, incarnation=1)

    assert open_orders(successor.read) == ()
    successor.close()


@pytest.mark.req("SUP-12")
def test_a_process_that_gave_the_lock_away_writes_no_more(tmp_path: Path) -> None:
    lock = JournalLock(tmp_path / "journal.sqlite").acquire()
    old = JournalFile(lock, incarnation=7)
    lock.release()

    with JournalLock(lock.path) as newer:
        new = JournalFile(newer, incarnation=1)
        with pytest.raises(WriterReplacedError), old.batch() as batch:
            add_intent(batch, "LATE")
        with new.batch() as batch:
            add_intent(batch, "A")
        new.close()
    old.close()


@pytest.mark.req("SUP-4")
def test_a_successor_gets_rid_of_a_transaction_that_was_left_open(
    lock: JournalLock, journal: JournalFile
) -> None:
    journal._connection.execute("BEGIN IMMEDIATE")  # what no method leaves behind

    assert journal.abandon()
    successor = JournalFile(lock, incarnation=2)

    with successor.batch() as batch:
        add_intent(batch, "A")
    with pytest.raises(WriterReplacedError), journal.batch() as batch:
        add_intent(batch, "LATE")
    successor.close()


@pytest.mark.req("SUP-4")
def test_a_successor_interrupts_a_write_that_does_not_end(
    lock: JournalLock, journal: JournalFile
) -> None:
    begun, errors = threading.Event(), list[BaseException]()

    def hang() -> None:
        try:
            with journal._transaction("IMMEDIATE"):
                begun.set()
                journal._connection.execute(ENDLESS).fetchall()
        except WriterReplacedError as error:
            errors.append(error)

    hung = threading.Thread(target=hang, daemon=True)
    hung.start()
    begun.wait()
    while not journal.abandon(
        0.05
    ):  # the statement may not have begun when the first interrupt comes
        pass
    hung.join()
    successor = JournalFile(lock, incarnation=2)

    with successor.batch() as batch:
        add_intent(batch, "A")
    assert len(errors) == 1
    successor.close()


@pytest.mark.req("DB-4")
def test_a_full_disk_is_an_error_with_a_remedy_and_loses_nothing(journal: JournalFile) -> None:
    with journal.batch() as batch:
        add_intent(batch, "A")
    (pages,) = journal._connection.execute("PRAGMA page_count").fetchone()
    journal._connection.execute(f"PRAGMA max_page_count = {pages}")

    batch = journal.batch()
    for number in range(1000):
        add_intent(batch, f"B{number}")
    with pytest.raises(JournalError, match="free space"), batch:
        pass

    assert [order.order_ref for order in open_orders(journal.read)] == ["A"]
    journal._connection.execute("PRAGMA max_page_count = 1000000")
    with journal.batch() as batch:
        add_intent(batch, "C")


@pytest.mark.req("ORD-9")
@pytest.mark.parametrize("content", [b"no database" * 1000, b"SQLite format 3\0" + b"\1" * 9000])
def test_a_damaged_file_is_refused_with_a_remedy_and_left_as_it_is(
    lock: JournalLock, content: bytes
) -> None:
    lock.path.write_bytes(content)

    with pytest.raises(JournalError, match="move the file away") as caught:
        JournalFile(lock)

    assert str(lock.path) in str(caught.value)
    assert lock.path.read_bytes() == content


@pytest.mark.req("ORD-9")
def test_damage_in_the_middle_of_the_file_is_found_at_the_start(lock: JournalLock) -> None:
    journal = JournalFile(lock)
    with journal.batch() as batch:
        for number in range(500):
            add_intent(batch, f"A{number}")
    journal.close()
    content = bytearray(lock.path.read_bytes())
    content[4096 * 4 : 4096 * 30] = os.urandom(4096 * 26)
    lock.path.write_bytes(content)

    with pytest.raises(JournalError, match="damaged"):
        JournalFile(lock)


def test_a_foreign_database_and_a_newer_version_are_refused(tmp_path: Path) -> None:
    foreign, newer = tmp_path / "foreign.sqlite", tmp_path / "newer.sqlite"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE mine (x)")
    with JournalLock(newer) as lock:
        JournalFile(lock).close()
        with sqlite3.connect(newer) as connection:
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
        with pytest.raises(JournalError, match="newer program"):
            JournalFile(lock)

    with JournalLock(foreign) as lock, pytest.raises(JournalError, match="another program"):
        JournalFile(lock)


def test_a_path_that_cannot_hold_a_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "directory.sqlite").mkdir()

    with pytest.raises(JournalError, match="state_dir"):
        JournalLock(tmp_path / "file" / "journal.sqlite").acquire()
    with JournalLock(tmp_path / "directory.sqlite") as lock, pytest.raises(JournalError):
        JournalFile(lock)


def test_what_cannot_be_stored_is_refused_before_it_is_gathered(journal: JournalFile) -> None:
    with journal.batch() as batch:
        with pytest.raises(ValueError, match="aware"):
            batch.add(
                EXECUTOR,
                audit_rows(at=AT.replace(tzinfo=None), kind="REARM", who="me", why="because"),
            )
        with pytest.raises(ValueError, match="finite"):
            batch.add(EXECUTOR, baseline_rows(kind="daily", key="d", value=float("nan"), at=AT))
        with pytest.raises(ValueError, match="JSON compliant"):
            batch.add(EXECUTOR, step_rows(run_id="L", step="close", detail=float("inf"), at=AT))
        assert len(batch) == 0


@pytest.mark.req("STC-2", "STC-4")
def test_the_latch_and_its_audit_outlive_the_file_being_closed(lock: JournalLock) -> None:
    journal = JournalFile(lock)
    assert newest_latch(journal.read) is None
    with journal.batch() as batch:
        batch.add(
            EXECUTOR,
            latch_rows(
                latched=True,
                liquidation_id="L1",
                reason="link lost",
                who="ibkr-actors",
                why="",
                at=AT,
            ),
        )
        batch.add(EXECUTOR, step_rows(run_id="L1", step="cancel", detail={"orders": 2}, at=AT))
        batch.add(EXECUTOR, audit_rows(at=AT, kind="LATCH", who="ibkr-actors", why="link lost"))
    journal.close()

    reopened = JournalFile(lock, incarnation=2)

    latch = newest_latch(reopened.read)
    assert latch is not None
    assert (latch.latched, latch.liquidation_id, latch.at) == (True, "L1", AT)
    assert [step.step for step in steps(reopened.read, "L1")] == ["cancel"]
    assert [(entry.kind, entry.why) for entry in audit_trail(reopened.read)] == [
        ("LATCH", "link lost")
    ]
    reopened.close()


@pytest.mark.req("STC-5", "CON-15")
def test_a_grace_outlives_the_file_being_closed_until_it_is_over(lock: JournalLock) -> None:
    until = AT + timedelta(hours=1)
    journal = JournalFile(lock)
    assert grace(journal.read) is None
    with journal.batch() as batch:
        batch.add(EXECUTOR, grace_rows(trigger="link lost", until=until, at=AT))
    journal.close()

    reopened = JournalFile(lock, incarnation=2)
    running = grace(reopened.read)
    with reopened.batch() as batch:
        batch.add(EXECUTOR, grace_rows(trigger="", until=None, at=AT))

    assert running is not None
    assert (running.trigger, running.until) == ("link lost", until)
    assert grace(reopened.read) is None
    reopened.close()


def test_a_journal_of_the_first_version_is_migrated_and_has_no_grace(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with closing(sqlite3.connect(path)) as first, first:
        first.executescript(MIGRATIONS[0])
        first.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        first.execute("PRAGMA user_version = 1")

    with JournalLock(path) as lock:
        journal = JournalFile(lock)

        assert grace(journal.read) is None
        journal.close()


def test_a_journal_with_the_sessions_that_an_earlier_version_wrote_opens_and_keeps_them(
    lock: JournalLock,
) -> None:
    JournalFile(lock).close()
    with closing(sqlite3.connect(lock.path)) as earlier, earlier:
        earlier.execute(
            "INSERT INTO sessions (session_id, state, detail, at, writer, incarnation)"
            " VALUES ('s', 'CONNECTED', '\"reconciled\"', '2026-01-05T14:30:00+00:00', 'connection', 1)"
        )

    reopened = JournalFile(lock, incarnation=2)

    assert open_orders(reopened.read) == ()
    assert reopened.read("SELECT session_id FROM sessions") == [("s",)]
    reopened.close()


def test_a_modification_needs_an_intent_and_keeps_what_it_replaced(journal: JournalFile) -> None:
    with journal.batch() as batch:
        with pytest.raises(JournalError, match="no intent"):
            batch.add(EXECUTOR, modification_rows(order_ref="A", content={}, at=AT))
        add_intent(batch, "A")
        batch.add(EXECUTOR, modification_rows(order_ref="A", content={"limit": 2}, at=AT))

    order = one_order(journal.read, "A")
    assert order is not None
    assert order.content == {"limit": 2}
    replaced = journal.read("SELECT replaced FROM modifications")
    assert replaced == [('{"symbol":"SPY"}',)]


@pytest.mark.skipif(os.name != "posix", reason="permissions in octal are POSIX's")
@pytest.mark.req("OBS-4")
def test_the_journal_is_its_owners_alone(journal: JournalFile, lock: JournalLock) -> None:
    assert lock.path.stat().st_mode & 0o077 == 0


def test_executions_can_be_read_from_a_moment_on(journal: JournalFile) -> None:
    with journal.batch() as batch:
        for hour in range(4):
            batch.add(
                EXECUTOR,
                execution_rows(
                    exec_id=f"e{hour}", order_ref="A", content=hour, at=AT + timedelta(hours=hour)
                ),
            )

    recent = executions(journal.read, since=AT + timedelta(hours=2))

    assert [execution.content for execution in recent] == [2, 3]
