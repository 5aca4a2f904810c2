"""The limits that risk's rules compare with, and everything that they judge from (RSK-1)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from types import MappingProxyType
from typing import Final

import attrs

from actors.model.account import Account
from actors.model.market import Quote
from actors.model.orders import OrderAction, TradeRequest, WireOrder
from actors.risk.baselines import NO_BASELINES, Baselines
from actors.risk.exposure import Ledger
from actors.sections.risk import Risk


@attrs.frozen(kw_only=True)
class PeriodLosses:
    """What positions have lost since the day and the week began, as ratios of their baselines; None: unknown."""

    day: float | None = None
    week: float | None = None


UNKNOWN_LOSSES: Final = PeriodLosses()


class DayTradePolicy(StrEnum):
    """Which rule on day trades holds: a dated choice (PEERS, "Rules of the market that changed")."""

    PDT = "pdt"
    INTRADAY_MARGIN = "intraday_margin"
    OFF = "off"


@attrs.frozen(kw_only=True)
class RecentOrder:
    """An order that was judged before, for the rate and for duplicates; ``at`` in monotonic seconds."""

    at: float
    order_ref: str
    con_id: int
    action: OrderAction
    quantity: float
    limit_price: float | None
    stop_price: float | None


TIME_OF: Final = attrgetter("at")
"""The key by which recent orders ascend."""


@attrs.frozen(kw_only=True)
class RiskInputs:
    """Everything a decision is made from. ``ledger`` holds the other orders in flight, not yet this one.

    ``prices`` values what is held, by con_id. ``day_trades`` is None when they were not counted; ``opened_today`` are
    the contracts whose close today would be one more. ``latched`` and ``opening_blocked_by`` carry the reason in words.
    ``monotonic`` is the time base of ``recent_orders``, which ascend. ``over_pending``: a person closes over
    orders that can still fill.
    """

    order: WireOrder
    request: TradeRequest
    now: datetime
    monotonic: float
    ledger: Ledger
    quote: Quote | None = None
    account: Account | None = None
    baselines: Baselines = NO_BASELINES
    losses: PeriodLosses = UNKNOWN_LOSSES
    prices: Mapping[int, float] = MappingProxyType({})
    recent_orders: tuple[RecentOrder, ...] = ()
    day_trades: int | None = None
    opened_today: frozenset[int] = frozenset()
    latched: str | None = None
    opening_blocked_by: str | None = None
    over_pending: bool = False
    close_at_dte: int | None = None
    """So many days before its expiry a position is closed by itself; None: none is."""
    stops_reached: Mapping[int, float] = MappingProxyType({})
    """The positions whose loss has reached the emergency stop, by con_id, with that loss as a ratio of the cost."""
    emergency_loss_ratio: float = 1.0


def recent_order(order: WireOrder, monotonic: float) -> RecentOrder:
    """Remember an order for the rate and for duplicates."""
    return RecentOrder(
        at=monotonic,
        order_ref=order.order_ref,
        con_id=order.contract.con_id,
        action=order.action,
        quantity=order.quantity,
        limit_price=order.limit_price,
        stop_price=order.stop_price,
    )


def still_recent(
    orders: tuple[RecentOrder, ...], monotonic: float, limits: Risk
) -> tuple[RecentOrder, ...]:
    """Drop the orders that no rule looks at any more, so that the memory stays bounded by the rate."""
    horizon = monotonic - max(60.0, limits.duplicate_window_s)
    return orders[bisect_left(orders, horizon, key=TIME_OF) :]
