"""What a published quote looks like to another program (MKT-9); docs/publishing.md says the same in words. Pure.

Every field is a text. Names end in their unit; a price is in the contract's ``currency``, a size in shares or
contracts. An empty text means that the value is not known.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from actors.model.contracts import Contract, SecurityType
from actors.model.market import Quote

SCHEMA: Final = "1"
"""Rises when a field changes its meaning or goes; new fields may come at any time."""


@attrs.frozen(kw_only=True)
class Entry:
    """A quote on its way out. ``sequence`` counts the updates of one publisher from 1, so that a gap shows a loss."""

    sequence: int
    name: str
    quote: Quote


def name_of(contract: Contract) -> str:
    """Name a contract in keys: SPY, or SPY_20260320_600C for an option."""
    if contract.security_type is not SecurityType.OPTION:
        return contract.symbol
    expiry = contract.expiry.strftime("%Y%m%d") if contract.expiry else ""
    right = contract.right.value if contract.right else ""
    return f"{contract.symbol}_{expiry}_{contract.strike or 0:g}{right}"


def fields_of(entry: Entry, publisher: str) -> dict[str, str]:
    """Write an entry as the fields of a hash or of a stream's entry."""
    quote, contract = entry.quote, entry.quote.contract
    return {
        "schema": SCHEMA,
        "publisher": publisher,
        "sequence": str(entry.sequence),
        "name": entry.name,
        "symbol": contract.symbol,
        "con_id": str(contract.con_id),
        "security_type": contract.security_type.value,
        "currency": contract.currency,
        "source": quote.source.value,
        "data_type": quote.data_type.name.lower(),
        "is_halted": "1" if quote.halted else "0",
        "received_at_ms": _ms(quote.received_at),
        "traded_at_ms": _ms(quote.traded_at),
        "bid_price": _number(quote.bid),
        "ask_price": _number(quote.ask),
        "last_price": _number(quote.last),
        "open_price": _number(quote.open),
        "high_price": _number(quote.high),
        "low_price": _number(quote.low),
        "previous_close_price": _number(quote.close),
        "bid_size_units": _number(quote.bid_size),
        "ask_size_units": _number(quote.ask_size),
        "last_size_units": _number(quote.last_size),
        "volume_units": _number(quote.volume),
        "implied_volatility_ratio": _number(quote.implied_volatility),
    }


def _number(value: float | None) -> str:
    """Write the shortest text that reads back as the same number."""
    return "" if value is None else repr(float(value)).removesuffix(".0")


def _ms(at: datetime | None) -> str:
    return "" if at is None else str(round(at.timestamp() * 1000))
