"""Whatever an actor raises ends this incarnation and nothing else. Reality mode: pykka's threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any, ClassVar

import attrs
import pykka
import pytest

from actors.kernel.actor import ActorContext, SupervisedActor
from actors.kernel.addresses import LIFECYCLE, TapRecord
from actors.kernel.errors import (
    ActorFailedError,
    GatewayError,
    GatewayTimeoutError,
    MailboxFullError,
    SupervisionError,
    UnknownMessageError,
)
from actors.kernel.handlers import Part, handles
from actors.kernel.loop_actor import LoopActor
from actors.kernel.messages import ActorFailed, ActorRestarted, Message, Reply, Request
from supervision.tree.child_spec import ChildSpec
from supervision.tree.driver import ThreadDriver
from supervision.tree.restart_policy import RestartPolicy
from supervision.tree.system import SystemClock, SystemEntropy
from supervision.tree.tree import Tree

WAIT_S = 5.0
FAST = RestartPolicy(first_delay_s=0.001, max_delay_s=0.001, max_restarts=1_000)


@attrs.frozen(kw_only=True)
class Add(Request):
    amount: int


@attrs.frozen(kw_only=True)
class Sum(Reply):
    total: int


@attrs.frozen(kw_only=True)
class Break(Request):
    error: type[BaseException]


@attrs.frozen(kw_only=True)
class Breakage(Message):
    error: type[BaseException]


@attrs.frozen(kw_only=True)
class Unheard(Request):
    pass


@attrs.frozen(kw_only=True)
class Nothing(Message):
    pass


@attrs.frozen(kw_only=True)
class Unclear(Reply):
    why: str


class Adder(SupervisedActor):
    def started(self) -> None:
        self.total = 0

    @handles(Add)
    def on_add(self, message: Add) -> int:
        self.total += message.amount
        self.reply(message, Sum(correlation_id=message.correlation_id, total=self.total))
        return self.total

    @handles(Break, Breakage)
    def on_break(self, message: Break | Breakage) -> None:
        raise message.error("broken on purpose")


class LoopAdder(LoopActor):
    started = Adder.started
    on_add = Adder.on_add
    on_break = Adder.on_break


class Explainer(Adder):
    def failure_answer(self, message: Message, error: BaseException) -> Message | None:
        assert isinstance(message, Request)
        return Unclear(correlation_id=message.correlation_id, why=type(error).__name__)


class FirstStartFails(Adder):
    error: ClassVar[type[BaseException]] = SystemExit

    def started(self) -> None:
        super().started()
        if self.incarnation < 3:
            raise self.error("not yet")


class Events:
    """What supervision tells, in order, to wait for."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[Any] = SimpleQueue()

    def __call__(self, message: Any, _sender: object) -> None:
        self.queue.put(message)

    def wait_for(self, kind: type[Any]) -> Any:
        while not isinstance(event := self.queue.get(timeout=WAIT_S), kind):
            pass
        return event


Factory = Callable[[ActorContext], SupervisedActor]


class Stage:
    """A tree with the actor under test beside an innocent one."""

    def __init__(self, factory: Factory) -> None:
        self.events = Events()
        self.tree = Tree(
            [
                ChildSpec(name="actor", factory=factory),
                ChildSpec(name="bystander", factory=Adder),
            ],
            ThreadDriver(),
            SystemClock(),
            SystemEntropy(),
            FAST,
        )
        self.tree.register(LIFECYCLE, self.events)

    def ask(self, name: str, kind: type[Request], **fields: Any) -> Reply:
        def make(correlation_id: str, deadline: float, reply_to: str) -> Request:
            return kind(
                correlation_id=correlation_id, deadline=deadline, reply_to=reply_to, **fields
            )

        return self.tree.ask(name, make, WAIT_S)

    def ref(self) -> pykka.ActorRef[Any]:
        name = {child.name: child for child in self.tree._children}["actor"]
        assert name.actor is not None
        return name.actor.actor_ref

    def total(self, name: str) -> int:
        answer = self.ask(name, Add, amount=1)
        assert isinstance(answer, Sum)
        return answer.total


Start = Callable[[Factory], Stage]


@pytest.fixture
def start() -> Iterator[Start]:
    stages: list[Stage] = []

    def begin(factory: Factory) -> Stage:
        stage = Stage(factory)
        stages.append(stage)
        stage.tree.start(WAIT_S)
        return stage

    yield begin
    for stage in stages:
        assert stage.tree.stop("the test is over", WAIT_S)


