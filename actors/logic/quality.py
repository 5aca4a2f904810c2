"""How old a quote is and what may be thought of it (MKT-3, MKT-4, MKT-12).

=======  ===============================================================================================
age      since the newest proved change of the data: monotonic, whatever the wall clock does (`freshness`)
stale    older than the limit, while the instrument's session is open (a closed market is not a fault)
score    1.0, −0.5 when stale, −0.1 per missing field, never below 0
=======  ===============================================================================================

Data that is delayed or frozen, or comes from a delayed source, is never fresh: its age is infinite (``math.inf``), and
so is that of a quote without any stamp. Writers of JSON have to turn that into null.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Final

from actors.logic import freshness
from actors.logic.sessions import is_session_open
from actors.model.market import (
    BarGap,
    DataQuality,
    Indicators,
    MarketData,
    Quote,
)

STALE_AFTER_S: Final = 300.0
STALE_PENALTY: Final = 0.5
MISSING_FIELD_PENALTY: Final = 0.1

QUOTE_FIELDS: Final = (("last_price", "last"), ("bid", "bid"), ("ask", "ask"), ("volume", "volume"))
"""The quote's part of `MarketData`: the name there, and the one in `Quote`."""

INDICATOR_FIELDS: Final = (
    "ema_fast",
    "ema_slow",
    "rsi",
    "vwap",
    "bollinger_upper",
    "bollinger_lower",
    "bollinger_middle",
)


def quote_age_s(quote: Quote, monotonic: float) -> float:
    """Tell a quote's age in seconds, at least 0; infinite when it cannot be fresh, or nothing dates its data."""
    return freshness.age_s(quote.pace, monotonic) if freshness.is_evidence(quote) else math.inf


def is_stale(
    quote: Quote,
    monotonic: float,
    stale_after_s: float = STALE_AFTER_S,
    session_open: bool = True,
) -> bool:
    """Tell whether a quote is too old to act on; never while the instrument's session is closed."""
    return session_open and quote_age_s(quote, monotonic) > stale_after_s


def missing_fields(quote: Quote, indicators: Indicators | None) -> tuple[str, ...]:
    """Name the fields of `MarketData` that have no value; prices and a volume ≤ 0 are none."""
    missing = [name for name, source in QUOTE_FIELDS if _positive(getattr(quote, source)) is None]
    missing += [
        name for name in INDICATOR_FIELDS if _finite(getattr(indicators, name, None)) is None
    ]
    return tuple(missing)


def assess(
    quote: Quote,
    indicators: Indicators | None,
    monotonic: float,
    stale_after_s: float = STALE_AFTER_S,
    session_open: bool = True,
) -> DataQuality:
    """Judge a quote and its indicators (None: there are none yet, and all of them are missing)."""
    stale = is_stale(quote, monotonic, stale_after_s, session_open)
    missing = missing_fields(quote, indicators)
    score = 1.0 - STALE_PENALTY * stale - MISSING_FIELD_PENALTY * len(missing)
    return DataQuality(
        is_stale=stale,
        staleness_s=quote_age_s(quote, monotonic),
        missing_fields=missing,
        # Tenths do not add up exactly in binary; the score is meant to a hundredth.
        score=max(0.0, round(score, 2)),
    )


def market_data(
    quote: Quote,
    indicators: Indicators | None,
    now: datetime,
    monotonic: float,
    stale_after_s: float = STALE_AFTER_S,
    bar_gaps: tuple[BarGap, ...] = (),
) -> MarketData:
    """Put a quote, its indicators and its quality together; ``timestamp`` is when the quote was received.

    The session is that of the contract's own hours; while they are not known, age counts.
    """
    session_open = is_session_open(quote.contract, now) is not False
    quality = assess(quote, indicators, monotonic, stale_after_s, session_open)
    values = {name: _finite(getattr(indicators, name, None)) for name in INDICATOR_FIELDS}
    return MarketData(
        symbol=quote.symbol,
        timestamp=quote.received_at,
        last_price=_positive(quote.last),
        bid=_positive(quote.bid),
        ask=_positive(quote.ask),
        volume=_positive(quote.volume),
        is_stale=quality.is_stale,
        staleness_seconds=quality.staleness_s,
        missing_fields=quality.missing_fields,
        data_quality_score=quality.score,
        source=quote.source,
        condition=quote.condition,
        contract=quote.contract,
        bar_gaps=bar_gaps,
        **values,
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _positive(value: float | None) -> float | None:
    """IB sends −1 and 0 for "none"."""
    known = _finite(value)
    return known if known is not None and known > 0 else None
