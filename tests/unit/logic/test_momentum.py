"""The sample strategy buys a breakout and says why it does not."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from actors.logic.order_validation import validate_signal
from actors.logic.quality import market_data
from actors.model.market import Indicators, MarketData
from actors.model.orders import StrategyContext
from supervision.commands.momentum import STRATEGY_ID, decide
from tests.unit.logic.values import MONOTONIC, NOW, quote

BREAKOUT = market_data(
    quote(),
    Indicators(
        ema_fast=599.0,
        ema_slow=598.0,
        rsi=57.5,
        vwap=598.5,
        bollinger_upper=602.0,
        bollinger_middle=598.0,
        bollinger_lower=594.0,
    ),
    NOW,
    MONOTONIC,
)


def test_a_breakout_becomes_a_signal_that_is_well_formed() -> None:
    decision = decide(BREAKOUT, NOW, quantity=5)

    assert decision.signal is not None
    request = validate_signal(decision.signal, StrategyContext(strategy_id=STRATEGY_ID), "OP")
    assert (request.symbol, request.quantity, request.signal_strength) == ("SPY", 5.0, 0.5)
    assert decision.reasons_against == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ema_fast": 598.0}, "fast EMA"),
        ({"rsi": 49.9}, "RSI"),
        ({"rsi": 65.1}, "RSI"),
        ({"last_price": 598.5}, "VWAP"),
        ({"volume": None}, "volume 0"),
        ({"vwap": None}, "missing: vwap"),
        ({"is_stale": True}, "stale"),
    ],
)
def test_what_is_missing_for_a_breakout_is_said(changes: dict[str, Any], words: str) -> None:
    data: MarketData = attrs.evolve(BREAKOUT, **changes)

    decision = decide(data, NOW)

    assert decision.signal is None
    assert len(decision.reasons_against) == 1
    assert words in decision.reasons_against[0]


@pytest.mark.parametrize("rsi", [50.0, 65.0])
def test_the_bounds_of_the_rsi_are_within(rsi: float) -> None:
    assert decide(attrs.evolve(BREAKOUT, rsi=rsi), NOW).signal is not None
