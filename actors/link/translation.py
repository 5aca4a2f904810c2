"""From what IB says to values of ours. Unknown is None, never 0 (MKT-4); nonsense in what carries orders raises.

Sources: TWS_WIRE §4 (layouts, and how real gateways print "none"), ib_insync 0.9.86 (`objects`, `contract`, `order`).
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import Any, Final

from actors.logic.closable import SMART, is_smart
from actors.logic.zones import zone_of
from actors.model.account import Holding
from actors.model.contracts import Contract, Right, SecurityType
from actors.model.market import Bar
from actors.model.orders import BrokerOrder, Execution, OrderAction

UNSET_FROM: Final = 1e300
"""IB prints an unset double as 1.7976931348623157E308."""

_RIGHTS = {"C": Right.CALL, "CALL": Right.CALL, "P": Right.PUT, "PUT": Right.PUT}
_SIDES = {"BOT": OrderAction.BUY, "SLD": OrderAction.SELL}
_ACTIONS = {"BUY": OrderAction.BUY, "SELL": OrderAction.SELL, "SSHORT": OrderAction.SELL}
_OPTION_MULTIPLIER: Final = 100.0
_MOST: Final = 1e9
"""No execution and no position has more shares, and none a higher price: such a number is a spoiled one."""
_MAX_EPOCH_S: Final = 253_402_300_799  # the year 9999


def known(value: float) -> float | None:
    """Keep a number that means something: finite and not IB's "unset"."""
    return value if math.isfinite(value) and abs(value) < UNSET_FROM else None


def positive(value: float) -> float | None:
    """Keep a price or size that exists: IB says −1 or 0 for none."""
    return value if math.isfinite(value) and 0 < value < UNSET_FROM else None


def required(value: float, what: str) -> float:
    """Demand a number that means something; raises ValueError."""
    found = known(value)
    if found is None:
        raise ValueError(f"{what} must be a finite number (was {value})")
    return found


def credible(value: float, what: str) -> float:
    """Demand a quantity or a price that may exist; raises ValueError."""
    found = required(value, what)
    if abs(found) > _MOST:
        raise ValueError(f"{what} must be at most {_MOST:g} (was {value})")
    return found


# --- contracts ----------------------------------------------------------------------------------------------------


def contract_from_ib(raw: Any, *, exchange: str | None = None) -> Contract:
    """Read the contract of a message; ``exchange`` replaces the one in it. Raises ValueError without a conId."""
    kind = SecurityType.from_ib(raw.secType)
    return Contract(
        con_id=raw.conId,
        symbol=raw.symbol,
        security_type=kind,
        exchange=_route(raw, kind, exchange),
        primary_exchange=raw.primaryExchange,
        currency=raw.currency or "USD",
        local_symbol=raw.localSymbol,
        trading_class=raw.tradingClass,
        expiry=date_from_ib(raw.lastTradeDateOrContractMonth),
        strike=positive(raw.strike) if kind.has_strike else None,
        right=_RIGHTS.get(raw.right.upper()) if kind.has_strike else None,
        multiplier=_multiplier(raw.multiplier, kind),
    )


def contract_from_details(details: Any) -> Contract:
    """Read a qualified contract with its tick, hours and zone."""
    raw = details.contract
    kind = SecurityType.from_ib(raw.secType)
    return Contract(
        con_id=raw.conId,
        symbol=raw.symbol,
        security_type=kind,
        exchange=_route(raw, kind),
        primary_exchange=raw.primaryExchange,
        currency=raw.currency or "USD",
        local_symbol=raw.localSymbol,
        trading_class=raw.tradingClass,
        expiry=date_from_ib(raw.lastTradeDateOrContractMonth),
        strike=positive(raw.strike) if kind.has_strike else None,
        right=_RIGHTS.get(raw.right.upper()) if kind.has_strike else None,
        multiplier=_multiplier(raw.multiplier, kind),
        price_magnifier=positive(float(details.priceMagnifier or 1)) or 1.0,
        min_tick=positive(float(details.minTick)) or 0.01,
        time_zone=details.timeZoneId or "US/Eastern",
        trading_hours=details.tradingHours,
        liquid_hours=details.liquidHours,
    )


def _route(raw: Any, kind: SecurityType, exchange: str | None = None) -> str:
    """Where orders of a contract go: the router, or for a kind that it does not take the exchange that was told.

    Empty where none was told, as in a position: the contract has to be looked up before it is quoted or ordered.
    """
    if is_smart(kind):
        return exchange or raw.exchange or SMART
    return str(raw.exchange or raw.primaryExchange)


def _multiplier(text: str, kind: SecurityType) -> float:
    if text:
        return positive(float(text)) or 1.0
    return _OPTION_MULTIPLIER if kind is SecurityType.OPTION else 1.0


# --- orders -------------------------------------------------------------------------------------------------------


def order_from_open(raw_contract: Any, raw: Any, state: Any) -> BrokerOrder:
    """Read an openOrder. A combination has no conId and therefore no contract here."""
    return BrokerOrder(
        order_id=raw.orderId,
        client_id=raw.clientId,
        perm_id=raw.permId,
        order_ref=raw.orderRef,
        contract=contract_from_ib(raw_contract) if raw_contract.conId > 0 else None,
        action=_ACTIONS[raw.action],
        quantity=required(float(raw.totalQuantity), "totalQuantity"),
        order_type=raw.orderType,
        limit_price=positive(raw.lmtPrice),
        stop_price=positive(raw.auxPrice),
        status=_status(state.status),
        account=raw.account,
    )


