"""Orders on the wire. Only an instance of `OrderSender` can write one, and in dry run there is none (MODE-1)."""

# mypy: disable-error-code="no-untyped-call"
# ib_insync's methods have no annotations.

from __future__ import annotations

from functools import lru_cache
from typing import Final

from ib_insync.contract import Contract as IbContract
from ib_insync.order import Order as IbOrder

from actors.link.client import SessionClient
from actors.model.contracts import Contract, SecurityType
from actors.model.orders import WireOrder

_DEFAULTS: Final = vars(IbOrder(transmit=True, outsideRth=False))


class OrderSender:
    """Writes orders and cancels. The order gate decides before; here is no judgement."""

    def place(self, client: SessionClient, broker_order_id: int, order: WireOrder) -> None:
        """Write a new order, or the new terms of the order that has this id."""
        client.placeOrder(broker_order_id, ib_contract(order.contract), _ib_order(order))

    def cancel(self, client: SessionClient, broker_order_id: int) -> None:
        """Write the cancel of one order of this client id."""
        client.cancelOrder(broker_order_id)

    def cancel_all(self, client: SessionClient) -> None:
        """Write the cancel of every order of the account, whoever placed it."""
        client.reqGlobalCancel()


def _ib_order(order: WireOrder) -> IbOrder:
    """Fill in what is ours over the library's defaults; making its dataclass from scratch takes four times as long."""
    made = IbOrder.__new__(IbOrder)
    vars(made).update(_DEFAULTS)
    quantity = order.quantity
    made.action = order.action.value
    made.totalQuantity = int(quantity) if quantity == int(quantity) else quantity
    made.orderType = order.order_type.value
    if order.limit_price is not None:
        made.lmtPrice = order.limit_price
    if order.stop_price is not None:
        made.auxPrice = order.stop_price
    made.tif = order.time_in_force.value
    made.account = order.account
    made.orderRef = order.order_ref
    made.extOperator = order.operator_id
    return made


@lru_cache(maxsize=1024)
def ib_contract(contract: Contract) -> IbContract:
    """Turn a qualified contract into the library's; remembered, and never changed by us."""
    option = contract.security_type is SecurityType.OPTION
    return IbContract(
        conId=contract.con_id,
        symbol=contract.symbol,
        secType=contract.security_type.value,
        lastTradeDateOrContractMonth=f"{contract.expiry:%Y%m%d}" if contract.expiry else "",
        strike=contract.strike or 0.0,
        right=contract.right.value if contract.right else "",
        multiplier=f"{contract.multiplier:g}" if option else "",
        exchange=contract.exchange,
        primaryExchange=contract.primary_exchange,
        currency=contract.currency,
        localSymbol=contract.local_symbol,
        tradingClass=contract.trading_class,
    )
