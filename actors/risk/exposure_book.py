"""Risk's own book of positions and of the orders in flight, and the watch for what others trade (POS-4, RSK-4)."""

from __future__ import annotations

from collections.abc import Iterable

from actors import messages as m
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.messages.addresses import CONNECTION
from actors.model.connection import BrokerState
from actors.model.orders import Execution, WireOrder
from actors.ports import EventLog
from actors.risk import exposure
from actors.risk.day_trades import first_day_begins

DRIFT_AFTER_S = 2.0
"""So long may the executions take that explain a position; after that somebody else has traded (POS-4)."""


class ExposureBook(Part):
    """Owns the ledger, and what the broker reported of positions until the ledger had time to agree."""

    def __init__(self, actor: SupervisedActor, log: EventLog) -> None:
        self._actor = actor
        self._log = log
        self._reported: dict[int, m.HoldingReported] = {}
        self.ledger = exposure.EMPTY

    # --- the broker's state ---------------------------------------------------------------------------------------

    def remember(self, executions: Iterable[Execution]) -> None:
        """Know executions of the past, so that they are not counted again."""
        self.ledger = exposure.remember(self.ledger, executions)

    def take_over(self, state: BrokerState, working: Iterable[m.WorkingOrder]) -> tuple[str, ...]:
        """Start from the broker's state; gives the differences from what was believed."""
        differences = exposure.drift(self.ledger, state.holdings) if self.ledger.known else ()
        recent = exposure.without_old(self.ledger, first_day_begins(self._actor.clock.now()))
        self.ledger = exposure.reconcile(
            recent,
            state.holdings,
            state.executions,
            state.fill_counts,
            working,
            state.position_sequences,
        )
        return differences

    def distrust(self) -> None:
        """Hold the positions for unknown until the next reconciliation."""
        self.ledger = exposure.forget(self.ledger)

    # --- orders in flight -----------------------------------------------------------------------------------------

    def reserve(self, order: WireOrder, price: float | None) -> None:
        """Reckon with an order that may be sent."""
        self.ledger = exposure.reserve(self.ledger, exposure.reservation(self.ledger, order, price))

    def settle(self, order_ref: str, signed_remaining: float) -> None:
        """Reckon with what of an order can still fill."""
        self.ledger = exposure.settle(self.ledger, order_ref, signed_remaining)

    @handles(m.OrderUpdated)
    def on_order_updated(self, event: m.OrderUpdated) -> None:
        """Turn a reservation into a position by what was executed, then adjust it to what can still fill."""
        if event.execution is not None:
            self.ledger = exposure.apply_execution(self.ledger, event.execution)
        if event.signed_remaining is not None:
            self.settle(event.order_ref, event.signed_remaining)

    @handles(m.CommissionReported)
    def on_commission_reported(self, event: m.CommissionReported) -> None:
        """Put a commission on its execution."""
        self.ledger = exposure.pay(self.ledger, event.exec_id, event.commission, event.realized_pnl)

    # --- what others trade ----------------------------------------------------------------------------------------

    @handles(m.HoldingReported)
    async def on_holding_reported(self, event: m.HoldingReported) -> None:
        """Compare what the broker reports of a position with the ledger, once its executions had time to come.

        Has the broker's state read when somebody else has traded: closes are sized from the ledger (POS-4).
        """
        contract, quantity = event.holding.contract, event.holding.quantity
        self.ledger = exposure.hear(self.ledger, contract.con_id, quantity, event.sequence)
        self._reported[contract.con_id] = event
        await self._actor.sleep(DRIFT_AFTER_S)
        if self._reported.get(contract.con_id) is not event:
            return  # a newer report is waited for
        del self._reported[contract.con_id]
        ours, broker = exposure.position(self.ledger, contract.con_id), event.holding.quantity
        if not self.ledger.known or ours == broker:
            return
        self._log(
            "position_drift",
            level="WARNING",
            position_id=contract.position_id,
            ledger=ours,
            broker=broker,
        )
        self._actor.tell(CONNECTION, m.RequestReconciliation(sender=self._actor.name))
