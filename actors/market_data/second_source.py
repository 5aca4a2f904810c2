"""What a second source's delayed data is worth beside IB's: the same types, and never fresh (MKT-10, MKT-12)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, time
from typing import Final
from zoneinfo import ZoneInfo

import attrs

from actors.errors import InsufficientDataError
from actors.logic import quality
from actors.logic.zones import utc_of
from actors.market_data.indicators import indicators
from actors.model.contracts import Contract, SecurityType
from actors.model.market import Bar, DataType, FeedQuote, MarketData, Quote

_EXCHANGE: Final = ZoneInfo("America/New_York")


def traded_at(quote: FeedQuote) -> datetime:
    """The source time of a price: the beginning of its day at the exchange, since only the day is told (UTC)."""
    return utc_of(datetime.combine(quote.traded_on, time()), _EXCHANGE)


def quote_of(quote: FeedQuote, contract: Contract) -> Quote:
    """Write a second source's price as a quote of a contract that the broker knows."""
    return Quote(
        contract=contract,
        received_at=quote.received_at,
        last=quote.price,
        open=quote.open,
        high=quote.high,
        low=quote.low,
        close=quote.previous_close,
        volume=quote.volume,
        traded_at=traded_at(quote),
        data_type=DataType.DELAYED,
        source=quote.source,
    )


def market_data(
    quote: FeedQuote, bars: Sequence[Bar], contract: Contract | None, now: datetime
) -> MarketData:
    """Put a second source's price and bars together.

    Indicators that cannot be computed are missing fields and no error: a caller who gets this data knows its source.
    ``contract`` is None where the broker was never asked about the symbol; then its hours are taken for open.
    """
    try:
        computed = indicators(bars)
    except InsufficientDataError:
        computed = None
    if contract is not None:
        return quality.market_data(quote_of(quote, contract), computed, now, math.inf)
    # Only what is judged needs a contract; this one never leaves this function.
    stand_in = Contract(con_id=1, symbol=quote.symbol, security_type=SecurityType.STOCK)
    judged = quality.market_data(quote_of(quote, stand_in), computed, now, math.inf)
    return attrs.evolve(judged, contract=None)
