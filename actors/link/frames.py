"""Frames: four bytes of length, then text fields that each end with a NUL (TWS_WIRE §1).

Guarantees that no more than one frame of the allowed size is ever held. Refuses absurd lengths and payloads that do not
end with a NUL, with `FrameError`: after it the stream cannot be understood any more.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_LENGTH = struct.Struct(">I")


class FrameError(ValueError):
    """The bytes are not IB's protocol."""


class FrameBuffer:
    """Collects bytes and hands out the fields of whole messages."""

    def __init__(self, max_frame_bytes: int) -> None:
        self._max = max_frame_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self._buffer += data

    def messages(self) -> Iterator[list[str]]:
        """Hand out each whole message once; raises `FrameError`."""
        at = 0
        buffer = self._buffer
        try:
            while len(buffer) - at >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(buffer, at)
                if not 0 < length <= self._max:
                    raise FrameError(f"a message must have 1 to {self._max} bytes (was {length})")
                begin, end = at + _LENGTH.size, at + _LENGTH.size + length
                if len(buffer) < end:
                    return
                payload = buffer[begin:end]
                at = end
                yield split(payload)
        finally:
            del buffer[:at]

    def clear(self) -> None:
        """Forget what is there."""
        self._buffer.clear()


def split(payload: bytes | bytearray) -> list[str]:
    """Take the fields out of a payload; bytes that are not UTF-8 are shown escaped. Raises `FrameError`."""
    fields = payload.decode(errors="backslashreplace").split("\0")
    if fields.pop() != "":
        raise FrameError("a message must end with a NUL")
    return fields


def prefix(payload: bytes) -> bytes:
    """Put the length before a payload."""
    return _LENGTH.pack(len(payload)) + payload
