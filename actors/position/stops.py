"""The emergency stop looks twice: nothing is closed for one odd value (RULES 6). Pure.

::

    quiet ──loss shown──▶ seen once ──shown again 5 to 60 s later, by another quote──▶ reached
      ▲                      │ shown later than that: seen once, anew                     │
      └────── a look that shows no such loss ◀────────────────────────────────────────────┘

A look at a value that nobody is sure of changes nothing. In the first minute of a session or after a halt only the far
side shows a loss.
"""

from __future__ import annotations

from datetime import datetime

import attrs

from actors.sections.positions import Positions


@attrs.frozen(kw_only=True)
class Look:
    """What one look at a position found: ``near_loss`` and ``far_loss`` are ratios of the cost, None when unsure.

    ``at`` in monotonic seconds; ``quoted_at`` says which quote it was; ``is_settled``: the session has gone on for long
    enough, and no halt has just ended.
    """

    at: float
    quoted_at: datetime
    near_loss: float | None
    far_loss: float | None
    is_settled: bool = True

    def shows(self, limit: float) -> bool | None:
        """Whether it shows a loss of at least ``limit``; None when it does not say."""
        if self.far_loss is not None and self.far_loss >= limit:
            return True
        if self.near_loss is None:
            return None
        if self.near_loss < limit:
            return False
        return True if self.is_settled else None


@attrs.frozen(kw_only=True)
class Stop:
    """Where the emergency stop of one position stands. ``loss``: the last that was shown, a ratio of the cost."""

    first_at: float | None = None
    first_quote: datetime | None = None
    is_reached: bool = False
    loss: float = 0.0

    @property
    def is_quiet(self) -> bool:
        """No loss was shown, or it is over."""
        return self.first_at is None


QUIET = Stop()


def looked(stop: Stop, look: Look, limit: float, settings: Positions) -> Stop:
    """Take one look in."""
    shown = look.shows(limit)
    if shown is None:
        return stop
    if not shown:
        return QUIET
    loss = max(each for each in (look.near_loss, look.far_loss) if each is not None)
    if stop.is_reached:
        return attrs.evolve(stop, loss=loss)
    apart_s = None if stop.first_at is None else look.at - stop.first_at
    if apart_s is None or apart_s > settings.second_look_before_s:
        return Stop(first_at=look.at, first_quote=look.quoted_at, loss=loss)
    is_second = apart_s >= settings.second_look_after_s and look.quoted_at != stop.first_quote
    return attrs.evolve(stop, is_reached=is_second, loss=loss)
