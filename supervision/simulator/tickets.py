"""Checks on an order before it is taken, with the answers a gateway gives."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from . import codes
from .account import AccountBook, Position
from .config import SimulatorConfig
from .contracts import Universe
from .instruments import Contract
from .market import Market
from .orders import Order, OrderTicket

ORDER_TYPES = frozenset({"MKT", "LMT", "STP", "STP LMT", "TRAIL"})
TIMES_IN_FORCE = frozenset({"DAY", "GTC", "IOC", "FOK"})
_ACTIONS = frozenset({"BUY", "SELL", "SSHORT"})
_SECURITY_TYPES = frozenset(
    ["STK", "OPT", "FUT", "CASH", "IND", "FOP", "BOND", "CFD", "CMDTY", "WAR", "FUND", "CRYPTO", ""]
)
_STOCK_MARGIN = 0.25
_FUTURE_MARGIN = 0.08


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not a failure
    """An order or request is refused with an error code; the text defaults to the recorded one."""

    def __init__(self, code: int, text: str | None = None) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


def _invalid(cause: str) -> Refusal:
    return Refusal(codes.BAD_REQUEST, codes.validation(cause))


def resolve(found: tuple[Contract, ...], symbol: str) -> Contract:
    """The one contract that was meant; raises `Refusal` (200) when there is none or several."""
    if not found:
        raise Refusal(codes.NO_DEFINITION)
    if len(found) > 1:
        text = f"The contract description specified for {symbol} is ambiguous."
        raise Refusal(codes.NO_DEFINITION, text)
    return found[0]


def check_security_type(sec_type: str) -> None:
    """Raise `Refusal` (321) for a security type that does not exist."""
    if sec_type not in _SECURITY_TYPES:
        raise _invalid("Please enter a valid security type")


def check_ticket(
    ticket: OrderTicket, config: SimulatorConfig, universe: Universe, today: dt.date
) -> tuple[Contract, str]:
    """Check a new order; returns its contract and account, raises `Refusal`."""
    check_security_type(ticket.query.sec_type)
    if not ticket.query.exchange:
        raise _invalid("Missing order exchange")
    contract = resolve(universe.find(ticket.query, today), ticket.query.symbol)
    if not contract.is_tradable:
        raise _invalid(f"Orders for {contract.sec_type} are not supported here")
    if ticket.action not in _ACTIONS:
        raise _invalid("Please enter a valid action")
    if ticket.order_type not in ORDER_TYPES:
        raise _invalid("Invalid order type was entered")
    if ticket.tif not in TIMES_IN_FORCE:
        raise _invalid("Invalid time in force")
    _check_numbers(ticket, contract)
    return contract, _check_account(ticket.account, config.managed_accounts)


def _check_numbers(ticket: OrderTicket, contract: Contract) -> None:
    if ticket.quantity <= 0:
        raise _invalid("Order quantity must be greater than zero")
    if ticket.quantity != int(ticket.quantity):
        raise Refusal(codes.FRACTIONAL)
    if "LMT" in ticket.order_type and not ticket.limit_price:
        raise _invalid("Limit price is required")
    if "STP" in ticket.order_type and not ticket.stop_price:
        raise _invalid("Stop price is required")
    if ticket.order_type == "TRAIL" and not (ticket.stop_price or ticket.trailing_percent):
        raise _invalid("Trailing amount is required")
    for price in (ticket.limit_price, ticket.stop_price):
        if price is None:
            continue
        ticks = price / contract.min_tick
        if price < 0 or abs(ticks - round(ticks)) > 1e-6:
            raise Refusal(codes.PRICE_VARIATION)


def _check_account(account: str, managed: tuple[str, ...]) -> str:
    if len(managed) == 1:
        return managed[0]
    if not account:
        raise _invalid("You must specify an account.")
    if account not in managed:
        raise Refusal(codes.ORDER_REJECTED, codes.rejection("Invalid account number."))
    return account


def check_modification(order: Order, ticket: OrderTicket) -> None:
    """Check a modification of a working order; raises `Refusal`."""
    if ticket.order_type != order.order_type:
        raise Refusal(codes.CANNOT_CHANGE_TYPE)
    action = "SELL" if ticket.action == "SSHORT" else ticket.action
    query = ticket.query
    same_contract = query.con_id in (0, order.contract.con_id) and query.symbol in (
        "",
        order.contract.symbol,
    )
    if ticket.oca_group != order.oca_group:
        raise Refusal(codes.OCA_REVISION)
    if action != order.action or not same_contract:
        raise Refusal(codes.DOES_NOT_MATCH)
    if ticket.tif not in TIMES_IN_FORCE:
        raise _invalid("Invalid time in force")
    _check_numbers(ticket, order.contract)
    if ticket.quantity <= order.filled:
        raise Refusal(codes.CANNOT_MODIFY_FILLED)


def net_liquidation(book: AccountBook, market: Market) -> float:
    """Cash and the market value of all positions, USD; of a future only what it has gained."""
    return book.cash + sum(
        (market_value(held.contract, held.quantity, market) or 0.0) - _not_paid(held)
        for held in book.positions.values()
        if held.quantity
    )


def _not_paid(held: Position) -> float:
    return held.quantity * held.avg_cost if held.contract.is_future else 0.0


def market_value(contract: Contract, quantity: float, market: Market) -> float | None:
    """What a holding is worth now; `None` without a price."""
    mark = market.quote(contract).mark
    return None if mark is None else quantity * mark * contract.factor


def requirement(contract: Contract, quantity: float, market: Market) -> float:
    """The margin a holding needs: all of a long option, a quarter of a stock."""
    value = abs(market_value(contract, quantity, market) or 0.0)
    if not contract.is_option:
        return (_FUTURE_MARGIN if contract.is_future else _STOCK_MARGIN) * value
    if quantity >= 0:
        return value
    return value + 0.1 * abs(quantity) * contract.strike * contract.factor


def total_requirement(book: AccountBook, market: Market) -> float:
    """The margin all positions need, USD."""
    return sum(
        requirement(held.contract, held.quantity, market)
        for held in book.positions.values()
        if held.quantity
    )


def margins(
    order: Order,
    book: AccountBook,
    market: Market,
    commission: Callable[[Contract, float], float],
) -> tuple[tuple[float, ...], str | None]:
    """The nine what-if values, and why the order is unaffordable (`None` when it is not)."""
    held = book.positions.get(order.contract.con_id)
    quantity = held.quantity if held is not None else 0.0
    after = quantity + order.sign * order.quantity
    equity = net_liquidation(book, market)
    before_margin = total_requirement(book, market)
    change = requirement(order.contract, after, market) - requirement(
        order.contract, quantity, market
    )
    cost = commission(order.contract, order.quantity)
    values = (
        before_margin,
        before_margin * 0.9,
        equity,
        change,
        change * 0.9,
        -cost,
        before_margin + change,
        (before_margin + change) * 0.9,
        equity - cost,
    )
    reduces = abs(after) < abs(quantity)
    needed = before_margin + change
    if reduces or equity - cost >= needed:
        return tuple(round(value, 2) for value in values), None
    text = (
        "YOUR ORDER IS NOT ACCEPTED. IN ORDER TO OBTAIN THE DESIRED POSITION YOUR EQUITY WITH LOAN "
        f"VALUE [{equity:.2f} USD] MUST EXCEED THE INITIAL MARGIN [{needed:.2f} USD]"
    )
    return tuple(round(value, 2) for value in values), text
