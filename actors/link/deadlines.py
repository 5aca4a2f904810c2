"""How long a request may still take."""

from __future__ import annotations

from actors.kernel.clock import Clock
from actors.kernel.messages import Request


def left_s(request: Request, clock: Clock) -> float:
    """Tell how many seconds are left until the request's deadline; 0 when it has passed."""
    return max(0.0, request.deadline - clock.monotonic())
