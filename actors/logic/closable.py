"""What an account may hold, and what of it is closed by an order of ours (STC-9).

====================================================  ==========================================================
stocks, options, futures, options on futures,         closed by our orders, in whole units; the fraction is named
warrants
bonds, currencies, combinations, commodities, funds,  never ordered: named for a hand, and they hold up nothing
CFDs, crypto currencies, indices and whatever is new
====================================================  ==========================================================

A kind of contract that IB adds one day is read as `SecurityType.OTHER`, which is for a hand too. Only stocks and
options are ever opened. Source: TWS_WIRE (fractions: code 10243; a combination's own execution; currencies without a
position).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import attrs

from actors.model.contracts import Contract, SecurityType

SMART: Final = "SMART"
"""IB's router, which finds the exchange."""

_SAME: Final = 1e-6
"""Quantities that differ by less are one: IB counts in ten-thousandths of a unit, sums of floats leave a residue."""


@attrs.frozen(kw_only=True)
class Kind:
    """What is done with one kind of contract. ``name`` is its plural in a sentence.

    ``is_smart``: orders go to IB's router, "SMART"; the others only to an exchange that lists the contract.
    ``trades_all_hours``: our orders work in all trading hours (outsideRth), not in the liquid ones alone.
    """

    name: str
    closes: bool = False
    opens: bool = False
    is_smart: bool = False
    trades_all_hours: bool = False


KINDS: Final[Mapping[SecurityType, Kind]] = MappingProxyType(
    {
        SecurityType.STOCK: Kind(name="stocks", closes=True, opens=True, is_smart=True),
        SecurityType.OPTION: Kind(name="options", closes=True, opens=True, is_smart=True),
        SecurityType.FUTURE: Kind(name="futures", closes=True, trades_all_hours=True),
        SecurityType.FUTURE_OPTION: Kind(
            name="options on futures", closes=True, trades_all_hours=True
        ),
        SecurityType.WARRANT: Kind(name="warrants", closes=True),
        SecurityType.BOND: Kind(name="bonds"),
        SecurityType.CURRENCY: Kind(name="currencies"),
        SecurityType.COMMODITY: Kind(name="commodities"),
        SecurityType.COMBINATION: Kind(name="combinations"),
        SecurityType.FUND: Kind(name="funds"),
        SecurityType.CFD: Kind(name="contracts for difference"),
        SecurityType.CRYPTO: Kind(name="crypto currencies"),
        SecurityType.INDEX: Kind(name="indices"),
        SecurityType.OTHER: Kind(name="contracts of an unknown kind"),
    }
)
"""Every kind that there is (a test walks them)."""


class Units(NamedTuple):
    """A position's quantity in two: what can be ordered, and the rest. Both have the position's sign."""

    orderable: float
    fraction: float


def is_closable(kind: SecurityType) -> bool:
    """Tell whether an order of ours closes a position of this kind."""
    return KINDS[kind].closes


def is_openable(kind: SecurityType) -> bool:
    """Tell whether an order of ours may open a position of this kind."""
    return KINDS[kind].opens


def is_smart(kind: SecurityType) -> bool:
    """Tell whether contracts of this kind are looked up, quoted and ordered by way of IB's router."""
    return KINDS[kind].is_smart


def trades_all_hours(kind: SecurityType) -> bool:
    """Tell whether our orders for this kind work outside the liquid hours too."""
    return KINDS[kind].trades_all_hours


def why_by_hand(contract: Contract) -> str | None:
    """Say why a position in ``contract`` is left to a hand; None where an order of ours closes it."""
    kind = KINDS[contract.security_type]
    return None if kind.closes else f"{kind.name} are not ordered here: close it by hand"


def whole_units(quantity: float) -> Units:
    """Split a position's quantity (negative: short) into whole units and the fraction that IB refuses to be sent.

    10.5 is 10 and 0.5, −10.5 is −10 and −0.5; 9.9999999 is 10 and 0. Raises ValueError unless it is finite.
    """
    if not math.isfinite(quantity):
        raise ValueError(f"quantity must be a finite number (was {quantity})")
    nearest = round(quantity)
    whole = float(nearest if abs(quantity - nearest) < _SAME else math.trunc(quantity))
    fraction = quantity - whole
    return Units(whole, fraction if abs(fraction) >= _SAME else 0.0)