def order_from_completed(raw_contract: Any, raw: Any, state: Any) -> BrokerOrder:
    """Read a completedOrder: it has neither order id nor client id."""
    return BrokerOrder(
        order_id=0,
        client_id=0,
        perm_id=raw.permId,
        order_ref=raw.orderRef,
        contract=contract_from_ib(raw_contract) if raw_contract.conId > 0 else None,
        action=_ACTIONS[raw.action],
        quantity=required(float(raw.totalQuantity), "totalQuantity"),
        order_type=raw.orderType,
        limit_price=positive(raw.lmtPrice),
        stop_price=positive(raw.auxPrice),
        status=_status(state.status),
        filled=known(float(raw.filledQuantity)),
        account=raw.account,
    )


def order_from_status(
    order_id: int,
    status: str,
    filled: float,
    remaining: float,
    average_price: float,
    perm_id: int,
    client_id: int,
    why_held: str,
) -> BrokerOrder:
    """Read an orderStatus: quantities and state without the terms."""
    return BrokerOrder(
        order_id=order_id,
        client_id=client_id,
        perm_id=perm_id,
        order_ref="",
        contract=None,
        action=None,
        quantity=None,
        order_type="",
        limit_price=None,
        stop_price=None,
        status=_status(status),
        filled=required(filled, "filled"),
        remaining=required(remaining, "remaining"),
        average_fill_price=positive(average_price),
        why_held=why_held,
    )


def _status(text: str) -> str:
    """A status is one word; anything else means that the fields are shifted."""
    if not text.isalpha():
        raise ValueError(f"status must be a word (was {text!r})")
    return text


_MAY_BE_NEGATIVE: Final = frozenset(
    {SecurityType.FUTURE, SecurityType.FUTURE_OPTION, SecurityType.COMBINATION}
)
"""A barrel of oil has been sold for less than nothing, and a spread brings a credit."""

_NEVER_POSITIONS: Final = frozenset({SecurityType.COMBINATION, SecurityType.CURRENCY})


def is_booked(execution: Execution) -> bool:
    """Whether an execution changes a position: not the ticket of a combination, whose legs do, nor a conversion.

    One of no units, as an old protocol rounds the fraction of a fill, changes nothing either (D22).
    """
    kind = execution.contract.security_type
    return execution.quantity > 0.0 and kind not in _NEVER_POSITIONS


def execution_from_ib(raw_contract: Any, raw: Any, executed_at: datetime | None) -> Execution:
    """Read an execution. A stock's or an option's exchange is where it happened: we name SMART instead."""
    if not raw.execId:
        raise ValueError("an execution must have an id")
    quantity = credible(float(raw.shares), "shares")
    price = credible(float(raw.price), "price")
    if quantity < 0:
        raise ValueError(f"shares must be >= 0 (was {quantity})")
    if price < 0 and SecurityType.from_ib(raw_contract.secType) not in _MAY_BE_NEGATIVE:
        raise ValueError(f"price must be >= 0 (was {price})")
    return Execution(
        exec_id=raw.execId,
        contract=contract_from_ib(raw_contract, exchange=SMART),
        order_id=raw.orderId,
        client_id=raw.clientId,
        perm_id=raw.permId,
        order_ref=raw.orderRef,
        account=raw.acctNumber,
        action=_SIDES[raw.side],
        quantity=quantity,
        price=price,
        executed_at=executed_at,
    )


def holding_from_ib(account: str, raw_contract: Any, quantity: float, cost: float) -> Holding:
    """Read a position; the average cost is per unit and includes multiplier and commission."""
    return Holding(
        account=account,
        contract=contract_from_ib(raw_contract, exchange=SMART),
        quantity=credible(quantity, "position"),
        average_cost=math.nan if UNSET_FROM <= cost < math.inf else credible(cost, "avgCost"),
    )


# --- times --------------------------------------------------------------------------------------------------------


def date_from_ib(text: str) -> date | None:
    """Read ``YYYYMMDD``, whatever stands behind it; a mere month, or nonsense, is None."""
    digits = text[:8]
    if len(digits) < 8 or not digits.isascii() or not digits.isdigit():
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return None


def time_from_ib(text: str) -> datetime | None:
    """Read a time of IB's as UTC; None where its zone is not said or not known.

    ``20231116-12:07:51`` is UTC, ``20260413 15:27:04 US/Eastern`` says its zone, ``20230224  12:04:56`` says none, ten
    digits are seconds since 1970.
    """
    if text.isascii() and text.isdigit() and len(text) != 8:
        return epoch_time(text)
    parts = text.split(None, 2)
    try:
        if len(parts) == 1:
            return datetime.strptime(text, "%Y%m%d-%H:%M:%S").replace(tzinfo=UTC)
        if len(parts) < 3:
            return None
        clock = f"{parts[0]} {parts[1]}"
        zone = zone_of(parts[2])
        if zone is None:
            return None
        return datetime.strptime(clock, "%Y%m%d %H:%M:%S").replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def epoch_time(text: str) -> datetime | None:
    """Read seconds since 1970 as UTC; 0 and nonsense are None."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:20]) <= _MAX_EPOCH_S:
        return None
    return datetime.fromtimestamp(int(text[:20]), UTC)


# --- bars ---------------------------------------------------------------------------------------------------------


def bar_from_ib(raw: Any) -> Bar | None:
    """Read a bar of trades; None for one without prices or time."""
    start = time_from_ib(raw.date)
    prices = tuple(positive(value) for value in (raw.open, raw.high, raw.low, raw.close))
    opened, high, low, close = prices
    if start is None or opened is None or high is None or low is None or close is None:
        return None
    volume = known(raw.volume)
    return Bar(
        start=start,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=max(0.0, volume) if volume is not None else 0.0,
    )
