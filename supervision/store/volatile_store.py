"""What a journal without a disk holds."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from actors import messages as m
from actors.logic.order_table import TERMINAL
from actors.model.orders import Execution

ENDED: Final = frozenset(state.value for state in TERMINAL)


@attrs.define
class VolatileStore:
    """Belongs to the process, since actors come and go."""

    orders: dict[str, m.JournaledOrder] = attrs.field(factory=dict)
    executions: dict[str, Execution] = attrs.field(factory=dict)
    latch: m.RecordLatch | None = None
    step: str | None = None
    baselines: dict[tuple[str, str], float] = attrs.field(factory=dict)
    floors: dict[int, int] = attrs.field(factory=dict)
    grace: tuple[str, datetime] | None = None


def has_ended(order: m.JournaledOrder) -> bool:
    """Whether nothing more is expected of an order."""
    return order.state in ENDED
