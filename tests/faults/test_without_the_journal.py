"""A disk must not keep a position open: full, read-only or slow, a liquidation gets flat, and nothing is doubled."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from actors.errors import GatewayError
from actors.kernel.actor import ActorContext, SupervisedActor
from actors.logic.order_ids import is_close, order_id_of
from actors.messages.addresses import CONNECTION, EXECUTOR, JOURNAL, RISK, STRATEGY_C
from actors.model.orders import ExecutionMode, OrderStatus
from actors.sections.orders import Orders
from supervision import IBKRGateway
from supervision.config.sections import Config
from supervision.process import build_proof_process
from supervision.process.handle import Process
from supervision.proof.driver import ProofDriver
from supervision.proof.loop import Proof, run_proof
from supervision.simulator import Simulator
from supervision.store.entries.orders import open_orders, orders_history
from supervision.store.journal import JournalActor
from supervision.store.journal_file import JournalFile
from supervision.store.journal_lock import JOURNAL_FILE, JournalLock
from supervision.store.uncommitted import Uncommitted
from tests.faults.crash import crash
from tests.troubled_disk import FULL, READ_ONLY, Disk
from tests.worlds import CONTEXT, SIMULATED, a_config, buy

FLAT_WITHIN_S = 15.0
SLOWEST_S = 100.0
"""A commit that is under way when the disk gets well has this long to end."""
SYMBOLS = ("SPY", "AAPL", "MSFT")
SPY_ID = 756733


class World:
    """A gateway in proof mode whose journal lies on a disk that a test troubles."""

    def __init__(
        self,
        proof: Proof,
        gateway: IBKRGateway,
        simulator: Simulator,
        disk: Disk,
        driver: ProofDriver,
    ) -> None:
        self.proof, self.gateway, self.simulator = proof, gateway, simulator
        self.disk, self.driver = disk, driver
        self.events: list[str] = []
        self.is_killed = False
        """Whether the journal's memory goes with the process: the disk stays as it is to its end."""

    def trouble(self, how: str) -> None:
        """Make the disk full, read-only, or so slow."""
        if how in _REFUSALS:
            self.disk.refuses = _REFUSALS[how]
        else:
            self.driver.slow(JOURNAL, float(how))

    def heal(self) -> None:
        """Make the disk a good one again."""
        self.disk.heal()
        self.driver.slow(JOURNAL, 0.0)

    def held(self) -> dict[int, float]:
        """What the broker holds."""
        positions = self.simulator.positions().items()
        return {con_id: item.quantity for con_id, item in positions if item.quantity}

    async def until(self, condition: Callable[[], bool], within_s: float) -> float:
        """Let virtual time pass until something is so; returns how long it took."""
        began_at = self.proof.loop.time()
        while not condition():
            waited_s = self.proof.loop.time() - began_at
            assert waited_s < within_s, (self.held(), self.events[-30:])
            await asyncio.sleep(0.01)
        return self.proof.loop.time() - began_at

    def closes(self) -> list[str]:
        """The closes that the broker was given, by order id."""
        return [
            order_id_of(entry.order_ref)
            for entry in self.simulator.ledger
            if entry.kind == "place" and is_close(order_id_of(entry.order_ref))
        ]


_REFUSALS = {"full": FULL, "read-only": READ_ONLY}


@asynccontextmanager
async def world(
    proof: Proof,
    simulator: Simulator,
    path: Path,
    disk: Disk,
    boot: int = 0,
) -> AsyncIterator[World]:
    """Run one process on a simulator, with the journal in a real file of the directory."""
    lock = JournalLock(path / JOURNAL_FILE).acquire()
    kept = Uncommitted()
    events: list[str] = []

    def note(event: str, **fields: object) -> None:
        if event not in ("quote_accepted",):
            events.append(f"{event} {fields}")

    def journal(context: ActorContext) -> SupervisedActor:
        opened = partial(disk.open_file, lock, synchronous="normal", check=False)
        return JournalActor(
            context,
            open_file=lambda incarnation: opened(incarnation=incarnation),
            uncommitted=kept,
            log=note,
        )

    seed = proof.seed + 1_000_003 * boot
    driver = ProofDriver(proof.loop, random.Random(seed))

    def make(config: Config, mode: ExecutionMode, operator_id: str, consults: bool) -> Process:
        return build_proof_process(
            config,
            loop=proof.loop,
            seed=seed,
            driver=driver,
            simulator=simulator,
            clock=proof.clock,
            mode=mode,
            operator_id=operator_id,
            has_risk_manager=consults,
            journal=journal,
            log=note,
        )

    gateway = IBKRGateway(a_config(), mode="paper", process=make)
    made = World(proof, gateway, simulator, disk, driver)
    made.events = events
    try:
        await gateway.connect()
        yield made
    finally:
        if not made.is_killed:
            made.heal()
        await gateway.disconnect()
        lock.release()


@asynccontextmanager
async def simulated(proof: Proof) -> AsyncIterator[Simulator]:
    """Run a broker."""
    simulator = Simulator(SIMULATED, now=proof.clock.now)
    await simulator.start()
    try:
        yield simulator
    finally:
        await simulator.stop()


