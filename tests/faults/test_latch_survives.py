"""Whatever happens to link, disk, files and actors: the latch is where it was said to be, and re-arming is not undone.

Each seed is one day of trouble: somebody triggers and re-arms, the link goes and comes back, orders rest or are not
acknowledged, the disk refuses, Strategy C and others fail, the process is killed and comes back, without its journal
or its marker. A witness outside of the product compares what was answered with what the broker was sent.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from actors.errors import GatewayError, JournalError
from actors.kernel.actor import ActorContext, SupervisedActor
from actors.logic.order_ids import is_close, order_id_of
from actors.messages.addresses import EXECUTOR, JOURNAL, STRATEGY_C
from supervision import IBKRGateway
from supervision.process import build_proof_process
from supervision.process.handle import Process
from supervision.proof.loop import Proof, run_proof
from supervision.simulator import Simulator
from supervision.store.journal import JournalActor
from supervision.store.journal_lock import JOURNAL_FILE, JournalLock
from supervision.store.latch_marker import MARKER_FILE, LatchMarker, Mark
from supervision.store.uncommitted import Uncommitted
from tests.faults.crash import crash
from tests.troubled_disk import FULL, READ_ONLY, Disk
from tests.worlds import CONTEXT, NEXT_PROCESS, SIMULATED, a_config, buy

SEEDS: Final = 14
STEPS: Final = 30
OUTAGE_OVER_S: Final = 60.0
PAUSES_S: Final = (0.0, 0.001, 0.02, 0.3, 2.0, 20.0, 90.0)
SYMBOLS: Final = ("SPY", "AAPL")
ALLOWED_AT_ONCE_S: Final = 0.05
"""What was on its way when something was answered may arrive so much later."""


class MarkerOnDisk(LatchMarker):
    """A marker on the same disk as the journal: a full one takes it, since its room is there; a read-only one not."""

    def __init__(self, path: Path, disk: Disk) -> None:
        super().__init__(path)
        self._disk = disk
        self.refuses = False

    def prepare(self) -> None:
        """Take the room."""
        self._judge()
        super().prepare()

    def write(self, mark: Mark) -> None:
        """Write, where the disk allows it."""
        self._judge()
        super().write(mark)

    def _judge(self) -> None:
        is_read_only = self._disk.refuses is not None and self._disk.refuses[0] == READ_ONLY[0]
        if is_read_only or self.refuses:
            raise JournalError("the disk is read-only")


@attrs.define
class Witness:
    """What was answered, and what must not happen after it. Times are of the proof's loop, in seconds."""

    proof: Proof
    durable: bool = False
    honoured_at: float | None = None
    outage_answered: bool = False
    recorded: bool = False
    down: bool = False
    sound_since: float = -1000.0
    faults: list[str] = attrs.field(factory=list)
    listener: Callable[[str], object] = lambda _: None

    @property
    def now(self) -> float:
        """The proof's time."""
        return self.proof.loop.time()

    def note(self, event: str, **fields: object) -> None:
        """Read the log: a trigger that was taken, and the link."""
        self.listener(event)
        if event == "strategy_c_triggered":
            trigger = str(fields["trigger"])
            if trigger.startswith("disconnect") and self.outage_answered:
                self.faults.append(
                    f"{self.now}: latched anew in an outage that was answered: {trigger}"
                )
            self.honoured_at, self.recorded = None, False
        elif event in ("rearm_recorded", "rearmed"):
            self.recorded = event == "rearm_recorded"
        elif event == "outage_over":
            self.outage_answered = False
            if self.now < self.sound_since + OUTAGE_OVER_S - 1.0:
                self.faults.append(f"{self.now}: the outage ended early")

    def honoured(self, *, in_outage: bool) -> None:
        """An operator was told that the latch is taken back."""
        self.honoured_at, self.durable = self.now, False
        self.outage_answered = in_outage

    def placed(self, reference: str, at: float) -> None:
        """A close of ours reached the broker."""
        if self.honoured_at is not None and at > self.honoured_at + ALLOWED_AT_ONCE_S:
            self.faults.append(
                f"{self.now}: {reference} was sold after a re-arm at {self.honoured_at}"
            )


