"""Cash and positions, computed from executions alone.

Average cost includes multiplier and commission, as IB reports it; the realised result of a closing
trade is its price difference less the commissions of both sides. A future costs nothing: its result comes into the cash
when it is closed.
"""

from __future__ import annotations

import attrs

from .instruments import Contract
from .orders import Execution


@attrs.frozen(kw_only=True)
class Position:
    """A holding; `quantity` is negative when short, `avg_cost` is per unit with multiplier."""

    account: str
    contract: Contract
    quantity: float
    avg_cost: float
    realized_pnl: float = 0.0


class AccountBook:
    """The books of one account."""

    def __init__(self, account: str, cash: float) -> None:
        self.account = account
        self.opening_cash = cash
        self.cash = cash
        self.realized_pnl = 0.0
        self.positions: dict[int, Position] = {}

    def reset(self) -> None:
        """Go back to the opening balance."""
        self.cash = self.opening_cash
        self.realized_pnl = 0.0
        self.positions.clear()

    def apply(self, execution: Execution) -> float | None:
        """Book an execution; returns the realised result, or `None` when it only opened."""
        contract = execution.contract
        held = self.positions.get(contract.con_id) or Position(
            account=self.account, contract=contract, quantity=0.0, avg_cost=0.0
        )
        traded = execution.signed_quantity
        unit = execution.price * contract.factor
        if not contract.is_future:
            self.cash -= traded * unit + execution.commission
        closed = min(abs(traded), abs(held.quantity)) if held.quantity * traded < 0 else 0.0
        opened = abs(traded) - closed
        realized: float | None = None
        if closed:
            sign = 1.0 if held.quantity > 0 else -1.0
            share = execution.commission * closed / abs(traded)
            realized = sign * closed * (unit - held.avg_cost) - share
            self.realized_pnl += realized
            self.cash += realized if contract.is_future else 0.0
        self.positions[contract.con_id] = attrs.evolve(
            held,
            quantity=round(held.quantity + traded, 8),
            avg_cost=_average_cost(held, execution, opened, closed, unit),
            realized_pnl=held.realized_pnl + (realized or 0.0),
        )
        return realized


def _average_cost(
    held: Position, execution: Execution, opened: float, closed: float, unit: float
) -> float:
    if not opened:
        return held.avg_cost if abs(held.quantity) > closed else 0.0
    sign = 1.0 if execution.signed_quantity > 0 else -1.0
    share = execution.commission * opened / execution.quantity
    kept = abs(held.quantity) - closed
    return (kept * held.avg_cost + opened * unit + sign * share) / (kept + opened)
