"""Requests that an actor has under way to others.

No actor waits for another (D2): a request is told, and what shall happen with its answer is kept here until the answer,
a failure or the deadline comes. Every request ends in exactly one of the two continuations, and an answer that comes
after that is ignored.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from actors.kernel.actor import ActorContext, SupervisedActor
from actors.kernel.errors import ErrorInfo, GatewayTimeoutError, describe
from actors.kernel.handlers import handles
from actors.kernel.messages import Message, Reply, Request, RequestFailed
from actors.kernel.stories import ANSWER_GRACE_S, RequestHeader, child_id


@attrs.frozen(kw_only=True)
class ConversationExpired(Message):
    """Told to oneself when an answer is overdue."""

    correlation_id: str


@attrs.frozen
class _Pending:
    on_reply: Callable[[Reply], None]
    on_failure: Callable[[ErrorInfo], None]


class Conversations:
    """The requests under way of one actor.

    What comes back reaches it by `ConversingActor`.
    """

    def __init__(self, actor: SupervisedActor) -> None:
        self._actor = actor
        self._pending: dict[str, _Pending] = {}

    def on_behalf(self, request: Request, step: str) -> RequestHeader:
        """Head a request that serves another one: same root correlation id, same deadline."""
        return {
            "correlation_id": child_id(request.correlation_id, step),
            "deadline": request.deadline,
            "reply_to": self._actor.name,
        }

    def of_our_own(self, step: str, timeout_s: float) -> RequestHeader:
        """Head a request that nobody asked us for."""
        return {
            "correlation_id": child_id(self._actor.entropy.uuid4(), step),
            "deadline": self._actor.clock.monotonic() + timeout_s,
            "reply_to": self._actor.name,
        }

    def ask(
        self,
        to: str,
        request: Request,
        on_reply: Callable[[Reply], None],
        on_failure: Callable[[ErrorInfo], None],
        *,
        watched: bool = True,
    ) -> None:
        """Tell ``request`` and remember what follows.

        ``watched=False`` sets no timer: for an actor that watches the deadline of the whole operation itself.
        """
        self._pending[request.correlation_id] = _Pending(on_reply, on_failure)
        if watched:
            delay_s = max(0.0, request.deadline - self._actor.clock.monotonic()) + ANSWER_GRACE_S
            self._actor.schedule(
                delay_s, ConversationExpired(correlation_id=request.correlation_id)
            )
        self._actor.tell(to, request)

    def answered(self, reply: Reply) -> None:
        """Continue with an answer; one that nobody waits for is ignored."""
        pending = self._pending.pop(reply.correlation_id, None)
        if pending is not None:
            pending.on_reply(reply)

    def failed(self, reply: RequestFailed) -> None:
        """Continue with a failure."""
        pending = self._pending.pop(reply.correlation_id, None)
        if pending is not None:
            pending.on_failure(reply.error)

    def expired(self, message: ConversationExpired) -> None:
        """Continue with a timeout when no answer came."""
        pending = self._pending.pop(message.correlation_id, None)
        if pending is not None:
            pending.on_failure(describe(GatewayTimeoutError("no answer came before the deadline")))

    def forget(self, correlation_id: str) -> None:
        """Drop a request whose answer no longer matters."""
        self._pending.pop(correlation_id, None)


class ConversingActor(SupervisedActor):
    """An actor that asks others by continuations. To be replaced by stories."""

    def __init__(self, context: ActorContext) -> None:
        super().__init__(context)
        self.conversations = Conversations(self)

    def _on_answer(self, answer: Reply) -> None:
        if isinstance(answer, RequestFailed):
            self.conversations.failed(answer)
        else:
            self.conversations.answered(answer)
        super()._on_answer(answer)

    @handles(ConversationExpired)
    def on_expired(self, message: ConversationExpired) -> None:
        """End the conversation whose answer did not come."""
        self.conversations.expired(message)
