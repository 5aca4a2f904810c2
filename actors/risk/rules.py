"""The rules of opening orders, one small function each (RSK-1, RSK-6).

Every rule finds nothing or one reason, "what (value) exceeds limit (limit)", and the numbers that it looked at. A
number that is NaN is a reason, since no comparison with it holds. Orders in flight count as if they had filled, on the
side where that is worse. A rule that lacks a price leaves that to `quote_fresh`, which rejects then.

Short selling: an order whose worst case leads below zero is refused unless the limits allow it, for a long-only
strategy that sells too much has a fault.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from typing import Final

from actors import messages as m
from actors.logic import freshness, quality
from actors.logic.closures import days_to_expiry
from actors.model.account import Account
from actors.model.contracts import Contract, SecurityType
from actors.model.market import Pace
from actors.model.orders import OrderAction, Purpose, WireOrder
from actors.risk import baselines, exposure
from actors.risk.case import FINE, Case, Finding
from actors.risk.limits import (
    TIME_OF,
    DayTradePolicy,
    RecentOrder,
)
from actors.sections.risk import Risk

_RATE_WINDOW_S: Final = 60.0


def _within(what: str, value: float, limit: float, metric: str) -> Finding:
    """Compare so that a NaN on either side counts as exceeding."""
    numbers = {metric: value, f"{metric}_limit": limit}
    if value <= limit:
        return None, numbers
    if math.isnan(value):
        return f"{what} is unknown, limit ({limit:,.6g})", numbers
    return f"{what} ({value:,.6g}) exceeds limit ({limit:,.6g})", numbers


def latch_open(case: Case) -> Finding:
    """Strategy C is not latched."""
    if case.inputs.latched is None:
        return FINE
    return f"Strategy C is latched ({case.inputs.latched}); an operator has to re-arm", {}


def opening_ready(case: Case) -> Finding:
    """Nothing else blocks opening: market data answers, no maintenance window, no fallback client id."""
    if case.inputs.opening_blocked_by is None:
        return FINE
    return f"opening is blocked: {case.inputs.opening_blocked_by}", {}


def positions_known(case: Case) -> Finding:
    """The ledger was reconciled with the broker."""
    if case.inputs.ledger.known:
        return FINE
    return "positions are unknown; wait for the reconciliation", {}


def account_known(case: Case) -> Finding:
    """The account's net liquidation is known and positive."""
    worth = case.net_liquidation
    if worth is not None and worth > 0.0 and math.isfinite(worth):
        return None, {"net_liquidation": worth}
    return f"the account's net liquidation is unknown (was {worth!r})", {}


def currency_known(case: Case) -> Finding:
    """The contract's price can be said in the account's currency, in which all limits are."""
    account, currency = case.inputs.account, case.contract.currency
    if account is None or account.rate_of(currency) is not None:
        return FINE
    return (
        f"the contract is in {currency} and the account in {account.currency or 'an unknown currency'},"
        " and the broker tells no exchange rate: it can be held to no limit"
    ), {}


def quote_fresh(case: Case) -> Finding:
    """There is a quote of this contract, young enough and not halted, in an open session."""
    quote = case.inputs.quote
    if quote is None or case.price is None:
        return "there is no quote to judge the order's price by", {}
    if quote.contract.con_id != case.contract.con_id:
        return f"the quote is of another contract ({quote.contract.position_id})", {}
    if quote.halted:
        return f"trading in {quote.symbol} is halted", {}
    age_s, pace = quality.quote_age_s(quote, case.inputs.monotonic), quote.pace or Pace()
    if age_s > pace.suspect_after_s:
        return (
            f"the data of {quote.symbol} is suspect: it has not changed for {age_s:.0f} s,"
            f" and usually does within {pace.typical_s or 0.0:.1f} s"
        ), {"quote_age_s": age_s}
    limit_s = freshness.opens_until_s(pace, case.limits.quote_max_age_s)
    return _within("quote age in seconds", age_s, limit_s, "quote_age_s")


def position_quantity(case: Case) -> Finding:
    """The order's quantity is a positive number, and the largest possible position stays within its number of units."""
    asked = case.order.quantity
    if not 0.0 < asked < math.inf:
        # Every rule about what is added would find that a quantity which is no number adds nothing.
        return f"the order's quantity must be a positive number (was {asked:g})", {}
    if case.added == 0.0:
        return FINE
    limit = case.limits.max_position_quantity
    return _within("position quantity", case.quantity, limit, "position_quantity")


def position_value(case: Case) -> Finding:
    """The largest possible position stays within its value."""
    if case.price is None or case.added == 0.0:
        return FINE
    value = case.quantity * case.price * case.worth(case.contract)
    return _within("position value", value, case.limits.max_position_value, "position_value")


def total_exposure(case: Case) -> Finding:
    """All positions, with every order in flight filled, stay within their value together."""
    if case.added == 0.0 or case.price is None:
        return FINE
    prices = dict(case.inputs.prices)
    prices[case.contract.con_id] = max(case.price, prices.get(case.contract.con_id, 0.0))
    value = exposure.total_value(case.after, prices, case.rate_of)
    return _within("total exposure", value, case.limits.max_total_exposure_value, "total_exposure")


