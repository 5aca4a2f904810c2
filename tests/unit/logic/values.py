"""Values that the tests of the logic are made of: each maker names what matters and defaults the rest."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import attrs

from actors.executor.record import OrderRecord, new_record
from actors.logic.order_table import OrderState
from actors.model.account import Account, Holding
from actors.model.connection import BrokerState
from actors.model.contracts import Contract, Right, SecurityType
from actors.model.market import Pace, Quote
from actors.model.orders import (
    BrokerOrder,
    Execution,
    OrderAction,
    OrderType,
    Purpose,
    TradeRequest,
    WireOrder,
)

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
"""A Monday, ten o'clock in New York."""

MONOTONIC = 1_000.0
"""What the monotonic clock says then, in seconds."""

LATER = NOW + timedelta(seconds=1)
REF = "CSATSPRIM:ORD_20260302_150000_0001_aa"
SPY = Contract(con_id=756733, symbol="SPY", security_type=SecurityType.STOCK)
QQQ = Contract(con_id=320227571, symbol="QQQ", security_type=SecurityType.STOCK)
SPY_CALL = Contract(
    con_id=900001,
    symbol="SPY",
    security_type=SecurityType.OPTION,
    expiry=date(2026, 3, 20),
    strike=600.0,
    right=Right.CALL,
    multiplier=100.0,
)


def wire_order(quantity: float = 100.0, **changes: Any) -> WireOrder:
    """An order to buy SPY at a limit of 600."""
    fields: dict[str, Any] = {
        "order_ref": REF,
        "contract": SPY,
        "action": OrderAction.BUY,
        "quantity": quantity,
        "order_type": OrderType.LIMIT,
        "limit_price": 600.0,
        "account": "DU1",
        "operator_id": "CSATSPRIM",
        "purpose": Purpose.OPEN,
    }
    return WireOrder(**(fields | changes))


def market_order(quantity: float = 100.0, **changes: Any) -> WireOrder:
    """An order to buy SPY at the market."""
    return wire_order(quantity, order_type=OrderType.MARKET, limit_price=None, **changes)


def closing_order(quantity: float, contract: Contract = SPY, **changes: Any) -> WireOrder:
    """An order that sells what is held."""
    fields = {"action": OrderAction.SELL, "purpose": Purpose.CLOSE, "contract": contract}
    return market_order(quantity, **(fields | changes))


def trade_request(order: WireOrder, **changes: Any) -> TradeRequest:
    """The request behind an order."""
    request = TradeRequest(
        symbol=order.contract.symbol,
        action=order.action,
        quantity=order.quantity,
        order_type=order.order_type,
        limit_price=order.limit_price,
        stop_price=order.stop_price,
    )
    return attrs.evolve(request, **changes)


def record(
    state: OrderState = OrderState.SENT, quantity: float = 100.0, **changes: Any
) -> OrderRecord:
    """The record of an order in this state."""
    order = wire_order(quantity, **changes)
    made = new_record(order, trade_request(order), order.order_ref.partition(":")[2], NOW)
    return attrs.evolve(made, state=state)


def told(status: str, **changes: Any) -> BrokerOrder:
    """What the broker says of the order; without terms, as in an orderStatus."""
    fields: dict[str, Any] = {
        "order_id": 7,
        "client_id": 1,
        "perm_id": 70,
        "order_ref": REF,
        "contract": None,
        "action": None,
        "quantity": None,
        "order_type": "",
        "limit_price": None,
        "stop_price": None,
        "status": status,
    }
    return BrokerOrder(**(fields | changes))


def told_whole(status: str, quantity: float = 100.0, **changes: Any) -> BrokerOrder:
    """What the broker says of the order with its terms, as in an openOrder."""
    terms: dict[str, Any] = {
        "contract": SPY,
        "action": OrderAction.BUY,
        "quantity": quantity,
        "order_type": "LMT",
        "limit_price": 600.0,
        "account": "DU1",
    }
    return told(status, **(terms | changes))


def execution(
    quantity: float, exec_id: str = "0001.aa.01", price: float = 600.0, **changes: Any
) -> Execution:
    """One execution of the order."""
    fields: dict[str, Any] = {
        "exec_id": exec_id,
        "contract": SPY,
        "order_id": 7,
        "client_id": 1,
        "perm_id": 70,
        "order_ref": REF,
        "account": "DU1",
        "action": OrderAction.BUY,
        "quantity": quantity,
        "price": price,
        "executed_at": NOW,
    }
    return Execution(**(fields | changes))


def holding(quantity: float, contract: Contract = SPY, average_cost: float = 600.0) -> Holding:
    """A position as the broker tells it."""
    return Holding(account="DU1", contract=contract, quantity=quantity, average_cost=average_cost)


def quote(contract: Contract = SPY, **changes: Any) -> Quote:
    """A live quote of now, around 600."""
    fields: dict[str, Any] = {
        "contract": contract,
        "received_at": NOW,
        "bid": 599.9,
        "ask": 600.1,
        "last": 600.0,
        "volume": 1_000.0,
        "traded_at": NOW,
        "pace": Pace(changed_at=MONOTONIC),
    }
    return Quote(**(fields | changes))


def account(net_liquidation: float | None = 100_000.0, **changes: Any) -> Account:
    """An account with funds."""
    fields: dict[str, Any] = {
        "account_id": "DU1",
        "net_liquidation": net_liquidation,
        "available_funds": 100_000.0,
        "buying_power": 400_000.0,
        "currency": "USD",
    }
    return Account(**(fields | changes))


def broker_state(**changes: Any) -> BrokerState:
    """The broker's state, read a second after `NOW`."""
    fields: dict[str, Any] = {
        "read_at": LATER,
        "holdings": (),
        "open_orders": (),
        "completed_orders": (),
        "executions": (),
        "account": account(),
    }
    return BrokerState(**(fields | changes))
