"""What is under way between the two ends of a loopback connection, when both ends live in one loop.

The bytes really travel through the operating system. *When* an end may see them is decided here, from what its peer
has done: so many bytes sent and not yet read, the stream ended, the connection reset. The kernel is only asked to hand
over what is known to have been sent, and it is waited for (`PATIENCE_S` of real time) should it be late. The order of
events therefore depends on nothing but the program: not on the scheduler, the kernel's buffers, port or descriptor
numbers.

::

    peer does                     this end then sees
    send                          so many bytes, never more than WINDOW_BYTES unread
    shutdown, close               end of stream, after the bytes
    close with bytes unread,      ConnectionResetError, after the bytes
    or with SO_LINGER 0

Refused: connections whose other end is not in this loop.
"""

from __future__ import annotations

import errno
import selectors
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import attrs

if TYPE_CHECKING:
    from typing_extensions import Buffer

WINDOW_BYTES: Final = 64 * 1024
"""At most this much is unread in each direction; the kernel's own buffers are larger everywhere."""

PATIENCE_S: Final = 10.0
"""Real seconds that the kernel is given to hand over what was sent; it needs microseconds."""

_LINGER: Final = struct.Struct("hh" if sys.platform == "win32" else "ii")
"""The layout of the value of SO_LINGER: on or off, seconds."""

Names = tuple[Any, Any]
"""The addresses of the two ends of a connection, as the end that dialled sees them: own, peer."""


@attrs.define(eq=False)
class Listener:
    """A listening socket and the connection that waits to be accepted: one at most."""

    order: tuple[int, int]
    sock: socket.socket
    waiting: Wire | None = None

    def listens_at(self, family: int, port: int) -> bool:
        """Tell whether a connection to that port comes here; the host is always this one."""
        return self.sock.family == family and self.sock.getsockname()[1] == port

    def readable(self) -> bool:
        """Tell whether a connection can be accepted."""
        return self.waiting is not None

    def writable(self) -> bool:
        """Never: one does not write to a listener."""
        return False


@attrs.define(eq=False)
class End:
    """One end of a connection: what its peer has sent it, and what it knows of its peer's end."""

    order: tuple[int, int]
    unread_bytes: int = 0
    ended: bool = False
    end_was_seen: bool = False
    was_reset: bool = False
    closed: bool = False
    peer: End = attrs.field(init=False, repr=False)

    def readable(self) -> bool:
        """Tell whether a read would give bytes, the end of the stream or a reset."""
        return self.unread_bytes > 0 or self.was_reset or self.ended

    def writable(self) -> bool:
        """Tell whether a write would be taken, or fail at once."""
        return self.peer.closed or self.room_bytes > 0

    @property
    def room_bytes(self) -> int:
        """How many bytes the window still takes in the direction of the peer."""
        return WINDOW_BYTES - self.peer.unread_bytes


class Wire:
    """A connection: two ends. ``number`` counts the connections of the loop, and orders their events."""

    def __init__(self, number: int, names: Names) -> None:
        """Make both ends; nothing is under way yet."""
        self.names = names
        self.dialled = End(order=(number, 0))
        self.accepted = End(order=(number, 1))
        self.dialled.peer = self.accepted
        self.accepted.peer = self.dialled

    @property
    def is_over(self) -> bool:
        """Whether both ends have closed."""
        return self.dialled.closed and self.accepted.closed


