"""The sample strategy: a momentum breakout, to show the road of an order. It is an example, not advice.

Buys when the fast EMA is above the slow one, the RSI lies from 50 to 65, the price is above the VWAP, and something was
traded at all. Everything it needs has to be there and fresh: a missing value is a reason against, never a guess.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from actors.model.market import MarketData
from actors.model.orders import OrderAction, OrderType, TradingSignal

STRATEGY_ID: Final = "momentum_breakout"
RSI_LOW: Final = 50.0
RSI_HIGH: Final = 65.0
_NEEDED: Final = ("last_price", "volume", "ema_fast", "ema_slow", "rsi", "vwap")


@attrs.frozen(kw_only=True)
class Decision:
    """A signal, or every reason why there is none."""

    signal: TradingSignal | None
    reasons_against: tuple[str, ...] = ()


def decide(data: MarketData, now: datetime, quantity: float = 10.0) -> Decision:
    """Look for a breakout in ``data``; the signal is a market order for ``quantity`` units."""
    reasons = _reasons_against(data)
    if reasons:
        return Decision(signal=None, reasons_against=reasons)
    signal = TradingSignal(
        symbol=data.symbol,
        action=OrderAction.BUY,
        quantity=quantity,
        order_type=OrderType.MARKET,
        signal_strength=_strength(data),
        strategy_id=STRATEGY_ID,
        timestamp=now,
    )
    return Decision(signal=signal)


def _reasons_against(data: MarketData) -> tuple[str, ...]:
    reasons = []
    if data.is_stale:
        reasons.append(f"the data is stale ({data.staleness_seconds:.0f} s)")
    price, volume, fast, slow, rsi, vwap = (getattr(data, name) for name in _NEEDED)
    if volume is None:
        reasons.append("nothing was traded (volume 0)")
    missing = [name for name in _NEEDED if getattr(data, name) is None and name != "volume"]
    if missing:
        reasons.append(f"missing: {', '.join(missing)}")
        return tuple(reasons)
    if not fast > slow:
        reasons.append(f"the fast EMA ({fast:.2f}) is not above the slow one ({slow:.2f})")
    if not RSI_LOW <= rsi <= RSI_HIGH:
        reasons.append(f"the RSI ({rsi:.1f}) is outside {RSI_LOW:g} to {RSI_HIGH:g}")
    if not price > vwap:
        reasons.append(f"the price ({price:.2f}) is not above the VWAP ({vwap:.2f})")
    return tuple(reasons)


def _strength(data: MarketData) -> float:
    """How far the RSI is from its upper bound, from 0 to 1: the earlier in the move, the stronger."""
    rsi = RSI_HIGH if data.rsi is None else data.rsi
    return round((RSI_HIGH - rsi) / (RSI_HIGH - RSI_LOW), 3)
