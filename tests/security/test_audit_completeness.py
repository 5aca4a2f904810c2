"""Whatever reached the broker can be traced back: the journal and the log against the simulator's own ledger.

A seeded run opens, changes, cancels and closes, is liquidated and re-armed. Then the journal's file is read with plain
SQL, and the log's lines as they stand on the disk.
"""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from supervision import CloseReason, OrderStatus
from supervision.config.sections import Journal, Logging
from supervision.simulator import LedgerEntry, SimulatorConfig
from supervision.store.journal_lock import JOURNAL_FILE
from tests.worlds import CONTEXT, RealWorld, a_config, buy, real_world, sell

SEED: Final = 20261121
ENTRIES: Final = 8
SYMBOLS: Final = ("SPY", "QQQ", "KO", "MSFT")
OPERATOR: Final = "AUDITOR"
WHO, WHY = "the operator", "the drill is over"
DRILL: Final = "a drill"
LOG: Final = "log.jsonl"
FINAL: Final = {"FILLED", "CANCELLED", "FAILED"}


@attrs.frozen
class Evidence:
    """What is there after the run: the broker's ledger, the journal's tables, the log."""

    ledger: tuple[LedgerEntry, ...]
    tables: dict[str, list[dict[str, Any]]]
    log: list[dict[str, Any]]

    def placed(self) -> list[LedgerEntry]:
        """Every new order that the broker got."""
        return [entry for entry in self.ledger if entry.kind == "place"]

    def intent(self, order_ref: str) -> dict[str, Any]:
        """The one intent of an order."""
        (found,) = [each for each in self.tables["intents"] if each["order_ref"] == order_ref]
        return found | {"content": json.loads(found["content"])}

    def transitions(self, order_ref: str) -> list[dict[str, Any]]:
        """What became of it, in order."""
        return [each for each in self.tables["transitions"] if each["order_ref"] == order_ref]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Every line of this event."""
        return [line for line in self.log if line["event"] == event]


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Trade once for all tests of this file."""
    folder = tmp_path_factory.mktemp("audited")
    config = a_config(journal=Journal(), logging=Logging(console=False, file=LOG, level="DEBUG"))

    async def run() -> tuple[LedgerEntry, ...]:
        async with real_world(
            folder,
            config=config,
            operator_id=OPERATOR,
            simulated=SimulatorConfig(seed=7, cash=1_000_000.0),
        ) as world:
            await _trade(world)
            return world.simulator.ledger

    ledger = asyncio.run(run())
    return Evidence(ledger, _tables(folder / JOURNAL_FILE), list(_lines(folder / LOG)))


async def _trade(world: RealWorld) -> None:
    gateway, dice = world.gateway, random.Random(SEED)
    for number in range(ENTRIES):
        signal = buy(dice.randint(1, 20), SYMBOLS[number % len(SYMBOLS)])
        filled = await gateway.submit_order(signal, CONTEXT)
        assert filled.status is OrderStatus.FILLED, filled
    resting = await gateway.submit_order(
        buy(5, order_type="LMT", limit_price=560.0), CONTEXT, wait_for="ack"
    )
    await gateway.modify_order(resting.order_id, limit_price=561.0)
    await gateway.cancel_order(resting.order_id)
    world.simulator.faults.reject_next_order()
    await gateway.submit_order(sell(1, "SPY"), CONTEXT)
    positions = await gateway.get_positions()
    await gateway.close_position(positions[0].position_id, CloseReason.STRATEGY_EXIT)
    await gateway.liquidate(DRILL)
    await world.until(lambda: bool(gateway.liquidation_reports))
    assert gateway.liquidation_reports[-1].flat
    await gateway.rearm(WHO, WHY)


