"""Prices on the contract's tick: a binary residue never reaches the wire, a price between ticks is refused (ORD-12)."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import attrs

from actors.errors import OrderValidationError
from actors.model.contracts import Contract
from actors.model.orders import TradeRequest

RESIDUE: Final = 1e-9
"""0.1 + 0.2 is off by 4e-17; a price that is further off than this is another price."""


def snapped(price: float, tick: float) -> float | None:
    """Give the price that stands on the tick within the residue, written as shortly as the tick is; None: none does."""
    step = Decimal(repr(tick))
    steps = round(Decimal(repr(price)) / step)
    nearest = float(steps * step)
    return nearest if abs(nearest - price) <= RESIDUE else None


def on_tick(request: TradeRequest, contract: Contract) -> TradeRequest:
    """Put the prices of a request on the contract's tick.

    Raises `OrderValidationError` that names the field, the tick, and the two prices next to it.
    """
    limit = _on_tick("limit_price", request.limit_price, contract)
    stop = _on_tick("stop_price", request.stop_price, contract)
    if (limit, stop) == (request.limit_price, request.stop_price):
        return request
    return attrs.evolve(request, limit_price=limit, stop_price=stop)


def _on_tick(name: str, price: float | None, contract: Contract) -> float | None:
    if price is None:
        return None
    tick = contract.min_tick
    found = snapped(price, tick)
    if found is not None:
        return found
    step = Decimal(repr(tick))
    below = (Decimal(repr(price)) // step) * step
    raise OrderValidationError(
        f"{name} must be a multiple of {tick:g}, the tick of {contract}: {float(below):.10g} or"
        f" {float(below + step):.10g} (was {price!r})"
    )
