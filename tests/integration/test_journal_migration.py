"""A journal of the version before: it is migrated as it is opened, and explained in the same bytes as before.

``data/journal_v4`` holds a recorded session (fills, a change, a cancel, refusals, a liquidation and a re-arm) as SQL,
and what ``explain`` printed of it, both made by the program of that time.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from actors.logic.order_table import OrderState
from supervision.store.entries.executions import traded
from supervision.store.entries.limits import baselines
from supervision.store.entries.orders import ended_orders, open_orders
from supervision.store.journal_codec import read_order
from supervision.store.journal_file import JournalFile
from supervision.store.journal_lock import JOURNAL_FILE, JournalLock
from supervision.store.journal_schema import MIGRATIONS
from tests.integration.test_explain import Run, config_of
from tests.unit.logic.values import NOW

RECORDED: Final = Path(__file__).parent / "data" / "journal_v4"
IDS: Final[dict[str, str]] = json.loads((RECORDED / "ids.json").read_text("utf-8"))
QUESTIONS: Final = {
    "last": ("--last", "20"),
    "liquidation": ("--liquidation",),
    **{name: (order_id,) for name, order_id in IDS.items() if name != "liquidation"},
}


@pytest.fixture
def recorded(tmp_path: Path) -> Run:
    """The recorded journal, in the version that it was recorded in."""
    made = Run(config_of(tmp_path))
    with closing(sqlite3.connect(made.journal, isolation_level=None)) as file:
        file.executescript((RECORDED / "journal.sql").read_text("utf-8"))
    return made


def migrate(run: Run) -> None:
    """Open the journal as a process does, and close it."""
    with JournalLock(run.config.parent / JOURNAL_FILE) as lock:
        JournalFile(lock).close()


def version(run: Run) -> int:
    """Read the version of the journal's file."""
    with closing(sqlite3.connect(run.journal)) as file:
        (found,) = file.execute("PRAGMA user_version").fetchone()
    return int(found)


def assert_explained_as_before(run: Run) -> None:
    """Ask all questions, for people and for machines."""
    for name, words in QUESTIONS.items():
        for suffix, more in (("", ()), ("_json", ("--json",))):
            expected = (RECORDED / f"{name}{suffix}.txt").read_bytes()
            assert run.explain(*words, *more).out.encode() == expected, name + suffix


@pytest.mark.req("ORD-9")
def test_a_migrated_journal_is_explained_in_the_same_bytes(recorded: Run) -> None:
    migrate(recorded)

    assert version(recorded) == len(MIGRATIONS)
    assert_explained_as_before(recorded)


@pytest.mark.req("ORD-9")
def test_a_journal_that_is_only_read_stays_in_its_version(recorded: Run) -> None:
    before = version(recorded)

    assert_explained_as_before(recorded)

    assert version(recorded) == before


@pytest.mark.req("ORD-9", "SUP-6")
def test_what_a_recovery_needs_survives_the_migration(recorded: Run) -> None:
    with JournalLock(recorded.journal) as lock:
        journal = JournalFile(lock)
        ended = [
            read_order(stored) for stored in ended_orders(journal.read, NOW.replace(year=2000))
        ]

        assert open_orders(journal.read) == ()
        assert {order.order_id for order in ended} >= {
            IDS["filled"],
            IDS["cancelled"],
            IDS["after"],
        }
        assert {order.state for order in ended} == {
            OrderState.FILLED,
            OrderState.CANCELLED,
            OrderState.FAILED,
        }
        assert {row.kind for row in baselines(journal.read)} == {"day", "week"}
        assert {operator for operator, _ in traded(journal.read)} == {"CSATSPRIM"}
        journal.close()
