"""Counting day trades for the pattern-day-trader rule (RSK-1).

A day trade opens and closes the same contract on one day of the exchange. Counted per day and contract as the smaller
of the number of buying orders and the number of selling orders. That is simple and errs on the careful side: a sale of
what was held overnight counts when something is bought on the same day too.

Source: FINRA Rule 4210(f)(8)(B) before its amendment: four or more day trades within five business days, below 25,000
USD of equity. Business days are those of the New York Stock Exchange (`holidays`): one that was counted although nobody
traded would let the window begin too late.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from typing import Final

from actors.logic.holidays import is_business_day
from actors.model.orders import Execution, OrderAction
from actors.risk.baselines import EXCHANGE_ZONE

BUSINESS_DAYS: Final = 5


def count_day_trades(executions: Iterable[Execution], now: datetime) -> int:
    """Count the day trades of the last five business days, today included; executions without a time are today's."""
    first = first_day(now)
    orders: defaultdict[tuple[date, int], dict[OrderAction, set[int | str]]]
    orders = defaultdict(lambda: {action: set() for action in OrderAction})
    for item in executions:
        day = (item.executed_at or now).astimezone(EXCHANGE_ZONE).date()
        if day >= first:
            orders[day, item.contract.con_id][item.action].add(item.perm_id or item.order_ref)
    return sum(
        min(len(sides[OrderAction.BUY]), len(sides[OrderAction.SELL])) for sides in orders.values()
    )


def opened_today(executions: Iterable[Execution], now: datetime) -> frozenset[int]:
    """The contracts of which more orders opened than closed today: each one's close today would be a day trade."""
    today = now.astimezone(EXCHANGE_ZONE).date()
    orders: defaultdict[int, dict[OrderAction, set[int | str]]]
    orders = defaultdict(lambda: {action: set() for action in OrderAction})
    for item in executions:
        if (item.executed_at or now).astimezone(EXCHANGE_ZONE).date() == today:
            orders[item.contract.con_id][item.action].add(item.perm_id or item.order_ref)
    return frozenset(
        con_id
        for con_id, sides in orders.items()
        if len(sides[OrderAction.BUY]) != len(sides[OrderAction.SELL])
    )


def first_day(now: datetime) -> date:
    """The first of the five business days that end today, at the exchange."""
    day = now.astimezone(EXCHANGE_ZONE).date()
    left = BUSINESS_DAYS - is_business_day(day)
    while left:
        day -= timedelta(days=1)
        left -= is_business_day(day)
    return day


def first_day_begins(now: datetime) -> datetime:
    """When the first of those days begins: executions from before count for nothing any more."""
    return datetime.combine(first_day(now), time(), EXCHANGE_ZONE)
