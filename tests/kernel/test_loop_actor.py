"""The actor whose thread runs an asyncio loop, in reality mode."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any, ClassVar

import attrs
import pytest

from actors.kernel.addresses import LIFECYCLE
from actors.kernel.errors import SupersededError
from actors.kernel.handlers import handles
from actors.kernel.loop_actor import LoopActor
from actors.kernel.messages import ActorFailed, ActorRestarted, Message
from supervision.tree.child_spec import ChildSpec
from supervision.tree.driver import ThreadDriver
from supervision.tree.restart_policy import RestartPolicy
from supervision.tree.system import SystemClock, SystemEntropy
from supervision.tree.tree import Tree

WAIT_S = 5.0
LIMIT_S = 0.3
FAST = RestartPolicy(first_delay_s=0.001, max_delay_s=0.001, max_restarts=1_000)


@attrs.frozen(kw_only=True)
class Do(Message):
    what: str


class Worker(LoopActor):
    log: ClassVar[SimpleQueue[str]]
    release: ClassVar[threading.Event]

    def started(self) -> None:
        assert asyncio.get_running_loop() is self.loop
        self.spawn(self.stay())

    def abandoned(self) -> None:
        self.log.put(f"abandoned {self.incarnation}")

    def stopping(self) -> None:
        self.log.put("stopping")

    @handles(Do)
    def on_do(self, message: Do) -> None:
        getattr(self, message.what)()

    def spawn_failure(self) -> None:
        async def fail() -> None:
            await asyncio.sleep(0)
            raise SystemExit("the task broke")

        self.spawn(fail())

    def callback_failure(self) -> None:
        def fail() -> None:
            raise ValueError("the callback broke")

        self.loop.call_soon(fail)

    def callback_exit(self) -> None:
        def fail() -> None:
            raise KeyboardInterrupt("the callback broke")

        self.loop.call_soon(fail)

    def block_in_a_task(self) -> None:
        async def block() -> None:
            self.release.wait(WAIT_S)  # a task that blocks the loop
            self.tell("log", Do(what="I am back"))

        self.spawn(block())

    def greet(self) -> None:
        self.log.put(f"hello from {self.incarnation}")

    async def stay(self) -> None:
        try:
            await asyncio.sleep(1_000)
        except asyncio.CancelledError:
            await asyncio.sleep(0.02)  # letting go takes a moment
            self.log.put(f"cancelled {self.incarnation}")
            raise


Stage = tuple[Tree, SimpleQueue[Any], SimpleQueue[str]]


@pytest.fixture
def stage() -> Iterator[Stage]:
    events: SimpleQueue[Any] = SimpleQueue()
    Worker.log = SimpleQueue()
    Worker.release = threading.Event()
    spec = ChildSpec(name="worker", factory=Worker, handler_limit_s=LIMIT_S)
    tree = Tree([spec], ThreadDriver(), SystemClock(), SystemEntropy(), FAST)
    tree.register(LIFECYCLE, lambda message, _sender: events.put(message))
    tree.register("log", lambda message, _sender: Worker.log.put(message.what))
    tree.start(WAIT_S)
    yield tree, events, Worker.log
    Worker.release.set()
    assert tree.stop("the test is over", WAIT_S)


def wait_for(events: SimpleQueue[Any], fits: Callable[[Any], bool]) -> Any:
    while not fits(event := events.get(timeout=WAIT_S)):
        pass
    return event


@pytest.mark.req("SUP-3", "SUP-5")
@pytest.mark.parametrize(
    ("what", "context", "kind"),
    [
        ("spawn_failure", "task", "SystemExit"),
        ("callback_failure", "callback", "ValueError"),
        ("callback_exit", "callback", "KeyboardInterrupt"),
    ],
)
def test_failure_beside_the_handlers_is_a_failure_of_the_actor(
    stage: Stage, what: str, context: str, kind: str
) -> None:
    tree, events, log = stage

    tree.tell("worker", Do(what=what))
    failed = wait_for(events, lambda event: isinstance(event, ActorFailed))
    wait_for(events, lambda event: isinstance(event, ActorRestarted))
    tree.tell("worker", Do(what="greet"))

    assert (failed.context, failed.reason.kind) == (context, kind)
    said = [log.get(timeout=WAIT_S) for _ in range(3)]
    assert sorted(said) == ["abandoned 1", "cancelled 1", "hello from 2"]


@pytest.mark.req("SUP-4")
def test_blocked_loop_counts_as_hung_and_its_return_changes_nothing(stage: Stage) -> None:
    tree, events, log = stage

    tree.tell("worker", Do(what="block_in_a_task"))
    failed = wait_for(events, lambda event: isinstance(event, ActorFailed))
    wait_for(events, lambda event: isinstance(event, ActorRestarted))
    abandoned = log.get(timeout=WAIT_S)
    Worker.release.set()

    assert failed.context == "hung"
    assert abandoned == "abandoned 1"
    assert log.get(timeout=WAIT_S) == "cancelled 1"
    tree.tell("worker", Do(what="greet"))
    assert log.get(timeout=WAIT_S) == "hello from 2"  # and never "I am back"


@pytest.mark.req("SUP-9")
def test_orderly_stop_runs_the_hook_and_ends_when_the_tasks_have_ended() -> None:
    Worker.log = SimpleQueue()
    tree = Tree(
        [ChildSpec(name="worker", factory=Worker)], ThreadDriver(), SystemClock(), SystemEntropy()
    )
    tree.start(WAIT_S)

    assert tree.stop("enough", WAIT_S)

    assert [Worker.log.get_nowait() for _ in range(2)] == ["stopping", "cancelled 1"]


@pytest.mark.req("SUP-9")
def test_spawn_after_the_end_is_refused() -> None:
    kept: list[Worker] = []

    class Kept(Worker):
        def started(self) -> None:
            kept.append(self)

    Worker.log = SimpleQueue()
    tree = Tree(
        [ChildSpec(name="worker", factory=Kept)], ThreadDriver(), SystemClock(), SystemEntropy()
    )
    tree.start(WAIT_S)
    tree.stop("enough", WAIT_S)

    with pytest.raises(SupersededError, match="has ended and may not act"):
        kept[0].spawn(kept[0].stay())
