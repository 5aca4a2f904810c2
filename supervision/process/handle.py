"""`Process`: the handle of one running tree with its embedded gateway, whatever the mode of running (SUP-10).

Tests and the facade steer through it: any message can be told to any actor by name, and every message that passes can
be tapped. How the parts are made is in `supervision.process` alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from actors import messages as m
from actors.errors import GatewayStoppedError
from actors.kernel.addresses import Cancellable, Tap
from actors.kernel.clock import Clock, Entropy
from actors.kernel.messages import Message, TreeStopped
from actors.ports import EventLog
from supervision.observe.masking import Masker
from supervision.process.status import ProcessStatus, describe_process
from supervision.tree.tree import Tree

StopHook = Callable[[], Awaitable[None]]


class Process:
    """One tree, and what has to end after it. Made by `supervision.process`; started and stopped once.

    ``endpoint`` says in words which gateway it talks to. ``make_tree`` is called by `start`, since the embedded
    gateway's port is known only then.
    """

    def __init__(
        self,
        *,
        mode: str,
        clock: Clock,
        entropy: Entropy,
        log: EventLog,
        make_tree: Callable[[Callable[[TreeStopped], None]], Awaitable[tuple[Tree, str]]],
        after_stop: StopHook,
        start_timeout_s: float,
        stop_timeout_s: float,
        masker: Masker | None = None,
        degraded: Callable[[], tuple[str, ...]] | None = None,
    ) -> None:
        self.mode = mode
        self.clock = clock
        self.entropy = entropy
        self.log = log
        self.masker = masker or Masker()
        self.endpoint = ""
        self._degraded = degraded
        self._make_tree = make_tree
        self._after_stop = after_stop
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._tree: Tree | None = None
        self._stopped: TreeStopped | None = None
        self._hooks: list[Callable[[str], None]] = []
        self._callbacks: list[tuple[str, Callable[[Message], None]]] = []

    # --- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the embedded gateway where there is one, then the tree; returns when every actor is up."""
        self._tree, self.endpoint = await self._make_tree(self._on_tree_stopped)
        for name, callback in self._callbacks:
            self._register(name, callback)
        try:
            await self._tree.start_async(self._start_timeout_s)
        except BaseException:
            await self._after_stop()
            raise

    async def stop(self, reason: str) -> bool:
        """Stop every actor in order; False when something had to be cut off."""
        in_order = True
        if self._tree is not None and self._tree.is_running:
            in_order = await self._tree.stop_async(reason, self._stop_timeout_s)
        await self._after_stop()
        return in_order

    async def wait_stopped(self, timeout_s: float | None = None) -> TreeStopped | None:
        """Wait until the tree has stopped, whatever the reason; None after ``timeout_s``."""
        return await self.tree.wait_stopped_async(timeout_s)

    @property
    def is_running(self) -> bool:
        """Whether the tree serves."""
        return self._tree is not None and self._tree.is_running

    @property
    def stop_reason(self) -> str | None:
        """Why the tree stopped; None while it serves."""
        return self._stopped.reason if self._stopped else None

    @property
    def stopped(self) -> TreeStopped | None:
        """How the tree ended; None while it serves."""
        return self._stopped

    def on_stopped(self, hook: Callable[[str], None]) -> None:
        """Call ``hook(reason)`` when the tree has stopped, in whatever thread that happens."""
        self._hooks.append(hook)

    def _on_tree_stopped(self, event: TreeStopped) -> None:
        self._stopped = event
        for hook in self._hooks:
            hook(event.reason)

    # --- steering -------------------------------------------------------------------------------------------------

    @property
    def tree(self) -> Tree:
        """The tree itself; raises `GatewayStoppedError` before `start`."""
        if self._tree is None:
            raise GatewayStoppedError("the process has not been started")
        return self._tree

    def tell(self, name: str, message: Message) -> None:
        """Send any message to any address; raises `GatewayStoppedError` when the tree has stopped."""
        self.tree.tell(name, message)

    def register(self, name: str, callback: Callable[[Message], None]) -> None:
        """Make an address of ``callback``, before or after the start; it runs in the sender's thread."""
        if self._tree is None:
            self._callbacks.append((name, callback))
        else:
            self._register(name, callback)

    def _register(self, name: str, callback: Callable[[Message], None]) -> None:
        self.tree.register(name, lambda message, _sender: callback(message))

    def tap(self, tap: Tap) -> Cancellable:
        """Show every message that passes to ``tap``, in the sender's thread."""
        return self.tree.tap(tap)

    def describe(
        self,
        connection: m.ConnectionStatus,
        liquidation: m.LiquidationStatus,
        journal: m.JournalStatus,
        records: m.RecordsStatus,
        feed: m.FeedStatus,
        publishing: m.PublishStatus,
        data: m.DataStatus,
        failed_over: tuple[str, ...],
    ) -> ProcessStatus:
        """Put the actors' answers together with what the tree knows."""
        return describe_process(
            mode=self.mode,
            endpoint=self.endpoint,
            connection=connection,
            liquidation=liquidation,
            actors=self.tree.status(),
            dead_letters=self.tree.dead_letters.total,
            journal=journal,
            records=records,
            feed=feed,
            publishing=publishing,
            data=data,
            failed_over=failed_over,
            degraded=self._degraded() if self._degraded else (),
            masker=self.masker,
        )
