"""The first gate of an order: is the wish well formed at all (ORD-10)?

Guarantees that a `TradeRequest` made here carries finite, positive, whole numbers and known names, and that nothing in
it can break the wire's framing. Refuses with *every* fault of a signal in one error, each named with its value and its
remedy, before risk has seen anything. Whether the order is wise is not asked here (`actors.risk.rules`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from numbers import Real
from types import MappingProxyType
from typing import Final, TypeVar

import attrs

from actors.errors import OrderValidationError
from actors.model.contracts import Contract, ContractQuery, Right, SecurityType
from actors.model.orders import (
    OrderAction,
    OrderType,
    StrategyContext,
    TimeInForce,
    TradeRequest,
    TradingSignal,
)

_TRADING_CLASS: Final = re.compile(r"[A-Z0-9.]{0,12}")
LONGEST_SHOWN: Final = 120
"""Of a value that is wrong so much is shown."""

MAX_QUANTITY: Final = 10_000_000
MAX_PRICE: Final = 10_000_000.0
MAX_TAKE_PROFIT_RATIO: Final = 100.0
MAX_OPERATOR_ID_CHARS: Final = 20

_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9 ./-]{0,15}")
_OPERATOR_ID = re.compile(rf"[A-Za-z0-9_.-]{{1,{MAX_OPERATOR_ID_CHARS}}}")
_EXPIRY = re.compile(r"[0-9]{8}")
_OPTION_FIELDS: Final = ("expiry", "strike", "right")

_PRICES_BY_TYPE: Final[Mapping[OrderType, frozenset[str]]] = MappingProxyType(
    {
        OrderType.MARKET: frozenset(),
        OrderType.LIMIT: frozenset({"limit_price"}),
        OrderType.STOP: frozenset({"stop_price"}),
    }
)
"""The prices that an order type needs; any other price on it is refused, since it would be ignored silently."""

T = TypeVar("T")


@attrs.define
class _Faults:
    """Collects what is wrong, so that the caller learns all of it at once."""

    texts: list[str] = attrs.field(factory=list)

    def add(self, field: str, must: str, value: object) -> None:
        """Note that ``field`` ``must`` be something that ``value`` is not."""
        self.texts.append(f"{field} must {must} (was {_shown(value)})")

    def attempt(self, field: str, read: Callable[[str], T], value: object) -> T | None:
        """Read a name with a model's own parser and keep its complaint."""
        if not isinstance(value, str):
            self.add(field, "be text", value)
            return None
        try:
            return read(value)
        except OrderValidationError as error:
            self.texts.append(str(error))
            return None


def _shown(value: object) -> str:
    """Show a value within bounds; one whose repr raises is told by its type."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a stranger's object
        return f"a {type(value).__name__}"
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"


def validate_signal(
    signal: TradingSignal,
    strategy: StrategyContext,
    operator_id: str,
    today: date | None = None,
) -> TradeRequest:
    """Turn a signal into a request that is well formed.

    ``today`` is the date at the exchange; when given, an option that expired before it is refused.
    Raises `OrderValidationError` whose text lists every fault: field, rule, value.
    """
    faults = _Faults()
    action = faults.attempt("action", OrderAction.parse, signal.action)
    order_type = faults.attempt("order_type", OrderType.parse, signal.order_type)
    time_in_force = faults.attempt("time_in_force", _parse_time_in_force, signal.time_in_force)
    symbol = _check_symbol(faults, signal.symbol)
    quantity = _check_quantity(faults, signal.quantity)
    prices = _check_prices(faults, signal, order_type)
    right = _check_option(faults, signal, today)
    strength = _check_range(faults, "signal_strength", signal.signal_strength, 0.0, 1.0)
    terms = _check_strategy(faults, strategy)
    _check_timestamp(faults, signal.timestamp)
    _check_trading_class(faults, signal)
    _check_words(faults, operator_id, signal, strategy)
    if faults.texts or action is None or order_type is None or time_in_force is None:
        raise OrderValidationError("; ".join(faults.texts))
    return TradeRequest(
        symbol=symbol,
        action=action,
        quantity=quantity,
        order_type=order_type,
        limit_price=prices["limit_price"],
        stop_price=prices["stop_price"],
        expiry=signal.expiry,
        strike=None if signal.strike is None else float(signal.strike),
        right=right,
        time_in_force=time_in_force,
        signal_strength=strength,
        strategy_id=strategy.strategy_id,
        strategy_name=strategy.strategy_name,
        risk_per_trade=terms["risk_per_trade"] or 0.0,
        take_profit_pct=terms["take_profit_pct"],
        stop_loss_pct=terms["stop_loss_pct"],
        operator_id=operator_id,
        timestamp=signal.timestamp,
        trading_class=getattr(signal, "trading_class", None) or None,
    )


def _check_trading_class(faults: _Faults, signal: TradingSignal) -> None:
    """A strategy's own signal may have no such field."""
    found = getattr(signal, "trading_class", None)
    if found is not None and not (isinstance(found, str) and _TRADING_CLASS.fullmatch(found)):
        faults.add("trading_class", "be a root such as SPXW, or None", found)


