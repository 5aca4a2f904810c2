"""A seeded price process: one price a second, from which minute bars follow.

Everything is a function of seed, symbol and the seconds since the anchor (the start of the minute in
which the gateway was first started), so history, quotes and a later run with the same seed agree. An hour is
generated at a time, forwards or backwards; a regime per hour gives it a drift.
"""

from __future__ import annotations

import functools
import math
import zlib
from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

MINUTE_S = 60
_HOUR_MINUTES = 60
_SALT = 9225
"""Chosen so that seed 7 gives SPY a momentum breakout for its first minutes and seed 11 none."""
_EPOCH = 1 << 24
_HOURS_KEPT = 4
_MINUTE_VOLATILITY = 0.00025
_DRIFTS = (-0.18, 0.0, 0.18)


@attrs.frozen
class Bar:
    """One minute; `minute` counts from the anchor and is negative for the past."""

    minute: int
    open: float
    high: float
    low: float
    close: float
    volume: int
    count: int

    @property
    def wap(self) -> float:
        """The average price, taken as the typical price."""
        return (self.high + self.low + self.close) / 3


class PriceSource(Protocol):
    """Where the prices of one stock come from."""

    def price(self, at_s: float) -> float:
        """The last traded price at a time in seconds since the anchor."""
        ...

    def bars(self, at_s: float, count: int) -> list[Bar]:
        """The newest `count` one-minute bars at a time, the forming one included."""
        ...


@attrs.frozen
class _Hour:
    """Sixty minutes of sixty prices each, in cents."""

    first_minute: int
    cents: NDArray[np.int32]
    highs: NDArray[np.int32]
    lows: NDArray[np.int32]
    volumes: NDArray[np.int64]

    def bar(self, index: int) -> Bar:
        """A whole minute."""
        return _bar(
            self.first_minute + index,
            int(self.cents[index, 0]),
            int(self.highs[index]),
            int(self.lows[index]),
            int(self.cents[index, -1]),
            int(self.volumes[index]),
        )

    def forming(self, index: int, second: int) -> Bar:
        """A minute as far as it has come."""
        seen = self.cents[index, : second + 1]
        return _bar(
            self.first_minute + index,
            int(seen[0]),
            int(seen.max()),
            int(seen.min()),
            int(seen[-1]),
            max(1, int(self.volumes[index]) * (second + 1) // MINUTE_S),
        )


class SeededPrices:
    """The price path of one symbol."""

    def __init__(self, seed: int, symbol: str, base_price: float, base_volume: int) -> None:
        self._key = (seed & 0xFFFFFFFF, zlib.crc32(symbol.encode()) ^ _SALT)
        self._base = base_price
        self._base_volume = base_volume
        self._sums: dict[int, float] = {}
        self._levels = {0: math.log(base_price)}
        self._hour = functools.lru_cache(maxsize=_HOURS_KEPT)(self._make_hour)

    def price(self, at_s: float) -> float:
        """The last traded price at a time in seconds since the anchor."""
        hour, second = divmod(math.floor(at_s), 3600)
        minute, second = divmod(second, MINUTE_S)
        return int(self._hour(hour).cents[minute, second]) / 100

    def bars(self, at_s: float, count: int) -> list[Bar]:
        """The newest `count` one-minute bars, the forming one included."""
        last = math.floor(at_s / MINUTE_S)
        found: list[Bar] = []
        for minute in range(last - count + 1, last):
            hour, index = divmod(minute, _HOUR_MINUTES)
            found.append(self._hour(hour).bar(index))
        hour, index = divmod(last, _HOUR_MINUTES)
        found.append(self._hour(hour).forming(index, math.floor(at_s) - last * MINUTE_S))
        return found

    def _returns(self, hour: int) -> tuple[np.random.Generator, NDArray[np.float64]]:
        random = np.random.default_rng([*self._key, hour + _EPOCH])
        drift = _DRIFTS[int(random.integers(len(_DRIFTS)))]
        noise = random.standard_normal(_HOUR_MINUTES)
        return random, _MINUTE_VOLATILITY * (noise + drift)

    def _sum(self, hour: int) -> float:
        if hour not in self._sums:
            self._sums[hour] = float(self._returns(hour)[1].sum())
        return self._sums[hour]

    def _level(self, hour: int) -> float:
        known = hour
        while known not in self._levels:
            known += -1 if hour > 0 else 1
        while known != hour:
            if hour > known:
                self._levels[known + 1] = self._levels[known] + self._sum(known)
                known += 1
            else:
                self._levels[known - 1] = self._levels[known] - self._sum(known - 1)
                known -= 1
        return self._levels[hour]

    def _make_hour(self, hour: int) -> _Hour:
        random, returns = self._returns(hour)
        starts = self._level(hour) + np.concatenate(([0.0], np.cumsum(returns)[:-1]))
        steps = random.standard_normal((_HOUR_MINUTES, MINUTE_S))
        walk = np.cumsum(steps, axis=1) * (_MINUTE_VOLATILITY / math.sqrt(MINUTE_S))
        part = np.arange(1, MINUTE_S + 1) / MINUTE_S
        bridge = walk - part * walk[:, -1:]
        path = np.exp(starts[:, None] + part * returns[:, None] + bridge)
        cents = np.maximum(np.round(path * 100), 1).astype(np.int32)
        volumes = (self._base_volume * random.lognormal(0.0, 0.4, _HOUR_MINUTES)).astype(np.int64)
        volumes = np.maximum(volumes, 100)
        first = hour * _HOUR_MINUTES
        return _Hour(first, cents, cents.max(axis=1), cents.min(axis=1), volumes)


def _bar(minute: int, open_: int, high: int, low: int, close: int, volume: int) -> Bar:
    return Bar(
        minute, open_ / 100, high / 100, low / 100, close / 100, volume, max(1, volume // 120)
    )
