"""``python -m supervision explain``: what became of an order and why, by the journal alone.

A real process trades against the simulator: a partial fill, a change, a cancel, refusals by risk and by the broker, a
liquidation. Then the command is asked, most of it after the process has ended.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from actors.kernel.addresses import TapRecord
from actors.messages.addresses import EXECUTOR, JOURNAL
from actors.messages.journal import Note
from actors.messages.orders import BrokerOrderReported, OrderUpdated
from supervision import CloseReason, OrderStatus
from supervision.commands.cli import ExitCode
from supervision.commands.explain import explain_order
from supervision.config.sections import Journal
from supervision.observe.masking import Masker
from supervision.process.handle import Process
from supervision.simulator import SimulatorConfig
from supervision.store.audit import open_audit
from supervision.store.entries.liquidations import audit_rows, audit_trail
from supervision.store.entries.orders import intent_rows, open_orders, transition_rows
from supervision.store.journal_file import JournalFile
from supervision.store.journal_lock import JOURNAL_FILE, JournalLock
from supervision.store.journal_schema import APPLICATION_ID, MIGRATIONS
from supervision.store.journal_values import Writer
from tests.unit.logic.values import NOW, trade_request, wire_order
from tests.walk.commands import Ended, in_process
from tests.walk.watching import tapped
from tests.worlds import (
    CONTEXT,
    LENIENT,
    ProofWorld,
    RealWorld,
    a_config,
    buy,
    prove,
    real_world,
)

MOST: Final = 1000.0
DRILL: Final = "a drill"
WHO: Final = "the operator"
SIMULATED: Final = SimulatorConfig(seed=7, cash=1_000_000.0)
JUDGED: Final = {"net_liquidation", "position_quantity", "order_cost"}
"""Some of the numbers that risk judges an opening order by."""


@attrs.define
class Run:
    """What is left of a run: its state directory, the ids that callers were told, and what was told while it ran."""

    config: Path
    ids: dict[str, str] = attrs.field(factory=dict)
    perm_id: int = 0
    broker_id: int = 0
    account: str = ""
    meanwhile: dict[str, Any] = attrs.field(factory=dict)

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.config.parent / JOURNAL_FILE

    def explain(self, *words: str) -> Ended:
        """Run the command."""
        return in_process("explain", *words, "--config", str(self.config))

    def told(self, order: str) -> dict[str, Any]:
        """Have an order explained to a machine."""
        ended = self.explain(order, "--json")
        assert ended.code == ExitCode.OK, ended.err
        return dict(json.loads(ended.out))

    def whats(self, name: str) -> list[str]:
        """Name the kinds of an order's steps, in order."""
        return [step["what"] for step in self.told(self.ids[name])["steps"]]


def config_of(folder: Path) -> Path:
    """Write a configuration that only says where the state lies."""
    path = folder / "config.toml"
    path.write_text(f"[general]\nstate_dir = '{folder.as_posix()}'\n", "utf-8")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Trade once for the tests of this file."""
    folder = tmp_path_factory.mktemp("explained")
    made = Run(config_of(folder))
    config = a_config(journal=Journal(), risk=attrs.evolve(LENIENT, max_position_quantity=MOST))

    async def trade() -> None:
        async with real_world(folder, config=config, simulated=SIMULATED) as world:
            await _trade(world, made)

    asyncio.run(trade())
    return made


async def _trade(world: RealWorld, run: Run) -> None:
    gateway, faults, ids = world.gateway, world.simulator.faults, run.ids
    filled = await gateway.submit_order(buy(7, "QQQ"), CONTEXT)
    ids["filled"] = filled.order_id

    low = buy(10, order_type="LMT", limit_price=560.0)
    resting = await gateway.submit_order(low, CONTEXT, wait_for="ack")
    ids["resting"] = resting.order_id
    (working,) = world.simulator.call(lambda simulator: simulator.open_orders())
    run.perm_id, run.account = working.perm_id, working.account
    faults.fill(working.perm_id, 3)
    await gateway.modify_order(resting.order_id, limit_price=561.0)
    with pytest.raises(Exception, match="limit"):
        await gateway.modify_order(resting.order_id, quantity=MOST * 2)
    cancelled = await gateway.cancel_order(resting.order_id)
    assert cancelled.fill_quantity == 3
    run.broker_id = cancelled.ibkr_order_id or 0
    run.meanwhile = await asyncio.to_thread(run.told, ids["filled"])

    refused = await gateway.submit_order(buy(MOST * 5), CONTEXT)
    assert refused.status is OrderStatus.REJECTED
    ids["by risk"] = refused.order_id
    faults.reject_next_order(text="Order rejected - reason:no\x1b[2J margin")
    failed = await gateway.submit_order(buy(1, "KO"), CONTEXT)
    ids["by broker"] = failed.order_id

    await gateway.liquidate(DRILL)
    await world.until(lambda: bool(gateway.liquidation_reports))
    assert gateway.liquidation_reports[-1].flat
    late = await gateway.submit_order(buy(1, "MSFT"), CONTEXT)
    assert late.order_id == ""
    ids["latched"] = late.correlation_id
    await gateway.rearm(WHO, "the drill is over")


def at(step: dict[str, Any]) -> datetime:
    """Read a step's time."""
    return datetime.fromisoformat(step["at"])


