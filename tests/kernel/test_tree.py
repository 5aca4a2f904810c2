"""The process handle: starting, steering, watching and stopping a tree of threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any, ClassVar

import attrs
import pytest

from actors.kernel.actor import SupervisedActor
from actors.kernel.addresses import LIFECYCLE, TapRecord
from actors.kernel.errors import (
    GatewayStoppedError,
    GatewayTimeoutError,
    MailboxFullError,
    SupervisionError,
    UnknownMessageError,
)
from actors.kernel.handlers import handles
from actors.kernel.messages import (
    ActorStarted,
    Escalated,
    Message,
    Reply,
    Request,
    StopActor,
    TreeStopped,
)
from supervision.tree.child_spec import ChildSpec, EscalationPlan
from supervision.tree.driver import ThreadDriver
from supervision.tree.restart_policy import RestartPolicy
from supervision.tree.system import SystemClock, SystemEntropy
from supervision.tree.tree import Tree

WAIT_S = 5.0


@attrs.frozen(kw_only=True)
class Echo(Request):
    text: str


@attrs.frozen(kw_only=True)
class Echoed(Reply):
    text: str


@attrs.frozen(kw_only=True)
class Hold(Message):
    pass


@attrs.frozen(kw_only=True)
class Crash(Message):
    pass


@attrs.frozen(kw_only=True)
class Later(Message):
    pass


class Echoer(SupervisedActor):
    entered: ClassVar[threading.Event]
    release: ClassVar[threading.Event]

    def stopping(self) -> None:
        self.tell("log", Later())

    @handles(Echo)
    def on_echo(self, message: Echo) -> None:
        if message.text == "":
            return  # never answered
        self.reply(message, Echoed(correlation_id=message.correlation_id, text=message.text))

    @handles(Hold)
    def on_hold(self, _message: Hold) -> None:
        self.entered.set()
        self.release.wait(WAIT_S)

    @handles(Crash)
    def on_crash(self, _message: Crash) -> None:
        raise ValueError("crashed on purpose")

    @handles(Later)
    def on_later(self, message: Later) -> None:
        if self.sender.name != self.name:
            self.schedule(0.01, message)
        else:
            self.tell("log", message)


MakeTree = Callable[..., Tree]


@pytest.fixture
def make_tree() -> Iterator[MakeTree]:
    Echoer.entered, Echoer.release = threading.Event(), threading.Event()
    trees: list[Tree] = []

    def make(*specs: ChildSpec, **options: Any) -> Tree:
        children = specs or (ChildSpec(name="echo", factory=Echoer, mailbox_bound=10),)
        tree = Tree(children, ThreadDriver(), SystemClock(), SystemEntropy(), **options)
        trees.append(tree)
        return tree

    yield make
    Echoer.release.set()
    for tree in trees:
        tree.stop("the test is over", WAIT_S)


def echo(text: str) -> Callable[[str, float, str], Request]:
    def make(correlation_id: str, deadline: float, reply_to: str) -> Echo:
        return Echo(correlation_id=correlation_id, deadline=deadline, reply_to=reply_to, text=text)

    return make


@pytest.mark.req("SUP-10")
def test_ask_gives_the_reply_and_raises_at_its_timeout(make_tree: MakeTree) -> None:
    tree = make_tree()
    tree.start(WAIT_S)

    assert tree.ask("echo", echo("hello"), WAIT_S).text == "hello"  # type: ignore[attr-defined]  # an Echoed
    with pytest.raises(GatewayTimeoutError, match="did not answer within"):
        tree.ask("echo", echo(""), 0.02)


@pytest.mark.req("SUP-10")
def test_async_callers_start_ask_and_stop_without_blocking_their_loop(make_tree: MakeTree) -> None:
    tree = make_tree()

    async def main() -> tuple[Any, bool]:
        await tree.start_async(WAIT_S)
        reply, _ = await asyncio.gather(
            tree.ask_async("echo", echo("hello"), WAIT_S), asyncio.sleep(0)
        )
        return reply, await tree.stop_async("enough", WAIT_S)

    reply, in_order = asyncio.run(main())

    assert reply.text == "hello"
    assert in_order


@pytest.mark.req("SUP-10")
def test_every_message_that_passes_is_tapped_with_both_ends(make_tree: MakeTree) -> None:
    tree = make_tree()
    records: list[TapRecord] = []
    tap = tree.tap(records.append)
    tree.start(WAIT_S)
    tree.ask("echo", echo("hello"), WAIT_S)
    tap.cancel()
    tree.ask("echo", echo("unseen"), WAIT_S)

    passed = [
        (record.sender, record.sender_incarnation, record.recipient, type(record.message))
        for record in records
    ]
    assert passed == [
        ("echo", 1, "supervisor", ActorStarted),
        ("outside", 0, "echo", Echo),
        ("echo", 1, "outside", Echoed),
    ]
    assert all(record.at.tzinfo is not None for record in records)


@pytest.mark.req("SUP-10", "SUP-7")
def test_inject_raises_what_keeps_the_message_from_arriving(make_tree: MakeTree) -> None:
    tree = make_tree()
    tree.start(WAIT_S)
    tree.tell("echo", Hold())
    assert Echoer.entered.wait(WAIT_S)

    for _ in range(10):
        tree.tell("echo", Later())
    with pytest.raises(MailboxFullError, match="bound of 10"):
        tree.tell("echo", Later())
    with pytest.raises(UnknownMessageError, match="nobody"):
        tree.tell("nobody", Later())

    status = tree.status()[0]
    assert (status.name, status.state, status.mailbox_depth) == ("echo", "up", 10)
    assert status.handler_age_s is not None
    assert status.handler_age_s >= 0


@pytest.mark.req("SUP-10")
def test_address_can_be_registered_once_and_taken_back(make_tree: MakeTree) -> None:
    tree = make_tree()
    seen: SimpleQueue[Any] = SimpleQueue()
    log = tree.register("log", lambda message, sender: seen.put((message, sender.name)))
    tree.start(WAIT_S)

    with pytest.raises(ValueError, match="taken"):
        tree.register("log", lambda _message, _sender: None)
    tree.tell("echo", Later())
    assert seen.get(timeout=WAIT_S) == (Later(), "echo")

    log.cancel()
    tree.register("log", lambda _message, _sender: seen.put("second"))
    tree.tell("echo", Later())
    assert seen.get(timeout=WAIT_S) == "second"


@pytest.mark.req("SUP-2")
def test_after_the_stop_every_call_says_so(make_tree: MakeTree) -> None:
    stops: list[TreeStopped] = []
    tree = make_tree(on_stopped=stops.append)
    tree.start(WAIT_S)
    ran = tree.is_running

    assert tree.stop("closing time", WAIT_S)
    assert tree.stop("again", WAIT_S)

    assert (ran, tree.is_running) == (True, False)
    assert stops == [TreeStopped(reason="closing time", failed=False)]
    assert tree.wait_stopped(0.0) == stops[0]
    for call in (
        lambda: tree.tell("echo", Later()),
        lambda: tree.ask("echo", echo("hello"), WAIT_S),
    ):
        with pytest.raises(GatewayStoppedError, match="closing time"):
            call()


@pytest.mark.req("SUP-2")
def test_tree_that_never_ran_can_be_stopped_and_none_is_started_twice(make_tree: MakeTree) -> None:
    idle, used = make_tree(), make_tree()
    used.start(WAIT_S)

    assert idle.stop("never mind", WAIT_S)
    with pytest.raises(GatewayStoppedError, match="never mind"):
        idle.tell("echo", Later())
    with pytest.raises(SupervisionError, match="started once"):
        used.start(WAIT_S)


@pytest.mark.req("SUP-2")
def test_ask_that_waits_during_the_stop_is_answered(make_tree: MakeTree) -> None:
    tree = make_tree()
    tree.start(WAIT_S)
    raised: SimpleQueue[BaseException] = SimpleQueue()

    def ask() -> None:
        try:
            tree.ask("echo", echo(""), WAIT_S)
        except GatewayStoppedError as error:
            raised.put(error)

    seen = threading.Event()
    tree.tap(lambda record: seen.set() if isinstance(record.message, Echo) else None)
    asking = threading.Thread(target=ask)
    asking.start()
    assert seen.wait(WAIT_S)
    tree.stop("closing time", WAIT_S)
    asking.join(WAIT_S)

    assert "closing time" in str(raised.get(timeout=WAIT_S))


@pytest.mark.req("SUP-1")
def test_start_that_takes_too_long_stops_and_says_so(make_tree: MakeTree) -> None:
    class Slow(Echoer):
        def started(self) -> None:
            self.release.wait(WAIT_S)

    tree = make_tree(ChildSpec(name="slow", factory=Slow, shutdown_s=0.01))

    with pytest.raises(GatewayTimeoutError, match="not up within"):
        tree.start(0.05)
    assert not tree.is_running


@pytest.mark.req("SUP-2")
def test_start_of_a_child_that_cannot_start_gives_up_with_the_reason(make_tree: MakeTree) -> None:
    class Hopeless(Echoer):
        def started(self) -> None:
            raise OSError("no such device")

    policy = RestartPolicy(first_delay_s=0.001, max_restarts=2)
    tree = make_tree(ChildSpec(name="hopeless", factory=Hopeless), policy=policy)

    with pytest.raises(GatewayStoppedError, match=r"hopeless failed 3 times.*no such device"):
        tree.start(WAIT_S)


def break_the_supervisor(_event: Escalated) -> Message:
    raise SystemExit("the plan is broken")


@pytest.mark.req("SUP-5")
def test_supervisor_that_fails_is_followed_by_an_orderly_stop(make_tree: MakeTree) -> None:
    plan = EscalationPlan(rebuild=("b",), notify="b", message_factory=break_the_supervisor)
    tree = make_tree(
        ChildSpec(name="a", factory=Echoer),
        ChildSpec(name="b", factory=Echoer, depends_on=("a",)),
        policy=RestartPolicy(max_restarts=0),
        escalation=plan,
    )
    stopped: SimpleQueue[str] = SimpleQueue()
    tree.register("log", lambda _message, sender: stopped.put(sender.name))
    tree.start(WAIT_S)

    tree.tell("a", Crash())
    event = tree.wait_stopped(WAIT_S)

    assert event is not None
    assert event.failed
    assert "the supervisor failed in handler: SystemExit: the plan is broken" in event.reason
    assert stopped.get(timeout=WAIT_S) == "b"
    with pytest.raises(GatewayStoppedError, match="the supervisor failed"):
        tree.tell("b", Later())


@pytest.mark.req("SUP-5")
def test_supervisor_told_to_stop_like_a_child_does_not_leave_orphans(make_tree: MakeTree) -> None:
    tree = make_tree()
    tree.start(WAIT_S)

    tree.tell("supervisor", StopActor())

    assert tree.wait_stopped(WAIT_S) is not None


@pytest.mark.req("SUP-5")
def test_timer_that_dies_is_replaced_and_keeps_what_was_set(make_tree: MakeTree) -> None:
    driver = ThreadDriver()
    tree = Tree([ChildSpec(name="echo", factory=Echoer)], driver, SystemClock(), SystemEntropy())
    seen: SimpleQueue[Any] = SimpleQueue()
    tree.register("log", lambda message, _sender: seen.put(message))
    tree.start(WAIT_S)

    def die() -> None:
        raise SystemExit("the timer broke")

    driver.timer.call_later(0.0, die)
    tree.tell("echo", Later())

    assert seen.get(timeout=WAIT_S) == Later()
    assert driver.timer.is_alive()
    assert tree.stop("enough", WAIT_S)


@pytest.mark.req("SUP-5")
def test_timer_that_keeps_dying_stops_the_tree(make_tree: MakeTree) -> None:
    driver = ThreadDriver()
    tree = Tree([ChildSpec(name="echo", factory=Echoer)], driver, SystemClock(), SystemEntropy())
    tree.register(LIFECYCLE, lambda _message, _sender: None)
    tree.start(WAIT_S)

    def die() -> None:
        raise MemoryError

    for _ in range(6):
        driver.timer.call_later(0.0, die)
    event = tree.wait_stopped(WAIT_S)

    assert event is not None
    assert "the timer keeps failing: MemoryError" in event.reason


@pytest.mark.req("SUP-9")
def test_request_in_hand_is_answered_when_the_tree_is_cut_off(make_tree: MakeTree) -> None:
    class Holding(Echoer):
        def on_echo(self, _message: Echo) -> None:
            self.on_hold(Hold())

    tree = make_tree(ChildSpec(name="echo", factory=Holding, shutdown_s=60.0))
    answers: SimpleQueue[Any] = SimpleQueue()
    tree.register("asker", lambda message, _sender: answers.put(message))
    tree.start(WAIT_S)
    tree.tell("echo", Echo(correlation_id="1", deadline=1e12, reply_to="asker", text="hello"))
    assert Echoer.entered.wait(WAIT_S)

    assert not tree.stop("closing time", 0.05)

    answer = answers.get(timeout=WAIT_S)
    assert (answer.correlation_id, answer.error.kind) == ("1", "GatewayStoppedError")


@pytest.mark.req("SUP-9")
def test_stop_that_nobody_follows_cuts_everything_off(make_tree: MakeTree) -> None:
    tree = make_tree(ChildSpec(name="echo", factory=Echoer, shutdown_s=60.0))
    tree.start(WAIT_S)
    tree.tell("echo", Hold())
    assert Echoer.entered.wait(WAIT_S)

    assert not tree.stop("closing time", 0.05)

    assert tree.stopped is not None
    assert tree.stopped.failed
    assert "cut off" in tree.stopped.reason
