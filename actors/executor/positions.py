"""What the executor knows of positions: enough to tell whether an order that nobody shows has filled.

A read of the broker's state sets them, executions move them from there. An order keeps a *base*: the position at
sending minus the executions of its contract that were known then, counted from a day before. The base plus the
executions that are known later is what the position should be then, if the order did not fill; one number says so, and
it outlives the process in the order's intent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from actors.logic import executions as counting
from actors.logic.executions import NO_EXECUTIONS
from actors.model.account import Holding
from actors.model.orders import Execution

WINDOW: Final = timedelta(days=1)
"""Executions from so long before an order was made count for its base: the same ones at sending and afterwards."""


class Positions:
    """One account's positions, in units, by con_id. ``is_known``: the broker's state was read once."""

    def __init__(self) -> None:
        self.is_known = False
        self._moving: frozenset[int] = frozenset()
        self._read: dict[int, float] = {}
        self._sum_at_read: dict[int, float] = {}
        self._executions: defaultdict[int, dict[str, Execution]] = defaultdict(dict)
        self._unproven: dict[str, tuple[int, float]] = {}

    # --- what moves them ------------------------------------------------------------------------------------------

    def take_over(
        self, holdings: Iterable[Holding], account: str, moving: Iterable[int] = ()
    ) -> None:
        """Start from the broker's word, which includes every execution that is known now.

        Of the contracts ``moving`` that is not sure: an order that is made now gets no base.
        """
        self.is_known = True
        self._moving = frozenset(moving)
        self._read = {
            held.contract.con_id: held.quantity for held in holdings if held.account == account
        }
        self._sum_at_read = {con_id: self._sum(con_id, None) for con_id in self._executions}

    def executed(self, execution: Execution) -> None:
        """Count an execution, once; what was taken for filled by this order without one is proved by it."""
        mine, base_id = self._executions[execution.contract.con_id], execution.base_id
        known = {base_id: mine[base_id]} if base_id in mine else NO_EXECUTIONS
        counted = counting.count(known, execution)
        mine[base_id] = counted.executions[base_id]
        if counted.counted and execution.order_ref in self._unproven:
            self._prove(execution)

    def _prove(self, execution: Execution) -> None:
        """Let an execution take the place of what was believed of its order."""
        con_id, believed = self._unproven.pop(execution.order_ref)
        left = believed - execution.signed_quantity
        if left * believed > 0.0:
            self._unproven[execution.order_ref] = con_id, left

    def remember(self, executions: Iterable[Execution]) -> None:
        """Take in the executions of an earlier incarnation."""
        for execution in executions:
            self.executed(execution)

    def forget(self, before: datetime) -> None:
        """Let go of executions that no order's base counts any more; call it before `take_over`."""
        for mine in self._executions.values():
            kept = counting.since(MappingProxyType(mine), before)
            if len(kept) < len(mine):
                mine.clear()
                mine.update(kept)

    def filled_unproven(self, order_ref: str, con_id: int, signed_quantity: float) -> None:
        """Reckon with a fill that the position shows and no execution does."""
        self._unproven[order_ref] = con_id, signed_quantity

    # --- what they are --------------------------------------------------------------------------------------------

    def at_read(self, con_id: int) -> float:
        """What the last read told."""
        return self._read.get(con_id, 0.0)

    def base(self, con_id: int, made_at: datetime) -> float | None:
        """Give the base of an order that is made now; None where the positions are not known."""
        if not self.is_known or con_id in self._moving:
            return None
        moved = self._sum(con_id, None) - self._sum_at_read.get(con_id, 0.0)
        return self.at_read(con_id) + moved - self._sum(con_id, made_at)

    def expected(self, base: float, con_id: int, made_at: datetime) -> float:
        """What the position should be by the executions that are known, if an order with this base did not fill."""
        return base + self._sum(con_id, made_at)

    def _sum(self, con_id: int, made_at: datetime | None) -> float:
        """Sum up the signed quantities of a contract: all, or those since a day before ``made_at``."""
        since = None if made_at is None else made_at - WINDOW
        return sum(
            execution.signed_quantity
            for execution in self._executions.get(con_id, NO_EXECUTIONS).values()
            if since is None or execution.executed_at is None or execution.executed_at >= since
        ) + sum(filled for where, filled in self._unproven.values() if where == con_id)