ERRORS = [ValueError, SystemExit, KeyboardInterrupt, MemoryError, GeneratorExit, MailboxFullError]
ADDERS = [Adder, LoopAdder]


@pytest.mark.req("SUP-3", "SUP-5")
@pytest.mark.parametrize("factory", ADDERS)
@pytest.mark.parametrize("error", ERRORS)
def test_failure_of_a_request_is_answered_reported_and_kept(
    start: Start, factory: Factory, error: type[BaseException]
) -> None:
    stage = start(factory)
    expected = error if issubclass(error, GatewayError) else ActorFailedError

    with pytest.raises(expected, match="broken on purpose"):
        stage.ask("actor", Break, error=error)

    failed = stage.events.wait_for(ActorFailed)
    assert (failed.supervisor, failed.context, failed.offender) == (
        "supervisor",
        "handler",
        "actor",
    )
    assert failed.reason.kind == error.__name__
    assert (failed.incarnation, failed.message_type) == (1, "Break")
    assert "broken on purpose" in failed.trace
    letter = stage.tree.dead_letters.snapshot()[-1]
    assert (letter.address, type(letter.message)) == ("actor", Break)
    assert error.__name__ in letter.reason


@pytest.mark.req("SUP-5")
@pytest.mark.parametrize("factory", ADDERS)
@pytest.mark.parametrize("error", ERRORS)
def test_nothing_that_one_actor_raises_takes_another_down(
    start: Start, factory: Factory, error: type[BaseException]
) -> None:
    stage = start(factory)
    stage.total("bystander")

    stage.tree.tell("actor", Breakage(error=error))
    stage.events.wait_for(ActorRestarted)

    assert stage.total("bystander") == 2
    assert stage.total("actor") == 1  # a new incarnation began from nothing
    assert {child.name: child.incarnation for child in stage.tree.status()} == {
        "actor": 2,
        "bystander": 1,
    }


@pytest.mark.req("SUP-3")
@pytest.mark.parametrize("factory", ADDERS)
@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_pykka_ask_and_tell_fail_like_everything_else(
    start: Start, factory: Factory, error: type[BaseException]
) -> None:
    stage = start(factory)
    ref = stage.ref()

    with pytest.raises(ActorFailedError, match="broken on purpose"):
        ref.ask(Breakage(error=error), timeout=WAIT_S)
    first = stage.events.wait_for(ActorFailed)
    stage.events.wait_for(ActorRestarted)
    stage.ref().tell(Breakage(error=error))
    second = stage.events.wait_for(ActorFailed)

    assert (first.incarnation, second.incarnation) == (1, 2)
    assert first.reason == second.reason
    assert not ref.is_alive()


@pytest.mark.req("SUP-3")
@pytest.mark.parametrize("factory", ADDERS)
def test_pykka_ask_gets_what_the_handler_returns_and_proxies_are_refused(
    start: Start, factory: Factory
) -> None:
    stage = start(factory)
    ref = stage.ref()
    question = Add(correlation_id="1", deadline=1e12, reply_to="nowhere", amount=5)

    assert ref.ask(question, timeout=WAIT_S) == 5
    with pytest.raises(UnknownMessageError):
        ref.proxy().total.get(timeout=WAIT_S)
    assert stage.total("actor") == 6


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise SystemExit("no words")


@pytest.mark.req("SUP-5")
@pytest.mark.parametrize("factory", ADDERS)
def test_exception_that_cannot_be_put_into_words_is_a_failure_like_any_other(
    start: Start, factory: Factory
) -> None:
    stage = start(factory)

    with pytest.raises(ActorFailedError, match="UnspeakableError, whose text raised SystemExit"):
        stage.ask("actor", Break, error=UnspeakableError)

    assert stage.events.wait_for(ActorFailed).context == "handler"
    assert stage.total("actor") == 1


@pytest.mark.req("SUP-5")
def test_failing_actor_leaves_no_zombie_in_the_registry(start: Start) -> None:
    stage = start(Adder)
    ref = stage.ref()

    stage.tree.tell("actor", Breakage(error=SystemExit))
    stage.events.wait_for(ActorRestarted)

    alive = pykka.ActorRegistry.get_all()
    assert ref not in alive
    assert stage.ref() in alive


