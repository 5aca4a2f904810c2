"""The latch's marker: a small file beside the journal that says whether Strategy C is latched (D14).

It survives what happens to the journal: a full disk, a file that is moved away or replaced. Its room is taken at the
start, so that no later write needs any (where the file system writes in place; one that copies on write may refuse).

Two slots of one block each; a write goes into the slot that is older, with a number and a checksum, and is on the disk
when `write` returns. So a reader finds the old mark or the new one, whatever was interrupted::

    <sha256 of what follows, up to the line's end> {"number": 7, "latched": true, …}\\n   blanks up to 4096 bytes
"""

from __future__ import annotations

import json
import os
import threading
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import attrs

from actors.errors import JournalError
from actors.model.latch import LatchStanding
from actors.model.orders import CloseReason

MARKER_FILE: Final = "latch.marker"
"""The marker's name, beside the journal."""

SLOT_BYTES: Final = 4096
SLOTS: Final = 2
LONGEST: Final = MappingProxyType({"reason": 300, "who": 100, "why": 150})
"""Words are cut to so many characters, so that a mark always fits its slot: at most 6 bytes each."""

PATIENCE_S: Final = 1.0
"""A write waits so long for one that hangs."""

OWNER_ONLY: Final = 0o600


@attrs.frozen(kw_only=True)
class Mark:
    """What the marker says. ``who`` and ``why``: of the operator who took the latch back; ``account`` is a tag."""

    latched: bool
    liquidation_id: str
    reason: str
    at: datetime
    account: str = ""
    standing: LatchStanding = LatchStanding.ACTING
    close_reason: CloseReason = CloseReason.DISCONNECT
    who: str = ""
    why: str = ""


@attrs.frozen(kw_only=True)
class Marked:
    """What was found: ``mark`` None where nothing was ever marked, or where ``damage`` says why it cannot be read."""

    mark: Mark | None = None
    damage: str | None = None


class LatchMarker:
    """The file itself; may be used from several threads, one at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Take the room that the marker will ever need; raises `JournalError` where there is none."""
        try:
            with self._opened() as descriptor:
                self._take_room(descriptor)
        except OSError as error:
            raise self._explain(error) from error

    def read(self) -> Marked:
        """Read the newest mark."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return Marked()
        except OSError as error:
            return Marked(damage=f"{self.path} cannot be read: {error.strerror or error}")
        found = [mark for mark in map(_decode, _slots(raw)) if mark is not None]
        if found:
            return Marked(mark=max(found, key=lambda pair: pair[0])[1])
        if raw.strip(b"\0 \n"):
            return Marked(damage=f"{self.path} is damaged")
        return Marked()

    def write(self, mark: Mark) -> None:
        """Make the mark durable; raises `JournalError` when the disk refuses it, or hangs in an earlier write."""
        if not self._lock.acquire(timeout=PATIENCE_S):
            raise JournalError(f"{self.path}: an earlier write has not come back: check the disk")
        try:
            with self._opened() as descriptor:
                self._take_room(descriptor)
                number, slot = _next(_slots(_whole(descriptor)))
                self._store(descriptor, slot * SLOT_BYTES, _encode(number, mark))
        except OSError as error:
            raise self._explain(error) from error
        finally:
            self._lock.release()

    def _store(self, descriptor: int, offset: int, block: bytes) -> None:
        _write_at(descriptor, offset, block)
        os.fsync(descriptor)

    def _take_room(self, descriptor: int) -> None:
        missing = SLOTS * SLOT_BYTES - os.fstat(descriptor).st_size
        if missing > 0:
            self._store(descriptor, SLOTS * SLOT_BYTES - missing, b" " * missing)
            _make_name_durable(self.path)

    def _opened(self) -> _Descriptor:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return _Descriptor(
            os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), OWNER_ONLY)
        )

    def _explain(self, error: OSError) -> JournalError:
        return JournalError(
            f"{self.path}: the latch's marker cannot be written ({error.strerror or error}): check that the directory "
            "is writable and that the disk has room"
        )


class _Descriptor:
    """Closes a descriptor at the end of a block."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _slots(raw: bytes) -> list[bytes]:
    return [raw[number * SLOT_BYTES : (number + 1) * SLOT_BYTES] for number in range(SLOTS)]


def _next(slots: list[bytes]) -> tuple[int, int]:
    """Give the number of the next mark, and the slot that it goes into: not that of the newest mark."""
    numbers = [0 if found is None else found[0] for found in map(_decode, slots)]
    newest = max(numbers)
    return newest + 1, 0 if newest == 0 else 1 - numbers.index(newest)


def _encode(number: int, mark: Mark) -> bytes:
    texts = {name: getattr(mark, name)[:most] for name, most in LONGEST.items()}
    content = attrs.asdict(mark) | texts | {"number": number, "at": mark.at.isoformat()}
    line = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
    block = sha256(line).hexdigest().encode() + b" " + line + b"\n"
    if len(block) > SLOT_BYTES:
        raise JournalError(f"a mark of {len(block)} bytes does not fit its {SLOT_BYTES}")
    return block.ljust(SLOT_BYTES, b" ")


def _decode(slot: bytes) -> tuple[int, Mark] | None:
    """Read one slot; None for one that is blank or was not written to its end."""
    checksum, _, line = slot.partition(b"\n")[0].partition(b" ")
    if not line or sha256(line).hexdigest().encode() != checksum:
        return None
    try:
        found: dict[str, Any] = json.loads(line)
        number = int(found.pop("number"))
        return number, Mark(
            **found
            | {
                "at": datetime.fromisoformat(found["at"]),
                "standing": LatchStanding(found["standing"]),
                "close_reason": CloseReason(found["close_reason"]),
            }
        )
    except (ValueError, KeyError, TypeError):
        return None


def _whole(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    raw = b""
    while piece := os.read(descriptor, SLOTS * SLOT_BYTES):
        raw += piece
    return raw


def _write_at(descriptor: int, offset: int, data: bytes) -> None:
    os.lseek(descriptor, offset, os.SEEK_SET)
    while data:
        data = data[os.write(descriptor, data) :]


def _make_name_durable(path: Path) -> None:
    """Make the entry in the directory survive a power cut; Windows does that by itself and cannot open directories."""
    if os.name == "posix":
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
