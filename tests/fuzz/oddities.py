"""What callers and gateways say that makes no sense, drawn by a seed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final


class Hostile:
    """Raises whatever is asked of it."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    def __str__(self) -> str:
        raise RuntimeError("no")

    def __iter__(self) -> Any:
        raise RuntimeError("no")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


VALUES: Final[tuple[Callable[[random.Random], Any], ...]] = (
    lambda _: None,
    lambda dice: dice.choice([True, False]),
    lambda dice: dice.choice([0, -1, 1, 10**6, 2**63, 10**400]),
    lambda dice: dice.choice([0.0, -0.0, -1.5, math.nan, math.inf, -math.inf, 1e308, 5e-324]),
    lambda dice: dice.choice(["", " ", "\0", "SPY", "spy ", "BRK.B", "\U0001f4a5", "x" * 10_000]),
    lambda dice: "".join(chr(dice.randrange(0x20, 0x2FF)) for _ in range(dice.randrange(12))),
    lambda dice: dice.choice([b"", b"SPY", bytearray(b"x")]),
    lambda dice: dice.choice([[], ["SPY"], [None], [[]], ("SPY", 3), {"SPY"}]),
    lambda dice: dice.choice([{}, {"symbol": "SPY"}, {1: 2}]),
    lambda _: datetime(2026, 1, 1, tzinfo=UTC),
    lambda _: object(),
    lambda _: Hostile(),
    lambda _: ValueError,
)

FIELDS: Final = (
    "",
    "0",
    "-1",
    "-0.01",
    "nan",
    "inf",
    "1.7976931348623157E308",
    "2147483647",
    "-2147483648",
    "9" * 40,
    "1e400",
    "x",
    "Submitted",
    "BUY",
    "STK",
    "BAG",
    "\u4e2d\u6587",
    "20260230 25:61:61",
    " ",
)
"""What stands in a field of a broker's message where something else belongs."""


def value(dice: random.Random) -> Any:
    """Draw an argument."""
    return dice.choice(VALUES)(dice)
