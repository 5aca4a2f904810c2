"""Closing what is due: the emergency stop, and the days before expiry (POS-3).

What is due is brought to zero by `actors.closing`, for as long as it is due: a close that is refused is tried again
after a rest, without end, and a person is called. It waits for its session: what protects it at the broker stays, and a
loss is looked at anew by the prices of the open.
"""

from __future__ import annotations

from typing import Final

from actors.closing.flattener import Flattener
from actors.closing.task import Task
from actors.errors import GatewayError
from actors.hours import HoursKeeper
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part
from actors.logic.flattening import Mandate
from actors.model.account import Position
from actors.model.orders import OrderResult, OrderStatus
from actors.model.trading import Trading
from actors.ports import EventLog
from actors.position.holdings import Holdings

CLOSE_TIMEOUT_S: Final = 30.0
"""So long a close of what is due waits for its fill; what is left of it then rests at the broker."""


class Due(Part):
    """Owns which positions are being closed since they are due, and what was said of those that wait."""

    def __init__(
        self,
        actor: SupervisedActor,
        trading: Trading,
        holdings: Holdings,
        hours: HoursKeeper,
        flattener: Flattener,
        log: EventLog,
    ) -> None:
        self._actor = actor
        self._trading = trading
        self._holdings = holdings
        self._hours = hours
        self._flattener = flattener
        self._log = log
        self._closing: dict[int, Task] = {}
        self._rehearsed: set[int] = set()
        self._waiting: set[int] = set()

    def close_what_is_due(self) -> None:
        """Look at every position: close those that are due, and let go of those that are not any more."""
        due = {
            view.contract.con_id: view for view in self._holdings.views() if view.closure_trigger
        }
        for con_id in self._closing.keys() - due.keys():
            self._let_go(con_id)
        self._rehearsed &= due.keys()
        for view in due.values():
            self._look(view)

    def _look(self, view: Position) -> None:
        con_id = view.contract.con_id
        if con_id in self._rehearsed or con_id in self._flattener.tasks or self._waits(view):
            return
        self._log(
            "would_close" if self._trading.readonly else "closure_due",
            level="WARNING",
            position_id=view.position_id,
            trigger=view.closure_trigger.value if view.closure_trigger else "",
            pnl_pct=view.unrealized_pnl_pct,
        )
        if self._trading.readonly:
            self._rehearsed.add(con_id)
            return
        self._begin(view)

    def _begin(self, view: Position) -> None:
        assert view.closure_trigger is not None  # noqa: S101 - only what is due is looked at
        task = self._closing[view.contract.con_id] = Task(
            contract=self._hours.described(view.contract),
            mandate=Mandate(both_sides=False),
            reason=view.closure_trigger,
            header=self._actor.of_our_own,
            close_timeout_s=CLOSE_TIMEOUT_S,
        )
        self._flattener.begin(task)

    def _let_go(self, con_id: int) -> None:
        """It is flat, or not due any more; a close that is under way goes on by itself."""
        task = self._closing.pop(con_id)
        if self._flattener.tasks.get(con_id) is task:
            self._flattener.end(con_id)

    def concluded(self, task: Task, result: OrderResult | None, error: GatewayError | None) -> None:
        """Say that a close failed. A simulated one is not repeated: nothing would change (MODE-6)."""
        con_id = task.contract.con_id
        if self._closing.get(con_id) is not task:
            return
        if result is not None and result.status is OrderStatus.SIMULATED:
            self._rehearsed.add(con_id)
            self._let_go(con_id)
        elif result is None or not (
            result.fill_quantity or result.status in (OrderStatus.FILLED, OrderStatus.PENDING)
        ):
            self._failed(task, result, error)

    def _failed(self, task: Task, result: OrderResult | None, error: GatewayError | None) -> None:
        if not self._holdings.connected:  # a lost link is Strategy C's, and its end begins anew
            return
        rest_s = max(0.0, task.progress.rest_until - self._actor.clock.monotonic())
        why = str(error) if result is None else result.rejection_reason or result.status.value
        self._log(
            "closure_failed",
            level="ERROR",
            position_id=task.contract.position_id,
            times=task.progress.refusals,
            again_in_s=round(rest_s, 3),
            why=why,
        )

    def _waits(self, view: Position) -> bool:
        """Whether what is due has to wait for its open, said once."""
        con_id = view.contract.con_id
        opens_at = self._hours.waits_until(con_id)
        if opens_at is None:
            self._waiting.discard(con_id)
        elif con_id not in self._waiting:
            self._waiting.add(con_id)
            self._log(
                "closure_waits_for_open",
                level="WARNING",
                position_id=view.position_id,
                opens_at=opens_at.isoformat(),
            )
        return opens_at is not None
