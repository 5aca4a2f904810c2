"""Whatever is recorded, in whatever batches, however often the file is reopened: what is read equals a plain model."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from supervision.store.entries.executions import execution_rows, executions
from supervision.store.entries.limits import baseline_rows, baselines, floor_rows, floors
from supervision.store.entries.liquidations import latch_rows, newest_latch, step_rows, steps
from supervision.store.entries.orders import (
    intent_rows,
    modification_rows,
    open_orders,
    orders_history,
    transition_rows,
)
from supervision.store.journal_batch import Batch
from supervision.store.journal_file import JournalFile
from supervision.store.journal_lock import JournalLock
from supervision.store.journal_values import Writer

EPOCH = datetime(2025, 11, 21, tzinfo=UTC)
pytestmark = pytest.mark.req("ORD-9", "STC-2", "RSK-5")

WRITER = Writer(name="executor", incarnation=1)
REFS = st.sampled_from(["A", "B", "C"])
PAYLOADS = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


class JournalAndModel(RuleBasedStateMachine):
    """The journal beside dictionaries that do what it promises."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.lock = JournalLock(Path(self.directory.name) / "journal.sqlite").acquire()
        self.incarnation = 1
        self.minute = 0
        self.intents: dict[str, Any] = {}
        self.open: dict[str, bool] = {}
        self.states: dict[str, list[tuple[str, bool]]] = {}
        self.executions: dict[str, Any] = {}
        self.latches: list[tuple[bool, str]] = []
        self.steps: list[tuple[str, Any]] = []
        self.baselines: dict[tuple[str, str], float] = {}
        self.floors: dict[int, int] = {}

    @initialize()
    def open_journal(self) -> None:
        """Begin with an empty journal; the batch takes what the rules record."""
        self.journal = JournalFile(self.lock, synchronous="normal")
        self.batch: Batch = self.journal.batch()

    def at(self) -> datetime:
        """Give times that only go forward, so that both sides order alike."""
        self.minute += 1
        return EPOCH + timedelta(minutes=self.minute)

    @rule(ref=REFS, content=PAYLOADS)
    def intend_or_modify(self, ref: str, content: Any) -> None:
        """Record an intent, or a modification where there is one."""
        if ref in self.intents:
            self.batch.add(WRITER, modification_rows(order_ref=ref, content=content, at=self.at()))
        else:
            self.batch.add(
                WRITER,
                intent_rows(
                    order_ref=ref,
                    order_id=ref,
                    correlation_id=ref,
                    purpose="close",
                    content=content,
                    at=self.at(),
                ),
            )
        self.intents[ref] = content
        self.open[ref] = True

    @rule(ref=REFS, state=st.text(max_size=4), final=st.booleans())
    def go_on(self, ref: str, state: str, final: bool) -> None:
        """Record a transition, also of an order without intent."""
        self.batch.add(
            WRITER, transition_rows(order_ref=ref, at=self.at(), state=state, final=final)
        )
        self.states.setdefault(ref, []).append((state, final))
        if ref in self.intents:
            self.open[ref] = not final

    @rule(exec_id=st.sampled_from("xyz"), content=PAYLOADS)
    def execute(self, exec_id: str, content: Any) -> None:
        """Record an execution, perhaps once more."""
        self.batch.add(
            WRITER, execution_rows(exec_id=exec_id, order_ref="A", content=content, at=self.at())
        )
        self.executions.setdefault(exec_id, content)

    @rule(latched=st.booleans(), run=st.sampled_from(["L1", "L2"]), detail=PAYLOADS)
    def latch_and_step(self, latched: bool, run: str, detail: Any) -> None:
        """Record the latch and a step."""
        at = self.at()
        self.batch.add(
            WRITER,
            latch_rows(latched=latched, liquidation_id=run, reason="r", who="w", why="y", at=at),
        )
        self.batch.add(WRITER, step_rows(run_id=run, step="s", detail=detail, at=at))
        self.latches.append((latched, run))
        self.steps.append((run, detail))

    @rule(key=st.sampled_from("de"), value=st.floats(allow_nan=False, allow_infinity=False))
    def remember(self, key: str, value: float) -> None:
        """Record a baseline."""
        self.batch.add(WRITER, baseline_rows(kind="daily", key=key, value=value, at=self.at()))
        self.baselines["daily", key] = value

    @rule(client_id=st.integers(1, 2), highest=st.integers(0, 2**31))
    def use_order_id(self, client_id: int, highest: int) -> None:
        """Raise a floor."""
        self.batch.add(WRITER, floor_rows(client_id=client_id, highest=highest))
        self.floors[client_id] = max(highest, self.floors.get(client_id, 0))

    @rule()
    def reopen(self) -> None:
        """Close and open again, as a restart does."""
        self._commit()
        self.journal.close()
        self.incarnation += 1
        self.journal = JournalFile(self.lock, incarnation=self.incarnation, synchronous="normal")
        self.batch = self.journal.batch()

    @rule()
    def check(self) -> None:
        """Commit, and compare."""
        self._commit()
        read = self.journal.read
        latched = newest_latch(read)

        found = {
            each.order_ref: (each.content, each.last and (each.last.state, each.last.final))
            for each in open_orders(read)
        }
        expected = {
            ref: (content, self.states[ref][-1] if ref in self.states else None)
            for ref, content in self.intents.items()
            if self.open[ref]
        }
        assert found == expected
        assert {each.exec_id: each.content for each in executions(read)} == self.executions
        latch = latched and (latched.latched, latched.liquidation_id)
        assert latch == (self.latches[-1] if self.latches else None)
        newest = self.steps[-1][0] if self.steps else None
        assert [(each.run_id, each.detail) for each in steps(read)] == [
            step for step in self.steps if step[0] == newest
        ]
        newest_only = dict([max(self.baselines.items())]) if self.baselines else {}
        assert {(each.kind, each.key): each.value for each in baselines(read)} == newest_only
        assert dict(floors(read)) == self.floors
        for ref in "ABC":
            history = [(each.state, each.final) for each in orders_history(self.journal.read, ref)]
            assert history == self.states.get(ref, [])

    @invariant()
    def nothing_is_visible_before_the_commit(self) -> None:
        """The file shows whole batches only."""
        if len(self.batch) and not self.executions:
            assert executions(self.journal.read) == ()

    def teardown(self) -> None:
        """Compare once more, and clean up."""
        self.check()
        self.journal.close()
        self.lock.release()
        self.directory.cleanup()

    def _commit(self) -> None:
        with self.batch:
            pass
        self.batch = self.journal.batch()


TestJournalAndModel = JournalAndModel.TestCase
TestJournalAndModel.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
