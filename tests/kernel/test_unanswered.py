"""A request that an actor took and answers later is answered once, whatever becomes of the actor meanwhile (SUP-3)."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest

from actors.kernel.actor import SupervisedActor
from actors.kernel.addresses import TapRecord
from actors.kernel.errors import GatewayError
from actors.kernel.handlers import handles
from actors.kernel.messages import Message, Reply, Request, RequestFailed, StopActor
from supervision.proof.driver import ProofDriver
from supervision.proof.loop import Proof, run_proof
from supervision.tree.child_spec import ChildSpec
from supervision.tree.restart_policy import RestartPolicy
from supervision.tree.tree import Tree

CLERK = "clerk"
CALLER = "caller"
LIMIT_S = 5.0


@attrs.frozen(kw_only=True)
class Ask(Request):
    """To be answered when the clerk is told to."""


@attrs.frozen(kw_only=True)
class Answered(Reply):
    incarnation: int


@attrs.frozen(kw_only=True)
class AnswerAll(Message):
    pass


@attrs.frozen(kw_only=True)
class RefuseAll(Message):
    pass


@attrs.frozen(kw_only=True)
class Crash(Message):
    pass


@attrs.frozen(kw_only=True)
class CrashInAnswer(Request):
    """Answered, and then the handler fails after all."""


class Clerk(SupervisedActor):
    """Keeps requests in hand; ``answers`` may say what a requester is told when it fails."""

    def started(self) -> None:
        self.in_hand: list[Ask] = []

    @handles(Ask)
    def on_ask(self, request: Ask) -> None:
        self.in_hand.append(request)

    @handles(AnswerAll)
    def on_answer_all(self, _: AnswerAll) -> None:
        for request in self.in_hand:
            answer = Answered(correlation_id=request.correlation_id, incarnation=self.incarnation)
            self.reply(request, answer)
        self.in_hand.clear()

    @handles(RefuseAll)
    def on_refuse_all(self, _: RefuseAll) -> None:
        for request in self.in_hand:
            self.refuse(request, GatewayError("not today"))
        self.in_hand.clear()

    @handles(Crash)
    def on_crash(self, _: Crash) -> None:
        raise ValueError("crashed on purpose")

    @handles(CrashInAnswer)
    def on_crash_in_answer(self, request: CrashInAnswer) -> None:
        self.reply(
            request,
            Answered(correlation_id=request.correlation_id, incarnation=self.incarnation),
        )
        raise ValueError("crashed after the answer")


@attrs.define
class Office:
    """A tree with one clerk, and everything that its caller was told."""

    tree: Tree
    driver: ProofDriver
    told: list[Reply] = attrs.field(factory=list)

    def ask(self, name: str, kind: type[Request] = Ask, deadline: float = 1_000.0) -> None:
        """Send a request under this correlation id."""
        self.tree.tell(CLERK, kind(correlation_id=name, deadline=deadline, reply_to=CALLER))

    def answers(self) -> dict[str, list[str]]:
        """What the caller was told, by correlation id."""
        found: dict[str, list[str]] = {}
        for reply in self.told:
            found.setdefault(reply.correlation_id, []).append(type(reply).__name__)
        return found


def play(scenario: Callable[[Office], Awaitable[None]], seed: int = 1) -> None:
    """Run a scenario in an office of its own."""

    async def within(proof: Proof) -> None:
        driver = ProofDriver(proof.loop, random.Random(proof.seed))
        policy = RestartPolicy(first_delay_s=0.001, max_delay_s=0.001, max_restarts=1_000)
        spec = ChildSpec(name=CLERK, factory=Clerk, handler_limit_s=LIMIT_S)
        tree = Tree([spec], driver, proof.clock, proof.entropy, policy)
        office = Office(tree, driver)
        tree.register(CALLER, lambda message, _: office.told.append(message))
        await tree.start_async()
        await scenario(office)
        await tree.stop_async()

    run_proof(within, seed=seed)


@pytest.mark.req("SUP-3")
def test_what_was_in_hand_is_answered_when_a_later_message_fails() -> None:
    async def scenario(office: Office) -> None:
        office.ask("first")
        office.ask("second")
        await asyncio.sleep(1.0)
        assert office.answers() == {}

        office.tree.tell(CLERK, Crash())
        await asyncio.sleep(1.0)

        assert office.answers() == {"first": ["RequestFailed"], "second": ["RequestFailed"]}
        failed = office.told[0]
        assert isinstance(failed, RequestFailed)
        assert "crashed on purpose" in failed.error.text

    play(scenario)


@pytest.mark.req("SUP-3")
@pytest.mark.parametrize(("end", "answer"), [(AnswerAll, "Answered"), (RefuseAll, "RequestFailed")])
def test_what_was_answered_or_refused_is_not_answered_again(
    end: type[Message], answer: str
) -> None:
    async def scenario(office: Office) -> None:
        office.ask("first")
        office.tree.tell(CLERK, end())
        office.tree.tell(CLERK, Crash())
        await asyncio.sleep(1.0)

        assert {"first": [answer]} == office.answers()

    play(scenario)


@pytest.mark.req("SUP-3")
def test_a_handler_that_fails_after_its_answer_says_nothing_more_to_others() -> None:
    async def scenario(office: Office) -> None:
        office.ask("in hand")
        office.ask("answered", CrashInAnswer)
        await asyncio.sleep(1.0)

        assert office.answers()["in hand"] == ["RequestFailed"]
        assert office.answers()["answered"][0] == "Answered"

    play(scenario)


@pytest.mark.req("SUP-3", "SUP-4")
def test_what_was_in_hand_is_answered_when_the_actor_hangs_and_is_replaced() -> None:
    async def scenario(office: Office) -> None:
        office.ask("first")
        await asyncio.sleep(1.0)
        office.driver.hang(CLERK)
        office.tree.tell(CLERK, AnswerAll())
        await asyncio.sleep(2 * LIMIT_S)

        assert office.answers() == {"first": ["RequestFailed"]}
        office.driver.wake(CLERK)
        await asyncio.sleep(1.0)
        assert office.answers() == {"first": ["RequestFailed"]}

    play(scenario)


@pytest.mark.req("SUP-3")
def test_what_waits_in_the_mailbox_is_left_to_the_successor() -> None:
    async def scenario(office: Office) -> None:
        office.ask("taken")
        office.tree.tell(CLERK, Crash())
        office.ask("waiting")
        await asyncio.sleep(1.0)
        office.tree.tell(CLERK, AnswerAll())
        await asyncio.sleep(1.0)

        assert office.answers() == {"taken": ["RequestFailed"], "waiting": ["Answered"]}
        assert isinstance(office.told[-1], Answered)
        assert office.told[-1].incarnation == 2

    play(scenario)


@pytest.mark.req("SUP-3")
def test_what_was_in_hand_is_answered_when_the_actor_stops_in_order() -> None:
    async def scenario(office: Office) -> None:
        office.ask("in hand")
        await asyncio.sleep(1.0)

        office.tree.tell(CLERK, StopActor())
        await asyncio.sleep(1.0)

        assert office.answers() == {"in hand": ["RequestFailed"]}

    play(scenario)


@pytest.mark.req("SUP-3")
def test_what_was_in_hand_is_answered_when_the_tree_stops_in_a_hurry() -> None:
    async def scenario(office: Office) -> None:
        office.ask("first")
        await asyncio.sleep(1.0)
        office.driver.hang(CLERK)
        office.tree.tell(CLERK, AnswerAll())
        await asyncio.sleep(0.1)

        await office.tree.stop_async("in a hurry", 0.5)
        await asyncio.sleep(0.1)

        assert office.answers() == {"first": ["RequestFailed"]}

    play(scenario)


@pytest.mark.req("SUP-3", "SUP-11")
@pytest.mark.parametrize("seed", range(20))
def test_every_request_is_answered_exactly_once_in_any_order_of_events(seed: int) -> None:
    async def scenario(office: Office) -> None:
        rng = random.Random(seed)
        sent = 0
        trace: list[TapRecord] = []
        office.tree.tap(trace.append)
        for _ in range(200):
            move = rng.choice(["ask", "ask", "ask", "answer", "refuse", "crash", "wait"])
            if move == "ask":
                sent += 1
                office.ask(str(sent))
            elif move == "wait":
                await asyncio.sleep(rng.choice((0.0, 0.0005, 0.01)))
            else:
                messages: dict[str, Any] = {
                    "answer": AnswerAll,
                    "refuse": RefuseAll,
                    "crash": Crash,
                }
                office.tree.tell(CLERK, messages[move]())
        office.tree.tell(CLERK, AnswerAll())
        await asyncio.sleep(1.0)

        counts = Counter(reply.correlation_id for reply in office.told)
        assert {str(number + 1): 1 for number in range(sent)} == dict(counts)

    play(scenario, seed)
