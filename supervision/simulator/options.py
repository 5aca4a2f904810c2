"""Option prices and greeks after Black and Scholes (1973), without dividends.

Units: time in years, rates and volatilities per year as fractions, vega per volatility point, theta
per calendar day, as IB reports them.
"""

from __future__ import annotations

import math

import attrs

RATE = 0.04
YEAR_DAYS = 365.0
_SHORTEST_YEARS = 1.0 / (YEAR_DAYS * 24)
_ROOT_TWO_PI = math.sqrt(2 * math.pi)


@attrs.frozen
class Greeks:
    """A theoretical value with its sensitivities."""

    price: float
    delta: float
    gamma: float
    vega: float
    theta: float
    volatility: float


def smile(spot: float, strike: float, at_the_money: float) -> float:
    """The implied volatility of a strike: a mild skew towards low strikes."""
    moneyness = math.log(strike / spot)
    return max(0.05, at_the_money - 0.15 * moneyness + 0.4 * moneyness * moneyness)


def value(spot: float, strike: float, years: float, volatility: float, *, call: bool) -> Greeks:
    """Value a European option; at or after expiry it is worth its intrinsic value."""
    if years <= 0:
        sign = 1.0 if call else -1.0
        intrinsic = max(0.0, sign * (spot - strike))
        return Greeks(intrinsic, sign if intrinsic > 0 else 0.0, 0.0, 0.0, 0.0, volatility)
    years = max(years, _SHORTEST_YEARS)
    root = volatility * math.sqrt(years)
    d1 = (math.log(spot / strike) + (RATE + volatility**2 / 2) * years) / root
    d2 = d1 - root
    discount = strike * math.exp(-RATE * years)
    density = math.exp(-d1 * d1 / 2) / _ROOT_TWO_PI
    decay = -spot * density * volatility / (2 * math.sqrt(years))
    if call:
        price = spot * _normal(d1) - discount * _normal(d2)
        delta = _normal(d1)
        theta = decay - RATE * discount * _normal(d2)
    else:
        price = discount * _normal(-d2) - spot * _normal(-d1)
        delta = _normal(d1) - 1.0
        theta = decay + RATE * discount * _normal(-d2)
    return Greeks(
        price=max(price, 0.0),
        delta=delta,
        gamma=density / (spot * root),
        vega=spot * density * math.sqrt(years) / 100,
        theta=theta / YEAR_DAYS,
        volatility=volatility,
    )


def _normal(x: float) -> float:
    return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))
