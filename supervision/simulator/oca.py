"""One-cancels-all groups: what a fill of one order does to the others of its group.

=====  ==========================================================================================
type   a fill of one member
=====  ==========================================================================================
0      nothing until it is filled, then the others are cancelled
1      the others are cancelled, even by a partial fill
2, 3   the others are reduced in proportion; by the last fill they are cancelled
=====  ==========================================================================================

The blocks of types 1 and 2, by which only one member is at the exchange at a time, make no difference here: fills come
one after the other. Source: TWS_WIRE, protective orders.
"""

from __future__ import annotations

from typing import Final

from .orders import Order

CANCEL: Final = 1
REDUCE: Final = frozenset({2, 3})


def is_together(order: Order, other: Order) -> bool:
    """Whether another order belongs to the same group, or to the same parent."""
    if other is order or other.client_id != order.client_id:
        return False
    in_group = order.oca_group != "" and other.oca_group == order.oca_group
    return in_group or (order.parent_id != 0 and other.parent_id == order.parent_id)


def quantity_after(order: Order, filled: float, other: Order) -> float:
    """What is left of the other order's quantity when ``filled`` more units of ``order`` have just been filled."""
    if order.status == "Filled" or order.oca_type == CANCEL:
        return other.filled
    if order.oca_type not in REDUCE or not other.oca_group:
        return other.quantity
    kept = order.remaining / (order.remaining + filled)
    return other.filled + round(other.remaining * kept)
