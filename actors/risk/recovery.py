"""How risk learns its past after a restart, and takes over the broker's state at reconciliations (SUP-6, CON-11)."""

from __future__ import annotations

from actors import messages as m
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.messages.addresses import CONNECTION
from actors.recovery import Past
from actors.risk.exposure_book import ExposureBook
from actors.risk.losses import Losses
from actors.risk.openings import Openings
from actors.risk.permits import PermitIssuer
from actors.risk.residual import Residual


class Recovery(Part):
    """Journal, then the broker's state together with the executor's working orders; business waits until then.

    Owns a broker's state and working orders until both of one reconciliation are there.
    """

    def __init__(
        self,
        actor: SupervisedActor,
        permits: PermitIssuer,
        book: ExposureBook,
        losses: Losses,
        residual: Residual,
        openings: Openings,
    ) -> None:
        self._actor = actor
        self._permits = permits
        self._book = book
        self._losses = losses
        self._residual = residual
        self._openings = openings
        self._past = Past(actor, "risk", self._keep)
        self._broker: m.Reconcile | None = None
        self._working: m.WorkingOrdersKnown | None = None

    async def recover(self) -> None:
        """Learn from the journal the day's baselines, the executions and the latch."""
        journal = await self._past.from_journal()
        self._losses.remember(journal.baselines)
        self._book.remember(journal.executions)
        self._openings.latched = journal.latch_reason if journal.latched else None
        self._past.learnt()
        self._past.ask_for_reconciliation()

    @handles(m.NothingToReconcile)
    def on_nothing_to_reconcile(self, _: m.NothingToReconcile) -> None:
        """There is no session: serve, and reject what needs to know the positions."""
        self._past.nothing_to_reconcile()

    @handles(m.ReconciliationCompleted)
    def on_reconciliation_completed(self, _: m.ReconciliationCompleted) -> None:
        """Nothing is left to do: this actor took over its part in `on_reconcile`."""

    @handles(m.Reconcile)
    def on_reconcile(self, message: m.Reconcile) -> None:
        """Take over the broker's positions, once the executor has named its working orders too."""
        self._permits.install_key()
        if not self._past.keeps_waiting(message):
            self._keep(message)

    @handles(m.WorkingOrdersKnown)
    def on_working_orders_known(self, message: m.WorkingOrdersKnown) -> None:
        """Take over the orders that can still fill."""
        self._working = message
        self._take_over()

    def _keep(self, message: m.Reconcile) -> None:
        self._broker = message
        self._take_over()

    def _take_over(self) -> None:
        broker, working = self._broker, self._working
        if broker is None or working is None or broker.number != working.number:
            return
        self._broker = self._working = None
        self._openings.state_was_read(broker.state.began_at)
        differences = self._book.take_over(broker.state, working.orders)
        self._losses.take_over(broker.state.account, broker.state.moving)
        self._residual.tell()
        reconciled = m.Reconciled(
            number=broker.number, sender=self._actor.name, differences=differences
        )
        self._actor.tell(CONNECTION, reconciled)
        self._actor.recovered()
