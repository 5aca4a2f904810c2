"""What the broker's report of an order says about it, for whoever has to count orders that are not his own."""

from __future__ import annotations

from actors.logic.order_table import BrokerStatus, status_of
from actors.model.orders import BrokerOrder

_AT_END = frozenset({BrokerStatus.CANCELLED, BrokerStatus.FILLED, BrokerStatus.INACTIVE})


def is_in_account(order: BrokerOrder, account: str) -> bool:
    """Tell whether an order is of this account, as far as the broker says."""
    return order.account in ("", account)


def is_working(order: BrokerOrder) -> bool:
    """Tell whether the broker's status leaves an order alive; a status that does not exist does."""
    return status_of(order.status, order.why_held) not in _AT_END