@pytest.mark.req("SUP-3")
def test_failure_while_starting_is_a_failure_and_messages_wait(start: Start) -> None:
    stage = start(FirstStartFails)

    assert stage.total("actor") == 1
    assert stage.tree.status()[0].incarnation == 3
    failed = stage.events.wait_for(ActorFailed)
    assert (failed.context, failed.reason.kind) == ("started", "SystemExit")


@pytest.mark.req("SUP-3")
def test_factory_that_raises_is_the_failure_of_its_child(start: Start) -> None:
    tries: list[int] = []

    def factory(context: ActorContext) -> SupervisedActor:
        tries.append(context.incarnation)
        if len(tries) < 3:
            raise KeyboardInterrupt("no parts")
        return Adder(context)

    stage = start(factory)

    assert tries == [1, 2, 3]
    assert stage.events.wait_for(ActorFailed).context == "factory"


@pytest.mark.req("SUP-3")
def test_actor_may_choose_what_is_answered_for_a_failure(start: Start) -> None:
    stage = start(Explainer)

    answer = stage.ask("actor", Break, error=SystemExit)

    assert isinstance(answer, Unclear)
    assert answer.why == "SystemExit"


@pytest.mark.req("SUP-8")
def test_request_that_comes_too_late_is_refused_and_not_handled(start: Start) -> None:
    stage = start(Adder)
    answers: SimpleQueue[Any] = SimpleQueue()
    stage.tree.register("asker", lambda message, _sender: answers.put(message))

    stage.tree.tell("actor", Add(correlation_id="1", deadline=0.0, reply_to="asker", amount=1))

    answer = answers.get(timeout=WAIT_S)
    assert answer.error.kind == GatewayTimeoutError.__name__
    assert stage.total("actor") == 1


@pytest.mark.req("SUP-3")
def test_unknown_message_is_refused_and_the_actor_lives_on(start: Start) -> None:
    stage = start(Adder)

    with pytest.raises(UnknownMessageError, match="Unheard"):
        stage.ask("actor", Unheard)
    stage.tree.tell("actor", Nothing())

    assert stage.total("actor") == 1
    assert stage.tree.status()[0].incarnation == 1
    letters = stage.tree.dead_letters.snapshot()
    assert [type(letter.message) for letter in letters] == [Unheard, Nothing]


@pytest.mark.req("SUP-3")
def test_waiting_requests_are_served_by_the_successor(start: Start) -> None:
    stage = start(Adder)
    answers: SimpleQueue[Any] = SimpleQueue()
    stage.tree.register("asker", lambda message, _sender: answers.put(message))
    held = threading.Event()

    def hold_the_actor(record: TapRecord) -> None:
        if record.sender == "actor":
            held.wait(WAIT_S)

    stage.tree.tap(hold_the_actor)

    stage.tree.tell("actor", Add(correlation_id="1", deadline=1e12, reply_to="asker", amount=1))
    stage.tree.tell("actor", Breakage(error=ValueError))
    stage.tree.tell("actor", Add(correlation_id="2", deadline=1e12, reply_to="asker", amount=7))
    held.set()

    assert [answers.get(timeout=WAIT_S).total for _ in range(2)] == [1, 7]


@pytest.mark.req("SUP-8")
def test_actor_that_asks_the_tree_is_refused_instead_of_deadlocking(start: Start) -> None:
    stages: list[Stage] = []

    class Asker(Adder):
        def on_add(self, message: Add) -> int:
            stages[0].total("bystander")
            return 0

    stages.append(start(Asker))

    with pytest.raises(SupervisionError, match="may not wait"):
        stages[0].ask("actor", Add, amount=1)


@pytest.mark.req("SUP-1")
def test_message_that_two_methods_claim_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match=r"by Broken\.on_add and by Broken\.on_more"):

        class Broken(SupervisedActor):
            @handles(Add)
            def on_add(self, message: Add) -> None: ...

            @handles(Add)
            def on_more(self, message: Add) -> None: ...


@pytest.mark.req("SUP-1")
def test_handler_that_is_not_named_like_one_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match=r"Broken\.add handles Add: name it on_"):

        class Broken(SupervisedActor):
            @handles(Add)
            def add(self, message: Add) -> None: ...


@pytest.mark.req("SUP-1")
def test_message_that_an_actor_and_its_part_claim_is_refused_when_the_class_is_made() -> None:
    class Greedy(Part):
        @handles(Add)
        def on_add(self, message: Add) -> None: ...

    with pytest.raises(TypeError, match="Add is handled by Broken and by Greedy"):

        class Broken(Adder):
            parts = (Greedy,)
