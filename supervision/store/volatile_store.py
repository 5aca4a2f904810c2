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
    baselines: dict[tuple[str, str, str], m.RecordBaseline] = attrs.field(factory=dict)
    floors: dict[int, int] = attrs.field(factory=dict)
    pinned: dict[str, str] = attrs.field(factory=dict)
    grace: tuple[str, datetime] | None = None

    @classmethod
    def of(cls, told: m.JournalRead) -> VolatileStore:
        """Hold what was read of a file, so that what is not in it yet can be added."""
        return cls(
            orders={order.order.order_ref: order for order in (*told.ended, *told.orders)},
            executions={execution.exec_id: execution for execution in told.executions},
            step=told.liquidation_step,
            baselines={(each.account, each.kind, each.key): each for each in told.baselines},
            floors=dict(told.order_id_floors),
            pinned=dict(told.pinned),
            grace=told.grace,
        )


def has_ended(order: m.JournaledOrder) -> bool:
    """Whether nothing more is expected of an order."""
    return order.state in ENDED