# --- the life of an order -----------------------------------------------------------------------------------------


@pytest.mark.req("ORD-9", "RSK-2", "ORD-3")
def test_an_order_is_told_from_its_signal_to_its_fill_in_the_order_of_time(run: Run) -> None:
    told = run.told(run.ids["filled"])

    whats = [step["what"] for step in told["steps"]]
    assert whats[:5] == ["signal", "risk", "permit", "intent", "sent"]
    assert {"broker", "fill", "state"} <= set(whats[5:])
    times = [at(step) for step in told["steps"]]
    assert times == sorted(times)
    assert told["steps"][0]["after_s"] == 0.0
    assert told["order"]["state"] == OrderStatus.FILLED
    assert told["not_known"] == []


@pytest.mark.req("RSK-2", "ORD-3")
def test_the_numbers_that_risk_saw_and_the_permit_are_told(run: Run) -> None:
    steps = {step["what"]: step for step in run.told(run.ids["filled"])["steps"]}

    assert set(steps["risk"]["facts"]["numbers"]) >= JUDGED
    assert steps["risk"]["facts"]["numbers"]["position_quantity"] == 7
    assert steps["risk"]["facts"]["quote"]["last"] > 0
    expires_at = datetime.fromisoformat(steps["permit"]["facts"]["expires_at"])
    assert 0 < (expires_at - at(steps["permit"])).total_seconds() <= 2.5


@pytest.mark.req("ORD-9", "ORD-7")
def test_a_fill_is_told_with_its_price_and_its_commission(run: Run) -> None:
    steps = run.told(run.ids["filled"])["steps"]

    (fill,) = [step["facts"] for step in steps if step["what"] == "fill"]
    assert fill["quantity"] == 7
    assert fill["commission"] > 0
    assert fill["price"] > 0


@pytest.mark.req("ORD-9", "ORD-3")
def test_a_partial_fill_a_change_and_a_cancel_are_told(run: Run) -> None:
    told = run.told(run.ids["resting"])

    steps = told["steps"]
    (change,) = [step["facts"] for step in steps if step["what"] == "change"]
    assert (change["from"]["limit_price"], change["to"]["limit_price"]) == (560.0, 561.0)
    assert steps[0]["facts"]["limit_price"] == 560.0
    assert [step["facts"]["quantity"] for step in steps if step["what"] == "fill"] == [3]
    assert [step["what"] for step in steps].count("permit") == 2
    assert [step["what"] for step in steps].count("sent") == 2
    states = [step["facts"]["state"] for step in steps if step["what"] == "state"]
    assert states[-2:] == ["CANCELLING", "CANCELLED"]


@pytest.mark.req("ORD-9")
def test_a_change_that_risk_refused_is_told_with_the_number_and_the_limit(run: Run) -> None:
    steps = run.told(run.ids["resting"])["steps"]

    (refused,) = [step for step in steps if step["what"] == "refused"]
    assert f"exceeds limit ({MOST:,.0f})" in refused["text"]