def request_fault(request: TradeRequest) -> OrderValidationError | None:
    """Check the numbers of a request that did not come through `validate_signal`; None when they are sound.

    A close may be of a fraction, since such positions exist.
    """
    faults = _Faults()
    _check_number(faults, "quantity", request.quantity, MAX_QUANTITY)
    _check_prices(faults, request, request.order_type)
    return OrderValidationError("; ".join(faults.texts)) if faults.texts else None


def validate_modification(
    request: TradeRequest,
    *,
    quantity: float | None = None,
    limit_price: float | None = None,
    stop_price: float | None = None,
) -> TradeRequest:
    """Apply the given changes to a request, or raise `OrderValidationError` with every fault; no change is a fault."""
    faults = _Faults()
    changes: dict[str, float] = {}
    if quantity is not None:
        changes["quantity"] = _check_quantity(faults, quantity)
    for name, price in (("limit_price", limit_price), ("stop_price", stop_price)):
        if price is None:
            continue
        if name not in _PRICES_BY_TYPE[request.order_type]:
            faults.add(name, f"be left out of a {request.order_type} order", price)
        changes[name] = _check_number(faults, name, price, MAX_PRICE)
    if not changes:
        faults.texts.append("a modification must change quantity, limit_price or stop_price")
    if faults.texts:
        raise OrderValidationError("; ".join(faults.texts))
    return attrs.evolve(
        request,
        quantity=changes.get("quantity", request.quantity),
        limit_price=changes.get("limit_price", request.limit_price),
        stop_price=changes.get("stop_price", request.stop_price),
    )


def contract_query(request: TradeRequest) -> ContractQuery:
    """Describe the contract of a validated request, for the broker to find exactly one."""
    if request.expiry is None:
        return ContractQuery(symbol=request.symbol, trading_class=request.trading_class)
    return ContractQuery(
        symbol=request.symbol,
        security_type=SecurityType.OPTION,
        expiry=parse_expiry(request.expiry),
        strike=request.strike,
        right=request.right,
        trading_class=request.trading_class,
    )


def query_of(contract: Contract) -> ContractQuery:
    """Describe a contract that is known by its id, to learn where it trades and when."""
    return ContractQuery(
        symbol=contract.symbol, security_type=contract.security_type, con_id=contract.con_id
    )


def option_query(symbol: str, expiry: str, strike: float, right: str) -> ContractQuery:
    """Describe one option by what a caller says; raise `OrderValidationError` whose text lists every fault."""
    faults = _Faults()
    name = _check_symbol(faults, symbol)
    day = faults.attempt("expiry", parse_expiry, expiry)
    price = _check_number(faults, "strike", strike, MAX_PRICE)
    side = faults.attempt("right", Right.parse, right)
    if faults.texts:
        raise OrderValidationError("; ".join(faults.texts))
    return ContractQuery(
        symbol=name, security_type=SecurityType.OPTION, expiry=day, strike=price, right=side
    )


def parse_expiry(text: str) -> date:
    """Read a date as YYYYMMDD; raise `OrderValidationError` when it is not one, or does not exist."""
    try:
        if _EXPIRY.fullmatch(text):
            return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except (TypeError, ValueError):
        pass  # The refusal below says it all.
    raise OrderValidationError(f"expiry must be a real date as YYYYMMDD (was {_shown(text)})")


def _check_symbol(faults: _Faults, symbol: object) -> str:
    cleaned = symbol.strip().upper() if isinstance(symbol, str) else ""
    if not _SYMBOL.fullmatch(cleaned):
        faults.add("symbol", "be 1 to 16 letters, digits, blanks, '.', '/' or '-'", symbol)
    return cleaned


def _check_number(faults: _Faults, field: str, value: object, maximum: float) -> float:
    """Read a finite number in (0, maximum]; NaN stands for one that is at fault."""
    number = _number(value)
    if number is None or not 0.0 < number <= maximum:
        faults.add(field, f"be a number > 0 and at most {maximum:g}", value)
        return math.nan
    return number


