"""The account's values as IB sends them: rows of key, value and currency, one number of ours per key; and marks."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from actors.link.translation import known
from actors.model.account import Account, Mark

BASE: Final = "BASE"
_KEYS: Final = {
    "NetLiquidation": "net_liquidation",
    "TotalCashValue": "cash",
    "AvailableFunds": "available_funds",
    "BuyingPower": "buying_power",
    "RealizedPnL": "realized_pnl",
    "UnrealizedPnL": "unrealized_pnl",
}
_RATE: Final = "ExchangeRate"
_MAX_ROWS: Final = 256
_MAX_MARKS: Final = 5_000


class AccountValues:
    """Collects the rows of one account."""

    def __init__(self, account_id: str) -> None:
        self.account_id = account_id
        self._rows: dict[tuple[str, str], float | None] = {}
        self._marks: dict[int, Mark] = {}

    def take(self, key: str, value: str, currency: str, account_id: str) -> bool:
        """Keep a row; True when it changes a number of ours. Raises ValueError when that is not a number."""
        if account_id != self.account_id or (key not in _KEYS and key != _RATE):
            return False
        number = known(float(value)) if value else None
        row = (key, currency)
        if row not in self._rows and len(self._rows) >= _MAX_ROWS:
            return False
        changed = row not in self._rows or self._rows[row] != number
        self._rows[row] = number
        return changed

    def mark(self, con_id: int, quantity: float, value: float, at: datetime) -> bool:
        """Keep how the broker values a holding; True when that says something about what is held.

        By the holding's whole value, which is in the currency and includes the multiplier, whatever the price's unit
        (assumed).
        """
        worth = known(value)
        if con_id <= 0 or not known(quantity) or worth is None:
            return self._marks.pop(con_id, None) is not None
        if con_id not in self._marks and len(self._marks) >= _MAX_MARKS:
            return False
        self._marks[con_id] = Mark(unit_value=worth / quantity, at=at)
        return True

    def account(self, at: datetime) -> Account:
        """Read the numbers in the account's base currency: that of its net liquidation."""
        base = next((row[1] for row in self._rows if row[0] == "NetLiquidation"), "")
        numbers = {field: self._number(key, base) for key, field in _KEYS.items()}
        return Account(
            account_id=self.account_id,
            updated_at=at,
            currency=base or None,
            exchange_rates=self._rates(),
            marks=self._marks,
            **numbers,
        )

    def _rates(self) -> dict[str, float]:
        return {
            currency: rate
            for (key, currency), rate in self._rows.items()
            if key == _RATE and currency != BASE and rate is not None and rate > 0.0
        }

    def _number(self, key: str, base: str) -> float | None:
        for currency in (BASE, base):
            if (key, currency) in self._rows:
                return self._rows[key, currency]
        return None