@attrs.define
class Day:
    """One seed's day: a broker, one process after the other, and what somebody does."""

    proof: Proof
    simulator: Simulator
    path: Path
    dice: random.Random
    witness: Witness
    disk: Disk = attrs.field(factory=Disk)
    gateway: IBKRGateway | None = None
    lock: JournalLock | None = None
    marker: MarkerOnDisk | None = None
    boots: int = 0
    seen: int = 0
    connecting: asyncio.Task[Any] | None = None
    done: Counter[str] = attrs.field(factory=Counter)

    # --- one process after the other ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start a process on what the last one left."""
        self.lock = lock = JournalLock(self.path / JOURNAL_FILE).acquire()
        kept = Uncommitted()
        self.marker = marker = MarkerOnDisk(self.path / MARKER_FILE, self.disk)
        self.boots += 1

        def journal(context: ActorContext) -> SupervisedActor:
            opened = partial(self.disk.open_file, lock, synchronous="normal", check=False)
            return JournalActor(
                context,
                open_file=lambda incarnation: opened(incarnation=incarnation),
                uncommitted=kept,
                marker=marker,
                log=self.witness.note,
            )

        def make(config: Any, mode: Any, operator_id: str, consults: bool) -> Process:
            return build_proof_process(
                config,
                loop=self.proof.loop,
                seed=self.proof.seed + NEXT_PROCESS * self.boots,
                simulator=self.simulator,
                clock=self.proof.clock,
                mode=mode,
                operator_id=operator_id,
                has_risk_manager=consults,
                journal=journal,
                log=self.witness.note,
            )

        self.gateway = IBKRGateway(a_config(), mode="paper", process=make)
        status = await self.gateway.status(30.0)
        if self.witness.durable and not status.latched:
            self.witness.faults.append(f"{self.witness.now}: a durable latch was lost at a start")
        self.connecting = asyncio.create_task(self._connect(self.gateway))

    async def _connect(self, gateway: IBKRGateway) -> None:
        with suppress(GatewayError):
            await gateway.connect(5.0)

    async def end(self) -> None:
        """Kill the process: nothing more of it reaches the disk."""
        self.disk.refuses = FULL
        assert self.gateway is not None
        assert self.connecting is not None
        assert self.lock is not None
        self.connecting.cancel()
        await asyncio.gather(self.connecting, return_exceptions=True)
        await self.gateway.disconnect()
        self.lock.release()
        self.disk.heal()
        if not self.witness.recorded:
            self.witness.outage_answered = (
                False  # a new process knows only what is still to be done
            )

    @property
    def running(self) -> IBKRGateway:
        """The process that runs."""
        assert self.gateway is not None
        return self.gateway

    # --- what somebody does ---------------------------------------------------------------------------------------

    async def buy_something(self) -> None:
        """Try to open; while the latch is on nothing may reach the broker."""
        latched = (await self.running.status()).latched
        before = self._openings()
        await self.running.submit_order(buy(10.0, self.dice.choice(SYMBOLS)), CONTEXT, timeout=3.0)
        still = (await self.running.status()).latched
        if latched and still and self._openings() > before:
            self.witness.faults.append(f"{self.witness.now}: something was opened while latched")

    def _openings(self) -> int:
        return sum(
            entry.kind == "place" and not is_close(order_id_of(entry.order_ref))
            for entry in self.simulator.ledger
        )

    async def liquidate(self) -> None:
        """Trigger by hand."""
        self.witness.honoured_at = None
        accepted = await self.running.liquidate("somebody wants it", timeout=8.0)
        if accepted.durable and (await self.running.status()).latched:
            self.witness.durable = True

    async def rearm(self) -> None:
        """Take the latch back."""
        answer = await self.running.rearm(
            "somebody", "it goes on", 8.0, keep_positions=self.dice.random() < 0.6
        )
        self.done[f"carried out {answer.carried_out}"] += answer.was_latched
        alive = [
            order.order_ref
            for order in self.simulator.open_orders()
            if is_close(order_id_of(order.order_ref))
        ]
        if answer.carried_out and answer.was_latched and alive:
            self.witness.faults.append(f"{self.witness.now}: re-armed while {alive} can fill")
        if answer.was_latched:
            in_outage = self.witness.down or (
                self.witness.now < self.witness.sound_since + OUTAGE_OVER_S - 5.0
            )
            self.witness.honoured(in_outage=in_outage)

    async def lose_the_link(self) -> None:
        """The gateway goes away, for a moment or for long."""
        self.witness.down = True
        self.simulator.faults.refuse_connections()
        self.simulator.faults.drop_connections()

    async def restore_the_link(self) -> None:
        """The gateway is back."""
        self.simulator.faults.accept_connections()
        if self.witness.down:
            self.witness.down, self.witness.sound_since = False, self.witness.now

    async def let_orders_rest(self) -> None:
        """Orders do not fill."""
        self.simulator.faults.hold_orders()

    async def let_orders_fill(self) -> None:
        """Orders fill again."""
        self.simulator.faults.release_orders()

    async def lose_an_acknowledgement(self) -> None:
        """The broker does not confirm the next order."""
        self.simulator.faults.lose_acknowledgement()

    async def trouble_the_disk(self) -> None:
        """The disk refuses what is written."""
        self.disk.refuses = self.dice.choice((FULL, READ_ONLY))

    async def heal_the_disk(self) -> None:
        """The disk works."""
        self.disk.heal()

    async def crash_somebody(self) -> None:
        """An actor fails."""
        crash(self.running.process, self.dice.choice((STRATEGY_C, STRATEGY_C, EXECUTOR, JOURNAL)))

    async def restart(self) -> None:
        """The process is killed, and started again; perhaps without one of the two files."""
        await self.end()
        lost = self.dice.choice(("", "", "journal", "marker"))
        if lost and self._other_file_knows(lost):
            self.done[f"without the {lost}"] += 1
            gone = f"{JOURNAL_FILE}*" if lost == "journal" else MARKER_FILE
            for file in self.path.glob(gone):
                if not file.name.endswith((".lock", ".holder")):
                    file.unlink()
        await self.start()

    def _other_file_knows(self, lost: str) -> bool:
        """Whether what was answered is in both files: not even two survive that the only good one is lost."""
        marked = LatchMarker(self.path / MARKER_FILE).read().mark
        with closing(sqlite3.connect(self.path / JOURNAL_FILE)) as journal:
            rows = journal.execute(
                "SELECT latched, liquidation_id FROM latch ORDER BY seq DESC LIMIT 1"
            ).fetchall()
        written = rows[0] if rows else (0, "")
        if marked is None or not marked.latched:
            return lost == "marker" or not written[0]
        is_same = bool(written[0]) and written[1] == marked.liquidation_id
        return is_same or lost == "journal"

    # --- the whole ------------------------------------------------------------------------------------------------

    async def go(self) -> None:
        """Do many things in a row, then come to rest."""
        await self.start()
        await asyncio.sleep(3.0)
        await self.attempt(Day.buy_something)
        for _ in range(STEPS):
            await self.attempt(self.dice.choice(DEEDS))
            await self.wait(self.dice.choice(PAUSES_S))
        self.disk.heal()
        await self.restore_the_link()
        self.simulator.faults.release_orders()
        await self.wait(120.0)
        await self.end()

    async def attempt(self, deed: Callable[[Day], Awaitable[None]]) -> None:
        """Do one thing; what is refused was answered."""
        name = deed.__name__
        self.done[name] += 1
        with suppress(GatewayError, TimeoutError):
            await deed(self)

    async def wait(self, seconds: float) -> None:
        """Let time pass, and look at what the broker was sent."""
        ends_at = self.witness.now + seconds
        while True:
            for entry in self.simulator.ledger[self.seen :]:
                if entry.kind == "place" and is_close(order_id_of(entry.order_ref)):
                    self.witness.placed(entry.order_ref, entry.received_s)
            self.seen = len(self.simulator.ledger)
            if self.witness.now >= ends_at:
                return
            await asyncio.sleep(min(0.05, seconds))


