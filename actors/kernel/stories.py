"""Stories: handlers that are coroutines, run by the actor's own thread, without asyncio.

A conversation of several steps reads from top to bottom::

    @handles(SubmitOrder)
    async def on_submit_order(self, submit: SubmitOrder) -> None:
        question = RequestApproval(**self.on_behalf(submit, "risk"), order=order)
        approved = await self.asked(RISK, question, OrderApproved)
        await self.sleep(0.1)

Other messages are handled while a story waits, and only then: between two awaits nothing comes in between. A story
waits for an answer or for a time, for nothing else. Guarantees:

* every question ends: with an answer of the types that were named, with the error that the other side gave, or with
  `GatewayTimeoutError` when neither came by the question's deadline;
* a story ends with its incarnation. It is not resumed after that: an incarnation that was replaced does nothing more;
* what a story raises is a failure of the actor, and the message that began it goes to dead letters;
* resuming a story counts as handling a message: a story that hangs is found like a handler that hangs, and in proof
  mode the seed replays it.

Refuses: an answer of a type that was not named (`TypeError`), and awaiting anything but the tools above.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from types import CoroutineType
from typing import Any, ClassVar, TypedDict

import attrs

from actors.kernel.addresses import Cancellable
from actors.kernel.errors import GatewayTimeoutError, restore
from actors.kernel.mailbox import Parcel
from actors.kernel.messages import Lane, Message, Reply, RequestFailed

ANSWER_GRACE_S = 0.02
"""The other side answers by the deadline; this much later we stop believing that an answer comes."""


def child_id(correlation_id: str, step: str) -> str:
    """Name a request that serves another one: its root stays readable in every log line."""
    return f"{correlation_id}/{step}"


def root_id(correlation_id: str) -> str:
    """The caller's own correlation id, whatever was appended on the way."""
    return correlation_id.partition("/")[0]


class RequestHeader(TypedDict):
    """The fields that every request carries, to be spread into its constructor."""

    correlation_id: str
    deadline: float
    reply_to: str


@attrs.frozen(kw_only=True)
class AnswerOverdue(Message):
    """Told to oneself: the deadline of a question has passed."""

    correlation_id: str


@attrs.frozen(kw_only=True)
class AnswerOverdueInRecovery(AnswerOverdue):
    """The same while business waits for this actor to recover."""

    lane: ClassVar[Lane] = Lane.RECOVERY


@attrs.frozen(kw_only=True)
class StoryWoke(Message):
    """Told to oneself: a story has slept for as long as it wanted."""

    key: str


@attrs.frozen(kw_only=True)
class StoryWokeInRecovery(StoryWoke):
    """The same while business waits for this actor to recover."""

    lane: ClassVar[Lane] = Lane.RECOVERY


class Story:
    """One coroutine under way; ``parcel`` is the message that began it, None where the actor began it by itself."""

    __slots__ = ("_run", "is_over", "is_running", "parcel", "waits_for")

    def __init__(self, run: CoroutineType[Any, Any, Any], parcel: Parcel | None) -> None:
        self._run = run
        self.parcel = parcel
        self.waits_for: str | None = None
        self.is_over = False
        self.is_running = False

    def step(self, answer: Any, error: BaseException | None) -> Any:
        """Run until it waits again (gives what for) or is over; raises what the story raises."""
        self.is_running = True
        try:
            return self._run.throw(error) if error is not None else self._run.send(answer)
        except BaseException:
            self.is_over = True
            raise
        finally:
            self.is_running = False

    def close(self) -> None:
        """End a story that waits; `finally` blocks run."""
        self.is_over = True
        self._run.close()


class _Wait:
    """What a story yields to the kernel: the key under which it is resumed."""

    __slots__ = ("key",)

    def __init__(self, key: str) -> None:
        self.key = key

    def __await__(self) -> Generator[_Wait, Any, Any]:
        return (yield self)


class Stories:
    """The stories of one incarnation, by what they wait for. Used by `SupervisedActor` only."""

    def __init__(self) -> None:
        self._waiting: dict[str, Story] = {}
        self._timers: dict[str, Cancellable] = {}
        self._sleeps = 0
        self.running: Story | None = None
        """The story that runs now, or that raised what the actor fails of."""

    def __len__(self) -> int:
        return len(self._waiting)

    def waits_for(self, key: str) -> bool:
        """Tell whether a story waits for an answer with this correlation id."""
        return key in self._waiting

    def begin(self, run: Coroutine[Any, Any, Any], parcel: Parcel | None) -> Story:
        """Run a new story until it waits for the first time."""
        if type(run) is not CoroutineType:
            raise TypeError(f"a story is a coroutine (was {type(run).__name__})")
        story = Story(run, parcel)
        self._advance(story, None, None)
        return story

    def wait(self, key: str, timer: Cancellable | None) -> _Wait:
        """Name what the running story is going to wait for."""
        if timer is not None:
            self._timers[key] = timer
        return _Wait(key)

    def next_sleep(self) -> str:
        """Name a sleep."""
        self._sleeps += 1
        return f"sleep {self._sleeps}"

    def answered(self, reply: Reply) -> bool:
        """Resume the story that waits for this answer; False when none does: it came too late."""
        story = self._take(reply.correlation_id)
        if story is None:
            return False
        if isinstance(reply, RequestFailed):
            self._advance(story, None, restore(reply.error))
        else:
            self._advance(story, reply, None)
        return True

    def overdue(self, key: str) -> None:
        """Resume the story whose answer did not come."""
        story = self._take(key)
        if story is not None:
            late = GatewayTimeoutError("no answer came before the deadline")
            self._advance(story, None, late)

    def woke(self, key: str) -> None:
        """Resume a story that slept."""
        story = self._take(key)
        if story is not None:
            self._advance(story, None, None)

    def cancel(self, story: Story) -> None:
        """End a story that waits. One that runs now ends where it waits next; one that is over stays so."""
        if story.is_over:
            return
        if story.is_running:
            story.is_over = True
            return
        if story.waits_for is not None:
            self._take(story.waits_for)
        story.close()

    def forget(self) -> tuple[Story, ...]:
        """Let go of every story, since the incarnation has ended; gives those that waited. From any thread."""
        stories = tuple(self._waiting.copy().values())
        self._waiting.clear()
        return stories

    def _take(self, key: str) -> Story | None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        return self._waiting.pop(key, None)

    def _advance(self, story: Story, answer: Any, error: BaseException | None) -> None:
        outer, self.running = self.running, story
        try:
            wait = story.step(answer, error)
        except StopIteration as end:
            self.running = outer
            _set_result(story, end.value)
            return
        self.running = outer
        if not isinstance(wait, _Wait):
            story.close()
            self.running = story
            raise TypeError("a story awaits the actor's own tools only: asked, sleep")
        if story.is_over:  # it was called off while it ran
            self._waiting[wait.key] = story
            self._take(wait.key)
            story.close()
            return
        story.waits_for = wait.key
        self._waiting[wait.key] = story


def _set_result(story: Story, result: Any) -> None:
    """Answer pykka's own ``ask``, if the message came by one."""
    parcel = story.parcel
    if parcel is not None and parcel.future is not None:
        parcel.future.set(result)
        parcel.future = None
