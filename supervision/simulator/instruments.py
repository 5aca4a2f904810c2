"""What an instrument is, and how a request describes one."""

from __future__ import annotations

import attrs

from .fields import Fields


@attrs.frozen(kw_only=True)
class Contract:
    """One listed instrument; `expiry` is YYYYMMDD, `right` C or P, both empty for a stock."""

    con_id: int
    symbol: str
    sec_type: str = "STK"
    expiry: str = ""
    strike: float = 0.0
    right: str = ""
    multiplier: str = ""
    exchange: str = "SMART"
    primary_exchange: str = "NASDAQ"
    currency: str = "USD"
    local_symbol: str = ""
    trading_class: str = ""
    long_name: str = ""
    under_con_id: int = 0
    min_tick: float = 0.01
    base_price: float = 100.0

    @property
    def is_option(self) -> bool:
        """Whether this has a strike and a right: an option, an option on a future, a warrant."""
        return self.sec_type in ("OPT", "FOP", "WAR")

    @property
    def is_future(self) -> bool:
        """Whether this is a future: its gains are booked in cash, its value is not."""
        return self.sec_type == "FUT"

    @property
    def is_routed(self) -> bool:
        """Whether the router, SMART, takes it; anything else is ordered at the exchange that lists it."""
        return self.sec_type in ("STK", "OPT")

    @property
    def trades_around_the_clock(self) -> bool:
        """Whether it trades outside the liquid hours, too."""
        return self.sec_type in ("FUT", "FOP")

    @property
    def is_tradable(self) -> bool:
        """Whether it can be ordered here; bonds, currencies and the like are only held."""
        return self.is_routed or self.is_option or self.is_future

    @property
    def factor(self) -> float:
        """How many units of money one point of price is worth."""
        return float(self.multiplier) if self.multiplier else 1.0


@attrs.frozen(kw_only=True)
class ContractQuery:
    """The twelve contract fields of a request; empty fields match everything."""

    con_id: int = 0
    symbol: str = ""
    sec_type: str = ""
    expiry: str = ""
    strike: float = 0.0
    right: str = ""
    multiplier: str = ""
    exchange: str = ""
    primary_exchange: str = ""
    currency: str = ""
    local_symbol: str = ""
    trading_class: str = ""

    @classmethod
    def read(cls, fields: Fields) -> ContractQuery:
        """Read the contract of a request."""
        return cls(
            con_id=fields.integer(),
            symbol=fields.text(),
            sec_type=fields.text().upper(),
            expiry=fields.text(),
            strike=fields.decimal() or 0.0,
            right={"CALL": "C", "PUT": "P"}.get(right := fields.text().upper(), right),
            multiplier=fields.text(),
            exchange=fields.text().upper(),
            primary_exchange=fields.text().upper(),
            currency=fields.text().upper(),
            local_symbol=fields.text(),
            trading_class=fields.text(),
        )