def risk_per_trade(case: Case) -> Finding:
    """What the trade may lose, quantity · price · multiplier · stop distance, is within its share of the worth."""
    worth = case.net_liquidation
    if worth is None or case.price is None:
        return FINE
    share = min(case.inputs.request.risk_per_trade, case.limits.risk_per_trade_ratio)
    loss = case.added * case.price * case.worth(case.contract) * _loss_ratio(case)
    return _within("risk of the trade", loss, share * worth, "trade_risk")


def affordable(case: Case) -> Finding:
    """Funds cover the order and all other opening orders in flight, with commissions.

    Long and short alike are reckoned at full value (for an option: the premium), which is stricter than margin.
    """
    account = case.inputs.account
    if account is None:
        return FINE
    by_margin = case.limits.day_trades == DayTradePolicy.INTRADAY_MARGIN
    funds = account.buying_power if by_margin else account.available_funds
    name = "buying power" if by_margin else "available funds"
    if funds is None:
        return f"the account's {name} are unknown", {}
    if case.added == 0.0 or case.price is None:
        return FINE
    cost = _cost_of(case, case.contract, case.added, case.price)
    for item in case.before.reservations.values():
        if item.purpose is Purpose.OPEN:
            cost += _cost_in_flight(case, item)
    return _within(f"cost in view of {name}", cost, funds, "order_cost")


def in_dollars(worth: float | None, account: Account | None) -> float | None:
    """Say in USD what the account's currency says, as the regulators' minimums are; NaN where no rate is known."""
    if worth is None or account is None:
        return worth
    rate = account.rate_of("USD")
    return worth / rate if rate else math.nan


def needs_day_trades(dollars: float | None, limits: Risk) -> bool:
    """Tell whether the count of day trades matters at this equity in USD; counting goes through every execution."""
    if limits.day_trades != DayTradePolicy.PDT or dollars is None:
        return False
    return not dollars >= limits.pdt_minimum_equity


def day_trades(case: Case) -> Finding:
    """The day-trade policy allows that everything opened today is closed today, this order's position too.

    FINRA looks at the equity of the day before; a loss since then counts as well. Its minimums are in USD.
    """
    inputs, limits = case.inputs, case.limits
    least = baselines.least_equity(inputs.baselines, inputs.account)
    worth = in_dollars(least, inputs.account)
    if limits.day_trades == DayTradePolicy.OFF or worth is None or case.added == 0.0:
        return FINE
    if limits.day_trades == DayTradePolicy.INTRADAY_MARGIN:
        if worth >= limits.margin_minimum_equity:
            return FINE
        return (
            f"equity ({worth:,.6g} USD) is below the minimum for margin"
            f" ({limits.margin_minimum_equity:,.6g} USD)"
        ), {}
    if not needs_day_trades(worth, limits):
        return FINE
    if inputs.day_trades is None:
        return "the number of day trades is unknown", {}
    held = inputs.opened_today & case.before.positions.keys()
    in_flight = {
        item.contract.con_id
        for item in case.before.reservations.values()
        if item.purpose is Purpose.OPEN
    }
    count = inputs.day_trades + len(held | in_flight | {case.contract.con_id})
    return _within("day trades", float(count), float(limits.pdt_max_day_trades), "day_trades")


def daily_loss(case: Case) -> Finding:
    """The day's loss is below its limit."""
    limit = case.limits.daily_loss_ratio
    return _loss("daily loss", case.inputs.losses.day, limit, "daily_loss_ratio")


def weekly_drawdown(case: Case) -> Finding:
    """The week's loss is below its limit."""
    limit = case.limits.weekly_drawdown_ratio
    return _loss("weekly drawdown", case.inputs.losses.week, limit, "weekly_drawdown_ratio")


def open_positions(case: Case) -> Finding:
    """The number of contracts that are held, or could come to be held, stays within its limit."""
    if case.added == 0.0:
        return FINE
    count = float(len(exposure.open_contracts(case.after)))
    return _within("open positions", count, case.limits.max_open_positions, "open_positions")


def order_rate(case: Case) -> Finding:
    """The orders of the last minute, this one included, stay within their number."""
    horizon = case.inputs.monotonic - _RATE_WINDOW_S
    recent = case.inputs.recent_orders
    count = 1.0 + len(recent) - bisect_right(recent, horizon, key=TIME_OF)
    limit = case.limits.max_orders_per_minute
    return _within("orders per minute", count, limit, "orders_per_minute")


def price_sane(case: Case) -> Finding:
    """A limit or stop price lies within a band around the last quote."""
    quote = case.inputs.quote
    reference = None if quote is None else quote.price
    order = case.order
    own = order.limit_price if order.limit_price is not None else order.stop_price
    if own is None:
        return FINE
    if reference is None or not reference > 0.0:
        return "there is no last price to compare the order's price with", {}
    limit = case.limits.price_band_ratio
    if case.contract.security_type is SecurityType.OPTION:
        limit = case.limits.option_price_band_ratio
    deviation = abs(own - reference) / reference
    what = f"deviation of the price {own:g} from the last, {reference:g}, as a ratio"
    return _within(what, deviation, limit, "price_deviation_ratio")


