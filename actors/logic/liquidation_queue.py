"""Closes that are queued for the open of their instruments (STC-7).

They are sent to the broker at once, which keeps a market order for the next open: the protective orders are cancelled
by then, so that a close which waited here would leave the position without any protection if this process were not
there at the open. What the broker would not keep waits here and is sent at the open. The price of it is that an order
at the broker knows nothing of what happens to the position meanwhile, so the queue is looked at: often enough, and more
often from shortly before the open.

::

    held, as much as the queued order can still close        waits on, until some time after the open
    held, not taken by the broker, unchanged                 waits here, until the open
    anything else: another quantity, an order more or less   all is cancelled, read, and sized anew
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from actors.logic.liquidation_events import QUEUE_LEAD_S, RETRY_S, BrokerRead, Close, CloseQueue
from actors.model.account import Holding
from actors.sections.strategy_c import StrategyC

_SAME: Final = 1e-9


def queue_of(closes: Iterable[Close], at_broker: frozenset[int]) -> CloseQueue:
    """Keep the closes that wait for an open; ``at_broker`` are the con_ids of those that the broker took."""
    return CloseQueue(
        closes=tuple(close for close in closes if close.opens_at is not None), at_broker=at_broker
    )


def first_open(queue: CloseQueue) -> datetime:
    """The first opening that somebody waits for; a queue is never empty."""
    return min(close.opens_at for close in queue.closes if close.opens_at is not None)


def next_look_s(
    queue: CloseQueue, holdings: Iterable[Holding], now: datetime, limits: StrategyC
) -> float:
    """Tell after how many seconds to look again: often from shortly before the next open until all of it is filled."""
    held = {holding.contract.con_id for holding in holdings}
    opens = [close.opens_at for close in queue.closes if close.contract.con_id in held]
    left_s = min((at - now).total_seconds() for at in opens if at is not None)
    return max(RETRY_S, min(limits.queue_look_s, left_s - QUEUE_LEAD_S))


def misfit_of(queue: CloseQueue, read: BrokerRead, now: datetime, limits: StrategyC) -> str | None:
    """Say why the queue does not fit what is held and what works; None while it does."""
    closes = {close.contract.con_id: close for close in queue.closes}
    held = {holding.contract.con_id for holding in read.holdings}
    stray = [con_id for con_id in read.resting if con_id not in held]
    if stray:
        return f"orders work on what is not held: {', '.join(read.working)}"
    for holding in read.holdings:
        con_id = holding.contract.con_id
        fault = _fault(closes.get(con_id), con_id in queue.at_broker, holding, read, now, limits)
        if fault is not None:
            return f"{holding.quantity:g} {holding.contract.position_id}: {fault}"
    return None


def _fault(
    close: Close | None,
    at_broker: bool,
    holding: Holding,
    read: BrokerRead,
    now: datetime,
    limits: StrategyC,
) -> str | None:
    if close is None or close.opens_at is None:
        return "is held, and no close of it is queued"
    will = read.resting.get(holding.contract.con_id, 0.0)
    if not at_broker:
        if will or abs(holding.quantity + close.action.sign * close.quantity) > _SAME:
            return "changed while its close waited here"
        return None if now < close.opens_at else "trades now"
    if abs(holding.quantity + will) > _SAME:
        return f"orders at the broker would trade {will:g}"
    grace = timedelta(seconds=limits.close_timeout_s)
    return None if now < close.opens_at + grace else "was not closed at the open"
