"""The age of a quote, and what is thought of it."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import attrs
import pytest

from actors.logic.quality import assess, is_stale, market_data, quote_age_s
from actors.model.market import DataSource, DataType, Indicators, Pace
from tests.unit.logic.values import MONOTONIC, NOW, SPY, quote

WHOLE = Indicators(
    ema_fast=1.0,
    ema_slow=1.0,
    rsi=50.0,
    vwap=1.0,
    bollinger_upper=1.0,
    bollinger_middle=1.0,
    bollinger_lower=1.0,
)
INFINITE = math.inf


@pytest.mark.req("MKT-12")
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 10.0),
        ({"received_at": NOW - timedelta(days=1)}, 10.0),
        ({"pace": Pace(changed_at=MONOTONIC - 400.0)}, 410.0),
        ({"pace": Pace(changed_at=MONOTONIC + 60.0)}, 0.0),
        ({"pace": Pace()}, INFINITE),
        ({"pace": None}, INFINITE),
        ({"data_type": DataType.FROZEN}, INFINITE),
        ({"data_type": DataType.DELAYED}, INFINITE),
        ({"data_type": DataType.DELAYED_FROZEN}, INFINITE),
        ({"source": DataSource.ALPHA_VANTAGE}, INFINITE),
    ],
)
def test_the_age_counts_from_the_newest_proved_change(
    changes: dict[str, Any], expected: float
) -> None:
    assert expected == quote_age_s(quote(**changes), MONOTONIC + 10.0)


@pytest.mark.req("MKT-4")
@pytest.mark.parametrize(("age_s", "expected"), [(300.0, False), (300.1, True)])
def test_a_quote_is_stale_beyond_the_limit(age_s: float, expected: bool) -> None:
    assert expected == is_stale(quote(), MONOTONIC + age_s)


@pytest.mark.req("MKT-12")
def test_a_closed_market_is_not_a_fault() -> None:
    assert not is_stale(quote(), MONOTONIC + 36_000.0, session_open=False)


@pytest.mark.req("MKT-4")
@pytest.mark.parametrize(
    ("changes", "indicators", "missing", "score"),
    [
        ({}, WHOLE, (), 1.0),
        ({"bid": -1.0, "volume": 0.0}, WHOLE, ("bid", "volume"), 0.8),
        ({"ask": math.nan}, WHOLE, ("ask",), 0.9),
        ({"last": None}, attrs.evolve(WHOLE, rsi=None), ("last_price", "rsi"), 0.8),
        ({}, attrs.evolve(WHOLE, vwap=math.nan), ("vwap",), 0.9),
        ({"data_type": DataType.DELAYED}, WHOLE, (), 0.5),
    ],
)
def test_the_score_falls_with_every_fault(
    changes: dict[str, Any], indicators: Indicators, missing: tuple[str, ...], score: float
) -> None:
    quality = assess(quote(**changes), indicators, MONOTONIC)

    assert (missing, score) == (quality.missing_fields, quality.score)


@pytest.mark.req("MKT-4")
def test_the_score_never_falls_below_zero() -> None:
    empty = quote(bid=None, ask=None, last=None, volume=None)

    assert assess(empty, None, MONOTONIC).score == 0.0


@pytest.mark.req("MKT-1")
def test_market_data_puts_quote_indicators_and_quality_together() -> None:
    data = market_data(quote(bid=-1.0), WHOLE, NOW, MONOTONIC)

    assert (data.symbol, data.last_price, data.bid, data.ask) == ("SPY", 600.0, None, 600.1)
    assert (data.rsi, data.bollinger_lower) == (50.0, 1.0)
    assert (
        data.is_stale,
        data.staleness_seconds,
        data.missing_fields,
        data.data_quality_score,
    ) == (False, 0.0, ("bid",), 0.9)


@pytest.mark.req("MKT-12")
@pytest.mark.parametrize(
    ("hours", "stale"),
    [
        ("20260302:0930-20260302:1600", True),
        ("20260302:CLOSED", False),
        ("20260302:1100-20260302:1600", False),
        ("", True),
        ("nonsense", True),
    ],
    ids=["open", "holiday", "before the open", "unknown", "unreadable"],
)
def test_age_counts_unless_the_contracts_own_hours_say_that_it_is_closed(
    hours: str, stale: bool
) -> None:
    old = quote(attrs.evolve(SPY, liquid_hours=hours))

    assert stale is market_data(old, None, NOW, MONOTONIC + 301.0).is_stale
