"""Lines for people on a stream that may be blocked, slow or gone."""

from __future__ import annotations

import io
import os
import select
import sys
from collections import deque
from collections.abc import Mapping
from typing import Final, TextIO

ATOMIC_BYTES: Final = 512
"""POSIX promises that a pipe which is ready takes at least so many bytes at once without blocking."""


def wants_colours(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Tell whether to colour: a terminal that can, and nobody who declines (https://no-color.org)."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


class Console:
    """Holds lines back while the stream takes none, up to ``bound``; more are dropped and counted.

    Where the system cannot tell whether a stream would block (Windows, a stream without descriptor) it simply writes.
    For one thread.
    """

    def __init__(self, stream: TextIO, bound: int) -> None:
        """Write to ``stream`` in its own encoding; what that lacks becomes a question mark."""
        self._stream = stream
        self._bound = bound
        self._encoding = stream.encoding or "utf-8"
        self._descriptor = _descriptor_of(stream)
        self._waiting: deque[bytes] = deque()
        self._is_gone = False
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """How many lines wait."""
        return len(self._waiting)

    def show(self, line: str) -> None:
        """Take a line and write what can be written now."""
        if self._is_gone:
            return
        if len(self._waiting) >= self._bound:
            self.dropped += 1
        else:
            self._waiting.append(line.encode(self._encoding, "replace"))
        self.flush()

    def flush(self, patience_s: float = 0.0) -> None:
        """Write what waits, for as long as the stream takes more within ``patience_s``. Never raises."""
        try:
            while self._waiting and self._is_ready(patience_s):
                self._write(self._waiting.popleft())
        except (OSError, ValueError):  # nobody reads any more, or the stream was closed
            self._is_gone = True
            self._waiting.clear()

    def _is_ready(self, patience_s: float) -> bool:
        if self._descriptor is None:
            return True
        return bool(select.select([], [self._descriptor], [], patience_s)[1])

    def _write(self, line: bytes) -> None:
        if self._descriptor is None:
            self._stream.write(line.decode(self._encoding))
            self._stream.flush()
            return
        self._stream.flush()  # what others printed stays in front
        piece = line[:ATOMIC_BYTES]
        rest = line[os.write(self._descriptor, piece) :]
        if rest:
            self._waiting.appendleft(rest)


def _descriptor_of(stream: TextIO) -> int | None:
    if sys.platform == "win32":
        return None
    try:
        return stream.fileno()
    except (OSError, ValueError, io.UnsupportedOperation):
        return None