def no_duplicate(case: Case) -> Finding:
    """No other order with the same contract, side, quantity and prices came a moment ago."""
    horizon = case.inputs.monotonic - case.limits.duplicate_window_s
    recent = case.inputs.recent_orders
    for other in recent[bisect_right(recent, horizon, key=TIME_OF) :]:
        if _is_twin(other, case.order):
            age = case.inputs.monotonic - other.at
            window = case.limits.duplicate_window_s
            return f"duplicate of {other.order_ref}: age ({age:.3g} s) is below ({window:g} s)", {}
    return FINE


def no_short(case: Case) -> Finding:
    """The order cannot lead to a negative position unless short selling is allowed."""
    if case.limits.allow_short or case.order.action is OrderAction.BUY:
        return FINE
    lowest = exposure.worst_case(case.after, case.contract.con_id)[0]
    if lowest >= 0.0:
        return FINE
    return f"short selling is not allowed: the position could fall to ({lowest:g}), limit (0)", {}


def not_closed_at_once(case: Case) -> Finding:
    """Nothing is opened that would be closed by itself: too near its expiry, or at its emergency stop (RSK-8)."""
    inputs = case.inputs
    days = days_to_expiry(case.contract, inputs.now)
    if days is not None and inputs.close_at_dte is not None and days <= inputs.close_at_dte:
        return (
            f"it expires in ({days}) days, and what has ({inputs.close_at_dte}) or fewer is closed by itself",
            {"days_to_expiry": float(days), "close_at_dte": float(inputs.close_at_dte)},
        )
    loss = inputs.stops_reached.get(case.contract.con_id)
    if loss is None:
        return FINE
    limit = inputs.emergency_loss_ratio
    return (
        f"the position's loss ({loss:.4f}) has reached the emergency stop ({limit:.4f}): it is closed by itself",
        {"position_loss": loss, "position_loss_limit": limit},
    )


def no_close_beside(case: Case) -> Finding:
    """No close of this contract and side can still fill: together they could turn the position (RSK-4).

    Of an order that is there already only the part that a change would add counts.
    """
    con_id, action = case.contract.con_id, case.order.action
    closing = exposure.closing(case.before, con_id, action)
    if not closing or exposure.reserved(case.after, con_id, action) <= exposure.reserved(
        case.inputs.ledger, con_id, action
    ):
        return FINE
    return f"a close of ({closing:g}) can still fill on this side: nothing opens beside it", {}


RULES: Final[tuple[Callable[[Case], Finding], ...]] = (
    latch_open,
    opening_ready,
    positions_known,
    account_known,
    currency_known,
    quote_fresh,
    position_quantity,
    position_value,
    total_exposure,
    risk_per_trade,
    affordable,
    day_trades,
    daily_loss,
    weekly_drawdown,
    open_positions,
    order_rate,
    price_sane,
    no_duplicate,
    no_short,
    not_closed_at_once,
    no_close_beside,
)
"""All rules of opening orders, in the order in which their reasons are listed."""

STANDING_RULES: Final = frozenset(
    rule.__name__ for rule in (latch_open, opening_ready, no_close_beside)
)
"""The rules that are no limits of risk: they hold even where the orchestrator's own risk manager decides alone."""


def _loss(what: str, loss: float | None, limit: float, metric: str) -> Finding:
    if loss is None:
        return f"the {what} is unknown: there is no baseline or no account", {}
    numbers = {metric: loss, f"{metric}_limit": limit}
    if loss < limit:
        return None, numbers
    return f"{what} ({loss:.4f}) reached its limit ({limit:.4f})", numbers


def _loss_ratio(case: Case) -> float:
    """The share of its value that the trade may lose, by an assumption.

    A stop that the strategy only names counts for nothing: none rests at the broker (RSK-9).
    """
    if case.contract.security_type is SecurityType.OPTION:
        return 1.0
    return case.limits.assumed_loss_ratio


def _cost_in_flight(case: Case, item: m.WorkingOrder) -> float:
    """What another opening order will take from the funds when it fills; NaN when no price of it is known."""
    price = item.price
    if price is None:
        price = case.inputs.prices.get(item.contract.con_id, math.nan)
    return _cost_of(case, item.contract, abs(item.signed_remaining), price)


def _cost_of(case: Case, contract: Contract, quantity: float, price: float) -> float:
    limits = case.limits
    is_option = contract.security_type is SecurityType.OPTION
    rate = limits.commission_per_option if is_option else limits.commission_per_share
    commission = max(limits.commission_minimum, quantity * rate)
    return (quantity * price * contract.value_of_a_point + commission) * case.rate_of(
        contract.currency
    )


def _is_twin(other: RecentOrder, order: WireOrder) -> bool:
    return other.order_ref != order.order_ref and (
        other.con_id,
        other.action,
        other.quantity,
        other.limit_price,
        other.stop_price,
    ) == (
        order.contract.con_id,
        order.action,
        order.quantity,
        order.limit_price,
        order.stop_price,
    )