@contextmanager
def journal_left_in(path: Path) -> Iterator[JournalFile]:
    """Read the journal that a process has left."""
    with JournalLock(path / JOURNAL_FILE) as lock:
        journal = JournalFile(lock)
        try:
            yield journal
        finally:
            journal.close()


async def hold(gateway: IBKRGateway) -> None:
    """Buy something of everything."""
    for symbol in SYMBOLS:
        bought = await gateway.submit_order(buy(10.0, symbol), CONTEXT)
        assert bought.status is OrderStatus.FILLED, bought


async def begin_liquidation(made: World, cause: str) -> None:
    """Latch Strategy C; whether the journal ever says so does not matter."""
    if cause == "asked":
        with suppress(GatewayError):
            await made.gateway.liquidate("a test", timeout=0.1)
    else:
        made.simulator.faults.drop_connections()


@pytest.mark.req("STC-2", "DB-4")
@pytest.mark.parametrize("how", ["full", "read-only", "0.5", "6", "30", "90"])
@pytest.mark.parametrize("cause", ["asked", "link lost"])
def test_whatever_the_disk_does_a_liquidation_gets_flat(
    tmp_path: Path, how: str, cause: str
) -> None:
    async def scenario(proof: Proof) -> None:
        disk = Disk()
        async with (
            simulated(proof) as simulator,
            world(proof, simulator, tmp_path, disk) as made,
        ):
            await hold(made.gateway)
            made.trouble(how)
            await begin_liquidation(made, cause)
            took_s = await made.until(lambda: not made.held(), FLAT_WITHIN_S)
            print(how, cause, took_s)

            await asyncio.sleep(200.0)
            assert not made.held()
            made.heal()
            await asyncio.sleep(SLOWEST_S)
            closes = Counter(made.closes())
            status = await made.gateway.status()
        with journal_left_in(tmp_path) as journal:
            for order_id in closes:
                history = orders_history(journal.read, f"CSATSPRIM:{order_id}")
                assert [step.state for step in history][-1:] == ["FILLED"], order_id
            left = [order.order_id for order in open_orders(journal.read)]

        assert set(closes.values()) == {1}
        assert len(closes) == len(SYMBOLS)
        assert left == []
        assert status.latched
        assert status.opening_blocked_by is None

    run_proof(scenario, seed=1)


@pytest.mark.req("ORD-9", "STC-6")
@pytest.mark.parametrize("how", ["full", "6", "30"])
@pytest.mark.parametrize("dies_after_s", [0.0, 0.9, 1.3, 2.6, 4.0])
def test_an_executor_that_dies_in_the_middle_closes_nothing_twice(
    tmp_path: Path, how: str, dies_after_s: float
) -> None:
    async def scenario(proof: Proof) -> None:
        disk = Disk()
        async with simulated(proof) as simulator, world(proof, simulator, tmp_path, disk) as made:
            await hold(made.gateway)
            made.trouble(how)
            simulator.faults.hold_orders()
            await begin_liquidation(made, "asked")
            await asyncio.sleep(dies_after_s)
            crash(made.gateway.process, EXECUTOR)
            await asyncio.sleep(1.0)
            assert unfilled_closes(simulator) <= len(SYMBOLS)

            simulator.faults.release_orders()
            await made.until(lambda: not made.held(), 120.0)
            await asyncio.sleep(30.0)
            assert not made.held()
        assert least_held(simulator) == 0.0

    run_proof(scenario, seed=1)


def unfilled_closes(simulator: Simulator) -> int:
    """Count the closes that work at the broker."""
    return sum(is_close(order_id_of(order.order_ref)) for order in simulator.open_orders())


def least_held(simulator: Simulator) -> float:
    """Tell the least that was ever held of anything: below 0 a close was doubled."""
    held: dict[int, float] = defaultdict(float)
    least = 0.0
    for execution in simulator.executions():
        held[execution.contract.con_id] += execution.quantity * (
            1 if execution.side == "BOT" else -1
        )
        least = min(least, held[execution.contract.con_id])
    return least


@pytest.mark.req("ORD-9", "DB-4")
@pytest.mark.parametrize(
    ("how", "said"), [("full", "the disk is full"), ("6", "has not answered for")]
)
def test_without_a_latch_nothing_goes_without_the_journal_and_all_are_told_why(
    tmp_path: Path, how: str, said: str
) -> None:
    async def scenario(proof: Proof) -> None:
        disk = Disk()
        async with simulated(proof) as simulator, world(proof, simulator, tmp_path, disk) as made:
            await hold(made.gateway)
            held = made.held()
            placed = len(simulator.ledger)
            made.trouble(how)

            bought = await made.gateway.submit_order(buy(1.0), CONTEXT)
            status = await made.gateway.status()
            again = await made.gateway.submit_order(buy(1.0), CONTEXT)
            closed = await close_one(made)

            assert said in str(bought.rejection_reason), bought
            assert said in str(again.rejection_reason), again
            assert said in str(status.opening_blocked_by)
            assert said in closed
            assert (made.held(), len(simulator.ledger)) == (held, placed)

            made.heal()
            await asyncio.sleep(SLOWEST_S)
            bought = await made.gateway.submit_order(buy(1.0), CONTEXT)
            assert bought.status is OrderStatus.FILLED, bought

    run_proof(scenario, seed=1)


