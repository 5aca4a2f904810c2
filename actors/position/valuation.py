"""What a position is worth: what it could be dealt at now (D21, RULES 6). Pure.

========================  ======================================================================================
closable side             bid for a long, ask for a short, where the spread is narrow
last trade                where it is young and lies within bid and ask
model price               clamped to bid and ask, where the underlying has a price
unsure                    everything else: told, and no stop acts on it
========================  ======================================================================================

Two-sided quotes are needed. ``far`` is the side that flatters the position: where even that shows the emergency loss,
the loss is real, however wide the spread.
"""

from __future__ import annotations

import math
from datetime import datetime
from enum import StrEnum
from typing import Final

import attrs

from actors.model.account import Holding
from actors.model.market import Quote
from actors.sections.positions import Positions

_HAIR: Final = 1e-9


class Basis(StrEnum):
    """By what a position is valued."""

    CLOSABLE_SIDE = "closable side"
    LAST_TRADE = "last trade"
    MODEL_PRICE = "model price"
    UNSURE = "unsure"


@attrs.frozen(kw_only=True)
class Valued:
    """A price per unit as it is quoted, and by what; None where nobody knows, and ``why``."""

    price: float | None = None
    basis: Basis = Basis.UNSURE
    far: float | None = None
    why: str = ""


def value(holding: Holding, quote: Quote | None, now: datetime, settings: Positions) -> Valued:
    """Value a position by its newest quote; ``now`` in UTC."""
    if quote is None:
        return Valued(why="there is no quote")
    bid, ask = _positive(quote.bid), _positive(quote.ask)
    if bid is None or ask is None:
        return Valued(why="there is no bid" if bid is None else "there is no ask")
    if ask < bid:
        return Valued(why="bid and ask are crossed")
    near, far = (bid, ask) if holding.quantity > 0 else (ask, bid)
    if _is_narrow(bid, ask, holding.contract.min_tick, settings):
        return Valued(price=near, basis=Basis.CLOSABLE_SIDE, far=far)
    last = _young_last(quote, bid, ask, now, settings)
    if last is not None:
        return Valued(price=last, basis=Basis.LAST_TRADE, far=far)
    model = _positive(quote.model_price)
    if model is not None and _positive(quote.underlying_price) is not None:
        return Valued(price=min(max(model, bid), ask), basis=Basis.MODEL_PRICE, far=far)
    return Valued(far=far, why=f"the spread is wide ({bid:g} to {ask:g})")


def _is_narrow(bid: float, ask: float, tick: float, settings: Positions) -> bool:
    spread = ask - bid
    middle = (bid + ask) / 2.0
    narrow = max(settings.narrow_spread_ratio * middle, settings.narrow_spread_ticks * tick)
    return spread <= narrow + _HAIR


def _young_last(
    quote: Quote, bid: float, ask: float, now: datetime, settings: Positions
) -> float | None:
    last = _positive(quote.last)
    if last is None or quote.traded_at is None or not bid <= last <= ask:
        return None
    age_s = (now - quote.traded_at).total_seconds()
    return last if age_s <= settings.last_trade_max_age_s else None


def _positive(price: float | None) -> float | None:
    """A price that the broker does not have comes as 0, −1 or NaN."""
    if price is None or not math.isfinite(price) or price <= 0.0:
        return None
    return price
