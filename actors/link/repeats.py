"""Reports of orders that say again what was just said: IB sends most of them twice (TWS_WIRE §7).

A repeat is dropped here, so that no actor sees it. What says anything new never is, and neither is anything that comes
after the order was written, cancelled, executed or complained about: then the same words may be an answer.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import attrs

from actors.model.orders import BrokerOrder

JUST_NOW: Final = timedelta(seconds=1)
"""What is older than this was not just said: a gateway that says it again may mean something by it."""

MOST_KNOWN: Final = 1000
"""So many orders are remembered at most."""


@attrs.frozen(kw_only=True)
class _Said:
    """What was said of one order: the newest report with terms, and the newest without (openOrder, orderStatus)."""

    at: datetime
    status: str
    terms: BrokerOrder | None = None
    progress: BrokerOrder | None = None

    def has(self, report: BrokerOrder, at: datetime) -> bool:
        """Whether a report says nothing but this; what was said in between counts."""
        same = report in (self.terms, self.progress)
        age = at - self.at
        return same and report.status == self.status and timedelta() <= age <= JUST_NOW


class Repeats:
    """Owns what was said of orders a moment ago, by their order id."""

    def __init__(self) -> None:
        self._said: dict[int, _Said] = {}

    def is_repeat(self, report: BrokerOrder, at: datetime) -> bool:
        """Tell whether the same was just said, and remember it if not; ``at`` is when the bytes arrived."""
        said = self._said.get(report.order_id)
        if said is not None and said.has(report, at):
            return True
        if said is None or not _is_same_order(said, report):
            if len(self._said) >= MOST_KNOWN:
                self._said.clear()
            said = _Said(at=at, status=report.status)
        has_terms = report.quantity is not None
        self._said[report.order_id] = _Said(
            at=at,
            status=report.status,
            terms=report if has_terms else said.terms,
            progress=said.progress if has_terms else report,
        )
        return False

    def forget(self, order_id: int) -> None:
        """Something happened to this order: the same words are news from now on."""
        self._said.pop(order_id, None)

    def forget_all(self) -> None:
        """Something happened that may concern every order."""
        self._said.clear()


def _is_same_order(said: _Said, report: BrokerOrder) -> bool:
    """Order ids are counted per client."""
    held = said.terms or said.progress
    return held is None or held.client_id == report.client_id