@pytest.mark.req("ORD-9", "ORD-8")
def test_what_the_broker_said_is_told_in_its_own_words(run: Run) -> None:
    steps = run.told(run.ids["by broker"])["steps"]

    said = [step["facts"] for step in steps if step["what"] == "broker"]
    assert any(fact.get("code") == 201 and "margin" in fact["text"] for fact in said)


@pytest.mark.req("ORD-9", "RSK-2")
def test_an_order_that_risk_rejected_is_told_with_every_reason(run: Run) -> None:
    told = run.told(run.ids["by risk"])

    assert told["order"]["was_sent"] is False
    assert run.whats("by risk") == ["signal", "risk", "refused"]
    judged = told["steps"][1]["facts"]
    assert judged["approved"] is False
    assert judged["numbers"]["position_quantity"] == MOST * 5 + 3
    assert any(f"exceeds limit ({MOST:,.0f})" in reason for reason in judged["reasons"])


@pytest.mark.req("ORD-9", "STC-2")
def test_an_order_that_was_refused_at_once_is_found_by_its_callers_correlation_id(run: Run) -> None:
    told = run.told(run.ids["latched"])

    assert DRILL in told["steps"][-1]["text"]
    assert "latched" in told["steps"][-1]["text"]
    assert told["not_known"]


@pytest.mark.req("GW-9", "ORD-9")
def test_a_close_of_strategy_c_names_its_reason_and_the_latch_that_it_came_from(run: Run) -> None:
    listed = json.loads(run.explain("--last", "50", "--json").out)["orders"]
    closes = [order for order in listed if order["order_id"].startswith("CLOSE_")]

    assert len(closes) == 2
    for close in closes:
        told = run.told(close["order_id"])
        assert told["order"]["close_reason"] == CloseReason.MANUAL
        (latch,) = [step for step in told["steps"] if step["what"] == "latch"]
        assert DRILL in latch["text"]
        assert told["steps"][0] == latch


# --- finding it ---------------------------------------------------------------------------------------------------


@pytest.mark.req("ORD-9")
def test_every_id_that_an_order_has_finds_it(run: Run) -> None:
    told = run.told(run.ids["resting"])["order"]
    fills = [step for step in run.told(run.ids["resting"])["steps"] if step["what"] == "fill"]
    names = (
        told["order_ref"],
        told["correlation_id"],
        str(run.perm_id),
        str(run.broker_id),
        fills[0]["facts"]["exec_id"],
    )

    assert [run.told(name)["order"]["order_id"] for name in names] == [run.ids["resting"]] * 5


def test_an_unknown_id_is_refused_with_the_way_to_find_one(run: Run) -> None:
    ended = run.explain("ORD_nobody")

    assert ended.code == ExitCode.USAGE
    assert "ORD_nobody" in ended.err
    assert "--last" in ended.err


def test_the_newest_orders_are_listed_with_their_state_and_those_not_sent(run: Run) -> None:
    lines = run.explain("--last", "50").out.splitlines()

    by_id = {line.split()[3]: line for line in lines[1:]}
    assert set(run.ids.values()) <= set(by_id)
    assert " FILLED " in by_id[run.ids["filled"]]
    assert " REJECTED " in by_id[run.ids["by risk"]]
    assert "exceeds limit" in by_id[run.ids["by risk"]]
    assert len(run.explain("--last", "2").out.splitlines()) == 3


def test_neither_an_order_nor_a_list_is_wrong_usage(run: Run) -> None:
    assert run.explain().code == ExitCode.USAGE
    assert run.explain(run.ids["filled"], "--last", "3").code == ExitCode.USAGE


# --- how it is told -----------------------------------------------------------------------------------------------


