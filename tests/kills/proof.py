"""One seed in proof mode: the plan is carried out in virtual time, and the broker's own file is judged."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import attrs

from actors.errors import GatewayError
from actors.kernel.addresses import TapRecord
from actors.messages.addresses import FACADE
from actors.messages.connection import ConnectionStateChanged
from actors.model.connection import ConnectionState
from supervision import Config, IBKRGateway
from supervision.process import build_proof_process
from supervision.process.handle import Process
from supervision.proof.loop import Proof, run_proof
from supervision.simulator import Simulator, SimulatorConfig
from supervision.store.volatile_journal import VolatileJournalActor
from supervision.store.volatile_store import VolatileStore
from tests.crash_points.witness import Broker
from tests.kills.mortal import MortalDriver
from tests.kills.plan import How, Moment, Plan, Victim, plan_of
from tests.worlds import CONTEXT, LENIENT, NEXT_PROCESS, a_config, buy, sell

CASH: Final = 1_000_000.0
CONFIG: Final = a_config(risk=attrs.evolve(LENIENT, price_band_ratio=10.0))
"""Lenient risk; all that is about time has its default."""
LATENCY_S: Final = 0.01
"""As long as anything takes that is not in virtual time: a process is there before its session, not at that moment."""
LOOK_S: Final = 0.05
FLAT_WITHIN_S: Final = 15.0
"""After fate and market allow it."""
GIVEN_UP_AFTER_S: Final = 400.0
STAYS_FLAT_S: Final = 90.0
UNTOUCHED_S: Final = 6.0
"""After so long the moment comes, whatever the messages."""


@attrs.frozen
class Result:
    """How a seed ended. ``late_s``: from when the last link was up and the last order's fate known, until flat;
    ``flat_s``: from the last link alone.
    """

    plan: Plan
    faults: tuple[str, ...]
    late_s: float = 0.0
    flat_s: float = 0.0


@attrs.define
class Hit:
    """Comes once: at the n-th message from ``begin`` on, or when ``at_once`` is called."""

    loop: asyncio.AbstractEventLoop
    act: Callable[[], None]
    left: int = -1
    done: asyncio.Event = attrs.field(factory=asyncio.Event)

    def begin(self, after_messages: int, after_s: float) -> None:
        """Count from now on."""
        self.left = after_messages
        self.loop.call_later(after_s, self.at_once)

    def count(self, _: TapRecord) -> None:
        """Count a message; it comes between two turns of the loop, as a signal comes between two instructions."""
        if self.left > 0:
            self.left -= 1
            if self.left == 0:
                self.loop.call_soon(self.at_once)

    def at_once(self) -> None:
        """Let it come now, unless it has."""
        if not self.done.is_set():
            self.done.set()
            self.act()


class World:
    """Simulator, journal, and one process after the other."""

    def __init__(self, proof: Proof, plan: Plan, state: Path) -> None:
        self.proof, self.plan, self.state = proof, plan, state
        self.simulator = Simulator(
            SimulatorConfig(
                seed=plan.seed,
                cash=CASH,
                state_file=state,
                fill_delay_s=plan.fill_delay_s,
                max_fill_quantity=plan.largest_fill,
                slice_delay_s=plan.between_fills_s,
            ),
            now=proof.clock.now,
        )
        self.store = VolatileStore()
        self.starts = 0
        self.driver: MortalDriver
        self.gateway: IBKRGateway
        self.trouble_ended_at = 0.0
        self.linked_at: float | None = None
        """The first link after the last trouble."""
        self.settled_at = 0.0
        self.flat_at = 0.0
        self.tasks: set[asyncio.Task[Any]] = set()

    @property
    def now(self) -> float:
        """The loop's time, in seconds."""
        return self.proof.loop.time()

    # --- processes ----------------------------------------------------------------------------------------------------

    def _make(self, config: Config, mode: Any, operator_id: str, consults: bool) -> Process:
        seed = self.proof.seed + NEXT_PROCESS * self.starts
        self.starts += 1
        self.driver = MortalDriver(self.proof.loop, random.Random(seed))
        return build_proof_process(
            config,
            loop=self.proof.loop,
            seed=seed,
            simulator=self.simulator,
            clock=self.proof.clock,
            mode=mode,
            operator_id=operator_id,
            has_risk_manager=consults,
            log=self.log,
            journal=lambda context: VolatileJournalActor(context, self.store),
            driver=self.driver,
        )

    async def start_process(self, hit: Hit | None = None) -> None:
        """Start a process on the journal of the one before it; ``hit`` counts its messages from the first on."""
        self.gateway = IBKRGateway(CONFIG, mode="paper", process=self._make)
        with suppress(GatewayError):
            await self.gateway.status()  # starts the tree, so that it can be watched from its first message on
        with suppress(GatewayError):  # it may have died before it was there
            self.gateway.process.tap(self._note)
            if hit is not None:
                self.gateway.process.tap(hit.count)
            self.begin(self.gateway.connect())

    def _note(self, record: TapRecord) -> None:
        message = record.message
        is_ours = isinstance(message, ConnectionStateChanged) and record.recipient == FACADE
        if is_ours and message.state is ConnectionState.CONNECTED and self.linked_at is None:
            self.linked_at = self.now

    def log(self, event: str, **_: Any) -> None:
        """Note when something was last said of an order whose fate was not known."""
        if event == "order_fate":
            self.settled_at = self.now

    def trouble_ends(self) -> None:
        """From now on nothing more is done to anybody."""
        self.trouble_ended_at, self.linked_at = self.now, None

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        """Let somebody do something of which we await nothing."""

        async def quietly() -> None:
            with suppress(GatewayError):
                await work

        self.tasks.add(asyncio.create_task(quietly()))

    # --- what is true -------------------------------------------------------------------------------------------------

    def is_flat(self) -> bool:
        """Whether the broker holds nothing."""
        return not any(item.quantity for item in self.simulator.positions().values())

    def look(self) -> None:
        """Note when it became flat."""
        if not self.is_flat():
            self.flat_at = self.now

    async def until(self, condition: Callable[[], bool], within_s: float = 60.0) -> bool:
        """Let time pass until ``condition`` holds; False after ``within_s``."""
        ends_at = self.now + within_s
        while not condition():
            if self.now >= ends_at:
                return False
            self.look()
            await asyncio.sleep(LOOK_S)
        return True

    async def _pass(self, seconds: float) -> None:
        """Let so much time pass."""
        await self.until(lambda: False, seconds)

    # --- the trial ----------------------------------------------------------------------------------------------------

    async def trade(self) -> None:
        """Come to hold what the plan says, with an order at rest far from the market."""
        for symbol, quantity in self.plan.held:
            signal = (buy if quantity > 0 else sell)(abs(quantity), symbol)
            await self.gateway.submit_order(signal, CONTEXT)
        rest = buy(10, order_type="LMT", limit_price=400.0)
        await self.gateway.submit_order(rest, CONTEXT, wait_for="ack")
        held = {item.contract.symbol: item.quantity for item in self.simulator.positions().values()}
        assert held == dict(self.plan.held)
        assert len(self.simulator.open_orders()) == 1

    async def reach_the_moment(self, hit: Hit) -> None:
        """Begin what goes on when it happens."""
        plan = self.plan
        if plan.moment is Moment.STARTING:
            self.kill_process()
            hit.begin(plan.after_messages, plan.after_s or UNTOUCHED_S)
            await self.start_process(hit)
            return
        hit.begin(plan.after_messages, plan.after_s or UNTOUCHED_S)
        await ACTIONS[plan.moment](self)

    async def exit(self) -> None:
        """A strategy sells what it has."""
        for symbol, quantity in self.plan.held:
            signal = (sell if quantity > 0 else buy)(abs(quantity), symbol)
            self.begin(self.gateway.submit_order(signal, CONTEXT))

    async def liquidate(self) -> None:
        """The link drops."""
        self.simulator.faults.drop_connections()

    async def cancel(self) -> None:
        """What rests is cancelled."""

        async def cancel_all() -> None:
            for order in await self.gateway.get_open_orders():
                await self.gateway.cancel_order(order.order_id)

        self.begin(cancel_all())

    async def hold(self) -> None:
        """Nothing but what goes on anyway."""

    # --- who is hit ---------------------------------------------------------------------------------------------------

    def hit(self) -> None:
        """Do to the victim what the plan says."""
        plan, faults = self.plan, self.simulator.faults
        if plan.victim is Victim.LINK:
            if plan.how is How.DROP:
                faults.drop_connections()
            else:
                faults.silence()
            return
        if plan.victim in (Victim.GATEWAY, Victim.BOTH):
            if plan.how is How.KILL:
                self.simulator.kill()
            else:
                faults.suspend(plan.lasts_s)
        if plan.victim in (Victim.PROCESS, Victim.BOTH):
            if plan.how is How.KILL:
                self.kill_process()
            else:
                self.driver.stop_all()

    def kill_process(self) -> None:
        """SIGKILL: nothing more is done, and the kernel closes its sockets."""
        self.driver.stop_all()
        with suppress(AssertionError, RuntimeError):  # the gateway may be dead too
            self.simulator.faults.drop_connections()

    async def recover(self) -> None:
        """Start again whoever was killed, wake whoever was stopped."""
        plan = self.plan
        await self._pass(plan.lasts_s)
        self.trouble_ends()
        if plan.victim is Victim.LINK:
            self.simulator.faults.speak()
            return
        if plan.victim is not Victim.PROCESS and plan.how is How.KILL:
            await self.simulator.start()
        if plan.victim is Victim.GATEWAY:
            return
        if plan.how is How.STOP:
            self.driver.wake_all()
            return
        if plan.hit_again_after is not None:
            again = Hit(self.proof.loop, self.kill_process)
            again.begin(plan.hit_again_after, UNTOUCHED_S)
            await self.start_process(again)
            await again.done.wait()
            self.trouble_ends()
        await self.start_process()

    async def latched(self) -> bool:
        """Whether the process says that it is latched."""
        with suppress(GatewayError):
            return (await self.gateway.status()).latched
        return False

    async def drop_if_need_be(self) -> None:
        """Where the next process goes on without a latch, as it should, let the link drop now."""
        await self._pass(self.plan.drop_after_s)
        await self.until(lambda: self.gateway.is_connected)
        if not await self.latched():
            self.simulator.faults.drop_connections()
            self.trouble_ends()

    async def run(self) -> Result:
        """Carry the plan out."""
        await self.simulator.start()
        self.simulator.faults.latency(LATENCY_S)
        await self.start_process()
        await self.until(lambda: self.gateway.is_connected)
        await self.trade()
        hit = Hit(self.proof.loop, self.hit)
        self.gateway.process.tap(hit.count)
        await self.reach_the_moment(hit)
        await hit.done.wait()
        await self.recover()
        await self.drop_if_need_be()
        result = self._measured(await self.judge())
        await self.gateway.disconnect()
        await self.simulator.stop()
        return result

    def _measured(self, faults: list[str]) -> Result:
        linked_at = max(self.trouble_ended_at, self.linked_at or 0.0)
        flat_s = max(0.0, self.flat_at - linked_at)
        late_s = max(0.0, self.flat_at - max(linked_at, self.settled_at))
        if not faults and late_s > FLAT_WITHIN_S:
            faults = [f"flat {late_s:.1f} s after it could be"]
        return Result(self.plan, tuple(faults), late_s, flat_s)

    async def judge(self) -> list[str]:
        """Wait until all is flat, and see that it stays so, closed once, latched."""
        await asyncio.sleep(LOOK_S)
        flat = await self.until(self.is_flat, GIVEN_UP_AFTER_S)
        if not flat:
            held = {
                item.contract.symbol: item.quantity
                for item in self.simulator.positions().values()
                if item.quantity
            }
            return [f"not flat after {GIVEN_UP_AFTER_S:.0f} s: {held}"]
        await asyncio.sleep(STAYS_FLAT_S)
        faults = [] if self.is_flat() else ["it did not stay flat"]
        faults += [] if await self.latched() else ["it is not latched"]
        broker = Broker.read(self.state, CASH)
        faults += [f"it works still: {ref}" for ref in broker.working]
        return faults + turned_or_doubled(broker)


def turned_or_doubled(broker: Broker) -> list[str]:
    """What must not be: an execution through zero, a reference sent twice."""
    placed = Counter(entry.order_ref for entry in broker.ledger if entry.kind == "place")
    doubled = [f"{name} was sent {count} times" for name, count in placed.items() if count > 1]
    return [*broker.flips(), *doubled]


ACTIONS: Final = {
    Moment.HELD: World.hold,
    Moment.EXIT: World.exit,
    Moment.LIQUIDATION: World.liquidate,
    Moment.CANCELLING: World.cancel,
}


def prove(seed: int) -> Result:
    """Carry out the plan of a seed."""
    plan = plan_of(seed)
    with tempfile.TemporaryDirectory(prefix="kills-") as directory:
        state = Path(directory) / "gateway.state"

        async def within(proof: Proof) -> Result:
            return await World(proof, plan, state).run()

        result: Result = run_proof(within, seed=seed)
    return result
