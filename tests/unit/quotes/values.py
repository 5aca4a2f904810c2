"""Quotes and readings for tests of the view."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from actors.model.contracts import Contract, SecurityType
from actors.model.market import BarGap, IndicatorReading, Indicators, Pace, Quote

NOW = datetime(2026, 3, 6, 15, 0, tzinfo=UTC)
MONOTONIC = 10_000.0
ALWAYS = "20260306:0000-20260306:2359"
INDICATORS = Indicators(
    ema_fast=600.25,
    ema_slow=599.75,
    rsi=57.26,
    vwap=600.01,
    bollinger_upper=601.5,
    bollinger_middle=600.0,
    bollinger_lower=598.5,
)


def a_contract(symbol: str = "SPY", hours: str = ALWAYS) -> Contract:
    """Make a stock that trades all day."""
    return Contract(
        con_id=1,
        symbol=symbol,
        security_type=SecurityType.STOCK,
        time_zone="US/Eastern",
        liquid_hours=hours,
    )


def a_quote(symbol: str = "SPY", age_s: float = 0.0, hours: str = ALWAYS, **fields: Any) -> Quote:
    """Make a live quote that is so old."""
    values: dict[str, Any] = {"bid": 600.0, "ask": 600.02, "last": 600.01, "volume": 1e6} | fields
    return Quote(
        contract=a_contract(symbol, hours),
        received_at=NOW - timedelta(seconds=age_s),
        pace=Pace(changed_at=MONOTONIC - age_s),
        **values,
    )


def a_reading(symbol: str = "SPY", **fields: Any) -> IndicatorReading:
    """Make a reading of this minute."""
    values: dict[str, Any] = {"indicators": INDICATORS, "as_of": NOW} | fields
    return IndicatorReading(symbol=symbol, **values)


def a_gap(begins_min: int, minutes: int, symbol: str = "SPY") -> BarGap:
    """Make a gap that began so many minutes ago."""
    begins_at = NOW - timedelta(minutes=begins_min)
    return BarGap(
        symbol=symbol, begins_at=begins_at, ends_at=begins_at + timedelta(minutes=minutes)
    )
