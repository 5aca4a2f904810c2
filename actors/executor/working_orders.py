"""The orders that can still fill, ours and those of others, as risk has to count them (RSK-6)."""

from __future__ import annotations

from collections.abc import Iterable

from actors import messages as m
from actors.executor.record import OrderRecord, signed_remaining
from actors.logic import order_ids
from actors.model.orders import BrokerOrder, Purpose


def working_orders(records: Iterable[OrderRecord]) -> tuple[m.WorkingOrder, ...]:
    """The orders that can still fill, as risk has to count them."""
    found = (as_working(record) for record in records)
    return tuple(order for order in found if order.signed_remaining)


def as_working(record: OrderRecord) -> m.WorkingOrder:
    """Describe one order as risk has to count it; ``signed_remaining`` is 0 once it is settled."""
    order = record.order
    return m.WorkingOrder(
        order_ref=order.order_ref,
        contract=order.contract,
        signed_remaining=signed_remaining(record),
        price=order.limit_price if order.limit_price is not None else order.stop_price,
        purpose=order.purpose,
    )


def foreign_working(orders: Iterable[BrokerOrder]) -> tuple[m.WorkingOrder, ...]:
    """Describe live orders of others as risk has to count them; those without contract or side cannot be."""
    return tuple(
        m.WorkingOrder(
            order_ref=order_ids.foreign_reference(order.perm_id),
            contract=order.contract,
            signed_remaining=order.action.sign * _left(order),
            price=order.limit_price if order.limit_price is not None else order.stop_price,
            purpose=Purpose.OPEN,
        )
        for order in orders
        if order.contract is not None and order.action is not None and _left(order) > 0
    )


def _left(order: BrokerOrder) -> float:
    if order.remaining is not None:
        return order.remaining
    return max(0.0, (order.quantity or 0.0) - (order.filled or 0.0))
