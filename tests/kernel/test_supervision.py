"""The whole of supervision on virtual time: one seed, one trace."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar

import attrs
import pytest

from actors.kernel.actor import ActorContext, SupervisedActor
from actors.kernel.addresses import LIFECYCLE, TapRecord
from actors.kernel.errors import ActorFailedError, GatewayStoppedError, GatewayTimeoutError
from actors.kernel.handlers import handles
from actors.kernel.loop_actor import LoopActor
from actors.kernel.messages import (
    ActorEnded,
    ActorFailed,
    ActorGaveUp,
    ActorRestarting,
    ActorStarted,
    Escalated,
    Lane,
    Message,
    Overflow,
    Reply,
    Request,
    StopActor,
)
from supervision.proof.driver import ProofDriver
from supervision.proof.loop import Proof, run_proof
from supervision.proof.time import SeededEntropy, VirtualClock
from supervision.tree.child_spec import ChildSpec, EscalationPlan, Restart
from supervision.tree.restart_policy import RestartPolicy, Strategy
from supervision.tree.tree import Tree

SEED = 7
STEADY = RestartPolicy(jitter_ratio=0.0)


@attrs.frozen(kw_only=True)
class Crash(Message):
    pass


@attrs.frozen(kw_only=True)
class Work(Message):
    number: int


@attrs.frozen(kw_only=True)
class Fact(Work):
    overflow: ClassVar[Overflow] = Overflow.SIGNAL


@attrs.frozen(kw_only=True)
class Recovered(Message):
    lane: ClassVar[Lane] = Lane.RECOVERY


@attrs.frozen(kw_only=True)
class Tick(Message):
    pass


@attrs.frozen(kw_only=True)
class Alarm(Message):
    offender: str


@attrs.frozen(kw_only=True)
class Ask(Request):
    pass


@attrs.frozen(kw_only=True)
class Answer(Reply):
    incarnation: int


class Player(SupervisedActor):
    @handles(Crash)
    def on_crash(self, _message: Crash) -> None:
        raise ValueError("crashed on purpose")

    @handles(Work)
    def on_work(self, message: Work) -> None:
        self.tell("log", message)

    @handles(Ask)
    def on_ask(self, message: Ask) -> None:
        answer = Answer(correlation_id=message.correlation_id, incarnation=self.incarnation)
        self.reply(message, answer)

    @handles(Alarm)
    def on_alarm(self, message: Alarm) -> None:
        self.tell("log", message)

    @handles(Tick)
    def on_tick(self, message: Tick) -> None:
        self.tell("log", message)

    @handles(Recovered)
    def on_recovered(self, _message: Recovered) -> None:
        self.recovered()


class LoopPlayer(LoopActor):
    on_crash = Player.on_crash
    on_work = Player.on_work
    on_ask = Player.on_ask
    on_alarm = Player.on_alarm
    on_tick = Player.on_tick
    on_recovered = Player.on_recovered


class Recovering(Player):
    recovers: ClassVar = True


class BadLoser(Player):
    def stopping(self) -> None:
        raise OSError("will not go")


class Ticking(Player):
    def started(self) -> None:
        self.schedule(10.0, Tick())


class World:
    """One tree in proof mode with a record of everything."""

    def __init__(
        self,
        proof: Proof,
        specs: Sequence[ChildSpec],
        policy: RestartPolicy = STEADY,
        escalation: EscalationPlan | None = None,
    ) -> None:
        self.driver = ProofDriver(proof.loop, random.Random(proof.seed))
        self.trace: list[TapRecord] = []
        self.events: list[Any] = []
        self.log: list[Any] = []
        self.started_at = proof.clock.monotonic()
        self.clock = proof.clock
        self.tree = Tree(
            specs,
            self.driver,
            proof.clock,
            proof.entropy,
            policy,
            escalation=escalation,
            tap=self.trace.append,
        )
        self.tree.register(LIFECYCLE, lambda message, _sender: self.events.append(message))
        self.tree.register("log", lambda message, _sender: self.log.append(message))

    async def ask(self, name: str, timeout_s: float = 100.0) -> Answer:
        def make(correlation_id: str, deadline: float, reply_to: str) -> Ask:
            return Ask(correlation_id=correlation_id, deadline=deadline, reply_to=reply_to)

        answer = await self.tree.ask_async(name, make, timeout_s)
        assert isinstance(answer, Answer)
        return answer

    def told(self, kind: type[Any]) -> list[Any]:
        return [record.message for record in self.trace if isinstance(record.message, kind)]

    def seen(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def incarnations(self) -> dict[str, int]:
        return {child.name: child.incarnation for child in self.tree.status()}


def player(name: str, *depends_on: str, **fields: Any) -> ChildSpec:
    fields.setdefault("factory", Player)
    return ChildSpec(name=name, depends_on=depends_on, **fields)


def play(
    scenario: Callable[[World], Awaitable[None]],
    specs: Sequence[ChildSpec],
    seed: int = SEED,
    **options: Any,
) -> World:
    worlds: list[World] = []

    async def run(proof: Proof) -> None:
        world = World(proof, specs, **options)
        worlds.append(world)
        await world.tree.start_async(60.0)
        await scenario(world)
        if world.tree.is_running:
            assert await world.tree.stop_async("the scenario is over", 60.0)

    run_proof(run, seed=seed)
    return worlds[0]


@pytest.mark.req("SUP-1")
def test_children_start_in_order_of_dependency_and_stop_in_reverse() -> None:
    async def scenario(_world: World) -> None:
        pass

    world = play(scenario, [player("c", "b"), player("b", "a"), player("a"), player("d", "c")])

    assert [message.name for message in world.told(ActorStarted)] == ["a", "b", "c", "d"]
    assert [message.name for message in world.told(ActorEnded)] == ["d", "c", "b", "a"]


@pytest.mark.req("SUP-2", "SUP-11")
def test_restarts_back_off_and_a_quiet_minute_resets_the_delay() -> None:
    async def scenario(world: World) -> None:
        for pause_s in (1.0, 1.0, 61.0, 1.0):
            world.tree.tell("a", Crash())
            await asyncio.sleep(pause_s)

    world = play(scenario, [player("a")])

    delays = [event.delay_s for event in world.seen(ActorRestarting)]
    assert delays == [
        pytest.approx(0.1),
        pytest.approx(0.2),
        pytest.approx(0.4),
        pytest.approx(0.1),
    ]


@pytest.mark.req("SUP-2")
def test_messages_wait_through_the_backoff_and_keep_their_order() -> None:
    async def scenario(world: World) -> None:
        world.tree.tell("a", Crash())
        for number in range(100):
            world.tree.tell("a", Work(number=number))
        await asyncio.sleep(1.0)

    world = play(scenario, [player("a")])

    assert world.log == [Work(number=number) for number in range(100)]


@pytest.mark.req("SUP-2")
def test_sixth_failure_within_a_minute_stops_the_tree_when_there_is_no_plan() -> None:
    async def scenario(world: World) -> None:
        for _ in range(6):
            world.tree.tell("a", Crash())
        stopped = await world.tree.wait_stopped_async(60.0)
        assert stopped is not None
        assert stopped.failed
        assert "a failed 6 times within 60.0 s" in stopped.reason
        with pytest.raises(GatewayStoppedError, match="a failed 6 times"):
            world.tree.tell("b", Work(number=1))
        with pytest.raises(GatewayStoppedError):
            await world.ask("b")

    world = play(scenario, [player("a"), player("b")])

    assert len(world.seen(ActorRestarting)) == 5
    assert not world.tree.is_running


PLAN = EscalationPlan(
    rebuild=("link", "executor"),
    notify="guard",
    message_factory=lambda event: Alarm(offender=event.offender),
)
ESCALATING = [player("link"), player("market"), player("executor", "link"), player("guard")]
STRICT = RestartPolicy(max_restarts=1, jitter_ratio=0.0)


@pytest.mark.req("SUP-2")
def test_first_escalation_rebuilds_the_group_once_and_tells_why() -> None:
    async def scenario(world: World) -> None:
        for _ in range(2):
            world.tree.tell("executor", Crash())
        await asyncio.sleep(1.0)

        assert world.incarnations() == {"link": 2, "market": 1, "executor": 3, "guard": 1}
        assert world.log == [Alarm(offender="executor")]
        world.tree.tell("executor", Crash())  # its history is fresh: one more is forgiven
        await asyncio.sleep(1.0)
        assert world.tree.is_running

    world = play(scenario, ESCALATING, policy=STRICT, escalation=PLAN)

    assert [event.rebuilt for event in world.seen(Escalated)] == [("link", "executor")]


@pytest.mark.req("SUP-2")
def test_offender_outside_the_group_stays_down_while_the_group_is_rebuilt() -> None:
    async def scenario(world: World) -> None:
        for _ in range(2):
            world.tree.tell("market", Crash())
        await asyncio.sleep(1.0)

        states = {child.name: child.state for child in world.tree.status()}
        assert states == {"link": "up", "market": "down", "executor": "up", "guard": "up"}
        assert world.incarnations()["executor"] == 2

    world = play(scenario, ESCALATING, policy=STRICT, escalation=PLAN)

    assert [event.name for event in world.seen(ActorGaveUp)] == ["market"]


@pytest.mark.req("SUP-2")
def test_second_escalation_stops_the_tree_in_order() -> None:
    async def scenario(world: World) -> None:
        for _ in range(4):
            world.tree.tell("executor", Crash())
        stopped = await world.tree.wait_stopped_async(60.0)
        assert stopped is not None
        assert stopped.failed

    world = play(scenario, ESCALATING, policy=STRICT, escalation=PLAN)

    assert [event.rebuilt for event in world.seen(Escalated)] == [("link", "executor"), ()]
    ended = [message.name for message in world.told(ActorEnded)][-3:]
    assert sorted(ended) == ["guard", "link", "market"]


@pytest.mark.req("SUP-1")
def test_rest_for_one_takes_dependents_down_in_reverse_and_brings_them_back_in_order() -> None:
    policy = RestartPolicy(strategy=Strategy.REST_FOR_ONE, jitter_ratio=0.0)

    async def scenario(world: World) -> None:
        world.trace.clear()
        world.tree.tell("a", Crash())
        world.tree.tell("c", Work(number=1))
        await asyncio.sleep(1.0)
        assert world.incarnations() == {"a": 2, "b": 2, "c": 2, "x": 1}
        assert [message.name for message in world.told(ActorEnded)] == ["c", "b"]
        assert [message.name for message in world.told(ActorStarted)] == ["a", "b", "c"]
        assert world.log == [Work(number=1)]

    play(scenario, [player("a"), player("b", "a"), player("c", "b"), player("x")], policy=policy)


@pytest.mark.req("SUP-1")
def test_restart_waits_until_the_last_dependent_has_left() -> None:
    policy = RestartPolicy(strategy=Strategy.REST_FOR_ONE, jitter_ratio=0.0)

    async def scenario(world: World) -> None:
        world.driver.hang("b")
        world.tree.tell("a", Crash())
        await asyncio.sleep(1.9)
        states = {child.name: child.state for child in world.tree.status()}
        assert states == {"a": "down", "b": "stopping"}
        await asyncio.sleep(0.2)
        assert world.incarnations() == {"a": 2, "b": 2}

    play(scenario, [player("a"), player("b", "a", shutdown_s=2.0)], policy=policy)


@pytest.mark.req("SUP-4")
def test_reports_about_a_replaced_incarnation_change_nothing() -> None:
    async def scenario(world: World) -> None:
        world.tree.tell("a", Crash())
        await asyncio.sleep(1.0)
        late = world.seen(ActorFailed)[0]
        world.tree.tell("supervisor", late)
        world.tree.tell("supervisor", ActorEnded(name="a", incarnation=1))
        await asyncio.sleep(1.0)
        assert world.incarnations() == {"a": 2}
        assert len(world.seen(ActorFailed)) == 1

    play(scenario, [player("a")])


@pytest.mark.req("SUP-7")
def test_overflow_of_messages_that_cannot_be_refused_is_told_to_whom_the_spec_names() -> None:
    async def scenario(world: World) -> None:
        for number in range(5):
            world.tree.tell("a", Fact(number=number))
        await asyncio.sleep(1.0)
        assert world.log == [Alarm(offender="a")]

    specs = [
        player("a", factory=Recovering, mailbox_bound=3, on_overflow=("b", Alarm(offender="a"))),
        player("b"),
    ]
    play(scenario, specs)


@pytest.mark.req("SUP-1")
def test_dependent_that_fails_while_it_is_stopped_comes_back_without_a_backoff() -> None:
    policy = RestartPolicy(strategy=Strategy.REST_FOR_ONE, jitter_ratio=0.0)

    async def scenario(world: World) -> None:
        world.tree.tell("a", Crash())
        await asyncio.sleep(1.0)
        assert world.incarnations() == {"a": 2, "b": 2}
        assert [event.name for event in world.seen(ActorRestarting)] == ["a"]

    world = play(scenario, [player("a"), player("b", "a", factory=BadLoser)], policy=policy)

    assert [event.context for event in world.seen(ActorFailed)] == ["handler", *["stopping"] * 2]


@pytest.mark.req("SUP-1")
def test_one_for_one_leaves_dependents_alone() -> None:
    async def scenario(world: World) -> None:
        world.tree.tell("a", Crash())
        await asyncio.sleep(1.0)
        assert world.incarnations() == {"a": 2, "b": 1}

    play(scenario, [player("a"), player("b", "a")])


@pytest.mark.req("SUP-1")
@pytest.mark.parametrize(
    ("restart", "message", "incarnation", "state"),
    [
        (Restart.PERMANENT, Crash(), 2, "up"),
        (Restart.PERMANENT, StopActor(), 2, "up"),
        (Restart.TRANSIENT, Crash(), 2, "up"),
        (Restart.TRANSIENT, StopActor(), 1, "down"),
        (Restart.TEMPORARY, Crash(), 1, "down"),
        (Restart.TEMPORARY, StopActor(), 1, "down"),
    ],
)
def test_restart_kind_decides_which_end_is_final(
    restart: Restart, message: Message, incarnation: int, state: str
) -> None:
    async def scenario(world: World) -> None:
        world.tree.tell("a", message)
        await asyncio.sleep(1.0)
        child = world.tree.status()[0]
        assert (child.incarnation, child.state) == (incarnation, state)

    play(scenario, [player("a", restart=restart)])


@pytest.mark.req("SUP-6")
def test_business_waits_until_the_new_incarnation_has_recovered() -> None:
    async def scenario(world: World) -> None:
        world.tree.tell("a", Work(number=1))
        await asyncio.sleep(5.0)
        before = list(world.log)
        world.tree.tell("a", Recovered())
        await asyncio.sleep(5.0)
        between = list(world.log)
        world.tree.tell("a", Crash())
        world.tree.tell("a", Work(number=2))
        await asyncio.sleep(5.0)
        held = list(world.log)
        world.tree.tell("a", Recovered())
        await asyncio.sleep(5.0)

        assert before == []
        assert between == held == [Work(number=1)]
        assert world.log == [Work(number=1), Work(number=2)]

    play(scenario, [player("a", factory=Recovering)])


@pytest.mark.req("SUP-4", "SUP-11")
@pytest.mark.parametrize("factory", [Player, LoopPlayer])
def test_hanging_incarnation_is_replaced_after_its_limit_and_waking_it_changes_nothing(
    factory: Callable[[ActorContext], SupervisedActor],
) -> None:
    async def scenario(world: World) -> None:
        world.driver.hang("a")
        world.tree.tell("a", Work(number=1))
        world.tree.tell("a", Work(number=2))
        await asyncio.sleep(4.9)
        assert world.log == []
        assert world.tree.status()[0].handler_age_s == pytest.approx(4.9)
        await asyncio.sleep(1.0)
        assert world.log == [Work(number=2)]
        world.driver.wake("a")
        await asyncio.sleep(100.0)
        assert world.log == [Work(number=2)]
        assert world.tree.dead_letters.snapshot()[0].message == Work(number=1)

    world = play(scenario, [player("a", factory=factory)])

    assert [event.context for event in world.seen(ActorFailed)] == ["hung"]


@pytest.mark.req("SUP-4")
def test_requester_of_the_message_that_hung_is_answered() -> None:
    async def scenario(world: World) -> None:
        world.driver.hang("a")
        with pytest.raises(ActorFailedError, match="busy with one message for over 5"):
            await world.ask("a")
        assert (await world.ask("a")).incarnation == 2

    play(scenario, [player("a")])


@pytest.mark.req("SUP-8")
def test_ask_ends_at_its_timeout_exactly() -> None:
    async def scenario(world: World) -> None:
        world.driver.hang("a")
        before = world.clock.monotonic()
        with pytest.raises(GatewayTimeoutError, match=r"within 2\.0 s"):
            await world.ask("a", timeout_s=2.0)
        assert world.clock.monotonic() - before == pytest.approx(2.0)

    play(scenario, [player("a")])


@pytest.mark.req("SUP-8")
def test_request_that_waited_too_long_for_a_restart_is_refused_by_the_successor() -> None:
    slow = RestartPolicy(first_delay_s=5.0, jitter_ratio=0.0)

    async def scenario(world: World) -> None:
        world.tree.tell("a", Crash())
        with pytest.raises(GatewayTimeoutError):
            await world.ask("a", timeout_s=1.0)
        await asyncio.sleep(10.0)
        reasons = [letter.reason for letter in world.tree.dead_letters.snapshot()]
        assert any("Ask came 4.000 s after its deadline" in reason for reason in reasons)

    play(scenario, [player("a")], policy=slow)


@pytest.mark.req("SUP-4")
def test_timers_of_an_incarnation_end_with_it() -> None:
    async def scenario(world: World) -> None:
        await asyncio.sleep(5.0)
        world.tree.tell("a", Crash())
        await asyncio.sleep(8.0)
        assert world.log == []  # due at 10 s, but the first incarnation ended at 5 s
        await asyncio.sleep(3.0)
        assert world.log == [Tick()]

    play(scenario, [player("a", factory=Ticking)])


@pytest.mark.req("SUP-2", "SUP-9")
def test_stop_answers_the_requests_that_wait() -> None:
    async def scenario(world: World) -> None:
        asking = asyncio.ensure_future(world.ask("a"))
        await asyncio.sleep(1.0)
        await world.tree.stop_async("closing time", 60.0)
        with pytest.raises(GatewayStoppedError, match="closing time"):
            await asking

    play(scenario, [player("a", factory=Recovering)])


@pytest.mark.req("SUP-9")
def test_child_that_does_not_stop_in_time_is_cut_off() -> None:
    async def scenario(world: World) -> None:
        world.driver.hang("b")
        world.tree.tell("b", Work(number=1))
        await asyncio.sleep(0.1)
        before = world.clock.monotonic()
        assert await world.tree.stop_async("closing time", 60.0)
        assert world.clock.monotonic() - before == pytest.approx(2.0)

    play(scenario, [player("a"), player("b", "a", shutdown_s=2.0)])


def traces(seed: int) -> list[TapRecord]:
    """Random crashes and hangs while six actors work."""
    specs = [player("a"), player("b", "a"), player("c", "b", factory=LoopPlayer), player("d")]
    policy = RestartPolicy(max_restarts=100_000, strategy=Strategy.REST_FOR_ONE)

    async def scenario(world: World) -> None:
        rng = random.Random(seed)
        for number in range(200):
            name = rng.choice("abcd")
            world.tree.tell(name, Work(number=number))
            if rng.random() < 0.1:
                world.tree.tell(name, Crash())
            if rng.random() < 0.1:
                await asyncio.sleep(rng.random() * 3)
        await asyncio.sleep(200.0)
        assert sorted(message.number for message in world.log) == list(range(200))

    return play(scenario, specs, seed=seed, policy=policy).trace


@pytest.mark.req("SUP-11")
def test_same_seed_gives_the_same_trace_ten_times() -> None:
    first = traces(SEED)

    assert len(first) > 400
    for _ in range(9):
        assert traces(SEED) == first


@pytest.mark.req("SUP-11")
def test_seed_decides_which_of_several_ready_actors_goes_first() -> None:
    async def scenario(world: World) -> None:
        for number, name in enumerate("abcdef"):
            world.tree.tell(name, Work(number=number))
        await asyncio.sleep(1.0)

    orders = {
        tuple(
            message.number
            for message in play(scenario, [player(name) for name in "abcdef"], seed=seed).log
        )
        for seed in range(20)
    }

    assert len(orders) > 10


@pytest.mark.req("SUP-11")
def test_same_tree_runs_on_an_ordinary_event_loop() -> None:
    loop = asyncio.new_event_loop()
    driver = ProofDriver(loop, random.Random(SEED))

    fast = RestartPolicy(first_delay_s=0.001, max_delay_s=0.001)
    tree = Tree([player("a")], driver, VirtualClock(loop), SeededEntropy(SEED), fast)
    log: list[Any] = []
    tree.register("log", lambda message, _sender: log.append(message))
    tree.start(5.0)

    tree.tell("a", Crash())
    answer = tree.ask(
        "a", lambda id_, due, to: Ask(correlation_id=id_, deadline=due, reply_to=to), 5.0
    )

    assert isinstance(answer, Answer)
    assert answer.incarnation == 2
    assert tree.stop("enough", 5.0)
    loop.close()
