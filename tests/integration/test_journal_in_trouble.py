"""A journal whose disk refuses or is slow keeps what has happened, in order, and writes it as soon as it can (D14)."""

from __future__ import annotations

import queue
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import attrs
import pytest

from actors.kernel.messages import Message, RequestFailed
from actors.messages.addresses import JOURNAL
from actors.messages.journal import (
    IntentDurable,
    JournalRead,
    LatchDurable,
    Note,
    ReadJournal,
    RecordIntent,
    RecordLatch,
    RecordModification,
    Transition,
)
from actors.messages.orders import OrderUpdated
from actors.ports import EventLog
from supervision.store.journal import JournalActor
from supervision.store.journal_lock import JournalLock
from supervision.store.uncommitted import Gathered, Uncommitted
from supervision.tree.child_spec import ChildSpec
from supervision.tree.driver import ThreadDriver
from supervision.tree.system import SystemClock, SystemEntropy
from supervision.tree.tree import Tree
from tests.troubled_disk import FULL, READ_ONLY, Disk
from tests.unit.logic.values import NOW, trade_request, wire_order

LISTENER = "listener"
ANSWER_S = 5.0
HANG_LIMIT_S = 0.3
BOUND = 100

A = TypeVar("A")


class Log:
    """The events that were logged."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, **fields: Any) -> None:
        """Keep one."""
        self.events.append((event, fields))

    def names(self) -> list[str]:
        """Name them in order."""
        return [name for name, _ in self.events]


class Journal:
    """A tree of nothing but the journal on a troubled disk, and a listener."""

    def __init__(self, lock: JournalLock, disk: Disk) -> None:
        self.path, self.disk, self.log = lock.path, disk, Log()
        self.answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        kept = Uncommitted(BOUND)
        log: EventLog = self.log
        spec = ChildSpec(
            name=JOURNAL,
            factory=lambda context: JournalActor(
                context,
                open_file=lambda incarnation: disk.open_file(lock, incarnation=incarnation),
                uncommitted=kept,
                log=log,
            ),
            handler_limit_s=HANG_LIMIT_S,
        )
        self.tree = Tree((spec,), ThreadDriver(), SystemClock(), SystemEntropy())
        self.tree.register(LISTENER, lambda message, _sender: self.answers.put(message))
        self.tree.start()

    def tell(self, message: Message) -> None:
        self.tree.tell(JOURNAL, message)

    def asked(self, kind: type[A], of: Callable[..., Message], **fields: Any) -> A:
        """Ask, and wait for an answer of this kind."""
        header = {
            "correlation_id": "c",
            "deadline": self.tree.clock.monotonic() + ANSWER_S,
            "reply_to": LISTENER,
        }
        self.tell(of(**header, **fields))
        answer = self.answers.get(timeout=ANSWER_S)
        assert isinstance(answer, kind), answer
        return answer

    def rows(self, table: str, column: str) -> list[Any]:
        """Read what another connection can see: what is committed, in its order."""
        with sqlite3.connect(self.path) as reader:
            read = reader.execute(f"SELECT {column} FROM {table} ORDER BY rowid")  # noqa: S608
            return [value for (value,) in read]

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait; AssertionError when it does not come true."""
        ends_at = time.monotonic() + ANSWER_S
        while not condition():
            assert time.monotonic() < ends_at, self.log.events
            time.sleep(0.01)


def state(number: int, state: str = "SENT") -> OrderUpdated:
    """Tell a state of an order."""
    reference = f"CSATSPRIM:{number}"
    entry = Transition(order_ref=reference, state=state, detail="", at=NOW)
    return OrderUpdated(order_ref=reference, at=NOW, entries=(entry,))


def note(number: int) -> OrderUpdated:
    """Tell what was said of an order."""
    reference = f"CSATSPRIM:{number}"
    entry = Note(order_ref=reference, kind="error", facts=(("code", 1),), at=NOW)
    return OrderUpdated(order_ref=reference, at=NOW, entries=(entry,))


def intent(number: int) -> dict[str, Any]:
    """Give the fields of an intent."""
    order = attrs.evolve(wire_order(), order_ref=f"CSATSPRIM:{number}")
    return {
        "order": order,
        "request": trade_request(order),
        "order_id": str(number),
        "incarnation": 1,
        "at": NOW,
    }


