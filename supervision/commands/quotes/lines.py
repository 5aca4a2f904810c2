"""A row as one plain line for people, or as one JSON object for machines. Times are UTC; unknown is "-" or null."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import attrs

from actors.model.market import BarGap, IndicatorReading, Indicators
from supervision.commands.quotes.board import Row, State

UNKNOWN: Final = "-"
INDICATORS_OLD: Final = timedelta(minutes=3)
"""Older than this they are told with their time; IB's limits allow that six symbols are read in a minute."""

_NO_INDICATORS: Final = dict.fromkeys(field.name for field in attrs.fields(Indicators))


def price_text(price: float | None) -> str:
    """A price with its cents; below one with four decimals."""
    if price is None:
        return UNKNOWN
    return f"{price:,.2f}" if abs(price) >= 1.0 else f"{price:.4f}"


def age_text(age_s: float | None) -> str:
    """An age in the unit that reads best."""
    if age_s is None:
        return UNKNOWN
    if age_s < 10.0:
        return f"{age_s:.1f} s"
    if age_s < 120.0:
        return f"{age_s:.0f} s"
    return f"{age_s / 60.0:.0f} min" if age_s < 7200.0 else f"{age_s / 3600.0:.0f} h"


def spread_text(row: Row) -> str:
    """The spread with as many decimals as the prices that it lies between."""
    if row.quote is None or row.spread is None or row.quote.ask is None:
        return UNKNOWN
    return f"{row.spread:.2f}" if row.quote.ask >= 1.0 else f"{row.spread:.4f}"


def source_text(row: Row) -> str:
    """Where the quote comes from."""
    return UNKNOWN if row.quote is None else row.quote.source.value


def number_text(value: float | None, decimals: int = 1) -> str:
    """A number with so many decimals."""
    return UNKNOWN if value is None else f"{value:.{decimals}f}"


def gaps_text(gaps: Sequence[BarGap]) -> str:
    """The stretches without bars."""
    shown = [f"{gap.begins_at:%H:%M} to {gap.ends_at:%H:%M}" for gap in gaps[:3]]
    more = f" and {len(gaps) - 3} more" if len(gaps) > 3 else ""
    return f"no bars from {', '.join(shown)}{more} UTC"


def notes(row: Row, now: datetime) -> tuple[str, ...]:
    """What a row has to say beyond its numbers."""
    said = [] if row.why is None else [row.why]
    reading = row.reading
    if reading is None:
        return tuple(said)
    if reading.indicators is None:
        said.append(f"no indicators: {reading.why_not}")
    elif row.state is not State.CLOSED and _is_old(reading, now):
        said.append(f"indicators as of {reading.as_of:%H:%M} UTC")
    if reading.bar_gaps:
        said.append(gaps_text(reading.bar_gaps))
    return tuple(said)


def _is_old(reading: IndicatorReading, now: datetime) -> bool:
    return reading.as_of is not None and now - reading.as_of > INDICATORS_OLD


def plain_line(row: Row, now: datetime) -> str:
    """Show a row as one line."""
    quote, found = row.quote, row.reading.indicators if row.reading is not None else None
    bid, ask, last = (quote.bid, quote.ask, quote.last) if quote is not None else (None,) * 3
    parts = [
        f"{now:%H:%M:%S}",
        f"{row.symbol:<6}",
        f"{row.state.value:<17}",
        f"bid {price_text(bid)}",
        f"ask {price_text(ask)}",
        f"last {price_text(last)}",
        f"spread {spread_text(row)} ({number_text(row.spread_bp)} bp)",
        f"age {age_text(row.age_s)}",
        f"source {source_text(row)}",
    ]
    if found is not None:
        parts += [
            f"EMA8 {price_text(found.ema_fast)}",
            f"EMA21 {price_text(found.ema_slow)}",
            f"RSI {number_text(found.rsi)}",
            f"VWAP {price_text(found.vwap)}",
            f"bands {price_text(found.bollinger_lower)} to {price_text(found.bollinger_upper)}",
        ]
    return "  ".join((*parts, *notes(row, now)))


def json_line(row: Row, now: datetime) -> str:
    """Show a row as one JSON object; ages in seconds, the spread in the contract's currency and in basis points."""
    quote, reading = row.quote, row.reading
    indicators = reading.indicators if reading is not None else None
    shown: dict[str, Any] = {
        "symbol": row.symbol,
        "time": now.isoformat(),
        "state": row.state.value,
        "why": row.why,
        "bid": quote and quote.bid,
        "ask": quote and quote.ask,
        "last": quote and quote.last,
        "volume": quote and quote.volume,
        "spread": _rounded(row.spread),
        "spread_bp": _rounded(row.spread_bp),
        "age_s": _rounded(row.age_s),
        "received_at": quote and quote.received_at.isoformat(),
        "traded_at": quote and quote.traded_at and quote.traded_at.isoformat(),
        "source": quote and quote.source.value,
        **(_NO_INDICATORS if indicators is None else attrs.asdict(indicators)),
        "indicators_as_of": reading and reading.as_of and reading.as_of.isoformat(),
        "no_indicators_because": reading and reading.why_not,
        "bar_gaps": [
            {"begins_at": gap.begins_at.isoformat(), "ends_at": gap.ends_at.isoformat()}
            for gap in (reading.bar_gaps if reading is not None else ())
        ],
    }
    return json.dumps(shown, ensure_ascii=False)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
