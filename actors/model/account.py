"""The account and the positions in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

import attrs

from actors.model.contracts import Contract
from actors.model.orders import CloseReason


@attrs.frozen(kw_only=True)
class Mark:
    """What the broker says that one unit of a holding is worth, multiplier included, in the contract's currency."""

    unit_value: float
    at: datetime


def _read_only_rates(given: Mapping[str, float]) -> Mapping[str, float]:
    return MappingProxyType(dict(given))


def _read_only_marks(given: Mapping[int, Mark]) -> Mapping[int, Mark]:
    return MappingProxyType(dict(given))


@attrs.frozen(kw_only=True)
class Account:
    """The account's numbers in its base currency, ``currency``; one that the broker has not told is None (GW-6).

    ``exchange_rates``: what one unit of another currency is worth in it, as far as the broker says. ``marks``: how the
    broker values what is held, by con_id.
    """

    account_id: str
    net_liquidation: float | None = None
    cash: float | None = None
    available_funds: float | None = None
    buying_power: float | None = None
    realized_pnl: float | None = None
    unrealized_pnl: float | None = None
    updated_at: datetime | None = None
    currency: str | None = None
    exchange_rates: Mapping[str, float] = attrs.field(
        factory=dict[str, float], converter=_read_only_rates, hash=False
    )
    marks: Mapping[int, Mark] = attrs.field(
        factory=dict[int, Mark], converter=_read_only_marks, hash=False
    )

    def rate_of(self, currency: str) -> float | None:
        """What one unit of ``currency`` is worth in the account's own; None where the broker does not say."""
        return 1.0 if currency == self.currency else self.exchange_rates.get(currency)


@attrs.frozen(kw_only=True)
class Holding:
    """A position as the broker tells it. ``average_cost`` is per unit and includes multiplier and commission.

    NaN: the broker does not say, as of a holding whose instrument data is missing; the quantity counts all the same.
    """

    account: str
    contract: Contract
    quantity: float
    average_cost: float

    @property
    def known_cost(self) -> float:
        """The average cost, 0 where nobody knows it, so that sums stay numbers."""
        return 0.0 if math.isnan(self.average_cost) else self.average_cost


@attrs.frozen(kw_only=True)
class Position:
    """A position as the product reports it (POS-1). What needs an unknown price is None, never 0.

    ``unrealized_pnl`` is in the contract's currency; ``unrealized_pnl_pct`` a ratio of the cost: -0.4 is minus 40 %
    (POS-8).
    """

    position_id: str
    symbol: str
    quantity: float
    entry_price: float | None
    current_price: float | None
    unrealized_pnl: float | None
    unrealized_pnl_pct: float | None
    days_to_expiry: int | None
    contract: Contract
    should_close_3_dte: bool = False
    should_close_emergency: bool = False
    closure_trigger: CloseReason | None = None
    valued_by: str = ""
    """By what ``current_price`` was found, or "unsure: …" and why there is none (RULES 6)."""
    is_cached: bool = False
