"""One gateway under test: the link alone, asked by messages like everywhere else (D18)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from actors import messages as m
from actors.kernel.messages import Message, Reply, Request
from actors.logic.broker_codes import NoticeMeaning, notice_meaning
from actors.messages.addresses import CONNECTION, EXECUTOR, LINK, POSITION, RISK
from actors.model.connection import DisconnectCause
from supervision.process.handle import Process

R = TypeVar("R", bound=Reply)

MOST_NOTICES: Final = 1000

ANSWER_GRACE_S: Final = 0.5
"""The link answers by the deadline; only a link that hangs lets this pass, too."""


class LinkUnderTest:
    """The link of a process that has nothing else, and what the gateway said to nobody in particular."""

    def __init__(self, process: Process, timeout_s: float) -> None:
        self.process = process
        self.timeout_s = timeout_s
        self.notices: list[m.NoticeReceived] = []
        process.register(CONNECTION, self._hear)
        for name in (EXECUTOR, POSITION, RISK):
            process.register(name, lambda _: None)

    def _hear(self, message: Message) -> None:
        if isinstance(message, m.NoticeReceived) and len(self.notices) < MOST_NOTICES:
            self.notices.append(message)

    def heard(self, meaning: NoticeMeaning) -> str | None:
        """Give the newest notice that means this, while no later one takes it back."""
        for notice in reversed(self.notices):
            found = notice_meaning(notice.code, notice.text).meaning
            if found is meaning:
                return f"{notice.text} (code {notice.code})"
            if found in (NoticeMeaning.RESTORED, NoticeMeaning.RESTORED_DATA_LOST):
                return None
        return None

    async def open(
        self, host: str, port: int, client_id: int, *, readonly: bool
    ) -> m.SessionOpened:
        """Open a session under this client id; one that is open ends. Raises the errors of CON-7."""
        return await self.ask(
            m.OpenSession,
            m.SessionOpened,
            host=host,
            port=port,
            client_id=client_id,
            readonly=readonly,
        )

    def end(self) -> None:
        """End the session in order."""
        self.process.tell(
            LINK,
            m.EndSession(cause=DisconnectCause.ASKED, reason="the check is done", graceful=True),
        )

    async def ask(self, kind: Callable[..., Request], expected: type[R], **fields: object) -> R:
        """Ask the link; raises what it refuses with, and `GatewayTimeoutError`."""

        def request(correlation_id: str, deadline: float, reply_to: str) -> Request:
            return kind(
                correlation_id=correlation_id,
                deadline=deadline - ANSWER_GRACE_S,
                reply_to=reply_to,
                **fields,
            )

        wait_s = self.timeout_s + ANSWER_GRACE_S
        reply = await self.process.tree.ask_async(LINK, request, wait_s)
        assert isinstance(reply, expected), reply  # noqa: S101 - the link answers in kind
        return reply
