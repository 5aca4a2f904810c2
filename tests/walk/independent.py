"""The indicators once more, written with pandas from the definitions alone: shares nothing with the product."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import pandas as pd

FAST, SLOW, RSI_PERIOD, BAND_PERIOD, BAND_WIDTH = 8, 21, 14, 20, 2.0


class AnyBar(Protocol):
    """What a bar has to have."""

    @property
    def high(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def close(self) -> float: ...
    @property
    def volume(self) -> float: ...


def independent_indicators(bars: Iterable[AnyBar]) -> dict[str, float]:
    """Compute what MKT-2 defines over all bars, the newest last."""
    table = pd.DataFrame([(bar.high, bar.low, bar.close, bar.volume) for bar in bars])
    table.columns = pd.Index(["high", "low", "close", "volume"])
    close = table["close"]
    typical = (table["high"] + table["low"] + table["close"]) / 3
    volume = table["volume"].sum()
    changes = close.diff().tail(RSI_PERIOD)
    gain, loss = changes.clip(lower=0).mean(), -changes.clip(upper=0).mean()
    middle = close.tail(BAND_PERIOD).mean()
    width = BAND_WIDTH * close.tail(BAND_PERIOD).std(ddof=0)
    return {
        "ema_fast": float(close.ewm(span=FAST, adjust=False).mean().iloc[-1]),
        "ema_slow": float(close.ewm(span=SLOW, adjust=False).mean().iloc[-1]),
        "rsi": 100.0 if loss == 0 else float(100 - 100 / (1 + gain / loss)),
        "vwap": float((typical * table["volume"]).sum() / volume if volume else close.iloc[-1]),
        "bollinger_upper": float(middle + width),
        "bollinger_middle": float(middle),
        "bollinger_lower": float(middle - width),
    }
