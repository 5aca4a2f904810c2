"""Keeping IB's rules on requests of history by ourselves (CON-14). IB calls each breach a pacing violation:

* more than 60 requests in ten minutes
* an identical request within 15 s
* six or more requests for one contract, exchange and kind of tick within 2 s

IB counts on when a connection is lost, and so does this. Times are monotonic seconds. The functions are pure: the state
goes in, the next state comes out; it holds no more requests than the ten minutes allow.
"""

from __future__ import annotations

from typing import Final

import attrs

from actors.sections.pacing import Pacing

MARGIN_S: Final = 0.1
"""What the network does to the spacing of requests: two may arrive closer than they left."""


@attrs.frozen(kw_only=True)
class HistoryQuestion:
    """What makes two requests identical; the first three, what makes them alike."""

    con_id: int
    exchange: str
    ticks: str
    minutes: int
    bar_size: str

    def is_like(self, other: HistoryQuestion) -> bool:
        """Whether both are for the same contract, exchange and kind of tick."""
        return (self.con_id, self.exchange, self.ticks) == (
            other.con_id,
            other.exchange,
            other.ticks,
        )


@attrs.frozen(kw_only=True)
class HistoryWait:
    """A rule that holds a request back, and for how long."""

    rule: str
    wait_s: float


Asked = tuple[tuple[float, HistoryQuestion], ...]
"""What was asked and when, ascending."""

NOTHING_ASKED: Final[Asked] = ()


def history_wait(
    asked: Asked, question: HistoryQuestion, now: float, limits: Pacing
) -> HistoryWait | None:
    """Find the rule that holds a request back longest; None when it may go now."""
    alike = tuple(at for at, earlier in asked if earlier.is_like(question))
    same = tuple(at for at, earlier in asked if earlier == question)
    rules = (
        (
            f"at most {limits.history_requests} requests of history in {limits.history_window_s:g} s",
            _free_at(
                tuple(at for at, _ in asked), limits.history_requests, limits.history_window_s
            ),
        ),
        (
            f"no identical request of history within {limits.history_identical_s:g} s",
            _free_at(same, 1, limits.history_identical_s),
        ),
        (
            f"at most {limits.history_same_contract} requests of history for one contract in "
            f"{limits.history_same_contract_s:g} s",
            _free_at(alike, limits.history_same_contract, limits.history_same_contract_s),
        ),
    )
    rule, free_at = max(rules, key=lambda each: each[1])
    return HistoryWait(rule=rule, wait_s=free_at - now) if free_at > now else None


def _free_at(times: tuple[float, ...], most: int, window_s: float) -> float:
    """Tell when fewer than ``most`` of these times lie in the window."""
    return times[-most] + window_s + MARGIN_S if len(times) >= most else float("-inf")


def record_history(asked: Asked, question: HistoryQuestion, now: float, limits: Pacing) -> Asked:
    """Count a request that goes now, and forget what no rule asks for any more."""
    longest_s = (
        max(limits.history_window_s, limits.history_identical_s, limits.history_same_contract_s)
        + MARGIN_S
    )
    kept = tuple(entry for entry in asked if entry[0] > now - longest_s)
    most = max(limits.history_requests, limits.history_same_contract)
    return (*kept[max(0, len(kept) + 1 - most) :], (now, question))
