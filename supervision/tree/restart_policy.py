"""When to restart a failed actor, as a pure function.

::

    failures ── more than max_restarts within within_s? ──yes──▶ Escalate
                     │ no
                     ▼
    attempt = failures since the last quiet period of reset_after_s
    delay   = first_delay_s · factor^(attempt − 1) · (1 + jitter · jitter_ratio), at most max_delay_s ──▶ RestartAfter

The window is that of Erlang/OTP's supervisor (intensity and period), the backoff that of Akka's backoff supervisor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import Enum
from itertools import pairwise
from typing import Any

import attrs


class Strategy(Enum):
    """Who is restarted when one actor fails."""

    ONE_FOR_ONE = "one_for_one"
    """Only the one that failed."""

    REST_FOR_ONE = "rest_for_one"
    """It, and everything that depends on it directly or through others: stopped in reverse order, started in order."""


def _within(
    low: float, high: float = math.inf, *, above: bool = False
) -> Callable[[Any, Any, Any], None]:
    """Make a validator for low ≤ value ≤ high; ``above``: low < value. NaN is never within."""

    def check(_owner: object, attribute: attrs.Attribute[Any], value: float) -> None:
        fits = low < value <= high if above else low <= value <= high
        if not fits or math.isinf(value):
            sign = ">" if above else ">="
            top = "" if math.isinf(high) else f" and <= {high}"
            raise ValueError(f"{attribute.name} must be {sign} {low}{top} (was {value})")

    return check


@attrs.frozen(kw_only=True)
class RestartPolicy:
    """How often and how fast to restart. Seconds throughout; raises ValueError for a value out of its bounds."""

    strategy: Strategy = Strategy.ONE_FOR_ONE
    first_delay_s: float = attrs.field(default=0.1, validator=_within(0))
    max_delay_s: float = attrs.field(default=30.0, validator=_within(0))
    factor: float = attrs.field(default=2.0, validator=_within(1))
    jitter_ratio: float = attrs.field(default=0.2, validator=_within(0, 1))
    reset_after_s: float = attrs.field(default=60.0, validator=_within(0, above=True))
    max_restarts: int = attrs.field(default=5, validator=_within(0))
    within_s: float = attrs.field(default=60.0, validator=_within(0, above=True))

    def __attrs_post_init__(self) -> None:
        """Check what two fields say together."""
        if self.max_delay_s < self.first_delay_s:
            raise ValueError(
                f"max_delay_s must be >= first_delay_s ({self.first_delay_s}) (was {self.max_delay_s})"
            )


@attrs.frozen(kw_only=True)
class RestartAfter:
    """Start it again after ``delay_s``; ``attempt`` counts from 1 since the last quiet period."""

    delay_s: float
    attempt: int


@attrs.frozen(kw_only=True)
class Escalate:
    """It failed ``failures`` times within ``within_s``: restarting does not help."""

    failures: int
    within_s: float


def decide(
    failures: Sequence[float], now: float, policy: RestartPolicy, jitter: float
) -> RestartAfter | Escalate:
    """Decide what follows the newest failure.

    ``failures`` are monotonic seconds in ascending order, the newest included; ``jitter`` is drawn from [-1, 1]. The
    window is open at its far end: a failure exactly ``within_s`` ago no longer counts, and a pause of exactly
    ``reset_after_s`` is a quiet period.
    """
    recent = sum(1 for at in failures if now - at < policy.within_s)
    if recent > policy.max_restarts:
        return Escalate(failures=recent, within_s=policy.within_s)
    attempt = _attempt(failures, policy.reset_after_s)
    spread = 1.0 + jitter * policy.jitter_ratio
    delay_s = min(_backoff(attempt, policy) * spread, policy.max_delay_s)
    return RestartAfter(delay_s=delay_s, attempt=attempt)


def _attempt(failures: Sequence[float], reset_after_s: float) -> int:
    attempt = 1
    for later, earlier in pairwise(reversed(failures)):
        if later - earlier >= reset_after_s:
            break
        attempt += 1
    return attempt


def _backoff(attempt: int, policy: RestartPolicy) -> float:
    """Compute min(first · factor^(attempt − 1), max) without overflowing for a large attempt."""
    if policy.first_delay_s == 0.0 or policy.factor == 1.0:
        return policy.first_delay_s
    ceiling = math.log(policy.max_delay_s / policy.first_delay_s, policy.factor)
    if attempt - 1 >= ceiling:
        return policy.max_delay_s
    return policy.first_delay_s * policy.factor ** (attempt - 1)
