"""The order that closes a position: a market order of the opposite side for all of it (RSK-4)."""

from __future__ import annotations

from actors import messages as m
from actors.model.contracts import Contract
from actors.model.orders import (
    CloseReason,
    OrderAction,
    OrderType,
    Purpose,
    TradeRequest,
    WaitFor,
)


def close_order(
    contract: Contract,
    held: float,
    reason: CloseReason,
    operator_id: str,
    *,
    correlation_id: str,
    deadline: float,
    reply_to: str,
    wait_for: WaitFor = WaitFor.FILL,
    rests: bool = False,
    limit_price: float | None = None,
    over_pending: bool = False,
) -> m.SubmitOrder:
    """Make the request that closes ``held`` units (negative for a short position) of ``contract``.

    ``wait_for`` ACK leaves it at the broker when it is not filled at once, as it has to be where the market is closed;
    ``rests`` leaves what is not filled by the deadline. Without ``limit_price`` it is a market order.
    ``over_pending`` closes over orders that can still fill, as a person has said.
    """
    return m.SubmitOrder(
        correlation_id=correlation_id,
        deadline=deadline,
        reply_to=reply_to,
        request=TradeRequest(
            symbol=contract.symbol,
            action=OrderAction.SELL if held > 0 else OrderAction.BUY,
            quantity=abs(held),
            order_type=OrderType.MARKET if limit_price is None else OrderType.LIMIT,
            limit_price=limit_price,
            expiry=contract.expiry.strftime("%Y%m%d") if contract.expiry else None,
            strike=contract.strike,
            right=contract.right,
            operator_id=operator_id,
            strategy_id=reason.value,
        ),
        purpose=Purpose.CLOSE,
        wait_for=wait_for,
        rests=rests,
        over_pending=over_pending,
        contract=contract,
        close_reason=reason,
    )
