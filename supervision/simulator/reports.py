"""Messages about orders and executions, field by field as a real gateway sends them.

The layouts are data: a name for each field that varies, its recorded value for each that does not.
"""

from __future__ import annotations

import datetime as dt

from .calendar import stamp
from .fields import UNSET_DOUBLE, UNSET_INTEGER, flag, number, size
from .instruments import Contract
from .orders import Execution, Order

_LONG_LAYOUT_FROM = 158
_USUAL_OCA_TYPE = 3
"""What a gateway says of an order that named no type."""

# In a layout "=x" is the literal x, "" an empty field, anything else the name of a value.
_UNSET = "=" + UNSET_DOUBLE
_NO_INT = "=" + UNSET_INTEGER
_OPEN_ORDER = (
    "order_id con_id symbol sec_type expiry strike right multiplier exchange currency local_symbol "
    "trading_class action quantity order_type limit_price stop_price tif oca_group account "
    "open_close =0 order_ref client_id perm_id outside_rth =0 =0 _ allocation _ _ _ _ _ _ _ _ _ "
    f"=0 _ =-1 =0 _ _ _ _ _ {_NO_INT} =0 =0 =0 _ oca_type =0 =0 _ parent_id =0 _ =0 =None _ "
    "=0 _ _ _ =? =0 =0 _ =0 =0 trail_level trail_percent "
    f"_ _ _ =0 =0 =0 {_NO_INT} {_NO_INT} _ _ =0 _ =IB =0 =0 _ =0 what_if status "
    "margin_1 margin_2 margin_3 margin_4 margin_5 margin_6 margin_7 margin_8 margin_9 "
    f"commission _ _ commission_currency warning =0 =0 =0 =None {_UNSET} trail_stop {_UNSET} "
    f"{_UNSET} {_UNSET} {_UNSET} =0 _ _ _ =0 =1 =0 =0 =0"
).split()
_OPEN_ORDER_TAIL = ["_", "_", "=0", "_", "_", "_", "_", "_"]
_COMPLETED_ORDER = (
    "con_id symbol sec_type expiry strike right multiplier exchange currency local_symbol "
    "trading_class action quantity order_type limit_price stop_price tif oca_group account "
    "open_close =0 order_ref perm_id outside_rth =0 =0 _ _ _ _ _ _ _ _ _ _ =0 _ =-1 _ _ _ _ _ "
    f"{_NO_INT} =0 =0 _ oca_type =0 _ =0 =None _ =0 =0 =0 _ =0 =0 _ _ _ =0 =0 =0 {_NO_INT} {_NO_INT} _ _ _ =IB =0 "
    f"=0 _ =0 status =0 =0 =0 trail_stop {_UNSET} =0 =1 =0 _ filled {_NO_INT} =0 _ =0 =0 "
    "=9223372036854775807 completed_time completed_status"
).split()
_COMPLETED_ORDER_TAIL = ["_", "_", "_", "_", "_"]


def _fill(layout: list[str], values: dict[str, str]) -> list[str]:
    return ["" if slot == "_" else slot[1:] if slot[0] == "=" else values[slot] for slot in layout]


def _order_values(order: Order) -> dict[str, str]:
    contract = order.contract
    limit = order.limit_price
    return {
        "order_id": str(order.order_id),
        "con_id": str(contract.con_id),
        "symbol": contract.symbol,
        "sec_type": contract.sec_type,
        "expiry": contract.expiry,
        "strike": number(contract.strike) if contract.is_option else "0",
        "right": contract.right or "?",
        "multiplier": contract.multiplier,
        "exchange": contract.exchange,
        "currency": contract.currency,
        "local_symbol": contract.local_symbol,
        "trading_class": contract.trading_class,
        "action": order.action,
        "quantity": size(order.quantity),
        "order_type": order.order_type,
        "limit_price": number(limit or 0.0),
        "stop_price": number(order.stop_price or 0.0),
        "tif": order.tif,
        "oca_group": order.oca_group,
        "oca_type": str(order.oca_type or _USUAL_OCA_TYPE),
        "account": order.account,
        "open_close": order.open_close,
        "order_ref": order.order_ref,
        "client_id": str(order.client_id),
        "perm_id": str(order.perm_id),
        "outside_rth": flag(order.outside_rth),
        "allocation": f"{order.perm_id}.{order.modifications}/{order.account}/{size(order.quantity)}",
        "parent_id": str(order.parent_id),
        "status": order.status,
        "filled": size(order.filled),
        "trail_stop": _trail_stop(order),
        "trail_level": "" if order.trail_stop is None else number(order.trail_stop),
        "trail_percent": "" if order.trailing_percent is None else number(order.trailing_percent),
    }


