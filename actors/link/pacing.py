"""Keeping IB's message limit by ourselves, so that nothing is dropped or delayed in silence (D9, CON-14).

IB counts the messages that arrived in the last second (50 are allowed). This counts those that were sent in a sliding
window, which is a little longer, since messages do not arrive as evenly as they leave: two bursts that left a second
apart may arrive closer. Two parts of the window are kept::

    |<---------------------- rate_per_s ---------------------->|
    |<-- data, evenly -->|<-- openings and -->|<-- closes,  -->|
    |                    |    reads of state  |    cancels     |

Data flows evenly: a burst of it is short, and then one message follows another at the distance at which they fill their
part. Times are monotonic seconds. The functions are pure: the state goes in, the next state comes out.
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

    CLOSE = 0
    """Closes, cancels, and the round trips that prove the link: they may use all there is."""
    OPENING = 1
    """Opening orders: all but what is kept for closes."""
    STATE = 2
    """Reads of the broker's state, and of the contracts that orders are made of; with the closes in a liquidation."""
    DATA = 3
    """What somebody waits for."""
    FEED = 4
    """The snapshots that feed subscribers: they come again anyway."""


DATA_LANES: Final = frozenset({PacingLane.DATA, PacingLane.FEED})
"""What flows evenly, and pauses while a liquidation runs."""


@attrs.frozen(kw_only=True)
class PacingLimits:
    """How many messages a second may go, how many of them are kept for closes, and how many more from data.

    Where the reserves leave nothing for data, it has one message. ``data_burst``: so many messages of data that
    somebody waits for may go at once after a rest.
    """

    rate_per_s: int = 45
    reserve_per_s: int = 10
    opening_reserve_per_s: int = 5
    data_burst: int = 5

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.reserve_per_s < self.rate_per_s:
            raise ConfigurationError(
                f"reserve_per_s must be 0 to rate_per_s - 1 = {self.rate_per_s - 1} "
                f"(was {self.reserve_per_s})"
            )

    def halved(self) -> PacingLimits:
        """Give half of all, for when the gateway counts more than we do."""
        rate = max(1, self.rate_per_s // 2)
        return attrs.evolve(
            self,
            rate_per_s=rate,
            reserve_per_s=min(self.reserve_per_s // 2, rate - 1),
            opening_reserve_per_s=self.opening_reserve_per_s // 2,
        )

    def limit(self, lane: PacingLane) -> int:
        """Tell how many messages the window may hold for a message of ``lane`` to be the next one."""
        if lane is PacingLane.CLOSE:
            return self.rate_per_s
        kept = self.opening_reserve_per_s if lane in DATA_LANES else 0
        return max(1, self.rate_per_s - self.reserve_per_s - kept)

    @property
    def data_distance_s(self) -> float:
        """How far apart messages of data are that fill their part of the window."""
        return WINDOW_S / self.limit(PacingLane.DATA)


@attrs.frozen
class Sent:
    """``times``: when messages went that are in the window, ascending, at most ``rate_per_s`` of them.

    ``data_due``: when the next message of data goes if data goes at its even distance.
    """

    times: tuple[float, ...] = ()
    data_due: float = float("-inf")


NOTHING_SENT: Final = Sent()


def wait_s(sent: Sent, now: float, lane: PacingLane, limits: PacingLimits) -> float:
    """Tell how long a message of ``lane`` has to wait; 0 when it may go now."""
    excess = len(sent.times) - limits.limit(lane)
    room_s = 0.0 if excess < 0 else sent.times[excess] + WINDOW_S - now
    if lane not in DATA_LANES:
        return max(0.0, room_s)
    ahead = limits.data_burst - 1 if lane is PacingLane.DATA else 0
    even_s = sent.data_due - ahead * limits.data_distance_s - now
    return max(0.0, room_s, even_s)


def record(sent: Sent, now: float, lane: PacingLane, limits: PacingLimits) -> Sent:
    """Count a message of ``lane`` that goes now, and forget what has left the window."""
    first = bisect_right(sent.times, now - WINDOW_S)
    times = (*sent.times[max(first, len(sent.times) + 1 - limits.rate_per_s) :], now)
    if lane not in DATA_LANES:
        return Sent(times, sent.data_due)
    return Sent(times, max(sent.data_due, now) + limits.data_distance_s)