async def close_one(made: World) -> str:
    """Try to close a position; gives why it was not."""
    position = (await made.gateway.get_positions())[0]
    try:
        closed = await made.gateway.close_position(position.position_id, timeout=5.0)
    except GatewayError as error:
        return str(error)
    return str(closed.rejection_reason)


@pytest.mark.req("ORD-9", "STC-3", "STC-4")
@pytest.mark.parametrize("how", ["full", "6", "30"])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_next_process_adopts_what_was_sent_without_the_journal_and_doubles_nothing(
    tmp_path: Path, how: str, seed: int
) -> None:
    async def scenario(proof: Proof) -> None:
        disk = Disk()
        async with simulated(proof) as simulator:
            async with world(proof, simulator, tmp_path, disk) as made:
                await hold(made.gateway)
                simulator.faults.hold_orders()
                simulator.faults.refuse_connections()
                simulator.faults.drop_connections()
                await asyncio.sleep(5.0)  # the latch is durable
                made.trouble(how)
                simulator.faults.accept_connections()
                await made.until(lambda: unfilled_closes(simulator) == len(SYMBOLS), 60.0)
                sent = set(made.closes())
                made.is_killed = True
            disk.heal()
            with journal_left_in(tmp_path) as journal:
                known = {order.order_id for order in open_orders(journal.read)}
            assert not known & sent
            async with world(proof, simulator, tmp_path, disk, boot=1) as made:
                assert (await made.gateway.status()).latched
                adopted = {order.order_id for order in await made.gateway.get_open_orders()}
                assert adopted == sent
                await asyncio.sleep(20.0)
                assert unfilled_closes(simulator) <= len(SYMBOLS)
                simulator.faults.release_orders()
                await made.until(lambda: not made.held(), 60.0)
                await asyncio.sleep(60.0)
                assert not made.held()
        assert least_held(simulator) == 0.0

    run_proof(scenario, seed=seed)


@pytest.mark.req("STC-3", "STC-4")
def test_started_under_a_latch_it_closes_nothing_before_what_may_be_in_flight_has_come_to_light(
    tmp_path: Path,
) -> None:
    async def scenario(proof: Proof) -> None:
        disk = Disk()
        async with simulated(proof) as simulator:
            async with world(proof, simulator, tmp_path, disk) as made:
                await hold(made.gateway)
                simulator.faults.refuse_connections()
                simulator.faults.drop_connections()
                await asyncio.sleep(5.0)
                simulator.faults.accept_connections()
                made.is_killed = True
            async with world(proof, simulator, tmp_path, disk, boot=1) as made:
                assert made.closes() == []
                took_s = await made.until(lambda: not made.held(), FLAT_WITHIN_S)
                assert took_s >= Orders().earlier_closes_after_s - 0.5

    run_proof(scenario, seed=1)


@pytest.mark.req("SUP-4", "SUP-6")
@pytest.mark.parametrize("name", [CONNECTION, EXECUTOR, RISK, STRATEGY_C])
def test_whoever_fails_while_the_disk_is_slow_waits_for_it_instead_of_escalating(
    tmp_path: Path, name: str
) -> None:
    async def scenario(proof: Proof) -> None:
        disk = Disk()
        async with simulated(proof) as simulator, world(proof, simulator, tmp_path, disk) as made:
            await hold(made.gateway)
            made.trouble("30")
            crash(made.gateway.process, name)
            await begin_liquidation(made, "link lost")
            await made.until(lambda: not made.held(), SLOWEST_S)
            await asyncio.sleep(SLOWEST_S)
            restarts = {actor.name: actor.restarts for actor in made.gateway.process.tree.status()}
            assert restarts[JOURNAL] == 0
            assert restarts[name] <= 2, restarts

    run_proof(scenario, seed=1)


@pytest.mark.req("DB-4", "SUP-9")
@pytest.mark.parametrize("how", ["full", "read-only"])
def test_the_status_of_an_embedded_process_says_that_the_journal_refuses(
    tmp_path: Path, how: str
) -> None:
    async def scenario(proof: Proof) -> list[tuple[str, ...]]:
        disk, said = Disk(), []
        async with simulated(proof) as simulator, world(proof, simulator, tmp_path, disk) as made:
            said.append((await made.gateway.status()).degraded)
            made.trouble(how)
            await made.gateway.liquidate("a test")
            await asyncio.sleep(5.0)
            said.append((await made.gateway.status()).degraded)
            made.heal()
            await asyncio.sleep(10.0)
            said.append((await made.gateway.status()).degraded)
        return said

    before, meanwhile, after = run_proof(scenario, seed=1)

    assert before == after == ()
    assert len(meanwhile) == 1
    assert meanwhile[0].startswith("journal: ")
    assert {"full": "the disk is full", "read-only": "permissions"}[how] in meanwhile[0]