DEEDS: Final = (
    Day.buy_something,
    Day.buy_something,
    Day.liquidate,
    Day.liquidate,
    Day.rearm,
    Day.rearm,
    Day.rearm,
    Day.lose_the_link,
    Day.lose_the_link,
    Day.restore_the_link,
    Day.restore_the_link,
    Day.let_orders_rest,
    Day.let_orders_fill,
    Day.lose_an_acknowledgement,
    Day.trouble_the_disk,
    Day.heal_the_disk,
    Day.crash_somebody,
    Day.restart,
)


def a_day(seed: int, path: Path) -> Day:
    """Run one seed's day; fails with what the witness saw."""

    async def scenario(proof: Proof) -> Day:
        simulator = Simulator(SIMULATED, now=proof.clock.now)
        await simulator.start()
        day = Day(proof, simulator, path, random.Random(seed), Witness(proof))
        try:
            await day.go()
        finally:
            await simulator.stop()
        assert day.witness.faults == [], (seed, day.witness.faults)
        return day

    return run_proof(scenario, seed=seed)


@pytest.mark.req("STC-4", "STC-11")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_latch_is_where_it_was_said_to_be_and_no_re_arm_is_undone(
    seed: int, tmp_path: Path
) -> None:
    a_day(seed, tmp_path)
