"""The journal's actor: no answer before the disk has it, and an honest answer when the disk does not take it."""

from __future__ import annotations

import queue
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from actors.kernel.messages import RequestFailed
from actors.messages.addresses import JOURNAL
from actors.messages.journal import IntentDurable, Note, RecordIntent, RecordLatch
from actors.messages.orders import OrderUpdated
from supervision.store.journal import JournalActor
from supervision.store.journal_file import JournalFile
from supervision.store.journal_lock import JournalLock
from supervision.tree.child_spec import ChildSpec
from supervision.tree.driver import ThreadDriver
from supervision.tree.system import SystemClock, SystemEntropy
from supervision.tree.tree import Tree
from tests.unit.logic.values import NOW, trade_request, wire_order

LISTENER = "listener"
ANSWER_S = 5.0


class JournalTree:
    """A tree of nothing but the journal, and a listener that looks into the file when an answer comes."""

    def __init__(self, lock: JournalLock) -> None:
        self.path = lock.path
        self.answers: queue.SimpleQueue[tuple[Any, int]] = queue.SimpleQueue()
        spec = ChildSpec(
            name=JOURNAL,
            factory=lambda context: JournalActor(
                context,
                open_file=lambda incarnation: JournalFile(lock, incarnation=incarnation),
            ),
        )
        self.tree = Tree((spec,), ThreadDriver(), SystemClock(), SystemEntropy())
        self.tree.register(LISTENER, self._heard)
        self.tree.start()

    def _heard(self, message: Any, _sender: Any) -> None:
        self.answers.put((message, self.count("intents")))

    def count(self, table: str) -> int:
        """Count the rows that another connection can see: those that are committed."""
        with sqlite3.connect(self.path) as reader:
            (rows,) = reader.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
        return int(rows)

    def record_intent(self, number: int) -> None:
        """Ask for one intent to be made durable."""
        order = wire_order()
        self.tree.tell(
            JOURNAL,
            RecordIntent(
                correlation_id=f"c{number}",
                deadline=self.tree.clock.monotonic() + ANSWER_S,
                reply_to=LISTENER,
                order=attrs.evolve(order, order_ref=f"CSATSPRIM:{number}"),
                request=trade_request(order),
                order_id=str(number),
                incarnation=1,
                at=NOW,
            ),
        )


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[JournalTree]:
    """Run a journal in a directory of its own."""
    with JournalLock(tmp_path / "journal.sqlite") as lock:
        made = JournalTree(lock)
        yield made
        made.tree.stop()


@pytest.mark.req("ORD-9")
def test_an_intent_is_answered_once_another_reader_can_see_it(journal: JournalTree) -> None:
    journal.record_intent(1)

    answer, seen = journal.answers.get(timeout=ANSWER_S)

    assert isinstance(answer, IntentDurable)
    assert seen == 1


@pytest.mark.req("ORD-9")
def test_an_intent_that_the_disk_refuses_is_answered_as_refused(journal: JournalTree) -> None:
    with sqlite3.connect(journal.path) as saboteur:
        saboteur.execute(
            "CREATE TRIGGER full BEFORE INSERT ON intents"
            " BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )

    journal.record_intent(1)
    answer, seen = journal.answers.get(timeout=ANSWER_S)

    assert isinstance(answer, RequestFailed)
    assert "the disk is full" in answer.error.text
    assert seen == 0
    assert journal.tree.is_running


@pytest.mark.req("STC-2", "STC-4")
def test_the_latch_is_answered_once_another_reader_can_see_it(journal: JournalTree) -> None:
    journal.tree.tell(
        JOURNAL,
        RecordLatch(
            correlation_id="c",
            deadline=journal.tree.clock.monotonic() + ANSWER_S,
            reply_to=LISTENER,
            latched=True,
            liquidation_id="l",
            reason="a test",
            who="test",
            why="",
            at=NOW,
        ),
    )

    journal.answers.get(timeout=ANSWER_S)

    assert journal.count("latch") == 1


def record_note(journal: JournalTree, number: int) -> None:
    """Have something kept that was said of an order."""
    note = Note(order_ref=f"CSATSPRIM:{number}", kind="error", facts=(("code", 399),), at=NOW)
    told = OrderUpdated(order_ref=note.order_ref, at=NOW, entries=(note,))
    journal.tree.tell(JOURNAL, told)


@pytest.mark.req("ORD-9")
def test_a_note_shares_the_commit_of_the_intent_that_comes_next(journal: JournalTree) -> None:
    record_note(journal, 1)
    journal.record_intent(1)

    journal.answers.get(timeout=ANSWER_S)

    assert (journal.count("notes"), journal.count("intents")) == (1, 1)


@pytest.mark.req("ORD-9")
def test_a_note_that_nothing_follows_becomes_durable_by_itself(journal: JournalTree) -> None:
    record_note(journal, 1)

    ends_at = journal.tree.clock.monotonic() + ANSWER_S
    while not journal.count("notes"):
        assert journal.tree.clock.monotonic() < ends_at


@pytest.mark.req("ORD-9")
def test_a_note_is_not_lost_when_the_journal_stops_in_order(tmp_path: Path) -> None:
    with JournalLock(tmp_path / "journal.sqlite") as lock:
        made = JournalTree(lock)
        record_note(made, 1)
        while any(actor.mailbox_depth for actor in made.tree.status()):
            continue  # a stop overtakes what still waits in the mailbox
        made.tree.stop()

        assert made.count("notes") == 1
