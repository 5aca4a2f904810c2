"""Whether the state directory serves: found out before anything is started, and said in one sentence (SUP-9)."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final

from actors.errors import ConfigurationError

PROBE_BYTES: Final = 4096

_NO_DIRECTORY: Final = "is a file or lies below one; name a directory"
_NOT_WRITABLE: Final = "cannot be written by this user; change its owner, or name another directory"
_NO_ROOM: Final = "lies on a disk that has no room left; free some, or name another directory"
_WHY: Final[Mapping[int, str]] = MappingProxyType(
    {
        errno.EEXIST: _NO_DIRECTORY,
        errno.ENOTDIR: _NO_DIRECTORY,
        errno.ELOOP: _NO_DIRECTORY,
        errno.EACCES: _NOT_WRITABLE,
        errno.EPERM: _NOT_WRITABLE,
        errno.EROFS: _NOT_WRITABLE,
        errno.ENOSPC: _NO_ROOM,
        errno.EDQUOT: _NO_ROOM,
        errno.EFBIG: _NO_ROOM,
    }
)


def require_usable(state_dir: Path) -> None:
    """Make the directory, and see that it takes a file; raises `ConfigurationError` with the remedy."""
    probe = state_dir / f"probe.{os.getpid()}"
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        try:
            _write(probe)
        finally:
            with suppress(OSError):
                probe.unlink()
    except OSError as error:
        raise ConfigurationError(_said(state_dir, error)) from None


def _write(probe: Path) -> None:
    with probe.open("wb") as file:
        file.write(b" " * PROBE_BYTES)
        file.flush()
        os.fsync(file.fileno())


def _said(state_dir: Path, error: OSError) -> str:
    why = _WHY.get(error.errno or 0, "cannot be used; name another directory")
    return f"general.state_dir: {str(state_dir)!r} {why} ({error.strerror or error})"
