"""Orders on the wire. Only an instance of `OrderSender` can write one, and in dry run there is none (MODE-1).

An order has 115 fields, of which 11 are ours and 12 its contract's. The library's `placeOrder` runs once per server
version, with marks in the places of ours; each order then fills those places. The bytes are the library's (a test
compares them), for a fraction of the time.
"""

# mypy: disable-error-code="no-untyped-call"
# ib_insync's methods have no annotations.

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from ib_insync.client import Client
from ib_insync.contract import Contract as IbContract
from ib_insync.order import Order as IbOrder

from actors.errors import GatewayError
from actors.link.client import NULS_IN_CONTRACT, SessionClient, encode_field
from actors.logic.closable import trades_all_hours
from actors.model.contracts import Contract, SecurityType
from actors.model.orders import WireOrder

_MARKED: Final = (
    "action",
    "totalQuantity",
    "orderType",
    "lmtPrice",
    "auxPrice",
    "tif",
    "account",
    "orderRef",
    "extOperator",
)
_ORDER_ID: Final = "<orderId>"
_OUTSIDE: Final = "<outsideRth>"
_LONGER_FOR: Final = "IBKRATS"
"""The one exchange for which the library writes one field more."""


class OrderSender:
    """Writes orders and cancels. The order gate decides before; here is no judgement."""

    def place(self, client: SessionClient, broker_order_id: int, order: WireOrder) -> None:
        """Write a new order, or the new terms of the order that has this id."""
        client.sendMsg(_form(client.serverVersion()).fill(broker_order_id, order))

    def cancel(self, client: SessionClient, broker_order_id: int) -> None:
        """Write the cancel of one order of this client id."""
        client.cancelOrder(broker_order_id)

    def cancel_all(self, client: SessionClient) -> None:
        """Write the cancel of every order of the account, whoever placed it."""
        client.reqGlobalCancel()


class _Recorder(Client):
    """Keeps the fields that the library would send."""

    def __init__(self, version: int) -> None:
        super().__init__(object())
        self._serverVersion = version
        self.recorded: tuple[Any, ...] = ()

    def send(self, *fields: Any, **_: Any) -> None:
        self.recorded = fields


class _Form:
    """The fields of an order at one server version, with ours left open."""

    def __init__(self, version: int) -> None:
        recorder = _Recorder(version)
        contract = IbContract(secType="STK", exchange="SMART")
        order = IbOrder(transmit=True, outsideRth=_OUTSIDE)  # type: ignore[arg-type] # a mark
        for name in _MARKED:
            setattr(order, name, f"<{name}>")
        recorder.placeOrder(_ORDER_ID, contract, order)
        fields = recorder.recorded
        self._parts = [*map(encode_field, fields), ""]
        self._nuls = len(fields) + NULS_IN_CONTRACT
        self._contract = next(at for at, field in enumerate(fields) if field is contract)
        self._places = tuple(fields.index(f"<{name}>") for name in ("orderId", *_MARKED))
        self._outside = fields.index(_OUTSIDE)

    def fill(self, broker_order_id: int, order: WireOrder) -> str:
        """Write the order's message; raises `GatewayError` when a text would shift its fields."""
        parts = self._parts.copy()
        quantity, limit, stop = order.quantity, order.limit_price, order.stop_price
        parts[self._contract] = _contract_fields(order.contract)
        for place, value in zip(
            self._places,
            (
                str(broker_order_id),
                order.action.value,
                str(int(quantity) if quantity == int(quantity) else quantity),
                order.order_type.value,
                "" if limit is None else str(limit),
                "" if stop is None else str(stop),
                order.time_in_force.value,
                order.account,
                order.order_ref,
                order.operator_id,
            ),
            strict=True,
        ):
            parts[place] = value
        # In regular hours a future's order is not changed by it; outside them it would not work without it (assumed).
        parts[self._outside] = "1" if trades_all_hours(order.contract.security_type) else "0"
        text = "\0".join(parts)
        if text.count("\0") != self._nuls or order.contract.exchange == _LONGER_FOR:
            raise GatewayError(f"the order {order.order_ref!r} does not fit its message")
        return text


@lru_cache(maxsize=32)
def _form(version: int) -> _Form:
    return _Form(version)


@lru_cache(maxsize=1024)
def _contract_fields(contract: Contract) -> str:
    return encode_field(ib_contract(contract))


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
