"""The same link in proof mode and in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import threading
import time
from functools import partial
from typing import Any

import pytest

from actors.kernel.actor import ActorContext
from actors.kernel.addresses import TapRecord
from actors.kernel.messages import Message, Request
from actors.link.actor import LinkActor
from actors.link.settings import LinkSettings
from actors.messages.addresses import CONNECTION, EXECUTOR, LINK, POSITION, RISK
from actors.messages.connection import (
    BrokerStateRead,
    OpenSession,
    Probe,
    Probed,
    ReadBrokerState,
    SessionEnded,
    SessionOpened,
)
from actors.messages.orders import ExecutionReported, InstallPermitKey, OrderSent, SetGate
from actors.model.trading import Trading
from supervision.proof.loop import Proof, run_proof
from supervision.simulator import Simulator, SimulatorConfig, ThreadedSimulator
from supervision.tree.child_spec import ChildSpec
from supervision.tree.driver import ThreadDriver
from supervision.tree.restart_policy import RestartPolicy
from supervision.tree.system import SystemClock, SystemEntropy
from supervision.tree.tree import Tree

from .driver import KEY, LinkDriver


def _trace(seed: int) -> list[str]:
    """Trade for a while on virtual time and write down every message."""
    lines: list[str] = []

    async def scenario(proof: Proof) -> None:
        simulator = Simulator(SimulatorConfig(seed=seed, margin_check=False), proof.clock.now)
        await simulator.start()
        driver = LinkDriver(clock=proof.clock)
        port = str(simulator.port)  # the system chooses it

        def note(record: TapRecord) -> None:
            lines.append(re.sub(rf"\b{port}\b", "PORT", f"{record.at} {record.message}"))

        driver.book.tap(note)
        await driver.trade_ready(simulator.port)
        spy = await driver.qualify()
        for _ in range(5):
            await driver.ask(driver.send_order(driver.order(spy)), OrderSent)
            await asyncio.sleep(proof.entropy.uniform(0.0, 30.0))
        simulator.faults.silence()
        error = await driver.failure(Probe(**driver.header(5.0)))
        lines.append(repr(error))
        simulator.faults.drop_connections()
        await driver.until(lambda: driver.of(CONNECTION, SessionEnded))
        assert len(driver.of(EXECUTOR, ExecutionReported)) == 5
        await simulator.stop()

    run_proof(scenario, seed=seed)
    return lines


@pytest.mark.req("SUP-11")
def test_in_proof_mode_one_seed_gives_one_trace() -> None:
    first = _trace(7)

    assert first == _trace(7)
    assert first != _trace(8)


@pytest.mark.req("SUP-11", "CON-9")
def test_in_proof_mode_a_minute_of_silence_takes_no_time() -> None:
    async def scenario(proof: Proof) -> float:
        simulator = Simulator(SimulatorConfig(), proof.clock.now)
        await simulator.start()
        driver = LinkDriver(clock=proof.clock)
        await driver.open(simulator.port)
        simulator.faults.silence()
        began = proof.clock.monotonic()
        await driver.failure(Probe(**driver.header(20.0)))
        driver.actor.abandoned()
        await simulator.stop()
        return proof.clock.monotonic() - began

    began = time.perf_counter()

    assert run_proof(scenario, seed=1) == pytest.approx(20.0, abs=0.01)
    assert time.perf_counter() - began < 5.0


class _Tree:
    """A link in a thread of its own, and callbacks for its neighbours."""

    def __init__(self, factory: Any) -> None:
        self.told: list[tuple[str, Message]] = []
        self.arrived = threading.Condition()
        self.tree = Tree(
            [ChildSpec(name=LINK, factory=factory, handler_limit_s=0.3)],
            ThreadDriver(),
            SystemClock(),
            SystemEntropy(),
            RestartPolicy(first_delay_s=0.01),
        )
        for name in (CONNECTION, EXECUTOR, POSITION, RISK):
            self.tree.register(name, partial(self._keep, name))
        self.tree.start()

    def _keep(self, name: str, message: Message, _: object) -> None:
        with self.arrived:
            self.told.append((name, message))
            self.arrived.notify_all()

    def wait_for(self, kind: type[Message], count: int = 1) -> list[Message]:
        def found() -> list[Message]:
            return [message for _, message in self.told if isinstance(message, kind)]

        with self.arrived:
            assert self.arrived.wait_for(lambda: len(found()) >= count, 10.0), self.told
            return found()

    def ask(self, kind: type[Request], **fields: Any) -> Any:
        return self.tree.ask(
            LINK,
            lambda correlation_id, deadline, reply_to: kind(
                correlation_id=correlation_id, deadline=deadline, reply_to=reply_to, **fields
            ),
            timeout_s=5.0,
        )

    def open(self, port: int, client_id: int = 1) -> SessionOpened:
        opened = self.ask(
            OpenSession, host="127.0.0.1", port=port, client_id=client_id, readonly=False
        )
        assert isinstance(opened, SessionOpened)
        return opened


def _factory(context: ActorContext) -> LinkActor:
    return LinkActor(context, settings=LinkSettings(trading=Trading(sends_orders=True)))


@pytest.fixture
def gateway() -> Any:
    simulator = ThreadedSimulator(SimulatorConfig())
    simulator.start()
    yield simulator
    simulator.stop()


@pytest.mark.req("SUP-11")
def test_in_a_thread_it_opens_probes_and_reads(gateway: ThreadedSimulator) -> None:
    world = _Tree(_factory)
    world.open(gateway.port)
    probed = world.ask(Probe)
    state = world.ask(ReadBrokerState)
    stopped = world.tree.stop(timeout_s=5.0)

    assert isinstance(probed, Probed)
    assert isinstance(state, BrokerStateRead)
    assert stopped
    assert [event.link_session for event in world.wait_for(SessionEnded)] == [1]  # type: ignore[attr-defined]
    _wait_until_nobody_is_connected(gateway)


@pytest.mark.req("SUP-4", "SUP-5", "CON-2")
def test_a_link_that_fails_or_hangs_lets_go_of_its_socket(gateway: ThreadedSimulator) -> None:
    """Its successor is told to everybody, starts closed, and the same client id is free again."""
    release = threading.Event()

    class Fragile(LinkActor):
        """Fails, or hangs, when it is told to install a certain key."""

        def on_install_permit_key(self, message: InstallPermitKey) -> None:
            if message.key == b"fail":
                raise RuntimeError("asked for")
            if message.key == b"hang":
                release.wait(20.0)
            super().on_install_permit_key(message)

    world = _Tree(
        lambda context: Fragile(context, settings=LinkSettings(trading=Trading(sends_orders=True)))
    )
    try:
        for round_number, key in enumerate((b"fail", b"hang"), start=1):
            world.open(gateway.port)
            world.tree.tell(LINK, InstallPermitKey(key=KEY))
            world.ask(ReadBrokerState)
            world.tree.tell(LINK, SetGate(open=True, reason="test"))
            world.tree.tell(LINK, InstallPermitKey(key=key))
            ended = world.wait_for(SessionEnded, round_number)
            _wait_until_nobody_is_connected(gateway)

            assert ended[-1].link_session is None  # type: ignore[attr-defined]
        assert world.open(gateway.port).accounts
    finally:
        release.set()
        world.tree.stop(timeout_s=5.0)


def test_opening_and_losing_many_sessions_leaks_nothing() -> None:
    async def scenario(proof: Proof) -> None:
        rng = random.Random(proof.seed)
        simulator = Simulator(SimulatorConfig(), proof.clock.now)
        await simulator.start()
        driver = LinkDriver(clock=proof.clock)
        for _ in range(200):
            await driver.open(simulator.port)
            waiting = driver.post(ReadBrokerState(**driver.header(rng.uniform(0.001, 0.01))))
            simulator.faults.drop_connections(reset=rng.random() < 0.5)
            await waiting
            await asyncio.sleep(0.01)
        await asyncio.sleep(30.0)

        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert tasks == []
        assert simulator.client_ids() == ()
        assert driver.actor.sessions.current is None
        with contextlib.suppress(Exception):
            await simulator.stop()

    run_proof(scenario, seed=3)


def _wait_until_nobody_is_connected(gateway: ThreadedSimulator, within_s: float = 5.0) -> None:
    """The gateway notices the end of a connection in a thread of its own, a moment later."""
    deadline = time.monotonic() + within_s
    while gateway.call(lambda simulator: simulator.client_ids()):
        assert time.monotonic() < deadline, "the gateway still has a client"
        time.sleep(0.005)
