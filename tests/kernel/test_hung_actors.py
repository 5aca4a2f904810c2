"""Hung actors are replaced and fenced: real threads that really block."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any, ClassVar

import attrs
import pytest

from actors.kernel.actor import SupervisedActor
from actors.kernel.addresses import LIFECYCLE
from actors.kernel.errors import ActorFailedError, SupersededError
from actors.kernel.handlers import handles
from actors.kernel.mailbox import Sender
from actors.kernel.messages import (
    ActorFailed,
    ActorRestarted,
    Message,
    Reply,
    Request,
    RequestFailed,
)
from supervision.tree.child_spec import ChildSpec
from supervision.tree.driver import ThreadDriver
from supervision.tree.restart_policy import RestartPolicy
from supervision.tree.system import SystemClock, SystemEntropy
from supervision.tree.tree import Tree

WAIT_S = 5.0
LIMIT_S = 0.3
FAST = RestartPolicy(first_delay_s=0.001, max_delay_s=0.001, max_restarts=1_000)


@attrs.frozen(kw_only=True)
class Block(Request):
    pass


@attrs.frozen(kw_only=True)
class Note(Message):
    text: str


@attrs.frozen(kw_only=True)
class Done(Reply):
    pass


class Sleeper(SupervisedActor):
    release: ClassVar[threading.Event]
    refused: ClassVar[SimpleQueue[str]]

    @handles(Block)
    def on_block(self, message: Block) -> None:
        self.tell("log", Note(text=f"{self.incarnation} before"))
        self.release.wait(WAIT_S)
        done = Done(correlation_id=message.correlation_id)
        for action in (
            lambda: self.tell("log", Note(text="too late")),
            lambda: self.reply(message, done),
            lambda: self.refuse(message, ValueError()),
            lambda: self.schedule(0.0, Note(text="too late")),
            self.recovered,
            self.stop,
        ):
            try:
                action()
            except SupersededError:
                self.refused.put("refused")

    @handles(Note)
    def on_note(self, message: Note) -> None:
        self.tell("log", Note(text=f"{self.incarnation} {message.text}"))


class Stage:
    def __init__(self) -> None:
        Sleeper.release = threading.Event()
        Sleeper.refused = SimpleQueue()
        self.events: SimpleQueue[Any] = SimpleQueue()
        self.log: list[tuple[str, Sender]] = []
        self.noted: SimpleQueue[str] = SimpleQueue()
        self.answers: SimpleQueue[Any] = SimpleQueue()
        spec = ChildSpec(name="sleeper", factory=Sleeper, handler_limit_s=LIMIT_S, shutdown_s=0.1)
        self.tree = Tree([spec], ThreadDriver(), SystemClock(), SystemEntropy(), FAST)
        self.tree.register(LIFECYCLE, lambda message, _sender: self.events.put(message))
        self.tree.register("log", self.note)
        self.tree.register("asker", lambda message, _sender: self.answers.put(message))

    def note(self, message: Any, sender: Sender) -> None:
        self.log.append((message.text, sender))
        self.noted.put(message.text)

    def block(self) -> None:
        self.tree.tell("sleeper", Block(correlation_id="b", deadline=1e12, reply_to="asker"))

    def thread(self) -> threading.Thread:
        child = next(iter(self.tree._children))
        assert child.actor is not None
        assert child.actor.thread is not None
        return child.actor.thread

    def wait_for(self, kind: type[Any]) -> Any:
        while not isinstance(event := self.events.get(timeout=WAIT_S), kind):
            pass
        return event


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    stage.tree.start(WAIT_S)
    yield stage
    Sleeper.release.set()
    stage.tree.stop("the test is over", WAIT_S)


@pytest.mark.req("SUP-4")
def test_hung_actor_is_replaced_and_its_message_answered_and_kept(stage: Stage) -> None:
    stage.block()
    stage.tree.tell("sleeper", Note(text="waits"))

    failed = stage.wait_for(ActorFailed)
    answer = stage.answers.get(timeout=WAIT_S)
    first, second = (stage.noted.get(timeout=WAIT_S) for _ in range(2))

    assert (failed.context, failed.offender, failed.message_type) == ("hung", "sleeper", "Block")
    assert isinstance(answer, RequestFailed)
    assert answer.error.kind == ActorFailedError.__name__
    assert (first, second) == ("1 before", "2 waits")
    assert [type(letter.message) for letter in stage.tree.dead_letters.snapshot()] == [Block]


@pytest.mark.req("SUP-4")
def test_incarnation_that_wakes_up_changes_nothing(stage: Stage) -> None:
    stage.block()
    assert stage.noted.get(timeout=WAIT_S) == "1 before"
    old = stage.thread()
    stage.wait_for(ActorRestarted)
    stage.tree.tell("sleeper", Note(text="now"))

    Sleeper.release.set()
    refused = [Sleeper.refused.get(timeout=WAIT_S) for _ in range(6)]
    old.join(WAIT_S)
    stage.tree.tell("sleeper", Note(text="after"))

    assert refused == ["refused"] * 6
    assert stage.noted.get(timeout=WAIT_S) == "2 now"
    assert stage.noted.get(timeout=WAIT_S) == "2 after"
    assert not old.is_alive()
    assert stage.answers.get(timeout=WAIT_S).error.kind == ActorFailedError.__name__
    assert stage.answers.empty()


@pytest.mark.req("SUP-4")
def test_receiver_can_tell_that_the_sender_was_superseded(stage: Stage) -> None:
    stage.block()
    stage.wait_for(ActorRestarted)

    text, sender = stage.log[0]

    assert text == "1 before"
    assert (sender.name, sender.incarnation, sender.superseded) == ("sleeper", 1, True)


@pytest.mark.req("SUP-4", "SUP-9")
def test_stop_leaves_a_blocked_actor_behind_after_its_deadline(stage: Stage) -> None:
    stage.block()
    stage.noted.get(timeout=WAIT_S)

    assert stage.tree.stop("enough", WAIT_S)
    assert stage.tree.stopped is not None


@pytest.mark.req("SUP-5")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_thread_that_dies_beneath_its_actor_is_noticed(stage: Stage) -> None:
    thread = stage.thread()
    assert thread.ident is not None

    # The idle thread waits inside its mailbox, outside of every handler; the error strikes when it wakes.
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
    )
    stage.tree.tell("sleeper", Note(text="first"))
    stage.tree.tell("sleeper", Note(text="second"))

    assert stage.wait_for(ActorFailed).context in ("thread", "handler")
    stage.wait_for(ActorRestarted)