def test_people_read_a_line_per_step_with_its_time_in_utc_and_the_seconds_since_the_first(
    run: Run,
) -> None:
    lines = run.explain(run.ids["filled"]).out.splitlines()

    steps = [line for line in lines if line[:4].isdigit()]
    assert len(steps) == len(run.told(run.ids["filled"])["steps"])
    day, clock, after, what = steps[0].split()[:4]
    assert datetime.fromisoformat(f"{day} {clock}").tzinfo == UTC
    assert (after, what) == ("+0.000", "signal")
    assert len(clock) == len("15:00:00.000Z")


@pytest.mark.req("OBS-4")
def test_no_account_is_told_neither_to_people_nor_to_machines(run: Run) -> None:
    assert run.account
    for order in [*run.ids.values(), str(run.perm_id)]:
        for words in ((order,), (order, "--json")):
            assert run.account not in run.explain(*words).out
    assert run.told(run.ids["filled"])["order"]["account"].endswith(run.account[-2:])


def test_what_a_broker_says_does_not_reach_the_terminal_as_a_command(run: Run) -> None:
    told = explain_order(run.journal, run.ids["by broker"], Masker(), as_json=False)

    assert any("no?[2J margin" in line for line in told.lines)
    assert all(line.isprintable() for line in told.lines)


# --- beside the process, after it, and what it did not write ------------------------------------------------------


@pytest.mark.req("ORD-9")
def test_it_is_told_while_the_process_runs(run: Run) -> None:
    assert run.meanwhile["order"]["state"] == OrderStatus.FILLED
    assert run.meanwhile["steps"][0]["what"] == "signal"


@pytest.mark.req("ORD-9", "DB-4")
def test_a_reader_stands_in_the_way_of_no_writer(tmp_path: Path) -> None:
    path = tmp_path / JOURNAL_FILE
    with JournalLock(path) as lock:
        journal = JournalFile(lock)
        with open_audit(path) as trail:
            assert trail.newest(1) == ()
            with journal.batch() as batch:
                batch.add(
                    Writer(name="executor", incarnation=1),
                    audit_rows(at=NOW, kind="k", who="w", why="y"),
                )

            assert len(audit_trail(journal.read)) == 1
        journal.close()


def test_a_reader_cannot_write(run: Run) -> None:
    with open_audit(run.journal) as trail, pytest.raises(sqlite3.OperationalError):
        trail._connection.execute("DELETE FROM intents")


def test_what_a_killed_process_left_is_read(run: Run, tmp_path: Path) -> None:
    with JournalLock(tmp_path / "live" / JOURNAL_FILE) as lock:
        journal = JournalFile(lock)
        record_former_order(journal)
        left = tmp_path / "left"
        left.mkdir()
        for suffix in ("", "-wal"):
            shutil.copy(lock.path.with_name(lock.path.name + suffix), left)
        journal.close()

    assert Run(config_of(left)).told("OLD_1")["order"]["state"] == "SENT"


def record_former_order(journal: JournalFile) -> None:
    """Record an order that was sent, without an approval."""
    writer = Writer(name="executor", incarnation=1)
    with journal.batch() as batch:
        batch.add(
            writer,
            intent_rows(
                order_ref="OP:OLD_1",
                order_id="OLD_1",
                correlation_id="c",
                purpose="open",
                content=former_content(),
                at=NOW,
            ),
        )
        batch.add(
            writer,
            transition_rows(
                order_ref="OP:OLD_1", at=NOW, state="SENT", final=False, detail={"text": "sent"}
            ),
        )


def former_content() -> Any:
    """What an intent's content held in every version so far."""
    from supervision.store.journal_codec import intent_content

    order = wire_order()
    return intent_content(order, trade_request(order))


@pytest.fixture
def former(tmp_path: Path) -> Run:
    """A journal as the version before wrote it, with one order."""
    made = Run(config_of(tmp_path))
    with closing(sqlite3.connect(made.journal, isolation_level=None)) as file:
        for step in MIGRATIONS[:3]:
            file.executescript(step)
        file.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        file.execute("PRAGMA user_version = 3")
        file.execute(
            "INSERT INTO intents (order_ref, order_id, correlation_id, purpose, content, created_at, writer,"
            " incarnation) VALUES ('OP:OLD_1', 'OLD_1', 'c', 'open', ?, ?, 'executor', 1)",
            (json.dumps(former_content()), NOW.isoformat()),
        )
    return made


