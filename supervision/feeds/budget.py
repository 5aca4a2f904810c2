"""How many requests the second source grants, kept by us before it has to (MKT-10). Pure.

A free key of Alpha Vantage has 5 requests a minute and 25 a day, and is told to spread them by a second. When its day
begins is not documented, so a day is any 24 hours here.
"""

from __future__ import annotations

from typing import Final

import attrs

MINUTE_S: Final = 60.0
DAY_S: Final = 86_400.0
SPREAD_S: Final = 1.0
"""Between two requests."""

ASKED_TOO_MUCH_S: Final = 3600.0
"""So long nothing is asked after it said that its daily limit is reached."""


@attrs.frozen(kw_only=True)
class RequestBudget:
    """The requests of the last 24 hours, in monotonic seconds, and until when to rest because it said so."""

    per_minute: int
    per_day: int
    asked_at: tuple[float, ...] = ()
    rests_until: float = 0.0

    def wait_s(self, now: float) -> float:
        """Tell the seconds until the next request may be made; 0 when it may be made now."""
        free_at = [now, self.rests_until]
        if self.asked_at:
            free_at.append(self.asked_at[-1] + SPREAD_S)
        if len(self.asked_at) >= self.per_minute:
            free_at.append(self.asked_at[-self.per_minute] + MINUTE_S)
        if len(self.asked_at) >= self.per_day:
            free_at.append(self.asked_at[-self.per_day] + DAY_S)
        return max(free_at) - now

    def asked(self, now: float) -> RequestBudget:
        """Count a request that is made now, whatever becomes of it."""
        kept = tuple(at for at in self.asked_at if now - at < DAY_S)[-(self.per_day - 1) :]
        return attrs.evolve(self, asked_at=(*(kept if self.per_day > 1 else ()), now))

    def refused(self, now: float, *, for_the_day: bool) -> RequestBudget:
        """Rest, since it said that we asked too often: others may use the same key."""
        rest_s = ASKED_TOO_MUCH_S if for_the_day else MINUTE_S
        return attrs.evolve(self, rests_until=max(self.rests_until, now + rest_s))

    def today(self, now: float) -> int:
        """Count the requests of the last 24 hours."""
        return sum(1 for at in self.asked_at if now - at < DAY_S)
