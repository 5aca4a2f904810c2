"""One process per journal: an exclusive lock that the operating system takes back when the process dies (SUP-12)."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

from filelock import FileLock, Timeout

from actors.errors import JournalError, JournalLockedError

JOURNAL_FILE: Final = "orders.sqlite3"
"""The journal's name in ``[general] state_dir``."""

OWNER_ONLY: Final = 0o600
"""Orders and account codes are nobody else's business."""


class JournalLock:
    """Owned by the process, not by whoever writes: an abandoned `JournalFile` holds nothing that its successor needs.

    ``token`` names this acquisition. The journal remembers the newest one, so that a thread of a process that has given
    the lock away is refused.
    """

    def __init__(self, path: Path) -> None:
        """Prepare the lock for the journal at ``path``; `acquire` takes it."""
        self.path = path
        self.token = ""  # nosec B105 # none, not a password
        self._holder = path.with_name(path.name + ".holder")
        self._lock = FileLock(
            path.with_name(path.name + ".lock"), mode=OWNER_ONLY, thread_local=False
        )

    @property
    def is_held(self) -> bool:
        """Whether this object holds the lock."""
        return bool(self.token)

    def acquire(self) -> JournalLock:
        """Take the lock without waiting.

        `JournalLockedError` names the process that holds it; `JournalError` says why the directory does not serve.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise JournalLockedError(
                f"{self.path} is in use by {self._describe_holder()}; "
                "stop that process, or give this one another state_dir"
            ) from None
        except OSError as error:
            raise JournalError(
                f"{self.path} cannot be locked: {error.strerror or error}; "
                "check that the directory of the journal is writable, or set another state_dir"
            ) from None
        self.token = secrets.token_hex(8)
        self._write_holder()
        return self

    def release(self) -> None:
        """Give the lock back; does nothing when it is not held."""
        if self.is_held:
            self.token = ""  # nosec B105 # none, not a password
            with suppress(OSError):
                self._holder.unlink(missing_ok=True)
            self._lock.release()

    def __enter__(self) -> JournalLock:
        """Take the lock."""
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give it back."""
        self.release()

    def _write_holder(self) -> None:
        """Leave our process id for the message that a second process will show; nothing depends on it."""
        with suppress(OSError):
            descriptor = os.open(self._holder, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                json.dump({"pid": os.getpid()}, file)

    def _describe_holder(self) -> str:
        try:
            return f"process {int(json.loads(self._holder.read_text('ascii'))['pid'])}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"
