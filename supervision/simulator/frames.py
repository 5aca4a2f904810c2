"""Frames: a four-byte big-endian length, then NUL-terminated text fields.

Guarantees that no message longer than 16 MiB is ever buffered. Refuses empty and oversized frames
with `FrameError`, after which the connection cannot be understood any more and has to be closed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

MAX_FRAME_BYTES = 0xFFFFFF
"""The largest payload the official clients accept, and the largest we accept."""

_LENGTH = struct.Struct(">I")


class FrameError(ValueError):
    """The byte stream does not carry a legal frame at this point."""


def encode(fields: Iterable[str]) -> bytes:
    """Make one frame of `fields`."""
    payload = ("\0".join(fields) + "\0").encode()
    return _LENGTH.pack(len(payload)) + payload


def split(payload: bytes) -> list[str]:
    """Take the fields out of a payload; bytes that are not UTF-8 are replaced, never fatal."""
    parts = payload.decode("utf-8", "replace").split("\0")
    if parts and parts[-1] == "":
        parts.pop()
    return parts


class FrameBuffer:
    """Collects received bytes and hands out whole payloads, in order."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def __len__(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self._buffer += data

    def take_bytes(self, count: int) -> bytes | None:
        """Take `count` raw bytes, or `None` while fewer are there."""
        if len(self._buffer) < count:
            return None
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def take_payload(self) -> bytes | None:
        """Take the next payload, or `None` while it is incomplete; raises `FrameError`."""
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if not 0 < length <= MAX_FRAME_BYTES:
            raise FrameError(f"frame length must be 1 to {MAX_FRAME_BYTES} (was {length})")
        if len(self._buffer) < _LENGTH.size + length:
            return None
        payload = bytes(self._buffer[_LENGTH.size : _LENGTH.size + length])
        del self._buffer[: _LENGTH.size + length]
        return payload