def _tables(path: Path) -> dict[str, list[dict[str, Any]]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        names = [
            name
            for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        return {
            name: [dict(row) for row in database.execute(f'SELECT * FROM "{name}"')]  # noqa: S608
            for name in names
        }


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text("utf-8").splitlines():
        yield json.loads(line)


@pytest.mark.req("QUA-1", "ORD-9")
def test_every_order_that_the_broker_got_was_intended_before(evidence: Evidence) -> None:
    placed = evidence.placed()

    assert len(placed) >= ENTRIES + 3
    for entry in placed:
        intent = evidence.intent(entry.order_ref)
        order = intent["content"]["order"]
        assert (order["action"], order["quantity"], order["order_type"]) == (
            entry.action,
            entry.quantity,
            entry.order_type,
        )
        assert intent["created_at"] <= entry.received_at.isoformat()
        assert entry.ext_operator == OPERATOR
        assert entry.order_ref.startswith(OPERATOR)


@pytest.mark.req("QUA-1", "ORD-9")
def test_nothing_is_intended_that_neither_reached_the_broker_nor_has_an_end(
    evidence: Evidence,
) -> None:
    reached = {entry.order_ref for entry in evidence.placed()}

    for intent in evidence.tables["intents"]:
        last = evidence.transitions(intent["order_ref"])[-1]
        assert last["is_final"], intent
        assert intent["order_ref"] in reached or last["state"] in FINAL


@pytest.mark.req("QUA-1", "ORD-9")
def test_every_order_has_its_way_from_the_gate_to_its_end(evidence: Evidence) -> None:
    for entry in evidence.placed():
        steps = evidence.transitions(entry.order_ref)
        states = [step["state"] for step in steps]
        assert states[0] == "SENT", states
        assert states[-1] in FINAL, states
        assert [step["at"] for step in steps] == sorted(step["at"] for step in steps)
        assert all(step["source"] for step in steps)


@pytest.mark.req("QUA-1", "ORD-3")
def test_every_change_of_an_order_was_recorded_with_the_terms_that_it_replaced(
    evidence: Evidence,
) -> None:
    changed = [entry for entry in evidence.ledger if entry.kind == "modify"]

    assert len(changed) == 1
    (row,) = evidence.tables["modifications"]
    assert row["order_ref"] == changed[0].order_ref
    assert json.loads(row["replaced"])["order"]["limit_price"] == 560.0
    assert evidence.intent(row["order_ref"])["content"]["order"]["limit_price"] == 561.0


@pytest.mark.req("QUA-1", "GW-9")
def test_every_close_has_its_reason_and_every_opening_its_strategy(evidence: Evidence) -> None:
    closes = 0
    for entry in evidence.placed():
        intent = evidence.intent(entry.order_ref)
        content = intent["content"]
        if intent["purpose"] == "close":
            closes += 1
            assert content["close_reason"] in set(CloseReason)
        else:
            assert content["close_reason"] is None
            assert content["request"]["strategy_id"] == CONTEXT.strategy_id
            assert content["request"]["operator_id"] == OPERATOR
    reasons = {
        json.loads(intent["content"])["close_reason"] for intent in evidence.tables["intents"]
    }
    assert closes >= len(SYMBOLS)
    assert {"STRATEGY_EXIT", "MANUAL"} <= reasons


@pytest.mark.req("QUA-1", "RSK-2")
def test_every_order_was_approved_by_risk_under_its_callers_correlation_id(
    evidence: Evidence,
) -> None:
    approved = {line["correlation_id"] for line in evidence.logged("risk_approved")}

    for entry in evidence.placed():
        intent = evidence.intent(entry.order_ref)
        root = intent["correlation_id"].partition("/")[0]
        assert root in {each.partition("/")[0] for each in approved}, intent


@pytest.mark.req("QUA-1", "STC-4")
def test_the_re_arm_names_who_and_why_and_the_latch_its_cause(evidence: Evidence) -> None:
    latched, rearmed = evidence.tables["latch"]

    assert (latched["latched"], rearmed["latched"]) == (1, 0)
    assert DRILL in latched["reason"]
    assert (rearmed["who"], rearmed["why"]) == (WHO, WHY)
    assert latched["liquidation_id"] == rearmed["liquidation_id"]
    trail = [(row["who"], row["why"]) for row in evidence.tables["audit"]]
    assert (WHO, WHY) in trail


@pytest.mark.req("QUA-1", "STC-6")
def test_the_liquidation_left_each_of_its_steps(evidence: Evidence) -> None:
    (run_id,) = {row["run_id"] for row in evidence.tables["steps"]}
    steps = [row["step"] for row in evidence.tables["steps"]]

    assert run_id == evidence.tables["latch"][0]["liquidation_id"]
    assert steps[0] == "CANCELLING"
    assert steps[-1] == "DONE"


@pytest.mark.req("QUA-1", "ORD-7")
def test_every_execution_belongs_to_an_intent(evidence: Evidence) -> None:
    intended = {row["order_ref"] for row in evidence.tables["intents"]}

    executed = {row["order_ref"] for row in evidence.tables["executions"]}
    assert executed
    assert executed <= intended