def _trail_stop(order: Order) -> str:
    """The stop of a trailing order; a limit order is told with a price beside its limit, others with none."""
    if order.trail_stop is not None:
        return number(order.trail_stop)
    return UNSET_DOUBLE if order.limit_price is None else number(order.limit_price + 1)


def open_order(
    order: Order,
    version: int,
    *,
    margins: tuple[float, ...] | None = None,
    warning: str = "",
    order_id: int | None = None,
) -> list[str]:
    """Message 5. `margins` are the nine what-if values; `order_id` replaces the order's own."""
    values = _order_values(order)
    if order_id is not None:
        values["order_id"] = str(order_id)
    for index in range(9):
        values[f"margin_{index + 1}"] = number(margins[index] if margins else None)
    known = order.commission is not None
    values["what_if"] = flag(margins is not None)
    values["commission"] = number(order.commission) if known else ""
    values["commission_currency"] = order.contract.currency if known else ""
    values["warning"] = warning
    fields = ["5", *_fill(_OPEN_ORDER, values)]
    if version >= _LONG_LAYOUT_FROM:
        fields += _fill(_OPEN_ORDER_TAIL, values)
    return fields


def order_status(order: Order, *, order_id: int | None = None) -> list[str]:
    """Message 3."""
    never_left = order.status == "ApiCancelled"
    return [
        "3",
        str(order.order_id if order_id is None else order_id),
        order.status,
        size(order.filled),
        size(order.remaining),
        UNSET_DOUBLE if never_left else size(order.avg_fill_price),
        str(order.perm_id),
        str(order.parent_id),
        UNSET_DOUBLE if never_left else size(order.last_fill_price),
        str(order.client_id),
        order.why_held,
        UNSET_DOUBLE if never_left else "0",
    ]


def completed_order(order: Order, version: int) -> list[str]:
    """Message 101."""
    values = _order_values(order)
    values["right"] = order.contract.right
    values["completed_time"] = order.completed_at
    values["completed_status"] = order.completed_status
    fields = ["101", *_fill(_COMPLETED_ORDER, values)]
    if version >= _LONG_LAYOUT_FROM:
        fields += _fill(_COMPLETED_ORDER_TAIL, values)
    return fields


def execution_data(
    execution: Execution, request_id: int, *, order_id: int | None = None
) -> list[str]:
    """Message 11; `request_id` is −1 for a live fill."""
    contract = execution.contract
    return [
        "11",
        str(request_id),
        str(execution.order_id if order_id is None else order_id),
        str(contract.con_id),
        contract.symbol,
        contract.sec_type,
        contract.expiry,
        number(contract.strike),
        contract.right,
        contract.multiplier,
        contract.exchange,
        contract.currency,
        contract.local_symbol,
        contract.trading_class,
        execution.exec_id,
        stamp(execution.time),
        execution.account,
        venue(contract),
        execution.side,
        size(execution.quantity),
        size(execution.price),
        str(execution.perm_id),
        str(execution.client_id),
        "0",
        size(execution.cumulative),
        size(execution.average_price),
        execution.order_ref,
        "",
        "",
        "",
        "2",
    ]


def commission_report(execution: Execution) -> list[str]:
    """Message 59."""
    return [
        "59",
        "1",
        execution.exec_id,
        size(execution.commission),
        execution.contract.currency,
        number(execution.realized_pnl),
        UNSET_DOUBLE,
        "",
    ]


def venue(contract: Contract) -> str:
    """Where a trade in `contract` takes place."""
    return contract.primary_exchange or "CBOE"


def completed_time(moment: dt.datetime) -> str:
    """The time of completion as message 101 carries it."""
    return stamp(moment)
