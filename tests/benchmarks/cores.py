"""Who runs on which core: the client on the first, the gateway on the last, where the system allows it."""

from __future__ import annotations

import os
import sys


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []


def pin_client() -> int | None:
    """Keep this process, and the threads that it starts from now on, on one core; returns the gateway's core.

    None where there is only one core, or no way to choose.
    """
    cores = _cores()
    if sys.platform != "linux" or len(cores) < 2:
        return None
    os.sched_setaffinity(0, {cores[0]})
    return cores[-1]


def pin_to(core: int) -> None:
    """Keep this process on ``core``; a negative one leaves it free."""
    if sys.platform == "linux" and core >= 0:
        os.sched_setaffinity(0, {core})
