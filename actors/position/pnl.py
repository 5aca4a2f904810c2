"""Profit and loss of a position (POS-1, POS-2).

unrealized P&L = quantity · (price · multiplier − average cost), with the quantity negative for a short, and the
average cost as IB gives it: per unit, with multiplier and commission (TWS_WIRE §7). ``unrealized_pnl_pct`` is a ratio
of the cost, |quantity · average cost|: −0.4 has lost forty hundredths (POS-8). An unknown price makes all of them None,
never 0.
"""

from __future__ import annotations

import math
from datetime import datetime

from actors.logic.closable import is_closable
from actors.logic.closures import (
    closure_trigger,
    days_to_expiry,
    is_near_expiry,
)
from actors.model.account import Holding, Position
from actors.position.valuation import Valued
from actors.sections.positions import Positions


def entry_price(holding: Holding) -> float | None:
    """The average price per unit without the multiplier, comparable with a quote; commission stays included."""
    if math.isnan(holding.average_cost):
        return None
    return holding.average_cost / holding.contract.value_of_a_point


def unrealized_pnl(holding: Holding, price: float | None) -> float | None:
    """The profit (positive) or loss in the contract's currency if everything were traded at ``price``."""
    if price is None or not math.isfinite(price) or math.isnan(holding.average_cost):
        return None
    return holding.quantity * (price * holding.contract.value_of_a_point - holding.average_cost)


def unrealized_pnl_pct(holding: Holding, price: float | None) -> float | None:
    """The same as a ratio of the cost: -0.4 has lost forty hundredths; None when nothing was paid."""
    profit = unrealized_pnl(holding, price)
    cost = abs(holding.quantity * holding.average_cost)
    if profit is None or not cost > 0.0:
        return None
    return profit / cost


def position_view(
    holding: Holding,
    valued: Valued,
    now: datetime,
    settings: Positions,
    *,
    is_stopped: bool = False,
    is_cached: bool = False,
) -> Position:
    """Describe a holding with its price, P&L, and whether it is due to be closed.

    ``is_stopped``: its loss has reached the emergency stop, seen twice (`actors.position.stops`).
    """
    days = days_to_expiry(holding.contract, now)
    unsure = f"{valued.basis}: {valued.why}" if valued.why else valued.basis.value
    return Position(
        position_id=holding.contract.position_id,
        symbol=holding.contract.symbol,
        quantity=holding.quantity,
        entry_price=entry_price(holding),
        current_price=valued.price,
        unrealized_pnl=unrealized_pnl(holding, valued.price),
        unrealized_pnl_pct=unrealized_pnl_pct(holding, valued.price),
        days_to_expiry=days,
        contract=holding.contract,
        should_close_3_dte=is_near_expiry(days, settings),
        should_close_emergency=is_stopped,
        closure_trigger=(
            closure_trigger(days, is_stopped, settings)
            if is_closable(holding.contract.security_type)
            else None
        ),
        valued_by=unsure if valued.price is None else valued.basis.value,
        is_cached=is_cached,
    )
