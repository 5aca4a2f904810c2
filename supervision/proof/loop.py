"""One event loop on virtual time, over real loopback sockets whose both ends live in it.

Time stands still while anything is ready or under way, and jumps to the next timer when nothing is. What is ready is
decided by `supervision.proof.wire`, in the order in which the sockets were made, so that a run depends on its program
and its seed alone::

    each turn of the loop
      sockets with something to see?   → their callbacks, in order of age
      else a timer?                    → time jumps to it
      else                             → ProofDeadlockError: nothing can ever happen again

Guarantees: the same program with the same seed takes the same steps (as long as it does not depend on the order of a
set of strings or objects, nor on the garbage collector). Work for executors runs inline, names resolve without asking
anybody.

Refuses, with an error that says so: calls from other threads, descriptors and connections whose other end is elsewhere.
"""

from __future__ import annotations

import asyncio
import errno
import selectors
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar, TypeVarTuple, cast

import attrs

from supervision.proof.time import EPOCH, SeededEntropy, VirtualClock
from supervision.proof.wire import End, Listener, Names, Wire, WireSocket, wait_for

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MAX_TURNS_AT_ONE_TIME: Final = 1_000_000
"""So many turns of the loop without time going on mean that the program spins."""

FAREWELL_TURNS: Final = 20
"""Turns of the loop that callbacks get, after a proof, to notice that their tasks and transports have ended."""


class ProofDeadlockError(RuntimeError):
    """Nothing is ready, nothing is under way and no timer is set; or the loop spins without time going on."""


