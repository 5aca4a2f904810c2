"""The one-hour rule on history, an alpha learning (MKT-6)."""

from __future__ import annotations

from actors.errors import AlphaLearningViolationError

MAX_HISTORY_MINUTES = 60
"""Alpha learning: at most one hour, and at most 60 bars."""


def history_violation(minutes: int, bar_size: str) -> AlphaLearningViolationError | None:
    """Say how a history request breaks the one-hour rule, or None (MKT-6)."""
    if not 1 <= minutes <= MAX_HISTORY_MINUTES:
        return AlphaLearningViolationError(
            f"duration_minutes must be 1 to {MAX_HISTORY_MINUTES} (was {minutes})"
        )
    if bar_size != "1 min":
        return AlphaLearningViolationError(
            f"bar_size must be '1 min': at most {MAX_HISTORY_MINUTES} bars in an hour (was {bar_size!r})"
        )
    return None
