"""What must be true after a crash, judged by the gateway's own state file and by the journal, read from outside."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs

from supervision.simulator import LedgerEntry, read_ledger

CENT = 0.01
ENDS = {"Filled": {"FILLED"}, "Cancelled": {"CANCELLED"}, "Inactive": {"FAILED", "CANCELLED"}}
NOT_AT_BROKER = {"FAILED", "LOST", "REJECTED", "CANCELLED"}


@attrs.frozen
class Broker:
    """The gateway's record: orders by permId, executions by id, and every message about an order."""

    orders: dict[int, dict[str, Any]]
    executions: dict[str, dict[str, Any]]
    ledger: list[LedgerEntry]
    opening_cash: float

    @classmethod
    def read(cls, state: Path, opening_cash: float) -> Broker:
        """Read the state file, while its gateway runs."""
        orders: dict[int, dict[str, Any]] = {}
        executions: dict[str, dict[str, Any]] = {}
        for line in state.read_text().splitlines():
            for kind, record in json.loads(line):
                if kind == "order":
                    orders[record["perm_id"]] = record
                elif kind == "execution":
                    executions[record["exec_id"]] = record
        return cls(orders, executions, read_ledger(state), opening_cash)

    @property
    def positions(self) -> dict[int, float]:
        """What the executions add up to, by contract."""
        held: dict[int, float] = defaultdict(float)
        for item in self.executions.values():
            held[item["contract"]["con_id"]] += _signed(item)
        return {con_id: quantity for con_id, quantity in held.items() if quantity}

    @property
    def cash(self) -> float:
        """The opening cash, less what was paid."""
        paid = sum(
            _signed(item) * float(item["price"]) * _multiplier(item) + float(item["commission"])
            for item in self.executions.values()
        )
        return self.opening_cash - paid

    @property
    def working(self) -> list[str]:
        """The references of the orders that can still fill."""
        return sorted(
            order["order_ref"]
            for order in self.orders.values()
            if order["status"] not in ENDS and order["transmit"]
        )

    def flips(self) -> Iterator[str]:
        """Name the executions that took a position through zero."""
        held: dict[int, float] = defaultdict(float)
        for item in self.executions.values():
            con_id = item["contract"]["con_id"]
            before = held[con_id]
            held[con_id] += _signed(item)
            if before * held[con_id] < 0:
                yield f"{item['order_ref']} took {con_id} from {before:g} to {held[con_id]:g}"


def _signed(execution: dict[str, Any]) -> float:
    quantity = float(execution["quantity"])
    return quantity if execution["side"] == "BOT" else -quantity


def _multiplier(execution: dict[str, Any]) -> float:
    return float(execution["contract"]["multiplier"] or 1)


@attrs.frozen
class JournalContent:
    """What the journal holds: states by reference, executions, and when it latched."""

    states: dict[str, str | None]
    executions: dict[str, tuple[str, float, float]]
    latched_at: datetime | None

    @classmethod
    def read(cls, path: Path) -> JournalContent:
        """Read the file, as another process."""
        with closing(sqlite3.connect(path)) as journal:
            states = journal.execute(
                "SELECT order_ref, (SELECT state FROM transitions t WHERE t.order_ref = i.order_ref"
                " ORDER BY seq DESC LIMIT 1) FROM intents i"
            ).fetchall()
            executions = journal.execute("SELECT exec_id, content FROM executions").fetchall()
            latch = journal.execute("SELECT at FROM latch WHERE latched ORDER BY seq").fetchall()
        contents = {exec_id: json.loads(content) for exec_id, content in executions}
        return cls(
            dict(states),
            {
                exec_id: (content["order_ref"], content["quantity"], content["price"])
                for exec_id, content in contents.items()
            },
            datetime.fromisoformat(latch[0][0]) if latch else None,
        )


def is_latched(path: Path) -> bool:
    """Whether the journal that a dead process left has a durable latch; it may not have come to a journal at all."""
    if not path.exists():
        return False
    try:
        return JournalContent.read(path).latched_at is not None
    except sqlite3.OperationalError:
        return False


def disagreements(told: dict[str, Any], broker: Broker) -> list[str]:
    """Compare what our process believes with what the gateway knows."""
    if "error" in told:
        return [f"the next process failed: {told['error']}"]
    found = []
    if told["positions"] != broker.positions:
        found.append(f"positions: we say {told['positions']}, the gateway {broker.positions}")
    if abs((told["cash"] or 0.0) - broker.cash) > CENT:
        found.append(f"cash: we say {told['cash']}, the gateway {broker.cash}")
    theirs = [reference.partition(":")[2] for reference in broker.working]
    if told["working"] != theirs:
        found.append(f"working orders: we say {told['working']}, the gateway {theirs}")
    return found


def broken_promises(broker: Broker, journal: JournalContent, log: str) -> list[str]:
    """Check, when all is over, what must hold whatever happened."""
    return [
        *_not_once(broker),
        *_forgotten(broker, journal, log),
        *_miscounted(broker, journal),
        *_opened_after_latch(broker, journal),
        *broker.flips(),
        *(f"still held: {item}" for item in broker.positions.items()),
        *(f"still working: {reference}" for reference in broker.working),
        *(() if journal.latched_at else ("no liquidation was latched",)),
    ]


def _not_once(broker: Broker) -> Iterator[str]:
    """At most one order at the broker for each intent."""
    placed = Counter(entry.order_ref for entry in broker.ledger if entry.kind == "place")
    yield from (f"{ref} was placed {count} times" for ref, count in placed.items() if count > 1)


def _forgotten(broker: Broker, journal: JournalContent, log: str) -> Iterator[str]:
    """Every order at the broker has an intent, and every intent ended in the truth."""
    at_broker = {order["order_ref"]: order for order in broker.orders.values()}
    for reference in at_broker.keys() - journal.states.keys():
        yield f"{reference} is at the gateway and has no intent"
    for reference, state in journal.states.items():
        order = at_broker.get(reference)
        expected = NOT_AT_BROKER if order is None else ENDS.get(order["status"], set())
        if state not in expected:
            status = "does not know it" if order is None else f"says {order['status']}"
            yield f"{reference} ended as {state}, and the gateway {status}"
        if state == "LOST" and not _is_reported(reference, log):
            yield f"{reference} is LOST, and nobody was told"


def _is_reported(reference: str, log: str) -> bool:
    order_id = reference.partition(":")[2]
    return any("order_lost" in line and order_id in line for line in log.splitlines())


def _miscounted(broker: Broker, journal: JournalContent) -> Iterator[str]:
    theirs = {
        exec_id: (item["order_ref"], item["quantity"], item["price"])
        for exec_id, item in broker.executions.items()
    }
    for exec_id in theirs.keys() ^ journal.executions.keys():
        side = "the gateway" if exec_id in theirs else "the journal"
        yield f"execution {exec_id} is known to {side} only"
    for exec_id in theirs.keys() & journal.executions.keys():
        if theirs[exec_id] != journal.executions[exec_id]:
            yield f"execution {exec_id}: {journal.executions[exec_id]} is not {theirs[exec_id]}"


def _opened_after_latch(broker: Broker, journal: JournalContent) -> Iterator[str]:
    for entry in broker.ledger:
        opens = entry.kind in ("place", "modify") and ":CLOSE_" not in entry.order_ref
        if opens and journal.latched_at is not None and entry.received_at > journal.latched_at:
            yield f"{entry.order_ref} was opened after the latch"