class WireSocket(socket.socket):
    """A connected socket that counts what it sends and reads, and shows only what its `End` says is there."""

    end: End
    on_close: Callable[[WireSocket], None]

    @classmethod
    def wrap(
        cls, sock: socket.socket, end: End, on_close: Callable[[WireSocket], None]
    ) -> WireSocket:
        """Take over the descriptor of ``sock``, which is empty afterwards; tell ``on_close`` before it closes."""
        wrapped = cls(sock.family, sock.type, sock.proto, fileno=sock.detach())
        wrapped.setblocking(False)
        wrapped.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * WINDOW_BYTES)
        wrapped.end = end
        wrapped.on_close = on_close
        return wrapped

    def send(self, data: Buffer, flags: int = 0, /) -> int:
        """Send what the window takes. Bytes to an end that has closed go nowhere, as on a network."""
        view = memoryview(data).cast("B")
        if self.end.peer.closed:
            if self.end.end_was_seen:
                raise BrokenPipeError(errno.EPIPE, "the other end has closed")
            return len(view)
        count = min(len(view), self.end.room_bytes)
        if count == 0:
            raise BlockingIOError(errno.EAGAIN, "the window is full")
        sent = 0
        while sent < count:
            try:
                sent += super().send(view[sent:count], flags)
            except BlockingIOError:
                wait_for(self, selectors.EVENT_WRITE)
        self.end.peer.unread_bytes += count
        return count

    def sendmsg(self, buffers: Iterable[Buffer], /, *_: Any) -> int:
        """Send several buffers as one; asyncio does that from Python 3.12 on."""
        return self.send(b"".join(buffers))

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:  # noqa: ARG002  # socket's signature
        """Read what the peer sent, as much as fits: however many pieces the kernel made of it."""
        if self.end.unread_bytes:
            return self._take(min(bufsize, self.end.unread_bytes))
        if self.end.was_reset:
            raise ConnectionResetError(errno.ECONNRESET, "the other end has reset the connection")
        if self.end.ended:
            self.end.end_was_seen = True
            return b""
        raise BlockingIOError(errno.EAGAIN, "nothing was sent")

    def recv_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0, /) -> int:
        """Read into a buffer, as `recv` does."""
        view = memoryview(buffer).cast("B")
        data = self.recv(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data)

    def shutdown(self, how: int, /) -> None:
        """End our direction of the stream; a connection that was reset has none, and says so."""
        if self.end.was_reset:
            raise OSError(errno.ENOTCONN, "the connection was reset")
        super().shutdown(how)
        if how != socket.SHUT_RD:
            self.end.peer.ended = True

    def close(self) -> None:
        """Close, and let the peer see the end of the stream, or a reset where the system would send one."""
        end = self.end
        if not end.closed and self.fileno() >= 0:
            end.closed = True
            end.peer.ended = True
            end.peer.was_reset |= end.unread_bytes > 0 or self._lingers_not_at_all()
            self._close_quietly()
            self.on_close(self)
        super().close()

    def _take(self, count: int) -> bytes:
        pieces: list[bytes] = []
        missing = count
        while missing:
            try:
                piece = super().recv(missing)
            except BlockingIOError:
                wait_for(self, selectors.EVENT_READ)
                continue
            if not piece:
                raise ConnectionError(f"the system lost {missing} bytes of a loopback connection")
            pieces.append(piece)
            missing -= len(piece)
        self.end.unread_bytes -= count
        return b"".join(pieces)

    def _lingers_not_at_all(self) -> bool:
        raw = self.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER.size)
        active, seconds = _LINGER.unpack(raw)
        return bool(active) and seconds == 0

    def _close_quietly(self) -> None:
        """Keep the system from resetting by itself: a real reset may destroy bytes that the peer has yet to read.

        The end that closes last does reset: nobody is there to notice, and no port stays in TIME_WAIT.
        """
        if self.end.unread_bytes:
            self._take(self.end.unread_bytes)
        hard = self.end.peer.closed
        self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER.pack(int(hard), 0))


def wait_for(sock: socket.socket, events: int) -> None:
    """Wait in real time until the system says that ``sock`` is ready; `TimeoutError` after `PATIENCE_S`."""
    with selectors.DefaultSelector() as selector:
        selector.register(sock, events)
        if not selector.select(PATIENCE_S):
            raise TimeoutError(f"the system withheld loopback bytes for {PATIENCE_S} s")