@pytest.mark.req("ORD-9")
def test_a_journal_of_the_former_version_is_told_as_far_as_it_goes_and_left_as_it_is(
    former: Run,
) -> None:
    told = former.told("OLD_1")

    assert [step["what"] for step in told["steps"]] == ["signal", "intent"]
    assert any("earlier version" in gap for gap in told["not_known"])
    with closing(sqlite3.connect(former.journal)) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (3,)


@pytest.mark.req("ORD-9")
def test_a_journal_of_the_former_version_opens_and_keeps_its_orders(former: Run) -> None:
    with JournalLock(former.journal) as lock:
        journal = JournalFile(lock)
        assert [order.order_id for order in open_orders(journal.read)] == ["OLD_1"]
        journal.close()

    assert former.told("OLD_1")["order"]["order_ref"] == "OP:OLD_1"


def test_without_a_journal_it_says_where_it_looked(tmp_path: Path) -> None:
    ended = Run(config_of(tmp_path)).explain("--last", "5")

    assert ended.code == ExitCode.USAGE
    assert JOURNAL_FILE in ended.err


@pytest.mark.req("MODE-1", "ORD-9")
def test_an_order_of_a_dry_run_is_told_up_to_the_gate(tmp_path: Path) -> None:
    made = Run(config_of(tmp_path))

    async def simulate() -> None:
        config = a_config(journal=Journal())
        async with real_world(tmp_path, mode="dry_run", config=config) as world:
            made.ids["dry"] = (await world.gateway.submit_order(buy(3), CONTEXT)).order_id

    asyncio.run(simulate())
    told = made.told(made.ids["dry"])

    assert told["order"]["state"] == OrderStatus.SIMULATED
    assert told["order"]["was_sent"] is False
    assert made.whats("dry") == ["signal", "risk", "permit", "intent", "state"]
    assert any("dry run" in gap for gap in told["not_known"])


def test_an_id_that_several_orders_share_lists_them(tmp_path: Path) -> None:
    made = Run(config_of(tmp_path))
    writer = Writer(name="executor", incarnation=1)
    with JournalLock(made.journal) as lock:
        journal = JournalFile(lock)
        for name in ("A", "B"):
            with journal.batch() as batch:
                batch.add(
                    writer,
                    intent_rows(
                        order_ref=f"OP:{name}",
                        order_id=name,
                        correlation_id="c",
                        purpose="open",
                        content=former_content(),
                        at=NOW,
                    ),
                )
                batch.add(
                    writer,
                    transition_rows(
                        order_ref=f"OP:{name}",
                        at=NOW,
                        state="SENT",
                        final=False,
                        detail={"text": "sent", "broker_order_id": 17},
                    ),
                )
        journal.close()

    ended = made.explain("17")

    assert ended.code == ExitCode.USAGE
    assert [line.split()[3] for line in ended.out.splitlines()[1:]] == ["A", "B"]


def kept_notes(process: Process) -> list[Note]:
    """Have every note written down that the journal is told of."""
    found: list[Note] = []

    def tap(record: TapRecord) -> None:
        if isinstance(record.message, OrderUpdated) and record.recipient == JOURNAL:
            found.extend(entry for entry in record.message.entries if isinstance(entry, Note))

    process.tap(tap)
    return found


@pytest.mark.req("ORD-9")
def test_a_message_that_the_broker_repeats_is_kept_once() -> None:
    async def scenario(world: ProofWorld) -> None:
        notes = kept_notes(world.process)
        reports = tapped(world.process, BrokerOrderReported)
        low = buy(10, order_type="LMT", limit_price=560.0)
        await world.gateway.submit_order(low, CONTEXT, wait_for="ack")
        await world.until(lambda: len(notes) == 2)  # an openOrder and an orderStatus

        world.process.tell(EXECUTOR, reports[-1])
        await world.gateway.get_open_orders()

        assert [note.kind for note in notes] == ["openOrder", "orderStatus"]

    prove(scenario)
