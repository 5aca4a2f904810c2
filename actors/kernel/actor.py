"""The supervised actor: one thread, one dispatch table, failures that stay at home.

Write a subclass, mark its handlers, tell messages to names::

    class Counter(SupervisedActor):
        def started(self) -> None:
            self._total = 0

        @handles(Add)
        def on_add(self, message: Add) -> None:
            self._total += message.amount

        @handles(GetTotal)
        def on_get_total(self, request: GetTotal) -> None:
            self.reply(request, Total(correlation_id=request.correlation_id, value=self._total))

Guarantees (pykka alone gives none of them):

* whatever a hook or a handler raises, `BaseException` included, ends this incarnation and nothing else: every requester
  that it has not answered yet is answered, the message goes to dead letters, the supervisor is told, pykka never sees
  the exception;
* an incarnation that was replaced cannot act: `tell`, `reply`, `schedule` and `recovered` raise `SupersededError`;
* a request whose deadline has passed is refused when it is taken out, with `GatewayTimeoutError`;
* a message without a handler is refused with `UnknownMessageError` and a dead letter; the actor lives on. An answer
  that nobody waits for any more came too late, and is passed over.

A handler that is a coroutine is a story: it may ask others and sleep (`actors.kernel.stories`).

Refuses: pykka's proxies, since an actor is spoken to in messages.

An actor whose thread runs an asyncio loop is a `actors.kernel.loop_actor.LoopActor`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Mapping
from types import CoroutineType, MappingProxyType
from typing import Any, ClassVar, TypeVar, overload

import pykka
from pykka.messages import _ActorStop

from actors.kernel.addresses import Cancellable
from actors.kernel.context import ActorContext
from actors.kernel.errors import (
    ActorFailedError,
    GatewayError,
    GatewayStoppedError,
    GatewayTimeoutError,
    UnknownMessageError,
    describe,
)
from actors.kernel.failure import presentable, where_raised
from actors.kernel.handlers import Part, table_of
from actors.kernel.mailbox import STOP, Lease, Parcel, Sender
from actors.kernel.messages import (
    ActorEnded,
    ActorFailed,
    ActorStarted,
    Message,
    Reply,
    Request,
    RequestFailed,
    StopActor,
)
from actors.kernel.stories import (
    ANSWER_GRACE_S,
    AnswerOverdue,
    AnswerOverdueInRecovery,
    RequestHeader,
    Stories,
    Story,
    StoryWoke,
    StoryWokeInRecovery,
    child_id,
)

P = TypeVar("P", bound=Part)
A = TypeVar("A", bound=Reply)
B = TypeVar("B", bound=Reply)
C = TypeVar("C", bound=Reply)

MAX_UNANSWERED = 10_000
"""Beyond so many requests in hand, those whose deadline has passed are forgotten: nobody waits for them."""

__all__ = ["ActorContext", "SupervisedActor", "current_actor"]

_here = threading.local()


def current_actor() -> str | None:
    """Name the actor whose thread this is; None outside of actors."""
    name: str | None = getattr(_here, "name", None)
    return name


class SupervisedActor(pykka.ThreadingActor):
    """The base of every actor. Hooks and handlers run in the actor's own thread unless they say otherwise."""

    use_daemon_thread = True

    parts: ClassVar[tuple[type[Part], ...]] = ()
    """The classes of the parts that it owns; each is handed over with `own` when the actor is made."""

    handlers: ClassVar[Mapping[type[Message], tuple[type, str]]] = MappingProxyType({})
    """The dispatch table, derived from what is marked with `handles`: message type → class and name of the method."""

    recovers: ClassVar[bool] = False
    """True: business messages wait from the start until `recovered` is called."""

    drain_every: ClassVar[int] = 64
    """`drained` is called at the latest after this many messages."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Derive the table when the class is made; raises `TypeError` for what it must not hold."""
        super().__init_subclass__(**kwargs)
        cls.handlers = MappingProxyType(table_of(cls, cls.parts))

    def __init__(self, context: ActorContext) -> None:
        """Take the lease in the place of pykka's inbox. Runs in the supervisor's thread: keep it short."""
        super().__init__()
        lease: Any = context.lease
        self.actor_inbox = lease
        self.actor_ref.actor_inbox = lease
        self._context = context
        self._lease: Lease = context.lease
        self._book = context.book
        self._table: dict[type, Callable[[Any], Any]] = {
            kind: getattr(self, method)
            for kind, (owner, method) in self.handlers.items()
            if not issubclass(owner, Part)
        }
        self._stories = Stories()
        self._batch: list[Parcel] | None = (
            None if type(self).drained is SupervisedActor.drained else []
        )
        self._unanswered: dict[str, Request] = {}
        self.thread: threading.Thread | None = None
        self.name = context.name
        self.incarnation = context.incarnation
        self.clock = context.clock
        self.entropy = context.entropy
        self.sender: Sender = context.lease.sender
        if self.recovers:
            self._book.hold(context.lease, True)

    def own(self, part: P) -> P:
        """Take a part in, so that its handlers are called; raises `TypeError` for one that ``parts`` does not list."""
        if type(part) not in self.parts:
            raise TypeError(f"{type(self).__name__}.parts does not list {type(part).__name__}")
        for kind, (owner, method) in self.handlers.items():
            if owner is type(part):
                self._table[kind] = getattr(part, method)
        return part

    # -- hooks ------------------------------------------------------------------------------------------------------

    def started(self) -> None:
        """Prepare to serve; called before the first message."""

    def stopping(self) -> None:
        """Clean up in an orderly stop; messages may still be sent."""

    def drained(self) -> None:
        """Finish a batch: the mailbox just ran empty after at least one message (or ``drain_every`` were handled).

        Where it is overridden, a failure in it counts as the failure of every message handled since the last call.
        """

    def failure_answer(self, message: Message, error: BaseException) -> Message | None:
        """Choose what the requester of ``message`` is told when handling it failed; None: `RequestFailed`.

        When the handler hung, this runs in another thread while the handler may still run: only look.
        """
        del message, error  # the default says the same for all
        return None

    def abandoned(self) -> None:
        """Let go of what a successor needs (sockets, files) after a failure; called once, and not after `stopping`.

        When the handler hung, this runs in another thread while the handler may still run.
        """

    # -- tools ------------------------------------------------------------------------------------------------------

    def tell(self, name: str, message: Message) -> None:
        """Send to an address. Never blocks; raises only `SupersededError`, refusals come back as answers."""
        self._book.tell(self._lease.sender, name, message)

    def reply(self, request: Request, answer: Reply) -> None:
        """Answer a request; raises `SupersededError`."""
        self._unanswered.pop(request.correlation_id, None)
        self._book.tell(self._lease.sender, request.reply_to, answer)

    def refuse(self, request: Request, error: BaseException) -> None:
        """Answer a request with an error; raises `SupersededError`."""
        self._unanswered.pop(request.correlation_id, None)
        failed = RequestFailed(correlation_id=request.correlation_id, error=describe(error))
        self._book.tell(self._lease.sender, request.reply_to, failed)

    def schedule(self, delay_s: float, message: Message) -> Cancellable:
        """Tell yourself ``message`` after ``delay_s`` seconds, while this incarnation lives.

        Raises `SupersededError`.
        """
        self._book.check(self._lease.sender)
        return self._context.timer.call_later(
            delay_s, lambda: self._book.deliver(self._lease, message)
        )

    # -- stories ----------------------------------------------------------------------------------------------------

    @overload
    async def asked(
        self, to: str, request: Request, a: type[A], /, *, watched: bool = ...
    ) -> A: ...
    @overload
    async def asked(
        self, to: str, request: Request, a: type[A], b: type[B], /, *, watched: bool = ...
    ) -> A | B: ...
    @overload
    async def asked(
        self,
        to: str,
        request: Request,
        a: type[A],
        b: type[B],
        c: type[C],
        /,
        *,
        watched: bool = ...,
    ) -> A | B | C: ...
    async def asked(
        self, to: str, request: Request, /, *answers: type[Reply], watched: bool = True
    ) -> Reply:
        """Ask an address and wait for its answer, in a story.

        ``watched=False`` sets no timer, for a story whose deadline is watched elsewhere: an answer past the deadline
        then still comes. Raises the error that the other side gave, `GatewayTimeoutError` when no answer came by the
        request's deadline, and `TypeError`, which fails the actor, for an answer that is none of ``answers``.
        """
        key = request.correlation_id
        if self._stories.waits_for(key):
            raise ValueError(f"{self.name} waits for an answer to {key!r} already")
        timer = self._answer_timer(request) if watched else None
        self.tell(to, request)
        answer: Reply = await self._stories.wait(key, timer)
        if type(answer) not in answers:
            raise TypeError(
                f"{to!r} answered {type(request).__name__} with {type(answer).__name__}"
            )
        return answer

    def _answer_timer(self, request: Request) -> Cancellable:
        left_s = max(0.0, request.deadline - self.clock.monotonic()) + ANSWER_GRACE_S
        kind = AnswerOverdueInRecovery if self._lease.holding else AnswerOverdue
        return self.schedule(left_s, kind(correlation_id=request.correlation_id))

    async def sleep(self, delay_s: float) -> None:
        """Wait for ``delay_s`` seconds, in a story; other messages are handled meanwhile."""
        key = self._stories.next_sleep()
        kind = StoryWokeInRecovery if self._lease.holding else StoryWoke
        await self._stories.wait(key, self.schedule(delay_s, kind(key=key)))

    def begin_story(self, story: Coroutine[Any, Any, None]) -> Story:
        """Begin something of several steps that no message asked for; runs until it waits for the first time."""
        self._book.check(self._lease.sender)
        return self._stories.begin(story, None)

    def end_story(self, story: Story) -> None:
        """Call a story off: it ends where it waits. One that is over already stays so."""
        self._stories.cancel(story)

    def on_behalf(self, request: Request, step: str) -> RequestHeader:
        """Head a request that serves another one: same root correlation id, same deadline."""
        key = child_id(request.correlation_id, step)
        if self._stories.waits_for(key):  # two callers chose the same id
            key = f"{key}-{self.entropy.uuid4()[:8]}"
        return {"correlation_id": key, "deadline": request.deadline, "reply_to": self.name}

    def of_our_own(self, step: str, timeout_s: float) -> RequestHeader:
        """Head a request that nobody asked us for."""
        return {
            "correlation_id": child_id(self.entropy.uuid4(), step),
            "deadline": self.clock.monotonic() + timeout_s,
            "reply_to": self.name,
        }

    def recovered(self) -> None:
        """Let business messages through from now on; raises `SupersededError`."""
        self._book.hold(self._lease, False)

    def stop(self) -> None:
        """Stop in order, after the current message."""
        self.tell(self.name, StopActor())

    # -- pykka's side -----------------------------------------------------------------------------------------------

    def launch(self) -> None:
        """Start the thread. For drivers; pykka's own ``start`` cannot take a finished object."""
        pykka.ActorRegistry.register(self.actor_ref)
        self._start_actor_loop()

    def on_start(self) -> None:
        """Begin, as pykka's loop or the proof driver calls it."""
        self.enter_thread()
        self.begin()

    def enter_thread(self) -> None:
        """Note which thread runs this actor; in proof mode that is the loop's, which belongs to nobody."""
        if self._context.loop is None:
            self.thread = threading.current_thread()
            _here.name = self.name

    def begin(self) -> None:
        """Run `started` and tell the supervisor."""
        self._lease.since = self.clock.monotonic()
        try:
            self.started()
            self._context.report(ActorStarted(name=self.name, incarnation=self.incarnation))
        except BaseException as error:  # noqa: BLE001 - supervision: whatever it is, it stays here
            self._fail(error, "started", ())
        finally:
            self._lease.done()

    def on_receive(self, message: Any) -> None:
        """Handle one parcel, as pykka's loop or the proof driver hands it over; raises nothing."""
        if message is STOP:
            self.end()
            return
        parcel: Parcel = message
        try:
            self._handle(parcel)
        except BaseException as error:  # noqa: BLE001 - supervision: whatever it is, it stays here
            self._fail(error, "handler", self._failed_with(parcel))
        else:
            if self._batch is not None:
                self._drain(self._batch)
        finally:
            self._lease.done()

    def _handle(self, parcel: Parcel) -> None:
        body = parcel.body
        handler = self._table.get(type(body))
        if handler is None:
            self._handle_other(parcel)
            return
        if isinstance(body, Request):
            if self._expired(parcel, body):
                return
            self._await_answer(body)
        self.sender = parcel.sender
        result = handler(body)
        if type(result) is CoroutineType:
            self._stories.begin(result, parcel)
        elif parcel.future is not None:
            parcel.future.set(result)
            parcel.future = None
        if self._batch is not None:
            self._batch.append(parcel)

    def _failed_with(self, parcel: Parcel) -> tuple[Parcel, ...]:
        """List the messages that fail together: those of the batch, the current one, and the one a story began with."""
        batch = self._batch or ()
        story = self._stories.running
        began = story.parcel if story is not None else None
        taken = (*batch, parcel)
        return taken if began is None or began in taken else (*taken, began)

    def _await_answer(self, request: Request) -> None:
        """Remember who waits: an actor may answer long after its handler returned, or fail before that."""
        if len(self._unanswered) >= MAX_UNANSWERED:
            now = self.clock.monotonic()
            left = {key: held for key, held in self._unanswered.items() if held.deadline > now}
            self._unanswered = left
        self._unanswered[request.correlation_id] = request

    def _expired(self, parcel: Parcel, request: Request) -> bool:
        now = self._lease.since
        if now is None or request.deadline > now:
            return False
        late = GatewayTimeoutError(
            f"{type(request).__name__} came {now - request.deadline:.3f} s after its deadline"
        )
        self._return(parcel, late)
        return True

    def _handle_other(self, parcel: Parcel) -> None:
        body = parcel.body
        if isinstance(body, Reply):
            self._on_answer(body)
            return
        if isinstance(body, AnswerOverdue):
            self._stories.overdue(body.correlation_id)
            return
        if isinstance(body, StoryWoke):
            self._stories.woke(body.key)
            return
        if isinstance(body, StopActor | _ActorStop):
            self._stop_in_order(parcel)
            return
        kind = type(body).__name__
        self._return(parcel, UnknownMessageError(f"{self.name!r} has no handler for {kind}"))

    def _on_answer(self, answer: Reply) -> None:
        """Go on with the story that waits for an answer; one that nobody waits for came too late."""
        self._stories.answered(answer)

    def _return(self, parcel: Parcel, error: GatewayError) -> None:
        """Refuse a message without failing."""
        reason = f"{type(error).__name__}: {error}"
        self._book.dead_letters.add(parcel.body, self.name, reason, parcel.sender.name)
        self._book.refuse(self._lease.sender, parcel.body, error)
        if parcel.future is not None:
            parcel.future.set_exception((type(error), error, None))

    def _drain(self, batch: list[Parcel]) -> None:
        if not batch or (len(batch) < self.drain_every and not self._lease.empty()):
            return
        try:
            self.drained()
        except BaseException as error:  # noqa: BLE001 - supervision: whatever it is, it stays here
            self._fail(error, "drained", tuple(batch))
        finally:
            batch.clear()

    def _stop_in_order(self, parcel: Parcel) -> None:
        try:
            if self._batch:
                self.drained()
            self.stopping()
        except BaseException as error:  # noqa: BLE001 - supervision: whatever it is, it stays here
            self._fail(error, "stopping", (parcel,))
            return
        if self._book.revoke(self._lease, superseded=False):
            self._stories.forget()
            self._answer_in_hand(getattr(parcel.body, "reason", ""))
            self.report_end(ActorEnded(name=self.name, incarnation=self.incarnation))
        if parcel.future is not None:
            parcel.future.set(None)
        self.end()

    def _answer_in_hand(self, reason: str) -> None:
        """Answer what was taken and would have been answered later."""
        stopped = GatewayStoppedError(f"{self.name} was stopped: {reason}")
        for request in self._unanswered.copy().values():
            self._answer_request(request, stopped)

    # -- failure ----------------------------------------------------------------------------------------------------

    def _fail(self, error: BaseException, context: str, parcels: tuple[Parcel, ...]) -> None:
        """End this incarnation. One that was fenced before ends in silence: its successor is at work."""
        try:
            if not self._book.revoke(self._lease, superseded=True):
                return
            error = presentable(error)
            self.give_up(error, parcels)
            # Reported last, so that the successor finds free what `abandoned` lets go of.
            self.report_end(self.failure(error, context, parcels))
        finally:
            self.end()

    def report_end(self, report: ActorEnded | ActorFailed) -> None:
        """Tell the supervisor that this incarnation has ended; from then on a successor may start."""
        self._context.report(report)

    def failure(
        self, error: BaseException, context: str, parcels: tuple[Parcel, ...] = ()
    ) -> ActorFailed:
        """Describe a failure in the same four fields as every other."""
        return ActorFailed(
            supervisor=self._context.supervisor,
            context=context,
            reason=describe(error),
            offender=self.name,
            incarnation=self.incarnation,
            at=self.clock.now(),
            message_type=type(parcels[-1].body).__name__ if parcels else "",
            trace=where_raised(error),
        )

    def give_up(self, error: BaseException, parcels: tuple[Parcel, ...]) -> None:
        """Answer for the messages that this incarnation leaves behind, then let go of what it holds.

        Runs in the actor's thread after a failure, and in another one when it hung.
        """
        waiting = self._unanswered.copy()
        for parcel in parcels:
            waiting.pop(getattr(parcel.body, "correlation_id", ""), None)
            self._answer_for(parcel, error)
        for request in waiting.values():
            self._answer_request(request, error)
        self._stories.forget()
        self._quietly("abandoned", self.abandoned)

    def _answer_for(self, parcel: Parcel, error: BaseException) -> None:
        reason = f"{type(error).__name__}: {error}"
        self._book.dead_letters.add(parcel.body, self.name, reason, parcel.sender.name)
        if isinstance(parcel.body, Request):
            self._answer_request(parcel.body, error)
        if parcel.future is not None:
            told = self._told(error)
            parcel.future.set_exception((type(told), told, told.__traceback__))

    def _answer_request(self, request: Request, error: BaseException) -> None:
        answer: Message | None = self._quietly(
            "failure_answer", lambda: self.failure_answer(request, error)
        )
        if answer is None:
            self._book.refuse(self._lease.sender, request, self._told(error))
        else:
            self._book.answer(self._lease.sender, request, answer)

    def _told(self, error: BaseException) -> BaseException:
        """What others learn of a failure."""
        if isinstance(error, GatewayError):
            return error
        return ActorFailedError(f"{self.name} failed: {type(error).__name__}: {error}")

    def _quietly(self, hook: str, call: Callable[[], Any]) -> Any:
        """Run a hook of an incarnation that ends: what it raises can only be noted."""
        try:
            return call()
        except BaseException as error:  # noqa: BLE001 - it has failed already
            reason = f"{hook} raised {type(error).__name__}: {presentable(error)}"
            self._book.dead_letters.add(None, self.name, reason, self.name)
            return None

    def end(self) -> None:
        """Make pykka's loop return. From any thread; an abandoned thread ends when it wakes up."""
        pykka.ActorRegistry.unregister(self.actor_ref)
        self.actor_stopped.set()

    @property
    def lease(self) -> Lease:
        """The right to take messages, for drivers."""
        return self._lease

    @property
    def has_ended(self) -> bool:
        """Whether this incarnation has stopped, failed, or been fenced."""
        return self._lease.revoked

    def fence(self) -> bool:
        """Cut this incarnation off, from any thread; False when it had ended before."""
        first = self._book.revoke(self._lease, superseded=True)
        self.end()
        return first

    def unfinished(self) -> tuple[Parcel, ...]:
        """List what was taken and is not done: the current message, after those of an unfinished batch."""
        current = self._lease.current
        return self._failed_with(current) if current is not None else tuple(self._batch or ())

    def busy_since(self, now: float) -> float | None:  # noqa: ARG002
        """Tell since when (monotonic seconds) the actor has been busy with one thing; None when it is idle."""
        return self._lease.since
