"""The supervision kernel: a crash and the next answer beside one thread start, a hop beside that of a bare queue."""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue
from time import perf_counter_ns

import attrs

from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import handles
from actors.kernel.messages import Message, Reply, Request
from supervision.tree.child_spec import ChildSpec
from supervision.tree.driver import ThreadDriver
from supervision.tree.restart_policy import RestartPolicy
from supervision.tree.system import SystemClock, SystemEntropy
from supervision.tree.tree import Tree
from tests.benchmarks.table import Row, summarize

CRASHES = 300
ROUNDS = 5
HOPS = 4000
AIM_RESTART = 3.0
WAIT_S = 10.0

AT_ONCE = RestartPolicy(
    first_delay_s=0.0, max_delay_s=0.0, max_restarts=1_000, within_s=1.0, reset_after_s=0.001
)
"""No backoff, so that none has to be subtracted."""


@attrs.frozen(kw_only=True)
class Crash(Message):
    """Raise."""


@attrs.frozen(kw_only=True)
class Ping(Request):
    """Answer."""


@attrs.frozen(kw_only=True)
class Pong(Reply):
    """The answer."""


@attrs.frozen(kw_only=True)
class Ball(Message):
    """Give it back so many times."""

    left: int


class Crasher(SupervisedActor):
    """Has nothing to recover."""

    @handles(Crash)
    def on_crash(self, _: Crash) -> None:
        """Fail."""
        raise ValueError("on purpose")

    @handles(Ping)
    def on_ping(self, request: Ping) -> None:
        """Answer."""
        self.reply(request, Pong(correlation_id=request.correlation_id))


class Player(SupervisedActor):
    """Returns the ball to whoever sent it."""

    @handles(Ball)
    def on_ball(self, ball: Ball) -> None:
        """Hit it, or tell that the rally is over."""
        other = {"one": "two", "two": "one"}[self.name]
        self.tell(other if ball.left else "umpire", Ball(left=ball.left - 1))


def measure() -> list[Row]:
    """Measure both."""
    return [_restarts(), _hops()]


def _restarts() -> Row:
    answers: SimpleQueue[object] = SimpleQueue()
    specs = (ChildSpec(name="crasher", factory=Crasher),)
    tree = Tree(specs, ThreadDriver(), SystemClock(), SystemEntropy(), AT_ONCE)
    tree.register("here", lambda message, _: answers.put(message))
    tree.start(WAIT_S)
    starts, restarts = [], []
    try:
        for number in range(CRASHES):
            starts.append(_thread_start_us(answers))
            ping = Ping(
                correlation_id=str(number), deadline=time.monotonic() + WAIT_S, reply_to="here"
            )
            began = perf_counter_ns()
            tree.tell("crasher", Crash())
            tree.tell("crasher", ping)
            answer = answers.get(timeout=WAIT_S)
            restarts.append((perf_counter_ns() - began) / 1e3)
            assert isinstance(answer, Pong), answer
            time.sleep(0.004)
    finally:
        tree.stop("measured", WAIT_S)
    floor, ours = summarize(starts), summarize(restarts)
    return Row(
        what="crash → answering again (median)",
        unit="µs",
        floor=floor.median,
        ours=ours.median,
        aim=AIM_RESTART,
        is_disturbed=floor.is_disturbed,
        note=f"p99 {ours.p99:,.0f}, floor's {floor.p99:,.0f}; floor: one thread start; backoff 0",
    )


def _thread_start_us(answers: SimpleQueue[object]) -> float:
    began = perf_counter_ns()
    threading.Thread(target=answers.put, args=(None,), daemon=True).start()
    answers.get(timeout=WAIT_S)
    return (perf_counter_ns() - began) / 1e3


def _hops() -> Row:
    over: SimpleQueue[object] = SimpleQueue()
    specs = (ChildSpec(name="one", factory=Player), ChildSpec(name="two", factory=Player))
    tree = Tree(specs, ThreadDriver(), SystemClock(), SystemEntropy())
    tree.register("umpire", lambda message, _: over.put(message))
    tree.start(WAIT_S)
    floors, ours = [], []
    try:
        for _ in range(ROUNDS):
            floors.append(_bare_rally_us(over))
            began = perf_counter_ns()
            tree.tell("one", Ball(left=HOPS))
            over.get(timeout=WAIT_S)
            ours.append((perf_counter_ns() - began) / 1e3 / HOPS)
    finally:
        tree.stop("measured", WAIT_S)
    return Row(
        what="one hop between two actors",
        unit="µs",
        floor=min(floors),
        ours=min(ours),
        note="floor: SimpleQueue between two threads",
    )


def _bare_rally_us(over: SimpleQueue[object]) -> float:
    queues: tuple[SimpleQueue[int], SimpleQueue[int]] = (SimpleQueue(), SimpleQueue())

    def play(mine: SimpleQueue[int], other: SimpleQueue[int]) -> None:
        while (left := mine.get()) > 0:
            other.put(left - 1)
        other.put(-1)
        over.put(None)

    players = [
        threading.Thread(target=play, args=(queues[side], queues[1 - side]), daemon=True)
        for side in (0, 1)
    ]
    for player in players:
        player.start()
    began = perf_counter_ns()
    queues[0].put(HOPS)
    over.get(timeout=WAIT_S)
    taken = (perf_counter_ns() - began) / 1e3 / HOPS
    for player in players:
        player.join(WAIT_S)
    while not over.empty():
        over.get()
    return taken