def _number(value: object) -> float | None:
    """Read a finite real number; a bool is none, although Python counts with it."""
    if type(value) is not float and (isinstance(value, bool) or not isinstance(value, Real)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _check_quantity(faults: _Faults, value: object) -> float:
    number = _check_number(faults, "quantity", value, MAX_QUANTITY)
    if math.isfinite(number) and not number.is_integer():
        faults.add("quantity", "be a whole number", value)
    return number


def _check_prices(
    faults: _Faults, signal: TradingSignal | TradeRequest, order_type: OrderType | None
) -> dict[str, float | None]:
    prices: dict[str, float | None] = {"limit_price": None, "stop_price": None}
    for field in prices:
        value = getattr(signal, field)
        if value is not None:
            prices[field] = _check_number(faults, field, value, MAX_PRICE)
        if order_type is None:
            continue
        needed = field in _PRICES_BY_TYPE[order_type]
        if needed and value is None:
            faults.add(field, f"be given for a {order_type} order", value)
        if value is not None and not needed:
            faults.add(field, f"be left out of a {order_type} order", value)
    return prices


def _check_option(faults: _Faults, signal: TradingSignal, today: date | None) -> Right | None:
    """Check the three fields that describe an option: all of them, or none."""
    missing = [name for name in _OPTION_FIELDS if getattr(signal, name) is None]
    if len(missing) == len(_OPTION_FIELDS):
        return None
    if missing:
        faults.texts.append(
            f"expiry, strike and right must be given together ({', '.join(missing)} missing)"
        )
    right = None
    if signal.right is not None:
        right = faults.attempt("right", Right.parse, signal.right)
    if signal.strike is not None:
        _check_number(faults, "strike", signal.strike, MAX_PRICE)
    if signal.expiry is not None:
        expiry = faults.attempt("expiry", parse_expiry, signal.expiry)
        if expiry is not None and today is not None and expiry < today:
            faults.add("expiry", f"not lie before today, {today:%Y%m%d}", signal.expiry)
    return right


def _check_range(faults: _Faults, field: str, value: object, low: float, high: float) -> float:
    number = _number(value)
    if number is None or not low <= number <= high:
        faults.add(field, f"be a number from {low:g} to {high:g}", value)
        return math.nan
    return number


def _check_words(
    faults: _Faults, operator_id: object, signal: TradingSignal, strategy: StrategyContext
) -> None:
    faults.attempt("operator_id", checked_operator_id, operator_id)
    known: object = strategy.strategy_id
    if not isinstance(known, str) or not known.strip():
        faults.add("strategy_context.strategy_id", "be given", known)
    elif signal.strategy_id not in ("", known):
        faults.add("strategy_id", f"be that of the context, {known!r}", signal.strategy_id)


def checked_operator_id(operator_id: str) -> str:
    """Read the operator's id, which has to fit on every order; raise `OrderValidationError`."""
    if not operator_id.strip():
        raise OrderValidationError("operator_id must not be empty: it stands on every order")
    if not _OPERATOR_ID.fullmatch(operator_id):
        raise OrderValidationError(
            f"operator_id must be 1 to {MAX_OPERATOR_ID_CHARS} letters, digits, '_', '.' or '-'"
            f" (was {_shown(operator_id)})"
        )
    return operator_id


def checked_symbol(symbol: str) -> str:
    """Read a symbol in any case; raise `OrderValidationError` for what can be none."""
    faults = _Faults()
    cleaned = _check_symbol(faults, symbol)
    if faults.texts:
        raise OrderValidationError("; ".join(faults.texts))
    return cleaned


def _check_strategy(faults: _Faults, strategy: StrategyContext) -> dict[str, float | None]:
    terms: dict[str, float | None] = {
        "risk_per_trade": _check_number(faults, "risk_per_trade", strategy.risk_per_trade, 1.0)
    }
    for field, maximum in (("stop_loss_pct", 1.0), ("take_profit_pct", MAX_TAKE_PROFIT_RATIO)):
        value = getattr(strategy, field)
        terms[field] = None if value is None else _check_number(faults, field, value, maximum)
    return terms


def _check_timestamp(faults: _Faults, timestamp: object) -> None:
    if timestamp is None:
        return
    if not isinstance(timestamp, datetime):
        faults.add("timestamp", "be a datetime", timestamp)
    elif timestamp.utcoffset() is None:
        faults.add("timestamp", "carry a time zone, such as UTC", timestamp)


def _parse_time_in_force(text: str) -> TimeInForce:
    try:
        return TimeInForce(text.strip().upper())
    except ValueError:
        known = ", ".join(TimeInForce)
        raise OrderValidationError(
            f"time_in_force must be one of {known} (was {_shown(text)})"
        ) from None
