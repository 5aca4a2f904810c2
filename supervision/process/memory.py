"""How much memory this process occupies, for the log's heartbeat line (OBS-2); the home of the library `psutil`."""

from __future__ import annotations

from typing import Final

import psutil

BYTES_PER_MB: Final = 1_000_000


class ProcessMemory:
    """A `actors.ports.MemoryReading`; one call takes some ten microseconds."""

    def __init__(self) -> None:
        """Find this process."""
        self._process = psutil.Process()

    def __call__(self) -> float | None:
        """Tell the resident memory in MB; None when the system does not say."""
        try:
            return round(self._process.memory_info().rss / BYTES_PER_MB, 1)
        except psutil.Error:
            return None