class ProofLoop(asyncio.SelectorEventLoop):
    """An asyncio loop on virtual time that starts at 0.0 s."""

    def __init__(self) -> None:
        """Make the loop; nothing runs yet."""
        self._virtual_s = 0.0
        self._made = 0
        self._ends: dict[int, Listener | End] = {}
        self._wires: dict[Names, Wire] = {}
        self._open: dict[int, asyncio.Transport] = {}
        self._thread: int | None = None
        super().__init__(_Selector(self))

    # Time

    def time(self) -> float:
        """Tell virtual seconds since the loop was made."""
        return self._virtual_s

    def jump(self) -> bool:
        """Let time go on to the next timer; False when there is none."""
        timers = cast("list[asyncio.TimerHandle]", self._scheduled)  # type: ignore[attr-defined]  # asyncio's heap
        if not timers:
            return False
        self._virtual_s = max(self._virtual_s, timers[0].when())
        return True

    # Threads, executors and names: none of them may decide an order

    def run_forever(self) -> None:
        """Run until stopped, in this thread only."""
        self._thread = threading.get_ident()
        try:
            super().run_forever()
        finally:
            self._thread = None

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Schedule from the loop's own thread, or while it does not run; another thread would make the order random."""
        if self._thread not in (None, threading.get_ident()):
            raise RuntimeError("a proof runs in one thread; call_soon_threadsafe came from another")
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(
        self,
        executor: Any,  # noqa: ARG002  # asyncio's signature
        func: Callable[[*Ts], T],
        *args: *Ts,
    ) -> asyncio.Future[T]:
        """Run the function now and here."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # it belongs to whoever awaits the future
            future.set_exception(error)
        return future

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """Resolve addresses in digits, and ``localhost`` as 127.0.0.1; any other name is an error."""
        host = "127.0.0.1" if host in ("localhost", b"localhost") else host
        options["flags"] = options.get("flags", 0) | socket.AI_NUMERICHOST
        return socket.getaddrinfo(host, port, **options)

    def add_reader(self, fd: Any, callback: Callable[[*Ts], Any], *args: *Ts) -> None:
        """Refuse: the loop cannot know what is under way to a descriptor that it did not make."""
        raise NotImplementedError("a proof watches only connections that it made itself")

    def add_writer(self, fd: Any, callback: Callable[[*Ts], Any], *args: *Ts) -> None:
        """Refuse, as `add_reader` does."""
        raise NotImplementedError("a proof watches only connections that it made itself")

    # Connections

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect to a listener of this loop; one connection at a time waits to be accepted."""
        while True:
            await asyncio.sleep(0)
            listener = self._listener_at(sock.family, address)
            if listener.waiting is None:
                break
        # From here on nothing yields until the transport stands, so that no cancellation can come between.
        sock.setblocking(True)
        sock.connect(address)
        sock.setblocking(False)
        self._made += 1
        wire = Wire(self._made, (sock.getsockname(), sock.getpeername()))
        self._wires[wire.names] = wire
        listener.waiting = wire

    def ends(self) -> Mapping[int, Listener | End]:
        """Show the sockets of this loop by their descriptors."""
        return self._ends

    def abort_connections(self) -> None:
        """Abort every connection that is open."""
        for transport in list(self._open.values()):
            transport.abort()

    def close(self) -> None:
        """Close the loop and the listeners that are left."""
        if not self.is_closed() and not self.is_running():
            for listener in [end for end in self._ends.values() if isinstance(end, Listener)]:
                self._stop_serving(listener.sock)
        super().close()

    def _listener_at(self, family: int, address: Any) -> Listener:
        for end in self._ends.values():
            if isinstance(end, Listener) and end.listens_at(family, address[1]):
                return end
        raise ConnectionRefusedError(
            errno.ECONNREFUSED, f"nothing in this loop listens at {address}"
        )

    # What follows overrides asyncio's own hooks, which have had these names from Python 3.11 to 3.13.

    def _start_serving(
        self, protocol_factory: Any, sock: socket.socket, *args: Any, **options: Any
    ) -> None:
        self._made += 1
        self._ends[sock.fileno()] = Listener(order=(self._made, 0), sock=sock)
        super()._start_serving(protocol_factory, sock, *args, **options)  # type: ignore[misc]  # not in typeshed

    def _stop_serving(self, sock: socket.socket) -> None:
        end = self._ends.pop(sock.fileno(), None)
        if isinstance(end, Listener) and end.waiting is not None:
            end.waiting.accepted.closed = True
            end.waiting.dialled.was_reset = True
        super()._stop_serving(sock)  # type: ignore[misc]  # not in typeshed

    def _accept_connection(
        self, protocol_factory: Any, sock: socket.socket, *args: Any, **options: Any
    ) -> None:
        wait_for(sock, selectors.EVENT_READ)
        super()._accept_connection(protocol_factory, sock, *args, **options)  # type: ignore[misc]  # not in typeshed
        listener = self._ends.get(sock.fileno())
        if isinstance(listener, Listener):
            listener.waiting = None

    def _make_socket_transport(
        self, sock: socket.socket, *args: Any, **options: Any
    ) -> asyncio.Transport:
        names = sock.getsockname(), sock.getpeername()
        wire = self._wires.get(names) or self._wires.get(names[::-1])
        if wire is None:
            raise RuntimeError(f"the other end of {names} is not in this loop")
        end = wire.dialled if wire.names == names else wire.accepted
        wrapped = WireSocket.wrap(sock, end, on_close=partial(self._forget, wire))
        fd = wrapped.fileno()
        server = options.get("server")
        if server is not None and not server.is_serving():
            wrapped.close()
            raise ConnectionAbortedError("the server was closed before it accepted the connection")
        self._ends[fd] = end
        self._open[fd] = super()._make_socket_transport(  # type: ignore[misc]  # not in typeshed
            wrapped, *args, **options
        )
        return self._open[fd]

    def _write_to_self(self) -> None:
        """Do nothing: nobody has to be woken in one thread."""

    def _forget(self, wire: Wire, sock: WireSocket) -> None:
        self._ends.pop(sock.fileno(), None)
        self._open.pop(sock.fileno(), None)
        if wire.is_over:
            self._wires.pop(wire.names, None)


