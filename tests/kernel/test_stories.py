"""Handlers that are coroutines keep what handlers promise: order, deadlines, fencing, one failure, and replay."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from queue import SimpleQueue
from typing import Any, ClassVar

import attrs
import pytest

from actors.kernel.actor import SupervisedActor
from actors.kernel.addresses import LIFECYCLE, TapRecord
from actors.kernel.errors import (
    ActorFailedError,
    GatewayError,
    GatewayStoppedError,
    GatewayTimeoutError,
    SupersededError,
)
from actors.kernel.handlers import Part, handles
from actors.kernel.messages import (
    ActorFailed,
    ActorRestarted,
    Lane,
    Message,
    Reply,
    Request,
    RequestFailed,
    StopActor,
)
from actors.kernel.stories import Story
from supervision.proof.driver import ProofDriver
from supervision.proof.loop import Proof, run_proof
from supervision.tree.child_spec import ChildSpec
from supervision.tree.driver import ThreadDriver
from supervision.tree.restart_policy import RestartPolicy
from supervision.tree.system import SystemClock, SystemEntropy
from supervision.tree.tree import Tree

WAIT_S = 5.0
LIMIT_S = 0.3
STEADY = RestartPolicy(jitter_ratio=0.0)
FAST = RestartPolicy(first_delay_s=0.001, max_delay_s=0.001, max_restarts=1_000)


@attrs.frozen(kw_only=True)
class Note(Message):
    text: str


@attrs.frozen(kw_only=True)
class Tell(Request):
    """A story that asks the other actor, and answers with what it was told."""

    answer_after_s: float = 0.0


@attrs.frozen(kw_only=True)
class Told(Reply):
    text: str


@attrs.frozen(kw_only=True)
class Question(Request):
    answer_after_s: float = 0.0


@attrs.frozen(kw_only=True)
class Answer(Reply):
    number: int


@attrs.frozen(kw_only=True)
class Denial(Reply):
    why: str


@attrs.frozen(kw_only=True)
class AskWrongly(Message):
    """A story that expects another answer than it gets."""


@attrs.frozen(kw_only=True)
class BreakLater(Request):
    """A story that fails at its second step."""

    error: type[BaseException] = ValueError


@attrs.frozen(kw_only=True)
class Wander(Message):
    """A story that awaits what it must not."""


@attrs.frozen(kw_only=True)
class Crash(Message):
    pass


@attrs.frozen(kw_only=True)
class Doze(Message):
    text: str
    delay_s: float


@attrs.frozen(kw_only=True)
class Swallow(Message):
    """A story that catches every error of the trade, and whatever else is an Exception."""


@attrs.frozen(kw_only=True)
class Recall(Message):
    """Ends the story that `Doze` began."""


class Oracle(SupervisedActor):
    """Answers questions after a while, in the order in which their time comes."""

    def started(self) -> None:
        self.number = 0

    @handles(Question)
    async def on_question(self, question: Question) -> None:
        self.number += 1
        number = self.number
        if question.answer_after_s < 0.0:
            self.refuse(question, GatewayError("the oracle is silent"))
            return
        await self.sleep(question.answer_after_s)
        self.reply(question, Answer(correlation_id=question.correlation_id, number=number))


class Teller(SupervisedActor):
    """Has a story of each kind; ``log`` is an address that hears of every step."""

    def started(self) -> None:
        self.dozing: Story | None = None

    def note(self, text: str) -> None:
        self.tell("log", Note(text=text))

    async def ask_the_oracle(self, request: Request, answer_after_s: float) -> Answer:
        question = Question(**self.on_behalf(request, "q"), answer_after_s=answer_after_s)
        return await self.asked("oracle", question, Answer)

    @handles(Tell)
    async def on_tell(self, tell: Tell) -> None:
        try:
            answer = await self.ask_the_oracle(tell, tell.answer_after_s)
        except GatewayTimeoutError:
            self.note("timeout")
            raise
        except GatewayError as error:
            self.refuse(tell, error)
            return
        self.reply(tell, Told(correlation_id=tell.correlation_id, text=f"answer {answer.number}"))

    @handles(Note)
    def on_note(self, note: Note) -> None:
        self.note(note.text)

    @handles(AskWrongly)
    async def on_ask_wrongly(self, _: AskWrongly) -> None:
        await self.asked("oracle", Question(**self.of_our_own("q", 10.0)), Denial)

    @handles(BreakLater)
    async def on_break_later(self, message: BreakLater) -> None:
        await self.sleep(0.1)
        raise message.error("broken on purpose")

    @handles(Wander)
    async def on_wander(self, _: Wander) -> None:
        await asyncio.sleep(0.01)

    @handles(Crash)
    def on_crash(self, _: Crash) -> None:
        raise ValueError("crashed on purpose")

    @handles(Doze)
    async def on_doze(self, doze: Doze) -> None:
        try:
            await self.sleep(doze.delay_s)
            self.note(doze.text)
        finally:
            self.note_quietly(f"{doze.text} is over")

    def note_quietly(self, text: str) -> None:
        if not self.has_ended:
            self.note(text)

    @handles(Recall)
    def on_recall(self, _: Recall) -> None:
        if self.dozing is None:
            self.dozing = self.begin_story(self.on_doze(Doze(text="recalled", delay_s=5.0)))
        else:
            self.end_story(self.dozing)


class World:
    """An oracle and a teller in proof mode, with a record of everything."""

    def __init__(self, proof: Proof) -> None:
        self.driver = ProofDriver(proof.loop, random.Random(proof.seed))
        self.trace: list[TapRecord] = []
        self.log: list[str] = []
        self.events: list[Any] = []
        self.clock = proof.clock
        specs = [
            ChildSpec(name="oracle", factory=Oracle),
            ChildSpec(name="teller", factory=Teller, handler_limit_s=LIMIT_S),
        ]
        self.tree = Tree(
            specs, self.driver, proof.clock, proof.entropy, STEADY, tap=self.trace.append
        )
        self.tree.register("log", lambda note, _: self.log.append(note.text))
        self.tree.register(LIFECYCLE, lambda event, _: self.events.append(event))

    def tell(self, message: Message) -> None:
        self.tree.tell("teller", message)

    async def ask(self, kind: type[Request], timeout_s: float = 100.0, **fields: Any) -> Any:
        def make(correlation_id: str, deadline: float, reply_to: str) -> Request:
            return kind(
                correlation_id=correlation_id, deadline=deadline, reply_to=reply_to, **fields
            )

        return await self.tree.ask_async("teller", make, timeout_s)

    def letters(self) -> list[type]:
        return [type(letter.message) for letter in self.tree.dead_letters.snapshot()]

    def failures(self) -> list[ActorFailed]:
        return [event for event in self.events if isinstance(event, ActorFailed)]


def play(scenario: Callable[[World], Awaitable[None]], seed: int = 1) -> World:
    worlds: list[World] = []

    async def run(proof: Proof) -> None:
        world = World(proof)
        worlds.append(world)
        await world.tree.start_async(60.0)
        await scenario(world)
        assert await world.tree.stop_async("the scenario is over", 60.0)

    run_proof(run, seed=seed)
    return worlds[0]


@pytest.mark.req("SUP-15")
def test_story_reads_on_where_its_answer_comes() -> None:
    async def scenario(world: World) -> None:
        told = await world.ask(Tell, answer_after_s=2.0)

        assert told.text == "answer 1"

    play(scenario)


@pytest.mark.req("SUP-15", "SUP-8")
def test_other_messages_are_handled_while_a_story_waits() -> None:
    async def scenario(world: World) -> None:
        world.tell(Doze(text="slept", delay_s=1.0))
        world.tell(Note(text="meanwhile"))
        await asyncio.sleep(2.0)

    world = play(scenario)

    assert world.log == ["meanwhile", "slept", "slept is over"]


@pytest.mark.req("SUP-15", "GW-8")
def test_question_without_an_answer_ends_at_its_deadline() -> None:
    async def scenario(world: World) -> None:
        began = world.clock.monotonic()
        with pytest.raises(GatewayTimeoutError):
            await world.ask(Tell, timeout_s=1.0, answer_after_s=50.0)

        assert world.clock.monotonic() - began == pytest.approx(1.0, abs=0.05)
        await asyncio.sleep(0.5)
        assert world.log == ["timeout"]
        await asyncio.sleep(60.0)  # the late answer comes, and changes nothing

    world = play(scenario)

    assert world.log == ["timeout"]


@pytest.mark.req("SUP-15")
def test_error_of_the_other_side_is_raised_with_its_type() -> None:
    async def scenario(world: World) -> None:
        with pytest.raises(GatewayError, match="the oracle is silent"):
            await world.ask(Tell, answer_after_s=-1.0)

    world = play(scenario)

    assert world.failures() == []


@pytest.mark.req("SUP-15", "SUP-3")
@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_story_that_raises_later_fails_its_actor_once(error: type[BaseException]) -> None:
    async def scenario(world: World) -> None:
        with pytest.raises(ActorFailedError):
            await world.ask(BreakLater, error=error)
        await asyncio.sleep(1.0)
        world.tell(Note(text="the successor serves"))
        await asyncio.sleep(1.0)

    world = play(scenario)

    (failed,) = world.failures()
    assert (failed.context, failed.message_type) == ("handler", "BreakLater")
    assert BreakLater in world.letters()
    assert world.log == ["the successor serves"]


@pytest.mark.req("SUP-15", "SUP-3")
def test_those_who_wait_for_other_stories_of_a_failed_actor_are_answered() -> None:
    async def scenario(world: World) -> None:
        waiting = asyncio.ensure_future(world.ask(Tell, answer_after_s=10.0))
        await asyncio.sleep(0.5)
        world.tell(Crash())
        with pytest.raises(ActorFailedError, match="crashed on purpose"):
            await waiting

    play(scenario)


@pytest.mark.req("SUP-15", "SUP-4")
def test_story_that_is_replaced_half_way_does_nothing_more() -> None:
    async def scenario(world: World) -> None:
        world.tell(Doze(text="of the first incarnation", delay_s=5.0))
        await asyncio.sleep(1.0)
        world.tell(Crash())
        await asyncio.sleep(20.0)

    world = play(scenario)

    assert len(world.failures()) == 1
    assert world.log == []


@pytest.mark.req("SUP-15")
def test_answer_to_a_story_of_a_replaced_incarnation_is_passed_over() -> None:
    async def scenario(world: World) -> None:
        waiting = asyncio.ensure_future(world.ask(Tell, answer_after_s=5.0))
        await asyncio.sleep(1.0)
        world.tell(Crash())
        with pytest.raises(ActorFailedError):
            await waiting
        await asyncio.sleep(10.0)

    world = play(scenario)

    assert len(world.failures()) == 1
    assert world.letters() == [Crash]


@pytest.mark.req("SUP-15")
def test_answer_of_a_type_that_was_not_named_fails_the_actor() -> None:
    async def scenario(world: World) -> None:
        world.tell(AskWrongly())
        await asyncio.sleep(5.0)

    world = play(scenario)

    (failed,) = world.failures()
    assert "'oracle' answered Question with Answer" in failed.reason.text


@pytest.mark.req("SUP-15")
def test_story_that_awaits_asyncio_fails_its_actor_and_says_what_it_may_await() -> None:
    async def scenario(world: World) -> None:
        world.tell(Wander())
        await asyncio.sleep(5.0)

    world = play(scenario)

    (failed,) = world.failures()
    assert failed.message_type == "Wander"
    assert "asked, sleep" in failed.reason.text or "event loop" in failed.reason.text


@pytest.mark.req("SUP-15")
def test_story_that_is_called_off_ends_where_it_waits() -> None:
    async def scenario(world: World) -> None:
        world.tell(Recall())
        await asyncio.sleep(1.0)
        world.tell(Recall())
        await asyncio.sleep(1.0)
        assert world.log == ["recalled is over"]
        await asyncio.sleep(10.0)

    world = play(scenario)

    assert world.log == ["recalled is over"]


@pytest.mark.req("SUP-15", "SUP-11")
def test_same_seed_replays_every_step_of_interleaved_stories() -> None:
    async def scenario(world: World) -> None:
        chance = random.Random(7)
        asks = [
            asyncio.ensure_future(
                world.ask(Tell, timeout_s=3.0, answer_after_s=chance.uniform(0.0, 4.0))
            )
            for _ in range(40)
        ]
        for number in range(40):
            world.tell(Doze(text=f"{number}", delay_s=chance.uniform(0.0, 3.0)))
        await asyncio.gather(*asks, return_exceptions=True)

    def trace(seed: int) -> list[str]:
        return [
            f"{record.at} {record.sender} {record.recipient} {record.message}"
            for record in play(scenario, seed).trace
        ]

    assert trace(3) == trace(3)
    assert trace(3) != trace(4)


@pytest.mark.req("SUP-15", "SUP-6")
def test_recovering_actor_learns_that_nobody_answers_while_business_waits() -> None:
    class Deaf(SupervisedActor):
        recovers = True

        def started(self) -> None:
            self.begin_story(self._recover())

        async def _recover(self) -> None:
            with pytest.raises(GatewayTimeoutError):
                await self.asked("nobody", Question(**self.of_our_own("q", 1.0)), Answer)
            await self.sleep(1.0)
            self.recovered()

        @handles(Note)
        def on_note(self, note: Note) -> None:
            self.tell("log", note)

    async def run(proof: Proof) -> None:
        tree = Tree(
            [ChildSpec(name="deaf", factory=Deaf)],
            ProofDriver(proof.loop, random.Random(1)),
            proof.clock,
            proof.entropy,
            STEADY,
        )
        log: list[Any] = []
        tree.register("nobody", lambda _message, _sender: None)
        tree.register("log", lambda note, _: log.append(note.text))
        await tree.start_async(60.0)
        tree.tell("deaf", Note(text="business"))
        await asyncio.sleep(1.5)
        assert log == []
        await asyncio.sleep(2.0)
        assert log == ["business"]
        assert await tree.stop_async("over", 60.0)

    run_proof(run, seed=1)


class Heart(Part):
    """A part with its own state and its own story."""

    def __init__(self, actor: SupervisedActor) -> None:
        self.actor = actor
        self.beats = 0

    @handles(Doze)
    async def on_doze(self, doze: Doze) -> None:
        await self.actor.sleep(doze.delay_s)
        self.beats += 1
        self.actor.tell("log", Note(text=f"{doze.text} {self.beats}"))


@pytest.mark.req("SUP-15")
def test_part_of_an_actor_tells_stories_too() -> None:
    class Body(SupervisedActor):
        parts = (Heart,)

        def __init__(self, context: Any) -> None:
            super().__init__(context)
            self.heart = self.own(Heart(self))

    async def run(proof: Proof) -> None:
        tree = Tree(
            [ChildSpec(name="body", factory=Body)],
            ProofDriver(proof.loop, random.Random(1)),
            proof.clock,
            proof.entropy,
            STEADY,
        )
        log: list[Any] = []
        tree.register("log", lambda note, _: log.append(note.text))
        await tree.start_async(60.0)
        for text in ("first", "second"):
            tree.tell("body", Doze(text=text, delay_s=1.0))
        await asyncio.sleep(2.0)
        assert await tree.stop_async("over", 60.0)
        assert log == ["first 1", "second 2"]

    run_proof(run, seed=1)


def test_part_that_its_actor_does_not_list_is_refused() -> None:
    class Body(SupervisedActor):
        def __init__(self, context: Any) -> None:
            super().__init__(context)
            self.own(Heart(self))

    tree = Tree(
        [ChildSpec(name="body", factory=Body)], ThreadDriver(), SystemClock(), SystemEntropy()
    )

    with pytest.raises(GatewayStoppedError, match=r"Body\.parts does not list Heart"):
        tree.start(WAIT_S)


# --- threads ----------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Block(Request):
    pass


@attrs.frozen(kw_only=True)
class Go(Message):
    lane: ClassVar[Lane] = Lane.BUSINESS


class Sleeper(SupervisedActor):
    """A story that hangs in its second step, and swallows every error that it can."""

    release: ClassVar[threading.Event]
    done: ClassVar[SimpleQueue[str]]

    @handles(Block)
    async def on_block(self, block: Block) -> None:
        try:
            await self.sleep(0.01)
            self.tell("log", Note(text=f"{self.incarnation} blocks"))
            self.release.wait(WAIT_S)
            for _ in range(3):
                try:
                    self.tell("log", Note(text="too late"))
                except Exception:  # noqa: BLE001 - no fence may be caught here
                    self.done.put("swallowed")
            self.done.put("went on")
        except BaseException as fence:
            self.done.put(type(fence).__name__)
            raise

    @handles(Note)
    def on_note(self, note: Note) -> None:
        self.tell("log", Note(text=f"{self.incarnation} {note.text}"))


@pytest.mark.req("SUP-15", "SUP-4")
def test_story_that_hangs_is_replaced_answered_kept_and_fenced() -> None:
    Sleeper.release, Sleeper.done = threading.Event(), SimpleQueue()
    events: SimpleQueue[Any] = SimpleQueue()
    answers: SimpleQueue[Any] = SimpleQueue()
    log: SimpleQueue[str] = SimpleQueue()
    spec = ChildSpec(name="sleeper", factory=Sleeper, handler_limit_s=LIMIT_S, shutdown_s=0.1)
    tree = Tree([spec], ThreadDriver(), SystemClock(), SystemEntropy(), FAST)
    tree.register(LIFECYCLE, lambda message, _: events.put(message))
    tree.register("log", lambda note, _: log.put(note.text))
    tree.register("asker", lambda answer, _: answers.put(answer))
    tree.start(WAIT_S)

    tree.tell("sleeper", Block(correlation_id="b", deadline=1e12, reply_to="asker"))
    assert log.get(timeout=WAIT_S) == "1 blocks"
    tree.tell("sleeper", Note(text="waits"))
    answer = answers.get(timeout=WAIT_S)
    assert log.get(timeout=WAIT_S) == "2 waits"
    Sleeper.release.set()
    ended_with = Sleeper.done.get(timeout=WAIT_S)

    assert isinstance(answer, RequestFailed)
    assert answer.error.kind == ActorFailedError.__name__
    assert ended_with == SupersededError.__name__
    assert log.empty()
    assert Block in [type(letter.message) for letter in tree.dead_letters.snapshot()]
    kinds = []
    while ActorRestarted not in kinds:
        kinds.append(type(events.get(timeout=WAIT_S)))
    assert kinds.count(ActorFailed) == 1
    tree.stop("the test is over", WAIT_S)


@pytest.mark.req("SUP-15", "SUP-9")
def test_orderly_stop_answers_who_waits_for_a_story_and_resumes_it_no_more() -> None:
    async def scenario(world: World) -> None:
        waiting = asyncio.ensure_future(world.ask(Tell, answer_after_s=5.0))
        world.tell(Doze(text="never", delay_s=5.0))
        await asyncio.sleep(1.0)
        world.tell(StopActor())
        with pytest.raises(GatewayError, match="stopped"):
            await waiting
        await asyncio.sleep(10.0)

    world = play(scenario)

    assert world.log == []
