"""Keeping IB's message limit by ourselves, so that nothing is dropped or delayed in silence (D9, CON-14).

IB counts the messages that arrived in the last second (50 are allowed). This counts those that were sent in a sliding
window, which is a little longer, since messages do not arrive as evenly as they leave: two bursts that left a second
apart may arrive closer. A part of the window is for the priority lane only::

    |<----------------- rate_per_s ----------------->|
    |<-- data, openings -->|<-- reserve: closes,  -->|
    |                      |    cancels, heartbeats  |

Times are monotonic seconds. The functions are pure: the state goes in, the next state comes out.
"""

from __future__ import annotations

from bisect import bisect_right
from enum import IntEnum
from typing import Final

import attrs

from actors.errors import ConfigurationError

WINDOW_S: Final = 1.1
"""The second over which IB counts, and a tenth for what the network does to the spacing of messages."""


class PacingLane(IntEnum):
    """Who goes first; a lower number overtakes a higher one."""

    PRIORITY = 0
    """Cancels, closes and heartbeats: may use the reserve."""
    ORDER = 1
    """Opening orders and reconciliation: ahead of data, without the reserve."""
    DATA = 2
    """What somebody waits for."""
    FEED = 3
    """The snapshots that feed subscribers: they come again anyway."""


@attrs.frozen(kw_only=True)
class PacingLimits:
    """How many messages a second may go, and how many of them are kept for the priority lane."""

    rate_per_s: int = 45
    reserve_per_s: int = 10

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.reserve_per_s < self.rate_per_s:
            raise ConfigurationError(
                f"reserve_per_s must be 0 to rate_per_s - 1 = {self.rate_per_s - 1} "
                f"(was {self.reserve_per_s})"
            )

    def halved(self) -> PacingLimits:
        """Give half of both, for when the gateway counts more than we do."""
        rate = max(1, self.rate_per_s // 2)
        return PacingLimits(rate_per_s=rate, reserve_per_s=min(self.reserve_per_s // 2, rate - 1))

    def limit(self, lane: PacingLane) -> int:
        """Tell how many messages the window may hold for a message of ``lane`` to be the next one."""
        return self.rate_per_s - (0 if lane is PacingLane.PRIORITY else self.reserve_per_s)


Sent = tuple[float, ...]
"""The send times in the window, ascending: at most ``rate_per_s`` of them."""

NOTHING_SENT: Final[Sent] = ()


def wait_s(sent: Sent, now: float, lane: PacingLane, limits: PacingLimits) -> float:
    """Tell how long a message of ``lane`` has to wait; 0 when it may go now."""
    excess = len(sent) - limits.limit(lane)
    if excess < 0:
        return 0.0
    return max(0.0, sent[excess] + WINDOW_S - now)


def record(sent: Sent, now: float, limits: PacingLimits) -> Sent:
    """Count a message that goes now, and forget what has left the window."""
    first = bisect_right(sent, now - WINDOW_S)
    return (*sent[max(first, len(sent) + 1 - limits.rate_per_s) :], now)
