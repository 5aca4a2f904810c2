"""Load and crashes together, on real threads: nothing lost, nothing twice, order kept."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Any, ClassVar

import attrs
import pytest

from actors.kernel.actor import SupervisedActor
from actors.kernel.addresses import LIFECYCLE
from actors.kernel.handlers import handles
from actors.kernel.messages import ActorFailed, Message, Reply, Request, RequestFailed
from supervision.tree.child_spec import ChildSpec
from supervision.tree.driver import ThreadDriver
from supervision.tree.restart_policy import RestartPolicy
from supervision.tree.system import SystemClock, SystemEntropy
from supervision.tree.tree import Tree

WAIT_S = 30.0
MESSAGES = 20_000
CRASHES = 400
SENDERS = 4
RELENTLESS = RestartPolicy(first_delay_s=0.0, max_delay_s=0.0, max_restarts=1_000_000)


@attrs.frozen(kw_only=True)
class Item(Message):
    sender: int
    number: int


@attrs.frozen(kw_only=True)
class Bomb(Message):
    pass


@attrs.frozen(kw_only=True)
class Question(Request):
    number: int


@attrs.frozen(kw_only=True)
class Answer(Reply):
    number: int


class Relay(SupervisedActor):
    """Hands items on to the log, or explodes."""

    errors: ClassVar = (ValueError, SystemExit, KeyboardInterrupt, MemoryError)

    @handles(Item)
    def on_item(self, message: Item) -> None:
        self.tell("log", message)

    @handles(Bomb)
    def on_bomb(self, _message: Bomb) -> None:
        raise self.errors[self.incarnation % len(self.errors)]

    @handles(Question)
    def on_question(self, message: Question) -> None:
        if message.number % 50 == 49:
            raise SystemExit
        answer = Answer(correlation_id=message.correlation_id, number=message.number)
        self.reply(message, answer)


def make_tree(factory: Any = Relay, **fields: Any) -> Tree:
    spec = ChildSpec(name="relay", factory=factory, mailbox_bound=MESSAGES * 2, **fields)
    return Tree([spec], ThreadDriver(), SystemClock(), SystemEntropy(), RELENTLESS)


@pytest.mark.req("SUP-3", "SUP-5")
def test_twenty_thousand_messages_survive_four_hundred_crashes_in_order() -> None:
    tree = make_tree()
    seen: list[Item] = []
    failures: list[ActorFailed] = []
    finished = threading.Event()

    def log(message: Any, _sender: object) -> None:
        seen.append(message)
        if len(seen) == MESSAGES:
            finished.set()

    def note(message: Any, _sender: object) -> None:
        if isinstance(message, ActorFailed):
            failures.append(message)

    def send(sender: int) -> None:
        for number in range(MESSAGES // SENDERS):
            tree.tell("relay", Item(sender=sender, number=number))
            if number % (MESSAGES // CRASHES) == 25:
                tree.tell("relay", Bomb())

    tree.register("log", log)
    tree.register(LIFECYCLE, note)
    tree.start(WAIT_S)
    senders = [threading.Thread(target=send, args=(sender,)) for sender in range(SENDERS)]
    for thread in senders:
        thread.start()

    assert finished.wait(WAIT_S), f"{len(seen)} of {MESSAGES} arrived"
    for thread in senders:
        thread.join(WAIT_S)
    assert tree.stop("enough", WAIT_S)

    for sender in range(SENDERS):
        mine = [item.number for item in seen if item.sender == sender]
        assert mine == list(range(MESSAGES // SENDERS))
    assert len(failures) == CRASHES
    assert [failed.incarnation for failed in failures] == list(range(1, CRASHES + 1))
    assert tree.dead_letters.total == CRASHES


@pytest.mark.req("SUP-3")
def test_every_request_is_answered_exactly_once_through_crashes() -> None:
    tree = make_tree()
    answers: SimpleQueue[Any] = SimpleQueue()
    tree.register("asker", lambda message, _sender: answers.put(message))
    tree.start(WAIT_S)

    for number in range(2_000):
        tree.tell(
            "relay",
            Question(correlation_id=str(number), deadline=1e12, reply_to="asker", number=number),
        )
    got = [answers.get(timeout=WAIT_S) for _ in range(2_000)]
    assert tree.stop("enough", WAIT_S)

    assert answers.empty()
    assert sorted(int(answer.correlation_id) for answer in got) == list(range(2_000))
    failed = [int(answer.correlation_id) for answer in got if isinstance(answer, RequestFailed)]
    assert sorted(failed) == list(range(49, 2_000, 50))


class Committer(SupervisedActor):
    """Answers what it was asked in groups, when its mailbox runs empty."""

    drain_every: ClassVar = 10
    groups: ClassVar[list[int]]
    breaks: ClassVar[bool] = False

    def started(self) -> None:
        self.waiting: list[Question] = []

    @handles(Question)
    def on_question(self, message: Question) -> None:
        self.waiting.append(message)

    def drained(self) -> None:
        if self.breaks and self.incarnation == 1:
            raise OSError("the disk is full")
        self.groups.append(len(self.waiting))
        for question in self.waiting:
            answer = Answer(correlation_id=question.correlation_id, number=question.number)
            self.reply(question, answer)
        self.waiting.clear()


def ask_many(tree: Tree, count: int) -> list[Any]:
    answers: SimpleQueue[Any] = SimpleQueue()
    tree.register("asker", lambda message, _sender: answers.put(message))
    for number in range(count):
        tree.tell(
            "relay",
            Question(correlation_id=str(number), deadline=1e12, reply_to="asker", number=number),
        )
    tree.start(WAIT_S)  # only now, so that all of them wait together
    got = [answers.get(timeout=WAIT_S) for _ in range(count)]
    assert tree.stop("enough", WAIT_S)
    assert answers.empty()
    return got


@pytest.mark.req("SUP-7")
def test_batches_end_when_the_mailbox_is_empty_or_at_their_limit() -> None:
    Committer.groups = []

    class Steady(Committer):
        pass

    got = ask_many(make_tree(Steady), 25)

    assert Committer.groups == [10, 10, 5]
    assert [int(answer.correlation_id) for answer in got] == list(range(25))


@pytest.mark.req("SUP-3")
def test_batch_that_fails_answers_for_every_message_in_it() -> None:
    Committer.groups = []

    class Breaking(Committer):
        breaks: ClassVar = True

    tree = make_tree(Breaking)
    got = ask_many(tree, 25)

    failed = [int(one.correlation_id) for one in got if isinstance(one, RequestFailed)]
    assert failed == list(range(10))
    assert Committer.groups == [10, 5]
    assert tree.dead_letters.total == 10


@pytest.mark.req("SUP-3")
def test_handler_that_fails_answers_for_the_unfinished_batch_too() -> None:
    Committer.groups = []

    class Stumbling(Committer):
        def on_question(self, message: Question) -> None:
            if message.number == 14:
                raise ValueError("stumbled")
            super().on_question(message)

    got = ask_many(make_tree(Stumbling), 25)

    failed = [int(one.correlation_id) for one in got if isinstance(one, RequestFailed)]
    assert failed == list(range(10, 15))
    assert Committer.groups == [10, 10]