def latch(*, latched: bool) -> dict[str, Any]:
    """Give the fields of a latch."""
    return {
        "latched": latched,
        "liquidation_id": "l",
        "reason": "a test",
        "who": "test",
        "why": "",
        "at": NOW,
    }


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Run a journal on a disk that can be troubled."""
    with JournalLock(tmp_path / "journal.sqlite") as lock:
        made = Journal(lock, Disk())
        yield made
        made.disk.heal()
        made.tree.stop()


@pytest.mark.req("DB-4", "ORD-9")
@pytest.mark.parametrize("trouble", [FULL, READ_ONLY])
def test_what_the_disk_refused_is_written_in_order_as_soon_as_it_can(
    journal: Journal, trouble: tuple[int, str]
) -> None:
    journal.tell(state(1))
    journal.until(lambda: journal.rows("transitions", "order_ref") == ["CSATSPRIM:1"])

    journal.disk.refuses = trouble
    for number in range(2, 6):
        journal.tell(state(number))
        journal.asked(RequestFailed, RecordIntent, **intent(100 + number))
    journal.disk.heal()
    journal.tell(state(6))

    told = [f"CSATSPRIM:{number}" for number in range(1, 7)]
    journal.until(lambda: journal.rows("transitions", "order_ref") == told)
    assert journal.rows("intents", "order_ref") == []
    assert "journal_commits_again" in journal.log.names()


@pytest.mark.req("DB-4")
def test_it_tries_again_by_itself(journal: Journal) -> None:
    journal.disk.refuses = FULL
    journal.tell(state(1))
    journal.until(lambda: "journal_commit_failed" in journal.log.names())

    journal.disk.heal()

    journal.until(lambda: journal.rows("transitions", "order_ref") == ["CSATSPRIM:1"])


@pytest.mark.req("STC-4", "SUP-6")
def test_a_read_tells_what_is_kept_beside_what_the_file_says(journal: Journal) -> None:
    journal.asked(IntentDurable, RecordIntent, **intent(1))
    journal.disk.refuses = FULL
    journal.tell(state(1, "ACKNOWLEDGED"))
    journal.asked(RequestFailed, RecordLatch, **latch(latched=True))

    read = journal.asked(JournalRead, ReadJournal)

    assert [(order.order_id, order.state) for order in read.orders] == [("1", "ACKNOWLEDGED")]
    assert (read.latched, read.liquidation_id) == (True, "l")


@pytest.mark.req("STC-4")
def test_a_latch_that_is_asked_for_again_and_again_is_written_once(journal: Journal) -> None:
    journal.disk.refuses = FULL
    for _ in range(3):
        journal.asked(RequestFailed, RecordLatch, **latch(latched=True))

    journal.disk.heal()
    journal.asked(LatchDurable, RecordLatch, **latch(latched=True))

    assert journal.rows("latch", "liquidation_id") == ["l"]
    assert journal.rows("audit", "kind") == ["latched"]


@pytest.mark.req("STC-4")
def test_what_was_only_asked_for_and_refused_is_never_written(journal: Journal) -> None:
    journal.asked(IntentDurable, RecordIntent, **intent(1))
    journal.asked(LatchDurable, RecordLatch, **latch(latched=True))
    content = journal.rows("intents", "content")
    journal.disk.refuses = FULL
    journal.asked(RequestFailed, RecordLatch, **latch(latched=False))
    changed = attrs.evolve(intent(1)["order"], quantity=77.0)
    terms = {"order": changed, "request": trade_request(changed), "at": NOW}
    journal.asked(RequestFailed, RecordModification, **terms)

    journal.disk.heal()
    journal.asked(IntentDurable, RecordIntent, **intent(2))

    assert journal.rows("latch", "latched") == [1]
    assert journal.rows("intents", "content")[:1] == content


@pytest.mark.req("DB-4")
def test_beyond_the_bound_notes_go_first_and_the_journal_says_how_many(journal: Journal) -> None:
    journal.disk.refuses = FULL
    for number in range(BOUND):
        journal.tell(state(number))
        journal.tell(note(number))
    journal.tell(state(BOUND))
    journal.asked(RequestFailed, RecordIntent, **intent(1000))

    journal.disk.heal()
    journal.asked(IntentDurable, RecordIntent, **intent(1001))

    assert journal.rows("notes", "order_ref") == []
    states = [f"CSATSPRIM:{number}" for number in range(1, BOUND + 1)]
    assert journal.rows("transitions", "order_ref") == states
    (why,) = journal.rows("audit", "why")
    assert why == f"{BOUND + 1} entries were lost while the disk refused them"


@pytest.mark.req("SUP-5", "DB-4")
def test_what_a_hung_journal_had_in_hand_is_written_once_by_its_successor(
    journal: Journal,
) -> None:
    journal.tell(state(1))
    journal.until(lambda: journal.rows("transitions", "order_ref") == ["CSATSPRIM:1"])
    journal.disk.slow_s = 3.0
    journal.tell(state(2))
    journal.until(lambda: journal.tree.status()[0].restarts > 0)
    journal.tell(state(3))

    journal.disk.heal()

    told = [f"CSATSPRIM:{number}" for number in range(1, 4)]
    journal.until(lambda: journal.rows("transitions", "order_ref") == told)
    assert journal.tree.is_running


@pytest.mark.req("DB-4")
def test_an_entry_that_the_file_never_takes_keeps_no_other_out(journal: Journal) -> None:
    with sqlite3.connect(journal.path) as saboteur:
        saboteur.execute(
            "CREATE TRIGGER odd BEFORE INSERT ON transitions WHEN NEW.state = 'HELD'"
            " BEGIN SELECT RAISE(ABORT, 'never'); END"
        )

    journal.tell(state(1))
    journal.tell(state(2, "HELD"))
    journal.tell(state(3))

    told = ["CSATSPRIM:1", "CSATSPRIM:3"]
    journal.until(lambda: journal.rows("transitions", "order_ref") == told)
    assert "journal_refused" in journal.log.names()


@pytest.mark.req("DB-4")
@pytest.mark.parametrize(("last_in_the_file", "left"), [(1, [2]), (0, [1, 2])])
def test_a_successor_knows_by_its_number_whether_the_last_batch_went_through(
    last_in_the_file: int, left: list[int]
) -> None:
    kept = Uncommitted(BOUND)
    kept.gather(Gathered(message=state(1), statements=()))
    number = kept.begin()
    kept.gather(Gathered(message=state(2), statements=()))

    kept.take_over(last_in_the_file)
    kept.committed(number)  # the one that hung wakes up too late

    assert [entry.message for entry in kept.entries] == [state(number) for number in left]
