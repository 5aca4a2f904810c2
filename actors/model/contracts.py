"""Contracts: what can be traded, as described by a caller and as qualified by the broker."""

from __future__ import annotations

from datetime import date
from enum import StrEnum

import attrs

from actors.errors import OrderValidationError


class SecurityType(StrEnum):
    """The kinds of contract that an account may hold, by IB's names; OTHER for one that IB has added since.

    What is opened, what is only closed, and what is named for a hand: `actors.logic.closable`. Every position is
    reported and counted, so that nobody calls the account flat.
    """

    STOCK = "STK"
    OPTION = "OPT"
    FUTURE = "FUT"
    FUTURE_OPTION = "FOP"
    WARRANT = "WAR"
    BOND = "BOND"
    CURRENCY = "CASH"
    COMMODITY = "CMDTY"
    COMBINATION = "BAG"
    FUND = "FUND"
    CFD = "CFD"
    CRYPTO = "CRYPTO"
    INDEX = "IND"
    OTHER = "OTHER"

    @classmethod
    def from_ib(cls, text: str) -> SecurityType:
        """Read IB's name of a kind; whatever is not known is OTHER."""
        try:
            return cls(text)
        except ValueError:
            return cls.OTHER

    @property
    def has_strike(self) -> bool:
        """Whether contracts of this kind have a strike and a right."""
        return self in _WITH_STRIKE


_WITH_STRIKE = frozenset({SecurityType.OPTION, SecurityType.FUTURE_OPTION, SecurityType.WARRANT})


class Right(StrEnum):
    """The right of an option."""

    CALL = "C"
    PUT = "P"

    @classmethod
    def parse(cls, text: str) -> Right:
        """Read ``C``, ``P``, ``CALL`` or ``PUT`` in any case; raise `OrderValidationError` for the rest."""
        try:
            return _RIGHTS[text.strip().upper()]
        except KeyError:
            raise OrderValidationError(
                f"right must be C, P, CALL or PUT (was {text!r:.100}); leave it out for a stock"
            ) from None


_RIGHTS = {"C": Right.CALL, "CALL": Right.CALL, "P": Right.PUT, "PUT": Right.PUT}


@attrs.frozen(kw_only=True)
class ContractQuery:
    """What a caller knows of a contract; the broker turns it into exactly one `Contract` or it is refused.

    ``con_id`` alone is enough where it is known, as that of a position is.
    """

    symbol: str
    con_id: int | None = None
    security_type: SecurityType = SecurityType.STOCK
    expiry: date | None = None
    strike: float | None = None
    right: Right | None = None
    exchange: str = "SMART"
    currency: str = "USD"
    trading_class: str | None = None

    def __str__(self) -> str:
        return _words(self)


@attrs.frozen(kw_only=True)
class Contract:
    """A contract that the broker knows by ``con_id`` (always > 0): the only kind that reaches an order."""

    con_id: int = attrs.field(validator=attrs.validators.gt(0))
    symbol: str
    security_type: SecurityType
    exchange: str = "SMART"
    primary_exchange: str = ""
    currency: str = "USD"
    local_symbol: str = ""
    trading_class: str = ""
    expiry: date | None = None
    strike: float | None = None
    right: Right | None = None
    multiplier: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))
    price_magnifier: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))
    """What a quoted price is divided by to be in ``currency``: 100 where pence are quoted and pounds are paid."""
    min_tick: float = 0.01
    time_zone: str = "US/Eastern"
    trading_hours: str = ""
    liquid_hours: str = ""

    @property
    def value_of_a_point(self) -> float:
        """What one unit is worth in ``currency`` at a quoted price of 1."""
        return self.multiplier / self.price_magnifier

    @property
    def position_id(self) -> str:
        """The id under which a position in this contract is known: ``SYMBOL_conId``."""
        return f"{self.symbol}_{self.con_id}"

    def __str__(self) -> str:
        return _words(self)


def _words(contract: ContractQuery | Contract) -> str:
    """Name a contract for people: ``SPY``, ``ES 20261218``, ``SPY 20261218 600C``."""
    kind = contract.security_type
    if not kind.has_strike and kind is not SecurityType.FUTURE:
        return contract.symbol
    expiry = contract.expiry.strftime("%Y%m%d") if contract.expiry else "?"
    if not kind.has_strike:
        return f"{contract.symbol} {expiry}"
    return f"{contract.symbol} {expiry} {contract.strike or 0:g}{contract.right or '?'}"
