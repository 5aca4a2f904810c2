"""The publisher: it writes quotes behind the trading, when the cache and the sink let it (MKT-9).

::

    PublishQuote ──▶ outbox (bounded; newest per contract, every update) ──▶ put, a batch at a time
                          ▲                                                     │ fails, or takes too long
                          └── everything stays ◀── wait, longer each time ◀─────┘

Guarantees: a handler only puts the quote into the outbox, so nobody waits for a server; every write is cut off after
`PublisherSettings.timeout_s`; what was written leaves the outbox, never anything else. A write whose outcome is unknown
is repeated: a reader knows an update that it has seen by its ``publisher`` and ``sequence``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

from actors import messages as m
from actors.errors import PublishError
from actors.kernel.actor import ActorContext
from actors.kernel.handlers import handles
from actors.kernel.loop_actor import LoopActor
from actors.logic.backoff import retry_delay_s
from actors.ports import EventLog, no_log
from supervision.config.sections import Publish
from supervision.publish.outbox import Outbox
from supervision.publish.port import QuoteStore

OpenStore = Callable[[], Awaitable[QuoteStore]]

MOST_TOGETHER: Final = 500
"""So many quotes of each kind in one write."""

_TURN_S: Final = 0.001


class PublisherActor(LoopActor):
    """See the module's docstring. ``open_store`` makes the server's side for one incarnation."""

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: Publish,
        outbox: Outbox,
        open_store: OpenStore,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context)
        self.settings = settings
        self.log = log
        self._outbox = outbox
        self._open_store = open_store
        self._store: QuoteStore | None = None
        self._failures = 0
        self._wake: asyncio.Event
        self._writer: asyncio.Task[Any]

    def started(self) -> None:
        """Begin to write."""
        self._wake = asyncio.Event()
        self._wake.set()
        self._writer = self.spawn(self._write())

    @handles(m.PublishQuote)
    def on_publish_quote(self, message: m.PublishQuote) -> None:
        """Put the quote into the outbox."""
        self._outbox.put(message.quote)
        self._wake.set()

    @handles(m.GetPublishStatus)
    def on_get_publish_status(self, request: m.GetPublishStatus) -> None:
        """Tell how the publishing goes."""
        outbox = self._outbox
        self.reply(
            request,
            m.PublishStatus(
                correlation_id=request.correlation_id,
                degraded_by=outbox.degraded_by,
                waiting=outbox.waiting,
                dropped=outbox.dropped,
                published=outbox.published,
            ),
        )

    # --- writing ----------------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if await self._try_to_write():
                await asyncio.sleep(self.settings.every_s)
            else:
                await asyncio.sleep(self._delay_s())
                self._wake.set()

    def _delay_s(self) -> float:
        settings = self.settings
        return retry_delay_s(
            self._failures,
            settings.first_delay_s,
            settings.max_delay_s,
            settings.jitter_ratio,
            self.entropy.uniform(-1.0, 1.0),
        )

    async def _try_to_write(self) -> bool:
        """Write all that waits; False when the server does not let us."""
        try:
            await self._write_all()
        except PublishError as error:
            self._failures += 1
            self._say_degraded(str(error))
            return False
        self._failures = 0
        self._say_recovered()
        return True

    async def _write_all(self) -> None:
        while batch := self._outbox.batch(MOST_TOGETHER):
            try:
                async with asyncio.timeout(self.settings.timeout_s):
                    if self._store is None:
                        self._store = await self._open_store()
                    await self._store.put(batch.newest, batch.updates)
            except TimeoutError:
                raise PublishError(f"no answer within {self.settings.timeout_s:g} s") from None
            self._outbox.written(batch)

    # --- saying -----------------------------------------------------------------------------------------------------

    def _say_degraded(self, reason: str) -> None:
        if self.has_ended:
            return  # a successor speaks
        if self._outbox.degraded_by is None:
            self.log("publish_degraded", level="WARNING", reason=reason)
        self._outbox.degraded_by = reason

    def _say_recovered(self) -> None:
        if self._outbox.degraded_by is not None and not self.has_ended:
            self._outbox.degraded_by = None
            self.log("publish_recovered", dropped=self._outbox.dropped)

    # --- the end ----------------------------------------------------------------------------------------------------

    async def winding_down(self) -> None:
        """Take in what was told before the stop, and write what can be written at once."""
        self._writer.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.drain_s):
                while not self.lease.empty():  # noqa: ASYNC110 - mailboxes have no event for it
                    await asyncio.sleep(_TURN_S)
                await self._try_to_write()
        if self._outbox.waiting:
            self.log("publish_unwritten", level="WARNING", updates=self._outbox.waiting)
        if self._store is not None:
            await self._store.close()
