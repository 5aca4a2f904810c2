"""Quotes from the tree to a caller's asyncio loop: one stream per subscription (GW-7, MKT-7).

::

    market-data actor ──▶ backlog of the loop ──(one wake-up)──▶ backlog of each stream ──▶ its reader
       (its thread)        newest per symbol                     newest per symbol

Guarantees: nothing that waits anywhere grows beyond the symbols, whether a reader is slow, the loop is blocked, or both
are gone; a stream that nobody holds any more, and all streams of a loop that was closed, are unsubscribed.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from types import MappingProxyType, TracebackType
from typing import Self

from actors import messages as m
from actors.kernel.messages import Message
from actors.model.market import FeedKind, Quote
from supervision.facade.quote_backlog import QuoteBacklog, QuoteEvent


class _Inbox:
    """What one stream's reader has not read yet; on the caller's loop only."""

    def __init__(self, subscription_id: str, symbols: tuple[str, ...], feed: FeedKind) -> None:
        self.subscription_id = subscription_id
        self.symbols = symbols
        self.feed = feed
        self.backlog = QuoteBacklog()
        self.interrupted: dict[str, str] = {}
        self.ready = asyncio.Event()
        self.error: BaseException | None = None
        self.is_closed = False

    def interrupt(self, symbols: Iterable[str], reason: str) -> None:
        """Announce an interruption of symbols that were not interrupted."""
        fresh = [symbol for symbol in symbols if symbol not in self.interrupted]
        self.interrupted.update(dict.fromkeys(fresh, reason))
        self.backlog.interrupted(fresh, reason)

    def resume(self, symbols: Iterable[str]) -> None:
        """Announce that what was interrupted goes on."""
        self.backlog.resumed([it for it in symbols if self.interrupted.pop(it, None) is not None])

    def end(self, error: BaseException | None) -> None:
        """Let the reader read what is there, and then no more."""
        if not self.is_closed:
            self.error = error
            self.is_closed = True
            self.ready.set()


class QuoteStream(AsyncIterator[Quote]):
    """The quotes of one subscription: iterate over it, or over `events`; end it with `aclose` or ``async with``.

    A reader gets the newest quote of each symbol that it has not read, however slow it is. One stream has one reader.
    Dropping the last reference to it ends the subscription, too.
    """

    def __init__(self, inbox: _Inbox, close: Callable[[], None]) -> None:
        self._inbox = inbox
        self._close = close

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Quote:
        while True:
            event = await self._next()
            if isinstance(event, Quote):
                return event

    async def events(self) -> AsyncIterator[QuoteEvent]:
        """Iterate over the quotes and, in between, `QuotesInterrupted` and `QuotesResumed`, each in its place."""
        with suppress(StopAsyncIteration):
            while True:
                yield await self._next()

    async def _next(self) -> QuoteEvent:
        inbox = self._inbox
        while not inbox.backlog:
            if inbox.error is not None:
                raise inbox.error
            if inbox.is_closed:
                raise StopAsyncIteration
            inbox.ready.clear()
            await inbox.ready.wait()
        return inbox.backlog.take()

    @property
    def interrupted(self) -> Mapping[str, str]:
        """The symbols whose feed stands still now, each with the reason."""
        return MappingProxyType(self._inbox.interrupted)

    async def aclose(self) -> None:
        """End the subscription; what was received before can still be read."""
        self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class QuoteStreams:
    """All streams of one loop. ``unsubscribe`` may be called from any thread; `receive` is, everything else is not."""

    def __init__(self, unsubscribe: Callable[[str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._unsubscribe = unsubscribe
        self._inboxes: dict[str, _Inbox] = {}
        self._by_symbol: dict[str, tuple[_Inbox, ...]] = {}
        self._lock = threading.Lock()
        self._backlog = QuoteBacklog()
        self._is_woken = False
        self._dropped: deque[str] = deque()

    def __len__(self) -> int:
        return len(self._inboxes)

    # --- subscriptions --------------------------------------------------------------------------------------------

    def open(self, subscription_id: str, symbols: tuple[str, ...], feed: FeedKind) -> QuoteStream:
        """Make the stream of a subscription, which the caller then asks for."""
        inbox = _Inbox(subscription_id, symbols, feed)
        self._inboxes[subscription_id] = inbox
        for symbol in dict.fromkeys(symbols):
            self._by_symbol[symbol] = (*self._by_symbol.get(symbol, ()), inbox)
        stream = QuoteStream(inbox, lambda: self.close(subscription_id))
        weakref.finalize(stream, self._note_dropped, subscription_id).atexit = False
        return stream

    def close(self, subscription_id: str) -> None:
        """End one stream, and its subscription."""
        inbox = self._forget(subscription_id)
        if inbox is not None:
            self._unsubscribe(subscription_id)
            inbox.end(None)

    def _forget(self, subscription_id: str) -> _Inbox | None:
        inbox = self._inboxes.pop(subscription_id, None)
        for symbol in dict.fromkeys(inbox.symbols if inbox is not None else ()):
            left = tuple(other for other in self._by_symbol[symbol] if other is not inbox)
            if left:
                self._by_symbol[symbol] = left
            else:
                del self._by_symbol[symbol]
        return inbox

    def _note_dropped(self, subscription_id: str) -> None:
        """Take note in whatever thread collects garbage, which may hold any lock: so this takes none."""
        self._dropped.append(subscription_id)
        with suppress(RuntimeError):  # the loop is closed; then the next message ends everything
            self._loop.call_soon_threadsafe(self._close_dropped)

    def _close_dropped(self) -> None:
        while self._dropped:
            self.close(self._dropped.popleft())

    def end(self, error: BaseException | None) -> None:
        """End every stream; what was received before is still handed out, then ``error`` is raised."""
        for subscription_id in tuple(self._inboxes):
            inbox = self._forget(subscription_id)
            if inbox is not None:
                inbox.end(error)

    def lost(self, reason: str) -> tuple[_Inbox, ...]:
        """Announce that every feed stands still; returns what has to be subscribed to again."""
        for inbox in self._inboxes.values():
            inbox.interrupt(inbox.symbols, reason)
            inbox.ready.set()
        return tuple(self._inboxes.values())

    # --- what the tree tells --------------------------------------------------------------------------------------

    def receive(self, message: Message) -> None:
        """Keep what is told, in the sender's thread, and wake the loop once for all that waits."""
        if self._loop.is_closed():
            self._abandon()
            return
        with self._lock:
            self._keep(message)
            is_woken, self._is_woken = self._is_woken, True
        if not is_woken:
            with suppress(RuntimeError):  # it was closed in between
                self._loop.call_soon_threadsafe(self._deliver)

    def _keep(self, message: Message) -> None:
        backlog = self._backlog
        if isinstance(message, m.QuotesUpdated):
            for quote in message.quotes:
                backlog.put(quote)
        elif isinstance(message, m.QuotesInterrupted):
            backlog.interrupted(message.symbols, message.reason)
        elif isinstance(message, m.QuotesResumed):
            backlog.resumed(message.symbols)

    def _abandon(self) -> None:
        """Unsubscribe everything: the loop that would read it is gone."""
        with self._lock:
            left, self._inboxes = self._inboxes, {}
            self._by_symbol = {}
        for subscription_id in left:
            self._unsubscribe(subscription_id)

    def _deliver(self) -> None:
        with self._lock:
            backlog, self._backlog = self._backlog, QuoteBacklog()
            self._is_woken = False
        woken: dict[_Inbox, None] = {}  # in order, so that proofs replay
        while backlog:
            event = backlog.take()
            if isinstance(event, Quote):
                for inbox in self._by_symbol.get(event.contract.symbol, ()):
                    inbox.backlog.put(event)
                    woken[inbox] = None
            else:
                woken.update(dict.fromkeys(self._announce(event)))
        for inbox in woken:
            inbox.ready.set()

    def _announce(self, event: m.QuotesInterrupted | m.QuotesResumed) -> Iterable[_Inbox]:
        concerned: defaultdict[_Inbox, list[str]] = defaultdict(list)
        for symbol in event.symbols:
            for inbox in self._by_symbol.get(symbol, ()):
                concerned[inbox].append(symbol)
        for inbox, symbols in concerned.items():
            if isinstance(event, m.QuotesResumed):
                inbox.resume(symbols)
            else:
                inbox.interrupt(symbols, event.reason)
        return concerned
