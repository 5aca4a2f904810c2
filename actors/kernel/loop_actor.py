"""A supervised actor whose thread runs an asyncio loop, for what speaks over sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, ClassVar

from actors.kernel.actor import ActorContext, SupervisedActor
from actors.kernel.failure import presentable
from actors.kernel.mailbox import STOP, Parcel
from actors.kernel.messages import ActorEnded, ActorFailed, StopActor


class LoopActor(SupervisedActor):
    """An actor whose thread runs an asyncio loop; hooks and handlers run on that loop, as plain functions.

    A blocked loop counts as a hung handler. Coroutines run through `spawn`. In proof mode the loop is the shared one.
    """

    loop: asyncio.AbstractEventLoop
    """The loop; set before `started`, so not yet known in ``__init__``."""

    pump_most: ClassVar[int] = 64
    """So many messages are handled in one turn of the loop at most, so that sockets get their turn."""

    def __init__(self, context: ActorContext) -> None:
        super().__init__(context)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._probed_at: float | None = None
        self._own_loop = context.loop is None
        self._is_closing = False
        self._is_winding_down = False
        self._last_report: ActorEnded | ActorFailed | None = None
        if context.loop is not None:
            self.loop = context.loop

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine on the loop; call from the loop only.

        What it raises is a failure of this actor, like an exception in a handler; the task then returns None. It is
        cancelled when the incarnation ends. Raises `SupersededError`.
        """
        try:
            self._book.check(self._lease.sender)
        except BaseException:
            work.close()
            raise
        task = self.loop.create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def winding_down(self) -> None:
        """Finish what runs on the loop before an orderly stop; messages are handled meanwhile.

        Awaited before `stopping`, where it is overridden. A second `StopActor` does not wait for it.
        """

    def _handle_other(self, parcel: Parcel) -> None:
        has_to_wait = type(self).winding_down is not LoopActor.winding_down
        if has_to_wait and isinstance(parcel.body, StopActor) and not self._is_winding_down:
            self._is_winding_down = True
            self.spawn(self._wind_down(parcel))
            return
        super()._handle_other(parcel)

    async def _wind_down(self, parcel: Parcel) -> None:
        await self.winding_down()
        super()._handle_other(parcel)

    async def _guard(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await work
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - supervision: whatever it is, it stays here
            self._fail(error, "task", ())
            return None

    def on_start(self) -> None:
        """Run the loop until the incarnation ends; pykka's own loop then finds the actor stopped."""
        self.enter_thread()
        if not self._own_loop:
            self.begin()
            return
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(self._on_loop_error)
        self._lease.ring = self._ring
        self.loop.call_soon(self._begin_on_loop)
        self._run_loop()

    def _begin_on_loop(self) -> None:
        self.begin()
        self._pump()

    def _run_loop(self) -> None:
        while not self.actor_stopped.is_set():
            try:
                self.loop.run_forever()
            except BaseException as error:  # noqa: BLE001 - such as SystemExit
                self._fail(error, "callback", ())
        try:
            self._close_loop()
        except BaseException as error:  # noqa: BLE001 - the incarnation has ended already
            reason = f"closing the loop raised {type(error).__name__}: {presentable(error)}"
            self._book.dead_letters.add(None, self.name, reason, self.name)
        if self._last_report is not None:
            super().report_end(self._last_report)

    def report_end(self, report: ActorEnded | ActorFailed) -> None:
        """Wait with the report until the loop is closed: a successor must find the sockets free."""
        if self._own_loop:
            self._last_report = report
        else:
            super().report_end(report)

    def _close_loop(self) -> None:
        """Cancel what still runs and give it a second to end."""
        self._is_closing = True
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=1.0))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        self.loop.close()

    def _on_loop_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take an exception in a callback for a failure; what asyncio only remarks on becomes a dead letter."""
        error = context.get("exception")
        if "handle" in context and isinstance(error, BaseException):
            self._fail(error, "callback", ())
            return
        reason = f"{context.get('message')}: {error!r}"
        self._book.dead_letters.add(None, self.name, reason, self.name)

    def _ring(self) -> None:
        # RuntimeError: the loop has been closed, so this incarnation takes nothing any more.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._pump)

    def _pump(self) -> None:
        for _ in range(self.pump_most):
            parcel = self._lease.take()
            if parcel is None:
                return
            self.on_receive(parcel)
            if parcel is STOP:
                return
        self.loop.call_soon(self._pump)

    def end(self) -> None:
        """End the loop's work too. From any thread."""
        super().end()
        if not hasattr(self, "loop"):
            return
        # RuntimeError: the loop has been closed, and its tasks with it.
        with contextlib.suppress(RuntimeError):
            if self._own_loop:
                self.loop.call_soon_threadsafe(self._wind_up)
            else:
                self.loop.call_soon(self._wind_up)

    def _wind_up(self) -> None:
        if self._own_loop:
            if not self._is_closing:
                self.loop.stop()  # closing it cancels the tasks; twice would interrupt their cleaning up
            return
        for task in tuple(self._tasks):
            task.cancel()

    def busy_since(self, now: float) -> float | None:
        """Count a loop that does not turn as busy: every question also asks it for a sign of life."""
        if not self._own_loop or not hasattr(self, "loop"):
            return super().busy_since(now)
        asked = self._probed_at
        if asked is None:
            self._probed_at = now
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._answer_probe)
        since = self._lease.since
        return min((at for at in (since, asked) if at is not None), default=None)

    def _answer_probe(self) -> None:
        self._probed_at = None
