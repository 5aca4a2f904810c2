"""An order with what follows from it: what the rules of opening orders look at (RSK-1, RSK-6).

Orders in flight count as if they had filled, on the side where that is worse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from actors.model.contracts import Contract
from actors.model.market import Quote
from actors.model.orders import OrderAction, WireOrder
from actors.risk import exposure
from actors.risk.exposure import Ledger
from actors.risk.limits import RiskInputs
from actors.sections.risk import Risk


@attrs.frozen(kw_only=True)
class Case:
    """An order with what follows from it: its price per unit, and the ledger before and after it.

    ``quantity`` is the largest position that is possible after it; ``added`` by how much it raises the largest one of
    its own side, so that what turns a position round counts with what lies beyond zero. In units.
    """

    inputs: RiskInputs
    limits: Risk
    price: float | None
    before: Ledger
    after: Ledger
    quantity: float
    added: float

    @property
    def order(self) -> WireOrder:
        """The order that is judged."""
        return self.inputs.order

    @property
    def contract(self) -> Contract:
        """Its contract."""
        return self.inputs.order.contract

    @property
    def net_liquidation(self) -> float | None:
        """What the account is worth, or None."""
        account = self.inputs.account
        return None if account is None else account.net_liquidation

    def rate_of(self, currency: str) -> float:
        """What a unit of a currency is worth in the account's; NaN where nobody says (`currency_known` tells)."""
        account = self.inputs.account
        rate = 1.0 if account is None else account.rate_of(currency)
        return math.nan if rate is None else rate

    def worth(self, contract: Contract) -> float:
        """What a contract at a price of 1 is worth in the account's currency."""
        return contract.value_of_a_point * self.rate_of(contract.currency)


Finding = tuple[str | None, Mapping[str, float]]
"""The reason against the order, or None, and the numbers that were looked at."""

Rule = Callable[[Case], Finding]

FINE: Final[Finding] = (None, {})


def order_price(order: WireOrder, quote: Quote | None) -> float | None:
    """The price per unit to reckon with: the order's own, else the side of the quote it would meet, else its last."""
    own = order.limit_price if order.limit_price is not None else order.stop_price
    if own is not None:
        return own
    if quote is None:
        return None
    side = quote.ask if order.action is OrderAction.BUY else quote.bid
    return quote.price if side is None else side


def case_of(inputs: RiskInputs, limits: Risk) -> Case:
    """Work out what follows from an order."""
    price = order_price(inputs.order, inputs.quote)
    order = exposure.reservation(inputs.ledger, inputs.order, price)
    before = exposure.settle(inputs.ledger, inputs.order.order_ref)
    after = exposure.reserve(inputs.ledger, order)
    con_id, action = inputs.order.contract.con_id, inputs.order.action
    return Case(
        inputs=inputs,
        limits=limits,
        price=price,
        before=before,
        after=after,
        quantity=exposure.worst_case_quantity(after, con_id),
        added=max(
            0.0, exposure.reach(after, con_id, action) - exposure.reach(before, con_id, action)
        ),
    )
