"""What an order says, in the same words on our side and in the simulator's ledger."""

from __future__ import annotations

from actors.model.orders import OrderType, WireOrder
from supervision.simulator import LedgerEntry

Content = tuple[str, str, float | None, str, float | None, float | None, int]
"""Reference, action, quantity, type, limit price, stop price and contract."""

TYPES = {OrderType.MARKET: "MKT", OrderType.LIMIT: "LMT", OrderType.STOP: "STP"}


def content_of(order: WireOrder) -> Content:
    """Tell what an order of ours says."""
    return (
        order.order_ref,
        order.action.value,
        order.quantity,
        TYPES[order.order_type],
        order.limit_price,
        order.stop_price,
        order.contract.con_id,
    )


def content_received(entry: LedgerEntry) -> Content:
    """Tell what an order in the ledger says."""
    return (
        entry.order_ref,
        entry.action,
        entry.quantity,
        entry.order_type,
        entry.limit_price if entry.order_type == "LMT" else None,
        entry.stop_price if entry.order_type == "STP" else None,
        entry.con_id,
    )
