"""A scenario as data: which faults begin when. `scenario` reads it from a file and applies it."""

from __future__ import annotations

from typing import Any

import attrs


@attrs.frozen
class TimedFault:
    """One fault at a time in seconds after the start."""

    at_s: float
    kind: str
    arguments: tuple[tuple[str, Any], ...] = ()


@attrs.frozen(kw_only=True)
class Scenario:
    """What will go wrong, and when the market is open."""

    faults: tuple[TimedFault, ...] = ()
    hours: str | None = None