class _Selector(selectors.BaseSelector):
    """Stands where asyncio asks the system what is ready, and asks the model instead."""

    def __init__(self, loop: ProofLoop) -> None:
        self._loop = loop
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._turns = 0
        self._at_s = 0.0

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        fd = _descriptor(fileobj)
        if fd in self._keys:
            raise KeyError(f"{fileobj!r} is already registered")
        self._keys[fd] = selectors.SelectorKey(fileobj, fd, events, data)
        return self._keys[fd]

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(_descriptor(fileobj))

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys[_descriptor(fileobj)]

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._count_turn()
        ready = self._ready()
        if not ready and timeout != 0 and not self._loop.jump():
            raise ProofDeadlockError(_describe_standstill(self._loop))
        return ready

    def _ready(self) -> list[tuple[selectors.SelectorKey, int]]:
        found = []
        ends = self._loop.ends()
        for fd, key in self._keys.items():
            end = ends.get(fd)
            if end is None:
                continue
            mask = 0
            if key.events & selectors.EVENT_READ and end.readable():
                mask |= selectors.EVENT_READ
            if key.events & selectors.EVENT_WRITE and end.writable():
                mask |= selectors.EVENT_WRITE
            if mask:
                found.append((end.order, key, mask))
        found.sort(key=lambda entry: entry[0])
        return [(key, mask) for _, key, mask in found]

    def _count_turn(self) -> None:
        if self._loop.time() != self._at_s:
            self._at_s, self._turns = self._loop.time(), 0
        self._turns += 1
        if self._turns > MAX_TURNS_AT_ONE_TIME:
            raise ProofDeadlockError(
                f"the loop spins at {self._at_s} s: {_describe_tasks(self._loop)}"
            )


def _descriptor(fileobj: Any) -> int:
    return fileobj if isinstance(fileobj, int) else int(fileobj.fileno())


def _describe_standstill(loop: ProofLoop) -> str:
    return (
        f"nothing is ready, under way or timed at {loop.time()} s, so nothing will ever happen; "
        f"waiting: {_describe_tasks(loop)}"
    )


def _describe_tasks(loop: ProofLoop) -> str:
    names = sorted(f"{task.get_name()} ({task.get_coro()})" for task in asyncio.all_tasks(loop))
    return ", ".join(names) or "no task"


@attrs.frozen(kw_only=True)
class Proof:
    """What a scenario gets: the loop that it runs in, its clock, its randomness, and the seed of all that."""

    loop: ProofLoop
    clock: VirtualClock
    entropy: SeededEntropy
    seed: int


def run_proof(
    scenario: Callable[[Proof], Coroutine[Any, Any, T]], *, seed: int, epoch: datetime = EPOCH
) -> T:
    """Run ``scenario(proof)`` to its end on a loop of its own, and give its result."""
    with open_proof(seed=seed, epoch=epoch) as proof:
        return proof.loop.run_until_complete(scenario(proof))


@contextmanager
def open_proof(*, seed: int, epoch: datetime = EPOCH) -> Iterator[Proof]:
    """Make a loop of its own, for a proof that is driven step by step (``proof.loop.run_until_complete``).

    The loop is the thread's current one meanwhile, which is where ib_insync looks for it; afterwards there is no
    current one, as after `asyncio.run`. Leftover tasks are cancelled, leftover connections aborted. A failure
    carries the seed as a note.
    """
    loop = ProofLoop()
    proof = Proof(
        loop=loop, clock=VirtualClock(loop, epoch), entropy=SeededEntropy(seed), seed=seed
    )
    with _current(loop):
        try:
            yield proof
        except BaseException as error:
            error.add_note(f"proof seed {seed}, virtual time {loop.time()} s")
            raise
        finally:
            _clean_up(loop)


@contextmanager
def _current(loop: ProofLoop) -> Iterator[None]:
    asyncio.set_event_loop(loop)
    try:
        yield
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _clean_up(loop: ProofLoop) -> None:
    left = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    for task in left:
        task.cancel()
    loop.run_until_complete(_farewell(left, loop))
    loop.run_until_complete(loop.shutdown_asyncgens())


async def _farewell(tasks: list[asyncio.Task[Any]], loop: ProofLoop) -> None:
    for _ in range(FAREWELL_TURNS):
        loop.abort_connections()
        await asyncio.sleep(0)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()
