"""Profit and loss of a position (POS-1, POS-2).

unrealized P&L = quantity · (price · multiplier − average cost), with the quantity negative for a short, and the
average cost as IB gives it: per unit, with multiplier and commission (TWS_WIRE §7). ``unrealized_pnl_pct`` is a ratio
of the cost, |quantity · average cost|: −0.4 has lost forty hundredths (POS-8). An unknown price makes all of them None,
never 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime

from actors.logic.closable import is_closable
from actors.logic.closures import (
    closure_trigger,
    days_to_expiry,
    is_emergency,
    is_near_expiry,
)
from actors.model.account import Holding, Position
from actors.model.market import Quote
from actors.sections.positions import Positions


def entry_price(holding: Holding) -> float:
    """The average price per unit without the multiplier, comparable with a quote; commission stays included."""
    return holding.average_cost / holding.contract.multiplier


def unrealized_pnl(holding: Holding, price: float | None) -> float | None:
    """The profit (positive) or loss in the contract's currency if everything were traded at ``price``."""
    if price is None or not math.isfinite(price):
        return None
    return holding.quantity * (price * holding.contract.multiplier - holding.average_cost)


def unrealized_pnl_pct(holding: Holding, price: float | None) -> float | None:
    """The same as a ratio of the cost: -0.4 has lost forty hundredths; None when nothing was paid."""
    profit = unrealized_pnl(holding, price)
    cost = abs(holding.quantity * holding.average_cost)
    if profit is None or not cost > 0.0:
        return None
    return profit / cost


def exit_price(holding: Holding, quote: Quote | None) -> float | None:
    """The price that a position is valued at: last, else the midpoint, else the side that a close would meet."""
    if quote is None:
        return None
    side = quote.bid if holding.quantity > 0 else quote.ask
    return _positive(quote.price) or _positive(side)


def position_view(
    holding: Holding,
    price: float | None,
    now: datetime,
    settings: Positions,
    is_cached: bool = False,
) -> Position:
    """Describe a holding with its price, P&L, and whether it is due to be closed."""
    known = _positive(price)
    ratio = unrealized_pnl_pct(holding, known)
    days = days_to_expiry(holding.contract, now)
    return Position(
        position_id=holding.contract.position_id,
        symbol=holding.contract.symbol,
        quantity=holding.quantity,
        entry_price=entry_price(holding),
        current_price=known,
        unrealized_pnl=unrealized_pnl(holding, known),
        unrealized_pnl_pct=ratio,
        days_to_expiry=days,
        contract=holding.contract,
        should_close_3_dte=is_near_expiry(days, settings),
        should_close_emergency=is_emergency(ratio, settings),
        closure_trigger=(
            closure_trigger(days, ratio, settings)
            if is_closable(holding.contract.security_type)
            else None
        ),
        is_cached=is_cached,
    )


def position_views(
    holdings: Iterable[Holding],
    quotes: Mapping[int, Quote],
    now: datetime,
    settings: Positions,
    is_cached: bool = False,
) -> tuple[Position, ...]:
    """Describe all holdings that are not zero, with the newest quote of each by con_id."""
    return tuple(
        position_view(
            holding,
            exit_price(holding, quotes.get(holding.contract.con_id)),
            now,
            settings,
            is_cached,
        )
        for holding in holdings
        if holding.quantity
    )


def _positive(price: float | None) -> float | None:
    """A price that the broker does not have comes as 0, −1 or NaN."""
    if price is None or not math.isfinite(price) or price <= 0.0:
        return None
    return price
